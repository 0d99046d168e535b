"""Legal holds in the vault: what they match is under their keys before anything else may take it.

Rules: as the index grows, what it took in is looked at once for each hold, in slices; what a record
becomes later (its answer names another model) is looked at again before it would go
(``erasure_run``). Holds of which the vault has a key and ``state.db`` nothing, as it came back from
a backup, are told, and nothing goes until they are placed again; those whose key has gone were
released. What a released hold alone had kept goes with its key, on record, once all other keys are
renewed: no older copy of ``keys.db`` opens it. Not here: who places and releases (``holding``).
"""

import contextlib
import functools
from collections.abc import Sequence

import msgspec

from affidavit.app import holding, proving
from affidavit.app.erasure_host import Host, Worker
from affidavit.app.purging import Purging
from affidavit.control.hold_gate import ChangedError
from affidavit.control.holds import Hold
from affidavit.errors import CorruptError, NotFoundError
from affidavit.query.tree import Tree
from affidavit.vault import key_ends
from affidavit.vault.erase import Eraser, Step
from affidavit.vault.erased import Erased

SPAN = 100_000
"""Leaves in which matches of a hold are looked for at once."""


class Keeping:
    """For one sequencer process; on the event loop."""

    def __init__(self, host: Host, engine: Eraser, worker: Worker, purging: Purging) -> None:
        self._host = host
        self._engine = engine
        self._worker = worker
        self._purging = purging
        self.damaged: list[CorruptError] = []

    async def lost(self) -> list[str]:
        """The holds whose keys there are, and nothing else of them, by id."""
        host = self._host

        def look() -> list[str]:
            known = {hold.id for hold in host.holds.all()}
            return sorted(set(key_ends.live_holds(host.keyring).values()) - known)

        return await host.ask(look)  # not on the thread that may erase for hours

    async def placed(self, hold: str) -> key_ends.Placed | None:
        """What the keys tell of a hold that was lost; ``None`` of one of an earlier release."""
        known = await self._host.ask(lambda: key_ends.remembered_holds(self._host.keyring))
        return known.get(hold)

    async def agree(self) -> None:
        """Take for released, on record, what the vault has released."""
        host = self._host
        gone = await self._worker.do(lambda: key_ends.released_holds(host.keyring))
        for hold in await host.ask(host.holds.in_force):
            if hold.id in gone:
                released = hold.over(gone[hold.id])
                await host.record(proving.of_released_before(host, released))
                await host.ask(functools.partial(host.holds.put, released))
                await host.ask(functools.partial(host.holds.swept, hold.id))

    async def keep(self) -> None:
        """Put into the vault's holds what the index has taken in since the last time."""
        host = self._host
        in_force = await host.ask(host.holds.in_force)
        await self._worker.do(functools.partial(self._remember, in_force))
        for hold in in_force:
            low = await host.ask(functools.partial(host.holds.seen, hold.id))
            while low < (size := await self._worker.do(lambda: self._worker.select().size)):
                high = min(low + SPAN, size)
                await self._worker.do(functools.partial(self._put, hold, low, high))
                await host.ask(functools.partial(host.holds.saw, hold.id, high))
                low = high

    def _remember(self, holds: Sequence[Hold]) -> None:
        """Keep beside the keys whose each hold is, before it has one: they outlive ``state.db``."""
        keyring = self._host.keyring
        known = key_ends.remembered_holds(keyring)
        news = {one.id: holding.remembered(one) for one in holds if one.id not in known}
        key_ends.remember_holds(keyring, news)

    def _put(self, hold: Hold, low: int, high: int) -> None:
        tree: Tree = msgspec.json.decode(hold.tree, type=Tree)
        found = self._worker.select().matching(tree, None, low, high)
        if found or not low:  # its key tells of it whoever restores an older backup
            self._engine.hold(hold.id, found)

    async def sweep(self) -> bool:
        """Destroy the keys of released holds; whether there were any.

        What is ``damaged`` of one keeps no other one, and nothing else: it is tried again.
        """
        host = self._host
        self.damaged = []
        released = await host.ask(host.holds.to_sweep)
        swept = []
        for hold in released:
            try:
                erased = await self._end(hold)
            except CorruptError as error:  # its key is there, and keeps what it has
                self.damaged.append(error)
                continue
            swept.append(hold)
            if erased is not None and len(erased.indexes):
                await self._purging.index(erased.indexes)
                await host.renewing.renew(host, reason=f"release of {hold.id}")
                await host.record(proving.of_release(host, hold, erased))
            await host.ask(functools.partial(host.holds.swept, hold.id))
            if erased is not None:
                await self._worker.do(functools.partial(self._engine.settle, erased))
        if any(hold.forgets for hold in swept):  # whose words went when it was released
            await host.ask(host.holds.leave_none)
            await self._purging.databases()
        return bool(swept)

    async def _end(self, hold: Hold) -> Erased | None:
        while True:
            step = self._host.holds.gate.as_of_now()
            await self.keep()  # what another hold matches is that one's, too
            with contextlib.suppress(ChangedError):
                return await self._worker.do(functools.partial(self._release, hold, step))

    def _release(self, hold: Hold, step: Step) -> Erased | None:
        try:
            return self._engine.release(hold.id, hold.id, step)
        except NotFoundError:
            return None  # it never held anything
