"""Two records side by side: which parameters and facts differ, and how the texts do.

Rules: exchanges are compared with exchanges (prompt with prompt, output with output, whichever
half was named), changes with changes (what came after with what came after; one change alone:
before with after), other records by their facts. Facts are those of sections that the boundary
shows; texts of content are there where it shows content for the stated reason, and what is not
there has its word. Ids, times and header fields of the transport always differ and are left out.
Not here: how texts are compared (``textdiff``), and that the reading is recorded.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from affidavit.errors import NotFoundError, UsageError
from affidavit.index.messages import Said
from affidavit.index.schema import Row
from affidavit.query import textdiff, wording
from affidavit.query.boundary import Boundary
from affidavit.query.content import Look, look, worst
from affidavit.query.search import Searcher

_LEFT_OUT = frozenset({
    "what.http.request.headers", "what.http.response.headers", "what.request_id",
    "what.gen_ai.response.id", "what.trace_id", "what.span_id", "what.parent",
    "outcome.duration", "outcome.time_to_first_byte", "what.before", "what.after",
})  # fmt: skip
_SECTIONS = ("who", "what", "context", "control", "outcome")
_MAX_FACT = 500


class Fact(msgspec.Struct, frozen=True):
    """What differs: ``None`` where a side does not say it."""

    name: str
    first: str | None
    second: str | None


class Text(msgspec.Struct, frozen=True):
    """One text of both sides. ``same`` is ``None`` if it could not be compared.

    ``content`` is as in ``content.Look``, the worse of the two; ``lines`` are the differences.
    """

    name: str
    same: bool | None
    content: str
    lines: list[textdiff.DiffLine]


class Shown(msgspec.Struct, frozen=True):
    """A record that was read for this, and the parts of its content that were.

    ``of`` is 0 for the first of the two that are compared, 1 for the second.
    """

    id: str
    index: int
    type: str
    evidence: str
    parts: list[str]
    of: int


class Comparison(msgspec.Struct, frozen=True):
    """Two of one ``kind`` (exchange, change, record); ``first`` and ``second`` are indexes.

    ``recorded_as`` are the ids of the records of this read, once there are any.
    """

    kind: str
    first: int
    second: int
    facts: list[Fact]
    texts: list[Text]
    records: list[Shown]
    recorded_as: tuple[str, ...] = ()


class _Side:
    """An exchange, or one record: its rows, what the vault has of them, and its facts."""

    def __init__(self, searcher: Searcher, name: str, boundary: Boundary, *, show: bool) -> None:
        row = searcher.locate(name, boundary)
        if row is None:
            raise NotFoundError(f"There is no record {name} within what you may see.")
        family = row.type.partition(".")[0]
        self.show = show
        self.kind = family if family in ("exchange", "change") else "record"
        other = row.re if row.re is not None else row.answered
        both = [row.idx] if other is None else [row.idx, other]
        found = [searcher.reader.row(index) for index in searcher.within(both, boundary)]
        self.rows = [one for one in found if one is not None]
        self.index = self.rows[0].idx
        self.looks = [look(searcher.contents, one, show=show) for one in self.rows]
        self.seen = [wording.visible(boundary, one.sections) for one in self.looks]

    def facts(self) -> dict[str, str]:
        """Every fact that may be shown, by section and name; those of the response count."""
        found: dict[str, str] = {}
        for sections in self.seen:
            told = {name: sections[name] for name in _SECTIONS if name in sections}
            for name, value in wording.leaves(told):
                if name not in _LEFT_OUT and not name.startswith(("what.before.", "what.after.")):
                    found[name] = _fact(value)[:_MAX_FACT]
        return found

    def half(self, kind: str) -> tuple[Row, Look] | None:
        """The request or the response, if it is there."""
        pairs = zip(self.rows, self.looks, strict=True)
        return next((pair for pair in pairs if pair[0].type == kind), None)

    def changed(self, name: str) -> Any:
        """``before`` or ``after`` of a change; ``None`` if it is not there or may not be seen."""
        text = self.looks[0].parts.get(f"change.{name}") if self.show else None
        if text is not None:
            return text.decode("utf-8", "replace")
        return self.seen[0].get("what", {}).get(name)

    def shown(self, of: int) -> list[Shown]:
        """What was read of this side: facts alone have no text to compare."""
        show = self.show and self.kind != "record"
        return [
            Shown(row.id, row.idx, row.type, seen.evidence, sorted(seen.parts) if show else [], of)
            for row, seen in zip(self.rows, self.looks, strict=True)
        ]


def compare(
    searcher: Searcher, first: str, second: str, boundary: Boundary, *, reason: str = ""
) -> Comparison:
    """Compare two records or exchanges; ``second`` ``""``: a change's before with its after.

    ``NotFoundError`` if one of them is not within the boundary; ``UsageError`` if they are of
    different kinds, or alone and no change.
    """
    boundary.demand(reason)
    show = boundary.shows_content(reason)
    with searcher.reader.snapshot():
        rows = [searcher.locate(name, boundary) for name in (first, second or first)]
    if rows[1] is not None and rows[0] == rows[1] and rows[1].type.startswith("change."):
        second = ""
    a = _Side(searcher, first, boundary, show=show)
    if not second:
        if a.kind != "change":
            raise UsageError("One record alone has nothing to compare.", hint="Name two.")
        state = a.looks[0].content
        text = _texts_of("change", a.changed("before"), a.changed("after"), state)
        return Comparison("change", a.index, a.index, [], [text], a.shown(0))
    b = _Side(searcher, second, boundary, show=show)
    if a.kind != b.kind:
        raise UsageError(f"This is {_a(a.kind)}, and that is {_a(b.kind)}.", hint="Name two alike.")
    return Comparison(
        a.kind, a.index, b.index, _facts(a.facts(), b.facts()), _texts(a, b, show=show),
        a.shown(0) + b.shown(1),
    )  # fmt: skip


def _facts(first: Mapping[str, str], second: Mapping[str, str]) -> list[Fact]:
    return [
        Fact(name, first.get(name), second.get(name))
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def _texts(a: _Side, b: _Side, *, show: bool) -> list[Text]:
    if a.kind == "change":
        state = worst([one.looks[0].content for one in (a, b)])
        return [_texts_of("after", a.changed("after"), b.changed("after"), state)]
    if a.kind != "exchange":
        return []
    found = []
    for name, kind in (("prompt", "exchange.request"), ("output", "exchange.response")):
        one, other = a.half(kind), b.half(kind)
        content = worst([half[1].content if half else "none" for half in (one, other)])
        if not (one and other and show) or content in ("corrupt", "missing", "pending"):
            found.append(Text(name, None, content, []))
            continue
        said = [_spoken(half[1].messages, role=name == "prompt") for half in (one, other)]
        found.append(Text(name, said[0] == said[1], content, textdiff.diff(*said)))
    return found


def _texts_of(name: str, first: Any, second: Any, content: str) -> Text:
    """Two values of changes as texts; ``content``: what became of those that are content."""
    if content not in ("none", "shown") or (first is None and second is None):
        return Text(name, None, content, [])
    old, new = _written(first), _written(second)
    return Text(name, old == new, "shown", textdiff.diff(old, new))


def _fact(value: Any) -> str:
    """A text as it is; anything else as JSON, so that it reads the same in any language."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _written(value: Any) -> str:
    """A text as it is; anything else as JSON on lines, in order of names."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()


def _spoken(messages: list[Said], *, role: bool) -> str:
    return "\n\n".join(f"{m.role}: {m.text}" if role else m.text for m in messages)


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "exchange" else f"a {kind}"
