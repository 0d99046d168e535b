"""Reconstruction: what happened in an exchange, a session or a trace, in order, line by line.

Rules: one record, one line, in ledger order, each with the status of its evidence as
``content.Look`` has it, or ``withheld`` (its facts are outside the reader's boundary), or ``gap``.
Beside the records of the session stand the changes to its models while it ran, and the
gaps that fell into it. History that an earlier line shows is not shown again. Not here: who may
read what (``boundary``) and that the reading is recorded.
"""

import re

import msgspec

from affidavit.errors import NotFoundError
from affidavit.index.messages import Said
from affidavit.index.schema import Row
from affidavit.query import wording
from affidavit.query.answers import AsOf
from affidavit.query.boundary import Boundary, inject
from affidavit.query.content import look
from affidavit.query.rows import withheld
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Match, Number, Or, Tree
from affidavit.query.wording import Details

MAX_LINES = 2_000
MAX_CHARACTERS = 1 << 24
"""With the line that goes beyond so many characters of content a narrative ends."""
_MODELS_AT_ONCE = 1_000
"""A caller names as many models in a session as it likes; a statement takes so many values."""
_RECORD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Line(msgspec.Struct, frozen=True):
    """One record of a narrative. ``prompt`` and ``output`` are ``None`` unless shown.

    Each message of a ``prompt`` begins with its role (``user: …``), for people: what is in a
    message is the caller's, and the bytes (a reveal) are the evidence.
    ``content`` says why, as in ``content.Look``. Tokens are ``None`` where not known. ``text`` is
    one sentence, ``details`` what else the record says (``wording.details``).
    """

    index: int
    time: str
    id: str
    type: str
    actor: str | None
    text: str
    model: str | None
    tools: tuple[str, ...]
    tokens_in: int | None
    tokens_out: int | None
    outcome: str | None
    evidence: str
    content: str
    prompt: str | None
    output: str | None
    details: Details = {}


class Narrative(msgspec.Struct, frozen=True):
    """The lines of one ``kind`` (exchange, session, trace, record) with its ``name``.

    ``more``: only the first records are here (``MAX_LINES``, ``MAX_CHARACTERS``).
    """

    kind: str
    name: str
    lines: list[Line]
    more: bool
    as_of: AsOf
    withheld: tuple[str, ...]


def narrative(searcher: Searcher, name: str, boundary: Boundary, *, reason: str = "") -> Narrative:
    """The narrative of a record id, ``#index``, session pseudonym or trace id.

    ``NotFoundError`` if there is nothing of that name within the boundary. Prompts and outputs
    are in it where the boundary shows content, for the stated ``reason`` if it asks for one.
    """
    with searcher.reader.snapshot():
        kind, rows = _records(searcher, name, boundary)
        if not rows:
            raise NotFoundError(f"There is nothing named {name} within what you may see.")
        more = len(rows) > MAX_LINES
        rows = rows[:MAX_LINES]
        if kind in ("session", "trace"):
            rows = _with_changes(searcher, rows, boundary)
        as_of = searcher.as_of()
    # The vault takes its time, and others wait for the end of a snapshot.
    teller = _Teller(searcher, boundary, boundary.shows_content(reason))
    lines: list[Line] = []
    shown = 0
    for row in rows:
        line = teller.line(row)
        lines.append(line)
        shown += len(line.prompt or "") + len(line.output or "")
        if shown > MAX_CHARACTERS and len(lines) < len(rows):
            more = True
            break
    return Narrative(kind, name, lines, more, as_of, withheld(boundary))


def _records(searcher: Searcher, name: str, boundary: Boundary) -> tuple[str, list[Row]]:
    if name.startswith("#") or name.isdecimal() or _RECORD_ID.fullmatch(name):
        row = searcher.locate(name, boundary)
        if row is None:
            return "record", []
        other = row.re if row.re is not None else row.answered
        both = [row.idx] if other is None else [row.idx, other]
        halves = [searcher.reader.row(idx) for idx in searcher.within(both, boundary)]
        kind = "exchange" if row.type.startswith("exchange.") else "record"
        return kind, [half for half in halves if half is not None]
    for kind, section in (("session", "who"), ("trace", "what")):
        if section in boundary.sections:
            rows = searcher.rows_of(inject(Match(kind, name), boundary), MAX_LINES + 1)
            if rows:
                return kind, rows
    return "session", []


def _with_changes(searcher: Searcher, rows: list[Row], boundary: Boundary) -> list[Row]:
    """The rows, the changes to their models from first to last row, and the gaps in between."""
    first, last = rows[0].idx, rows[-1].idx
    span = (Number("index", ">=", first), Number("index", "<=", last))
    beside = searcher.rows_of(And((*span, Match("type", "ledger.gap"))), MAX_LINES)
    models = list(dict.fromkeys(model for row in rows for model in row.models))
    if "what" in boundary.sections:
        for begin in range(0, len(models), _MODELS_AT_ONCE):
            some = models[begin : begin + _MODELS_AT_ONCE]
            touched: Tree = Or(tuple(Match("model", model) for model in some))
            changes = And((*span, Match("type", "change.", prefix=True), touched))
            beside += searcher.rows_of(inject(changes, boundary), MAX_LINES)
    every = {row.idx: row for row in (*rows, *beside)}
    return [every[idx] for idx in sorted(every)]


class _Teller:
    """Makes lines in order and remembers what was said."""

    def __init__(self, searcher: Searcher, boundary: Boundary, show: bool) -> None:
        self._searcher = searcher
        self._boundary = boundary
        self._show = show
        self._heard: set[tuple[str, str]] = set()

    def line(self, row: Row) -> Line:
        evidence, content, messages, opened = look(self._searcher.contents, row, show=self._show)
        seen = wording.visible(self._boundary, opened)
        if row.type == "ledger.gap":
            return Line(
                row.idx, row.time, row.id, row.type, None,
                wording.sentence(row, seen, self._boundary),
                None, (), None, None, None, "gap", "none", None, None,
                wording.details(row.type, seen),
            )  # fmt: skip
        sections = self._boundary.sections
        if not {"what", "outcome"} & sections and evidence != "corrupt":
            evidence = "withheld"
        what, outcome = "what" in sections, "outcome" in sections
        new = [m for m in messages if m.new or (m.role, m.text) not in self._heard]
        self._heard.update((m.role, m.text) for m in messages)
        is_output = row.type in ("exchange.response", "tool.result")
        texts = "\n\n".join(m.text if is_output else _spoken(m) for m in new) or None
        return Line(
            row.idx, row.time, row.id, row.type, row.actor if "who" in sections else None,
            wording.sentence(row, seen, self._boundary),
            row.model if what else None, row.tools if what else (),
            row.tokens_in if outcome else None, row.tokens_out if outcome else None,
            row.status if outcome else None, evidence, content,
            None if is_output else texts, texts if is_output else None,
            wording.details(row.type, seen),
        )  # fmt: skip


def _spoken(message: Said) -> str:
    """A message with who spoke before it, where that is known."""
    return f"{message.role}: {message.text}" if message.role in _ROLES else message.text


_ROLES = frozenset({"system", "user", "assistant", "tool"})
