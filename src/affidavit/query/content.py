"""Content and its evidence: what the vault says of one record, right now.

Rules: the vault compares every byte it gives with what the ledger committed to; the outcome of
that comparison is named here and never hidden: one damaged record is a word in an answer, not
the end of it. Whether content may be shown was decided before (``boundary``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from affidavit.errors import CorruptError, NotFoundError, PrunedError
from affidavit.index.messages import Said, said
from affidavit.index.schema import Row
from affidavit.record.model import SECTIONS, View

SNIPPET = 600
"""Characters of a prompt or an output in an exchange; a narrative shows them whole."""

_CONTENT_BIT = 1 << SECTIONS.index("content")


class Contents(Protocol):
    """What is needed of ``vault.reader.VaultReader``."""

    def view(self, index: int) -> View:
        """The record as it can be read now.

        ``CorruptError`` if it is not what was recorded, ``NotFoundError`` beyond the published
        checkpoint, ``PrunedError`` below the minimum index.
        """


class Look(NamedTuple):
    """What a look into the vault gave.

    ``evidence``: ``verified`` (observed by us, and the same as what the ledger committed to),
    ``reported``, ``imported``, ``erased`` (a section can no longer be read, or the leaf was
    pruned), ``corrupt``, ``unchecked`` (nobody looked, or the checkpoint over it is not published
    yet). ``content``: ``shown``, ``withheld``, ``erased`` (some or all of it), ``corrupt``,
    ``pending``, or ``none`` where a record has none. ``messages`` are there if it is ``shown``, and
    what is left of it if it is ``erased``. ``sections`` are all that can be read, by name, whoever
    asks: a boundary comes between them and a reader.
    """

    evidence: str
    content: str
    messages: list[Said]
    sections: Mapping[str, Any] = MappingProxyType({})


def look(contents: Contents | None, row: Row, *, show: bool) -> Look:
    """Look at one record; ``show`` its messages or leave them out."""
    has_content = bool(row.present & _CONTENT_BIT)
    told = row.tier if row.tier != "observed" else "unchecked"
    hidden = "withheld" if has_content else "none"
    if contents is None:
        return Look("erased" if row.present & ~row.shown else told, hidden, [])
    try:
        view = contents.view(row.idx)
    except CorruptError:
        return Look("corrupt", "corrupt" if has_content else "none", [])
    except PrunedError:
        return Look("erased", "erased" if has_content else "none", [])
    except NotFoundError:
        return Look(told, "pending" if has_content else "none", [])
    gone = any(
        digest is not None and name not in view.sections
        for name, digest in zip(SECTIONS, view.digests, strict=True)
    )
    evidence = "erased" if gone else "verified" if row.tier == "observed" else row.tier
    if has_content and not (view.parts and _listed(view) <= view.parts.keys()):
        return Look(evidence, "erased", said(view, row) if show else [], view.sections)
    if has_content and show:
        return Look(evidence, "shown", said(view, row), view.sections)
    return Look(evidence, hidden, [], view.sections)


def _listed(view: View) -> set[str]:
    """The names of the parts that the content section commits to."""
    content = view.sections.get("content")
    listed = content.get("parts") if isinstance(content, dict) else None
    return {
        str(part.get("name"))
        for part in (listed if isinstance(listed, list) else [])
        if isinstance(part, dict)
    }


def worst(states: list[str]) -> str:
    """The state of several contents together: the one that most needs to be said."""
    order = ("corrupt", "erased", "pending", "withheld", "shown", "none")
    return min(states, key=order.index, default="none")


def snippet(messages: list[Said]) -> str | None:
    """The beginning of what was said; ``None`` for nothing."""
    text = "\n".join(message.text for message in messages)
    return (text if len(text) <= SNIPPET else text[:SNIPPET] + "…") or None
