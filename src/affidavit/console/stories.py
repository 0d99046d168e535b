"""The pages of a narrative and of a value, from plain values to HTML.

Rules: as in ``views``: every value is text, and a link carries a value as a quoted part of a
query. A value of a record leads to the records that have it. Not here: where values come from.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from affidavit.console.auth import Reader, Session
from affidavit.console.html import Html, element, joined, quoted
from affidavit.console.views import document, foot, linked, tokens, top
from affidavit.console.visible import UNSEEN, happened


def show(reader: Reader, session: Session, told: dict[str, Any], asked: dict[str, str]) -> Html:
    """A page of a narrative, a line for each record; ``asked`` goes on to the next page."""
    unfold = len(told["lines"]) <= 2
    purpose = asked.get("purpose", "")
    lines = [_line(line, purpose, unfold=unfold) for line in told["lines"]]
    withheld = told.get("withheld")
    more = None
    if told.get("cursor"):
        query = {key: value for key, value in asked.items() if value and key != "name"}
        name = quoted(asked["name"])
        href = urlencode(query | {"cursor": told["cursor"]}, errors="replace")
        more = element("p", element("a", "What came then", href=f"/show/{name}?{href}"))
    main = element(
        "main",
        element("p", element("a", "← Overview", href="/")),
        element("h1", f"{str(told['kind']).capitalize()} ", element("code", told["name"])),
        element("p", element("a", "Where else this value occurs", href=_value(told["name"]))),
        _window(asked),
        element("ol", *lines, class_="lines"),
        more,
        element("p", f"Withheld from your role: {', '.join(withheld)}.", class_="hint")
        if withheld
        else None,
        _beyond(told.get("beyond")),
        element("p", f"As of leaf {told['as_of']['size']:,}.", class_="hint"),
    )
    return document(str(told["kind"]), top(reader, session), main, foot())


def _beyond(told: dict[str, Any] | None) -> Html | None:
    """How many records of the story are not to be seen, for whoever may know that."""
    if not told:
        return None
    least = "at least " if told["capped"] else ""
    count = f"{told['rows']:,} record{'' if told['rows'] == 1 else 's'}"
    return element("p", f"Beyond your boundary: {least}{count}.", class_="hint")


def _window(asked: dict[str, str]) -> Html:
    """A form to narrow the narrative to a window."""
    fields = [
        element("input", name=name, value=asked.get(name, ""), placeholder=example, aria_label=name)
        for name, example in (("since", "since: 7d"), ("until", "until: 2026-09-01"))
    ]
    purpose = element("input", type="hidden", name="purpose", value=asked.get("purpose", ""))
    return element(
        "form", *fields, purpose, element("button", "Show", type="submit"),
        method="get", action=f"/show/{quoted(asked['name'])}", class_="search",
    )  # fmt: skip


def pivot(reader: Reader, session: Session, told: dict[str, Any], purpose: str) -> Html:
    """Where a value occurs, each place with a link to its records."""
    titles = ("Field", "Means", "Records", "First", "Last")
    head = element("tr", *(element("th", title, scope="col") for title in titles))
    rows = [_place(one, purpose) for one in told["places"]]
    table = element("table", element("thead", head), element("tbody", *rows))
    withheld = told["withheld"]
    main = element(
        "main",
        element("p", element("a", "← Overview", href="/")),
        element("h1", "Value ", element("code", told["value"])),
        table if rows else element("p", "It is nowhere within what you may see.", class_="empty"),
        *(element("p", element("code", command)) for command in told["commands"]),
        element("p", f"Not looked for: {', '.join(withheld)}.", class_="hint")
        if withheld
        else None,
    )
    return document("Value", top(reader, session), main, foot())


def _value(value: str) -> str:
    """The address of the page about a value."""
    return "/pivot?" + urlencode({"value": value}, errors="replace")


def _place(one: dict[str, Any], purpose: str) -> Html:
    count = f"{'at least ' if one['capped'] else ''}{one['count']:,}"
    query = {"q": one["query"]} | ({"purpose": purpose} if purpose else {})
    return element(
        "tr",
        element("td", one["field"]),
        element("td", one["means"]),
        element("td", element("a", count, href="/?" + urlencode(query, errors="replace"))),
        *(element("td", _record(one[end], one[f"{end}_time"])) for end in ("first", "last")),
    )


def _record(index: int, text: str = "") -> Html:
    shown = str(text)[:19].replace("T", " ") or f"#{index}"
    return element("a", shown, href=f"/show/{quoted(f'#{index}')}")


def _details(line: dict[str, Any]) -> list[str]:
    """What else a record says, ``name: value`` each."""
    return [
        f"{name.replace('_', ' ')}: {one}"
        for name, value in (line.get("details") or {}).items()
        for one in (value if isinstance(value, list) else [value])
    ]


def _facts(line: dict[str, Any], purpose: str) -> Iterator[Html | str]:
    """What a line has that other records have, too, with links, and how it ended."""
    for name in ("actor", "model", "session", "trace", "span"):
        if line.get(name):
            yield linked(name, line[name], purpose)
    for tool in line.get("tools") or ():
        yield joined("tool ", linked("tool", tool, purpose))
    if line.get("outcome"):
        yield str(line["outcome"])
    if tokens(line):
        yield f"tokens {tokens(line)}"
    for name, words in (("re", "answers"), ("answered", "answered by"), ("part_of", "part of")):
        if line.get(name) is not None:
            yield joined(f"{words} ", _record(line[name]))


def _told(line: dict[str, Any]) -> Iterator[Html | str]:
    """When it happened, and what hangs together with a line, in words."""
    if happened(line):
        yield happened(line)
    if line.get("name"):
        yield f"by {line['name']}"
    if line.get("on_behalf"):
        yield "by " + ", for ".join(map(str, line["on_behalf"]))
    retry = line.get("retry")
    if retry:
        yield joined("retry of ", _record(retry["of"]), f" ({retry['after']}): {retry['by']}")
    for meant in line.get("meanings") or ():
        yield joined(
            f"{meant['name']} meant {meant['model']}: {meant['by']}, ", _record(meant["record"]),
            f" {meant['tier']}", " (against the change)" if meant["against"] is not None else None,
        )  # fmt: skip
    if line.get("running"):
        yield f"beside {len(line['running'])} running"


def _line(line: dict[str, Any], purpose: str, *, unfold: bool) -> Html:
    facts: list[object] = []
    for fact in _facts(line, purpose):
        facts += [" · ", fact] if facts else [fact]
    return element(
        "li",
        element("span", str(line["time"])[:23].replace("T", " "), class_="time"),
        element("span", str(line["evidence"]), class_=f"badge {line['evidence']}"),
        element("p", str(line["text"])),
        element("p", *facts, class_="hint") if facts else None,
        *(element("p", text, class_="hint") for text in (*_told(line), *_details(line))),
        *(
            element("details", element("summary", name), element("pre", line[name]), open=unfold)
            for name in ("prompt", "output")
            if line.get(name)
        ),
        element("p", f"content: {line['content']}", class_="quiet")
        if line["content"] in UNSEEN
        else None,
        element("p", f"#{line['index']} {line['id']}", class_="quiet"),
    )
