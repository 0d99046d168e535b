"""What the sequencer decides about legal holds: placing, and releasing by two persons.

Rules: whoever places a hold does so within the own boundary, as of the words' meaning now; it is
stored, in force, and known to the keys before it is on record, and a record that a crash prevents
is made at the next start. One that a restore lost is placed again on no less than it was on, and
its words go once it is released, as an erasure may have been about them. A release is asked for by
one person and granted by another; it is on record before it is stored. So a crash leaves held what
is in doubt. A hold never widens what anybody may see: it is evaluated where something is about to
be removed. Not here: that (``keeping``).
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from affidavit import ids
from affidavit.app import deciding, hold_tenants, system
from affidavit.app.deciding import Host, Keep, News, unkept
from affidavit.control.approvals import Approval
from affidavit.control.holds import Hold
from affidavit.control.identity import Identity, check_preserves, is_owned
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.query.boundary import Boundary, inject, oversees
from affidavit.query.tree import All, And, Match, Tree
from affidavit.record.model import Record
from affidavit.vault import key_ends
from affidavit.vault.key_ends import Placed
from affidavit.vault.keyring import Keyring


class Runner(Protocol):
    """What erases."""

    async def lost(self) -> list[str]:
        """The holds whose keys there are, and nothing else of them, by id."""

    async def placed(self, hold: str) -> Placed | None:
        """What the keys tell of such a hold; ``None`` of one of an earlier release."""


class Placing(Host, Protocol):
    """What is needed of the sequencer process to place a hold."""

    keyring: Keyring

    @property
    def erasing(self) -> Runner:
        """What erases."""


async def place(host: Placing, params: dict[str, Any], keep: Keep = unkept) -> dict[str, Any]:
    """Place a hold on what ``tree`` matches within the boundary of ``identity``.

    ``again``: the id of one of which a restored backup knew nothing; ``UsageError`` of any other,
    ``RefusedError`` if it would hold less than it did. ``grantable``: whether there is somebody by
    now who could grant its release to who placed it; with ``dry`` that is told alone.
    """
    again = str(params.get("again", ""))
    async with host.deciding:
        if again and again not in await host.erasing.lost():  # here, as two may place it at once
            raise UsageError(f"No hold {again} is missing here.", hint="affidavit doctor")
        who, now = await deciding.asker(host, params["identity"])
        check_preserves(who)
        within = await deciding.boundary(host, who, now)
        tree = msgspec.json.decode(params["tree"], type=Tree)
        bound = inject(tree, within, str(params["reason"]))
        hold = Hold(
            id=again or ids.record_id(), tenant=who.tenant, matter=str(params["matter"]),
            owner=str(params["owner"]) or who.name, reason=str(params["reason"]),
            expression=str(params["expression"]), recorded=str(params["recorded"]),
            tree=msgspec.json.encode(bound), placed=now, by=who.id, actor=who.actor,
            who=params["by"] or {}, on=hold_tenants.of(bound),
        )  # fmt: skip
        if again:
            owned = is_owned(await host.ask(host.identities.all))
            placed = await host.erasing.placed(again)
            hold = _again(hold, placed, who, within, tree, owned=owned)

        every = await host.ask(host.identities.all)
        decides = hold_tenants.decides(hold, owned=hold_tenants.owned(every))
        can = deciding.grantable(host.config, who, now, every, [decides])
        if params.get("dry"):
            return {"grantable": can}
        placed_so = shown(hold) | {"grantable": can}

        def put() -> None:
            with host.state:
                host.holds.put(hold)
                keep(placed_so)

        async with host.holds.gate.changing():  # from here on nothing of it goes
            await host.ask(put)
        await host.ask(lambda: _known(host.keyring, hold))  # a round of erasing can last for hours
        await deciding.close(host, _record(host, hold, "retention.held"), f"held {hold.id}")
        return placed_so


def _again(
    hold: Hold, placed: Placed | None, who: Identity, within: Boundary, tree: Tree, *, owned: bool
) -> Hold:
    """The hold, in the tenant that it was of; ``RefusedError`` unless it is on no less than it was.

    The same words, or all, by somebody who sees all that who placed it could; one that was on its
    tenant alone is on no more again. Where ownership was given up (not ``owned``) nobody may: who
    oversees the tenant then holds all that is there.
    """
    every = isinstance(within.rows, All)
    tenant = hold.tenant if placed is None else placed.tenant
    overseen = oversees(who, within, tenant)
    if placed is None:
        enough, same = every, True  # nobody knows its words
    else:
        enough = every or (not placed.wide and overseen)
        same = isinstance(tree, All) or hold.words == placed.words
        if every and not placed.wide:  # who placed it saw that tenant alone, or named it
            mine = And((Match("tenant", tenant), msgspec.json.decode(hold.tree, type=Tree)))
            hold = msgspec.structs.replace(hold, tree=msgspec.json.encode(mine), on=tenant)
    if not enough and not owned and overseen and isinstance(tree, All):
        hold, enough = msgspec.structs.replace(hold, tree=msgspec.json.encode(tree), on=""), True
    hold = msgspec.structs.replace(hold, tenant=tenant, forgets=True)
    if not enough:
        raise RefusedError(
            "You do not see all that this hold was placed on.",
            hint="An owner places it again, or who sees all of its tenant."
            if owned
            else "Who sees all of its tenant places it again on '', which is all there is.",
        )
    if not same:
        raise RefusedError(
            "This hold was placed with other words.",
            hint="As affidavit hold list had them; or '', which holds all there is.",
        )
    return hold


async def listing(host: Host, _: dict[str, Any]) -> list[dict[str, Any]]:
    """Every hold ever placed, oldest first; a release that is asked for with it.

    ``tenants``: those that whoever may know of it oversees.
    """
    now = host.clock.now()

    def read() -> list[dict[str, Any]]:
        asked = {one.target: one.id for one in host.approvals.open(now)
                 if one.kind == "release" and one.state == "pending"}  # fmt: skip
        told = _seen(host, host.holds.all())
        return [one | {"asked": asked.get(one["id"], "")} for one in told]

    return await host.ask(read)


async def trees(host: Host, _: dict[str, Any]) -> list[dict[str, Any]]:
    """Every hold in force with what it matches, for whoever explains what is kept."""

    def read() -> list[dict[str, Any]]:
        every = host.holds.in_force()
        told = zip(_seen(host, every), every, strict=True)
        return [one | {"tree": hold.tree.decode()} for one, hold in told]

    return await host.ask(read)


def _seen(host: Host, holds: Sequence[Hold]) -> list[dict[str, Any]]:
    owned = hold_tenants.owned(host.identities.all())
    return [shown(one) | {"tenants": [hold_tenants.sees(one, owned=owned)]} for one in holds]


async def release(host: Host, params: dict[str, Any], keep: Keep = unkept) -> dict[str, Any]:
    """Ask that a hold is released; the question waits for another person.

    The same question of the same person is the one that waits already. ``RefusedError`` if another
    one waits, as a second reason would be lost, and for who may know of the hold alone;
    ``NotFoundError`` for who may not know of it.
    """
    async with host.deciding:
        who, now = await deciding.asker(host, params["identity"])
        check_preserves(who)
        hold = await host.ask(lambda: host.holds.find(params["id"]))
        every = await host.ask(host.identities.all)
        owned = hold_tenants.owned(every)
        within = await deciding.boundary(host, who, now)
        if not oversees(who, within, hold_tenants.sees(hold, owned=owned)):
            raise NotFoundError("There is no such hold.", hint="affidavit hold list")
        if not oversees(who, within, hold_tenants.decides(hold, owned=owned)):
            raise RefusedError("An owner placed this hold: owners alone ask for its release.")
        if hold.released:
            raise UsageError(f"This hold was released at {hold.released}.")
        found = await host.ask(lambda: host.approvals.about("release", hold.id, now))
        if found and (found.actor, found.reason) != (who.actor, str(params["reason"])):
            raise RefusedError(
                f"The release is asked for already, by {found.actor} ({found.reason}).",
                hint=f"To ask yourself, first deny that: affidavit approvals deny {found.id}",
            )

        decides = hold_tenants.decides(hold, owned=owned)
        since = now if found is None else found.asked
        can = deciding.grantable(host.config, who, since, every, [decides])  # once

        def told(asked: Approval) -> dict[str, Any]:
            return shown(hold) | {"asked": asked.id, "until": asked.until, "grantable": can}

        if found is not None:
            answer = told(found)
            await host.ask(lambda: keep(answer))
            return answer
        what = {"matter": hold.matter, "held_since": hold.placed}
        return told(
            await deciding.question(
                host, who, now, "release", params["by"], target=hold.id,
                reason=str(params["reason"]), what=what, more=lambda asked: keep(told(asked)),
            )
        )  # fmt: skip


async def released(
    host: Host, approval: Approval, second: Identity, also: Callable[[], None] = lambda: None
) -> None:
    """Release the hold of a granted approval: on record, then in force, and ``also`` with it."""
    hold = await host.ask(lambda: host.holds.find(approval.target))
    await host.record(_record(host, hold, "retention.released", approval))

    def put() -> None:
        with host.state:
            host.approvals.put(approval)
            now = host.holds.find(hold.id)  # an erasure may have forgotten somebody in it meanwhile
            host.holds.put(now.over(approval.decided, approval.id, second.actor))
            also()

    await host.ask(put)


def untold(host: Host) -> News:
    """Records of holds that a crash kept from being told."""
    return [
        (_record(host, hold, "retention.held"), name, "")
        for hold in host.holds.all()
        if not system.is_told(host.state, name := f"held {hold.id}")
    ]


def shown(hold: Hold) -> dict[str, Any]:
    """A hold as people and scripts see it."""
    found: dict[str, Any] = msgspec.to_builtins(hold)
    for name in ("tree", "who", "recorded", "forgets", "on"):
        del found[name]
    return found


def remembered(hold: Hold) -> Placed:
    """What the keys have to know of a hold."""
    return Placed(hold.tenant, hold_tenants.on(hold) != hold.tenant, hold.words)


def _known(keyring: Keyring, hold: Hold) -> None:
    """Have the keys know of a hold, whose it is first; durable."""
    key_ends.remember_holds(keyring, {hold.id: remembered(hold)})
    key_ends.hold_key(keyring, hold.id)


def _record(host: Host, hold: Hold, kind: str, approval: Approval | None = None) -> Record:
    what = {
        "operation": "hold.release" if approval else "hold.place", "hold": hold.id,
        "matter": hold.matter, "expression": hold.recorded,
        "reason": approval.reason if approval else hold.reason, "placed": hold.placed,
    }  # fmt: skip
    if approval is None:
        return deciding.recorded(host, kind, _alone(hold.who), what, {}, hold.tenant, [hold.actor])
    what |= {"asked_by": approval.actor, "asked": approval.asked}
    control = {"approval": approval.id, "approver": approval.approver, "decision": "allow"}
    actors = [approval.actor, approval.approver]
    return deciding.recorded(host, kind, _alone(approval.who), what, control, hold.tenant, actors)


def _alone(who: dict[str, object]) -> dict[str, object]:
    """Who it was, without the team: a hold is not for the team of who placed it to read of."""
    return {name: value for name, value in who.items() if name not in ("team", "groups")}
