"""Answers: pages of rows, exchanges for people, what is new, and sums.

Rules: every question goes through ``boundary.inject``; every answer says through which ledger
size and time it is all there is (``as_of``), names the sections withheld, and counts the gaps and
the records of unknown tenant in its window, which could have belonged to it. Pages are keyset
pages, newest first; a cursor is bound to the question and the boundary by a MAC and is refused
with any other. Content comes from the vault, checked there against the ledger. Not here: that a
read is recorded (whoever asks does that first), and proofs (``completeness``).
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from affidavit.errors import NotFoundError, UsageError
from affidavit.index.reader import Reader
from affidavit.index.schema import Row
from affidavit.index.sqlite import ROW_COLUMNS, Built, row_of
from affidavit.query import cursor as cursors
from affidavit.query import emit, facets, linked, lists, sums, wording
from affidavit.query.answers import (
    Aggregate,
    AsOf,
    Exchange,
    ExchangePage,
    Facets,
    Histogram,
    Page,
)
from affidavit.query.boundary import Boundary, bound, inject
from affidavit.query.conditions import Span, Sql
from affidavit.query.content import Contents, last, look, snippet, worst
from affidavit.query.cubes import Interval
from affidavit.query.plan import Plan, told
from affidavit.query.rows import shaped, withheld
from affidavit.query.steps import Steps
from affidavit.query.sums import Scope, Wanted
from affidavit.query.tree import And, Phrase, Tree, conjuncts, leaves, stretch, window
from affidavit.record.model import SECTIONS

MAX_LIMIT = 1_000
_COLUMNS = ", ".join(f'r."{name}"' for name in ROW_COLUMNS)
TAIL_SPAN = 1 << 18
"""So many leaves are looked at for a page of a tail: of most questions well within the time."""
COUNT_TO = 1_000
"""Counts stop there unless told otherwise: beyond it a count takes longer than the page."""
_COMMON = 20_000
_OF_REQUEST = frozenset({
    "index", "time", "at", "id", "type", "tier", "re", "answered", "decision", "reason", "parent",
})  # fmt: skip
"""What an exchange has of its request, whatever its response has."""


class Searcher:
    """Answers questions from one index; content, if any, from ``contents``. Any thread."""

    def __init__(self, reader: Reader, contents: Contents | None) -> None:
        self.reader = reader
        self.contents = contents

    def as_of(self) -> AsOf:
        """What an answer without text would be as of, now."""
        return told(self.reader.built()[0])

    def run(
        self, tree: Tree, boundary: Boundary, *, limit: int = 100, cursor: str = "",
        reason: str = "", count_to: int = COUNT_TO,
    ) -> Page:  # fmt: skip
        """One page of records, newest first.

        ``limit`` is 1 to 1,000. ``UsageError`` for a cursor of another question or a changed one;
        ``RefusedError`` for a question outside the boundary.
        """
        asked = inject(tree, boundary, reason)
        _check_limit(limit)
        with self.reader.snapshot():
            plan = self._plan(asked, cursor, to=bound(asked, boundary))
            rows = self._rows(asked, plan, limit + 1)
            more = len(rows) > limit
            rows = rows[:limit]
            count, capped = self._count(asked, plan, count_to, len(rows), more=more)
            gaps, unattributed = self._beside(plan)
            shown = self._shaped(rows, boundary, plan.as_of.size)
        return Page(
            shown, self._cursor(plan, rows[-1].idx) if more else "", plan.as_of, count, capped,
            rows[0].idx + 1 if rows else plan.as_of.size, gaps, unattributed, withheld(boundary),
        )  # fmt: skip

    def tail(
        self, tree: Tree, boundary: Boundary, *, after: int, limit: int = 500, reason: str = "",
        span: int | None = None,
    ) -> Page:  # fmt: skip
        """What came at index ``after`` or later, oldest first; ``next`` is the next ``after``.

        Where nothing matches for ``span`` leaves (``TAIL_SPAN``), ``next`` is behind ``as_of``.
        """
        asked = inject(tree, boundary, reason)
        _check_limit(limit)
        end = after + (TAIL_SPAN if span is None else span)
        with self.reader.snapshot():
            plan = self._plan(asked, "", low=after, end=end, newest=False)
            rows = self._rows(asked, plan, limit + 1)
            more = len(rows) > limit
            rows = rows[:limit]
            shown = self._shaped(rows, boundary, plan.as_of.size)
            gaps, unattributed = self._beside(plan)
        following = rows[-1].idx + 1 if more else max(after, min(plan.as_of.size, end))
        return Page(
            shown, "", plan.as_of, None, False, following, gaps, unattributed, withheld(boundary)
        )  # fmt: skip

    def exchanges(
        self, tree: Tree, boundary: Boundary, *, limit: int = 50, cursor: str = "",
        reason: str = "", count_to: int = COUNT_TO,
    ) -> ExchangePage:  # fmt: skip
        """One page of exchanges and other records, newest first, each exchange once.

        An exchange is there if a half of it matches; its place is that of its newest such half of
        those that were there for the first page.
        ``count`` is of records, as in ``run``.
        """
        asked = inject(tree, boundary, reason)
        _check_limit(limit)
        with self.reader.snapshot():
            plan = self._plan(asked, cursor, to=bound(asked, boundary))
            leads: list[Row] = []
            before, matching = plan.high, 0
            while True:
                rows = self._rows(asked, plan, limit + 1, before=before)
                matching += len(rows)
                leads += self._leading(asked, rows, plan)
                if len(rows) <= limit or len(leads) > limit:
                    break
                before = rows[-1].idx
            more = len(leads) > limit
            unread = more or len(rows) > limit
            leads = leads[:limit]
            count, capped = self._count(asked, plan, count_to, matching, more=unread)
            gaps, unattributed = self._beside(plan)
            pairs = [self._pair(row, plan, boundary) for row in leads]
            merged = self._merged(pairs, boundary, plan.as_of.size)
        show = boundary.shows_content(reason)
        found = [
            self._joined(*pair, row, boundary, show=show)
            for pair, row in zip(pairs, merged, strict=True)
        ]
        return ExchangePage(
            found, self._cursor(plan, leads[-1].idx) if more else "", plan.as_of, count, capped,
            gaps, unattributed, withheld(boundary),
        )  # fmt: skip

    def aggregate(
        self, tree: Tree, boundary: Boundary, want: Wanted, reason: str = ""
    ) -> Aggregate:
        """Sums of closed exchanges, of exactly the window asked for.

        From cubes where they can tell, else from the rows, with the same result.
        """
        sums.allow(boundary, want)
        asked = inject(tree, boundary, reason)
        with self.reader.snapshot():
            return sums.seen(sums.answer(self.reader, asked, want, self._scope), boundary)

    def facets(
        self, tree: Tree, boundary: Boundary, names: Sequence[str] = (), reason: str = "", *,
        top: int = facets.TOP, exact: bool = False,
    ) -> Facets:  # fmt: skip
        """Values with counts of the fields ``names``, or of all facets that may be seen."""
        shown = facets.allowed(names, boundary)
        asked = inject(tree, boundary, reason)
        with self.reader.snapshot():
            scope = self._scope(asked)
            return facets.facets(self.reader, asked, scope, shown, top=top, exact=exact)

    def histogram(
        self, tree: Tree, boundary: Boundary, interval: Interval, reason: str = "", *,
        exact: bool = False,
    ) -> Histogram:  # fmt: skip
        """How many matching records there are in each period."""
        asked = inject(tree, boundary, reason)
        with self.reader.snapshot():
            return facets.histogram(self.reader, asked, self._scope(asked), interval, exact=exact)

    def row(self, name: str | int, boundary: Boundary) -> dict[str, Any]:
        """One record by id or index (``48213`` or ``"#48213"``); ``NotFoundError``."""
        with self.reader.snapshot():
            row = self.locate(name, boundary)
            if row is not None:
                return self._shaped([row], boundary)[0]
        raise NotFoundError(f"There is no record {name} within what you may see.")

    def locate(self, name: str | int, boundary: Boundary) -> Row | None:
        """The row of a record id or index, if the boundary lets it be known."""
        text = str(name).removeprefix("#")
        found = [int(text)] if text.isdecimal() and len(text) < 19 else self.reader.by_id(text)
        for idx in self.within(found, boundary):
            return self.reader.row(idx)
        return None

    def within(self, indexes: Sequence[int], boundary: Boundary) -> list[int]:
        """Those of ``indexes`` that the boundary lets be known, ascending."""
        return linked.within(self.reader, indexes, boundary)

    def rows_of(
        self, asked: Tree, limit: int, low: int = 0, high: int | None = None, *,
        newest: bool = False,
    ) -> list[Row]:  # fmt: skip
        """The first or ``newest`` rows of an injected tree between two indexes, in that order."""
        plan = self._plan(asked, "", low, high, newest=newest)
        return self._rows(asked, plan, limit)

    def count_of(self, asked: Tree, cap: int) -> tuple[int, bool]:
        """How many rows an injected tree has, counted up to ``cap``, and whether there are more."""
        with self.reader.snapshot():
            count, capped = self._count(asked, self._plan(asked, ""), cap, 0, more=True)
        return count or 0, capped

    # -- parts of an answer ----------------------------------------------------------------------

    def _plan(
        self, asked: Tree, cursor: str, low: int = 0, end: int | None = None, *,
        to: Tree | None = None, newest: bool = True,
    ) -> Plan:  # fmt: skip
        bound_to = asked if to is None else to
        as_of, every = self._window(asked, low, end)
        low, high = stretch(asked, *every)
        first = as_of.size
        if cursor:
            before, first = self._went(bound_to, cursor)
            high = min(high, before)
        apart = And(tuple(part for part in conjuncts(asked) if not isinstance(part, Phrase)))
        found = self._candidates(apart, low, high)
        steps = Steps(self.reader, asked, (low, high), found, newest=newest)
        return Plan(low, high, steps, told(as_of), bool(cursor), bound_to, first, every)

    def _window(self, asked: Tree, low: int = 0, end: int | None = None) -> tuple[Built, Span]:
        """As of when the answer is, and the leaves of its window of time; text may be behind."""
        built = self.reader.built()
        as_of = built[0]
        if any(isinstance(leaf, Phrase) for leaf in leaves(asked)):
            as_of = min(built, key=lambda one: one.size)
        since, until = window(asked)
        high = as_of.size if end is None else min(as_of.size, end)
        if since is not None:
            low = max(low, self.reader.position(since))
        if until is not None:
            high = min(high, self.reader.position(until))
        return as_of, (min(low, high), high)  # an index that was asked for may be any number

    def _candidates(self, asked: Tree, low: int, high: int) -> lists.Candidates | None:
        found = lists.candidates(asked, (low, high), self._few)
        if found is not None and found.term is None and found.cost * 4 > high - low:
            return None  # reading all rows of the window in order is cheaper
        return found

    def _scope(self, asked: Tree) -> Scope:
        as_of, every = self._window(asked)
        low, high = stretch(asked, *every)
        return Scope(self._candidates(asked, low, high), low, high, told(as_of))

    def _few(self, found: Sql) -> int | None:
        sql = emit.capped(found)
        ((count,),) = self.reader.query(sql.text, (*sql.values, _COMMON))
        return None if count >= _COMMON else int(count)

    def _rows(self, asked: Tree, plan: Plan, limit: int, *, before: int | None = None) -> list[Row]:
        """The first rows of a plan, of those below the index ``before``."""
        rows: list[Row] = []
        for low, high, part in plan.steps:
            end = high if before is None else min(high, before)
            if end <= low:
                continue
            sql = emit.page(_COLUMNS, asked, part, low, end, newest=plan.steps.newest)
            found = self.reader.query(sql.text, (*sql.values, limit - len(rows)))
            rows += [row_of(values) for values in found]
            if len(rows) >= limit:
                break
        return rows

    def _count(
        self, asked: Tree, plan: Plan, cap: int, read: int, *, more: bool
    ) -> tuple[int | None, bool]:
        """How many rows there are, counted up to ``cap``: ``read``, unless there are ``more``."""
        if plan.going_on:
            return None, False
        if not more:
            return min(read, cap), read > cap
        count = 0
        for low, high, part in plan.steps:
            sql = emit.count(asked, part, low, high)
            ((found,),) = self.reader.query(sql.text, (*sql.values, cap + 1 - count))
            count += found
            if count > cap:
                break
        return min(count, cap), count > cap

    def _beside(self, plan: Plan) -> tuple[int, int]:
        """Gaps and records of unknown tenant in the window of time, whoever asks: figures only."""
        found = []
        for dimension, value in (("type", "ledger.gap"), ("unattributed", "")):
            ((count,),) = self.reader.query(*emit.mentions(dimension, value, *plan.every))
            found.append(int(count))
        return found[0], found[1]

    def _shaped(
        self, rows: Sequence[Row], boundary: Boundary, size: int | None = None
    ) -> list[dict[str, Any]]:
        """The objects of rows as of ``size`` leaves: text may be behind rows."""
        hidden = linked.hidden(self.reader, rows, boundary)
        people = "person" in boundary.sections
        found = []
        for row in rows:
            now = row
            if size is not None and row.answered is not None and row.answered >= size:
                now = msgspec.structs.replace(row, answered=None)
            person = self.reader.person(row.idx) if people else None
            found.append(shaped(now, person, boundary, hidden))
        return found

    def _leading(self, asked: Tree, rows: Sequence[Row], plan: Plan) -> list[Row]:
        """Without the requests whose response matches too: those stand at their response."""
        answers = [row.answered for row in rows if row.answered is not None]
        known = [idx for idx in answers if idx < plan.first]  # later ones are on no page before
        also = {idx for (idx,) in self.reader.query(*emit.which(asked, known))}
        return [row for row in rows if row.answered not in also]

    def _pair(self, row: Row, plan: Plan, boundary: Boundary) -> tuple[Row, Row | None]:
        """The request or what stands alone, and its response."""
        other = row.re if row.re is not None else row.answered
        half = None
        if other is not None and other < plan.as_of.size and self.within([other], boundary):
            half = self.reader.row(other)
        request, response = (half, row) if row.re is not None else (row, half)
        return (row, None) if request is None else (request, response)

    def _merged(
        self, pairs: Sequence[tuple[Row, Row | None]], boundary: Boundary, size: int
    ) -> list[dict[str, Any]]:
        """The object of both rows of each pair."""
        found = self._shaped([request for request, _ in pairs], boundary, size)
        answers = [response for _, response in pairs if response is not None]
        over = iter(self._shaped(answers, boundary))
        for merged, (_, response) in zip(found, pairs, strict=True):
            if response is not None:
                of_both = {k: v for k, v in next(over).items() if v not in (None, [])}
                gone = {*merged["erased"], *of_both.get("erased", ())}
                merged |= {k: v for k, v in of_both.items() if k not in _OF_REQUEST}
                merged["erased"] = [name for name in SECTIONS if name in gone]
                merged["response_id"] = response.id
        return found

    def _joined(
        self,
        request: Row,
        response: Row | None,
        merged: dict[str, Any],
        boundary: Boundary,
        *,
        show: bool,
    ) -> Exchange:
        """The exchange with what the vault has of it: outside a snapshot, as that takes time."""
        seen = [
            look(self.contents, one, show=show) for one in (request, response) if one is not None
        ]
        said = [snippet(last(seen[0].messages)), *(snippet(one.messages) for one in seen[1:])]
        if request.type == "exchange.response":  # the other half is not here to be asked
            said = [None, snippet(seen[0].messages)]
        return Exchange(
            merged,
            said[0],
            said[1] if len(said) > 1 else None,
            worst([one.content for one in seen]),
            request.type == "exchange.request" and request.answered is None,
            None
            if request.type.startswith("exchange.")
            else wording.sentence(request, wording.visible(boundary, seen[0].sections), boundary),
        )

    def _cursor(self, plan: Plan, before: int) -> str:
        payload = before.to_bytes(8, "big") + plan.first.to_bytes(8, "big")
        return cursors.sealed(payload, self._key(plan.bound_to))

    def _went(self, asked: Tree, cursor: str) -> tuple[int, int]:
        """Below which index to go on, and how large the ledger was for the first page."""
        payload = cursors.opened(cursor, self._key(asked))
        return int.from_bytes(payload[:8], "big"), int.from_bytes(payload[8:], "big")

    def _key(self, asked: Tree) -> bytes:
        """What cursors of this question are sealed with."""
        question = hashlib.sha256(msgspec.json.encode(asked)).digest()
        return hmac.digest(self.reader.secret, b"page" + question, "sha256")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError(f"A page has 1 to {MAX_LIMIT} entries, not {limit}.")
