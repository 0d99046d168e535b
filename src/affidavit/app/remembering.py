"""Erasures as ``keys.db`` remembers them: a restored backup takes up what it never heard of.

Rules: kept when a request is asked, answered, and when a run of it is over, with the question about
it and, where it means the records of then, which; compared with ``state.db`` at each start, which
is right where they differ. What is wiped there is wiped here; of a person's names marks stay, by
which a restore knows what says one; of a request that was denied or has lapsed there is the id
alone. On the thread that owns the state. Not here: what a restore does with
it (``restored_requests``).
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from affidavit.app.name_marks import Mark, marks
from affidavit.clock import Clock
from affidavit.control.approvals import Approval, ApprovalStore
from affidavit.control.erasures import AS_ASKED, Erasure, ErasureStore, Portion
from affidavit.vault import remembered
from affidavit.vault.keyring import Keyring


class Host(Protocol):
    """What is needed of the sequencer process."""

    keyring: Keyring
    approvals: ApprovalStore
    erasures: ErasureStore

    @property
    def clock(self) -> Clock:
        """What time it is."""


class Known(msgspec.Struct, frozen=True):
    """A request; the question about it, unless it is done; what is left of it, if as asked.

    ``marks``: of the names of a person, once the request is done and has forgotten them.
    """

    erasure: Erasure
    question: Approval | None = None
    portions: tuple[Portion, ...] = ()
    marks: tuple[Mark, ...] = ()


def keep(host: Host, *names: str) -> None:
    """Remember requests as they are now in ``state.db``, or that there are none; durable."""
    there = {one.id: one for one in host.erasures.all()} if names else {}
    _keep(host, there, {name: remembered.one(host.keyring, name) for name in names})


def agree(host: Host) -> None:
    """Have ``keys.db`` remember what is in ``state.db``, and nothing else; at a start."""
    there = {one.id: one for one in host.erasures.all()}
    before = remembered.every(host.keyring)
    _keep(host, there, {name: before.get(name) for name in sorted({*there, *before})})


def every(keyring: Keyring) -> list[Known]:
    """All that is remembered and neither denied nor lapsed, oldest first."""
    bodies = remembered.every(keyring).values()
    return [msgspec.msgpack.decode(body, type=Known) for body in bodies if body]


def over(keyring: Keyring) -> frozenset[str]:
    """The ids of those that were denied, or lapsed."""
    return frozenset(name for name, body in remembered.every(keyring).items() if not body)


def _keep(host: Host, there: Mapping[str, Erasure], before: Mapping[str, bytes | None]) -> None:
    """Remember what is ``there`` of the names in ``before``; those that wipe, all at once."""
    bodies: dict[str, bytes] = {}
    wiped = False
    for name, old in before.items():
        erasure = there.get(name)
        known = None if erasure is None else _known(host, erasure, old)
        body = b"" if known is None else msgspec.msgpack.encode(known)
        if body != old:
            bodies[name] = body
            # it knew names, and knows none now
            wiped = wiped or known is None or known.erasure.state == "done"
    if bodies:
        remembered.put(host.keyring, bodies, wiped=wiped)


def _known(host: Host, erasure: Erasure, before: bytes | None) -> Known | None:
    """What is remembered of a request; ``None`` of one that nobody answered in time."""
    if erasure.state == "done":
        return Known(erasure, marks=_marks(host, erasure, before))
    if erasure.state == "asked":
        question = host.approvals.about("erase", erasure.id, host.clock.now())
        if question is None:
            return None
    else:
        question = host.approvals.find(erasure.approval)
    parts = host.erasures.parts(erasure.id) if erasure.kind in AS_ASKED else ()
    return Known(erasure, question, tuple(parts))


def _marks(host: Host, erasure: Erasure, before: bytes | None) -> tuple[Mark, ...]:
    """Of the names of a person: those there are, or what was remembered before they were wiped.

    Of a tenant all that could say one goes, whoever is named.
    """
    if erasure.kind != "subject":
        return ()
    known = msgspec.msgpack.decode(before, type=Known) if before else Known(erasure)
    return known.marks or marks(host.keyring, erasure.names or known.erasure.names)
