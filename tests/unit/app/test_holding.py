"""Legal holds in the sequencer process: placed, released by two, across its own death."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from affidavit import durable
from affidavit.app import approving, deciding, hold_tenants, holding, system
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.control.approvals import Approval, ApprovalStore
from affidavit.control.holds import Hold, HoldStore
from affidavit.control.identity import Identity
from affidavit.control.link import ControlLink
from affidavit.control.store import IdentityStore
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.query import language, named
from affidavit.query.boundary import inject
from affidavit.query.tree import All, And, Match, Tree
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault import key_ends
from affidavit.vault.keyring import Keyring
from tests.unit.app.test_approving import _by, _Dead, _Host, _key, _root
from tests.unit.app.test_sequencer import _sequencer, _types
from tests.world.audit import audit

NOW = "2026-11-23T12:00:00.000000Z"


def _held(identity: dict[str, Any], expression: str = "model:x") -> dict[str, Any]:
    tree = msgspec.json.encode(language.parse(expression, NOW)).decode()
    return {"expression": expression, "recorded": expression, "tree": tree, "matter": "Doe",
            "owner": "", "reason": "suit", **_by(identity)}  # fmt: skip


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each look for somebody who can grant a question: the time it was asked."""
    looked: list[str] = []
    grantable = deciding.grantable

    def look(config: Config, who: Identity, asked: str, *more: Any) -> bool:
        looked.append(asked)
        return grantable(config, who, asked, *more)

    monkeypatch.setattr(deciding, "grantable", look)
    return looked


def test_who_can_grant_a_release_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of when it was asked, also where it is asked again."""
    looked = counted_looks(monkeypatch)

    async def story(link: ControlLink) -> None:
        me = await _key(link, "Alice", "compliance")
        hold = await link.call("holds.place", _held(me))
        looked.clear()  # whoever places one is told, too
        ask = {"id": hold["id"], "reason": "settled"} | _by(me)
        made = await link.call("holds.release", ask)
        assert len(looked) == 1
        assert await link.call("holds.release", ask) == made
        (question,) = await link.call("approvals.list", {})
        assert looked == [question["asked"]] * 2

    assert _sequencer(_root(tmp_path), story) == 0


def test_a_hold_is_placed_by_one_and_released_by_two(tmp_path: Path) -> None:
    """Not by an auditor, not by who asked, not twice; all of it is there after a restart."""
    root = _root(tmp_path)
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Alice", "compliance"), await _key(link, "Bob", "auditor")
        stranger = await _key(link, "Eve", "auditor", tenant="other")
        with pytest.raises(RefusedError, match="decides about no holds"):
            await link.call("holds.place", _held(second))
        with pytest.raises(RefusedError, match="reads content"):
            await link.call("holds.place", _held(me, '"a phrase"'))
        hold = await link.call("holds.place", _held(me))
        assert (hold["owner"], hold["matter"], "tree" in hold) == ("Alice", "Doe", False)
        assert hold["grantable"] is True
        ask = {"id": hold["id"], "reason": "settled"}
        with pytest.raises(RefusedError, match="decides about no holds"):
            await link.call("holds.release", ask | _by(second))
        asked = await link.call("holds.release", ask | _by(me))
        assert (await link.call("holds.release", ask | _by(me)))["asked"] == asked["asked"]
        assert asked["grantable"] is True
        other = await _key(link, "Cleo", "compliance")
        for more in (ask | _by(other), ask | {"reason": "another"} | _by(me)):
            with pytest.raises(RefusedError, match=r"already, by act_\w+ \(settled\)") as refused:
                await link.call("holds.release", more)
            assert refused.value.hint.endswith(f"affidavit approvals deny {asked['asked']}")
        grant = {"id": asked["asked"], "grant": True}
        with pytest.raises(RefusedError, match="second person"):
            await link.call("approvals.decide", grant | _by(me))
        with pytest.raises(NotFoundError):
            await link.call("approvals.decide", grant | _by(stranger))
        # Another tenant's hold, of which an owner asks: its own auditor grants that, and no other.
        theirs = await _key(link, "Evelyn", "compliance", tenant="other")
        owner = await _key(link, "Own", "owner")
        other = await link.call("holds.place", _held(theirs))
        with pytest.raises(NotFoundError):
            await link.call("holds.release", {"id": other["id"], "reason": "r", **_by(me)})
        over = await link.call("holds.release", {"id": other["id"], "reason": "r", **_by(owner)})
        open_ = {one["id"]: one["tenants"] for one in await link.call("approvals.list", {})}
        assert open_ == {asked["asked"]: ["default"], over["asked"]: ["other"]}
        for grants in (True, False):
            answer = {"id": over["asked"], "grant": grants, **_by(second)}
            with pytest.raises(NotFoundError):
                await link.call("approvals.decide", answer)
        # An owner's is on all tenants, or on the one that its words name: no other ends it.
        wide = await link.call("holds.place", _held(owner))
        named = await link.call("holds.place", _held(owner, "tenant:other model:x"))
        seen = {one["id"]: one["tenants"] for one in await link.call("holds.list", {})}
        assert (seen[hold["id"]], seen[wide["id"]], seen[named["id"]]) == (
            ["default"], [""], ["other"],
        )  # fmt: skip
        assert [one["tenants"] for one in await link.call("holds.trees", {})] == [*seen.values()]
        for one, whose in ((wide, me), (named, me)):
            with pytest.raises(NotFoundError):
                await link.call("holds.release", {"id": one["id"], "reason": "r", **_by(whose)})
        with pytest.raises(RefusedError, match="owners alone"):
            await link.call("holds.release", {"id": named["id"], "reason": "r", **_by(theirs)})
        ends = await link.call("holds.release", {"id": named["id"], "reason": "r", **_by(owner)})
        answer = {"id": ends["asked"], "grant": True}
        for whose in (second, stranger):
            with pytest.raises(NotFoundError):
                await link.call("approvals.decide", answer | _by(whose))
        other_owner = await _key(link, "Own2", "owner")
        with pytest.raises(RefusedError, match="made after the question"):
            await link.call("approvals.decide", answer | _by(other_owner))
        await link.call("approvals.decide", answer | {"grant": False} | _by(other_owner))
        grant |= {"id": over["asked"]}
        assert (await link.call("approvals.decide", grant | _by(stranger)))["state"] == "granted"
        grant |= {"id": asked["asked"]}
        kept.update(hold=hold, ask=ask | _by(me), grant=grant | _by(second), asked=asked)

    async def later(link: ControlLink) -> None:
        listed, *_ = await link.call("holds.list", {})
        assert (listed["released"], listed["asked"]) == ("", kept["asked"]["asked"])
        made = await link.call("approvals.decide", kept["grant"])
        assert (made["kind"], made["state"], made["target"]) == (
            "release", "granted", kept["hold"]["id"],
        )  # fmt: skip
        gone, *_ = await link.call("holds.list", {})
        assert gone["released"] == made["decided"]
        with pytest.raises(UsageError, match="was released"):
            await link.call("holds.release", kept["ask"])
        assert await link.call("approvals.list", {}) == []

    assert _sequencer(root, story) == 0
    assert _sequencer(root, later) == 0
    types = _types(root)
    found = [types.count(f"retention.{kind}") for kind in ("held", "released")]
    assert found == [4, 2]
    assert [types.count(f"approval.{kind}") for kind in ("requested", "granted")] == [3, 2]
    audit(root, beside=tmp_path / "beside")


def test_a_release_brings_back_nothing_that_an_erasure_forgot_meanwhile(tmp_path: Path) -> None:
    """Between its record and its row."""
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    host = _Host(state, 100)
    hold = Hold(
        "h", "t", "m", "Alice Doe", "r", "actor:alice", "actor:hmac:x", b"{}", NOW, "k", "a"
    )
    host.holds.put(hold)
    question = Approval("q", "k", "a", "t", "r", (), NOW, NOW, kind="release", target="h")
    second, _ = host.identities.draft(tenant="t", name="B", role="owner")

    async def record(_: Any) -> None:
        forgotten = msgspec.structs.replace(host.holds.find("h"), owner="a").without_words()
        host.holds.put(forgotten)

    assert approving._about(host, question) == {"matter": "m"}
    gone = msgspec.structs.replace(question, kind="erase", target="gone")
    assert approving._about(host, gone) == {}
    host.record = record  # type: ignore[assignment,method-assign] # an erasure beside it
    made = question.decided_by(second, {}, NOW, grant=True)
    asyncio.run(holding.released(host, made, second))
    found = host.holds.find("h")
    assert (found.released, found.releaser) == (NOW, second.actor)
    assert (found.owner, found.expression, found.tree) == ("a", "actor:hmac:x", b"")
    state.close()


def test_dying_at_every_step_leaves_held_what_is_in_doubt(tmp_path: Path) -> None:
    """A hold counts from its first trace and is told; a release only with its record.

    What is on record is known to the keys: whoever restores an older backup hears of it.
    """
    ends = set()
    keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    for step in range(28):
        state = durable.open_database(tmp_path / f"{step}.db", bytes(32))
        host = _Host(state, 100)
        host.keyring = keyring
        state.execute(system._SCHEMA)
        keys = []
        for name, role in (("A", "compliance"), ("B", "owner")):
            identity, _ = host.identities.draft(tenant="t", name=name, role=role)
            host.identities.put(identity)
            keys.append({"identity": identity.id, "by": {}})
        host._left = step
        died = False
        try:
            tree = msgspec.json.encode(language.parse("model:x", NOW)).decode()
            hold = asyncio.run(holding.place(host, {
                "expression": "", "recorded": "", "tree": tree, "matter": "m", "owner": "o",
                "reason": "r", **keys[0]}))  # fmt: skip
            host.deciding = asyncio.Lock()
            asked = asyncio.run(holding.release(host, {"id": hold["id"], "reason": "r", **keys[0]}))
            host.deciding = asyncio.Lock()
            grant = {"id": asked["asked"], "grant": True, **keys[1]}
            asyncio.run(approving.decide(host, grant))
        except _Dead:
            died = True
        recorded = host.recorded
        held = HoldStore(state).in_force()
        released = [one for one in HoldStore(state).all() if one.released]
        assert not released or "retention.released" in recorded
        told = {name for _, name, _ in approving.untold(host)}
        assert all(f"held {one.id}" in told or "retention.held" in recorded for one in held)
        every, lives = HoldStore(state).all(), {*key_ends.live_holds(keyring).values()}
        known = key_ends.remembered_holds(keyring).keys() & lives
        assert "retention.held" not in recorded or {one.id for one in every} <= known
        ends.add((died, bool(held), bool(released)))
        state.close()
    keyring.close()
    assert ends >= {(True, False, False), (True, True, False), (False, False, True)}


def test_anybody_who_oversees_denies_and_only_a_key_in_force_has_asked(tmp_path: Path) -> None:
    """Whoever made the asker's key denies, and revokes it; then nobody grants what it asked."""
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    host = _Host(state, 100)
    host.keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    state.execute(system._SCHEMA)
    made, by = dict[str, Identity](), ""
    for name, role in (("Own", "owner"), ("Con", "compliance"), ("Ben", "owner")):
        made[name], _ = host.identities.draft(tenant="t", name=name, role=role, made_by=by)
        host.identities.put(made[name])
        by = made["Own"].actor if name == "Own" else ""

    async def story() -> None:
        def who(name: str) -> dict[str, Any]:
            return {"identity": made[name].id, "by": {}}

        tree = msgspec.json.encode(language.parse("model:x", NOW)).decode()
        hold = await holding.place(host, {
            "expression": "", "recorded": "", "tree": tree, "matter": "m", "owner": "o",
            "reason": "r", **who("Con")})  # fmt: skip
        ask = {"id": hold["id"], "reason": "r", **who("Con")}
        asked = (await holding.release(host, ask))["asked"]
        with pytest.raises(RefusedError, match="made the key"):
            await approving.decide(host, {"id": asked, "grant": True, **who("Own")})
        denied = await approving.decide(host, {"id": asked, "grant": False, **who("Own")})
        assert denied["state"] == "denied"
        asked = (await holding.release(host, ask))["asked"]
        host.identities.put(msgspec.structs.replace(made["Con"], revoked=NOW))
        with pytest.raises(RefusedError, match="not in force"):
            await approving.decide(host, {"id": asked, "grant": True, **who("Ben")})

    asyncio.run(story())
    host.keyring.close()
    state.close()


def test_where_ownership_was_given_up_a_lost_hold_is_placed_on_all_there_is(tmp_path: Path) -> None:
    """By who oversees its tenant, as nobody oversees all; and its words go with its release."""
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    who, _ = IdentityStore(state, SystemClock()).draft(tenant="t", name="Con", role="compliance")
    within, every = named.boundary_of(who, Config(), NOW, None), All()
    hold = Hold("h", "t", "m", "o", "r", '"Ann"', "hmac:x", b"{}", NOW, who.id, who.actor)
    lost = key_ends.Placed("t", wide=True, words=hold.words)
    for placed, tree, owned in ((lost, every, True), (lost, Match("model", "x"), False),
                                (lost._replace(tenant="u"), every, False)):  # fmt: skip
        with pytest.raises(RefusedError, match="do not see all"):
            holding._again(hold, placed, who, within, tree, owned=owned)
    for known in (lost, None):
        found = holding._again(hold, known, who, within, every, owned=False)
        assert msgspec.json.decode(found.tree, type=Tree) == every
        assert found.over(NOW).expression == "hmac:x"
    state.close()


@pytest.mark.parametrize("words", ["actor:ann@example.com", ""])
def test_an_owner_places_a_lost_hold_of_one_tenant_again_on_that_tenant(
    tmp_path: Path, words: str
) -> None:
    """By the same words or by none; one that was on several is on these again."""
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    who, _ = IdentityStore(state, SystemClock()).draft(tenant="t", name="Own", role="owner")
    within, tree = named.boundary_of(who, Config(), NOW, None), language.parse(words, NOW)
    bound = inject(tree, within, "r")
    hold = Hold("h", "t", "m", "o", "r", words, words, msgspec.json.encode(bound), NOW, who.id,
                who.actor, on=hold_tenants.of(bound))  # fmt: skip
    lost = key_ends.Placed("acme", wide=False, words=hold.words)
    found = holding._again(hold, lost, who, within, tree, owned=True)
    assert (found.tenant, found.on) == ("acme", "acme")
    kept = And((Match("tenant", "acme"), bound))
    assert msgspec.json.decode(found.tree, type=Tree) == kept
    assert hold_tenants.decides(found, owned=True) == "acme"
    wide = holding._again(hold, lost._replace(wide=True), who, within, tree, owned=True)
    assert (wide.tree, wide.on) == (hold.tree, "")
    state.close()


def test_approvals_that_were_stored_before_are_reveals() -> None:
    """A stored approval without a kind reads as what all were then."""
    old = {"id": "i", "by": "k", "actor": "a", "tenant": "t", "reason": "r", "records": ["x"],
           "asked": "", "until": ""}  # fmt: skip
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Approval)
    assert (found.kind, found.target) == ("reveal", "")


def test_a_question_about_a_hold_waits_longer_and_opens_no_record(tmp_path: Path) -> None:
    """It is no standing approval of a reveal of nothing, and lapses after thirty days."""
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    store = ApprovalStore(state)
    until = "2026-12-23T12:00:00.000000Z"
    store.put(Approval("1", "k", "a", "t", "r", (), NOW, until, kind="release", target="h"))
    assert store.standing("k", (), NOW) is None
    later = "2026-12-20T12:00:00.000000Z"
    assert store.about("release", "h", later) is not None
    assert store.waiting("k", later, "release") == 1
    assert store.waiting("k", later) == 0
    assert store.about("release", "h", until) is None
    host = _Host(state, 100)
    host.clock = SimpleNamespace(now=lambda: later)  # type: ignore[assignment] # all that is asked
    (listed,) = asyncio.run(approving.listing(host, {}))
    assert listed["tenants"] == [""], "of a hold that is not here: for owners alone"
    state.close()


def test_a_list_of_questions_reads_all_keys_once_and_only_for_holds(tmp_path: Path) -> None:
    """On the thread that sequences, where there may be many keys, and many questions."""
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    host = _Host(state, 100)
    host.clock = SimpleNamespace(now=lambda: NOW)  # type: ignore[assignment] # all that is asked
    every, reads = host.identities.all, list[int]()

    def read() -> tuple[Identity, ...]:
        reads.append(1)
        return every()

    host.identities.all = read  # type: ignore[method-assign] # counted
    until = "2026-11-24T12:00:00.000000Z"
    host.approvals.put(Approval("r", "k", "a", "t", "r", ("x",), NOW, until))
    assert [one["tenants"] for one in asyncio.run(approving.listing(host, {}))] == [["t"]]
    assert reads == []
    for name in ("t", "u", "v"):
        host.holds.put(Hold(name, name, "m", "o", "r", "", "", b"", NOW, "k", "a", on=name))
        asked = Approval(name, "k", "a", name, "r", (), NOW, until, kind="release", target=name)
        host.approvals.put(asked)
    listed = asyncio.run(approving.listing(host, {}))
    assert sorted(one["tenants"] for one in listed) == [["t"], ["t"], ["u"], ["v"]]
    assert reads == [1]
    state.close()
