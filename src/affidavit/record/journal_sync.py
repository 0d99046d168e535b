"""The thread in which a journal is synced, so that its event loop goes on meanwhile.

Rules: jobs are done one at a time in the order in which they came; each is answered once, on the
loop it came from; after ``close`` nothing runs. A queue and a thread of its own, because at low
load every record waits for a sync alone, and an executor's hand-over costs twice as much CPU.

Not here: when something is synced, and what a failure means (``journal``).
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

from affidavit.durable import AppendFile

Done = Callable[[BaseException | None], None]
"""Hears, on the loop, that the sync is over, and what it failed with, if it failed."""


class _Job(NamedTuple):
    files: Sequence[AppendFile]
    loop: asyncio.AbstractEventLoop
    done: Done


class SyncThread:
    """One thread for one journal; it runs from here to ``close``."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def sync(
        self, files: Sequence[AppendFile], loop: asyncio.AbstractEventLoop, done: Done
    ) -> None:
        """Sync ``files`` in their order, up to the first that fails."""
        self._jobs.put(_Job(files, loop, done))

    def close(self) -> None:
        """Wait for the jobs that are left, then end; more than once is once."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            failed: BaseException | None = None
            try:
                for file in job.files:
                    file.sync()
            except BaseException as error:  # noqa: BLE001 - whatever it is, somebody waits for it
                failed = error
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                job.loop.call_soon_threadsafe(job.done, failed)
