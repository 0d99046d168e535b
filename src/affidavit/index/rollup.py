"""Sums kept ahead of the question, in a few small tables ("cubes"), so that no row is touched.

Rules: a closed exchange counts once, at its response, in the period of the response's ledger
time; a response that answers no request of this ledger (``re`` null) counts nowhere, because its
request was closed before; requests still open are not counted. A refused call or read
(``access.denied``) is a denial and no request. Every cube holds the same sums of the same records,
each under its own keys: a question is answered from the smallest that has all it asks for
(``cube_for`` in ``query.sums``). Integers only, so that erasing a record subtracts exactly what it
added. Not here: SQL (``sqlite``), latencies (``latency``).
"""

import datetime as dt
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from affidavit.index import latency
from affidavit.index.schema import Row

Grain = Literal["hour", "day", "week"]
"""How long a period of a cube is: it begins at a full hour, at midnight, on Monday; all UTC."""


class Cube(NamedTuple):
    """One table of sums: a row for each period and each combination of ``keys`` that occurred."""

    name: str
    grain: Grain
    keys: tuple[str, ...]


CUBES = (
    Cube("hour_team", "hour", ("type", "tenant", "team", "status")),
    Cube("week_actor", "week", ("type", "tenant", "team", "actor", "credential", "status")),
    Cube("day_model", "day",
         ("type", "tenant", "team", "provider", "models", "model", "status")),
    Cube("hour_model", "hour", ("type", "tenant", "provider", "models", "model", "status")),
    Cube("day_actor", "day", ("type", "tenant", "team", "actor", "credential", "status")),
)  # fmt: skip
"""The smallest first, in rows a day at 55,000 exchanges a day of 5,000 actors and 40 models.

Keys are columns of ``record``, ``""`` where the value is unknown, lists as there. Whoever may see
a tenant, a team or the own records finds the keys of that boundary in a cube.
"""


class Sums(NamedTuple):
    """What is summed, of the exchanges but for ``denials``.

    ``errors`` are those not ``complete`` or with HTTP status >= 400; ``denials`` records with
    decision deny or outcome denied. ``cost`` is what providers reported, in billionths of their
    unit, and ``costed`` how many exchanges that is, with so many tokens (``costed_in`` …);
    ``metered`` are those without a reported cost whose tokens are known, so that a price applies.
    """

    requests: int = 0
    errors: int = 0
    denials: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    metered: int = 0
    cost: int = 0
    costed: int = 0
    costed_in: int = 0
    costed_out: int = 0
    costed_cached: int = 0


class Change(NamedTuple):
    """What is added to one cell: numbers in the order of ``Sums``, and an encoded histogram."""

    sums: tuple[int, ...]
    latency: bytes


Cells = dict[tuple[str, ...], Change]
"""Changes by period and keys of one cube."""

COST_UNIT = 1_000_000_000
_DIMENSIONS = tuple(dict.fromkeys(name for cube in CUBES for name in cube.keys))
_dimensions = operator.attrgetter(*_DIMENSIONS)
_MODELS = _DIMENSIONS.index("models")
_GRAINS: tuple[Grain, ...] = ("hour", "day", "week")
_KEYED = tuple(
    (_GRAINS.index(cube.grain), operator.itemgetter(*map(_DIMENSIONS.index, cube.keys)))
    for cube in CUBES
)
_DENIED = tuple(Sums(denials=1))
_json = msgspec.json.Encoder()


def counts(row: Row) -> bool:
    """Whether the row closes an exchange of this ledger."""
    return row.type == "exchange.response" and row.re is not None


def contribution(row: Row) -> tuple[int, ...] | None:
    """What one row adds, in the order of ``Sums``; ``None`` if it adds nothing."""
    if row.type == "access.denied":
        return _DENIED
    if row.type != "exchange.response" or row.re is None:
        return None
    status, http = row.status, row.http
    into, out, cached = row.tokens_in, row.tokens_out, row.tokens_cached or 0
    costed = row.cost is not None
    metered = not costed and (into is not None or out is not None)
    into, out = into or 0, out or 0
    return (
        1,
        int(status != "complete" or (http is not None and http >= 400)),
        int(status == "denied" or row.decision == "deny"),
        into, out, cached, row.tokens_reasoning or 0, int(metered),
        *((billionths(row.cost or 0.0), 1, into, out, cached) if costed else (0, 0, 0, 0, 0)),
    )  # fmt: skip


def billionths(cost: float) -> int:
    """A cost as it is summed, rounded half up."""
    return int(cost * COST_UNIT + 0.5)


def merge(added: Iterable[Row], removed: Iterable[Row] = ()) -> tuple[Cells, ...]:
    """The change of each cube when ``added`` come and ``removed`` go; cells by first use."""
    adding: tuple[dict[tuple[str, ...], list[int]], ...] = tuple({} for _ in CUBES)
    for rows, sign in ((removed, -1), (added, 1)):
        for row in rows:
            sums = contribution(row)
            if sums is None:
                continue
            measured = latency.of(row.duration, row.first_byte) if sums[0] else 0
            change = [*sums, measured] if sign > 0 else [*map(operator.neg, sums), -measured]
            periods = (row.time[:13], row.time[:10], week(row.time[:10]))
            values: list[Any] = [value or "" for value in _dimensions(row)]
            values[_MODELS] = _json.encode(row.models).decode()
            for cells, (grain, keyed) in zip(adding, _KEYED, strict=True):
                key = (periods[grain], *keyed(values))
                known = cells.get(key)
                cells[key] = change if known is None else list(map(operator.add, known, change))
    written: dict[int, bytes] = {}  # where few rows meet, the cubes have the same histograms
    return tuple(
        {key: _change(figures, written) for key, figures in cells.items()} for cells in adding
    )


def _change(figures: Sequence[int], written: dict[int, bytes]) -> Change:
    *sums, histogram = figures
    encoded = written.get(histogram)
    if encoded is None:
        encoded = written[histogram] = latency.encode(histogram)
    return Change(tuple(sums), encoded)


@functools.lru_cache(256)
def week(day: str) -> str:
    """The Monday of the week of a day (``2026-11-28``)."""
    date = dt.date.fromisoformat(day)
    return (date - dt.timedelta(days=date.weekday())).isoformat()


def columns(cube: Cube) -> Sequence[str]:
    """The columns of a cube's table."""
    return ("period", *cube.keys, *Sums._fields, "latency")
