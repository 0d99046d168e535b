"""Nothing left of what was erased outside the vault: index, ``state.db``, journals, keys.

Rules: everything here may be repeated, and nobody waits for it: the index in slices between its
batches, logs emptied when nobody reads them. Not here: what is erased (``erasure_run``), the vault.
"""

import asyncio
from collections.abc import Sequence

from affidavit.app import leftovers
from affidavit.app.erasure_host import WAIT, Host, Worker
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.index.sqlite import truncated
from affidavit.vault import recipients

SLICE = 300
"""Records whose rows are derived anew between two batches of the index."""


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

    async def journals(self) -> bool:
        """Have all writers begin new segments under a new key, and destroy the old keys.

        Whether some journal of before is left all the same: its writer is in the middle of an
        exchange, or does not go on.
        """
        host = self._host
        today = host.clock.now()[:10]
        day = await host.ask(lambda: recipients.renewed(host.keyring, today))
        host.tell_changed()
        until = host.clock.monotonic() + WAIT
        while (oldest := await asyncio.to_thread(host.intake.oldest_day)) is not None:
            if oldest >= day or host.clock.monotonic() > until:
                break
            await self._worker.look()
        if oldest != "":
            before = min(oldest or day, day)
            await host.ask(lambda: recipients.destroy(host.keyring, before))
        return oldest is not None and oldest < day
