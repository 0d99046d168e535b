"""Which records some rows lead to, and which of these their reader may not know of.

Rules: a row leads to the other half of its exchange by index and to the record it belongs to by
id; a name that is of no record here leads nowhere. Not here: which rows, and what they show.
"""

from collections.abc import Sequence

from affidavit.index.reader import Reader
from affidavit.index.schema import Row
from affidavit.query import emit
from affidavit.query.boundary import Boundary
from affidavit.query.tree import All

_AT_ONCE = 1_000


def within(reader: Reader, indexes: Sequence[int], boundary: Boundary) -> list[int]:
    """Those of ``indexes`` that the boundary lets be known, ascending."""
    return sorted(
        idx
        for start in range(0, len(indexes), _AT_ONCE)
        for (idx,) in reader.query(*emit.which(boundary.rows, indexes[start : start + _AT_ONCE]))
    )


def hidden(reader: Reader, rows: Sequence[Row], boundary: Boundary) -> frozenset[int | str]:
    """Indexes and ids of what these rows lead to and the boundary does not let be known."""
    if boundary.rows == All():
        return frozenset()
    parents = reader.places([row.parent for row in rows if row.parent])
    others = {idx for row in rows for idx in (row.re, row.answered) if idx is not None}
    led = others.union(parents.values())
    beyond = led.difference(within(reader, sorted(led), boundary))
    return frozenset({*beyond, *(name for name, idx in parents.items() if idx in beyond)})
