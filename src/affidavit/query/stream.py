"""The rows of a narrative, a page at a time: its records, and what fell in between.

Rules: in ledger order, each row once, whatever the pages. Beside the records of a session, trace,
actor or model stand, from its first to its last record (or in the whole window that was asked
for): gaps; changes to what it used (its models and their aliases, sources, tools), and those of
policies, prompts, deployments and the configuration that name no model; refused calls of its
actors. After it, as long as the ledger goes: reveals and exports that showed records of it; an
export of very many scattered leaves has runs on record that may hold some that were not in it, so
it may stand there for one of these. All but gaps, which belong to no tenant, are looked up within
the boundary. Half of the time of a page is for what stands beside; a row for which that did not
suffice, or whose question has too many conditions to be put again, is there and says so. A step
looks at a bounded number of rows, so a page may be short and still have a next one. Not here: what
a row says.
"""

from typing import NamedTuple

from affidavit.errors import UsageError
from affidavit.index.reader import LIMIT, TIME
from affidavit.index.schema import Row
from affidavit.query.asked_then import condition, exported, lies_in
from affidavit.query.boundary import Boundary, inject
from affidavit.query.content import look
from affidavit.query.scope import Scope, holds, rows
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Match, Or, Tree, window

STEP = 500
"""So many rows are looked at for one step of a page …"""
STEPS = 8
"""… of which a page has so many at most."""
_GAP = Match("type", "ledger.gap")
_CHANGE = Match("type", "change.", prefix=True)
_GENERAL = frozenset(
    {"change.policy", "change.prompt", "change.deployment", "change.config", "change.unreported"}
)
"""Changes that touch all that goes on where they name no model that depends on them."""
_REVEAL = Match("type", "access.reveal")
_EXPORT = Match("type", "access.export")
_NAMED = 100
"""Reveals are looked up by the records they name where the scope has at most so many, else read."""
_SHOWN = 8
_LOOKS = 64
"""So often the scope is looked at for a record that an export showed."""


class Found(NamedTuple):
    """One row. ``beside``: it is no record of the scope.

    ``of``: some of the scope's records that a reveal or an export showed (an export of very many
    may have shown their neighbours alone); ``None`` where it cannot be told whether it showed any,
    or whether the row belongs there. ``more``: it may have shown more of them than these.
    """

    row: Row
    beside: bool = False
    of: tuple[int, ...] | None = ()
    more: bool = False


class Page(NamedTuple):
    """Rows in ledger order, and the index to go on from; ``None`` at the end."""

    found: list[Found]
    next: int | None


class Stream:
    """The rows of one scope through ledger size ``size``."""

    def __init__(self, searcher: Searcher, scope: Scope, boundary: Boundary, size: int) -> None:
        self._searcher = searcher
        self._scope = scope
        self._boundary = boundary
        self._size = size
        self._known: dict[Tree, bool] = {}
        self._first, self._last = self._span()
        self._reveals = self._naming()

    def page(self, at: int, limit: int) -> Page:
        """At most ``limit`` rows from index ``at`` on."""
        found: list[Found] = []
        kept = self._searcher.reader.left / 2
        for _ in range(STEPS):
            want = min(limit - len(found), STEP)
            with self._searcher.reader.snapshot():
                own = rows(self._searcher, self._scope, want + 1, at, self._size)
                end = own[want].idx if len(own) > want else self._size
                beside, end = self._beside(at, end)
            merged = {row.idx: row for row in beside}
            ours = {row.idx for row in own}
            merged |= {row.idx: row for row in own if row.idx < end}
            at = end
            for index in sorted(merged):
                row = merged[index]
                told = Found(row) if index in ours else self._in_time(row, kept)
                if told is None:
                    continue
                if len(found) == limit:
                    return Page(found, index)
                found.append(told)
            if at >= self._size:
                return Page(found, None)
            if len(found) == limit:
                break
        return Page(found, at)

    def before(self, at: int, kind: str, limit: int) -> list[Row]:
        """The last ``limit`` rows of a type in the scope before index ``at``, oldest first."""
        if self._scope.indexes or not at:
            return []
        asked = And((self._scope.tree, Match("type", kind)))
        with self._searcher.reader.snapshot():
            return self._searcher.rows_of(asked, limit, high=at, newest=True)[::-1]

    def _span(self) -> tuple[int, int]:
        """From where (inclusive) to where (exclusive) something falls in between."""
        if self._scope.indexes:
            begin = self._scope.indexes[0]
            return begin, begin
        searcher, tree = self._searcher, self._scope.tree
        with searcher.reader.snapshot():
            since, until = window(self._scope.window)
            if since is None:
                first = next((row.idx for row in searcher.rows_of(tree, 1)), 0)
            else:
                first = searcher.reader.position(since)
            if until is None:
                newest = searcher.rows_of(tree, 1, high=self._size, newest=True)
                return first, newest[0].idx + 1 if newest else first
            self._size = min(self._size, searcher.reader.position(until))
            return first, self._size

    def _naming(self) -> Tree:
        """The reveals that may have shown records of the scope."""
        with self._searcher.reader.snapshot():
            own = rows(self._searcher, self._scope, _NAMED + 1, 0, self._size)
        if len(own) > _NAMED:
            return _REVEAL
        names = {name for row in own for name in (row.id, row.parent) if name}
        named = tuple(Match("target", f"record:{name}") for name in sorted(names))
        return And((_REVEAL, Or(named)))

    def _beside(self, at: int, end: int) -> tuple[list[Row], int]:
        """Rows that may fall in between from ``at`` on, and to where they are all there."""
        sections = self._boundary.sections
        reads: tuple[Tree, ...] = ()
        within: tuple[Tree, ...] = ()
        if "what" in sections:
            reads = (self._reveals, _EXPORT)
            within = (_CHANGE,)
        if "who" in sections:
            within += (Match("type", "access.denied"),)
        begin, turn = max(at, self._first), max(at, self._first, min(self._last, end))
        between: Tree = Or((_GAP, inject(Or(within + reads), self._boundary)))
        later: Tree = inject(Or(reads), self._boundary)
        found: list[Row] = []
        for asked, low, high in ((between, begin, turn), (later, turn, end)):
            if low < high:
                found += self._searcher.rows_of(asked, STEP - len(found), low, high)
            if len(found) == STEP:
                return found, found[-1].idx + 1
        return found, end

    def _in_time(self, row: Row, kept: float) -> Found | None:
        """The row if it belongs there, or if finding out leaves no more than ``kept`` seconds.

        Or if what an export asked then has more conditions than can be asked at once.
        """
        reader = self._searcher.reader
        try:
            with reader.together(reader.left - kept):
                return self._belongs(row)
        except UsageError as error:
            if error.detail.get("reason") not in (TIME, LIMIT):
                raise
            return Found(row, beside=True, of=None)

    def _belongs(self, row: Row) -> Found | None:
        """The row if it belongs beside the scope's own."""
        if row.type == "ledger.gap":
            return Found(row, beside=True)
        if row.type in (_REVEAL.value, _EXPORT.value):
            return self._read(row)
        if row.type == "access.denied":
            return self._if(row, Match("actor", row.actor) if row.actor else None)
        touched: list[Tree] = [Match("model", model) for model in row.models]
        kind, _, name = (row.target or "").partition(":")
        if kind in ("source", "tool") and name:
            touched.append(Match(kind, name))
        if kind == "query":  # somebody's saved query: it changes nothing but what they ask with
            return None
        if not touched:
            return Found(row, beside=True) if row.type in _GENERAL else None
        return self._if(row, touched[0] if len(touched) == 1 else Or(tuple(touched)))

    def _if(self, row: Row, condition: Tree | None) -> Found | None:
        if condition is None:
            return None
        if condition not in self._known:
            if len(self._known) > STEP:
                self._known.clear()
            self._known[condition] = holds(self._searcher, self._scope, condition, self._size)
        return Found(row, beside=True) if self._known[condition] else None

    def _read(self, row: Row) -> Found | None:
        """A reveal or an export that showed records of the scope, or that may have."""
        what = look(self._searcher.contents, row, show=False).sections.get("what")
        if not isinstance(what, dict):
            return None
        if row.type == _REVEAL.value:
            listed = what.get("records")
            shown = [
                item["index"]
                for item in (listed if isinstance(listed, list) else [])
                if isinstance(item, dict) and isinstance(item.get("index"), int)
            ]
            of = self._own(shown)
            return self._showing(row, of) if of else None
        if what.get("count") is True:  # it proved a number and showed no record
            return None
        runs = exported(what)
        more = False
        if runs is None:  # of before its leaves were on record
            asked = condition(what, row.idx, self._boundary)
            given = None if asked is None else self._own_where(asked)
        else:
            given, more = self._own_in(runs)
        if given == ():
            return None
        return self._showing(row, None if what.get("sample") else given, more=more)

    def _showing(self, row: Row, of: tuple[int, ...] | None, *, more: bool = False) -> Found:
        if of is None:
            return Found(row, beside=True, of=None)
        return Found(row, beside=True, of=of[:_SHOWN], more=more or len(of) > _SHOWN)

    def _own(self, indexes: list[int]) -> tuple[int, ...]:
        """Those of ``indexes`` that are records of the scope, or its own exchange's halves."""
        if self._scope.indexes:
            return tuple(index for index in self._scope.indexes if index in indexes)
        return tuple(
            index
            for index in dict.fromkeys(indexes[:STEP])
            if index < self._size and rows(self._searcher, self._scope, 1, index, index + 1)
        )

    def _own_in(self, runs: list[tuple[int, int]]) -> tuple[tuple[int, ...] | None, bool]:
        """Records of the scope in ascending runs of leaves, the first ones; whether more may be.

        ``None`` if it cannot be told with so many looks whether there is any.
        """
        if self._scope.indexes:
            return tuple(index for index in self._scope.indexes if lies_in(runs, index)), False
        at = 0
        for _ in range(_LOOKS):
            own = rows(self._searcher, self._scope, 1, at, self._size)
            if not own:
                return (), False
            if lies_in(runs, own[0].idx):
                near = rows(self._searcher, self._scope, _SHOWN + 1, own[0].idx, self._size)
                more = len(near) > _SHOWN and near[-1].idx <= runs[-1][1]
                return tuple(row.idx for row in near if lies_in(runs, row.idx)), more
            at = next((first for first, _ in runs if first > own[0].idx), self._size)
            if at >= self._size:
                return (), False
        return None, False

    def _own_where(self, condition: Tree) -> tuple[int, ...]:
        if not self._scope.indexes:
            asked = And((self._scope.tree, condition))
            return tuple(
                row.idx for row in self._searcher.rows_of(asked, _SHOWN + 1, high=self._size)
            )
        boundary = self._boundary._replace(rows=And((self._boundary.rows, condition)))
        return tuple(self._searcher.within(self._scope.indexes, boundary))
