"""Erasures in the sequencer process: asked, granted by another person, carried out, certified."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app import erasure_run, indexing
from affidavit.control.link import ControlLink
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.evidence import certificate
from affidavit.ledger.note import Verifier
from affidavit.query import language
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer, _types
from tests.world.audit import audit
from tests.world.erasures import Recorder, asked, erased, holds_none

NOW = "2026-11-23T12:00:00.000000Z"


@pytest.mark.slow
def test_a_session_is_erased_by_two_and_what_is_left_equals_a_rebuild(tmp_path: Path) -> None:
    """Planned, refused to the one who asked, granted, carried out, certified; all proofs stand."""
    root = _root(tmp_path, "")
    seen: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "auditor")
        caller = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        mine = [await recorder.exchange(caller, f"secret {n}", session="s1") for n in range(3)]
        other = await recorder.exchange(caller, "stays", session="s2")
        await recorder.indexed()
        with pytest.raises(RefusedError, match="decides about no"):
            await link.call("erasures.ask", asked("session", "ses_s1", second))
        plan = await link.call("erasures.ask", asked("session", "ses_s1", me, dry=True))
        assert (plan["records"], plan["now"], plan["later"]) == (6, 6, [])
        with pytest.raises(NotFoundError):
            await link.call("erasures.ask", asked("session", "ses_none", me))
        made = await link.call("erasures.ask", asked("session", "ses_s1", me))
        with pytest.raises(RefusedError, match="second person"):
            await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(me)})
        assert [one["state"] for one in await link.call("erasures.list", {})] == ["asked"]
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        done = await erased(link, made["id"])
        assert done["tally"]["records"] == 6
        assert done["tally"]["digest"] == plan["digest"]
        seen.update(done=done, mine=mine, other=other, keys=await link.call("log.keys", {}))
        await recorder.close()

    assert _sequencer(root, story) == 0
    types = _types(root)
    assert types.count("retention.erased") == 1
    assert types.count("retention.completed") == 0
    kept = audit(root, beside=tmp_path / "beside")
    assert kept.requests[seen["other"]].parts
    for request in seen["mine"]:
        assert kept.requests[request].parts == {}
        assert kept.requests[request].sections == {}
    (text,) = seen["done"]["certificates"]
    key = Verifier.from_vkey(seen["keys"]["certificate_vkey"])
    opened = certificate.check(text.encode(), [key])
    lines = dict(opened.lines)
    assert lines["records"] == "6"
    assert lines["remains"] == "nothing of what was asked for"


@pytest.mark.slow  # its last connection may be cut while the process ends
def test_a_person_is_erased_with_names_keys_and_saved_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What identifies the person and content go, wherever; others stay; the keys end."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.2)
    monkeypatch.setattr(indexing, "LONG", 7)  # some slices are long, and others are not
    root = _root(tmp_path, "")
    mail, phrase = "alice@example.com", "zanzibar"

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        alice = await _key(link, "Alice Doe", "caller", kind="person", email=mail)
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        mine = [
            await recorder.exchange(alice, f"{phrase} {n}", kind="person", email=mail)
            for n in range(3)
        ]
        through = await recorder.exchange(bot, f"{phrase} by a bot", end_user=mail)
        other = await recorder.exchange(bot, "stays", end_user="bob@example.com")
        query = {"tenant": "default", "scope": "team", "holder": "red", "author": "act_x",
                 "saved": NOW}  # fmt: skip
        for name, words in (("hers", f"actor:{mail}"), ("ours", "model:m")):
            await link.call("saved.put", query | {"name": name, "expression": words})
        late = asyncio.Event()
        open_ = asyncio.create_task(
            recorder.exchange(alice, phrase, kind="person", email=mail, answer_at=late)
        )
        await recorder.indexed()
        ask = asked("subject", mail, me, recorded="hmac:x")
        with pytest.raises(UsageError, match="An erasure is of"):
            await link.call("erasures.ask", ask | {"kind": "everything"})
        made = await link.call("erasures.ask", ask)
        assert (made["target"], made["keys"]) == (alice["actor"], [alice["id"]])
        assert made["records"] == 10, (
            "three exchanges, a question, the bot's request and answer, the key's change"
        )
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        await asyncio.sleep(0.6)  # longer than until the keys are known to be revoked
        late.set()
        mine.append(await open_)
        done = await erased(link, made["id"])
        assert done["tally"]["subject_keys"] >= 1
        (text,) = done["certificates"]
        assert "\nstays: the pseudonym of the person, without a name" in text
        assert "\nstays: keyed digests of the person's names" in text
        assert "\nstays: leaves and links of these records" in text
        assert "\nnot known to this log: texts of others that mention the person" in text
        assert [name for name, _ in certificate.check(text.encode(), []).lines].count("stays") == 3
        assert done["tally"]["records"] == made["records"] + 1, "the answer that came meanwhile"
        known = {one["id"]: one for one in await link.call("keys.list", {})}
        gone = known[alice["id"]]
        assert (gone["name"], gone["email"], bool(gone["revoked"])) == ("", "", True)
        assert known[bot["id"]]["revoked"] is None
        seen = {"tenant": "default", "actor": "act_x", "team": "red"}
        assert [one["name"] for one in await link.call("saved.list", seen)] == ["ours"]
        kept.update(mine=mine, through=through, other=other, alice=alice)
        await recorder.close()

    kept: dict[str, Any] = {}
    assert _sequencer(root, story) == 0
    found = audit(root, beside=tmp_path / "beside")
    for request in [*kept["mine"], kept["through"]]:
        view = found.requests[request]
        assert view.parts == {}
        assert set(view.sections) == {"who", "what"}
    assert found.requests[kept["other"]].sections["person"] == {"end_user": "bob@example.com"}
    assert found.requests[kept["other"]].parts
    assert holds_none(root, [mail, phrase, "Alice Doe", "alice"])


@pytest.mark.slow
def test_nothing_goes_before_its_minimum_or_under_a_hold(tmp_path: Path) -> None:
    """Refused with date and article, the owner too; scheduled, it goes on its day, not before."""
    root = _root(tmp_path, "retention: {classes: {logs: {regimes: [ai-act-6m]}}}\n")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Ann", "owner"), await _key(link, "Ben", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        await recorder.exchange(bot, "below", session="s1", retention_class="logs")
        free = await recorder.exchange(bot, "free", session="s2")
        held = await recorder.exchange(bot, "held", session="s3")
        await recorder.indexed()
        with pytest.raises(RefusedError, match=r"before \d{4}-\d\d-\d\d: .*Art. 26\(6\)"):
            await link.call("erasures.ask", asked("session", "ses_s1", owner))
        tree = msgspec.json.encode(language.parse("session:ses_s3", NOW)).decode()
        hold = await link.call("holds.place", {
            "expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
            "reason": "r", **_by(owner)})  # fmt: skip
        with pytest.raises(RefusedError, match=r"legal hold [0-9a-f-]{36}"):
            await link.call("erasures.ask", asked("session", "ses_s3", owner))
        words = "session:ses_s1 OR session:ses_s2 OR session:ses_s3"
        made = await link.call("erasures.ask", asked("expression", words, owner))
        assert (made["records"], made["now"], len(made["later"])) == (6, 2, 2)
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        waits = await erased(link, made["id"], "waiting")
        assert waits["tally"]["records"] == 2
        assert {one["why"][:10] for one in waits["later"]} == {"legal hold", "the class "}
        ask = {"id": hold["id"], "reason": "settled", **_by(owner)}
        question = await link.call("holds.release", ask)
        grant = {"id": question["asked"], "grant": True, **_by(second)}
        await link.call("approvals.decide", grant)
        for _ in range(600):
            waits = await link.call("erasures.show", {"id": made["id"]})
            if len(waits["later"]) == 1 and waits["state"] == "waiting":
                break
            await asyncio.sleep(0.05)
        assert waits["certified"] == 2
        kept.update(made=made, free=free, held=held)
        await recorder.close()

    async def later(link: ControlLink) -> None:
        done = await erased(link, kept["made"]["id"])
        assert (done["certified"], done["went"], done["tally"]["records"]) == (3, 6, 2)
        assert done["later"] == []

    assert _sequencer(root, story) == 0
    audit(root, beside=tmp_path / "one")
    assert _sequencer(root, _nothing, _Later(183)) == 0
    found = audit(root, beside=tmp_path / "two")
    assert sum(bool(view.parts) for view in found.requests.values()) == 1
    assert _sequencer(root, later, _Later(186)) == 0
    found = audit(root, beside=tmp_path / "three")
    assert sum(bool(view.parts) for view in found.requests.values()) == 0
    assert found.types["retention.erased"] == 3
    assert found.types["retention.completed"] == 1


async def _nothing(link: ControlLink) -> None:
    """A round goes by."""
    await asyncio.sleep(1.0)
    assert (await link.call("status", {}))["erasing_problem"] is None


@pytest.mark.slow
def test_what_is_over_its_maximum_goes_by_itself_but_what_is_held(tmp_path: Path) -> None:
    """At the start of a later day: on record first, content alone, the held exchange stays."""
    root = _root(tmp_path, "retention: {classes: {short: {maximum: 2d}}}\n")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner = await _key(link, "Ann", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        for n in range(3):
            await recorder.exchange(bot, f"goes {n}", session="s1", retention_class="short")
        held = await recorder.exchange(bot, "held", session="s3", retention_class="short")
        stays = await recorder.exchange(bot, "stays", session="s2")
        tree = msgspec.json.encode(language.parse("session:ses_s3", NOW)).decode()
        await link.call("holds.place", {
            "expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
            "reason": "r", **_by(owner)})  # fmt: skip
        more = await recorder.exchange(bot, "held, too", session="s3", retention_class="short")
        await recorder.indexed()
        found = await link.call("retention.run", {"begin": True})
        while found["running"]:
            await asyncio.sleep(0.05)
            found = await link.call("retention.run", {})
        assert (found["buckets"], found["problem"]) == (0, None)
        kept.update(held=held, more=more, stays=stays)
        await recorder.close()

    async def later(link: ControlLink) -> None:
        for _ in range(600):
            found = await link.call("retention.run", {})
            if found["buckets"] and not found["running"] and found["problem"] is None:
                break  # what was wrong before somebody said the day is told until the round ends
            await asyncio.sleep(0.05)
        assert (found["buckets"], found["records"], found["problem"]) == (1, 6, None)

    assert _sequencer(root, story) == 0
    assert _sequencer(root, _nothing, _Later(1)) == 0
    found = audit(root, beside=tmp_path / "one")
    assert sum(bool(view.parts) for view in found.requests.values()) == 6
    assert _sequencer(root, later, _Later(4)) == 0
    found = audit(root, beside=tmp_path / "two")
    left = {request for request, view in found.requests.items() if view.parts}
    assert left == {kept["held"], kept["more"], kept["stays"]}
    assert all("who" in view.sections for view in found.requests.values())
    assert found.types["retention.expired"] == 1
    assert _sequencer(root, _nothing, _Later(5)) == 0
    assert _types(root).count("retention.expired") == 1
