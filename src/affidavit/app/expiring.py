"""What is over its maximum goes by itself: bucket by bucket, on record first, holds spared.

Rules: the plan decides (``vault.retention``), asked anew for each run, as of now, once the index
has all of the ledger, by which holds are known; what a hold matches of a bucket is put into the
vault's hold before anything of the bucket goes. Each bucket is on record (``retention.expired``)
before its keys are destroyed; index rows of all of them follow, in ledger order, and in the end of
a run the files are purged, keys destroyed with which damaged journals of that time open, and all
keys renewed. A crash leaves a bucket that is in the next plan again, or whose rows are derived anew
then: ``expiring`` says of which that is. One that is damaged keeps no other one from going. Not
here: leaves of the ledger (``pruning``), what somebody asked for (``erasure_run``).
"""

import contextlib
import functools
import heapq
from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from affidavit import retention
from affidavit.app import system
from affidavit.app.erasure_host import Host, Worker
from affidavit.app.purging import Purging
from affidavit.control.hold_gate import ChangedError
from affidavit.control.holds import Hold
from affidavit.errors import CorruptError
from affidavit.query.tree import And, Moment, Tree
from affidavit.record.model import Chain, Record
from affidavit.vault.erase import Eraser
from affidavit.vault.erased import Erased
from affidavit.vault.retention import Line, plan, state_of, what_expires
from affidavit.vault.segments import Bucket
from affidavit.vault.stocktaking import Stocktaking

_GOING = "expiring "
_AT_A_TIME = 20_000
"""So many rows are derived anew before that is told in ``status``."""


class Expiring:
    """For one sequencer process; on the event loop. ``status`` tells of the latest run."""

    def __init__(
        self, host: Host, engine: Eraser, worker: Worker, purging: Purging, stocks: Stocktaking,
        keep: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._host = host
        self._engine = engine
        self._worker = worker
        self._purging = purging
        self._stocks = stocks
        self._keep = keep
        self.status: dict[str, Any] = {"running": False, "as_of": "", "buckets": 0, "records": 0}

    async def run(self) -> None:
        """Take away everything that is due now and may go; nothing if nothing is.

        ``CorruptError`` of a bucket that is damaged, once all others are done with.
        """
        host, now = self._host, self._host.clock.now()
        self.status = {"running": True, "as_of": now, "buckets": 0, "records": 0}
        try:
            await self._worker.indexed(await host.ask(lambda: host.log.size))
            await self._keep()
            holds = await host.ask(host.holds.in_force)
            held = functools.partial(self._held, holds)

            def due() -> list[Line]:
                found = plan(self._stocks, host.config, now, held, due_only=True)
                return [line for line in found if line.goes]

            lines = await self._worker.do(due)
            left = await host.ask(lambda: system.names_told(host.state, _GOING))
            if not lines and not left:
                return
            works = {
                _name(one.bucket, one.what): functools.partial(self._expire, one) for one in lines
            }
            for name in left:  # what an earlier process had taken away, and perhaps not from here
                works.setdefault(name, functools.partial(self._again, *_named(name)))
            done, damaged = dict[str, Erased](), list[CorruptError]()
            for name, work in works.items():
                try:
                    done[name] = await work()
                except CorruptError as error:  # it stays; the others need not wait for it
                    damaged.append(error)
            if done:
                await self._leave_nothing(done)
            if damaged:
                raise damaged[0]
        finally:
            self.status["running"] = False

    async def _leave_nothing(self, done: dict[str, Erased]) -> None:
        """What follows once keys are destroyed; ``done`` by name."""
        host = self._host
        touched = await self._worker.do(lambda: _together(done.values()))
        for begin in range(0, len(touched), _AT_A_TIME):
            piece = touched[begin : begin + _AT_A_TIME]
            await self._purging.rows(piece)
            self.status["records"] += len(piece)
        await self._purging.index(())
        await self._purging.databases()
        await self._purging.damaged_journals(max(_named(name)[0].day for name in done))
        await host.renewing.renew(host, reason="retention")
        for name, erased in done.items():
            await self._worker.do(functools.partial(self._engine.settle, erased))
            await host.ask(functools.partial(system.untell, host.state, name))

    async def _expire(self, line: Line) -> Erased:
        """One bucket: on record, unless an earlier attempt was; retired, erased."""
        host, name = self._host, _name(line.bucket, line.what)
        if not await host.ask(lambda: system.is_told(host.state, name)):
            await host.record(_record(host, line))
            await host.ask(lambda: system.told(host.state, name, ""))
        self.status["buckets"] += 1
        return await self._again(line.bucket, line.what)

    async def _again(self, bucket: Bucket, what: Any) -> Erased:
        """Right before it goes the rules are asked again, as an earlier process may have begun."""
        host = self._host
        await host.ask(lambda: host.vault.retire([bucket]))
        while True:
            step = host.holds.gate.as_of_now()
            holds = await host.ask(host.holds.in_force)  # one may have been placed since the plan
            held = await self._worker.do(functools.partial(self._held, holds, bucket, keep=True))
            spare = held if self._goes(bucket, what) else None
            expire = functools.partial(self._engine.expire, bucket, what, spare, "retention", step)
            with contextlib.suppress(ChangedError):  # and another one meanwhile
                return await self._worker.do(expire)

    def _goes(self, bucket: Bucket, what: str) -> bool:
        """Whether that goes of the bucket by itself, now and by the configuration in force."""
        kept = retention.kept(self._host.config, bucket.retention_class)
        if kept.name != bucket.retention_class or what != what_expires(kept):
            return False
        return state_of(kept, bucket.day, self._host.clock.now()) in ("due", "overdue")

    def _held(self, holds: Sequence[Hold], bucket: Bucket, *, keep: bool = False) -> frozenset[int]:
        """What holds match of the days around a bucket's; ``keep``: the vault's holds get it."""
        found: set[int] = set()
        day = date.fromisoformat(bucket.day)
        since = f"{day - timedelta(days=1)}T00:00:00.000000Z"
        until = f"{day + timedelta(days=2)}T00:00:00.000000Z"
        window = (Moment("time", ">=", since), Moment("time", "<", until))
        for hold in holds:
            tree: Tree = msgspec.json.decode(hold.tree, type=Tree)
            kept = self._worker.select().matching(And((tree, *window)))
            if keep and kept:
                self._engine.hold(hold.id, kept)
            found.update(kept)
        return frozenset(found)


def _together(every: Iterable[Erased]) -> "array[int]":
    """All leaves of these, ascending: those of several buckets stand on the same pages."""
    return array("Q", heapq.merge(*[one.indexes for one in every]))


_Named = tuple[tuple[str, str, str], str]


def _name(bucket: Bucket, what: str) -> str:
    """Under which it is ``told`` of that this goes."""
    return f"{_GOING}{msgspec.json.encode([bucket, what]).decode()}"


def _named(name: str) -> tuple[Bucket, str]:
    bucket, what = msgspec.json.decode(name.removeprefix(_GOING), type=_Named)
    return Bucket(*bucket), what


def _record(host: Host, line: Line) -> Record:
    bucket = line.bucket
    what = {
        "operation": "retention.expire",
        "target": {"kind": "class", "name": bucket.retention_class},
        "day": bucket.day,
        "erased": line.what,
        "due": line.due,
        "policy": {"minimum": line.kept.minimum, "maximum": line.kept.maximum,
                   "regimes": list(line.kept.regimes)},
        "counts": {"records": line.may_go, "held": line.stock.held},
    }  # fmt: skip
    who = {"tenant": bucket.tenant, "kind": "service", "role": "owner"}
    chain = Chain(bucket.tenant, "actor.unattributed", "")
    sections = {"who": who, "what": what}
    return system.make("retention.expired", host.clock, host.config, sections, chain)
