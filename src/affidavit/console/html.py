"""HTML that is escaped because of how it is built.

Rules: a page is made of ``Html`` only; whatever else is put into an element is text and becomes
visible text, escaped; attribute names are ours, attribute values are escaped, and no address
comes from a record without ``quoted``. There are no scripts, and nothing is loaded from
elsewhere.
"""

import html
from urllib.parse import quote

from affidavit.console.visible import visible


class Html(str):
    """Markup that is finished and must not be escaped again."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Html:
    """One element. Children that are not ``Html`` are text; ``None`` and ``False`` are left out.

    An attribute named ``class_`` or ``for_`` is written without the underscore; ``True`` is an
    attribute without a value.
    """
    opened = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        written = name.rstrip("_").replace("_", "-")
        opened.append(written if value is True else f'{written}="{_text(value, lines=False)}"')
    start = f"<{' '.join(opened)}>"
    if tag in ("input", "meta", "link", "br"):
        return Html(start)
    return Html(f"{start}{joined(*children)}</{tag}>")


def joined(*children: object) -> Html:
    """Children one after another, as inside an element."""
    shown = [child for child in children if child is not None and child is not False]
    return Html(
        "".join(child if isinstance(child, Html) else _text(child, lines=True) for child in shown)
    )


def quoted(value: str) -> str:
    """A value as one segment of a path or query; slashes and dots cannot lead elsewhere."""
    return quote(value.encode("utf-8", "replace"), safe="").replace(".", "%2E")


def _text(value: object, *, lines: bool) -> str:
    return html.escape(visible(str(value), lines=lines), quote=True)
