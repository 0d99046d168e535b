"""Carrying out one erasure, step by step.

The steps of a run, and what a crash within each leaves:

1. names: keys of the person revoked, name and address gone from ``state.db`` (done again; not by
   a run for late answers alone, nor by a later one of a tenant);
2. select: what goes now and what later, stored (done again, from what is stored and found);
3. vault: keys destroyed, ciphertext overwritten (the engine goes on and knows the sums);
4. index: rows and text derived anew, in slices; then nothing left of it in its files;
5. state and journal: no page of ``state.db`` and no journal segment of before, and the keys of the
   day destroyed with which those were sealed;
6. keys: all keys under a new key-encryption key, so that old copies of ``keys.db`` open nothing;
7. certificate: signed, stored, on record; what is left waits for its day.

So what is in doubt is gone on with, and asked twice nothing happens twice. Holds are looked at
again before each portion goes. A request is not done before all that is meant has its answer: the
certificate names what was under way when the run chose, and a run of its own takes these answers.
Not here: who asked and agreed (``erasing``), what a run takes (``erasure_choice``), when
(``erasure_loop``).
"""

import asyncio
import contextlib
import functools
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from affidavit.app import forgetting, proving, remembering, system
from affidavit.app.erasing import check_somebody_left, whose
from affidavit.app.erasure_choice import Choosing, bucket_of
from affidavit.app.erasure_host import Host, Worker
from affidavit.app.purging import Journals, Purging
from affidavit.app.selecting import Left, digest
from affidavit.app.stuck import stuck
from affidavit.control.erasures import Erasure, Portion, Tally, What
from affidavit.control.hold_gate import ChangedError
from affidavit.control.holds import Hold
from affidavit.errors import UsageError
from affidavit.ledger.note import Signer
from affidavit.vault.erase import IN_USE, Eraser, Step
from affidavit.vault.erased import Erased
from affidavit.vault.segments import Bucket
from affidavit.vault.stocktaking import Stocktaking

KNOWN_SECONDS = 1.5
"""After which every gateway knows that a key was revoked, and has recorded what it let in."""


class Taken(NamedTuple):
    """What the vault took in one place of a tenant."""

    tenant: str
    erased: Erased


class Runs:
    """Carries out runs, one at a time, for one sequencer process; on the event loop."""

    def __init__(
        self,
        host: Host,
        engine: Eraser,
        worker: Worker,
        purging: Purging,
        signer: Signer,
        stocks: Stocktaking,
    ) -> None:
        self._host = host
        self._engine = engine
        self._worker = worker
        self._purging = purging
        self._signer = signer
        self._choosing = Choosing(host, engine, worker, stocks)

    async def again(self, erasure: Erasure, *, every: bool) -> None:
        """Have another run begin if all answers that were waited for have come.

        ``every``: or some of them, or if something of what waits may go now. Of a tenant it takes
        what the first one chose: whoever came to a tenant of that name since is not meant.
        """
        if not every and not erasure.open:
            return
        whole = every and await self._may_go(erasure)
        waits = await self._choosing.unanswered(erasure.open)
        came = len(erasure.open) - len(waits)
        if whole or (came and (every or not waits)):
            begun = msgspec.structs.replace(
                erasure, state="running", run=erasure.run + 1, selected=False, tally=Tally(),
                finished="", late=not whole or erasure.kind == "tenant",
            )  # fmt: skip
            await self._host.ask(lambda: self._host.erasures.put(begun))

    async def _may_go(self, erasure: Erasure) -> bool:
        """Whether something may go now of what waited for its day, or for the end of a hold."""
        host, now = self._host, self._host.clock.now()
        holds = await host.ask(host.holds.in_force)
        parts = await host.ask(lambda: host.erasures.parts(erasure.id))

        def look() -> bool:
            divided = self._worker.select().divided
            return any(divided(one, holds, now).now for one in parts)

        return await self._worker.do(look)

    async def carry_out(self, erasure: Erasure) -> None:
        """Carry out the run that is under way; where it was left, it goes on."""
        host = self._host
        if len(erasure.certificates) == erasure.run:  # and perhaps not told
            await self._tell(erasure, await host.ask(lambda: host.erasures.parts(erasure.id)))
            return
        if not erasure.selected:
            erasure = await self._choosing.choose(await self._names(erasure))
        parts = await host.ask(lambda: host.erasures.parts(erasure.id))
        try:
            done, parts = await self._destroy(erasure, parts)
        except UsageError as error:
            if error.detail.get("reason") != IN_USE:
                raise
            # something of the person came meanwhile: look again, next time
            again = msgspec.structs.replace(erasure, selected=False)
            await host.ask(lambda: host.erasures.put(again))
            return
        gone = sorted(index for of in _gone(parts, done).values() for index in of)
        await self._purging.index(gone)
        await self._purging.databases()
        journals = await self._purging.journals()
        await host.renewing.renew(host, reason=f"erasure {erasure.id}")
        erasure = await self._certify(erasure, parts, done, gone, journals)
        await self._tell(erasure, parts)
        for _, erased in done:
            await self._worker.do(functools.partial(self._engine.settle, erased))

    async def _names(self, erasure: Erasure) -> Erasure:
        """Forget who a person was, and end the keys; what comes from now on gets other keys.

        ``RefusedError`` if nobody would be left by now who makes keys: it waits for somebody.
        """
        host = self._host
        if erasure.kind not in ("subject", "tenant"):
            return erasure
        if erasure.late:  # whoever is called so, or is there, by now is not who was meant
            await host.ask(lambda: self._retire(erasure))
            return erasure
        whole = erasure.target if erasure.kind == "tenant" else ""

        def forget() -> Erasure:
            every, now = host.identities.all(), host.clock.now()
            known = whose(erasure.kind, erasure.target, erasure.within, every)
            check_somebody_left(erasure.kind, every, known, now)
            with host.state:
                revoked = forgetting.forget(
                    host.state, host.identities, host.saved, host.holds, host.answered, known,
                    erasure.names, now, within=whole or erasure.within, tenant=whole,
                )  # fmt: skip
                forgetting.leave_none(host.state, host.identities, host.saved, host.holds)
                made = msgspec.structs.replace(erasure, revoked=(*erasure.revoked, *revoked))
                host.erasures.put(made)
            return made

        async with host.deciding:  # who is between a look at a key's holder and storing it is first
            made = await host.ask(forget)
        host.tell_changed()
        for one in await host.ask(host.identities.all):
            told = f"revoked {one.id}"
            if one.id in made.revoked and not await host.ask(
                functools.partial(system.is_told, host.state, told)
            ):
                by = dict(erasure.who)
                await host.record(system.key_change(host.clock, host.config, one, "revoked", by))
                await host.ask(functools.partial(system.told, host.state, told, ""))
        if made.revoked:
            await asyncio.sleep(KNOWN_SECONDS)
        await host.ask(lambda: self._retire(made))
        return made

    def _retire(self, erasure: Erasure) -> None:
        if erasure.kind == "tenant" and erasure.late:  # buckets: each as something of it goes
            self._host.vault.retire_returned(erasure.target)
            return
        if erasure.kind == "tenant":
            self._host.vault.retire_tenant(erasure.target)
            return
        for tenant, classes in self._choosing.classes(erasure).items():
            self._host.vault.retire_subject(tenant, erasure.target, classes)

    async def _destroy(
        self, erasure: Erasure, parts: Sequence[Portion]
    ) -> tuple[list[Taken], list[Portion]]:
        """Have the vault erase; what it did, and the portions, without what may not go after all.

        ``UsageError``, ``reason`` ``IN_USE``, if a key of the person is in use again that was
        retired; or of a question about what goes, or of a hold that was released just now.
        """
        host, what = self._host, erasure.what
        while True:
            step = host.holds.gate.as_of_now()
            holds = await host.ask(host.holds.in_force)
            work = functools.partial(self._narrowed, parts, holds)
            narrowed = await self._worker.do(work)
            with contextlib.suppress(ChangedError):  # what was held meanwhile stays, the rest goes
                done = await self._taken(erasure, narrowed, step)
                held = {index for _, one in done for index in one.held}
                work = functools.partial(self._rest_of, narrowed, held, what)
                return done, await self._worker.do(work)

    async def _taken(self, erasure: Erasure, parts: Sequence[Portion], step: Step) -> list[Taken]:
        """What the vault took of what goes ``now``, as far as no hold has it."""
        request = f"{erasure.id}/{erasure.run}"
        done: list[Taken] = []
        if erasure.kind == "subject":
            for tenant, classes in self._choosing.classes(erasure).items():
                may = {index for one in parts if one.tenant == tenant for index in one.now}
                work = functools.partial(
                    self._engine.subject, tenant, erasure.target, classes, may, request, step
                )
                done.append(Taken(tenant, await self._worker.do(work)))
        # Where nothing goes any more, an earlier attempt may have taken something.
        for part in parts:
            erased = await self._records(erasure, bucket_of(part), part.now, request, step)
            done.append(Taken(part.tenant, erased))
        if erasure.kind == "tenant":
            people = functools.partial(self._engine.people, erasure.target, request)
            done.append(Taken(erasure.target, await self._worker.do(people)))
        return done

    def _rest_of(self, parts: Sequence[Portion], held: set[int], what: What) -> list[Portion]:
        """The portions after it: ``later`` is what still opens."""
        found = []
        for part in parts:
            stays = {*part.later, *held.intersection(part.now)}
            opened = self._engine.opened(bucket_of(part), stays, what) if stays else ()
            now = tuple(index for index in part.now if index not in held)
            found.append(msgspec.structs.replace(part, now=now, later=tuple(sorted(opened))))
        return found

    def _narrowed(self, parts: Sequence[Portion], holds: Sequence[Hold]) -> list[Portion]:
        """The same without what a minimum or a hold keeps by now; the vault's holds get it."""
        self._choosing.hold(holds, [index for one in parts for index in one.now])
        found, time = [], self._host.clock.now()
        for part in parts:
            may = set(self._worker.select().divided(part, holds, time).now)
            now = tuple(index for index in part.now if index in may)
            later = tuple(sorted({*part.later, *part.now}.difference(now)))
            found.append(msgspec.structs.replace(part, now=now, later=later))
        return found

    async def _records(
        self, erasure: Erasure, bucket: Bucket, indexes: Sequence[int], request: str, step: Step
    ) -> Erased:
        erase = functools.partial(
            self._engine.records, bucket, indexes, erasure.what, request, step
        )
        if erasure.kind == "subject":  # most of it is gone with the person's key
            try:
                return await self._worker.do(erase)
            except UsageError:
                pass
        if indexes:
            await self._host.ask(lambda: self._host.vault.retire([bucket]))
        return await self._worker.do(erase)

    async def _certify(
        self, erasure: Erasure, parts: Sequence[Portion], done: Sequence[Taken],
        gone: Sequence[int], journals: Journals,
    ) -> Erasure:  # fmt: skip
        """Store the sums and the certificate."""
        host = self._host
        named = f"certificate key {self._signer.vkey}"
        if not await host.ask(lambda: system.is_told(host.state, named)):
            await host.record(proving.of_key(host, self._signer.vkey))
            await host.ask(lambda: system.told(host.state, named, ""))
        left = await why_left(host, self._worker, parts, erasure.open)
        exports = await self._choosing.exports(gone, erasure.exports)  # some while it went
        made = msgspec.structs.replace(
            erasure, tally=_tally(gone, [one for _, one in done]), each=_each(erasure, parts, done),
            exports=exports, finished=host.clock.now(),
        )  # fmt: skip
        text = proving.certificate(host.config, made, left, journals, self._signer)
        made = msgspec.structs.replace(made, certificates=(*made.certificates, text))

        def put() -> None:
            with host.state:
                host.erasures.put_parts(made.id, parts)
                host.erasures.put_gone(made.id, made.run, gone)
                host.erasures.put(made)

        await host.ask(put)
        return made

    async def _tell(self, erasure: Erasure, parts: Sequence[Portion]) -> None:
        """Put on record what went; what is left waits, or the request is done and forgets."""
        host = self._host
        name = f"erased {erasure.id} {erasure.run}"
        waits = bool(erasure.open) or any(one.later for one in parts)
        over = not waits and erasure.run > 1
        for tenant in sorted(erasure.each):
            await self._tell_in(tenant, erasure, parts, over=over)
        if not await host.ask(lambda: system.is_told(host.state, name)):
            left = await why_left(host, self._worker, parts, erasure.open)
            await host.record(proving.of_run(host, erasure, left))
            if over:
                await host.record(proving.completed(host, erasure, erasure.home))
        made = msgspec.structs.replace(erasure, state="waiting" if waits else "done")
        if not waits:
            made = msgspec.structs.replace(made, tree=b"", names=())

        def put() -> None:
            rest = [msgspec.structs.replace(one, now=()) for one in parts]
            with host.state:
                host.erasures.put(made)
                host.erasures.put_parts(made.id, rest)
                if not waits:  # whose names were wiped
                    host.erasures.leave_none()
                system.told(host.state, name, "")
                remembering.keep(host, made.id)  # first: what is wiped there is wiped here

        await host.ask(put)
        await self._purging.databases()  # what the request knew of the person is gone from disk

    async def _tell_in(
        self, tenant: str, erasure: Erasure, parts: Sequence[Portion], *, over: bool
    ) -> None:
        """Put on record what of another tenant went, if something did, and that all is ``over``."""
        host, name = self._host, f"erased {erasure.id} {erasure.run} {tenant}"
        if await host.ask(lambda: system.is_told(host.state, name)):
            return
        if erasure.each[tenant].records or erasure.each[tenant].subject_keys:
            mine = [one for one in parts if one.tenant == tenant]
            left = await why_left(host, self._worker, mine, ())
            await host.record(proving.of_run_in(host, erasure, tenant, left))
        if over:
            await host.record(proving.completed(host, erasure, tenant))
        await host.ask(lambda: system.told(host.state, name, ""))


async def why_left(
    host: Host, worker: Worker, portions: Sequence[Portion], under_way: Sequence[int]
) -> tuple[Left, ...]:
    """Why what is left of these does not go yet, nor the answers to what is ``under_way``."""
    left: list[Left] = []
    if any(one.later for one in portions):
        holds, now = await host.ask(host.holds.in_force), host.clock.now()
        left += await worker.do(lambda: worker.select().left(portions, holds, now))
    waits = len(await stuck(host, under_way))
    for records, why in ((len(under_way) - waits, _UNDER_WAY), (waits, _STUCK)):
        left += [Left(records, "", why)] if records else []
    return tuple(left)


_UNDER_WAY = "answers under way, which go once they have come"
_STUCK = "answers that wait for what is damaged, and somebody has to see to"


def _gone(parts: Sequence[Portion], done: Sequence[Taken]) -> dict[str, set[int]]:
    """What went, by tenant, those included of which something only waits.

    Also what an earlier attempt took, which is among ``done``, and what had nothing left to take.
    """
    found: dict[str, set[int]] = {}
    for tenant, indexes in [
        *((one.tenant, one.now) for one in parts),
        *((one.tenant, one.erased.indexes) for one in done),
    ]:
        found.setdefault(tenant, set()).update(indexes)
    return found


def _tally(gone: Collection[int], done: Sequence[Erased]) -> Tally:
    return Tally(
        records=len(gone), blobs=sum(one.blobs for one in done),
        bytes=sum(one.bytes for one in done), locked=sum(one.locked for one in done),
        subject_keys=sum(one.subject_keys for one in done), digest=digest(gone),
    )  # fmt: skip


def _each(erasure: Erasure, parts: Sequence[Portion], done: Sequence[Taken]) -> dict[str, Tally]:
    """What went of each other tenant than that in which all of it is on record.

    None of a whole tenant's erasure, which would take such a record.
    """
    if erasure.kind == "tenant":
        return {}
    gone = {tenant: set[int]() for tenant in erasure.each} | _gone(parts, done)
    return {
        tenant: _tally(mine, [one.erased for one in done if one.tenant == tenant])
        for tenant, mine in gone.items()
        if tenant != erasure.home
    }
