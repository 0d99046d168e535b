"""Answers that come after their requests were erased: named in the certificate, and erased, too."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_choice, erasure_loop, erasure_run, opening, purging
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.evidence import certificate
from affidavit.ledger.log_reader import LogReader
from affidavit.vault import key_ends
from affidavit.vault.reader import VaultReader
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer, _types
from tests.world.audit import audit
from tests.world.erasures import NOW, Recorder, asked, erased

UNDER_WAY = "answers under way, which go once they have come"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers take longer than an erasure waits for them."""
    for module in (erasure_choice, purging):
        monkeypatch.setattr(module, "WAIT", 0.1)
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)


def _said(root: Path, word: str) -> Iterator[int]:
    """The leaves in whose content a word still opens."""
    paths = Paths(root)
    keyring, log = opening.keyring(paths, SystemClock()), LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, log.decoded)
    for index in range(log.checkpoint().size):
        if any(word.encode() in data for data in vault.parts(index).values()):
            yield index
    vault.close()
    keyring.close()


def _remains(text: str) -> list[str]:
    return [
        value for name, value in certificate.check(text.encode(), []).lines if name == "remains"
    ]


def test_what_was_under_way_is_named_and_goes_when_it_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a restart, with one answer of two that never comes; nothing newer goes with it."""
    root = _root(tmp_path, "")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        late, never = asyncio.Event(), asyncio.Event()
        comes, stays = [
            asyncio.create_task(recorder.exchange(bot, word, session="s1", answer_at=event))
            for word, event in (("zanzibar", late), ("samarkand", never))
        ]
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("session", "ses_s1", owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        waits = await erased(link, made["id"], "waiting")
        assert waits["tally"]["records"] == 2
        assert waits["later"] == [{"records": 2, "until": "", "why": UNDER_WAY}]
        told = f"2 records, {UNDER_WAY}: all sections and content"
        assert told in _remains(waits["certificates"][0])
        late.set()
        kept.update(id=made["id"], answered=await comes)
        kept["new"] = await recorder.exchange(bot, "new", session="s1")
        await recorder.indexed()
        stays.cancel()
        await recorder.close()

    async def later(link: ControlLink) -> None:
        done = await erased(link, kept["id"])
        assert _remains(done["certificates"][-1]) == ["nothing of what was asked for"]

    assert _sequencer(root, story) == 0
    monkeypatch.setattr(purging, "WAIT", 20.0)  # the journal that was left is taken in
    assert _sequencer(root, later) == 0
    assert list(_said(root, "zanzibar")) == []
    assert _types(root).count("retention.completed") == 1
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["answered"]].parts == {}
    assert found.requests[kept["new"]].parts


def test_whoever_comes_to_an_erased_tenant_keeps_key_and_records(tmp_path: Path) -> None:
    """An answer that comes late ends the key that it came under, and no other."""
    root = _root(tmp_path, "")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        acme: dict[str, Any] = {"tenant": "acme", "by": _by(owner)["by"], "kind": "person"}
        old = await _key(link, "Ann", "caller", **acme)
        recorder, late = await Recorder.open(root, link), asyncio.Event()
        work = recorder.exchange(old, "zanzibar", session="s1", kind="person", answer_at=late)
        comes = asyncio.create_task(work)
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("tenant", "acme", owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        await erased(link, made["id"], "waiting")
        nia = await _key(link, "Nia", "caller", **acme)
        kept.update(old=old["actor"], nia=nia["actor"])
        kept["hers"] = await recorder.exchange(nia, "new", session="s2", kind="person")
        late.set()
        kept["late"] = await comes
        await erased(link, made["id"])
        found = {one["name"]: one["revoked"] for one in await link.call("keys.list", {})}
        assert found["Nia"] is None
        await recorder.close()

    assert _sequencer(root, story) == 0
    assert list(_said(root, "zanzibar")) == []
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["hers"]].parts
    keyring = opening.keyring(Paths(root), SystemClock())
    ends = key_ends.subject_ends(keyring, ("acme", kept["nia"], "default"))
    assert [one.in_use for one in ends.values()] == [True]
    assert {who for _, who, _ in key_ends.people_of(keyring, "acme").values()} == {kept["nia"]}
    keyring.close()


def test_a_tenant_that_waits_takes_nobody_who_comes_since(tmp_path: Path) -> None:
    """What was there goes on its day; a new tenant of that name keeps keys, queries and records."""
    root = _root(tmp_path, "retention: {classes: {logs: {minimum: 2d}}}\n")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        acme: dict[str, Any] = {"tenant": "acme", "by": _by(owner)["by"], "kind": "person"}
        old = await _key(link, "Ann", "caller", **acme)
        recorder = await Recorder.open(root, link)
        more: dict[str, Any] = {"kind": "person", "retention_class": "logs"}
        await recorder.exchange(old, "zanzibar", session="s1", **more)
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("tenant", "acme", owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        waits = await erased(link, made["id"], "waiting")
        nia = await _key(link, "Nia", "member", **acme)
        query = {"tenant": "acme", "scope": "own", "holder": nia["actor"], "author": nia["actor"],
                 "saved": NOW, "name": "q", "expression": "model:m"}  # fmt: skip
        await link.call("saved.put", query)
        kept.update(id=made["id"], nia=nia, left=[one["records"] for one in waits["later"]])
        kept["hers"] = await recorder.exchange(nia, "new", session="s2", **more)
        await recorder.indexed()
        await recorder.close()

    async def later(link: ControlLink) -> None:
        done = await erased(link, kept["id"])
        assert [done["tally"]["records"]] == kept["left"] == [2]
        found = {one["name"]: one["revoked"] for one in await link.call("keys.list", {})}
        assert found["Nia"] is None
        hers = {"tenant": "acme", "actor": kept["nia"]["actor"], "team": ""}
        assert len(await link.call("saved.list", hers)) == 1

    assert _sequencer(root, story) == 0
    assert _sequencer(root, later, _Later(5)) == 0
    assert list(_said(root, "zanzibar")) == []
    assert audit(root, beside=tmp_path / "beside").requests[kept["hers"]].parts


@pytest.mark.slow
def test_late_answers_go_whatever_was_asked_for(tmp_path: Path) -> None:
    """A person, a session, a record, a tenant, an expression: each with one certificate more."""
    root = _root(tmp_path, "")
    mail = "alice@example.com"

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        alice = await _key(link, "Alice Doe", "caller", kind="person", email=mail)
        acme = await _key(link, "acme", "caller", tenant="acme", by=_by(owner)["by"])
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        late, open_ = asyncio.Event(), []
        for number, caller in enumerate((alice, bot, bot, acme, bot)):
            more: dict[str, Any] = {"kind": "person", "email": mail} if caller is alice else {}
            name = f"s{number}"
            work = recorder.exchange(caller, "zanzibar", session=name, answer_at=late, **more)
            open_.append(asyncio.create_task(work))
            await asyncio.sleep(0)
        await recorder.indexed()
        reader = LogReader(root / "log")
        every = [reader.decoded(index) for index in range(reader.checkpoint().size)]
        requests = [leaf.id for leaf in every if leaf.type == "exchange.request"]
        asks = [
            asked("subject", mail, owner, recorded="hmac:x"),
            asked("session", "ses_s1", owner),
            asked("record", requests[2], owner),
            asked("tenant", "acme", owner),
            asked("expression", "session:ses_s4", owner, what="content"),
        ]
        made = [await link.call("erasures.ask", one) for one in asks]
        for one in made:
            await link.call("approvals.decide", {"id": one["asked"], "grant": True, **_by(second)})
        for one in made:
            waits = await erased(link, one["id"], "waiting")
            assert (waits["later"][-1]["records"], waits["later"][-1]["why"]) == (1, UNDER_WAY)
        late.set()
        await asyncio.gather(*open_)
        for one in made:
            done = await erased(link, one["id"])
            assert (done["certified"], done["tally"]["records"], done["later"]) == (2, 1, [])
        await recorder.close()

    assert _sequencer(root, story) == 0
    assert list(_said(root, "zanzibar")) == []
    assert _types(root).count("retention.completed") == 5
    audit(root, beside=tmp_path / "beside")
