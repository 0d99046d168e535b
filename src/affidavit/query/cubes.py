"""Which cube answers a question, and the SQL that asks it; the same sums from rows.

Rules: a window is covered exactly: periods that lie wholly inside from the smallest cube that has
every field of question, boundary and grouping, what is left at both ends from cubes of shorter
periods, and the ragged rest from the rows, so nothing is widened. Whether a cell counts is decided
by the same conditions as for its rows, on the same columns; a condition that cubes do not keep
sends the whole question to the rows. Not here: adding up and showing (``sums``).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from affidavit.clock import add_seconds
from affidavit.index.rollup import COST_UNIT, CUBES, Cube, Grain, Sums, week
from affidavit.query import conditions
from affidavit.query.conditions import Sql
from affidavit.query.tree import All, And, Match, Moment, Not, Nothing, Or, Tree, conjuncts, leaves

Interval = Literal["", "hour", "day", "week", "month"]
"""How long the periods of an answer are; ``""``: one for the whole window."""

_COLUMNS = {
    "type": "type", "tenant": "tenant", "team": "team", "actor": "actor", "status": "status",
    "credential": "credential", "provider": "provider", "model": "models",
}  # fmt: skip
"""The key that a field of an expression is compared with: of what is summed, ``actors`` and
``credentials`` of a row are its ``actor`` and ``credential``."""

_FINER: dict[Interval, tuple[Grain, ...]] = {
    "": ("hour", "day", "week"), "hour": ("hour",), "day": ("hour", "day"),
    "week": ("hour", "day", "week"), "month": ("hour", "day"),
}  # fmt: skip
_LAST = "9999-12-31T23:59:59.999999Z"
MOST = 100_000
"""Groups that one part of a window may give; one more says that there are too many."""
_SECONDS: dict[Grain, int] = {"hour": 3_600, "day": 86_400, "week": 604_800}
_HOUR, _MIDNIGHT = ":00:00.000000Z", "T00:00:00.000000Z"

_COUNTED = "(r.type = 'exchange.response' AND r.re IS NOT NULL OR r.type = 'access.denied')"
"""Which rows are summed, as in ``rollup.contribution``; so are the figures below."""
_EXCHANGE = "r.type = 'exchange.response'"
_OF_EXCHANGES = {
    "requests": "1",
    "errors": "r.status IS NOT 'complete' OR r.http IS NOT NULL AND r.http >= 400",
    "tokens_in": "coalesce(r.tokens_in, 0)",
    "tokens_out": "coalesce(r.tokens_out, 0)",
    "tokens_cached": "coalesce(r.tokens_cached, 0)",
    "tokens_reasoning": "coalesce(r.tokens_reasoning, 0)",
    "metered": "r.cost IS NULL AND (r.tokens_in IS NOT NULL OR r.tokens_out IS NOT NULL)",
    "cost": f"CAST(coalesce(r.cost, 0) * {COST_UNIT} + 0.5 AS INTEGER)",
    "costed": "r.cost IS NOT NULL",
    "costed_in": "iif(r.cost IS NULL, 0, coalesce(r.tokens_in, 0))",
    "costed_out": "iif(r.cost IS NULL, 0, coalesce(r.tokens_out, 0))",
    "costed_cached": "iif(r.cost IS NULL, 0, coalesce(r.tokens_cached, 0))",
}
_FIGURES = {name: f"sum(iif({_EXCHANGE}, {text}, 0))" for name, text in _OF_EXCHANGES.items()} | {
    "denials": f"sum(NOT ({_EXCHANGE}) OR r.status IS 'denied' OR r.decision IS 'deny')"
}
_DURATIONS = ", ".join(f"iif({_EXCHANGE}, r.{name}, NULL)" for name in ("duration", "first_byte"))


class Part(NamedTuple):
    """A part of the window, from (inclusive) and to (exclusive), and the cube it is summed from.

    Without a cube it is summed from the rows. Times are stored texts, ``None`` where open.
    """

    cube: Cube | None
    since: str | None
    until: str | None


def condition(asked: Tree) -> Tree | None:
    """What must hold of a cell apart from its time; ``None`` if cubes do not keep what it asks."""
    rest = And(tuple(
        part for part in conjuncts(asked)
        if not (isinstance(part, Moment) and part.field == "time")
    ))  # fmt: skip
    return rest if all(map(_kept, leaves(rest))) else None


def _kept(leaf: Tree) -> bool:
    if isinstance(leaf, Match):
        # A status may also be an HTTP status, which cubes do not keep.
        status = leaf.field == "status" and (not leaf.value or leaf.value[0].isdigit())
        return leaf.field in _COLUMNS and not status
    return isinstance(leaf, All | Nothing)


def eligible(rest: Tree, by: Sequence[str], interval: Interval) -> list[Cube]:
    """The cubes that have every field of the question and of the grouping, smallest first."""
    needed = {_COLUMNS[leaf.field] for leaf in leaves(rest) if isinstance(leaf, Match)} | set(by)
    grains = _FINER[interval]
    return [cube for cube in CUBES if cube.grain in grains and needed <= set(cube.keys)]


def cover(since: str | None, until: str | None, cubes: Sequence[Cube]) -> list[Part]:
    """The window in parts, in order: whole periods of the first cube, ends of finer ones, rows."""
    if since is not None and until is not None and since >= until:
        return []
    for cube in cubes:
        low = None if since is None else _period_from(cube.grain, since)
        high = None if until is None else _period_of(cube.grain, until)
        if low is None or high is None or low < high:
            finer = [one for one in cubes if _SECONDS[one.grain] < _SECONDS[cube.grain]]
            before = cover(since, low, finer) if low is not None else []
            after = cover(high, until, finer) if high is not None else []
            return [*before, Part(cube, low, high), *after]
    return [Part(None, since, until)]


def _period_of(grain: Grain, time: str) -> str:
    """The first instant of the period that ``time`` is in."""
    if grain == "hour":
        return time[:13] + _HOUR
    return (time[:10] if grain == "day" else week(time[:10])) + _MIDNIGHT


def _period_from(grain: Grain, time: str) -> str:
    """The first instant of the first period that begins at ``time`` or later; the last there is."""
    begun = _period_of(grain, time)
    try:
        return begun if begun == time else add_seconds(begun, _SECONDS[grain])
    except (ValueError, OverflowError):  # in the year 10000
        return _LAST


def of_cells(
    part: Part, cube: Cube, rest: Tree, by: Sequence[str], interval: Interval, *, latency: bool,
    most: int,
) -> Sql:  # fmt: skip
    """Period, keys and sums (and a histogram) of the cells of a part, of ``most`` + 1 groups."""
    where = _holds(rest)
    width = 13 if cube.grain == "hour" else 10
    bounds = [(op, time[:width]) for op, time in ((">=", part.since), ("<", part.until)) if time]
    limits = "".join(f"r.period {op} ? AND " for op, _ in bounds)
    figures = [f"sum(r.{name})" for name in Sums._fields]
    if latency:
        figures.append("latency_cells(r.latency)")
    return _grouped(
        [period("r.period", interval), *(f"r.{name}" for name in by)], figures,
        Sql(f"{cube.name} r WHERE {limits}({where.text})",
            (*(time for _, time in bounds), *where.values)),
        most,
    )  # fmt: skip


def of_rows(source: Sql, by: Sequence[str], interval: Interval, *, latency: bool, most: int) -> Sql:
    """The same of rows; ``source`` is what ``emit.rows`` gives."""
    figures = [_FIGURES[name] for name in Sums._fields]
    if latency:
        figures.append(f"latency_rows({_DURATIONS})")
    return _grouped(
        [period("r.time", interval), *(f"coalesce(r.{name}, '')" for name in by)], figures,
        Sql(f"{source.text} AND {_COUNTED}", source.values),
        most,
    )  # fmt: skip


def _grouped(keys: Sequence[str], figures: Sequence[str], source: Sql, most: int) -> Sql:
    places = ", ".join(str(place + 1) for place in range(len(keys)))
    return Sql(
        f"SELECT {', '.join([*keys, *figures])} FROM {source.text} "  # noqa: S608 - names of ours
        f"GROUP BY {places} LIMIT {most + 1}",
        source.values,
    )


def first_instant(begun: str, interval: Interval) -> str:
    """The stored time at which a period begins that ``period`` gave."""
    return begun + (_HOUR if interval == "hour" else _MIDNIGHT)


def period(expression: str, interval: Interval) -> str:
    """SQL for the first day or hour of the period that a time or period is in.

    ``""`` if the window is one period.
    """
    if interval == "week":  # back to a Tuesday at most, then on to the next Monday
        return f"date(substr({expression}, 1, 10), '-6 days', 'weekday 1')"
    if interval == "month":
        return f"substr({expression}, 1, 7) || '-01'"
    return f"substr({expression}, 1, {13 if interval == 'hour' else 10})" if interval else "''"


def _holds(tree: Tree) -> Sql:
    """A condition over a cube named ``r`` that is 1 where the tree holds of the cell's rows."""
    if isinstance(tree, And | Or):
        parts = [_holds(child) for child in tree.children]
        if not parts:
            return Sql("1" if isinstance(tree, And) else "0")
        joint = " AND " if isinstance(tree, And) else " OR "
        return Sql(
            conditions.balanced(joint, [f"({part.text})" for part in parts]),
            tuple(value for part in parts for value in part.values),
        )
    if isinstance(tree, Not):
        child = _holds(tree.child)
        return Sql(f"NOT ({child.text})", child.values)
    if isinstance(tree, Match):
        column = _COLUMNS[tree.field]
        if column == "models":
            return conditions.listed(column, tree)
        return conditions.compared(f"r.{column}", tree, known=f"r.{column} != ''")
    return Sql("1" if isinstance(tree, All) else "0")
