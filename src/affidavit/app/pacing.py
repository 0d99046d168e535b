"""How much of a long piece of work is done at a stretch, and how long it then rests.

Rules: a rest comes after so much work on the processor, not after so many records. It is as long as
the work before it, and comes only if somebody else wanted the processor meanwhile, which is seen
from the work having taken longer than it was at it. So with others beside it the work is at it half
of the time at most, and alone it does not rest. Not here: what is done.
"""

import time

WORK = 0.005
"""Seconds on the processor without a rest: then others have waited for so long at most."""
SHARE = 1.0
"""Seconds of rest for each second of work."""
ALONE = 1.2
"""Work that took no more than so many times its own time had the processor for itself."""
MOST = 0.5
"""Seconds of one rest at most."""


class Pace:
    """The pace of one thread, which alone calls it, between two pieces of its work."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._at_it = time.thread_time()

    def rest(self, more: float = 0.0) -> None:
        """Rest, if it is time to.

        ``more``: seconds on the processor that another thread has worked for this one meanwhile.
        """
        worked = max(0.0, time.thread_time() - self._at_it) + more
        if worked < WORK:
            return
        took = time.monotonic() - self._began
        due = min(MOST, SHARE * worked) if took > ALONE * worked else 0.0
        if due:
            time.sleep(due)
        self._began, self._at_it = time.monotonic(), time.thread_time()
