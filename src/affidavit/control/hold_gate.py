"""Between whoever places a hold and what is just going: nothing goes as of an older hold.

Rules: what takes something away reads the ``version`` before it reads which holds are in force, and
does each step that cannot be undone as of that version; once a hold was placed since, the step is
refused (``ChangedError``), and it has to be looked again what may go. Whoever places waits for one
step, never for a whole erasure. Of one process, which alone places holds and erases. Not here: the
holds (``holds``).
"""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

_LOOK = 0.005
"""Seconds from one look whether a step has ended to the next."""


class ChangedError(Exception):
    """A hold was placed since it was looked what may go; nothing more goes as of then."""


class HoldGate:
    """``placed`` is called on the event loop after each change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.version = 0
        self.placed: Callable[[], None] = lambda: None

    @contextmanager
    def step(self, version: int) -> Iterator[None]:
        """Within it something goes, as of ``version``; ``ChangedError`` if that is an older one."""
        with self._lock:
            if version != self.version:
                raise ChangedError
            yield

    def as_of_now(self) -> Callable[[], AbstractContextManager[None]]:
        """``step`` as of the version of now: to be asked for before the holds are read."""
        return functools.partial(self.step, self.version)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Within it a hold is stored; on the event loop."""
        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110 - a thread has it
            await asyncio.sleep(_LOOK)
        try:
            yield
        finally:
            self.version += 1
            self._lock.release()
            self.placed()
