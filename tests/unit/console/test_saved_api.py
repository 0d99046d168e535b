"""Saved queries: whose they are, who changes them, and what is on record and shown of them."""

import asyncio
from typing import Any

import msgspec
import pytest

from affidavit.console import saved_api
from affidavit.console.access import Access
from tests.unit.console.conftest import Client, reader_of
from tests.world.machine import Machine


def save(client: Client, role: str, name: str, expression: str, scope: str = "own") -> Any:
    """Save as a role."""
    body = {"expression": expression, "scope": scope}
    return client(role).put(f"/api/saved/{name}", json=body)


def get(client: Client, role: str, name: str) -> Any:
    """What a name leads to for a role."""
    return client(role).get(f"/api/saved/{name}")


def code(response: Any) -> tuple[int, str]:
    """How a request was answered."""
    return response.status_code, response.json().get("error", {}).get("code", "")


def test_a_name_leads_to_ones_own_query_then_to_the_teams(client: Client) -> None:
    """One name, three holders; what is forgotten uncovers what stood behind it."""
    for scope in ("own", "team", "tenant"):
        assert save(client, "responder", "latest", f"purpose:{scope}", scope).status_code == 200
    for scope in ("own", "team", "tenant"):
        assert get(client, "responder", "latest").json()["expression"] == f"purpose:{scope}"
        if scope != "own":
            assert get(client, "member", "latest").json()["expression"] == f"purpose:{scope}"
        gone = client("responder").delete("/api/saved/latest", params={"scope": scope})
        assert gone.json()["expression"] == f"purpose:{scope}"
    assert code(get(client, "responder", "latest")) == (404, "not_found")
    assert code(client("responder").delete("/api/saved/latest")) == (404, "not_found")


def test_what_is_ones_own_nobody_else_sees(client: Client) -> None:
    """Neither by name nor in the list, nor for the owner."""
    assert save(client, "responder", "mine", "purpose:secret-plan").status_code == 200
    for role in ("owner", "member", "auditor"):
        assert code(get(client, role, "mine")) == (404, "not_found")
        assert "secret-plan" not in client(role).get("/api/saved").text
    assert "secret-plan" in client("responder").get("/api/saved").text


def test_what_is_shared_is_changed_by_its_author_or_an_owner(client: Client) -> None:
    """Others choose another name; a member does not share with the whole tenant."""
    assert save(client, "responder", "shared", "model:a", "team").status_code == 200
    assert code(save(client, "member", "shared", "model:b", "team")) == (403, "refused")
    refused = client("member").delete("/api/saved/shared", params={"scope": "team"})
    assert code(refused) == (403, "refused")
    assert get(client, "member", "shared").json()["expression"] == "model:a"
    assert code(save(client, "member", "all", "model:b", "tenant")) == (403, "refused")
    assert save(client, "owner", "shared", "model:c", "team").status_code == 200
    assert get(client, "member", "shared").json()["expression"] == "model:c"


def test_every_change_is_on_record_without_the_words(client: Client, machine: Machine) -> None:
    """Saved, changed, forgotten: who, which name, before and after as questions are recorded."""
    count = len(machine.records("change.config"))
    words = '"quarterly layoffs" email:bob@example.com model:gpt-4o'
    assert save(client, "responder", "watch", words).status_code == 200
    assert save(client, "responder", "watch", "model:gpt-4o").status_code == 200
    assert client("responder").delete("/api/saved/watch").status_code == 200
    told = machine.records("change.config")[count:]
    assert [one["what"]["change"] for one in told] == ["saved", "changed", "deleted"]
    assert {one["what"]["target"]["name"] for one in told} == {"watch"}
    assert {one["who"]["actor"] for one in told} == {machine.identity("responder").actor}
    assert told[0]["what"]["before"] is None
    assert told[0]["what"]["after"] == told[1]["what"]["before"]
    assert told[1]["what"]["after"] == {"expression": "model:gpt-4o"}
    assert "hmac:" in told[0]["what"]["after"]["expression"]
    assert not [word for word in ("layoffs", "bob@") if word in str(told)]
    machine.settle()
    history = client("owner").post("/api/query", json={"expression": "target:query:watch"})
    said = [row["text"] for row in history.json()["rows"]]
    assert said == ["Forgot the query @watch.", "Changed the query @watch.",
                    "Saved the query @watch."]  # fmt: skip


def test_words_that_a_reader_could_not_ask_are_not_told(client: Client) -> None:
    """Somebody's name in a shared query: its terms are digests for who may not see persons."""
    words = 'email:robert@example.com "the takeover"'
    assert save(client, "responder", "who", words, "tenant").status_code == 200
    seen = get(client, "owner", "who").json()
    assert (seen["expression"], seen["askable"]) == (words, True)
    for role in ("auditor", "member"):
        found = get(client, role, "who")
        assert found.json()["askable"] is False
        assert "hmac:" in found.json()["expression"]
        assert "robert" not in found.text + client(role).get("/api/saved").text
        assert "takeover" not in found.text


def test_a_query_is_evaluated_within_the_boundary_of_who_asks(
    client: Client, machine: Machine
) -> None:
    """The owner's words give a member the member's records."""
    other, _ = machine.identities.draft(tenant="acme", name="a stranger", team="other")
    machine.identities.put(other)
    machine.exchange("Whose is this?", "Another team's.", caller=other)
    machine.settle()
    assert save(client, "owner", "everything", "-team:nobody", "tenant").status_code == 200
    words = get(client, "member", "everything").json()["expression"]
    theirs = client("member").post("/api/query", json={"expression": words}).json()
    mine = client("owner").post("/api/query", json={"expression": words}).json()
    assert {row["team"] for row in theirs["rows"]} == {"support"}
    assert {row["team"] for row in mine["rows"]} >= {"support", "other"}


def test_a_name_stands_for_words_once_and_in_an_api_expression_not_at_all(
    client: Client, machine: Machine
) -> None:
    """So names that lead to each other end, and what a program asks is what it wrote."""
    assert save(client, "owner", "one", "@two").status_code == 200
    assert save(client, "owner", "two", "@one").status_code == 200
    services = machine.services()
    saved = saved_api.Saved(services, Access(services))
    reader = reader_of(machine, "owner")
    assert asyncio.run(saved.words(reader, "@one")) == "@two"
    for expression in ("@everything", '"@everything"'):
        body = {"expression": expression}
        assert client("owner").post("/api/query", json=body).json()["rows"] == []
    told = [one["what"] for one in machine.records("access.query")[-2:]]
    assert told[0]["expression"] == told[1]["expression"]
    assert "hmac:" in told[0]["expression"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("-x", {"expression": ""}, 400),
        ("a b", {"expression": ""}, 400),
        ("a%0ab", {"expression": ""}, 400),
        ("x" * 65, {"expression": ""}, 400),
        ("x", {"expression": "modl:x"}, 400),
        ("x", {"expression": "(" * 5000}, 400),
        ("x", {"expression": "", "scope": "world"}, 400),
        ("x", {"expression": "", "actor": "act_other"}, 400),
        ("x", {}, 400),
    ],
)
def test_what_is_no_query_is_not_saved(
    client: Client, machine: Machine, name: str, body: dict[str, Any], status: int
) -> None:
    """An error in the usual shape, and nothing on record or stored."""
    before = len(machine.records("change.config"))
    response = client("owner").put(f"/api/saved/{name}", json=body)
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"].startswith("usage")
    assert len(machine.records("change.config")) == before


def test_there_is_a_most_and_it_is_said_before_anything_is_recorded(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one too many is refused; changing one of them is not."""
    monkeypatch.setattr(saved_api, "MAX_QUERIES", 1)
    assert save(client, "compliance", "one", "model:a").status_code == 200
    before = len(machine.records("change.config"))
    assert code(save(client, "compliance", "two", "model:a")) == (400, "usage")
    assert len(machine.records("change.config")) == before
    assert save(client, "compliance", "one", "model:b").status_code == 200


def test_without_a_sequencer_nothing_is_recorded_of_a_change(
    client: Client, machine: Machine
) -> None:
    """What cannot be stored is refused before it is on record."""
    before = len(machine.records("change.config"))
    machine.link.away = True
    try:
        assert code(save(client, "owner", "x", "model:a")) == (503, "unavailable")
    finally:
        machine.link.away = False
    assert len(machine.records("change.config")) == before


def test_what_is_no_longer_understood_is_kept_and_hides_nothing(
    client: Client, machine: Machine
) -> None:
    """A query of a former version is listed as what it is, and can be forgotten."""
    assert save(client, "owner", "old", "model:a", "tenant").status_code == 200
    (query,) = [q for q in machine.saved.seen_by("acme", "", "") if q.name == "old"]
    machine.saved.put(msgspec.structs.replace(query, expression="gone:x"))
    assert get(client, "owner", "old").json()["expression"] == "gone:x"
    assert get(client, "auditor", "old").json()["expression"] == "(no longer understood)"
    assert client("owner").delete("/api/saved/old?scope=tenant").status_code == 200
