"""What every decision of the sequencer process is made of: who asks, and the record of it.

Rules: who asks is looked up by the key's id, whatever the console says; a record is in the chains
of all whom it is about. Not here: what is decided (``approving``, ``holding``, ``erasing``).
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import apsw

from affidavit.app import system
from affidavit.clock import Clock, add_seconds
from affidavit.config import Config
from affidavit.control.approvals import (
    MAX_PENDING,
    PENDING_SECONDS,
    Approval,
    ApprovalStore,
    Kind,
    second_persons,
)
from affidavit.control.holds import HoldStore
from affidavit.control.identity import Identity
from affidavit.control.store import IdentityStore
from affidavit.errors import RefusedError
from affidavit.query import named
from affidavit.query.boundary import Boundary, oversees
from affidavit.record.model import Chain, Record

T = TypeVar("T")
Keep = Callable[[Any], None]
"""Keeps the answer of a write, within the transaction that does it."""
News = list[tuple[Record, str, str]]
"""Records to be made, each with the name and the fact that ``system.told`` remembers."""


def unkept(_: Any) -> None:
    """Of a write that nobody sends again, no answer is kept."""


class Setting(Protocol):
    """What a record needs to be made."""

    config: Config

    @property
    def clock(self) -> Clock:
        """What time it is."""


class Host(Protocol):
    """What is needed of the sequencer process; ``deciding`` is held from question to answer."""

    identities: IdentityStore
    approvals: ApprovalStore
    holds: HoldStore
    state: apsw.Connection
    config: Config
    deciding: asyncio.Lock

    @property
    def clock(self) -> Clock:
        """What time it is."""

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` where the state may be touched."""

    async def record(self, record: Record) -> None:
        """Put a record on record; durable on return."""

    def tell_changed(self) -> None:
        """Wake whoever waits for a newer snapshot."""


async def asker(host: Host, identity: str) -> tuple[Identity, str]:
    """The identity of a key that is in force, and the time; else ``RefusedError``."""
    now = host.clock.now()
    found = await host.ask(lambda: host.identities.find(identity))
    if not found.in_force(now):
        raise RefusedError("This key is not in force any more.")
    return found, now


async def boundary(host: Host, identity: Identity, now: str) -> Boundary:
    """What an identity may see now, with the glass it has broken, if any."""
    glasses = await host.ask(host.approvals.glasses)
    mine = [one for one in glasses if one.by == identity.id and now < one.until]
    return named.boundary_of(identity, host.config, now, mine[-1] if mine else None)


def grantable(
    config: Config, who: Identity, asked: str, every: Sequence[Identity], tenants: Collection[str]
) -> bool:
    """Whether somebody can grant what ``who`` ``asked`` (when), and sees all of these tenants.

    With a broken glass, where there may be one. If nobody can when it is asked, nobody ever can:
    the keys of a second person are older than the question.
    """
    for one in second_persons(who, asked, every):
        with contextlib.suppress(RefusedError):  # it may not read
            if oversees(one, named.widest(one, config, asked), *tenants):
                return True
    return False


async def close(host: Host, record: Record, name: str) -> None:
    """Put on record what was closed, and remember that it is."""
    await host.record(record)
    await host.ask(lambda: system.told(host.state, name, ""))


async def question(
    host: Host, who: Identity, now: str, kind: Kind, by: Mapping[str, Any] | None, *,
    target: str, reason: str, what: Mapping[str, Any], more: Callable[[Approval], None],
) -> Approval:  # fmt: skip
    """Ask for a second person, on record first; ``more`` stores in the same transaction.

    ``RefusedError`` if ``MAX_PENDING`` questions of this kind and key wait already.
    """
    store = host.approvals
    if await host.ask(lambda: store.waiting(who.id, now, kind)) >= MAX_PENDING:
        raise RefusedError(
            f"{MAX_PENDING} questions of yours wait for a second person already.",
            hint="Take one back: affidavit approvals deny ID",
        )
    said = {"operation": kind, "target": {"kind": kind, "name": target}, "reason": reason, **what}
    record = recorded(host, "approval.requested", by, said, {}, who.tenant, [who.actor])
    await host.record(record)
    made = Approval(
        id=record.id, by=who.id, actor=who.actor, tenant=who.tenant, reason=reason, records=(),
        asked=now, until=add_seconds(now, PENDING_SECONDS[kind]), kind=kind, target=target,
    )  # fmt: skip

    def put() -> None:
        with host.state:
            store.put(made)
            more(made)

    await host.ask(put)
    return made


def recorded(
    host: Setting,
    kind: str,
    by: Mapping[str, Any] | None,
    what: Mapping[str, Any],
    control: Mapping[str, Any],
    tenant: str,
    actors: Sequence[str] = (),
) -> Record:
    """A record by somebody (the ``who`` of a reader), in the chains of all whom it is about."""
    who = dict(by) if by else {"tenant": tenant, "kind": "service", "role": "setup"}
    whom = [str(who["actor"])] if "actor" in who else []
    chains = dict.fromkeys(Chain(tenant, "actor", actor) for actor in [*whom, *actors])
    sections = {"who": who, "what": dict(what), **({"control": dict(control)} if control else {})}
    return system.make(kind, host.clock, host.config, sections, *chains)
