"""What whoever administrates may make, list and revoke: seen names, keys of the own tenant."""

from typing import Any

import pytest

from affidavit.control.identity import Identity
from tests.unit.console.conftest import Client
from tests.world.machine import Machine


def _foreign(machine: Machine, name: str) -> Identity:
    identity, _ = machine.identities.draft(tenant="other", name=name, email="z@other.example")
    machine.identities.put(identity)
    return identity


@pytest.mark.parametrize(
    "names",
    [
        {"name": "Bob\nGiven up: all"}, {"name": "\u202eboB"}, {"name": "B\u200bob"},
        {"team": "a\tb"}, {"email": "b\0@example.com"}, {"groups": ["ok", "\x1b[2J"]},
    ],
    ids=["line", "bidi", "unseen", "tab", "nul", "escape"],
)  # fmt: skip
def test_names_are_what_they_look_like(client: Client, names: dict[str, Any]) -> None:
    """A name that would forge a line, or look like another's, makes no key."""
    asked = {"name": "Bob", "role": "auditor"} | names
    answer = client("owner").post("/api/keys", json=asked)
    assert answer.status_code == 400
    assert "not seen" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/keys", rb'{"name": "a", "groups": ["\ud800"]}'),
        ("POST", "/api/facets", rb'{"fields": ["\udc00\ud800"]}'),
        ("POST", "/api/query", rb'{"expression": "\"\ud800\"", "purpose": "p"}'),
    ],
)
def test_half_a_surrogate_pair_is_refused(
    client: Client, method: str, path: str, body: bytes
) -> None:
    """It is no character, has no encoding, and is nobody's unforeseen error."""
    sent = {"content-type": "application/json"}
    answer = client("owner").request(method, path, content=body, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "usage")


def test_a_whole_pair_is_a_character(client: Client) -> None:
    """What JSON escapes as a pair stays what it is."""
    sent = {"content-type": "application/json"}
    made = client("owner").post("/api/keys", content=rb'{"name": "\ud83d\ude00"}', headers=sent)
    assert (made.status_code, made.json()["name"]) == (201, "\U0001f600")


def test_an_administrator_knows_of_the_keys_of_its_tenant(client: Client, machine: Machine) -> None:
    """Others' are not listed, and revoking one is as if it were not there."""
    other = _foreign(machine, "Zoe")
    listed = client("administrator").get("/api/keys").json()["keys"]
    assert listed
    assert "Zoe" not in str(listed)
    answers = [
        client("administrator").delete(f"/api/keys/{name}") for name in (other.id, "key_nobody")
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].text.replace(other.id, "") == answers[1].text.replace("key_nobody", "")
    assert machine.identities.find(other.id).revoked is None
    assert other.id in client("owner").get("/api/keys").text
    assert client("owner").delete(f"/api/keys/{other.id}").status_code == 200


def test_an_owner_makes_keys_of_any_tenant_and_others_of_their_own(
    client: Client, machine: Machine
) -> None:
    """A tenant begins with its first key; who administrates one names no other."""
    asked = {"name": "Zed", "role": "auditor", "tenant": "beta"}
    made = client("owner").post("/api/keys", json=asked)
    assert (made.status_code, made.json()["tenant"]) == (201, "beta")
    listed = client("owner").get("/api/keys").json()["keys"]
    assert [one["tenant"] for one in listed if one["name"] == "Zed"] == ["beta"]
    assert client("owner").post("/api/keys", json=asked | {"tenant": "a\tb"}).status_code == 400
    refused = client("administrator").post("/api/keys", json=asked)
    assert (refused.status_code, "an owner alone" in refused.json()["detail"]) == (403, True)
    own = asked | {"name": "Yan", "tenant": machine.identity("administrator").tenant}
    assert client("administrator").post("/api/keys", json=own).status_code == 201
    assert client("owner").delete(f"/api/keys/{made.json()['id']}").status_code == 200
