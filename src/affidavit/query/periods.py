"""How many entries of posting lists lie in each period, counted without reading their rows.

Rules: only where lists decide what matches (``lists.decided``), and only for a window of few
periods, as each costs a search for its end in the ledger. All are counted, none is left out. Not
here: what matches by anything else (``facets``).
"""

from collections.abc import Iterator

from affidavit.clock import add_seconds, to_unix_us
from affidavit.index.reader import Reader
from affidavit.index.rollup import week
from affidavit.query import cubes, emit
from affidavit.query.cubes import Interval
from affidavit.query.lists import Candidates

FEW = 400
"""In a window of more periods than this the rows are read instead."""
_HOUR, _DAY = 3_600, 86_400
_SHORTEST: dict[Interval, int] = {
    "hour": _HOUR, "day": _DAY, "week": 7 * _DAY, "month": 28 * _DAY,
}  # fmt: skip


def few(since: str, until: str, interval: Interval) -> bool:
    """Whether two stored times lie so few periods apart that this is the shorter way."""
    apart = (to_unix_us(until) - to_unix_us(since)) / 1e6
    return bool(interval) and apart <= FEW * _SHORTEST[interval]


def counted(
    reader: Reader, found: Candidates, low: int, high: int, interval: Interval
) -> Iterator[tuple[str, int]]:
    """When each period with an entry of [low, high) begins, a stored time, and how many it has."""
    while first := reader.query(*emit.first_entry(found, low, high)):
        ((idx,),) = first
        row = reader.row(idx)
        assert row is not None  # whoever takes out a row takes it out of its lists
        begun = _begun(row.time, interval)
        low = min(high, reader.position(_next(begun, interval)))
        ((count,),) = reader.query(*emit.entries(found, idx, low))
        yield begun, count


def _begun(time: str, interval: Interval) -> str:
    """The stored time at which the period of a stored time begins."""
    if interval == "hour":
        return cubes.first_instant(time[:13], interval)
    day = {"day": time[:10], "week": week(time[:10]), "month": f"{time[:7]}-01"}[interval]
    return cubes.first_instant(day, interval)


def _next(begun: str, interval: Interval) -> str:
    """The stored time at which the period after this one begins."""
    if interval == "month":
        return _begun(add_seconds(begun, 31 * _DAY), interval)
    return add_seconds(begun, _SHORTEST[interval])
