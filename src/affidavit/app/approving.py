"""What the sequencer does about second persons, broken glass, and an owner who gives up.

Rules: what opens something (a grant, a broken glass) is on record before it is stored; what closes
something (a denial, an end, giving up) is stored before it is recorded, and a record that a crash
prevents is made at the next start (``untold``). So a crash leaves closed what is in doubt. Who asks
is looked up here, by the key's id, whatever the console says. Who grants oversees the tenants that
it is of: those of the hold (``hold_tenants``) or of what is to be erased, wherever the one who
asked is from. Not
here: whether a boundary covers a record (the console, which reads), and the tables
(``control.approvals``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from affidavit.app import erasing, erasures_told, hold_tenants, holding, system
from affidavit.app.deciding import Keep, News, asker, boundary, close, recorded, unkept
from affidavit.app.erasing import Host
from affidavit.app.restored_requests import RESTORED
from affidavit.clock import add_seconds
from affidavit.control.approvals import MAX_PENDING, PENDING_SECONDS, Approval, check_second
from affidavit.control.identity import ADMINISTRATOR, APPROVE, OWNER, Glass, Identity
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.query import named
from affidavit.query.boundary import oversees
from affidavit.record.model import Record

_ANEW = "Somebody asks anew; affidavit approvals deny ID answers this one."


async def ask(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    """The approval that counts for ``identity`` and ``records``, asked for now if there is none.

    ``RefusedError`` if ``MAX_PENDING`` of this key wait already: all of them are read for each
    question, on the thread that sequences.
    """
    records = tuple(str(one) for one in params["records"])
    async with host.deciding:
        me, now = await asker(host, params["identity"])
        store = host.approvals
        found = await host.ask(lambda: store.standing(me.id, records, now))
        if found is not None:
            return shown(found)
        if await host.ask(lambda: store.waiting(me.id, now)) >= MAX_PENDING:
            raise RefusedError(
                f"{MAX_PENDING} of your reveals wait for a second person already.",
                hint="Take one back: affidavit approvals deny ID",
            )
        what = {"operation": "reveal", "reason": params["reason"], "records": list(records),
                "boundary": params["boundary"]}  # fmt: skip
        record = _record(host, "approval.requested", params["by"], what, {}, me)
        await host.record(record)
        made = Approval(
            id=record.id, by=me.id, actor=me.actor, tenant=me.tenant,
            reason=params["reason"], records=records, asked=now,
            until=add_seconds(now, PENDING_SECONDS["reveal"]),
        )  # fmt: skip
        await host.ask(lambda: store.put(made))
        return shown(made)


async def listing(host: Host, _: dict[str, Any]) -> list[dict[str, Any]]:
    """All approvals that are pending, or granted and not over.

    ``erasure``: what it is about; ``tenants``: those that whoever answers has to oversee.
    """
    now = host.clock.now()
    every = await host.ask(lambda: host.approvals.open(now))
    told = await erasures_told.about(host, every)
    owned = await _owned(host, every)
    whose = [await _tenants(host, one, owned=owned) for one in every]
    return [
        shown(one) | {"erasure": what, "tenants": tenants}
        for one, what, tenants in zip(every, told, whose, strict=True)
    ]


async def _owned(host: Host, approvals: Sequence[Approval]) -> bool:
    """What ``_tenants`` has to know of all keys: they are read once, and only for a release."""
    if not any(one.kind == "release" for one in approvals):
        return False
    return hold_tenants.owned(await host.ask(host.identities.all))


async def _tenants(host: Host, approval: Approval, *, owned: bool) -> Sequence[str]:
    """Whose records, hold or erasure it is about; ``""``, for owners alone, if that is gone.

    ``owned``: as ``_owned`` says.
    """
    try:
        if approval.kind == "release":
            hold = await host.ask(lambda: host.holds.find(approval.target))
            return [hold_tenants.decides(hold, owned=owned)]
        if approval.kind == "erase":
            return erasing.tenants_of(await host.ask(lambda: host.erasures.find(approval.target)))
    except NotFoundError:
        return [""]
    return [approval.tenant]


async def decide(host: Host, params: dict[str, Any], keep: Keep = unkept) -> dict[str, Any]:
    """Grant or deny, by ``identity`` with a role that approves; a grant is another person's.

    Who asked may take the question back, which denies it. ``RefusedError`` for a grant where the
    key that asked is not in force any more.
    """
    grant = bool(params["grant"])
    async with host.deciding:
        second, now = await asker(host, params["identity"])
        store = host.approvals
        found = await host.ask(lambda: store.pending(params["id"], now))
        first = await host.ask(lambda: host.identities.find(found.by))
        if grant or second.actor != first.actor:  # who asked may take it back
            if second.role not in APPROVE:
                raise RefusedError(f"The role {second.role} does not approve.")
            if not await _may_know(host, second, found, now):
                raise NotFoundError("There is no such approval.", hint="affidavit approvals list")
            if grant:  # a denial takes nothing, so it needs no second person
                if not first.in_force(now):
                    raise RefusedError("The key that asked is not in force any more.", hint=_ANEW)
                every = await host.ask(host.identities.all)
                check_second(first, second, found.asked, every)
        made = found.decided_by(second, params["by"], now, grant=grant)
        about = await host.ask(lambda: _about(host, made))  # before a denial forgets it

        def told() -> None:
            keep(shown(made))

        def put() -> None:
            with host.state:
                store.put(made)
                told()

        if grant:
            await host.record(_decision(host, made, about))
        if grant and made.kind == "release":
            await holding.released(host, made, second, told)
        elif grant and made.kind == "erase":
            await erasing.approved(host, made, second, told)
        elif made.kind == "erase":
            await erasing.denied(host, made, told)
        else:
            await host.ask(put)
        if not grant:
            await close(host, _decision(host, made, about), f"denied {made.id}")
        return shown(made)


async def _may_know(host: Host, who: Identity, approval: Approval, now: str) -> bool:
    """Whether somebody may know of what is asked; of a reveal's records the console sees to it."""
    if approval.kind == "reveal":
        return who.role == OWNER or who.tenant == approval.tenant
    within = await boundary(host, who, now)
    owned = await _owned(host, [approval])
    return oversees(who, within, *await _tenants(host, approval, owned=owned))


async def break_glass(host: Host, params: dict[str, Any], keep: Keep = unkept) -> dict[str, Any]:
    """Widen the boundary of ``identity`` for a while, as its configuration allows.

    ``UsageError`` if a glass of this key is broken already; ``RefusedError`` if there is none.
    """
    async with host.deciding:
        who, now = await asker(host, params["identity"])
        glasses = await host.ask(host.approvals.glasses)
        if any(one.by == who.id and now < one.until for one in glasses):
            raise UsageError("The glass is broken already.", hint="affidavit break-glass --end")
        reason = str(params["reason"])
        drawn = Glass("", who.id, who.actor, who.tenant, "", reason, now, "")
        glass = named.glass_of(who, host.config, drawn)
        record = _glass_record(host, glass, params["by"], "begun")
        glass = msgspec.structs.replace(glass, id=record.id)
        told: dict[str, Any] = msgspec.to_builtins(glass)

        def put() -> None:
            with host.state:
                host.approvals.put_glass(glass)
                keep(told)

        await host.record(record)
        await host.ask(put)
        host.tell_changed()
        return told


async def end_glass(host: Host, params: dict[str, Any], keep: Keep = unkept) -> dict[str, Any]:
    """End the glass of ``identity``; ``NotFoundError`` if none is broken."""
    async with host.deciding:
        who, now = await asker(host, params["identity"])
        glasses = await host.ask(host.approvals.glasses)
        mine = [one for one in glasses if one.by == who.id and now < one.until]
        if not mine:
            raise NotFoundError("No glass of this key is broken.")
        told: dict[str, Any] = msgspec.to_builtins(mine[-1])

        def put() -> None:
            with host.state:
                host.approvals.end_glass(mine[-1], now)
                keep(told)

        await host.ask(put)
        host.tell_changed()
        record = _glass_record(host, mine[-1], params["by"], "ended")
        await close(host, record, f"glass ended {mine[-1].id}")
        return told


async def give_up(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    """Revoke every owner's key for good: who administrates is whoever has such a key.

    ``RefusedError`` if nobody else has one that is in force.
    """
    async with host.deciding:
        now = host.clock.now()
        every = await host.ask(host.identities.all)
        heirs = [one for one in every if one.role == ADMINISTRATOR and one.in_force(now)]
        if not heirs:
            raise RefusedError(
                "Nobody would be left who can administrate.",
                hint="First make a key: affidavit keys create NAME --role administrator",
            )
        owners = [one for one in every if one.role == OWNER and not one.given_up]
        gone = [
            msgspec.structs.replace(one, given_up=now, revoked=one.revoked or now) for one in owners
        ]
        await host.ask(lambda: host.identities.put(*gone))
        host.tell_changed()
        for one in gone:
            await close(host, _given_up(host, one, params["by"]), f"given up {one.id}")
        return {"owners": [one.id for one in gone], "administrators": [one.id for one in heirs]}


def untold(host: Host) -> News:
    """Records of what was closed and of which a crash prevented the record."""
    found: News = holding.untold(host)
    for denied in host.approvals.denied():
        if not system.is_told(host.state, name := f"denied {denied.id}"):
            found.append((_decision(host, denied, _about(host, denied)), name, ""))
    for glass in host.approvals.glasses(ended=True):
        if not system.is_told(host.state, name := f"glass ended {glass.id}"):
            found.append((_glass_record(host, glass, None, "ended"), name, ""))
    for restored in system.names_told(host.state, RESTORED):
        asked = host.erasures.find(restored.removeprefix(RESTORED))
        if not system.is_told(host.state, name := f"granted again {asked.id}"):
            granted = host.approvals.find(asked.approval)
            about = _about(host, granted)
            found.append((_decision(host, granted, about, phase="restored"), name, ""))
    for owner in host.identities.all():
        if owner.given_up and not system.is_told(host.state, name := f"given up {owner.id}"):
            found.append((_given_up(host, owner, None), name, ""))
    return found


def shown(approval: Approval) -> dict[str, Any]:
    """An approval as people and scripts see it."""
    found: dict[str, Any] = msgspec.to_builtins(approval)
    del found["who"]
    return found


def _record(
    host: Host,
    kind: str,
    by: Mapping[str, Any] | None,
    what: dict[str, Any],
    control: dict[str, Any],
    *whose: Identity | Approval | Glass,
) -> Record:
    """A record by somebody (the ``who`` of a reader), in the chains of all whom it is about."""
    actors = [one.actor for one in whose]
    return recorded(host, kind, by, what, control, whose[0].tenant, actors)


def _about(host: Host, approval: Approval) -> dict[str, Any]:
    """What a decision says of the hold or the erasure; nothing of what is gone by now."""
    try:
        if approval.kind == "release":
            return {"matter": host.holds.find(approval.target).matter}
        if approval.kind == "erase":
            asked = host.erasures.find(approval.target)
            return {"of": asked.target or asked.expression, "records": asked.planned}
    except NotFoundError:
        pass
    return {}


def _decision(
    host: Host, approval: Approval, about: Mapping[str, Any], *, phase: str = ""
) -> Record:
    granted = approval.state == "granted"
    what: dict[str, Any] = {"operation": approval.kind, "reason": approval.reason}
    if approval.kind == "reveal":
        what["records"] = list(approval.records)
    else:
        what["target"] = {"kind": approval.kind, "name": approval.target}
    what |= about
    what |= {"asked_by": approval.actor, "until": approval.until}
    what |= {"phase": phase} if phase else {}
    control = {"approval": approval.id, "approver": approval.approver,
               "decision": "allow" if granted else "deny"}  # fmt: skip
    kind = "approval.granted" if granted else "approval.denied"
    return _record(host, kind, approval.who, what, control, approval)


def _glass_record(host: Host, glass: Glass, by: Mapping[str, Any] | None, phase: str) -> Record:
    what = {"operation": "break_glass", "phase": phase, "reason": glass.reason,
            "boundary": glass.boundary, "until": glass.until}  # fmt: skip
    control = {"approval": glass.id} if glass.id else {}
    return _record(host, "approval.granted", by, what, control, glass)


def _given_up(host: Host, owner: Identity, by: Mapping[str, Any] | None) -> Record:
    what = {"identity": owner.id, "actor": owner.actor, "change": "given_up",
            "before": {"role": OWNER}, "after": {"role": ADMINISTRATOR}}  # fmt: skip
    return _record(host, "change.identity", by, what, {}, owner)
