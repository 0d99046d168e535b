"""What an erasure of a person must not take: what is below its minimum, of others, or not meant."""

import asyncio
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from affidavit.app import erasing, erasure_run, opening, proving, remembering
from affidavit.app.erasure_choice import Choosing
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.approvals import Approval
from affidavit.control.erasures import Erasure, ErasureStore
from affidavit.control.identity import Identity
from affidavit.control.link import ControlLink
from affidavit.durable import open_database
from affidavit.errors import NotFoundError, RefusedError
from affidavit.ledger.log_reader import LogReader
from affidavit.query import language
from affidavit.query.tree import And, Match, Not, Or, Tree
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import Chain
from affidavit.vault import key_ends
from affidavit.vault.erase import Eraser
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from tests.unit.app.test_approving import _by, _Host, _key, _root
from tests.unit.app.test_holding import counted_looks
from tests.unit.app.test_sequencer import _Later, _sequencer
from tests.world.audit import audit
from tests.world.erasures import Recorder, asked, erased, holds_none

NOW = "2026-11-23T12:00:00.000000Z"
NARROW = (
    "boundaries: {narrow: {rows: 'session:ses_s1', sections: "
    "[who, person, what, context, control, outcome, content]}}\n"
)


def test_a_person_is_erased_in_the_tenant_alone_and_nothing_below_its_minimum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by who sees a part; of a key without an e-mail the name goes from its record, too."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.0)
    root = _root(tmp_path, "retention: {classes: {logs: {regimes: [sox-7y]}}}\n" + NARROW)
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        narrow = await _key(link, "Ann", "compliance", boundary="narrow")
        me, second = await _key(link, "Amy", "compliance"), await _key(link, "Ben", "owner")
        alice = await _key(link, "Alice Doe", "caller", kind="person")
        recorder = await Recorder.open(root, link)
        kept["goes"] = await recorder.exchange(alice, "one", session="s1", kind="person")
        kept["below"] = await recorder.exchange(
            alice, "kept", session="s2", kind="person", retention_class="logs"
        )
        elsewhere = alice | {"tenant": "acme"}
        kept["other"] = await recorder.exchange(elsewhere, "theirs", session="s3", kind="person")
        await recorder.indexed()
        ask = asked("subject", alice["actor"], me)
        with pytest.raises(RefusedError, match="a part of the tenant"):
            await link.call("erasures.ask", ask | {"identity": narrow["id"]})
        made = await link.call("erasures.ask", ask)
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        done = await erased(link, made["id"], "waiting")
        assert [one["records"] for one in done["later"]] == [2]
        assert done["tally"]["records"] == 3, "the exchange and the key's change"
        await recorder.close()

    assert _sequencer(root, story) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["goes"]].parts == {}
    for name in ("below", "other"):
        assert found.requests[kept[name]].parts, name


def test_a_tenant_goes_whole_whoever_made_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another tenant's owner did to its keys, too; no key of its people is left."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.2)
    root = _root(tmp_path, "")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        auditor = await _key(link, "Max", "auditor")
        acme: dict[str, Any] = {"tenant": "acme", "by": _by(owner)["by"]}
        mail = "carol@acme.example"
        carol = await _key(link, "Carol Acme", "caller", kind="person", email=mail, **acme)
        bot = await _key(link, "Dora Bot", "caller", **acme)
        alice = await _key(link, "Alice Doe", "caller", kind="person", by=acme["by"])
        recorder = await Recorder.open(root, link)
        await recorder.exchange(carol, "one", session="s1", kind="person", email=mail)
        kept["stays"] = await recorder.exchange(alice, "two", session="s2", kind="person")
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("tenant", "acme", owner))
        assert made["records"] == 4, "an exchange, and the keys that were made"
        assert set(made["keys"]) == {carol["id"], bot["id"]}
        grant = {"id": made["asked"], "grant": True}
        with pytest.raises(NotFoundError):  # who oversees another tenant
            await link.call("approvals.decide", grant | _by(auditor))
        await link.call("approvals.decide", grant | _by(second))
        done = await erased(link, made["id"])
        assert done["tally"]["subject_keys"] >= 1
        assert {one["name"] for one in await link.call("keys.list", {}) if one["tenant"] == "acme"
                } == {""}  # fmt: skip
        await recorder.close()

    assert _sequencer(root, story) == 0
    assert audit(root, beside=tmp_path / "beside").requests[kept["stays"]].parts
    assert holds_none(root, ["Carol Acme", "carol@acme.example", "Dora Bot"])
    paths = Paths(root)
    keyring, log = opening.keyring(paths, SystemClock()), LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, log.decoded)
    said = "".join(str(vault.sections(index)) for index in range(log.checkpoint().size))
    assert "Alice Doe" in said
    assert "Carol Acme" not in said
    assert "Dora Bot" not in said
    assert key_ends.people_of(keyring, "acme") == {}
    assert key_ends.people_of(keyring, "default") != {}
    vault.close()
    keyring.close()


def test_what_went_in_several_tenants_is_on_record_in_each(tmp_path: Path) -> None:
    """With its own numbers and nothing of the others'; a later run in those alone that it took of.

    So what an attestation counts of a tenant is what went there, whoever asked, from where.
    """
    root = _root(tmp_path, "retention: {classes: {logs: {minimum: 2d}}}\n")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        recorder = await Recorder.open(root, link)
        for tenant, number, name in (("acme", 2, "default"), ("beta", 1, "logs")):
            bot = await _key(link, f"{tenant} bot", "caller", tenant=tenant)
            for n in range(number):
                await recorder.exchange(bot, f"{tenant} {n}", session="s1", retention_class=name)
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("session", "ses_s1", owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        waits = await erased(link, made["id"], "waiting")
        assert (waits["tally"]["records"], waits["tenants"]) == (4, ["acme", "beta"])
        assert "each" not in waits
        kept.update(id=made["id"])
        await recorder.close()

    async def later(link: ControlLink) -> None:
        kept["texts"] = (await erased(link, kept["id"]))["certificates"]

    assert _sequencer(root, story) == 0
    ours, acme = _told(root, "default"), _told(root, "acme")
    assert [one["counts"]["records"] for one in ours["retention.erased"]] == [4]
    (told,) = acme["retention.erased"]
    assert (told["request"], told["counts"]["records"], told["remains"]) == (kept["id"], 4, [])
    assert told["counts"]["blobs"] == ours["retention.erased"][0]["counts"]["blobs"]
    assert not {"exports", "certificate", "keys_revoked"} & set(told)
    assert "retention.erased" not in _told(root, "beta")
    assert _sequencer(root, later, _Later(4)) == 0
    first, last = (hashlib.sha256(text.encode()).hexdigest() for text in kept["texts"])
    assert [one["certificate_digest"] for one in _told(root, "acme")["retention.erased"]] == [first]
    (told,) = _told(root, "beta")["retention.erased"]
    assert (told["counts"]["records"], told["certificate_digest"]) == (2, last)
    for tenant in ("default", "acme", "beta"):
        assert len(_told(root, tenant)["retention.completed"]) == 1, tenant
    assert len(_told(root, "default")["retention.erased"]) == 2


def _told(root: Path, tenant: str) -> dict[str, list[dict[str, Any]]]:
    """What the records of retention kept for a tenant say, by type."""
    paths, found = Paths(root), dict[str, list[dict[str, Any]]]()
    keyring, log = opening.keyring(paths, SystemClock()), LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, log.decoded)
    for index in range(log.checkpoint().size):
        kind, bucket = log.decoded(index).type, vault.bucket(index)
        if kind.startswith("retention.") and bucket is not None and bucket[0] == tenant:
            found.setdefault(kind, []).append(vault.sections(index)["what"])
    vault.close()
    keyring.close()
    return found


def test_the_only_owner_is_refused_to_whoever_could_end_that_key(tmp_path: Path) -> None:
    """Who sees another tenant alone could not, and does not learn by it whose pseudonym that is."""
    root = _root(tmp_path, "")

    async def story(link: ControlLink) -> None:
        owner, con = await _key(link, "Own", "owner"), await _key(link, "Con", "compliance")
        eve = await _key(link, "Eve", "compliance", tenant="acme")
        ends = await link.call("keys.list", {})
        for one in ends:
            if one["role"] == "owner" and one["id"] != owner["id"]:
                await link.call("keys.revoke", {"id": one["id"], "by": _by(owner)["by"]})
        ask = asked("subject", owner["actor"], con)
        with pytest.raises(RefusedError, match="last owner") as refused:
            await link.call("erasures.ask", ask)
        hint = "First make another: affidavit keys create NAME --role owner; or hand over"
        assert str(refused.value.hint).startswith(hint), "another person's key stays, of any tenant"
        told = set()
        for actor in (owner["actor"], "act_nobody"):
            with pytest.raises(NotFoundError) as caught:
                await link.call("erasures.ask", asked("subject", actor, eve))
            told.add((caught.value.message, caught.value.hint))
        assert len(told) == 1

    assert _sequencer(root, story) == 0


def test_a_tenant_with_the_last_administrators_stays() -> None:
    """Ownership was given up, so nobody makes keys elsewhere, and no hint says somebody does."""
    ada = Identity("k", "acme", "act_a", "person", "administrator", "", (), "Ada", "", b"", NOW)
    with pytest.raises(RefusedError) as caught:
        erasing.check_somebody_left("tenant", [ada], [ada], NOW)
    assert "keys create" not in str(caught.value.hint)
    with pytest.raises(RefusedError) as caught:
        erasing.check_somebody_left("subject", [ada], [ada], NOW)
    assert str(caught.value.hint).endswith("affidavit keys create NAME --role administrator")


def test_whoever_can_grant_it_sees_the_tenants_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second person of another tenant is none; nor one with a boundary, unless a glass opens it.

    The owner made all keys here, so it does not count either. All keys are looked at once.
    """
    looked = counted_looks(monkeypatch)
    glass = "boundaries: {narrow: {rows: 'team:red'}, opens: {rows: 'team:red', break_glass: {}}}\n"
    root = _root(tmp_path, glass)

    async def story(link: ControlLink) -> None:
        (first, *_) = await link.call("keys.list", {})
        mine = {"by": _by(first)["by"]}
        ann, max_ = await _key(link, "Ann", "compliance", **mine), {"tenant": "acme"} | mine
        bot = await _key(link, "bot", "caller", **mine)
        recorder = await Recorder.open(root, link)
        await recorder.exchange(bot, "hello", session="s1")
        await recorder.indexed()

        async def can() -> bool:
            made = await link.call("erasures.ask", asked("session", "ses_s1", ann))
            return bool(made["grantable"])

        await _key(link, "Max", "auditor", **max_)
        await _key(link, "Nora", "auditor", boundary="narrow", **mine)
        assert not await can()
        await _key(link, "Gil", "auditor", boundary="opens", **mine)
        assert await can()
        assert len(looked) == 2
        await recorder.close()

    assert _sequencer(root, story) == 0


def test_no_erasure_of_a_tenant_leaves_nobody_who_makes_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused when it is asked, and once more before a key ends; it goes on with another owner."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.0)
    root = _root(tmp_path, "")

    async def in_force(link: ControlLink) -> set[str]:
        every = await link.call("keys.list", {})
        return {one["name"] for one in every if one["role"] == "owner" and not one["revoked"]}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "auditor")
        ask = asked("tenant", "default", owner)
        with pytest.raises(RefusedError, match="last owner") as caught:
            await link.call("erasures.ask", ask)
        assert "--role owner --tenant ANOTHER" in str(caught.value.hint)
        zoe = await _key(link, "Zoe", "owner", tenant="acme")
        while (  # noqa: ASYNC110 - asked by a socket
            status := await link.call("status", {})
        )["indexed"] != status["size"]:
            await asyncio.sleep(0.02)
        made = await link.call("erasures.ask", ask)
        await link.call("keys.revoke", {"id": zoe["id"], "by": _by(owner)["by"]})
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        for _ in range(1500):
            problem = (await link.call("status", {}))["erasing_problem"]
            if problem:
                break
            await asyncio.sleep(0.02)
        assert "last owner" in str(problem)
        assert "Own" in await in_force(link)
        await _key(link, "Yves", "owner", tenant="acme")
        await link.call("retention.run", {"begin": True})  # which wakes it
        await erased(link, made["id"])
        assert await in_force(link) == {"Yves"}

    assert _sequencer(root, story) == 0


def test_what_one_tenant_grants_reaches_no_other(tmp_path: Path) -> None:
    """An owner asked for all tenants, and there was something in one: the rest is not granted."""
    state = open_database(tmp_path / "s.db", bytes(32))
    host = _Host(state, 100)
    host.keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    woken: list[bool] = []
    host.erasing = SimpleNamespace(wake=lambda: woken.append(True))
    second, _ = host.identities.draft(tenant="acme", name="Ben", role="auditor")
    tree = language.parse("email:alice@example.com", NOW)
    host.erasures.put(
        Erasure("e", "default", "subject", "act_a", "person", "", msgspec.json.encode(tree), "b",
                "k", "act_o", NOW, 1, "", tenants=("acme",))
    )  # fmt: skip
    approval = Approval("a", "k", "act_o", "default", "r", (), NOW, NOW, kind="erase", target="e")
    asyncio.run(erasing.approved(host, approval, second))
    found = host.erasures.find("e")
    both = And((Match("tenant", "acme"), tree))
    assert (found.state, found.within) == ("running", "acme")
    assert msgspec.json.decode(found.tree, type=Tree) == both
    assert woken
    told = msgspec.structs.replace(found, certificates=("c",))
    for homes, home in (
        (("acme",), "acme"), (("acme", "other"), "default"), (("",), "default"),
    ):  # fmt: skip
        record = proving.of_run(host, msgspec.structs.replace(told, tenants=homes), ())
        assert {record.tenant, *(one.tenant for one in record.chains)} == {home}
    assert msgspec.structs.replace(told, kind="tenant").home == "default"
    assert erasing.tenants_of(found) == ("acme",)
    old = msgspec.structs.replace(found, tenants=(), within="")
    assert erasing.tenants_of(old) == ("acme",), "its tree says it"
    for body in (b"", msgspec.json.encode(tree)):
        assert erasing.tenants_of(msgspec.structs.replace(old, tree=body)) == ("",)
    host.keyring.close()
    state.close()


@pytest.mark.parametrize(
    ("tenants", "rows"),
    [
        (("acme",), Match("tenant", "acme")),
        (("acme", "beta"), Or((Match("tenant", "acme"), Match("tenant", "beta")))),
        (("",), Not(Match("tenant", "", prefix=True))),
        ((), None),
    ],
)
def test_what_owners_grant_reaches_no_tenant_that_was_not_meant(
    tmp_path: Path, tenants: tuple[str, ...], rows: Tree | None
) -> None:
    """Records and the person's keys; the request's own names may stand in any tenant."""
    state = open_database(tmp_path / "s.db", bytes(32))
    host = _Host(state, 100)
    host.keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    host.erasing = SimpleNamespace(wake=lambda: None)
    second, _ = host.identities.draft(tenant="default", name="Ben", role="owner")
    tree = language.parse("end_user:alice@example.com", NOW)
    host.erasures.put(
        Erasure("e", "default", "subject", "act_a", "person", "", msgspec.json.encode(tree), "b",
                "k", "act_o", NOW, 1, "", tenants=tenants)
    )  # fmt: skip
    approval = Approval("a", "k", "act_o", "default", "r", (), NOW, NOW, kind="erase", target="e")
    asyncio.run(erasing.approved(host, approval, second))
    found = host.erasures.find("e")
    assert found.within == ""
    expected = tree if rows is None else And((rows, tree))
    assert msgspec.json.decode(found.tree, type=Tree) == expected
    every = {"acme", "beta", "gamma"}
    host.keyring.subjects((one, "act_a", "c") for one in every)
    keys: Any = SimpleNamespace(keyring=host.keyring)
    unused: Any = None
    reached = Choosing(keys, unused, unused, unused).classes(found)
    assert reached == {one: ["c"] for one in every.intersection(tenants or every)}
    host.keyring.close()
    state.close()


def test_what_comes_in_another_tenant_is_not_part_of_it(tmp_path: Path) -> None:
    """Asked and granted by owners, of records of one; and what was asked by words keeps none."""
    root, mail = _root(tmp_path, ""), "zanzibar@example.com"
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        acme = await _key(link, "bot", "caller", tenant="acme")
        beta = await _key(link, "bot", "caller", tenant="beta")
        recorder = await Recorder.open(root, link)
        kept["acme"] = await recorder.exchange(acme, "one", session="s1", end_user=mail)
        await recorder.indexed()
        words = asked("expression", f"end_user:{mail}", owner, recorded="hmac:y")
        kept["words"] = (await link.call("erasures.ask", words))["id"]
        made = await link.call("erasures.ask", asked("subject", mail, owner, recorded="hmac:x"))
        kept["beta"] = await recorder.exchange(beta, "two", session="s2", end_user=mail)
        await recorder.indexed()
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        done = await erased(link, made["id"])
        assert (done["tenants"], done["tally"]["records"]) == (["acme"], 2)
        await recorder.close()

    assert _sequencer(root, story) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["acme"]].parts == {}
    assert found.requests[kept["beta"]].sections["person"] == {"end_user": mail}
    keyring = opening.keyring(Paths(root), SystemClock())
    state = open_database(root / "state.db", keyring.database_key("state.db"), read_only=True)
    asked_for = ErasureStore(state).find(kept["words"])
    (known,) = (one.erasure for one in remembering.every(keyring) if one.erasure.id == asked_for.id)
    assert (known, asked_for.state) == (asked_for, "asked")
    assert mail.encode() not in msgspec.msgpack.encode(asked_for)
    state.close()
    keyring.close()


@pytest.mark.parametrize("kind", [pytest.param("subject", marks=pytest.mark.slow), "session"])
def test_a_hold_that_is_placed_while_it_goes_is_kept_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """After it was chosen what goes, before the first key is destroyed; the certificate says so.

    It names a bundle, too, that left by then.
    """
    root = _root(tmp_path, "")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        alice = await _key(link, "Alice Doe", "caller", kind="person", email="alice@example.com")
        recorder = await Recorder.open(root, link)
        for name in ("goes", "held"):
            kept[name] = await recorder.exchange(alice, name, session="s1", kind="person")
        await recorder.indexed()
        tree = msgspec.json.encode(language.parse(f"id:{kept['held']}", NOW)).decode()
        place = {"expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
                 "reason": "r", **_by(me)}  # fmt: skip
        leaf = _leaf(root, kept["goes"])
        exported = {"who": _by(me)["by"],
                    "what": {"manifest": "MANIFEST", "leaves": [[leaf, leaf + 1]]}}  # fmt: skip
        more = ("default", "default", (), (Chain("default", "actor", me["actor"]),))
        leaves = recorder._write("access.export", exported, "x", {}, None, more)
        loop = asyncio.get_running_loop()
        original = Eraser._write_down

        def write_down(self: Eraser, *rest: Any) -> Any:
            if "hold" not in kept:
                kept["hold"] = True
                asyncio.run_coroutine_threadsafe(link.call("holds.place", place), loop).result(9)
                asyncio.run_coroutine_threadsafe(leaves, loop).result(9)
            return original(self, *rest)

        monkeypatch.setattr(Eraser, "_write_down", write_down)
        target = "alice@example.com" if kind == "subject" else "ses_s1"
        made = await link.call("erasures.ask", asked(kind, target, me, recorded="hmac:x"))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        done = await erased(link, made["id"], "waiting")
        assert [(one["records"], one["why"][:10]) for one in done["later"]] == [(2, "legal hold")]
        assert done["tally"]["records"] == made["records"] - 2
        (text,) = done["certificates"]
        assert f"by {me['actor']}, manifest MANIFEST" in text
        goes = "what identifies the person, and content" if kind == "subject" else "all sections"
        (line,) = [one for one in text.splitlines() if one.startswith("remains: 2 records, legal")]
        assert f": {goes}" in line
        await recorder.close()

    assert _sequencer(root, story) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["held"]].parts
    assert found.requests[kept["goes"]].parts == {}


def _leaf(root: Path, record: str) -> int:
    log = LogReader(Paths(root).log)
    return next(i for i in range(log.checkpoint().size) if log.decoded(i).id == record)


def test_an_expression_takes_what_was_shown_to_both_and_no_more(tmp_path: Path) -> None:
    """What matches only after it was asked stays; asked and denied, nothing of it is kept."""
    root = _root(tmp_path, "")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        kept["shown"] = await recorder.exchange(bot, "one", session="s1")
        await recorder.indexed()
        denied = await link.call("erasures.ask", asked("expression", "session:ses_s1", owner))
        await link.call("approvals.decide", {"id": denied["asked"], "grant": False, **_by(second)})
        made = await link.call("erasures.ask", asked("expression", "session:ses_s1", owner))
        kept["after"] = await recorder.exchange(bot, "two", session="s1")
        await recorder.indexed()
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        done = await erased(link, made["id"])
        assert (done["tally"]["records"], done["tally"]["digest"]) == (2, made["digest"])
        await recorder.close()

    assert _sequencer(root, story) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["shown"]].parts == {}
    assert found.requests[kept["after"]].parts
    keyring = opening.keyring(Paths(root), SystemClock())
    state = open_database(root / "state.db", keyring.database_key("state.db"), read_only=True)
    assert state.execute("select count(*) from erasure_parts").fetchall() == [(0,)]
    state.close()
    keyring.close()
