"""Chain of custody: who has read the records of a bundle, as far as the records of reads tell."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.config import Config
from affidavit.config_retention import Retention
from affidavit.console.access import Access
from affidavit.console.app import create_app
from affidavit.console.reads import Reads
from affidavit.control.erasures import Erasure
from affidavit.errors import CorruptError, UsageError
from affidavit.evidence import verify
from affidavit.query import boundary, custody, kept_records
from affidavit.query.kept_records import Request, Under
from affidavit.query.search import Searcher
from affidavit.query.tree import All, Match, Tree
from affidavit.vault.erase import Eraser
from affidavit.vault.reader import NOT_THERE, REMOVED, VaultReader
from affidavit.vault.segments import Bucket, segments_in, wraps_path
from tests.unit.console.conftest import BASE, reader_of
from tests.world.machine import TENANT, Machine


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Two models, each asked twice; what is read of them is recorded."""
    made = Machine(tmp_path_factory.mktemp("custody"))
    made.exchange("first", model="demo-one", session="run")
    made.exchange("second", model="demo-one")
    made.exchange("other", model="demo-two")
    made.settle()
    yield made
    made.close()


@pytest.fixture
def console(machine: Machine) -> Iterator[TestClient]:
    """A client of the console of this module."""
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as one:
        yield one


def ask(console: TestClient, machine: Machine, who: str, path: str, **body: Any) -> Any:
    """Ask as ``who``, and let what was asked be sequenced."""
    headers = {"authorization": f"Bearer {machine.keys[who]}"}
    answer = console.post(path, json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    machine.settle()
    return answer


def exported(console: TestClient, machine: Machine, who: str, expression: str) -> Any:
    """The custody that the manifest of an export states."""
    made = ask(console, machine, who, "/api/export", expression=expression)
    manifest = json.loads(bytes(verify.read_zip(made.content)["manifest.json"]))
    return manifest["custody"]


def test_reads_that_touched_the_records_are_listed_and_others_are_not(
    console: TestClient, machine: Machine
) -> None:
    """A question, a story, a reveal and an export, by whom and why; not a count."""

    def ask_(who: str, path: str, **body: Any) -> Any:
        return ask(console, machine, who, path, **body)

    assert exported(console, machine, "auditor", "model:demo-one") == []
    ask_("responder", "/api/query", expression="model:demo-one", purpose="ticket 7")
    ask_("responder", "/api/query", expression="model:demo-two")
    ask_("responder", "/api/query", expression="model:demo-one", count=True)
    rows = ask_("responder", "/api/query", expression="model:demo-one", view="records").json()
    name = rows["rows"][-1]["id"]
    ask_("auditor", "/api/reveal", id=name, reason="audit 9")
    headers = {"authorization": f"Bearer {machine.keys['responder']}"}
    assert console.get(f"/api/show/{name}", headers=headers).status_code == 200
    ask_("responder", "/api/query", expression='"first"', purpose="words")
    ask_("responder", "/api/export", expression='"first"', purpose="words")
    ask_("owner", "/api/export", expression="model:demo-one", sample=1, seed="S")
    ask_("owner", "/api/export", expression="model:demo-one", count=True)
    found = exported(console, machine, "responder", "model:demo-one")
    assert [entry["leaf"] for entry in found] == sorted(entry["leaf"] for entry in found)
    told = [(entry["type"], entry["purpose"], entry["records"]) for entry in found]
    pair = [rows["rows"][-1]["index"], rows["rows"][-2]["index"]]
    assert ("access.reveal", "audit 9", sorted(pair)) in told
    assert ("access.query", "ticket 7", None) in told
    said = " ".join(entry["said"] for entry in found)
    for words in ("it matches 4 of these", "it matches 2 of these", "cannot be told"):
        assert words in said, said
    assert "demo-two" not in said
    assert any(entry["actor"].endswith("(the auditor)") for entry in found)
    whole = [entry for entry in told if entry[0] == "access.export"]
    assert len(whole[0][2]) == 4
    assert whole[1][1] == "words"
    assert set(whole[1][2]) < set(whole[0][2])
    assert [entry[2] for entry in whole[2:]] == [None]
    assert "drew 1 by a seed" in said
    anonymous = exported(console, machine, "auditor", "model:demo-one")
    assert not any("the auditor" in entry["actor"] for entry in anonymous)
    for section, actors in (("who", {"withheld"}), ("what", set())):
        body = {"expression": "model:demo-one", "withhold": [section]}
        made = ask_("auditor", "/api/export", **body)
        manifest = json.loads(bytes(verify.read_zip(made.content)["manifest.json"]))
        assert {entry["actor"] for entry in manifest["custody"]} == actors


@pytest.mark.parametrize("reason", ["limit", "time"])
def test_a_read_whose_question_cannot_be_put_again_does_not_fail_the_bundle(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """It is listed with *cannot be told*; once one took too long, no other is put."""
    for words in ("model:demo-one type:exchange.*", "model:demo-one type:exchange.request"):
        ask(console, machine, "responder", "/api/query", expression=words, view="records")
    asked: list[Tree] = []

    def within(_: Searcher, records: list[int], inside: boundary.Boundary) -> list[int]:
        asked.append(inside.rows)
        raise UsageError("It cannot be put.", reason=reason)

    monkeypatch.setattr(Searcher, "within", within)
    searcher, size = machine.services().searcher, machine.log.size
    reader = boundary.auditor("act_x", "acme")
    last = custody.custody(searcher, reader, [1], size)[-2:]
    assert all("whether it matches cannot be told" in one["said"] for one in last)
    assert [one["records"] for one in last] == [None, None]
    assert (len(asked) == 1) == (reason == "time")
    reason = "another"
    with pytest.raises(UsageError):
        custody.custody(searcher, reader, [1], size)


def kept(console: TestClient, machine: Machine, who: str) -> Any:
    """What the manifest of an export says of retention."""
    made = ask(console, machine, who, "/api/export", expression="model:demo-one")
    return json.loads(bytes(verify.read_zip(made.content)["manifest.json"]))["retention"]


def test_a_story_matches_what_it_could_tell_of(console: TestClient, machine: Machine) -> None:
    """Not what came after it, lies outside its window, or beyond the boundary of who read it."""

    def story(who: str, name: str, **window: str) -> int:
        headers = {"authorization": f"Bearer {machine.keys[who]}"}
        machine.settle()
        told = console.get(f"/api/show/{name}", params=window, headers=headers)
        assert told.status_code == 200, told.text
        return sum(not line["beside"] for line in told.json()["lines"])

    other, _ = machine.identities.draft(
        tenant=TENANT, name="elsewhere", role="caller", team="research"
    )
    machine.identities.put(other)
    named, _ = machine.exchange("of another team", model="demo-one", caller=other)
    told = [story("responder", "model:demo-one"), story("member", "model:demo-one")]
    machine.clock.advance(3_600)
    machine.exchange("later", model="demo-one")
    told.append(story("responder", "model:demo-one", since="1h"))
    told.append(story("responder", named, since="1h"))
    assert told == [6, 4, 2, 2]
    machine.settle()
    found = exported(console, machine, "auditor", "model:demo-one")
    said = [entry["said"].rpartition("; ")[2] for entry in found]
    assert said == [f"it matches {number} of these." for number in told]


def test_a_tail_matches_what_came_before_it_ended(console: TestClient, machine: Machine) -> None:
    """One that goes on matches what comes; one that ended nothing of what came since."""
    reads = Reads(machine.services(), Access(machine.services()))

    async def followed(*, ends: bool) -> None:
        tail = await reads.tail(reader_of(machine, "responder"), "model:demo-one", 0)
        await anext(tail)
        if ends:
            await tail.aclose()

    asyncio.run(followed(ends=True))
    machine.settle()
    asyncio.run(followed(ends=False))
    machine.settle()
    machine.exchange("later", model="demo-one")
    machine.settle()
    found = exported(console, machine, "auditor", "model:demo-one")
    said = [entry["said"].rpartition("; ")[2] for entry in found]
    assert said == ["it matches 4 of these.", "it matches 6 of these."]


def test_how_the_records_are_kept_is_told(console: TestClient, machine: Machine) -> None:
    """Their class and its limits; holds, of which either half keeps both, to who may know."""
    before = kept(console, machine, "auditor")
    assert [one["class"] for one in before["classes"]] == ["default"]
    assert before["classes"][0]["records"] == 4
    assert (before["holds"], before["erased"], before["due"]) == ([], [], [])
    half = "model:demo-one type:exchange.request"
    body = {"expression": half, "matter": "Doe v. Acme", "reason": "suit"}
    ask(console, machine, "compliance", "/api/holds", **body)
    other = {"expression": "model:demo-two", "matter": "another", "reason": "suit"}
    ask(console, machine, "compliance", "/api/holds", **other)
    after = kept(console, machine, "auditor")
    assert after["holds"] == [{"matter": "Doe v. Acme", "records": [1, 2, 3, 4]}]
    member = kept(console, machine, "member")
    assert "holds" not in member
    assert member["classes"]


def test_what_is_due_gone_or_of_an_unknown_class_is_told(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept longer than the maximum, nothing but the leaf, a class of an older configuration."""
    from affidavit import retention
    from affidavit.vault.reader import VaultReader

    days = {1: "2020-01-01", 2: "2026-11-22"}
    monkeypatch.setattr(
        VaultReader, "bucket",
        lambda _, index, tenant=None: ("acme", "old", days[index]) if index in days else None,
    )  # fmt: skip
    monkeypatch.setattr(retention, "due", lambda kept, day, now: day < "2026")
    told = kept(console, machine, "auditor")
    assert told["due"] == [1]
    first, second = told["classes"]
    assert first["class"] == "old, which is kept as default"
    assert (first["records"], first["first_day"], first["last_day"]) == (2, *days.values())
    assert second == {"class": "nothing but the leaf is kept", "records": 2}
    monkeypatch.setattr(VaultReader, "sections", lambda *_: {"who": {"tenant": "acme"}})
    assert kept(console, machine, "auditor")["due"] == [], "its content went on its day"
    monkeypatch.setattr(VaultReader, "sections", _damaged)
    assert kept(console, machine, "auditor")["due"] == [1]
    monkeypatch.setattr(kept_records, "MOST", 3)
    *_, beyond = kept(console, machine, "auditor")["classes"]
    assert beyond == {"class": "beyond the first 3", "records": 1}
    made = ask(console, machine, "auditor", "/api/export", expression="model:demo-one")
    page = bytes(verify.read_zip(made.content)["report.html"]).decode()
    assert "Only the first 3 records were looked at; what follows is of these alone." in page
    assert "The exporter may know of no legal hold on the first 3 records." in page
    assert "None of the first 3 records was erased." in page


NONE = "none that who exported may see"


def _damaged(*_: object) -> dict[str, Any]:
    raise CorruptError("Section who is another one.")


def test_erased_is_what_the_vault_says_section_by_section(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has lost, under a request or not; what it has not got is missing; spoilt is neither.

    A request accounts for what it takes, and for no other section.
    """
    first, second, third, fourth = range(1, 5)
    destroyed = "The key was destroyed."

    def missing(_: VaultReader, index: int, tenant: str | None = None) -> dict[str, str]:
        if index == fourth:
            raise CorruptError("Section who is another one.")
        if index == third:
            return {"who": NOT_THERE, "what": REMOVED, "content": NOT_THERE}
        return {"content": destroyed, "request.body": destroyed}

    monkeypatch.setattr(VaultReader, "missing", missing)
    monkeypatch.setattr(VaultReader, "left", lambda _, named: dict.fromkeys(named, 0))
    requests = {second: Request("e1", "person"), third: Request("e2", "content")}

    def told(under: Under) -> dict[str, Any]:
        reader = boundary.auditor("act_x", "acme")._replace(rows=All())
        return kept_records.kept_records(
            machine.services().searcher, machine.vault_reader, machine.config, reader,
            [first, second, third, fourth], machine.clock.now(), None, under,
        )  # fmt: skip

    found = told(lambda gone: {index: requests[index] for index in gone if index in requests})
    assert [tuple(one.values()) for one in found["erased"]] == [
        (NONE, [first], ["content"]),
        (kept_records.BY.format("e1"), [second], ["content"]),
        (kept_records.BY.format("e2"), [third], ["content"]),
    ]
    assert found["missing"] == [{"records": [third], "sections": ["who", "what"]}]
    said = "request e1 erased something of it (affidavit erase certificate e1); "
    assert found["erased"][1]["certificate"] == f"{said}what it did not take had gone before"
    alone = told(kept_records.unknown)
    assert [tuple(one.values()) for one in alone["erased"]] == [
        (NONE, [first, second], ["content"])
    ]
    assert alone["missing"] == [{"records": [third], "sections": ["who", "what", "content"]}]


def test_what_was_erased_and_what_somebody_removed_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Between records of a segment that went as nothing of it was left, others' file is missing.

    Under which request it went is named where one is known. Of what an earlier release removed
    nobody knows which records it had.
    """
    rules = [{"when": {"model": "demo-two"}, "class": "logs"}]
    kept_as = Retention.model_validate({"classes": {"logs": {}}, "rules": rules})
    machine = Machine(tmp_path_factory.mktemp("removed"), Config(retention=kept_as))
    for number in range(4):
        machine.exchange("Hello?", model="demo-one" if number % 2 == 0 else "demo-two")
    machine.settle()
    own, theirs = [1, 2, 5, 6], [3, 4, 7, 8]
    bucket = Bucket(TENANT, "default", machine.clock.now()[:10])
    segments = {one.path for one in segments_in(bucket.directory(machine.root / "vault"))}
    machine.vault.retire([bucket])
    eraser = Eraser(machine.disk, machine.root / "vault", machine.keyring, machine.clock)
    assert [*eraser.records(bucket, own, "sections").indexes] == own
    assert not any(path.exists() for path in segments)
    erasure = Erasure("e1", TENANT, "record", "", "sections", "", b"", "a", "k", "act_a", "", 2, "")
    machine.played.erasures.put(erasure)
    machine.played.erasures.put_gone("e1", 1, own[:2])
    for one in segments_in(
        bucket._replace(retention_class="logs").directory(machine.root / "vault")
    ):
        one.path.unlink()
        wraps_path(one.path).unlink()
    with TestClient(create_app(machine.services()), base_url=BASE) as console:
        made = ask(console, machine, "owner", "/api/export", expression="type:exchange.*")
        members = verify.read_zip(made.content)
        told = json.loads(bytes(members["manifest.json"]))["retention"]
        found = {index: one["certificate"] for one in told["erased"] for index in one["records"]}
        request = kept_records.BY.format("e1")
        assert found == dict.fromkeys(own[:2], request) | dict.fromkeys(own[2:], NONE)
        assert {index for one in told["missing"] for index in one["records"]} == {*theirs}
        headers = {"authorization": f"Bearer {machine.keys['owner']}"}
        lines = console.get("/api/show/%231", headers=headers).json()["lines"]
        (detail,) = [one["details"] for one in lines if one["index"] == own[0]]
        assert detail["something_erased_by_request"] == "e1"
        for index, word in [*dict.fromkeys(own, "erased").items(),
                            *dict.fromkeys(theirs, "missing").items()]:  # fmt: skip
            lines = console.get(f"/api/show/%23{index}", headers=headers).json()["lines"]
            (line,) = [one for one in lines if one["index"] == index]
            assert (line["evidence"], line["content"]) == (word, word)
            assert ("problem" in line["details"]) == (word == "missing")
        asked = {"expression": "type:exchange.request", "limit": 4}
        rows = console.post("/api/query", json=asked, headers=headers).json()["rows"]
        assert [row["content"] for row in rows] == ["missing", "erased"] * 2
        console.post("/login", data={"key": machine.keys["owner"]})
        home = console.get("/").text
        assert "content: missing" in home
        assert "content: erased" in home
        assert "badge missing" in console.get("/show/%233").text
        page = bytes(members["report.html"]).decode()
        assert "nothing tells of an erasure. This is damage" in page
        assert "missing from the vault, and nothing tells of an erasure: damage" in page
        with machine.keyring.changing() as change:
            change.database.execute("DELETE FROM segments_emptied_leaves")
        made = ask(console, machine, "owner", "/api/export", expression="type:exchange.*")
        told = json.loads(bytes(verify.read_zip(made.content)["manifest.json"]))["retention"]
        assert {index for one in told["missing"] for index in one["records"]} == {7, 8}
        unsure = [one for one in told["erased"] if "earlier release" in one["certificate"]]
        assert sorted(index for one in unsure for index in one["records"]) == [3, 4, 5, 6]
    machine.close()


def test_both_are_left_out_where_the_recipient_is_not_to_know(
    console: TestClient, machine: Machine
) -> None:
    """Neither stands in the manifest, and the page says that they were left out."""
    body = {"expression": "model:demo-one", "withhold": ["custody", "retention"]}
    made = ask(console, machine, "auditor", "/api/export", **body)
    members = verify.read_zip(made.content)
    manifest = json.loads(bytes(members["manifest.json"]))
    assert (manifest["custody"], manifest["retention"]) == ([], {})
    assert manifest["disclosed"]["withhold"] == ["custody", "retention"]
    page = bytes(members["report.html"]).decode()
    assert page.count("Left out by the exporter.") == 2
    assert verify.check(made.content, verify.read_keys([machine.log.vkey])).facts["ok"]


def test_a_reader_without_what_is_asked_is_told_nothing(machine: Machine) -> None:
    """The boundary comes first; and too many reads are said to be too many."""
    searcher = machine.services().searcher
    reader = boundary.auditor("act_x", "acme")
    size = machine.reader_log.checkpoint().size
    hidden = reader._replace(sections=reader.sections - {"what"})
    assert custody.custody(searcher, hidden, [1], size) == []
    assert custody.custody(searcher, reader, [], size) == []


def test_more_reads_than_are_looked_at_are_said(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are looked at, and a line says that there are earlier ones."""
    from affidavit.query import boundary

    for _ in range(3):
        ask(console, machine, "responder", "/api/query", expression="type:exchange.*")
    machine.settle()
    monkeypatch.setattr(custody, "MOST", 2)
    monkeypatch.setattr(custody, "RECORDS", 1)
    searcher = machine.services().searcher
    reader = boundary.responder("act_x", "acme")
    found = custody.custody(searcher, reader, [1, 2], machine.reader_log.checkpoint().size)
    cut, newest, *others = found
    assert cut["said"] == "Looked for were only the first 1 of the 2 records."
    assert newest["said"] == "Only the newest 2 reads were looked at; there are earlier ones."
    assert all((one["type"], one["records"]) == ("", []) for one in (cut, newest))
    assert all(one["type"].startswith("access.") for one in others)
    nobody = reader._replace(rows=Match("tenant", "nobody"))
    alone = custody.custody(searcher, nobody, [1, 2], machine.reader_log.checkpoint().size)
    assert [one["said"] for one in alone] == [cut["said"]], "no read is found, and it is said"
