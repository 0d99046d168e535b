"""The calls of a worker that are running, and what is still owed for those that ended.

Rules: a commit that takes too long is found within ``_LOOK_SECONDS``; an outcome that the journal
refused is written when it has room again, in the order in which they were refused; a worker is
quiet when nothing runs and nothing is owed, and only then nothing of its calls is missing.

Not here: what a call does (``relay``) and when the worker stops (``gateway``, ``worker``).
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Coroutine
from typing import Any

from affidavit.capture.relay import Relay
from affidavit.errors import CannotRecordError

_LOOK_SECONDS = 0.1


class Running:
    """Relays between ``begin`` and ``end``, and work that nobody waits for but the drain."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._relays: set[Relay] = set()
        self._owed: set[asyncio.Task[None]] = set()
        self._unsettled: deque[Relay] = deque()
        self._settling = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._watchdog: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many calls run."""
        return len(self._relays)

    def begin(self, relay: Relay) -> None:
        """A call runs from now on; its commits are watched."""
        self._relays.add(relay)
        self._quiet.clear()
        if self._watchdog is None:
            self._watchdog = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def end(self, relay: Relay) -> None:
        """It runs no more; its outcome may be due."""
        self._relays.discard(relay)
        self._put_off(relay)
        if relay.commits.pending is not None:
            self.owe(self._landed(relay))
        self._look_quiet()

    def interrupt(self) -> None:
        """End every call that runs as interrupted."""
        for relay in list(self._relays):
            relay.interrupt()

    def conclude(self, relay: Relay) -> None:
        """Write the outcome of a call whose task ends before it could."""

        async def conclude() -> None:
            await relay.conclude()
            self._put_off(relay)

        self.owe(conclude())

    def settle(self) -> None:
        """Write the outcomes that were refused, if there are any; call it while the disk is well.

        The counter ``settled`` counts them.
        """
        if self._unsettled and not self._settling:
            self._settling = True
            self.owe(self._settle())

    def owe(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that whoever asked for it may not wait for; ``quiet`` does."""

        def paid(task: asyncio.Task[None]) -> None:
            self._owed.discard(task)
            self._look_quiet()

        task = asyncio.ensure_future(work)
        self._quiet.clear()
        self._owed.add(task)
        task.add_done_callback(paid)

    async def quiet(self, seconds: float) -> None:
        """Wait until nothing runs and nothing is owed, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()

    # --- inside -----------------------------------------------------------------------------------

    async def _landed(self, relay: Relay) -> None:
        await relay.landed()
        self._put_off(relay)

    def _put_off(self, relay: Relay) -> None:
        if relay.unsettled:
            self._unsettled.append(relay)

    async def _settle(self) -> None:
        try:
            while self._unsettled:
                await self._unsettled[0].settle()
                self._unsettled.popleft()
                self._counters["settled"] += 1
        except CannotRecordError:
            pass  # settle() is called again
        finally:
            self._settling = False

    def _look(self) -> None:
        """Find commits that take too long, while anything is running."""
        loop = asyncio.get_running_loop()
        for relay in self._relays:
            if relay.overdue(loop.time()):
                self.owe(relay.give_up())
        self._watchdog = loop.call_later(_LOOK_SECONDS, self._look) if self._relays else None

    def _look_quiet(self) -> None:
        if not self._relays and not self._owed:
            self._quiet.set()
