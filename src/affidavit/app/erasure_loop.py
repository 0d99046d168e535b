"""The one that erases, of a sequencer process: rounds over holds, requests and what waits.

Rules: one thing at a time, the oldest request first; what fails is tried again, the status says
why, and the rest does not wait for it. What waits for its day is looked at once a day and when a
hold was released; what waits for answers, too, and as soon as all of them have come; what is over
its maximum once a day, at the start and when somebody asks, and so is what is damaged. One piece of
work on its thread may last for hours: what people wait for is looked up on others. Not here: the
steps of a run (``erasure_run``), holds in the vault (``keeping``).
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path

import apsw

from affidavit.app import opening, remembering
from affidavit.app.clock_doubt import ClockDoubt
from affidavit.app.erasing import forget_lapsed
from affidavit.app.erasure_host import Host, StoppedError, Worker
from affidavit.app.erasure_run import Runs, why_left
from affidavit.app.expiring import Expiring
from affidavit.app.keeping import Keeping
from affidavit.app.paths import Paths
from affidavit.app.purging import Purging
from affidavit.app.selecting import Found, Left, Selecting, of_tenant
from affidavit.app.stuck import stuck, told
from affidavit.control.erasures import Erasure, Portion, What
from affidavit.control.holds import Hold
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CorruptError, UnavailableError
from affidavit.index.reader import Reader
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Signer
from affidavit.query.search import Searcher
from affidavit.query.tree import Tree
from affidavit.vault import key_ends
from affidavit.vault.erase import Eraser
from affidavit.vault.reader import VaultReader
from affidavit.vault.stocktaking import Stocktaking

ASKED_THREADS = 2
"""For what people wait for: one that looks through all there is leaves the other one free."""
PAUSE = 5.0
"""Seconds from one round to the next, if nobody wakes it."""


def erasing_for(host: Host, disk: Disk, paths: Paths, reader: LogReader) -> "Erasing":
    """The one of a sequencer process; it finds leaves with readers of its own."""

    def selecting() -> Selecting:
        keyring = opening.keyring(paths, host.clock)
        index = Reader(paths.root, keyring.database_key("index.db"))
        vault = VaultReader(paths.vault, keyring, reader.decoded)
        return Selecting(Searcher(index, None), vault, host.config)

    seed = host.keyring.secret("certificate/seed")
    signer = Signer(f"{host.config.log.origin}/certificates", seed)
    return Erasing(host, disk, paths.vault, selecting, signer)


class Erasing:
    """Made with what it needs; ``start`` once the process records; on the event loop."""

    def __init__(
        self,
        host: Host,
        disk: Disk,
        vault: Path,
        selecting: Callable[[], Selecting],
        signer: Signer,
    ) -> None:
        self._host = host
        self._worker = worker = Worker(selecting, host.clock)
        self._asked = asked = Worker(selecting, host.clock, "asked", ASKED_THREADS)
        engine = Eraser(disk, vault, host.keyring, host.clock, worker.rest)
        self._purging = purging = Purging(host, worker)
        self._keeping = Keeping(host, engine, worker, purging)
        stocks = Stocktaking(vault, host.keyring, worker.rest)
        self.expiring = Expiring(host, engine, worker, purging, stocks, self._keeping.keep)
        self._stocks = Stocktaking(vault, host.keyring, asked.rest)
        self._runs = Runs(host, engine, worker, purging, signer, stocks)
        self.vkey = signer.vkey
        self.clock = ClockDoubt(host)
        self._woken = asyncio.Event()
        host.holds.gate.placed = self.wake
        self._task: asyncio.Task[None] | None = None
        self._day = ""
        self._forgotten = True  # if a crash came between forgetting and leaving nothing
        self._expire = False
        self._every = False  # look at all that waits, until that succeeds
        self._trouble: list[AffidavitError] = []  # of the latest round; of this one, so far:
        self._failed: list[AffidavitError] = []
        self._damage: list[AffidavitError] = []

    @property
    def problem(self) -> str | None:
        """Why something did not come to its end in the latest round; it is tried again."""
        every = [*self._trouble, *self._failed]
        return " ".join(dict.fromkeys(one.message for one in every)) or None

    def start(self) -> None:
        """Begin, and go on with what an earlier process began."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave off at the next slice; what is not finished goes on at the next start."""
        self._worker.stop()
        self._asked.stop()
        self._woken.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._worker.close()
        self._asked.close()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def expire(self) -> None:
        """Take away what is over its maximum, now."""
        if not self.expiring.status["running"]:
            self.expiring.status = self.expiring.status | {"running": True}
            self._expire = True
            self._woken.set()

    async def forgotten(self) -> None:
        """Have what was forgotten of requests leave the files, as soon as nobody reads them.

        Now, in most cases; else rounds try again.
        """
        self._forgotten = True
        self._forgotten = not await self._purging.forgotten()

    async def search(self, tree: Tree, what: What, tenant: str = "") -> Found:
        """What would go of what an injected tree means, or all of a tenant, now and later.

        Of all that the ledger has now: ``UnavailableError`` if index or checkpoint stay behind.
        """
        size = await self._host.ask(lambda: self._host.log.size)
        await self._asked.indexed(size, asked=True)
        holds = await self._host.ask(self._host.holds.in_force)
        now = self._host.clock.now()

        def look() -> Found:
            select = self._asked.select()
            if tenant:
                return select.found(of_tenant(self._stocks, tenant, what), holds, now)
            return select.found(select.portions(select.matching(tree, what)), holds, now)

        return await self._asked.published(look)

    async def others(self, tree: Tree, meant: Collection[int], most: int) -> tuple[int, bool]:
        """How many records of an injected tree are not ``meant``; see ``Selecting.others``."""
        return await self._asked.do(lambda: self._asked.select().others(tree, meant, most))

    async def left(self, portions: Sequence[Portion], under_way: Sequence[int]) -> tuple[Left, ...]:
        """Why what is left of these does not go yet, nor the answers to what is ``under_way``."""
        return await why_left(self._host, self._asked, portions, under_way)

    async def lost(self) -> list[str]:
        """The holds that a backup which was restored knows nothing of, by id."""
        return await self._keeping.lost()

    async def placed(self, hold: str) -> key_ends.Placed | None:
        """What the keys tell of such a hold; ``None`` of one of an earlier release."""
        return await self._keeping.placed(hold)

    async def _nothing_lost(self) -> None:
        if lost := await self.lost():
            raise UnavailableError(
                f"The vault knows of holds that are not here, as they were placed after the backup"
                f" that was restored: {', '.join(lost)}. Nothing goes until they are placed again.",
                hint="affidavit hold place EXPR --matter TEXT --reason TEXT --again ID",
            )

    async def keeps(self, low: int, high: int, asked: Sequence[int] = ()) -> tuple[int, str] | None:
        """A leaf of ``low`` ≤ index < ``high`` that has to stay, and why; ``None`` if none has.

        ``asked``: requests among these that are answered at ``high`` or later: one stays if its
        answer does. ``UnavailableError`` if the index has not come as far.
        """
        await self._nothing_lost()
        await self.clock.refuse()
        if asked:
            await self._asked.indexed(await self._host.ask(lambda: self._host.log.size))
        holds = await self._host.ask(self._host.holds.in_force)
        return await self._asked.do(functools.partial(self._kept, holds, low, high, asked))

    def _kept(
        self, holds: Sequence[Hold], low: int, high: int, asked: Sequence[int]
    ) -> tuple[int, str] | None:
        select, now = self._asked.select(), self._host.clock.now()
        if select.size < high:
            raise UnavailableError("The index has not come as far yet.", hint="affidavit doctor")
        held = select.first_held(holds, low, high)
        found = [] if held is None else [(held, "under a legal hold")]
        for bucket in self._stocks.buckets():
            why = select.stays(bucket, now)
            index = self._stocks.first(bucket, low, high) if why else None
            if index is not None:
                found.append((index, f"of {bucket.day}, and {why}"))
        for index, answer in select.halves([one for one in asked if one >= low]).items():
            of = select.bucket(answer)
            why = "" if of is None else select.stays(of, now)
            if select.held(holds, [answer]):
                found.append((index, f"the request of leaf {answer}, which is under a legal hold"))
            elif of is not None and why:
                found.append((index, f"the request of leaf {answer}, of {of.day}, and {why}"))
        return min(found, default=None)

    async def _run(self) -> None:
        while not self._worker.stopped:
            self._woken.clear()
            try:
                await self._round()
            except StoppedError:
                return
            except Exception as error:  # noqa: BLE001 - a mistake of ours is told, and tried again
                self._failed.append(_told(error))
            self._trouble, self._failed = self._failed, []
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), PAUSE)

    async def _forget_lapsed(self) -> None:
        host = self._host

        def forget() -> bool:
            lapsed = forget_lapsed(host.approvals, host.erasures, host.clock.now())
            remembering.keep(host, *lapsed)
            return bool(lapsed)

        self._forgotten = await host.ask(forget) or self._forgotten

    async def _round(self) -> None:
        """Raises what keeps all of it from its end; one thing keeps no other one."""
        host, today = self._host, self._host.clock.now()[:10]
        await self._keeping.agree()
        await self._keeping.keep()
        await self._nothing_lost()
        await self.clock.refuse()
        self._every = await self._keeping.sweep() or today != self._day or self._every
        self._failed += self._keeping.damaged
        waiting = await host.ask(lambda: host.erasures.all("waiting"))
        failed = await self._each(
            functools.partial(self._runs.again, one, every=self._every) for one in waiting
        )
        self._every = not all(isinstance(one, CorruptError) for one in failed)
        await self._each([functools.partial(self._tell_stuck, waiting)])
        if today != self._day or self._expire:
            self._expire = False
            failed += await self._each([self.expiring.run, self._forget_lapsed])
            self._damage = [one for one in failed if isinstance(one, CorruptError)]
            if len(self._damage) == len(failed):  # else again in the next round, not in a day
                self._day = today
        else:
            self._failed += self._damage
        if self._forgotten:
            await self._each([self.forgotten])
        running = await host.ask(lambda: host.erasures.all("running"))
        await self._each(functools.partial(self._runs.carry_out, one) for one in running)

    async def _tell_stuck(self, waiting: Sequence[Erasure]) -> None:
        """Have the status say whose answers do not come by themselves."""
        found = await stuck(self._host, {index for one in waiting for index in one.open})
        for one in waiting:
            if mine := {found[index] for index in one.open if index in found}:
                self._failed.append(UnavailableError(told(one.id, mine)))

    async def _each(self, steps: Iterable[Callable[[], Awaitable[None]]]) -> list[AffidavitError]:
        """Do one after another; why some failed, for which the others need not wait.

        Where something is not to be had that all need, such as the index, the rest is left.
        """
        failed = list[AffidavitError]()
        for step in steps:
            try:
                await step()
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - see ``_run``
                failed.append(_told(error))
                self._failed.append(failed[-1])
                if isinstance(error, UnavailableError):
                    break
        return failed


def _told(error: Exception) -> AffidavitError:
    if isinstance(error, AffidavitError):
        return error
    if isinstance(error, OSError | apsw.Error):
        return UnavailableError(f"An erasure waits: {error}.")
    return UnavailableError(f"An erasure failed: {type(error).__name__}.")
