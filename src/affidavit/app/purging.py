"""Nothing left of what was erased outside the vault: index, ``state.db``, journals, keys.

Rules: everything here may be repeated, and nobody waits for it: the index in slices between its
batches, logs emptied when nobody reads them. Not here: what is erased (``erasure_run``), the vault.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from affidavit.app import leftovers, system
from affidavit.app.erasure_host import WAIT, Host, Worker
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.index.checkpoints import truncated
from affidavit.vault import recipients

SLICE = 300
"""Records whose rows are derived anew between two batches of the index."""


START_SECONDS = 1.5
"""In which a process that was told the key of the day has begun its journal."""

SEALED = "sealed before "
"""With the day of a key: ``told`` of what is to go once it is taken in; see ``Journals``."""


class Journals(NamedTuple):
    """What is left of what was sealed before an erasure.

    ``behind``: something is to be taken in yet, as its writer is in the middle of an exchange, or
    does not go on; its key goes after that (``chores``). ``locked``: so many journals are kept,
    damaged, whose keys are destroyed.
    """

    behind: bool
    locked: int


class Purging:
    """For one sequencer process; on the event loop."""

    def __init__(self, host: Host, worker: Worker) -> None:
        self._host = host
        self._worker = worker

    async def rows(self, touched: Sequence[int]) -> None:
        """Derive rows and text of these records anew."""
        worker, indexing = self._worker, self._host.indexing

        def refresh() -> None:
            for batch in worker.select().slices(touched, SLICE):
                worker.rest(indexing.refresh(batch))

        await worker.do(refresh)

    async def index(self, touched: Sequence[int]) -> None:
        """The same, and have what went leave the files."""
        worker, indexing = self._worker, self._host.indexing
        await self.rows(touched)

        def purge() -> None:
            for took in indexing.purge():
                worker.rest(took)

        await worker.do(purge)

    async def forgotten(self) -> bool:
        """Empty the same logs as ``databases``, unless somebody reads them just now; whether."""
        host = self._host

        def empty() -> bool:
            with host.keyring.alone() as (keys, _):
                emptied = [truncated(host.state), truncated(keys)]
            return all(emptied)

        return await host.ask(empty)

    async def databases(self) -> None:
        """Empty the write-ahead logs of ``state.db`` and ``keys.db``; ``UnavailableError``.

        Copies of databases and keys that lie in ``run/`` go, too.
        """
        host = self._host
        await asyncio.to_thread(leftovers.clear, host.paths, Disk())
        until = host.clock.monotonic() + WAIT
        while not await host.ask(lambda: truncated(host.state)):
            if host.clock.monotonic() > until:
                raise UnavailableError("state.db is being read, and keeps what is to go.")
            await self._worker.look()
        await host.ask(host.keyring.leave_nothing)

    async def journals(self) -> Journals:
        """Have all writers begin new segments under a new key, and destroy the old keys.

        Those, too, that only open what is kept of damaged journals: the rest is in the ledger. Who
        starts just now, and was given an old key, has begun a segment before that goes.
        """
        host = self._host
        today = host.clock.now()[:10]
        day = await host.ask(lambda: recipients.renewed(host.keyring, today))
        host.tell_changed()
        told = host.clock.monotonic()
        while True:
            waited = host.clock.monotonic() - told  # first: what begins by then is looked at
            oldest = await asyncio.to_thread(host.intake.oldest_day)
            left = oldest is None or oldest >= day
            if waited > WAIT or (left and waited > START_SECONDS):
                break
            await self._worker.look()
        before = day if oldest is None else min(oldest, day)
        behind = before < day

        def destroy() -> int:
            if behind:  # goes as soon as it may, also if it is damaged by then
                system.told(host.state, f"{SEALED}{day}", "")
            recipients.destroy(host.keyring, before)
            return sum(min(days) < before for days in host.intake.closed_days())

        return Journals(behind, await host.ask(destroy))

    async def damaged_journals(self, day: str) -> None:
        """Destroy the keys of what is kept of damaged journals and may be of that day, or earlier.

        As of something that expired, of which ``day`` is.
        """
        host = self._host

        def destroy() -> None:
            before, oldest = recipients.after(host.keyring, day), host.intake.oldest_day()
            recipients.destroy(host.keyring, before if oldest is None else min(before, oldest))

        await host.ask(destroy)
