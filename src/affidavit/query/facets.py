"""What the records that answer a question have in common: values with counts, and when they were.

Rules: counted are the records for which an injected tree holds, so nothing beyond the boundary
counts, and a field is counted only where its section may be seen. A count is how many of them an
expression with ``field:value`` beside the question finds. The newest ``CAP`` are counted, and the
answer says if there are more; ``exact`` counts all, as far as the time for a question goes. They
are counted in steps, so memory does not grow with the ledger; where posting lists decide, periods
are counted in these (``periods``). Not here: sums of exchanges (``sums``), and that the question is
recorded.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from affidavit.errors import RefusedError, UsageError
from affidavit.index.reader import Reader
from affidavit.index.sqlite import LISTS
from affidavit.query import emit, lists, periods
from affidavit.query.answers import Bucket, Facet, Facets, Histogram, Value
from affidavit.query.boundary import Boundary
from affidavit.query.cubes import Interval, first_instant, period
from affidavit.query.fields import ALIASES, FIELDS
from affidavit.query.sums import Scope
from affidavit.query.tree import Tree, window

FACETS = ("model", "team", "actor", "credential", "status", "type", "provider", "tool", "source",
          "decision", "session", "tenant")  # fmt: skip
CAP = 10_000
HISTOGRAM_CAP = 50_000
TOP = 10
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
    """The ``top`` values of each field of ``names``, inside a snapshot of ``reader``."""
    columns = {name: (*FIELDS[name].columns[:1], *FIELDS[name].lists)[0] for name in names}
    counted = [
        f"SELECT '{name}', value, count(*) FROM hit, json_each(hit.{column}) GROUP BY 2"  # noqa: S608 - names of ours
        if column in LISTS
        else f"SELECT '{name}', {column}, count(*) FROM hit WHERE {column} IS NOT NULL GROUP BY 2"  # noqa: S608 - columns of FIELDS, chosen by name
        for name, column in columns.items()
    ]
    found = _look(reader, asked, scope, sorted(columns.values()), counted, None if exact else CAP)
    return Facets(
        {name: _facet(found.counts[name], top) for name in names}, found.records, found.capped,
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
    counted = [f"SELECT 'time', {period('time', interval)}, count(*) FROM hit GROUP BY 2"]  # noqa: S608 - names of ours
    found = _look(reader, asked, scope, ["time"], counted, None if exact else HISTOGRAM_CAP)
    buckets = [
        Bucket(first_instant(value, interval), count)
        for value, count in sorted(found.counts["time"].items())
    ]
    if len(buckets) > MAX_BUCKETS:
        raise UsageError(
            f"There are more than {MAX_BUCKETS} periods.", hint="Ask for longer periods."
        )
    oldest = reader.row(found.oldest) if found.capped else None
    return Histogram(
        buckets,
        interval,
        since,
        until,
        found.records,
        found.capped,
        oldest.time if oldest else None, scope.as_of,
    )  # fmt: skip


class _Found(NamedTuple):
    """Counts of values by field, of how many records, down to the index of the oldest of them."""

    counts: dict[str, Counter[str]]
    records: int
    capped: bool
    oldest: int


def _look(
    reader: Reader, asked: Tree, scope: Scope, columns: Sequence[str], counted: Sequence[str],
    cap: int | None,
) -> _Found:  # fmt: skip
    """Count the newest ``cap`` records (all of them for ``None``), the newest step first."""
    listed = ", ".join(["r.idx AS place", *(f'r."{name}" AS "{name}"' for name in columns)])
    parts = " UNION ALL ".join(["SELECT '', min(place), count(*) FROM hit", *counted])
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    records, oldest = 0, scope.high
    for low, high in _steps(scope):
        hits = emit.page(listed, asked, scope.found, low, high, newest=True)
        left = _EVERYTHING if cap is None else cap - records
        rows = reader.query(f"WITH hit AS MATERIALIZED ({hits.text}) {parts}", (*hits.values, left))
        for name, value, count in rows:
            if name:
                counts[name][value] += count
            elif count:
                records, oldest = records + count, value
        if records == cap:
            break
    beyond = emit.page("1", asked, scope.found, scope.low, oldest, newest=True)
    capped = records == cap and bool(reader.query(beyond.text, (*beyond.values, 1)))
    return _Found(counts, records, capped, oldest)


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
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Facet([Value(value, count) for value, count in ordered[:top]], len(counts))
