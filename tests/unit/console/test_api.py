"""The HTTP API answers within boundaries, in one error shape, and records each read first."""

import asyncio
import base64
import gzip
import json
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from affidavit.console.access import Access, digest_term
from affidavit.console.app import create_app, create_socket_app
from affidavit.console.auth import Reader
from affidavit.console.reads import Reads
from affidavit.control.attribution import session_pseudonym
from affidavit.errors import NotFoundError
from affidavit.evidence import verify
from affidavit.query.boundary import for_identity
from affidavit.query.language import parse
from affidavit.query.rows import ROW_FIELDS
from affidavit.query.tree import Match, Phrase
from affidavit.record.model import View
from tests.unit.console.conftest import BASE, Client, reader_of
from tests.world.machine import TENANT, Machine

READS: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("POST", "/api/query", {"expression": "model:demo-chat"}),
    ("GET", "/api/query?expression=", None),
    ("GET", "/api/show/my-session", None),
    ("GET", "/api/show/model:demo-chat?since=2000-01-01", None),
    ("POST", "/api/diff", {"first": "#1", "second": "#3"}),
    ("GET", "/api/pivot?value=demo-chat", None),
    ("GET", "/api/tail?after=0", None),
    ("POST", "/api/reveal", {"id": "#1", "reason": "a test"}),
    ("POST", "/api/export", {"expression": "model:demo-chat"}),
    ("GET", "/api/keys", None),
)
"""Every way to see a record through the API."""


def ask(client: TestClient, expression: str, **more: Any) -> dict[str, Any]:
    """A query that must be answered."""
    response = client.post("/api/query", json={"expression": expression, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_query_shows_exchanges_to_people(client: Client) -> None:
    """An owner's query gives joined exchanges, newest first, with texts and the as-of facts."""
    answer = ask(client("owner"), "model:demo-chat type:exchange.*")
    shown = [(row["prompt"], row["output"], row["status"]) for row in answer["rows"]]
    assert shown == [
        ("And a monitor?", "A witness who counts.", "complete"),
        ("What is a witness?", "Somebody who saw it.", "complete"),
    ]
    assert answer["as_of"]["size"] > 4
    assert (answer["gaps"], answer["withheld"], answer["cursor"]) == (0, [], "")


def test_query_shows_flat_records_to_programs(client: Client) -> None:
    """The records view has one flat object per record with the documented keys."""
    answer = ask(client("owner"), "model:demo-chat type:exchange.*", view="records")
    assert [row["type"] for row in answer["rows"]].count("exchange.request") == 2
    assert all(set(row) <= set(ROW_FIELDS) for row in answer["rows"])


def test_query_goes_on_at_its_cursor(client: Client) -> None:
    """Pages follow each other without a repeat, by POST and by GET."""
    expression = "session:my-session"
    first = ask(client("owner"), expression, limit=1)
    params = {"expression": expression, "limit": 1, "cursor": first["cursor"]}
    rest = client("owner").get("/api/query", params=params)
    ids = [row["id"] for row in first["rows"] + rest.json()["rows"]]
    assert len(set(ids)) == len(ids) == 2


def test_time_that_passes_does_not_end_a_cursor(client: Client, machine: Machine) -> None:
    """What 90d means is reckoned from the first page on all pages, and recorded so."""
    for view in ("records", "exchanges"):
        found: list[str] = []
        cursor = ""
        while not found or cursor:
            expression = "since:9000d session:my-session"
            answer = ask(client("owner"), expression, limit=1, view=view, cursor=cursor)
            found += [row["id"] for row in answer["rows"]]
            cursor = answer["cursor"]
            machine.clock.advance(2)
        assert len(found) == len(set(found)) == (4 if view == "records" else 2)
    told = {r["what"]["expression"] for r in machine.records("access.query")[-2:]}
    assert len(told) == 1


@pytest.mark.parametrize("began", ["", "x", "-1", "f" * 40, "5a1" * 5, " 5", "0"])
def test_a_cursor_of_another_time_is_refused(client: Client, began: str) -> None:
    """Whoever changes the time in a cursor asks another question, and gets an error."""
    first = ask(client("owner"), "since:9000d session:my-session", limit=1)
    cursor = first["cursor"].partition(".")[0] + "." + began
    body = {"expression": "since:9000d session:my-session", "cursor": cursor}
    response = client("owner").post("/api/query", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "usage")


def test_query_finds_by_the_names_people_use(client: Client) -> None:
    """A caller's own session id and an actor's name find the records of their pseudonyms."""
    assert len(ask(client("owner"), "session:my-session")["rows"]) == 2
    assert len(ask(client("responder"), "session:my-session")["rows"]) == 2
    assert len(ask(client("owner"), 'actor:"the caller" session:my-session')["rows"]) == 2


def test_an_auditor_sees_no_persons_and_content_for_a_reason(client: Client) -> None:
    """What the boundary withholds is in no byte of the answer, and the answer says so."""
    session = ask(client("owner"), "session:my-session")["rows"][0]["session"]
    response = client("auditor").post("/api/query", json={"expression": f"session:{session}"})
    assert len(response.json()["rows"]) == 2
    assert "witness" not in response.text
    assert "192.0.2.7" not in response.text
    assert response.json()["withheld"] == ["person"]
    told = client("auditor").get(f"/api/show/{session}")
    assert told.status_code == 200
    assert "monitor" not in told.text
    told = client("auditor").get(f"/api/show/{session}?purpose=sample 3 of 25")
    assert "monitor" in told.text
    assert "192.0.2.7" not in told.text


def test_content_for_a_reason_needs_the_reason(client: Client) -> None:
    """A responder gets prompts when a purpose is stated and none without."""
    assert all(row["prompt"] is None for row in ask(client("responder"), "type:exchange.*")["rows"])
    answer = ask(client("responder"), "session:my-session", purpose="incident 1")
    assert {row["prompt"] for row in answer["rows"]} == {"What is a witness?", "And a monitor?"}


def test_show_tells_a_session_in_order(client: Client) -> None:
    """A session, found by the caller's own id, is one line per record, each with its evidence."""
    told = client("owner").get("/api/show/my-session").json()
    own = [line["type"] for line in told["lines"] if not line["beside"]]
    assert own == ["exchange.request", "exchange.response"] * 2
    assert {line["evidence"] for line in told["lines"]} == {"verified"}


def test_reveal_gives_the_bytes_of_both_halves(client: Client, machine: Machine) -> None:
    """A reveal has each part as bytes and text, and says which record it left."""
    row = ask(client("owner"), "session:my-session")["rows"][0]
    body = {"id": row["id"], "reason": "ticket 4711"}
    answer = client("responder").post("/api/reveal", json=body).json()
    parts = [part for record in answer["records"] for part in record["parts"]]
    assert [part["name"] for part in parts] == ["request.body", "response.body"]
    assert json.loads(base64.b64decode(parts[0]["base64"])) == json.loads(parts[0]["text"])
    assert "And a monitor?" in parts[0]["text"]
    told = machine.records("access.reveal")[-1]
    assert told["what"]["reason"] == "ticket 4711"
    assert [r["id"] for r in told["what"]["records"]] == [r["id"] for r in answer["records"]]


def test_reveal_gives_the_half_that_may_be_seen(machine: Machine) -> None:
    """Where who asked was erased, and only there, the other half is revealed by itself."""
    first, second = machine.exchange("Who am I?", "Nobody.", model="demo-erased")
    machine.settle()
    at = {machine.reader_log.decoded(i).id: i for i in range(machine.log.published)}
    whole = machine.vault_reader.view

    def erased(index: int) -> View:
        view = whole(index)
        gone = {"who"} if index == at[first] else set()
        kept = {name: value for name, value in view.sections.items() if name not in gone}
        return msgspec.structs.replace(view, sections=kept)

    machine.indexer.refresh([at[first]], erased)
    services = machine.services()
    reads = Reads(services, Access(services))
    told = asyncio.run(reads.reveal(reader_of(machine, "responder"), second, "a test"))
    assert [record["id"] for record in told["records"]] == [second]
    with pytest.raises(NotFoundError):
        asyncio.run(reads.reveal(reader_of(machine, "responder"), first, "a test"))
    both = asyncio.run(reads.reveal(reader_of(machine, "owner"), second, "a test"))
    assert [record["id"] for record in both["records"]] == [first, second]


def test_reveal_undoes_content_encodings_for_text(client: Client, machine: Machine) -> None:
    """Text is decoded as its headers say, the bytes stay; what is no text has bytes only."""
    squeezed = gzip.compress(b'{"squeezed": true}')
    _, first = machine.exchange(model="demo-raw", raw=squeezed, encoding="gzip")
    _, second = machine.exchange(model="demo-raw", raw=b"\xff\xfe", encoding="identity")
    _, third = machine.exchange(model="demo-raw", raw=squeezed[:-9], encoding="gzip")
    machine.settle()

    def reveal(name: str) -> dict[str, Any]:
        body = {"id": name, "reason": "a test"}
        answer = client("owner").post("/api/reveal", json=body).json()
        part: dict[str, Any] = answer["records"][1]["parts"][0]
        return part

    part = reveal(first)
    assert (part["text"], base64.b64decode(part["base64"])) == ('{"squeezed": true}', squeezed)
    assert reveal(second)["text"] is None
    assert reveal(third)["text"] is None


def test_reveal_says_what_is_not_there(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part whose key was destroyed is listed with its size and the reason."""
    monkeypatch.setattr(machine.vault_reader, "parts", lambda _: {})
    gone = {"request.body": "erased 2026-11-23"}
    monkeypatch.setattr(machine.vault_reader, "missing", lambda _: gone)
    answer = client("owner").post("/api/reveal", json={"id": "#1", "reason": "a test"}).json()
    parts = [part for record in answer["records"] for part in record["parts"]]
    assert [part["missing"] for part in parts] == ["erased 2026-11-23", "Not in the vault."]
    assert all("base64" not in part and part["size"] > 0 for part in parts)


def test_what_nobody_foresaw_is_one_sentence(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unforeseen failure is 500 in the same shape, without its cause."""

    def fail(_: int) -> None:
        raise KeyError("witness")

    monkeypatch.setattr(machine.vault_reader, "missing", fail)
    response = client("owner").post("/api/reveal", json={"id": "#1", "reason": "a test"})
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"
    assert "witness" not in response.text


def test_the_log_names_the_route_and_not_what_stood_in_the_address(
    client: Client,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A key or a session id that somebody pasted into an address is not repeated on stderr."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("witness")

    monkeypatch.setattr("affidavit.console.reads.Reads.show", fail)
    assert client("owner").get("/api/show/aff_pasted-canary").status_code == 500
    said = capsys.readouterr().err
    assert said == "console: KeyError at /api/show/{name:path}\n"


def test_export_lists_no_more_than_a_limit(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only a list can be given, a list that is too long is refused, not cut."""
    monkeypatch.setattr("affidavit.console.proofs.MAX_LISTED", 1)
    monkeypatch.setattr("affidavit.console.proofs.PAGE", 1)
    response = client("owner").post("/api/export", json={"expression": "tokens>=0"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "usage")


@pytest.mark.parametrize("role", ["administrator", "compliance"])
def test_reveal_is_refused_outside_the_boundary(
    client: Client, machine: Machine, role: str
) -> None:
    """A role that never sees content is refused, and the refusal is a record."""
    machine.clock.advance(61)  # past what is counted with an earlier refusal
    response = client(role).post("/api/reveal", json={"id": "#1", "reason": "curious"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "refused")
    told = machine.records("access.denied")[-1]
    assert told["who"]["actor"] == machine.identity(role).actor
    assert told["what"]["url.path"] == "/api/reveal"


def test_prove_states_four_lines(client: Client) -> None:
    """A proved query names what is complete and what the proof rests on."""
    proof = ask(client("owner"), "model:demo-chat", prove=True)["proof"]
    assert proof["proved"] is True
    assert proof["completeness"].startswith("all 4 records of")
    assert "own key only" in proof["assurance"]
    assert "not examined" in proof["coverage"]
    assert proof["counts"]["records"] == 4


def test_prove_says_when_nothing_is_proved(client: Client) -> None:
    """An expression without a chain is answered and not proved, with the reason."""
    proof = ask(client("owner"), "tokens>1", prove=True)["proof"]
    assert proof["proved"] is False
    assert proof["completeness"].startswith("not proved: ")


def test_prove_resolves_names_to_chains(client: Client) -> None:
    """A session by the caller's own id is proved as the chain of its pseudonym."""
    proof = ask(client("owner"), "session:my-session", prove=True)["proof"]
    assert proof["proved"] is True
    assert proof["counts"]["records"] == 4


def test_export_verifies_and_is_committed_to(client: Client, machine: Machine) -> None:
    """A bundle passes the standalone verifier, and its manifest is in the record of the export."""
    response = client("owner").post(
        "/api/export", json={"expression": "model:demo-chat", "content": "full"}
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/zip"
    found = verify.check(response.content, verify.read_keys([machine.log.vkey]))
    assert found.facts["counts"]["records"] == 4
    assert found.manifest == response.headers["affidavit-manifest"]
    told = machine.records("access.export")[-1]["what"]
    assert told["manifest"] == response.headers["affidavit-manifest"]
    assert (told["content"], told["rows"]) == ("full", 4)


def test_export_holds_no_more_than_the_boundary(client: Client) -> None:
    """An auditor's bundle discloses neither person nor content; content: full is refused."""
    body = {"expression": "model:demo-chat", "content": "digest", "withhold": ["outcome"]}
    response = client("auditor").post("/api/export", json=body)
    members = verify.read_zip(response.content)
    lines = bytes(members["disclosures.jsonl"]).splitlines()
    shown = {json.loads(line)["section"] for line in lines}
    assert shown
    assert shown.isdisjoint({"person", "outcome"})
    assert not [name for name in members if name.startswith("content/")]
    refused = client("auditor").post("/api/export", json=body | {"content": "full"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "refused")


def test_export_of_what_no_chain_holds_lists_it(client: Client, machine: Machine) -> None:
    """Without a chain the bundle lists what matches and says that completeness is not proved."""
    response = client("owner").post("/api/export", json={"expression": "http>=400 status:complete"})
    found = verify.check(response.content, verify.read_keys([machine.log.vkey]))
    assert found.completeness.startswith("not proved")
    assert found.facts["counts"]["records"] == 2  # the response that matches, and its request


def test_keys_are_made_listed_and_revoked(client: Client, machine: Machine) -> None:
    """A new reader key reads at once and no longer once revoked; no digest of it is shown."""
    body = {"name": "visitor", "role": "auditor", "kind": "person"}
    made = client("owner").post("/api/keys", json=body)
    assert made.status_code == 201
    token, key_id = made.json()["token"], made.json()["id"]
    one = client("")
    headers = {"authorization": f"Bearer {token}"}
    assert one.get("/api/status", headers=headers).json()["reader"]["role"] == "auditor"
    listed = client("owner").get("/api/keys")
    assert key_id in {key["id"] for key in listed.json()["keys"]}
    assert "key_hash" not in listed.text + made.text
    assert token not in listed.text
    revoked = client("owner").delete(f"/api/keys/{key_id}").json()["revoked"]
    assert revoked["revoked"]
    assert client("").get("/api/status", headers=headers).status_code == 401
    methods = [method for method, _ in machine.link.asked]
    assert {"keys.create", "keys.revoke"} <= set(methods)


def test_the_socket_makes_its_user_the_owner(machine: Machine) -> None:
    """On the local socket no key is needed; a key that is given decides."""
    app = create_socket_app(machine.services())
    with TestClient(app, base_url="http://localhost") as one:
        reader = one.get("/api/status").json()["reader"]
        assert (reader["role"], reader["authenticated_by"]) == ("owner", "socket")
        headers = {"authorization": f"Bearer {machine.keys['auditor']}"}
        assert one.get("/api/status", headers=headers).json()["reader"]["role"] == "auditor"
        wrong = {"authorization": "Bearer nothing"}
        assert one.get("/api/status", headers=wrong).status_code == 401
        one.post("/api/query", json={"expression": "has:error"})
    told = machine.records("access.query")[-1]["who"]
    assert (told["authenticated_by"], told["assurance"]) == ("socket", "verified")
    assert "credential" not in told


@pytest.mark.parametrize(
    ("method", "path", "body"), [read for read in READS if "tail" not in read[1]]
)
def test_every_read_is_a_record(
    client: Client, machine: Machine, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Each way of reading leaves a record that says who, what was asked, and how much came."""
    machine.settle()
    before = machine.log.size
    assert client("owner").request(method, path, json=body).status_code == 200
    machine.settle()
    leaf = next(
        machine.reader_log.decoded(i)
        for i in range(before, machine.log.published)
        if machine.reader_log.decoded(i).type.startswith("access.")
    )
    sections = machine.vault_reader.sections(leaf.index)
    assert sections["who"]["actor"] == machine.identity("owner").actor
    assert sections["who"]["credential"] == machine.identity("owner").id
    assert isinstance(sections["what"]["rows"], int)


@pytest.mark.parametrize(("method", "path", "body"), READS)
def test_nothing_is_shown_that_cannot_be_recorded(
    machine: Machine, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """With a journal that refuses, every read is 503 and holds no byte of a record (G13)."""
    journal = machine.journal("broken")
    journal.abandon()
    app = create_app(machine.services(journal))
    with TestClient(app, base_url=BASE) as one:
        one.headers["authorization"] = f"Bearer {machine.keys['owner']}"
        response = one.request(method, path, json=body)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "unavailable.cannot_record"
    for secret in ("witness", "act_", "demo-chat", machine.identity("caller").id):
        assert secret not in response.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/query", {"expression": "modl:x"}, 400, "usage.expression"),
        ("POST", "/api/query", {"expression": "("}, 400, "usage.expression"),
        ("POST", "/api/query", {"expression": "", "limit": 0}, 400, "usage"),
        ("POST", "/api/query", {"expression": "", "extra": 1}, 400, "usage"),
        ("POST", "/api/query", {"cursor": "nonsense"}, 400, "usage"),
        ("GET", "/api/query?limit=x", None, 400, "usage"),
        ("GET", "/api/show/nothing", None, 404, "not_found"),
        ("GET", "/api/show/..%2F..%2Fetc", None, 404, "not_found"),
        ("POST", "/api/reveal", {"id": "#1", "reason": "  "}, 400, "usage"),
        ("POST", "/api/reveal", {"id": "#999", "reason": "x"}, 404, "not_found"),
        ("POST", "/api/export", {"expression": "", "withhold": ["whom"]}, 400, "usage"),
        ("POST", "/api/export", {"content": "some"}, 400, "usage"),
        ("POST", "/api/keys", {"name": "x", "role": "king"}, 400, "usage"),
        ("POST", "/api/keys", {"name": ""}, 400, "usage"),
        ("DELETE", "/api/keys/key_nobody", None, 404, "not_found"),
        ("GET", f"/api/tail?after={2**63}", None, 400, "usage"),
        ("GET", "/api/tail?after=-1", None, 400, "usage"),
        ("GET", f"/api/show/%23{'9' * 20}", None, 404, "not_found"),
        ("GET", f"/log/tile/0/{'x999/' * 1000}000", None, 404, "not_found"),
        ("GET", "/api/nothing", None, 404, "not_found"),
        ("PUT", "/api/query", None, 405, "usage"),
    ],
)
def test_errors_have_one_shape(
    client: Client, method: str, path: str, body: object, status: int, code: str
) -> None:
    """Every error is a problem (RFC 9457) around {"error": {code, message, …}}."""
    response = client("owner").request(method, path, json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    error = told["error"]
    assert (told["code"], told["status"], told["detail"]) == (code, status, error["message"])
    assert told["type"] == f"/api/problems/{code}"
    assert error["code"] == code
    assert error["message"].endswith(".")
    assert "Traceback" not in response.text


def test_an_expression_error_says_where_and_what_is_near(client: Client) -> None:
    """The shape of the most common error, pinned."""
    response = client("owner").post("/api/query", json={"expression": "modl:x"})
    error = response.json()["error"]
    assert (error["position"], error["nearest"]) == (0, "model")


def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    """More than a mebibyte is not read."""
    response = client("owner").post("/api/query", content=b"x" * ((1 << 20) + 1))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "usage"


def test_search_words_are_recorded_as_digests(client: Client, machine: Machine) -> None:
    """Words of content and names of persons do not reach the record; the rest does, verbatim."""
    expression = '"And a monitor" model:demo-chat email:secret@example.com session:my-session'
    ask(client("owner"), expression)
    told = machine.records("access.query")[-1]["what"]["expression"]
    assert "model:demo-chat" in told
    for word in ("monitor", "secret@example.com", "my-session"):
        assert word not in told
    assert told.count("hmac:") >= 3
    ask(client("owner"), expression)
    assert machine.records("access.query")[-1]["what"]["expression"] == told


@pytest.mark.parametrize("words", ["email:ali", "actor:bob", "wit", "name:dora"])
def test_a_question_for_a_beginning_is_recorded_as_one(
    client: Client, machine: Machine, words: str
) -> None:
    """Its words are digests, too; what it asks is not what the same words without ``*`` ask."""
    told = []
    for expression in (words, f"{words}*") if ":" in words else (f'"{words}"', f'"{words}"*'):
        ask(client("owner"), expression)
        told.append(machine.records("access.query")[-1]["what"]["expression"])
    assert told[1] == f"{told[0]}*"
    assert all("hmac:" in one for one in told)
    tree = parse(told[1], machine.clock.now())
    assert isinstance(tree, Match | Phrase)
    assert tree.prefix


def test_that_somebody_is_named_at_all_hides_nothing(client: Client, machine: Machine) -> None:
    """``email:*`` has no word that would tell who was looked for."""
    ask(client("owner"), "email:*")
    assert machine.records("access.query")[-1]["what"]["expression"] == "email:*"


def test_no_session_has_the_digest_of_a_search_term(machine: Machine) -> None:
    """Callers choose the names of sessions, and learn nothing about searches by it."""
    snapshot = machine.snapshot()
    key = snapshot.pseudonym_keys["acme\0support"]
    digest = digest_term(snapshot, "acme", "witness")
    for session in ("witness", "affidavit/search-term/v1\0witness"):
        assert session_pseudonym(key, session)[4:] != digest.removeprefix("hmac:")
    assert digest == digest_term(snapshot, "acme", "witness") != digest_term(snapshot, "acme", "")


@pytest.mark.parametrize("team", ["", "alpha", "zulu"])
def test_a_search_is_recognised_whatever_teams_come_later(machine: Machine, team: str) -> None:
    """The digest of a word stays the same: the key of it is not another team's of a sudden."""
    before = machine.snapshot()
    one = msgspec.structs.replace(machine.identity("caller"), id="key_of_another", team=team)
    keys = before.pseudonym_keys | {f"{TENANT}\0{team}": b"k" * 32}
    after = msgspec.structs.replace(
        before, identities=(*before.identities, one), pseudonym_keys=keys
    )
    assert digest_term(before, TENANT, "witness") == digest_term(after, TENANT, "witness")


def test_names_that_only_look_like_ours_are_recorded_as_digests(
    client: Client, machine: Machine
) -> None:
    """A caller may call its session ses_ and whom it is about; ours have 26 characters more."""
    machine.exchange("Hello?", session="ses_alice", model="demo-alice")
    machine.settle()
    ours = ask(client("owner"), "session:ses_alice actor:act_alice OR model:demo-alice")
    told = machine.records("access.query")[-1]["what"]["expression"]
    assert "alice" not in told.replace("demo-alice", "")
    assert client("owner").get("/api/show/ses_alice").status_code == 200
    assert machine.records("access.query")[-1]["what"]["name"].startswith(("hmac:", "ses_"))
    assert "alice" not in machine.records("access.query")[-1]["what"]["name"]
    name = ours["rows"][0]["session"]
    ask(client("owner"), f"session:{name}")
    assert name in machine.records("access.query")[-1]["what"]["expression"]


def test_refusals_in_a_flood_are_counted(machine: Machine) -> None:
    """Many refusals of one kind within a minute are one record; the next one has their number."""
    app = create_app(machine.services())
    before = len(machine.records("access.denied"))
    with TestClient(app, base_url=BASE) as one:
        for _ in range(5):
            assert one.get("/api/status").status_code == 401
        machine.clock.advance(61)
        assert one.get("/api/status").status_code == 401
    told = machine.records("access.denied")[before:]
    assert [record["what"]["repeated_before"] for record in told] == [0, 4]
    assert "actor" not in told[0]["who"]


@pytest.mark.parametrize(
    ("kind", "method", "path", "body"),
    [
        ("access.query", "GET", "/api/show/{0}", None),
        ("access.reveal", "POST", "/api/reveal", {"id": "{0}", "reason": "curious"}),
    ],
)
def test_names_that_lead_nowhere_are_recorded(
    client: Client, machine: Machine, kind: str, method: str, path: str, body: dict[str, str] | None
) -> None:
    """Who tries names leaves a record of it: the first at once, many of them as their number."""

    def probe(name: str) -> None:
        sent = body and body | {"id": name}
        url = path.format(name.replace("#", "%23"))
        assert client("responder").request(method, url, json=sent).status_code == 404

    machine.clock.advance(61)
    before = len(machine.records(kind))
    for name in ("alice@example.com", "bob", "#999999", "carol"):
        probe(name)
    machine.clock.advance(61)
    probe("#999999")
    told = machine.records(kind)[before:]
    assert [record["what"]["repeated_before"] for record in told] == [0, 3]
    assert [record["what"]["rows"] for record in told] == [0, 0]
    assert told[0]["who"]["actor"] == machine.identity("responder").actor
    assert told[0]["what"]["name"].startswith("hmac:")
    assert told[1]["what"]["name"] == "#999999"


def test_a_name_that_leads_nowhere_is_not_answered_unrecorded(machine: Machine) -> None:
    """That there is nothing is an answer too: 503 where it cannot be recorded."""
    journal = machine.journal("broken")
    journal.abandon()
    with TestClient(create_app(machine.services(journal)), base_url=BASE) as one:
        one.headers["authorization"] = f"Bearer {machine.keys['auditor']}"
        assert one.get("/api/show/nothing").status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", "/api/show/alice@example.com", "/api/show/…"),
        ("GET", "/show/aff_pasted-canary", "/show/…"),
        ("GET", "/api/show/%231", "/api/show/#1"),
        ("DELETE", "/api/keys/aff_pasted-canary", "/api/keys/…"),
        ("DELETE", f"/api/keys/key_{'a' * 26}", f"/api/keys/key_{'a' * 26}"),
        ("GET", "/log/tile/entries/000", "/log/tile/entries/000"),
        ("GET", "/", "/"),
    ],
)
def test_a_refusal_does_not_repeat_names(
    client: Client, machine: Machine, method: str, path: str, shown: str
) -> None:
    """Of an address only that is recorded which is nobody's name, and no key somebody pasted."""
    machine.clock.advance(61)
    assert client("").request(method, path).status_code == 401
    assert machine.records("access.denied")[-1]["what"]["url.path"] == shown


def test_a_caller_key_opens_nothing(client: Client, machine: Machine) -> None:
    """A key for the gateway is refused, by name, and the refusal names whose it was."""
    machine.clock.advance(61)
    response = client("caller").get("/api/status")
    assert response.status_code == 403
    assert (
        machine.records("access.denied")[-1]["who"]["credential"] == machine.identity("caller").id
    )


def test_openapi_describes_every_route(client: Client) -> None:
    """The OpenAPI 3.1 document is served to all and names the API's paths."""
    document = client("").get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/query", "/api/show/{name}", "/api/tail", "/api/reveal", "/api/export"} <= set(
        document["paths"]
    )


@pytest.mark.parametrize("index", ["9" * 20, str(2**63 - 1)])
def test_tail_refuses_to_go_on_behind_every_ledger(client: Client, index: str) -> None:
    """A Last-Event-ID that is no index is refused before the stream begins."""
    response = client("owner").get("/api/tail", headers={"last-event-id": index})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "usage")


def test_tail_is_recorded_twice(machine: Machine) -> None:
    """A tail is on record before its first row, and its end with the number of rows."""
    services = machine.services()
    reads = Reads(services, Access(services))
    before = len(machine.records("access.tail"))

    async def follow() -> list[dict[str, Any]]:
        rows = await reads.tail(reader_of(machine, "owner"), "model:demo-chat", 0)
        found = []
        async for row in rows:
            assert row is not None
            found.append(row)
            if len(found) == 3:
                break
        await rows.aclose()
        return found

    rows = asyncio.run(follow())
    assert [row["index"] for row in rows] == sorted(row["index"] for row in rows)
    told = [record["what"] for record in machine.records("access.tail")[before:]]
    assert [(t["phase"], t.get("rows")) for t in told] == [("begun", None), ("ended", 3)]


def test_tail_ends_when_its_key_is_revoked(machine: Machine) -> None:
    """A revoked key hears nothing more, at the next look."""
    services = machine.services()
    reads = Reads(services, Access(services))
    identity, _ = machine.identities.draft(tenant="acme", name="temp", role="auditor")
    machine.identities.put(identity)
    reader = Reader(identity, "key", for_identity(identity), "", "")

    async def follow() -> int:
        rows = await reads.tail(reader, "", None)
        machine.identities.put(machine.identities.revoked(identity.id))
        return len([row async for row in rows])

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == 0


def test_tail_starts_now_and_sends_what_comes(machine: Machine) -> None:
    """Without an index a tail begins at the end of the ledger and sees the next record."""
    services = machine.services()
    reads = Reads(services, Access(services))

    async def follow() -> dict[str, Any] | None:
        rows = await reads.tail(reader_of(machine, "owner"), "model:demo-late", None)
        loop = asyncio.get_running_loop()

        def late() -> None:
            machine.exchange("later", "yes", model="demo-late")
            machine.settle()

        await loop.run_in_executor(None, late)
        row = await asyncio.wait_for(anext(rows), 10)
        await rows.aclose()
        return row

    row = asyncio.run(follow())
    assert row is not None
    assert row["model"] == "demo-late"


def test_a_login_that_cannot_be_recorded_is_no_login(machine: Machine) -> None:
    """Logging in is a read too: without its record there is no cookie."""
    journal = machine.journal("broken")
    journal.abandon()
    with TestClient(create_app(machine.services(journal)), base_url=BASE) as one:
        response = one.post("/login", data={"key": machine.keys["owner"]}, follow_redirects=False)
    assert response.status_code == 503
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/query", b'{"expresion":"x"}', "expresion is not known here."),
        ("/api/query", b"{bad", "The body: JSON decode error."),
        ("/api/query", b"[]", "The body must be a valid dictionary"),
        ("/api/query", b'{"limit":0}', "limit must be greater than or equal to 1."),
        ("/api/histogram", b'{"interval":"minute"}', "interval must be 'hour', 'day', 'week' or"),
        ("/api/keys", b"{}", "name is missing."),
        ("/api/keys", b'{"name":""}', "name must not be empty."),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_words(
    client: Client, path: str, body: bytes, said: str
) -> None:
    """A name of the request and what it must be; the same shape everywhere."""
    answer = client("owner").post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(said)
