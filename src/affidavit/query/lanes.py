"""Which exchanges of a narrative ran side by side: each has a lane from its request to its end.

Rules: an exchange takes the lowest lane that is free when its request comes and keeps it until
its response; lines of no exchange have none. A response whose request is not in the narrative has
none either. Beyond ``MOST`` lanes there is no telling apart: those have the lane ``MOST``. Order
is that of the ledger. Lanes depend on the lines before, never on where a page begins: what is
still running goes with the cursor. Not here: how lanes are drawn.
"""

from collections.abc import Mapping

from affidavit.index.schema import Row

MOST = 16


class Lanes:
    """Gives lanes line by line; ``running`` (index of a request → its lane) is the state."""

    def __init__(self, running: Mapping[int, int] | None = None) -> None:
        self.running: dict[int, int] = dict(running or {})

    def place(self, row: Row) -> tuple[int | None, tuple[int, ...]]:
        """The lane of a row, and the lanes of the other exchanges that run past it, ascending."""
        lane: int | None = None
        if row.re is not None:
            lane = self.running.pop(row.re, None)
        elif row.type in _OPENING:
            taken = set(self.running.values())
            lane = next(n for n in range(MOST + 1) if n not in taken or n == MOST)
        passing = tuple(sorted({other for other in self.running.values() if other != lane}))
        if lane is not None and row.re is None and (lane < MOST or len(self.running) < _KEPT):
            self.running[row.idx] = lane
        return lane, passing


_OPENING = frozenset({"exchange.request", "tool.call"})
_KEPT = 4 * MOST
"""So many running exchanges are remembered; a response of one more has no lane."""
