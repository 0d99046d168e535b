"""What a run of an erasure takes: looked for, divided, and stored before anything goes.

Rules: the ledger has what was recorded before a run that means what comes, too, and the index has
come up with the ledger first. What may go now is apart from what may not;
holds get what they match of both. Whatever is meant and has no answer yet is remembered (``open``):
the first run waits a while for answers; a ``late`` run takes those that came since, what of the
first one's choice may go by then, and nothing new that the request would mean; the later runs of a
tenant are all so. Answers come that the ledger waits for: where the writer is gone, with its
journal or without, they are the sweep's. Those of a journal that nobody can read, and of a request
whose leaf is damaged, come once somebody has seen to that (``stuck``). Not here: how it goes
(``erasure_run``).
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from affidavit.app.erasure_host import WAIT, Host, Worker
from affidavit.app.selecting import of_tenant
from affidavit.control.erasures import AS_ASKED, Erasure, Portion
from affidavit.control.holds import Hold
from affidavit.query.tree import Tree
from affidavit.vault import key_ends
from affidavit.vault.erase import Eraser
from affidavit.vault.segments import Bucket
from affidavit.vault.stocktaking import Stocktaking

_RECORDED = "What was recorded before an erasure, and is to go with it, is not in the ledger yet."

Exports = tuple[dict[str, str | int], ...]
"""Exports as a request has them (``selecting.Export``)."""


class Choosing:
    """Chooses for runs of one sequencer process; on the event loop, but where it says thread."""

    def __init__(self, host: Host, engine: Eraser, worker: Worker, stocks: Stocktaking) -> None:
        self._host = host
        self._engine = engine
        self._worker = worker
        self._stocks = stocks

    async def choose(self, erasure: Erasure) -> Erasure:
        """Look for what is meant, once the index has come up, and store what goes now.

        The first run waits a while for answers; later ones are taken by runs of their own.
        """
        host = self._host
        if not (erasure.late or erasure.kind in AS_ASKED):
            since = host.clock.monotonic()
            await self._worker.until(lambda: host.intake.taken_in >= since, _RECORDED)
        until = host.clock.monotonic() + WAIT
        stored = await host.ask(lambda: host.erasures.parts(erasure.id))
        portions, waits = await self._look(erasure, stored)
        if waits and erasure.run == 1:
            while waits and host.clock.monotonic() < until:
                await self._worker.look()
                waits = await self.unanswered(waits)
            portions, waits = await self._look(erasure, stored)
        going = [index for one in portions for index in one.now]
        exports = await self.exports(going, ())
        made = msgspec.structs.replace(erasure, selected=True, exports=exports, open=tuple(waits))

        def put() -> None:
            with host.state:
                host.erasures.put_parts(erasure.id, portions)
                host.erasures.put(made)

        await host.ask(put)
        return made

    async def exports(self, indexes: Sequence[int], known: Exports) -> Exports:
        """The exports in which some of these records were: ``known``, and those on record since."""
        await self._worker.indexed(await self._host.ask(lambda: self._host.log.size))
        listed = await self._worker.do(lambda: [*self._worker.select().exports(indexes)])
        old = {one["record"] for one in known}
        return (*known, *(one._asdict() for one in listed if one.record not in old))

    async def unanswered(self, requests: Sequence[int]) -> list[int]:
        """Those of these requests that the index knows no answer of, and that get one."""
        asked = await self._host.ask(self._asked)
        return await self._worker.do(lambda: self._worker.select().unanswered(requests, asked))

    def _asked(self) -> frozenset[int]:
        return frozenset(self._host.log.open_requests().values())

    async def _look(
        self, erasure: Erasure, stored: Sequence[Portion]
    ) -> tuple[list[Portion], list[int]]:
        """What is stored and found now, divided; the requests of it that wait for an answer."""
        host = self._host
        asked, size = await host.ask(lambda: (self._asked(), host.log.size))
        await self._worker.indexed(size)
        holds = await host.ask(host.holds.in_force)

        def look() -> tuple[list[Portion], list[int]]:
            select, now = self._worker.select(), host.clock.now()
            chosen = self._still(erasure, stored)
            merged = _merged(chosen, self._found(erasure, _indexes(chosen)))
            may_wait = {i for i in _indexes(merged) if i in asked or i >= size} | {*erasure.open}
            # first who waits: whoever does not has an answer below
            waits = select.unanswered(may_wait, asked)
            answers = select.answers(may_wait, erasure.what)
            merged = _merged(merged, select.portions(answers))
            self.hold(holds, _indexes(merged))
            return [select.divided(one, holds, now) for one in merged], waits

        return await self._worker.do(look)

    def _still(self, erasure: Erasure, stored: Sequence[Portion]) -> list[Portion]:
        """What is stored; for a late run, what of it still opens.

        In a restored backup the rest is what went since, under another certificate.
        """
        if not erasure.late or erasure.kind not in ("tenant", "session"):
            return list(stored)
        found = []
        for part in stored:
            every = _indexes([part])
            there = self._engine.opened(bucket_of(part), every, erasure.what) if every else ()
            found.append(msgspec.structs.replace(part, now=(), later=tuple(sorted(there))))
        return found

    def _found(self, erasure: Erasure, stored: Sequence[int]) -> Iterator[Portion]:
        """What is meant beside what is stored, but for answers that were waited for."""
        select = self._worker.select()
        if erasure.kind == "subject":
            yield from self._sealed(erasure)
        if erasure.late:
            return
        if erasure.kind in AS_ASKED:
            if erasure.run == 1:
                yield from select.portions(select.answers(stored, erasure.what))
            return
        if erasure.kind == "tenant":
            yield from of_tenant(self._stocks, erasure.target, erasure.what)
            return
        tree: Tree = msgspec.json.decode(erasure.tree, type=Tree)
        yield from select.portions(select.matching(tree, erasure.what))

    def _sealed(self, erasure: Erasure) -> Iterator[Portion]:
        """What stands under the person's keys: of pruned leaves, too, of which no row tells."""
        for tenant, classes in self.classes(erasure).items():
            found = self._engine.of_subject(tenant, erasure.target, classes)
            for bucket, indexes in found.items():
                yield Portion(*bucket, "", later=tuple(indexes))

    def classes(self, erasure: Erasure) -> dict[str, list[str]]:
        """The classes in which the person has keys, by tenant, where the erasure may look."""
        found = key_ends.classes_of(self._host.keyring, erasure.target)
        return {
            one: names
            for one, names in found.items()
            if erasure.within in ("", one) and (one in erasure.tenants or not erasure.tenants)
        }

    def hold(self, holds: Sequence[Hold], indexes: Sequence[int]) -> set[int]:
        """Put into the vault's holds what they match of these; all that is held. On the thread."""
        found = self._worker.select().held(holds, sorted(indexes))
        for hold, kept in found.items():
            self._engine.hold(hold, kept)
        return set().union(*found.values())


def _indexes(portions: Iterable[Portion]) -> list[int]:
    return [index for one in portions for index in (*one.now, *one.later)]


def _merged(portions: Iterable[Portion], more: Iterable[Portion]) -> list[Portion]:
    """One for each bucket; of one that has ``more``, all is ``later``."""
    merged = {bucket_of(one): one for one in portions}
    for one in more:
        known = merged.get(bucket_of(one), one)
        every = sorted({*_indexes([known]), *one.later})
        merged[bucket_of(one)] = msgspec.structs.replace(known, now=(), later=tuple(every))
    return list(merged.values())


def bucket_of(portion: Portion) -> Bucket:
    """The bucket of which a portion is."""
    return Bucket(portion.tenant, portion.retention_class, portion.day)
