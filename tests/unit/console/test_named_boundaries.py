"""Boundaries of the configuration over HTTP: rows, counts, purposes, second persons, glass."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit import config as configuration
from affidavit.app import system
from affidavit.clock import add_seconds
from affidavit.console import reads
from affidavit.console.app import create_app, create_socket_app
from affidavit.errors import RefusedError, UsageError
from affidavit.record.model import Chain
from tests.unit.console.conftest import BASE
from tests.world.machine import TENANT, Machine

YAML = """
boundaries:
  chat:    {rows: 'model:demo-chat', content: with_reason, counts: true}
  named:   {rows: 'model:demo-chat', counts: true, sections: [who, person, what]}
  blind:   {rows: 'model:demo-chat'}
  asked:   {purpose: required, content: with_reason}
  two:     {content: with_reason, persons: 2}
  glassy:  {rows: 'model:demo-chat', break_glass: {minutes: 10}}
  recent:  {window: 1h}
  narrow:  {rows: 'model:demo-error', content: with_reason, sections: [who, content]}
  group:   {groups: [oncall], sections: [what]}
"""
EXCHANGES = "type:exchange.*"


class Site:
    """A machine with boundaries, and a client that is any key."""

    def __init__(self, root: Path) -> None:
        self.machine = Machine(root, configuration.parse(YAML, {}, "test"))
        self.machine.exchange("What is a witness?", "Somebody who saw it.", session="s")
        self.machine.exchange("Fail, please.", "No.", model="demo-error", session="s")
        self.machine.settle()
        self.app = create_app(self.machine.services())
        self.local = create_socket_app(self.machine.services())
        self.client: TestClient
        self.socket: TestClient

    def key(self, boundary: str = "", role: str = "responder", **more: Any) -> str:
        """A new key of its own person."""
        made = {"name": f"{role} of {boundary} {len(self.machine.identities.all())}"} | more
        identity, token = self.machine.identities.draft(
            tenant=TENANT, role=role, kind="person", boundary=boundary, **made
        )
        self.machine.identities.put(identity)
        return token

    def ask(self, key: str, method: str, path: str, body: Any = None) -> Any:
        """The response to one request; ``key`` may be empty."""
        self.client.headers["authorization"] = f"Bearer {key}"
        return self.client.request(method, path, json=body)

    def rows(self, key: str, expression: str = EXCHANGES, **more: Any) -> list[dict[str, Any]]:
        """The rows of a query that is answered."""
        body = {"expression": expression, "view": "records"} | more
        response = self.ask(key, "POST", "/api/query", body)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["rows"]
        return found


@contextlib.contextmanager
def served(root: Path) -> Iterator[Site]:
    """An installation with its clients."""
    made = Site(root)
    with (
        TestClient(made.app, base_url=BASE) as made.client,
        TestClient(made.local, base_url=BASE) as made.socket,
    ):
        yield made
    made.machine.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation for all who bring their own keys."""
    with served(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """An installation of its own: its records are counted, or it is not as before."""
    with served(tmp_path) as made:
        yield made


def test_rows_sections_and_counts(fresh: Site) -> None:
    """What is beyond is counted where the boundary says so, and told nowhere else."""
    counted, blind = fresh.key("chat"), fresh.key("blind")
    body = {"expression": EXCHANGES, "view": "records"}
    told = fresh.ask(counted, "POST", "/api/query", body).json()
    assert {row["model"] for row in told["rows"]} == {"demo-chat"}
    assert told["beyond"] == {"rows": 2, "capped": False}
    silent = fresh.ask(blind, "POST", "/api/query", body).json()
    assert [row["id"] for row in silent["rows"]] == [row["id"] for row in told["rows"]]
    assert "beyond" not in silent
    assert "demo-error" not in str(silent)
    shown = fresh.ask(counted, "GET", "/api/show/%231").json()
    assert "beyond" not in shown
    session = told["rows"][0]["session"]
    shown = fresh.ask(counted, "GET", f"/api/show/{session}").json()
    assert (len(shown["lines"]), shown["beyond"]["rows"]) == (2, 2)
    for probe in ('"witness"', "email:x@example.com"):
        body = {"expression": probe, "purpose": "ticket 1"}
        response = fresh.ask(counted, "POST", "/api/query", body)
        assert response.status_code == 403 or response.json()["beyond"] is None


def test_a_name_of_a_story_is_looked_for_only_where_the_boundary_tells(fresh: Site) -> None:
    """As an actor for who sees who asked, as a model for who sees what was asked; on record so."""
    actor = fresh.machine.identity("caller").actor
    narrow, blind, group = (fresh.key(name) for name in ("narrow", "blind", "group"))
    for key, name, status in (
        (narrow, actor, 200), (narrow, "demo-error", 404), (group, actor, 404),
        (group, "demo-error", 200), (blind, "demo-chat", 200), (blind, "demo-error", 404),
    ):  # fmt: skip
        shown = fresh.ask(key, "GET", f"/api/show/{name}")
        assert shown.status_code == status, (name, shown.text)
    assert fresh.ask(narrow, "GET", "/api/show/model:demo-error").status_code == 403
    fresh.ask(fresh.key(), "GET", "/api/show/demo-chat")
    recorded = fresh.machine.records("access.query")[-1]["what"]
    assert (recorded["operation"], recorded["kind"], recorded["name"]) == (
        "show", "model", "demo-chat",
    )  # fmt: skip
    fresh.ask(fresh.key(), "GET", "/api/show/the%20caller")
    recorded = fresh.machine.records("access.query")[-1]["what"]
    assert (recorded["kind"], recorded["name"][:5]) == ("actor", "hmac:")


def test_what_is_beyond_a_story_is_counted_in_its_window(
    fresh: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in all time; and before the read is recorded, so that an end of time is told alike."""
    key = fresh.key("chat")
    fresh.machine.clock.advance(3_600)
    fresh.machine.exchange("Later.", "Yes.", session="s")
    fresh.machine.exchange("Fail later.", "No.", model="demo-error", session="s")
    fresh.machine.exchange("Fail again.", "No.", model="demo-error", session="s")
    fresh.machine.settle()
    session = fresh.rows(key)[0]["session"]
    since = add_seconds(fresh.machine.clock.now(), -60)
    for window, number in (("", 6), (f"?since={since}", 4), (f"?until={since}", 2)):
        told = fresh.ask(key, "GET", f"/api/show/{session}{window}").json()
        assert told["beyond"] == {"rows": number, "capped": False}, window

    def late(*_: object) -> None:
        raise UsageError("The question takes longer than 10 seconds.")

    monkeypatch.setattr(reads, "beyond", late)
    before = len(fresh.machine.records("access.query"))
    assert fresh.ask(key, "GET", f"/api/show/{session}").status_code == 400
    (told,) = fresh.machine.records("access.query")[before:]
    assert (told["what"]["operation"], told["what"]["rows"]) == ("show", 0)


@pytest.mark.parametrize("name", ["s", "session:s", "actor:the%20caller"])
def test_what_is_beyond_a_story_is_counted_by_whatever_name_it_goes(fresh: Site, name: str) -> None:
    """A caller's name for its session, and a person's, stand for the same records as in a query."""
    key = fresh.key("named", team="support")
    told = fresh.ask(key, "GET", f"/api/show/{name}").json()
    assert told["beyond"] == {"rows": 2, "capped": False}


def test_a_number_beyond_is_of_the_own_tenant(fresh: Site) -> None:
    """Records of another tenant are not even counted."""
    told = fresh.ask(fresh.key("chat"), "POST", "/api/query", {"expression": "-model:none"}).json()
    every = fresh.rows(fresh.machine.keys["owner"], "-model:none", limit=1000)
    mine = [row for row in every if row["tenant"] == TENANT]
    # The query itself became a record meanwhile, after it was counted.
    assert len(told["rows"]) == 1
    assert told["beyond"]["rows"] + 2 == len([r for r in mine if r["type"] != "access.query"])


def test_a_chain_beyond_the_boundary_is_counted_and_not_shown(fresh: Site) -> None:
    """With --prove, where the boundary says so; the bundle holds no fact of what is beyond."""
    actor = fresh.machine.identity("caller").actor
    body = {"expression": f"actor:{actor}", "view": "records", "prove": True}
    proof = fresh.ask(fresh.key("chat"), "POST", "/api/query", body).json()["proof"]
    assert not proof["proved"]
    assert proof["counts"]["records"] == 2
    assert proof["chain"]["records"] == 4
    assert "4 records" in proof["chain"]["completeness"]
    counted = fresh.ask(fresh.key("chat"), "POST", "/api/query", body | {"count": True}).json()
    assert (counted["proof"]["counts"]["records"], counted["proof"]["proved"]) == (4, True)
    assert "demo-error" not in str(counted)
    blind = fresh.ask(fresh.key("blind"), "POST", "/api/query", body)
    assert "chain" not in blind.json()["proof"]
    assert (
        fresh.ask(fresh.key("blind"), "POST", "/api/query", body | {"count": True}).status_code
        == 400
    )
    made = {"expression": f"actor:{actor}", "count": True}
    exported = fresh.ask(fresh.key("chat"), "POST", "/api/export", made)
    assert exported.status_code == 200
    assert b"demo-error" not in exported.content
    assert fresh.ask(fresh.key("blind"), "POST", "/api/export", made).status_code == 400
    nothing = body | {"expression": "tokens>1"}
    proof = fresh.ask(fresh.key("chat"), "POST", "/api/query", nothing).json()["proof"]
    assert proof["chain"] is None


def test_a_group_gives_its_boundary(site: Site) -> None:
    """To a key without one of its own."""
    key = site.key(groups=("oncall",))
    assert "actor" not in site.rows(key)[0]
    assert "model" in site.rows(key)[0]
    own = site.key("narrow", groups=("oncall",))
    assert {"actor", "model"} & set(site.rows(own)[0]) == {"actor"}


def test_a_boundary_that_is_gone_reads_nothing(site: Site) -> None:
    """Fails closed, with what to do."""
    response = site.ask(site.key("gone"), "POST", "/api/query", {})
    assert response.status_code == 403
    assert "not in the configuration" in response.json()["error"]["message"]


def test_the_right_to_read_ends(site: Site) -> None:
    """Before the time it reads, from then on it does not, on the page neither."""
    key = site.key(until=add_seconds(site.machine.clock.now(), 3600))
    assert site.rows(key)
    site.client.post("/login", data={"key": key}, follow_redirects=False)
    assert site.client.get("/").status_code == 200
    site.machine.clock.advance(3601)
    assert site.ask(key, "POST", "/api/query", {}).status_code == 403
    assert site.client.get("/").status_code == 403


def test_keys_are_made_with_limits_that_make_sense(site: Site) -> None:
    """Known boundaries and later times, for roles that read."""
    owner = site.machine.keys["owner"]
    good = {"name": "a", "role": "auditor", "boundary": "chat", "until": "30d"}
    made = site.ask(owner, "POST", "/api/keys", good).json()
    assert (made["boundary"], made["until"][:10]) == ("chat", "2026-12-23")
    for bad, said in (
        ({"boundary": "chet"}, "Did you mean chat"),
        ({"boundary": "chat", "role": "caller"}, "caller"),
        ({"boundary": "chat", "role": "administrator"}, "administrator"),
        ({"until": "2020-01-01"}, "over already"),
        ({"until": "30d", "role": "caller"}, "who reads"),
        ({"until": "soon"}, "not a time"),
        ({"until": "99999999999w"}, "not a time"),
    ):
        response = site.ask(owner, "POST", "/api/keys", {"name": "b", "role": "auditor"} | bad)
        assert response.status_code == 400, bad
        assert said in response.text
    listed = site.ask(owner, "GET", "/api/keys").json()["keys"]
    assert ("chat", made["until"]) in {(key["boundary"], key["until"]) for key in listed}


def test_an_administrator_makes_keys_and_reads_no_record_of_others_work(fresh: Site) -> None:
    """Administrative types alone; and no owner comes from it."""
    key = fresh.machine.keys["administrator"]
    made = fresh.ask(key, "POST", "/api/keys", {"name": "x", "role": "auditor"})
    assert made.status_code == 201
    assert fresh.ask(key, "POST", "/api/keys", {"name": "x", "role": "owner"}).status_code == 403
    assert fresh.rows(key) == []
    machine = fresh.machine
    facts = {
        "change.config": (), "change.prompt": (Chain(TENANT, "actor", "act_x"),),
        "change.model": (Chain("umbra", "actor", "act_x"),), "ledger.key": (),
        "retention.expired": (), "custom": (),
    }  # fmt: skip
    for kind, chains in facts.items():
        who = {"who": {"tenant": chains[0].tenant}} if chains else {}
        record = system.make(kind, machine.clock, machine.config, {**who, "what": {}}, *chains)
        asyncio.run(machine.played.record(record))
    change = system.key_change(
        machine.clock, machine.config, machine.identity("auditor"), "created", None
    )
    asyncio.run(machine.played.record(change))
    machine.settle()
    types = {row["type"] for row in fresh.rows(key, "", limit=1000)}
    assert types == {"change.config", "change.key", "ledger.key", "retention.expired"}
    assert fresh.ask(key, "GET", "/api/show/%231").status_code == 404
    assert fresh.ask(key, "GET", "/log/tile/entries/000").status_code == 403


def test_a_subject_reads_what_it_caused(site: Site) -> None:
    """Its own records whole, found by the name that the key shares with the caller's."""
    assert site.rows(site.machine.keys["subject"]) == []
    mine = site.key(role="subject", name="the caller")
    assert len(site.rows(mine)) == 4
    told = site.ask(mine, "POST", "/api/reveal", {"id": "#1", "reason": "mine"}).json()
    assert "witness" in told["records"][0]["parts"][0]["text"]
    other = site.key(role="subject", name="somebody else")
    assert site.ask(other, "POST", "/api/reveal", {"id": "#1", "reason": "?"}).status_code == 404


def test_a_purpose_is_required_everywhere(site: Site) -> None:
    """Query, show, tail, export and the page; with one they answer."""
    key = site.key("asked")
    for method, path, body in (
        ("POST", "/api/query", {}),
        ("GET", "/api/query", None),
        ("GET", "/api/show/%231", None),
        ("GET", "/api/tail", None),
        ("GET", "/api/pivot?value=demo-chat", None),
        ("POST", "/api/diff", {"first": "#1", "second": "#3"}),
        ("POST", "/api/export", {"expression": "model:demo-chat"}),
    ):
        response = site.ask(key, method, path, body)
        assert response.status_code == 403, path
        assert "purpose" in response.text
    assert site.rows(key, purpose="ticket 1")
    assert site.ask(key, "GET", "/api/show/%231?purpose=ticket").status_code == 200
    assert site.ask(key, "GET", "/api/pivot?value=demo-chat&purpose=ticket").json()["places"]
    compared = {"first": "#1", "second": "#3", "purpose": "ticket"}
    assert site.ask(key, "POST", "/api/diff", compared).status_code == 200
    suggested = site.ask(key, "GET", "/api/completion?expression=model:").json()["suggestions"]
    assert suggested == []
    body = {"expression": "model:demo-chat", "purpose": "ticket"}
    assert site.ask(key, "POST", "/api/export", body).status_code == 200
    site.client.post("/login", data={"key": key}, follow_redirects=False)
    page = site.client.get("/")
    assert page.status_code == 200
    assert "asks for the purpose" in page.text
    assert "demo-chat ·" not in page.text
    assert "demo-chat" in site.client.get("/?purpose=ticket").text


def test_rows_leave_the_window(fresh: Site) -> None:
    """What was within it an hour ago is out, and a cursor does not bring it back."""
    key = fresh.key("recent")
    body = {"expression": EXCHANGES, "view": "records", "limit": 1}
    first = fresh.ask(key, "POST", "/api/query", body).json()
    fresh.machine.clock.advance(1)
    second = fresh.ask(key, "POST", "/api/query", body | {"cursor": first["cursor"]})
    assert second.status_code == 200
    assert len(second.json()["rows"]) == 1
    fresh.machine.clock.advance(3600)
    later = fresh.ask(key, "POST", "/api/query", body | {"cursor": first["cursor"]}).json()
    assert later["rows"] == []
    assert fresh.ask(key, "GET", "/api/show/%231").status_code == 404


# -- two persons ---------------------------------------------------------------------------------


def reveal(site: Site, key: str, name: str = "#1") -> Any:
    """A reveal, however it is answered."""
    return site.ask(key, "POST", "/api/reveal", {"id": name, "reason": "incident 1"})


def answer(site: Site, key: str, approval: str, verb: str = "grant") -> Any:
    """Grant or deny."""
    return site.ask(key, "POST", f"/api/approvals/{approval}/{verb}", {"reason": "seen"})


def test_a_second_person_opens_one_record_for_an_hour(fresh: Site) -> None:
    """Asked once, granted by somebody else, shown for an hour, each step on record."""
    me, second = fresh.key("two"), fresh.key(role="compliance")
    first = reveal(fresh, me)
    assert first.status_code == 202
    assert first.json()["records"] == []
    asked = first.json()["asked"]
    assert reveal(fresh, me).json()["asked"]["id"] == asked["id"]
    listed = fresh.ask(second, "GET", "/api/approvals").json()["approvals"]
    assert [(one["id"], one["yours"]) for one in listed] == [(asked["id"], False)]
    assert answer(fresh, second, asked["id"]).json()["state"] == "granted"
    told = reveal(fresh, me)
    assert told.status_code == 200
    assert "witness" in told.text
    assert reveal(fresh, me, "#2").status_code == 200, "the other half was asked for with it"
    assert reveal(fresh, me, "#3").status_code == 202, "another record was not"
    assert reveal(fresh, fresh.key("two")).status_code == 202, "nor for another key"
    fresh.machine.clock.advance(3601)
    assert reveal(fresh, me).status_code == 202
    requested = fresh.machine.records("approval.requested")
    assert requested[0]["what"]["reason"] == "incident 1"
    granted = fresh.machine.records("approval.granted")[0]
    assert granted["control"]["approval"] == asked["id"]
    assert granted["who"]["role"] == "compliance"
    revealed = fresh.machine.records("access.reveal")
    assert [one["control"].get("approval") for one in revealed] == [asked["id"]] * 2


def test_content_is_shown_nowhere_else(site: Site) -> None:
    """Not in rows, narratives, search or exports, whatever the reason."""
    me = site.key("two")
    body = {"expression": EXCHANGES, "purpose": "ticket 1"}
    assert "saw it" not in site.ask(me, "POST", "/api/query", body).text
    assert "saw it" not in site.ask(me, "GET", "/api/show/%231?purpose=ticket").text
    compared = {"first": "#1", "second": "#3", "purpose": "ticket 1"}
    assert "saw it" not in site.ask(me, "POST", "/api/diff", compared).text
    body = {"expression": '"saw it"', "purpose": "ticket 1"}
    assert site.ask(me, "POST", "/api/query", body).status_code == 403
    body = {"expression": "model:demo-chat", "purpose": "ticket 1", "content": "full"}
    assert site.ask(me, "POST", "/api/export", body).status_code == 403


@pytest.mark.parametrize("role", ["owner", "responder", "auditor"])
def test_roles_that_approve(site: Site, role: str) -> None:
    """Besides compliance."""
    asked = reveal(site, site.key("two")).json()["asked"]
    assert answer(site, site.machine.keys[role], asked["id"]).status_code == 200


def test_the_owner_of_the_machine_may_be_the_second_person(site: Site) -> None:
    """By the local socket, which has no key."""
    asked = reveal(site, site.key("two")).json()["asked"]
    granted = site.socket.post(f"/api/approvals/{asked['id']}/grant", json={})
    assert granted.json()["state"] == "granted"


@pytest.mark.parametrize("role", ["administrator", "member", "subject", "caller", "monitor"])
def test_roles_that_do_not_approve(site: Site, role: str) -> None:
    """They are refused, and see nothing of it."""
    me = site.key("two")
    asked = reveal(site, me).json()["asked"]
    key = site.machine.keys[role]
    listed = site.ask(key, "GET", "/api/approvals")
    assert listed.status_code == 403 or listed.json()["approvals"] == []
    assert answer(site, key, asked["id"]).status_code == 403
    assert reveal(site, me).status_code == 202


def test_nobody_is_their_own_second_person(site: Site) -> None:
    """Neither with the same key, nor another of the same name, nor of the same address."""
    me = site.key("two", name="Alice", email="alice@example.com")
    asked = reveal(site, me).json()["asked"]
    same = site.key(role="compliance", name="Alice")
    mail = site.key(role="compliance", name="A. Doe", email="Alice@Example.com")
    for key in (me, same, mail):
        response = answer(site, key, asked["id"])
        assert response.status_code == 403, response.text
        assert "second person" in response.text
    assert reveal(site, me).status_code == 202


def test_an_approver_must_be_able_to_know_of_the_record(site: Site) -> None:
    """Otherwise the approval is as unknown as one that never was."""
    me, far = site.key("two"), site.key("narrow")
    asked = reveal(site, me).json()["asked"]
    assert site.ask(far, "GET", "/api/approvals").json()["approvals"] == []
    unknown, beyond = answer(site, far, "0199"), answer(site, far, asked["id"])
    assert (beyond.status_code, beyond.json()) == (404, unknown.json())


def test_a_denial_is_final_and_an_old_question_lapses(fresh: Site) -> None:
    """Both have to be asked for again."""
    me, second = fresh.key("two"), fresh.key(role="compliance")
    asked = reveal(fresh, me).json()["asked"]
    assert answer(fresh, second, asked["id"], "deny").json()["state"] == "denied"
    assert answer(fresh, second, asked["id"]).status_code == 404, "it is not open any more"
    again = reveal(fresh, me).json()["asked"]
    assert again["id"] != asked["id"]
    assert answer(fresh, me, again["id"], "deny").status_code == 200, "taken back"
    third = reveal(fresh, me).json()["asked"]
    fresh.machine.clock.advance(86_401)
    assert answer(fresh, second, third["id"]).status_code == 404
    assert reveal(fresh, me).json()["asked"]["id"] != third["id"]
    denied = fresh.machine.records("approval.denied")
    assert [one["control"]["approval"] for one in denied] == [asked["id"], again["id"]]


def test_a_record_beyond_the_boundary_is_not_asked_for(site: Site) -> None:
    """As unknown as one that never was, and no approval is asked."""
    key = site.key("narrow")
    before = len(site.machine.records("approval.requested"))
    assert reveal(site, key, "#1").status_code == 404
    assert len(site.machine.records("approval.requested")) == before


# -- broken glass --------------------------------------------------------------------------------


def broken(site: Site, key: str) -> Any:
    """Break it."""
    return site.ask(key, "POST", "/api/break-glass", {"reason": "incident 9"})


def test_a_broken_glass_is_on_record_and_in_every_read(fresh: Site) -> None:
    """Tenant-wide rows and content for a reason, seen in status and metrics, until it ends."""
    key, plain = fresh.key("glassy"), fresh.key("blind")
    assert broken(fresh, plain).status_code == 403
    assert broken(fresh, fresh.machine.keys["owner"]).status_code == 403
    assert {row["model"] for row in fresh.rows(key)} == {"demo-chat"}
    made = broken(fresh, key)
    assert made.status_code == 201
    glass = made.json()["id"]
    assert broken(fresh, key).status_code == 400, "once is enough"
    assert {row["model"] for row in fresh.rows(key)} == {"demo-chat", "demo-error"}
    told = fresh.ask(key, "POST", "/api/reveal", {"id": "#3", "reason": "incident 9"}).json()
    assert "Fail, please" in told["records"][0]["parts"][0]["text"]
    for who in (key, fresh.machine.keys["administrator"], fresh.machine.keys["owner"]):
        status = fresh.ask(who, "GET", "/api/status").json()
        assert [one["id"] for one in status["break_glass"]] == [glass]
    assert fresh.ask(plain, "GET", "/api/status").json()["break_glass"] != []
    member = fresh.ask(fresh.machine.keys["member"], "GET", "/api/status").json()
    assert member["break_glass"] == []
    assert "affidavit_break_glass 1" in fresh.client.get("/metrics").text
    assert {row["model"] for row in fresh.rows(plain)} == {"demo-chat"}, "nobody else's"
    fresh.machine.clock.advance(601)
    assert {row["model"] for row in fresh.rows(key)} == {"demo-chat"}
    assert "affidavit_break_glass 0" in fresh.client.get("/metrics").text
    begun = fresh.machine.records("approval.granted")[0]
    assert begun["what"] == {
        "operation": "break_glass", "phase": "begun", "reason": "incident 9",
        "boundary": "glassy", "until": made.json()["until"],
    }  # fmt: skip
    reads = fresh.machine.records("access.query") + fresh.machine.records("access.reveal")
    named = [one for one in reads if one["what"]["boundary"].get("break_glass")]
    assert len(named) == 2
    assert all(one["control"]["approval"] == glass for one in named)
    assert all(one["control"]["reasons"] == ["break_glass"] for one in named)


def test_a_glass_can_be_ended(fresh: Site) -> None:
    """By whoever broke it, on record; and broken again."""
    key = fresh.key("glassy")
    assert fresh.ask(key, "DELETE", "/api/break-glass").status_code == 404
    glass = broken(fresh, key).json()["id"]
    other = fresh.ask(fresh.key("glassy"), "DELETE", "/api/break-glass")
    assert other.status_code == 404
    assert fresh.ask(key, "DELETE", "/api/break-glass").json()["id"] == glass
    assert {row["model"] for row in fresh.rows(key)} == {"demo-chat"}
    assert broken(fresh, key).json()["id"] != glass
    phases = [one["what"]["phase"] for one in fresh.machine.records("approval.granted")]
    assert phases == ["begun", "ended", "begun"]


def test_a_glass_needs_a_reason(site: Site) -> None:
    """And it is not blank."""
    for body in ({}, {"reason": ""}, {"reason": "   "}):
        response = site.ask(site.key("glassy"), "POST", "/api/break-glass", body)
        assert response.status_code == 400


def test_what_cannot_be_recorded_opens_nothing(
    fresh: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a question, nor a grant, nor a glass."""
    me, second, glassy = fresh.key("two"), fresh.key(role="compliance"), fresh.key("glassy")
    asked = reveal(fresh, me).json()["asked"]

    async def full(record: Any) -> None:
        raise RefusedError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(fresh.machine.played, "record", full)
        assert answer(fresh, second, asked["id"]).status_code == 403
        assert broken(fresh, glassy).status_code == 403
        assert reveal(fresh, me, "#3").status_code == 403
        assert answer(fresh, second, asked["id"], "deny").status_code == 403
    assert reveal(fresh, me).json()["asked"]["id"] != asked["id"], "the denial is in force"
    assert {row["model"] for row in fresh.rows(glassy)} == {"demo-chat"}
    assert fresh.machine.played.approvals.glasses() == ()


# -- giving up -----------------------------------------------------------------------------------


def test_an_owner_gives_up_for_good(fresh: Site) -> None:
    """Owners' keys are worthless, the socket administrates, and nobody owns again."""
    machine = fresh.machine
    gone = fresh.ask(machine.keys["owner"], "POST", "/api/keys/give-up", {}).json()
    assert gone["owners"] == [machine.identity("owner").id]
    assert fresh.ask(machine.keys["owner"], "POST", "/api/query", {}).status_code == 401
    status = fresh.socket.get("/api/status").json()["reader"]
    assert (status["role"], status["authenticated_by"]) == ("administrator", "socket")
    assert fresh.socket.post("/api/reveal", json={"id": "#1", "reason": "?"}).status_code == 403
    assert fresh.socket.get("/api/show/%231").status_code == 404
    made = fresh.socket.post("/api/keys", json={"name": "x", "role": "owner"})
    assert made.status_code == 403
    assert fresh.socket.post("/api/keys", json={"name": "x", "role": "auditor"}).status_code == 201
    told = machine.records("change.identity")[-1]["what"]
    assert (told["before"], told["after"]) == ({"role": "owner"}, {"role": "administrator"})


def test_nobody_gives_up_alone(fresh: Site) -> None:
    """Without a key of an administrator in force there would be nobody left."""
    machine = fresh.machine
    machine.identities.put(machine.identities.revoked(machine.identity("administrator").id))
    response = fresh.ask(machine.keys["owner"], "POST", "/api/keys/give-up", {})
    assert response.status_code == 403
    assert "--role administrator" in response.json()["error"]["hint"]
    assert fresh.rows(machine.keys["owner"])
    for role in ("administrator", "auditor"):
        assert fresh.ask(machine.keys[role], "POST", "/api/keys/give-up", {}).status_code in (
            401,
            403,
        )


def test_a_refused_export_says_what_leads_to_content(site: Site) -> None:
    """A reason opens nothing where two persons have to agree, so none is asked for."""
    body = {"expression": EXCHANGES, "content": "full", "purpose": "a reason"}
    refused = site.ask(site.key("two"), "POST", "/api/export", body)
    assert (refused.status_code, refused.json()["hint"]) == (403, "Two persons reveal one record.")
