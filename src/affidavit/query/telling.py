"""One line of a narrative from one row: what it says, how it hangs together, what it rests on.

Rules: a line says only what the reader's boundary shows of the record, each statement by its
section; it refers to other records by index, and only to those within the boundary. Delegation is
told as the record has it (``who.delegation``: who acted, then for whom, step by step), and an
end user that a caller names as the caller's word. History that an earlier line shows is not shown
again; on a later page, of a session that began before it, only what a record itself says is. Not
here: which rows (``stream``).
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from affidavit.index.messages import Said
from affidavit.index.schema import Row
from affidavit.query import wording
from affidavit.query.aliases import Aliases, Meaning
from affidavit.query.boundary import Boundary
from affidavit.query.content import Look, look
from affidavit.query.lanes import Lanes
from affidavit.query.retries import Retries, Retry, claimed
from affidavit.query.search import Searcher
from affidavit.query.stream import Found
from affidavit.query.wording import Details

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_MORE = "and perhaps more"
_UNTOLD = (
    "cannot be told: its question is recorded as digests or looks at what you may not see, "
    "or there was no time to find out, or it has too many conditions to be put again"
)


class Line(msgspec.Struct, frozen=True):
    """One record of a narrative. ``prompt`` and ``output`` are ``None`` unless shown.

    ``time`` is when the ledger took it in, ``at`` when it happened, as its source says.
    Each message of a ``prompt`` begins with its role (``user: …``), for people: what is in a
    message is the caller's, and the bytes (a reveal) are the evidence. ``evidence`` and
    ``content`` are as in ``content.Look``, or ``withheld`` (its facts are outside the boundary),
    or ``gap``. Tokens are ``None`` where not known. ``text`` is one sentence, ``details`` what
    else the record says (``wording.details``). ``beside``: it is not of the narrative's own
    records but fell in between, or read them. ``re`` is the index of the request it answers,
    ``answered`` of the response; ``part_of`` of the record it belongs to; ``span`` and
    ``parent_span`` are of its trace. ``lane`` (from 0) is that of its exchange, ``running`` are
    those of the others that run past it. ``on_behalf`` is who acted and then for whom;
    ``name`` is that of the actor or, in what was reported, of whoever is said to have done it.
    """

    index: int
    time: str
    at: str
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
    beside: bool = False
    re: int | None = None
    answered: int | None = None
    part_of: int | None = None
    session: str | None = None
    trace: str | None = None
    span: str | None = None
    parent_span: str | None = None
    lane: int | None = None
    running: tuple[int, ...] = ()
    retry: Retry | None = None
    meanings: tuple[Meaning, ...] = ()
    on_behalf: tuple[str, ...] = ()
    name: str | None = None


class Teller:
    """Makes lines in order and remembers what was said; ``size`` is that of the ledger told of."""

    def __init__(
        self, searcher: Searcher, boundary: Boundary, size: int, lanes: Lanes, *, show: bool
    ) -> None:
        self._searcher = searcher
        self._boundary = boundary
        self._size = size
        self._show = show
        self._lanes = lanes
        self._retries = Retries(self._answer, self._look, bytes_count=show)
        self._heard: set[bytes] = set()
        self._earlier: Callable[[str], bool] = lambda _: False
        self._began: dict[str, bool] = {}
        self._aliases = Aliases(searcher, boundary, size)
        self._within: dict[int, bool] = {}
        self._answers: dict[int, Row | None] = {}

    def went_before(self, requests: Iterable[Row], earlier: Callable[[str], bool]) -> None:
        """What was on earlier pages: the last requests; ``earlier`` says which sessions were."""
        self._retries.remember(requests)
        self._earlier = earlier

    def knows(self, rows: Iterable[Row]) -> None:
        """Rows of the page that are within the boundary: they are not looked up again."""
        for row in rows:
            self._within[row.idx] = True
            self._answers[row.idx] = row

    def line(self, found: Found) -> Line:
        """The next line."""
        row, sections = found.row, self._boundary.sections
        here = look(self._searcher.contents, row, show=self._show)
        seen = wording.visible(self._boundary, here.sections)
        who, what, outcome = (name in sections for name in ("who", "what", "outcome"))
        said = seen.get("what", {})
        lane, running = (None, self._passing()) if found.beside else self._lanes.place(row)
        evidence = here.evidence
        if row.type == "ledger.gap":
            evidence = "gap"
        elif not (what or outcome) and evidence not in ("corrupt", "missing"):
            evidence = "withheld"
        texts = self._texts(row, here.messages)
        is_output = row.type in ("exchange.response", "tool.result")
        return Line(
            row.idx, row.time, row.at, row.id, row.type, row.actor if who else None,
            wording.sentence(row, seen, self._boundary),
            row.model if what else None, row.tools if what else (),
            row.tokens_in if outcome else None, row.tokens_out if outcome else None,
            row.status if outcome else None, evidence,
            "none" if row.type == "ledger.gap" else here.content,
            None if is_output else texts, texts if is_output else None,
            self._details(found, here, seen), found.beside,
            re=self._known(row.re), answered=self._known(row.answered),
            part_of=self._part_of(row) if what else None,
            session=row.session if who else None, trace=row.trace if what else None,
            span=row.span if what else None, parent_span=_text(said.get("parent_span_id")),
            lane=lane, running=running,
            retry=self._retries.of(row, here, said) if who and what and outcome else None,
            meanings=self._meanings(row) if what else (),
            on_behalf=_on_behalf(seen), name=_named(row.type, seen),
        )  # fmt: skip

    # -- what hangs together -------------------------------------------------------------------

    def _passing(self) -> tuple[int, ...]:
        return tuple(sorted(set(self._lanes.running.values())))

    def _known(self, index: int | None) -> int | None:
        """The index, if that record is of this ledger size and within the boundary."""
        if index is None or index >= self._size:
            return None
        if index not in self._within:
            self._within[index] = bool(self._searcher.within([index], self._boundary))
        return index if self._within[index] else None

    def _answer(self, row: Row) -> Row | None:
        index = self._known(row.answered)
        if index is None:
            return None
        if index not in self._answers:
            self._answers[index] = self._searcher.reader.row(index)
        return self._answers[index]

    def _look(self, row: Row) -> Look:
        return look(self._searcher.contents, row, show=False)

    def _part_of(self, row: Row) -> int | None:
        """The record that this one belongs to, where it does not answer it."""
        if row.parent is None or row.re is not None:
            return None
        parent = self._searcher.locate(row.parent, self._boundary)
        return None if parent is None or parent.idx >= self._size else parent.idx

    def _meanings(self, row: Row) -> tuple[Meaning, ...]:
        if row.type != "exchange.request":
            return ()
        return self._aliases.meanings(row, self._answer(row))

    # -- what it says --------------------------------------------------------------------------

    def _details(self, found: Found, here: Look, seen: wording.Sections) -> Details:
        told = wording.details(found.row.type, seen)
        if found.of is None:
            told["of_this_narrative"] = _UNTOLD
        elif found.of:
            more = [_MORE] if found.more else []
            told["of_this_narrative"] = [*(f"#{index}" for index in found.of), *more]
        again = claimed(seen.get("what", {}))
        if again and found.row.type == "exchange.request":
            told["retry_as_the_caller_says"] = again
        if here.problem:
            told["problem"] = here.problem
        return told

    def _texts(self, row: Row, messages: list[Said]) -> str | None:
        fresh = []
        for message in messages:
            name = f"{row.session or row.trace or ''}\0{message.role}\0{message.text}"
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:16]
            known = digest in self._heard or (not message.new and self._went_on(row.session))
            if message.new or not known:
                fresh.append(message)
            self._heard.add(digest)
        if row.type in ("exchange.response", "tool.result"):
            return "\n\n".join(message.text for message in fresh) or None
        return "\n\n".join(map(_spoken, fresh)) or None

    def _went_on(self, session: str | None) -> bool:
        """Whether earlier pages have records of this session."""
        if session is None:
            return False
        if session not in self._began:
            self._began[session] = self._earlier(session)
        return self._began[session]


def _spoken(message: Said) -> str:
    """A message with who spoke before it, where that is known."""
    return f"{message.role}: {message.text}" if message.role in _ROLES else message.text


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _named(kind: str, seen: wording.Sections) -> str | None:
    """Who did it, by name; a ``change.key`` has the name of whose key it is (a detail)."""
    return None if kind == "change.key" else _text(seen.get("person", {}).get("name"))


def _on_behalf(seen: wording.Sections) -> tuple[str, ...]:
    """Who acted, and for whom, step by step; empty where nobody acted for somebody else."""
    who = seen.get("who", {})
    steps = who.get("delegation")
    chain = [_step(step) for step in (steps if isinstance(steps, list) else [])]
    named = [step for step in chain if step]
    end_user = _text(seen.get("person", {}).get("end_user"))
    if end_user:
        named.append(f"{end_user} (end user, as the caller says)")
    actor = _step(who)
    return (actor, *named) if actor and named else ()


def _step(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return ""
    actor, kind = _text(value.get("actor")), _text(value.get("kind"))
    return f"{actor} ({kind})" if actor and kind else actor or ""
