"""What the console works with; built in ``app``, passed to ``create_app``.

Rules: everything here is read-only except ``journal`` (the console's own) and ``control`` (the
sequencer decides). What reads index, vault and log files blocks, so it is used through
``blocking``, on a few threads of its own, of which no account has more than half: whoever asks what
takes long, however often, waits for its own questions, and others do not.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.console.floods import Floods
from affidavit.console.limits import Limits
from affidavit.control.identity import Directory, Snapshot
from affidavit.control.link import ControlLink
from affidavit.index.reader import Reader
from affidavit.ledger.log_reader import LogReader
from affidavit.query.prover import Prover
from affidavit.query.search import Searcher
from affidavit.record.journal import JournalWriter
from affidavit.vault.reader import VaultReader

T = TypeVar("T")
_THREADS, _OWN_THREADS = 4, 2
working_for: ContextVar[str] = ContextVar("working_for", default="")
"""For whom ``blocking`` works; set where a reader is let in (``auth``), ``""`` for anybody."""


@dataclass(frozen=True)
class ConsoleServices:
    """The parts of a console process.

    ``data`` is the data directory, of which ``log/`` is served. ``vault``, ``reader`` (the
    index) and ``prover`` block. ``snapshot`` and ``directory`` give the newest identities and
    keys. ``reads`` and ``refusals`` (by code) count for metrics. When ``closing`` is set, what goes
    on for long ends by itself.
    """

    clock: Clock
    config: Config
    data: Path
    log: LogReader
    vault: VaultReader
    reader: Reader
    prover: Prover
    journal: JournalWriter
    control: ControlLink
    snapshot: Callable[[], Snapshot]
    directory: Callable[[], Directory]
    reads: collections.Counter[str] = field(default_factory=collections.Counter)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    refusals: collections.Counter[str] = field(default_factory=collections.Counter)

    @functools.cached_property
    def limits(self) -> Limits:
        """What each reader has left; one for all applications of the process."""
        return Limits(self.clock, self.config.console.limits)

    @functools.cached_property
    def floods(self) -> Floods:
        """What is counted instead of recorded; one for all applications of the process."""
        return Floods(self.clock)

    @functools.cached_property
    def searcher(self) -> Searcher:
        """Answers questions from index and vault."""
        return Searcher(self.reader, self.vault)

    @functools.cached_property
    def _threads(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(_THREADS, "console-read")

    @functools.cached_property
    def _turns(self) -> weakref.WeakValueDictionary[str, asyncio.Semaphore]:
        return weakref.WeakValueDictionary()

    async def blocking(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a reading thread and return what it gives or raise what it raises."""
        account = working_for.get()
        if not account:
            return await asyncio.wrap_future(self._threads.submit(work))
        turn = self._turns.setdefault(account, asyncio.Semaphore(_OWN_THREADS))
        await turn.acquire()
        loop = asyncio.get_running_loop()

        def over(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits any more
                loop.call_soon_threadsafe(turn.release)

        running = self._threads.submit(work)
        running.add_done_callback(over)  # when the thread is free, not when who asked has gone
        return await asyncio.wrap_future(running)
