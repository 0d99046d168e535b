"""What erasing needs of the sequencer process, and the threads on which it works.

Rules: a thread rests between slices, where others want the processor (``pacing``), so that
sequencing, capture and reads go on beside it, and leaves off at the next slice when the process
ends. Not here: what it does.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import apsw

from affidavit.app.anchoring import Anchoring
from affidavit.app.indexing import Indexing
from affidavit.app.pacing import Pace
from affidavit.app.paths import Paths
from affidavit.app.renewing import Renewing
from affidavit.app.selecting import Selecting
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.control.approvals import ApprovalStore
from affidavit.control.erasures import ErasureStore
from affidavit.control.holds import HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.saved import SavedQueries
from affidavit.control.store import IdentityStore
from affidavit.errors import NotFoundError, UnavailableError
from affidavit.ledger.intake import Intake
from affidavit.ledger.log import Log
from affidavit.record.model import Record
from affidavit.vault.keyring import Keyring
from affidavit.vault.vault import Vault

T = TypeVar("T")
LOOK = 0.1
WAIT = 60.0
"""How long is waited for others: writers to leave their segments, the index to come up."""
ASKED_WAIT = 10.0
"""The same, where somebody waits for the answer."""
_AGAIN = "It is tried again by itself."
_ASK_AGAIN = "Ask again in a moment; affidavit doctor says what is behind."


class Host(Protocol):
    """What is needed of the sequencer process."""

    paths: Paths
    config: Config
    state: apsw.Connection
    deciding: asyncio.Lock
    identities: IdentityStore
    saved: SavedQueries
    answered: Answered
    holds: HoldStore
    approvals: ApprovalStore
    erasures: ErasureStore
    keyring: Keyring
    log: Log
    vault: Vault
    indexing: Indexing
    intake: Intake
    renewing: Renewing
    anchoring: Anchoring

    @property
    def clock(self) -> Clock:
        """What time it is."""

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` where the state may be touched."""

    async def record(self, record: Record) -> None:
        """Put a record on record; durable on return."""

    def tell_changed(self) -> None:
        """Wake whoever waits for a newer snapshot."""


class StoppedError(Exception):
    """The process ends."""


class Worker:
    """One thread, or so many ``threads``; on each ``selecting`` is made when it is first needed."""

    def __init__(
        self, selecting: Callable[[], Selecting], clock: Clock, name: str = "erasing",
        threads: int = 1,
    ) -> None:  # fmt: skip
        self._make = selecting
        self._clock = clock
        self._of_thread = threading.local()
        self._made: list[Selecting] = []
        self._stop = threading.Event()
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, name)

    @property
    def stopped(self) -> bool:
        """Whether the process ends."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Leave off at the next slice."""
        self._stop.set()

    def close(self) -> None:
        """Wait for the end of the slice, and close what was made."""
        self._threads.shutdown(wait=True)
        while self._made:
            self._made.pop().close()

    def select(self) -> Selecting:
        """What finds leaves; on a thread, and for it alone."""
        mine = self._of_thread
        if not hasattr(mine, "selecting"):
            mine.selecting = self._make()
            self._made.append(mine.selecting)
        made: Selecting = mine.selecting
        return made

    def rest(self, more: float = 0.0) -> None:
        """Between two slices, on a thread; ``StoppedError`` when the process ends.

        ``more``: as ``Pace.rest``.
        """
        if self._stop.is_set():
            raise StoppedError
        mine = self._of_thread
        if not hasattr(mine, "pace"):
            mine.pace = Pace()
        mine.pace.rest(more)

    async def do(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread, in its turn; ``StoppedError`` when the process ends."""
        if self._stop.is_set():
            raise StoppedError
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def look(self) -> None:
        """Wait a moment; ``StoppedError`` when the process ends."""
        if self._stop.is_set():
            raise StoppedError
        await asyncio.sleep(LOOK)

    async def indexed(self, size: int, *, asked: bool = False) -> None:
        """Wait until what finds leaves knows of so many; ``UnavailableError`` after a minute.

        ``asked``: somebody waits for it, so after ten seconds.
        """
        until = self._clock.monotonic() + (ASKED_WAIT if asked else WAIT)
        while await self.do(lambda: self.select().size) < size:
            if self._clock.monotonic() > until:
                raise UnavailableError(
                    "Whatever is to go waits for the index, which is behind the ledger.",
                    hint=_ASK_AGAIN if asked else _AGAIN,
                )
            await self.look()

    async def published(self, work: Callable[[], T]) -> T:
        """What ``work`` gives once every leaf that it looks at is in the published log.

        ``UnavailableError`` if that takes longer than ten seconds.
        """
        until = self._clock.monotonic() + ASKED_WAIT
        while True:
            try:
                return await self.do(work)
            except NotFoundError as error:
                if "published" not in error.detail:
                    raise
                if self._clock.monotonic() > until:
                    raise UnavailableError(
                        "Some of it is not in a published checkpoint yet.", hint=_ASK_AGAIN
                    ) from error
            await self.look()

    async def until(self, good: Callable[[], bool], why: str) -> None:
        """Wait until it is so; ``UnavailableError`` with ``why`` after a minute."""
        until = self._clock.monotonic() + WAIT
        while not good():
            if self._clock.monotonic() > until:
                raise UnavailableError(why, hint=_AGAIN)
            await self.look()
