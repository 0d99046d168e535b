"""What the records that answer a question have in common: values with counts, and when they were.

Rules: counted are the records for which an injected tree holds, so nothing beyond the boundary
counts, and a field is counted only where its section may be seen. A count is how many of them an
expression with ``field:value`` beside the question finds. The newest ``CAP`` are counted, or as
many as have ``MAX_VALUES`` different values, and the answer says if there are more; ``exact``
counts all, as far as the time for a question goes, or refuses. They are looked at in steps and a
few at a time, so memory does not grow with the ledger; where posting lists decide, periods are
counted in these (``periods``). A step is one statement, in which the question stands once, since
SQLite takes only so many in one. Not here: sums of exchanges (``sums``), and that the question is
recorded.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from affidavit.errors import RefusedError, UsageError
from affidavit.index.reader import Reader
from affidavit.index.sqlite import LISTS
from affidavit.query import emit, lists, periods
from affidavit.query.answers import Bucket, Facet, Facets, Histogram, Value
from affidavit.query.boundary import Boundary
from affidavit.query.conditions import Sql
from affidavit.query.cubes import Interval, first_instant, period
from affidavit.query.fields import ALIASES, FIELDS
from affidavit.query.sums import Scope
from affidavit.query.tree import Tree, window

FACETS = ("model", "team", "actor", "credential", "status", "type", "provider", "tool", "source",
          "decision", "session", "tenant")  # fmt: skip
CAP = 10_000
HISTOGRAM_CAP = 50_000
TOP = 10
MAX_VALUES = 250_000
"""Different values of all counted fields together: some 50 MB."""
MAX_BUCKETS = 10_000
_FIRST_STEP, _LARGEST_STEP = 1 << 16, 1 << 18
_EVERYTHING = 1 << 62


def allowed(names: Sequence[str], boundary: Boundary) -> tuple[str, ...]:
    """The fields to count, without a name all that the boundary shows.

    ``UsageError`` for a name that is no facet, ``RefusedError`` for one outside the boundary.
    """
    found = []
    for name in [ALIASES.get(name, name) for name in names] or FACETS:
        if name not in FACETS:
            raise UsageError(f"{name!r} is not counted.", hint=f"Of {', '.join(FACETS)}.")
        section = FIELDS[name].section
        if section == "leaf" or section in boundary.sections:
            found.append(name)
        elif names:
            raise RefusedError(f"{name} is in section {section}, which is outside your boundary.")
    return tuple(dict.fromkeys(found))


def facets(
    reader: Reader, asked: Tree, scope: Scope, names: Sequence[str], *, top: int = TOP,
    exact: bool = False,
) -> Facets:  # fmt: skip
    """The ``top`` values of each field of ``names``, inside a snapshot of ``reader``.

    ``UsageError`` for more than ``MAX_VALUES`` different ones where all are to be counted.
    """
    columns = {name: (*FIELDS[name].columns[:1], *FIELDS[name].lists)[0] for name in names}
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    newest = _Newest(reader, asked, scope, None if exact else CAP)
    listed = ", ".join(["r.idx", *(f'r."{column}"' for column in columns.values())])
    for sql in newest.steps(listed):
        for rows in reader.batches(*sql):
            places, *values = zip(*rows, strict=True)
            newest.took(len(rows), places[-1])
            for (name, column), found in zip(columns.items(), values, strict=True):
                _count(counts[name], found, many=column in LISTS)
            if sum(map(len, counts.values())) <= MAX_VALUES:
                continue
            if exact:
                raise UsageError(
                    f"There are more than {MAX_VALUES} different values.",
                    hint="Ask for a shorter time or fewer fields, or of the newest records only.",
                )
            newest.enough()
            break
    return Facets(
        {name: _facet(counts[name], top) for name in names}, newest.records, newest.capped(),
        scope.as_of,
    )  # fmt: skip


def histogram(
    reader: Reader, asked: Tree, scope: Scope, interval: Interval, *, exact: bool = False
) -> Histogram:
    """How many records there are in each period that has one, inside a snapshot.

    All of them where posting lists decide and the window is short enough for that, else the newest
    ``HISTOGRAM_CAP``. ``UsageError`` for more than ``MAX_BUCKETS`` periods.
    """
    since, until = window(asked)
    first = None if scope.found is None else reader.row_from(scope.low)
    if (
        scope.found is not None
        and first is not None
        and lists.decided(asked, scope.found)
        and periods.few(first.time, scope.as_of.time, interval)
    ):
        of_lists = periods.counted(reader, scope.found, scope.low, scope.high, interval)
        shown = [Bucket(begun, count) for begun, count in of_lists]
        all_of_them = sum(bucket.count for bucket in shown)
        return Histogram(shown, interval, since, until, all_of_them, False, None, scope.as_of)
    newest = _Newest(reader, asked, scope, None if exact else HISTOGRAM_CAP)
    counts: Counter[str] = Counter()
    for hits in newest.steps("r.idx AS place, r.time AS time"):
        begun = period("time", interval)
        text = f"SELECT {begun}, count(*), min(place) FROM ({hits.text}) GROUP BY 1"  # noqa: S608 - names of ours
        for value, count, place in reader.query(text, hits.values):
            counts[value] += count
            newest.took(count, place)
    buckets = [Bucket(first_instant(value, interval), counts[value]) for value in sorted(counts)]
    if len(buckets) > MAX_BUCKETS:
        raise UsageError(
            f"There are more than {MAX_BUCKETS} periods.", hint="Ask for longer periods."
        )
    capped = newest.capped()
    oldest = reader.row(newest.oldest) if capped else None
    return Histogram(
        buckets,
        interval,
        since,
        until,
        newest.records,
        capped,
        oldest.time if oldest else None, scope.as_of,
    )  # fmt: skip


class _Newest:
    """The newest ``cap`` records (all of them for ``None``) of a question, the newest step first.

    ``records`` were looked at so far, down to index ``oldest``.
    """

    def __init__(self, reader: Reader, asked: Tree, scope: Scope, cap: int | None) -> None:
        self._reader = reader
        self._asked = asked
        self._scope = scope
        self._cap = _EVERYTHING if cap is None else cap
        self.records, self.oldest = 0, scope.high

    def steps(self, columns: str) -> Iterator[Sql]:
        """A statement for ``columns`` of those of each step, as far as any are wanted still."""
        for low, high in _steps(self._scope):
            hits = emit.page(columns, self._asked, self._scope.found, low, high, newest=True)
            yield Sql(hits.text, (*hits.values, self._cap - self.records))
            if self.records == self._cap:
                return

    def took(self, count: int, oldest: int) -> None:
        """Say that so many were looked at, down to this index."""
        self.records, self.oldest = self.records + count, min(self.oldest, oldest)

    def enough(self) -> None:
        """Say that no more are wanted."""
        self._cap = self.records

    def capped(self) -> bool:
        """Whether there are more than were looked at."""
        if self.records < self._cap:
            return False
        scope = self._scope
        beyond = emit.page("1", self._asked, scope.found, scope.low, self.oldest, newest=True)
        return bool(self._reader.query(beyond.text, (*beyond.values, 1)))


def _count(counts: Counter[str], found: Sequence[str | None], *, many: bool) -> None:
    """Count one column of some records; ``many``: each is a list of values, as JSON."""
    for value, times in Counter(found).items():
        if value is not None:
            for one in json.loads(value) if many else (value,):
                counts[one] += times


def _steps(scope: Scope) -> Iterator[tuple[int, int]]:
    """Parts of the ledger, the newest first; one where candidates were collected already."""
    collected = scope.found is not None and scope.found.term is None
    step = scope.high - scope.low if collected else _FIRST_STEP
    high = scope.high
    while scope.low < high:
        yield max(scope.low, high - step), high
        high -= step
        step = step if collected else _LARGEST_STEP


def _facet(counts: Counter[str], top: int) -> Facet:
    first = heapq.nsmallest(top, counts.items(), key=lambda item: (-item[1], item[0]))
    return Facet([Value(value, count) for value, count in first], len(counts))
