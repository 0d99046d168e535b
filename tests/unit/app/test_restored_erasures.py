"""What was erased, or was to be, since the backup that was restored: neither back nor lost."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from affidavit.app import (
    approving,
    erasure_loop,
    erasure_run,
    forgetting,
    opening,
    remembering,
    restored_requests,
    system,
)
from affidavit.app.backup import Copying, stopped
from affidavit.app.erasing import forget_lapsed
from affidavit.app.paths import Paths
from affidavit.app.restored_requests import Applied
from affidavit.app.restoring import Restoring
from affidavit.cli.backup import restore
from affidavit.clock import SystemClock, add_seconds
from affidavit.config import Config
from affidavit.control.approvals import Approval, ApprovalStore
from affidavit.control.erasures import Erasure, ErasureStore, Portion
from affidavit.control.holds import Hold, HoldStore
from affidavit.control.identity import Identity
from affidavit.control.link import ControlLink
from affidavit.control.saved import SavedQueries, SavedQuery
from affidavit.control.store import IdentityStore
from affidavit.durable import Disk, open_database
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault import key_ends, remembered
from affidavit.vault.keyring import Keyring
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer, _types
from tests.world.audit import audit
from tests.world.erasures import NOW, Recorder, asked, erased, holds_none

CLOCK = SystemClock()
MAIL = "carol@acme.example"
Kept = dict[str, Any]


async def _before(link: ControlLink, root: Path, kept: Kept) -> None:
    """Of one tenant a person and a service; of the other what waits for its day, and what not."""
    owner, kept["second"] = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
    acme: dict[str, Any] = {"tenant": "acme", "by": _by(owner)["by"]}
    carol = await _key(link, "Carol Acme", "caller", kind="person", email=MAIL, **acme)
    await _key(link, "Dora Bot", "caller", **acme)
    bot = await _key(link, "bot", "caller", by=acme["by"])
    for name, tenant in (("hers", "acme"), ("others", "default")):
        said = f"email:{MAIL}"
        query = {"tenant": tenant, "scope": "team", "holder": "red", "author": "act_x",
                 "saved": NOW, "name": name, "expression": said}  # fmt: skip
        await link.call("saved.put", query)
    recorder = await Recorder.open(root, link)
    await recorder.exchange(carol, "one", session="s1", kind="person", email=MAIL)
    for name in ("s2", "s4", "s5"):
        kind = "default" if name == "s4" else "logs"
        made = await recorder.exchange(bot, f"of {name}", session=name, retention_class=kind)
        kept[name] = made
    await recorder.indexed()
    await recorder.close()
    kept["owner"] = owner


async def _since(link: ControlLink, root: Path, kept: Kept) -> None:
    """One is done, two are granted and wait, one is asked; and one by whom no backup knows."""
    grant = {"grant": True, **_by(kept["second"])}
    recorder = await Recorder.open(root, link)
    later = await recorder.exchange(
        {"tenant": "default", "actor": "act_l", "id": "key_l"}, "later", session="s5",
        retention_class="logs",
    )  # fmt: skip
    await recorder.indexed()
    await recorder.close()
    eve = await _key(link, "Eve", "compliance")
    owner = kept["owner"]
    for name, ask in {
        "tenant": asked("tenant", "acme", owner),
        "waits": asked("session", "ses_s2", owner, when_due=True),
        "words": asked("expression", "session:ses_s5", owner, when_due=True),
        "asked": asked("session", "ses_s4", owner),
        "eve's": asked("session", "ses_s4", eve),
    }.items():
        kept[name] = await link.call("erasures.ask", ask)
    assert kept["words"]["records"] == 4, later
    for name in ("tenant", "waits", "words"):
        await link.call("approvals.decide", {"id": kept[name]["asked"], **grant})
        await erased(link, kept[name]["id"], "done" if name == "tenant" else "waiting")


def _keys_of_now(root: Path, backup: Path, keys: Path) -> None:
    """What is left of an installation whose log is lost: nobody has a newer one."""
    (keys / "keys").mkdir(parents=True)
    for path in root.glob("keys.db*"):
        shutil.copy(path, keys / path.name)
    shutil.copy(root / "keys" / "kek", keys / "keys" / "kek")
    shutil.copy(backup / "log" / "checkpoint", keys / "checkpoint")


def _state(root: Path) -> tuple[list[Identity], list[str]]:
    """The identities, and the names of what is saved."""
    state = open_database(root / "state.db", opening.database_key(Paths(root), "state.db"))
    found = [*IdentityStore(state, CLOCK).all()], [one.name for one in SavedQueries(state).all()]
    state.close()
    return found


class _Host:
    """A state and keys, and nothing that runs."""

    def __init__(self, root: Path) -> None:
        self.clock = CLOCK
        self.state = open_database(root / "state.db", bytes(32))
        kek = KeyEncryptionKey(bytes(32))
        self.keyring = Keyring.open(root / "keys.db", kek, CLOCK)
        self.approvals, self.erasures = ApprovalStore(self.state), ErasureStore(self.state)
        self.identities = IdentityStore(self.state, CLOCK)

    def person(self, tenant: str, name: str) -> Identity:
        """Somebody who has a key."""
        made, _ = self.identities.draft(tenant=tenant, name=name, kind="person", role="owner")
        self.identities.put(made)
        return made

    def ask(self, name: str, by: str, kind: Any, target: str, **more: Any) -> Erasure:
        """A request that waits for an answer, or of a later ``state``."""
        made = Erasure(
            name, "default", kind, target, "sections", "", b"tree", "b", by, "act_a", CLOCK.now(),
            7, "d", approval=f"q{name}", **more,
        )  # fmt: skip
        self.erasures.put(made)
        asked = Approval(
            f"q{name}", by, "act_a", "default", "b", (), made.asked,
            add_seconds(made.asked, 86_400), kind="erase", target=name,
        )  # fmt: skip
        granted = replace(asked, state="granted", until=made.asked)
        self.approvals.put(asked if made.state == "asked" else granted)
        return made

    def close(self) -> None:
        """Close both databases."""
        self.state.close()
        self.keyring.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[_Host]:
    """One with nothing in it."""
    made = _Host(tmp_path)
    yield made
    made.close()


def _restored(host: _Host, size: int = 100, *, drill: bool = False) -> Applied:
    """As if the backup had been made before any request."""
    host.state.execute("delete from erasures; delete from erasure_parts; delete from approvals")
    return restored_requests.apply(host.state, host.keyring, CLOCK, size, drill=drill)


def test_whoever_was_erased_has_no_name_and_no_key(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person in one tenant or in all, a whole tenant; not whom a request that waits is about.

    All is written anew once, so that no page has a copy.
    """
    anew: list[bool] = []

    def leave_none(*stores: Any) -> None:
        anew.append(True)
        forgetting.leave_none(*stores)

    monkeypatch.setattr("affidavit.app.restored_requests.leave_none", leave_none)
    owner = host.person("default", "Own")
    there = {name: host.person(tenant, name) for name, tenant in (
        ("Here", "a"), ("All", "b"), ("Tenant", "c"), ("Asked", "d"))}  # fmt: skip
    twin = host.person("x", "Twin")
    host.identities.put(replace(twin, actor=there["Here"].actor))
    for name, kind, target, more in (
        ("1", "subject", there["Here"].actor, {"state": "done", "within": "a"}),
        ("2", "subject", there["All"].actor, {"state": "waiting", "run": 1, "certificates": ("",)}),
        ("3", "tenant", "c", {"state": "running", "run": 1}),
        ("4", "tenant", "d", {}),
    ):
        host.ask(name, owner.id, kind, target, **more)
    remembering.agree(host)
    assert _restored(host, drill=True) == Applied(3)
    assert anew == [True]
    named = {one.name: one.revoked for one in host.identities.all()}
    assert named.pop("") is not None
    assert named == {"Own": None, "Twin": None, "Asked": None}
    assert _restored(host).requests == ("2", "3", "4")
    assert host.erasures.find("1").state == "done"
    begun = [(one.id, one.run) for one in host.erasures.all("running")]
    assert begun == [("2", 2), ("3", 1)]
    assert restored_requests.apply(host.state, host.keyring, CLOCK, 100, drill=False) == Applied()


def test_no_request_that_was_not_carried_out_takes_the_last_owner(host: _Host) -> None:
    """Live it waits for another one, and so it does here; what was carried out takes whom it took.

    With another owner, who makes keys then, it takes what it means.
    """
    last, there = host.person("default", "Last"), host.person("a", "There")
    host.ask("1", last.id, "subject", last.actor, state="running", run=1)
    host.ask("2", last.id, "tenant", "a", state="waiting", run=1, certificates=("",))
    remembering.agree(host)
    key = ("default", last.actor, "default")
    host.keyring.subjects([key])
    key_ends.retire_subjects(host.keyring, [key])
    done = _restored(host)
    assert (done.forgotten, done.requests) == (1, ("1", "2"))
    assert {one.name: one.revoked for one in host.identities.all() if one.name} == {"Last": None}
    assert not host.identities.find(there.id).in_force(CLOCK.now())
    assert host.erasures.find("1").state == "running"
    host.person("b", "More")
    assert _restored(host).forgotten == 1
    assert [one.name for one in host.identities.all() if one.name] == ["More"]


def test_what_goes_goes_where_the_erasure_was(host: _Host) -> None:
    """All that an erased tenant saved, and what names a person, in the tenant she was erased in."""
    owner, there = host.person("default", "Own"), host.person("a", "Here")
    saved = SavedQueries(host.state)
    for tenant, words in (("a", "actor:Here"), ("b", "actor:Here"), ("c", "model:m")):
        saved.put(SavedQuery(tenant, "team", "red", "q", words, "act_x", NOW))
    host.ask("1", owner.id, "subject", there.actor, state="running", run=1, within="a")
    host.ask("2", owner.id, "tenant", "c", state="done")
    remembering.agree(host)
    assert _restored(host).forgotten == 1
    assert [query.tenant for query in saved.all()] == ["b"]


def test_a_request_means_no_leaf_that_another_one_takes(host: _Host) -> None:
    """Of records that were lost with the log the numbers are given anew; and who asked is known."""
    owner = host.person("default", "Own")
    host.ask("e", owner.id, "expression", "", state="running", run=1)
    host.erasures.put_parts("e", [Portion("t", "c", "2026-11-23", "", now=(3, 99), later=(5, 100))])
    host.ask("f", "key_since", "session", "ses_x")
    remembering.keep(host, "e", "f")
    done = _restored(host)
    assert (done.requests, len(done.lost)) == (("e",), 1)
    assert done.lost[0].startswith("f: session ses_x, 7 records, asked at ")
    (part,) = host.erasures.parts("e")
    assert (part.now, part.later) == ((), (3, 5, 99))
    assert system.names_told(host.state, restored_requests.RESTORED) == ["restored e"]


def test_what_had_begun_begins_anew(host: _Host) -> None:
    """Chosen, late or certified, it has chosen nothing here; and waits for no leaf of others."""
    owner = host.person("default", "Own")
    host.ask("1", owner.id, "session", "a", state="running", run=1, selected=True)
    host.ask("2", owner.id, "session", "b", state="waiting", run=2, late=True,
             certificates=("", ""), open=(7, 100))  # fmt: skip
    host.ask("3", owner.id, "session", "c", state="running", run=1, selected=True, open=(99, 101),
             certificates=("",))  # fmt: skip
    remembering.agree(host)
    assert _restored(host, size=100).requests == ("1", "2", "3")
    here = host.erasures.all("running")
    assert [(one.run, one.open) for one in here] == [(1, ()), (3, (7,)), (2, (99,))]
    assert not any(one.selected or one.late for one in here)


def _again(host: _Host) -> Erasure:
    """Acme was erased, all but an answer under way; then Nia came to a new acme."""
    owner = host.person("default", "Own")
    made = host.ask("e", owner.id, "tenant", "acme", state="waiting", run=1, approved=CLOCK.now(),
                    certificates=("",), open=(3,))  # fmt: skip
    nia = host.person("acme", "Nia")
    SavedQueries(host.state).put(SavedQuery("acme", "own", nia.actor, "q", "m", nia.actor, NOW))
    host.keyring.subjects({("acme", nia.actor, "default")})
    return made


def _nia(host: _Host) -> tuple[list[str], int]:
    """Who has a key in acme, and how many queries are saved."""
    every = [one.name for one in host.identities.all() if one.tenant == "acme" and not one.revoked]
    return every, len(SavedQueries(host.state).all())


def test_whoever_came_to_an_erased_tenant_since_is_not_meant(host: _Host) -> None:
    """In a backup of then, whether the answers have come or not; it waits for those alone."""
    made = _again(host)
    host.erasures.put_parts("e", [Portion("acme", "c", "2026-11-23", "", later=(5,))])
    host.erasures.put(replace(made, state="done", run=2, certificates=("", ""), open=()))
    remembering.agree(host)
    host.erasures.put(made)
    done = restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=True)
    assert (done, _nia(host)) == (Applied(), (["Nia"], 1))
    host.erasures.put(replace(made, run=2, late=True, certificates=("", "")))
    remembering.agree(host)
    host.erasures.put(made)
    done = restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=False)
    assert (done.forgotten, done.requests, _nia(host)) == (0, ("e",), (["Nia"], 1))
    here = host.erasures.find("e")
    assert (here.state, here.run, here.late, here.open) == ("running", 3, True, (3,))
    assert [one.later for one in host.erasures.parts("e")] == [(5,)]


def test_a_key_that_ended_tells_of_an_erasure_if_it_is_from_before(host: _Host) -> None:
    """One from after the grant ended with a late answer."""
    made = _again(host)
    key_ends.retire_subjects(host.keyring, key_ends.people_of(host.keyring, "acme").values())
    host.erasures.put(replace(made, state="done"))
    remembering.agree(host)
    done = restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=False)
    assert (done, _nia(host)) == (Applied(), (["Nia"], 1))
    host.erasures.put(replace(made, state="done", approved=CLOCK.now()))
    remembering.agree(host)
    done = restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=True)
    assert (done, _nia(host)) == (Applied(1), ([], 0))


def test_a_session_goes_as_it_was_chosen_unless_more_was_chosen_since(host: _Host) -> None:
    """Only answers were taken since the backup; or all that it meant, and that is looked for."""
    owner = host.person("default", "Own")
    for name in ("late", "whole"):
        made = host.ask(name, owner.id, "session", name, state="waiting", run=1, open=(3,),
                        certificates=("",))  # fmt: skip
        host.erasures.put(replace(made, run=2, late=name == "late", certificates=("", "")))
    remembering.agree(host)
    for name in ("late", "whole"):
        host.erasures.put(replace(host.erasures.find(name), run=1, certificates=("",)))
        host.erasures.put_parts(name, [Portion("t", "c", "2026-11-23", "", later=(5,))])
    restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=False)
    found = {one.id: (one.late, len(host.erasures.parts(one.id))) for one in host.erasures.all()}
    assert found == {"late": (True, 1), "whole": (False, 0)}


def _said(host: _Host) -> tuple[list[str], list[tuple[str, bool]]]:
    """The names of what is saved; who answers for each hold, and whether its words will go."""
    holds = [(one.owner, one.forgets) for one in HoldStore(host.state).all()]
    return [one.name for one in SavedQueries(host.state).all()], holds


@pytest.mark.parametrize("target", ["hmac:as-typed", "act_younger"])
def test_what_says_a_name_goes_though_nobody_knows_the_name_any_more(
    host: _Host, target: str
) -> None:
    """As it went live: of somebody without a key, and of one whose key the backup does not know."""
    owner, mail = host.person("default", "Own"), "bob@x.example"
    saved, holds = SavedQueries(host.state), HoldStore(host.state)
    for name, said in (
        ("plain", f"email:{mail}"), ("phrase", f'"letter of {mail}, 3 May"'),
        ("bob.von-lo", "model:m"), ("name", '"by Bob von Lo."'), ("joy", "email:joy@x.example"),
        ("longer", f"email:a{mail}"), ("part", '"Bob von Loh, Bob"'),
    ):  # fmt: skip
        saved.put(SavedQuery("default", "team", "red", name, said, owner.actor, NOW))
    for name, answers, said in (("h", "Bob@X.example (legal)", "model:m"), ("i", "Joy", mail)):
        holds.put(Hold(name, "default", "m", answers, "r", said, said, b"{}", NOW, "k", "act_o"))
    names = ("Bob@x.example", "Bob von Lo")
    made = host.ask("e", owner.id, "subject", target, state="running", run=1, names=names)
    remembering.keep(host, "e")
    host.erasures.put(replace(made, state="done", names=()))
    remembering.keep(host, "e")
    remembering.agree(host)  # and at each start
    (known,) = remembering.every(host.keyring)
    assert (known.erasure.names, len(known.marks)) == ((), 2)
    assert _restored(host) == Applied()
    assert [one.name for one in saved.all()] == ["joy", "longer", "part"]
    said_by = [(one.owner, one.forgets) for one in holds.all()]
    assert said_by == [(forgetting.NOBODY, False), ("Joy", True)]


def test_a_request_that_was_denied_since_cannot_be_granted(host: _Host) -> None:
    """Its question is over; one that the keys know nothing of, as they are older, waits on."""
    owner = host.person("default", "Own")
    asked = host.ask("e", owner.id, "session", "ses_x")
    remembering.agree(host)
    host.erasures.forget("e")
    remembering.keep(host, "e")
    host.erasures.put(asked)
    host.ask("f", owner.id, "session", "ses_y")
    assert restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=False) == Applied()
    assert [one.id for one in host.erasures.all()] == ["f"]
    assert [one.target for one in host.approvals.open(CLOCK.now())] == ["f"]


def test_keys_of_before_the_answer_do_not_ask_again(host: _Host) -> None:
    """A copy of them goes with later backups, too: what was denied by then stays so."""
    owner = host.person("default", "Own")
    host.ask("e", owner.id, "session", "ses_x")
    remembering.agree(host)
    denied = replace(host.approvals.find("qe"), state="denied")
    host.approvals.put(denied)
    host.erasures.forget("e")
    assert restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=False) == Applied()
    assert (host.approvals.find("qe"), [*host.erasures.all()]) == (denied, [])


def test_a_grant_is_told_again_once_for_one_restore(host: _Host) -> None:
    """Not at each start after another run."""
    owner = host.person("default", "Own")
    made = host.ask("e", owner.id, "session", "a", state="waiting", run=1, certificates=("",))
    remembering.agree(host)
    assert _restored(host).requests == ("e",)
    untold: Any = SimpleNamespace(
        state=host.state, approvals=host.approvals, erasures=host.erasures, clock=CLOCK,
        identities=host.identities, holds=HoldStore(host.state), config=Config(),
    )  # fmt: skip
    names = [name for _, name, _ in approving.untold(untold)]
    assert names == ["granted again e"]
    system.told(host.state, names[0], "")
    host.erasures.put(replace(made, state="waiting", run=3))
    assert approving.untold(untold) == []


def test_what_is_remembered_is_what_is_there(host: _Host) -> None:
    """Denied, lapsed or wiped, it is gone from the keys as well."""
    owner = host.person("default", "Own")
    made = host.ask("e", owner.id, "subject", "act_x", names=("Canary 71f0",))
    host.ask("f", owner.id, "session", "ses_x")
    remembering.keep(host, "e", "f")
    assert [one.erasure.names for one in remembering.every(host.keyring)] == [made.names, ()]
    host.erasures.put(replace(made, state="done", names=(), tree=b""))
    host.erasures.forget("f")
    remembering.agree(host)
    assert [one.erasure.id for one in remembering.every(host.keyring)] == ["e"]
    assert remembering.over(host.keyring) == {"f"}
    with host.keyring.alone() as (database, _):
        assert b"Canary 71f0" not in database.serialize("main")


def test_many_requests_are_written_anew_once_together(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of them for each: of a start, a round and a restore with twice as many, too."""
    owner, calls = host.person("default", "Own"), Counter[str]()

    def counted(name: str, real: Callable[[Any], None]) -> Callable[[Any], None]:
        def call(of: Any) -> None:
            calls[name] += 1
            real(of)

        return call

    monkeypatch.setattr(ErasureStore, "leave_none", counted("state", ErasureStore.leave_none))
    monkeypatch.setattr(remembered, "leave_none", counted("keys", remembered.leave_none))
    done = [f"d{number}" for number in range(20)]
    for name in done:
        host.ask(name, owner.id, "session", name, state="done")
        host.ask(f"waits {name}", owner.id, "session", name)
    remembering.agree(host)
    assert calls == {"keys": 1}
    assert len(_restored(host).requests) == 20
    assert calls == {"keys": 1, "state": 1}
    for question in host.approvals.open(CLOCK.now()):
        host.approvals.put(replace(question, until=CLOCK.now()))
    lapsed = forget_lapsed(host.approvals, host.erasures, CLOCK.now())
    assert lapsed == sorted(f"waits {name}" for name in done)
    remembering.keep(host, *lapsed)
    assert calls == {"keys": 2, "state": 2}
    assert forget_lapsed(host.approvals, host.erasures, CLOCK.now()) == []
    assert remembering.over(host.keyring) == {*lapsed}
    for name in lapsed:  # the backup has them again
        host.ask(name, owner.id, "session", "again")
    assert restored_requests.apply(host.state, host.keyring, CLOCK, 9, drill=False) == Applied()
    assert calls == {"keys": 2, "state": 3}
    assert (sorted(one.id for one in host.erasures.all()), host.approvals.open(CLOCK.now())) == (
        sorted(done), [],
    )  # fmt: skip


@pytest.mark.slow
def test_what_was_erased_or_waited_since_the_backup_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenant stays erased; what waits goes on its day, what is asked can be granted."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)
    root = _root(tmp_path, "retention: {classes: {logs: {minimum: 2d}}}\n")
    kept: Kept = {}
    assert _sequencer(root, lambda link: _before(link, root, kept)) == 0
    paths, disk = Paths(root), Disk()
    cut = stopped(paths, disk, CLOCK, keys=False)
    Copying(paths, cut, tmp_path / "backup", disk, lambda *_: None).run()
    assert _sequencer(root, lambda link: _since(link, root, kept)) == 0
    keys, new = tmp_path / "keys", tmp_path / "new"
    _keys_of_now(root, tmp_path / "backup", keys)
    done = Restoring(tmp_path / "backup", new, keys, disk, CLOCK, {}).run()

    identities, saved = _state(new)
    theirs = [one for one in identities if one.tenant == "acme"]
    assert [(one.name, one.email, one.revoked is None) for one in theirs] == [("", "", False)] * 2
    assert saved == ["others"]
    assert done.forgotten == 2
    assert holds_none(new, ["Carol Acme", "Dora Bot"])
    ids = {name: kept[name]["id"] for name in ("waits", "words", "asked")}
    assert set(done.requests) == set(ids.values())
    assert [one.partition(":")[0] for one in done.lost] == [kept["eve's"]["id"]]
    assert "2 records" in done.lost[0]
    restore(tmp_path / "backup", keys, data=tmp_path / "told")
    told = capsys.readouterr()
    assert all(one in told.out.partition("taken up: ")[2] for one in ids.values())
    assert f"ask anew: {done.lost[0]}" in told.err

    async def later(link: ControlLink) -> None:
        listed = {one["id"]: one for one in await link.call("erasures.list", {})}
        assert kept["eve's"]["id"] not in listed
        assert listed[kept["tenant"]["id"]]["state"] == "done"
        assert listed[ids["asked"]]["question"] == kept["asked"]["asked"]
        ask = {"id": kept["asked"]["asked"], "grant": True, **_by(kept["second"])}
        await link.call("approvals.decide", ask)
        for one in ids.values():
            await erased(link, one)
        assert (await link.call("erasures.show", {"id": ids["words"]}))["tally"]["records"] == 2

    assert _sequencer(new, later, _Later(5)) == 0
    found = audit(new, beside=tmp_path / "beside")
    assert [found.requests[kept[name]].parts for name in ("s2", "s4", "s5")] == [{}] * 3
    types = _types(new)
    assert types.count("approval.granted") == 3
