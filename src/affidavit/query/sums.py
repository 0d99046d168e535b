"""Sums of a question: requests, errors, denials, tokens, cost and latency, grouped and in time.

Rules: only what the boundary lets be known is summed, and only where the sections that the figures
and the groups lie in are visible. The window is the asked one, to the microsecond. Cubes and rows
give the same figures; which were used is said. A question that posting lists narrow down to a few
rows (a person, a session) is answered from these. A cost is either as providers reported it, or
reckoned from configured prices and then said to be; the two are never added. Not here: SQL
(``cubes``), and that the question is recorded (whoever asks does that first).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from affidavit.errors import RefusedError, UsageError
from affidavit.index import latency
from affidavit.index.reader import Reader
from affidavit.index.rollup import COST_UNIT, Cube, Sums
from affidavit.prices import Price, price_of
from affidavit.query import cubes, emit, lists
from affidavit.query.answers import Aggregate, AsOf
from affidavit.query.boundary import Boundary
from affidavit.query.cubes import Interval, Part
from affidavit.query.fields import ALIASES, FIELDS
from affidavit.query.tree import All, And, Moment, Tree, window

GROUPS = ("tenant", "team", "actor", "credential", "provider", "model", "status")
"""What sums may be grouped by, beside time."""
INTERVALS: tuple[Interval, ...] = ("hour", "day", "week", "month")
MAX_GROUPS = 10_000
FEW = 4_000
"""So many rows, found by a posting list, are summed faster than any cube is read."""
_FIRST = "1970-01-01T00:00:00.000000Z"


class Wanted(NamedTuple):
    """What is asked for beside the expression.

    ``by``: of ``GROUPS``. ``latency``: percentiles, too. ``prices``: also reckon the cost of what
    has none reported.
    """

    by: tuple[str, ...] = ()
    interval: Interval = ""
    latency: bool = False
    prices: Mapping[str, Price] | None = None


class Scope(NamedTuple):
    """Where the rows of a tree are: among candidates, if any, in [low, high); as of when."""

    found: lists.Candidates | None
    low: int
    high: int
    as_of: AsOf


class _Group:
    """Figures of one group while they are added up."""

    def __init__(self) -> None:
        self.sums = [0] * len(Sums._fields)
        self.latency = 0
        self.reckoned: dict[str, float] = {}
        self.reckoned_of = 0

    def add(self, values: Sequence[Any]) -> None:
        """Add the values of one result row, a histogram last if there is one."""
        for place, value in enumerate(values[: len(self.sums)]):
            self.sums[place] += value
        if len(values) > len(self.sums):
            self.latency += latency.decode(values[-1])

    def reckon(self, sums: Sums, price: Price) -> None:
        """Add what the exchanges without a reported cost come to at the price of their model."""
        if sums.metered:
            spent = price.of(
                sums.tokens_in - sums.costed_in, sums.tokens_cached - sums.costed_cached,
                sums.tokens_out - sums.costed_out,
            )  # fmt: skip
            self.reckoned[price.currency] = self.reckoned.get(price.currency, 0.0) + spent
            self.reckoned_of += sums.metered


def wanted(
    by: Sequence[str], interval: str = "", *, latency: bool = False,
    prices: Mapping[str, Price] | None = None,
) -> Wanted:  # fmt: skip
    """``by`` may name groups and one interval, in any order; ``UsageError`` for anything else."""
    names = [ALIASES.get(name, name) for name in by]
    times = {name for name in (*names, interval) if name in INTERVALS}
    unknown = [name for name in names if name not in (*GROUPS, *INTERVALS)]
    if interval and interval not in INTERVALS:
        unknown.append(interval)
    if unknown or len(times) > 1:
        what = f"by {unknown[0]!r}" if unknown else "by more than one length of time"
        raise UsageError(
            f"Sums are not kept {what}.",
            hint=f"By {', '.join(GROUPS)}; and one of {', '.join(INTERVALS)}.",
        )
    groups = tuple(name for name in GROUPS if name in names)
    return Wanted(groups, next((one for one in INTERVALS if one in times), ""), latency, prices)


def allow(boundary: Boundary, want: Wanted) -> None:
    """``RefusedError`` if a figure or a group lies in a section outside the boundary."""
    for name in ("outcome", "control", *(FIELDS[name].section for name in want.by)):
        if name not in boundary.sections:
            raise RefusedError(f"Sums look at section {name}, which is outside your boundary.")


def seen(found: Aggregate, boundary: Boundary) -> Aggregate:
    """The sums as a reader may see them: which cube was cheaper depends on rows beyond, too."""
    return found if boundary.rows == All() else msgspec.structs.replace(found, parts=())


def answer(reader: Reader, asked: Tree, want: Wanted, scope: Callable[[Tree], Scope]) -> Aggregate:
    """The sums of an injected tree, inside a snapshot of ``reader``.

    ``scope`` says where the rows of a narrower tree are. ``UsageError`` for more than
    ``MAX_GROUPS`` groups.
    """
    keys = want.by
    if want.prices is not None and "model" not in keys:
        keys = (*keys, "model")
    since, until = window(asked)
    rest = cubes.condition(asked)
    fit = [] if rest is None else cubes.eligible(rest, keys, want.interval)
    whole = scope(asked)
    if whole.found is not None and whole.found.cost <= FEW:
        fit = []
    parts = _parts(since, until, whole.as_of, fit)
    groups: dict[tuple[str, ...], _Group] = {}
    lines: set[tuple[str, ...]] = set()
    most = MAX_GROUPS if keys == want.by else cubes.MOST
    for part in parts:
        if part.cube is not None and rest is not None:
            sql = cubes.of_cells(
                part, part.cube, rest, keys, want.interval, latency=want.latency, most=most
            )
        else:
            bounded = And((asked, *_moments(part)))
            where = scope(bounded)
            sql = cubes.of_rows(
                emit.rows(bounded, where.found, where.low, where.high), keys, want.interval,
                latency=want.latency, most=most,
            )  # fmt: skip
        for rows in reader.batches(*sql):  # a histogram has up to 1.6 kB
            for row in rows:
                key = row[: len(keys) + 1]
                groups.setdefault(key, _Group()).add(row[len(key) :])
                lines.add(key[: len(want.by) + 1])
            if len(lines) > MAX_GROUPS or len(groups) > cubes.MOST:
                raise _too_many()
    return Aggregate(
        _rows(groups, keys, want), since, until,
        tuple((part.cube.name if part.cube else "rows", part.since, part.until) for part in parts),
        whole.as_of,
    )  # fmt: skip


def _parts(since: str | None, until: str | None, as_of: AsOf, fit: Sequence[Cube]) -> list[Part]:
    """The window, as far as the ledger goes, in parts."""
    if since is not None and since > as_of.time:
        return []
    if since is not None and since < _FIRST:
        since = None
    if until is not None and until > as_of.time:
        until = None
    if until is not None and until < _FIRST:
        return []
    return cubes.cover(since, until, fit)


def _moments(part: Part) -> list[Tree]:
    found: list[Tree] = []
    if part.since is not None:
        found.append(Moment("time", ">=", part.since))
    if part.until is not None:
        found.append(Moment("time", "<", part.until))
    return found


def _rows(
    groups: Mapping[tuple[str, ...], _Group], keys: Sequence[str], want: Wanted
) -> list[dict[str, Any]]:
    """One object a group, in order of time and keys; ``None`` is the group of the unknown."""
    shown: dict[tuple[str, ...], _Group] = {}
    lines = 1 + len(want.by)
    for key in sorted(groups):
        group = groups[key]
        total = shown.setdefault(key[:lines], _Group())
        total.add(group.sums)
        total.latency += group.latency
        if want.prices is not None:
            price = price_of(key[1 + keys.index("model")], want.prices)
            if price is not None:
                total.reckon(Sums(*group.sums), price)
    return [_line(key, group, want) for key, group in shown.items()]


def _too_many() -> UsageError:
    return UsageError(
        f"The answer has more than {MAX_GROUPS} lines.",
        hint="Ask for a shorter time, longer periods or fewer groups.",
    )


def _line(key: Sequence[str], group: _Group, want: Wanted) -> dict[str, Any]:
    line: dict[str, Any] = {}
    if want.interval:
        line["time"] = cubes.first_instant(key[0], want.interval)
    line |= {name: value or None for name, value in zip(want.by, key[1:], strict=True)}
    sums = Sums(*group.sums)
    line |= dict(zip(Sums._fields[:7], sums, strict=False))
    line |= {"cost": sums.cost / COST_UNIT if sums.costed else None, "cost_of": sums.costed}
    if want.prices is not None:
        line |= {
            "reckoned": group.reckoned,
            "reckoned_of": group.reckoned_of,
            "no_cost": sums.requests - sums.costed - group.reckoned_of,
        }
    if want.latency:
        line |= {name: latency.percentiles(group.latency, name) for name in latency.MEASURES}
    return line
