"""What the sequencer process decides about approvals, glass and owners, across its own death."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit import durable
from affidavit.app import approving, opening, snapshots, system
from affidavit.app.first_start import DEFAULT_YAML
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.control.approvals import Approval, ApprovalStore
from affidavit.control.erasures import ErasureStore
from affidavit.control.holds import HoldStore
from affidavit.control.identity import Glass, Snapshot
from affidavit.control.link import ControlLink
from affidavit.control.store import IdentityStore
from affidavit.errors import ConfigError, NotFoundError, RefusedError, UsageError
from tests.unit.app.test_sequencer import _sequencer, _types
from tests.world.audit import audit

GLASS = "boundaries: {narrow: {rows: 'team:red', break_glass: {}}}\n"


def _root(tmp_path: Path, more: str = GLASS) -> Path:
    root = tmp_path / "d"
    root.mkdir()
    (root / "config.yaml").write_text(DEFAULT_YAML + more)
    return root


async def _key(link: ControlLink, name: str, role: str, **more: Any) -> dict[str, Any]:
    made = await link.call("keys.create", {"name": name, "role": role, **more})
    identity: dict[str, Any] = made["identity"]
    return identity


def _by(identity: dict[str, Any]) -> dict[str, Any]:
    who = {"tenant": identity["tenant"], "actor": identity["actor"], "role": identity["role"]}
    return {"identity": identity["id"], "by": who}


def test_what_was_granted_is_on_record_first_and_outlives_the_process(tmp_path: Path) -> None:
    """Asked, granted, broken and given up; all of it is there after a restart, once."""
    root = _root(tmp_path)
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        me = await _key(link, "Alice", "responder", boundary="narrow")
        second = await _key(link, "Bob", "compliance")
        question = {"records": ["0199"], "reason": "fire", "boundary": {}, **_by(me)}
        asked = await link.call("approvals.ask", question)
        assert (await link.call("approvals.ask", question))["id"] == asked["id"]
        with pytest.raises(RefusedError, match="second person"):
            await link.call("approvals.decide", {"id": asked["id"], "grant": True, **_by(me)})
        made = await _key(link, "Bob Invented", "compliance", by=_by(me)["by"])
        with pytest.raises(RefusedError, match="made this key"):
            await link.call("approvals.decide", {"id": asked["id"], "grant": True, **_by(made)})
        ghost = await _key(link, "Carla Invented", "responder", by=_by(second)["by"])
        its = await link.call("approvals.ask", question | _by(ghost))
        with pytest.raises(RefusedError, match="You made the key that asked"):
            await link.call("approvals.decide", {"id": its["id"], "grant": True, **_by(second)})
        no = {"id": its["id"], "grant": False, **_by(second)}  # whoever made it may say no
        assert (await link.call("approvals.decide", no))["state"] == "denied"
        its = await link.call("approvals.ask", question | _by(ghost))
        await link.call("keys.revoke", {"id": ghost["id"]})
        with pytest.raises(RefusedError, match="asked is not in force"):
            await link.call("approvals.decide", {"id": its["id"], "grant": True, **_by(me)})
        granted = {"id": asked["id"], "grant": True, **_by(second)}
        assert (await link.call("approvals.decide", granted))["state"] == "granted"
        with pytest.raises(UsageError, match="granted already"):
            await link.call("approvals.decide", granted)
        assert (await link.call("approvals.ask", question))["state"] == "granted"
        glass = await link.call("glass.break", {"reason": "fire", **_by(me)})
        with pytest.raises(RefusedError, match="no glass"):
            await link.call("glass.break", {"reason": "fire", **_by(second)})
        with pytest.raises(RefusedError, match="Nobody would be left"):
            await link.call("keys.give_up", {"by": None})
        seen: Snapshot = msgspec.convert(await link.call("snapshot"), Snapshot)
        assert [one.id for one in seen.glasses] == [glass["id"]]
        kept.update(me=me, asked=question, glass=glass)

    assert _sequencer(root, story) == 0
    types = _types(root)
    assert (types.count("approval.requested"), types.count("approval.granted")) == (3, 2)

    async def later(link: ControlLink) -> None:
        assert (await link.call("approvals.ask", kept["asked"]))["state"] == "granted"
        assert (await link.call("glass.end", _by(kept["me"])))["id"] == kept["glass"]["id"]
        with pytest.raises(NotFoundError):
            await link.call("glass.end", _by(kept["me"]))
        await _key(link, "Carol", "administrator")
        first = await snapshots.first(link)
        assert first.local is not None
        assert first.local.role == "owner"
        gone = await link.call("keys.give_up", {"by": None})
        assert gone["owners"] == [first.local.id]
        after = await snapshots.first(link)
        assert after.local is not None
        assert (after.local.role, after.local.id) == ("administrator", first.local.id)

    assert _sequencer(root, later) == 0
    assert _sequencer(root, snapshots_only) == 0
    types = _types(root)
    assert (types.count("approval.granted"), types.count("change.identity")) == (3, 2)
    assert types.count("change.key") == 6, "giving up is told as such, not as a revocation"
    audit(root, beside=tmp_path / "beside")


async def snapshots_only(link: ControlLink) -> None:
    """Nobody owns, and no owner is made at another start."""
    snapshot = await snapshots.first(link)
    assert [one.role for one in snapshot.identities].count("owner") == 1
    assert snapshot.local is not None
    assert snapshot.local.role == "administrator"
    assert snapshot.glasses == ()


def test_what_was_closed_before_a_crash_is_told_at_the_next_start(tmp_path: Path) -> None:
    """A denial, an end and giving up are in force without their record, and get it, once."""
    root = _root(tmp_path)

    async def story(link: ControlLink) -> None:
        await _key(link, "Carol", "administrator")

    assert _sequencer(root, story) == 0
    key = opening.database_key(Paths(root), "state.db")
    state = durable.open_database(Paths(root).state, key)
    identities, store = IdentityStore(state, SystemClock()), ApprovalStore(state)
    owner = next(one for one in identities.all() if one.role == "owner")
    now = SystemClock().now()
    asked = Approval("0199a", owner.id, owner.actor, "default", "fire", ("0199",), now, now)
    store.put(asked.decided_by(owner, {}, now, grant=False))
    glass = Glass("0199b", owner.id, owner.actor, "default", "narrow", "fire", now, now)
    store.put_glass(glass)
    store.end_glass(glass, now)
    identities.put(msgspec.structs.replace(owner, given_up=now, revoked=now))
    state.close()
    assert _sequencer(root, snapshots_only) == 0
    types = _types(root)
    told = ("approval.denied", "approval.granted", "change.identity", "change.key")
    assert [types.count(kind) for kind in told] == [1, 1, 2, 1]
    state = durable.open_database(Paths(root).state, key)
    assert approving.untold(_Host(state, 100)) == [], "nothing is told twice"
    state.close()


def test_a_boundary_that_is_not_understood_stops_the_start(tmp_path: Path) -> None:
    """One sentence, with the position, before anything is opened."""
    from affidavit.app.sequencing import run as run_sequencer

    root = _root(tmp_path, "boundaries: {narrow: {rows: 'team:red teem:x'}}\n")
    with pytest.raises(ConfigError, match=r"boundaries\.narrow\.rows, character 10") as caught:
        run_sequencer(root, None)
    assert caught.value.hint == "Did you mean team:?"


class _Dead(Exception):  # noqa: N818 - not an error of ours: the process is gone
    """The process died here."""


class _Host:
    """A host that dies at its n-th step: a record, or work on the state."""

    def __init__(self, state: Any, die_at: int) -> None:
        self.identities = IdentityStore(state, SystemClock())
        self.approvals = ApprovalStore(state)
        self.holds = HoldStore(state)
        self.erasures = ErasureStore(state)
        self.erasing: Any = None  # whoever erases asks it; nobody does here
        self.keyring: Any = None  # remembers what is to be erased; nothing is here
        self.state, self.clock, self.deciding = state, SystemClock(), asyncio.Lock()
        self.config = Config()
        self.recorded: list[str] = []
        self._left = die_at

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Dead

    async def ask(self, work: Any) -> Any:
        """Do it, unless dead."""
        self._step()
        return work()

    async def record(self, record: Any) -> None:
        """Note it, unless dead."""
        self._step()
        self.recorded.append(record.type)

    def tell_changed(self) -> None:
        """Nobody listens."""


@pytest.mark.parametrize("grant", [True, False])
def test_dying_at_every_step_leaves_closed_what_is_in_doubt(tmp_path: Path, grant: bool) -> None:
    """No grant counts without its record; a denial counts from its first trace on."""
    ends = set()
    for step in range(12):
        state = durable.open_database(tmp_path / f"{grant}{step}.db", bytes(32))
        host = _Host(state, 100)
        state.execute(system._SCHEMA)
        keys = []
        for name, role in (("A", "responder"), ("B", "compliance")):
            identity, _ = host.identities.draft(tenant="t", name=name, role=role)
            host.identities.put(identity)
            keys.append(identity)
        asked = {"identity": keys[0].id, "records": ["r"], "reason": "x", "boundary": {}, "by": {}}
        question = asyncio.run(approving.ask(host, asked))
        host._left, host.deciding = step, asyncio.Lock()
        answer = {"id": question["id"], "identity": keys[1].id, "grant": grant, "by": {}}
        died = False
        try:
            asyncio.run(approving.decide(host, answer))
        except _Dead:
            died = True
        found = ApprovalStore(state).find(question["id"]).state
        on_record = f"approval.{'granted' if grant else 'denied'}" in host.recorded
        assert not (grant and found == "granted" and not on_record)
        assert not (not grant and on_record and found == "pending")
        untold = approving.untold(host)
        assert bool(untold) == (found == "denied" and (died or not on_record))
        ends.add((died, found, on_record))
        state.close()
    assert (False, "granted" if grant else "denied", True) in ends
    assert {end[0] for end in ends} == {True, False}


def test_no_owner_is_made_beside_one_who_gives_up(tmp_path: Path) -> None:
    """An owner's key that is on its way when everything is given up does not outlive it."""

    async def story(link: ControlLink) -> None:
        await _key(link, "Carol", "administrator")
        outcomes: tuple[Any, Any] = await asyncio.gather(
            link.call("keys.create", {"name": "Mallory", "role": "owner"}),
            link.call("keys.give_up", {"by": None}),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[1], BaseException)
        with pytest.raises(RefusedError, match="given up"):
            await link.call("keys.create", {"name": "Mallory", "role": "owner"})
        every = await link.call("keys.list", {})
        owners = [one for one in every if one["role"] == "owner"]
        assert owners
        assert all(one["given_up"] for one in owners), outcomes[0]

    assert _sequencer(_root(tmp_path), story) == 0


def test_one_key_asks_for_so_many_reveals_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that wait are read for each question, so nobody piles them up for the others."""
    monkeypatch.setattr(approving, "MAX_PENDING", 2)

    async def story(link: ControlLink) -> None:
        me, other = await _key(link, "Alice", "responder"), await _key(link, "Bob", "responder")

        async def ask(record: str, who: dict[str, Any]) -> dict[str, Any]:
            question = {"records": [record], "reason": "fire", "boundary": {}, **_by(who)}
            asked: dict[str, Any] = await link.call("approvals.ask", question)
            return asked

        first, _ = [await ask(record, me) for record in ("a", "b")]
        with pytest.raises(RefusedError, match="wait for a second person already"):
            await ask("c", me)
        assert (await ask("a", me))["id"] == first["id"]
        assert (await ask("c", other))["state"] == "pending"
        await link.call("approvals.decide", {"id": first["id"], "grant": False, **_by(me)})
        assert (await ask("c", me))["state"] == "pending"

    assert _sequencer(_root(tmp_path), story) == 0
