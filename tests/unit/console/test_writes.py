"""Writes with an ``Idempotency-Key`` over HTTP: done once, answered again without the secret."""

from typing import Any

import pytest

from affidavit.console.writes import NOTE
from tests.unit.console.conftest import Client
from tests.world.machine import Machine


def count(machine: Machine, name: str) -> int:
    """How many keys of a name there are."""
    return sum(identity.name == name for identity in machine.identities.all())


def create(client: Client, name: str, key: str, role: str = "owner") -> Any:
    """Ask for a key."""
    return client(role).post("/api/keys", json={"name": name}, headers={"idempotency-key": key})


def test_a_key_is_made_once_and_its_token_shown_once(client: Client, machine: Machine) -> None:
    """The repeated answer has everything but the token, says so, and is on record."""
    first, again = create(client, "once", "k-1"), create(client, "once", "k-1")
    assert (first.status_code, again.status_code, count(machine, "once")) == (201, 201, 1)
    assert first.json()["token"].startswith("aff_")
    told = again.json()
    assert (told.pop("token"), told.pop("replayed"), told.pop("note")) == (None, True, NOTE)
    assert told == {k: v for k, v in first.json().items() if k != "token"}
    what = machine.records("access.query")[-1]["what"]
    assert what == {"operation": "keys.create", "replayed": True, "rows": 1}


def test_the_same_key_with_another_request_is_refused(client: Client, machine: Machine) -> None:
    """422, nothing done; for a revocation under the key of a creation, too."""
    made = create(client, "first", "k-2").json()
    other = create(client, "second", "k-2")
    assert (other.status_code, other.json()["code"]) == (422, "usage.key_reused")
    assert count(machine, "second") == 0
    headers = {"idempotency-key": "k-2"}
    assert client("owner").delete(f"/api/keys/{made['id']}", headers=headers).status_code == 422
    assert machine.identities.find(made["id"]).revoked is None


def test_another_reader_has_keys_of_its_own(client: Client, machine: Machine) -> None:
    """What two people call their requests does not matter to the other; who may not, may not."""
    identity, token = machine.identities.draft(tenant="acme", name="other owner", role="owner")
    machine.identities.put(identity)
    create(client, "mine", "k-3")
    headers = {"idempotency-key": "k-3", "authorization": f"Bearer {token}"}
    theirs = client("").post("/api/keys", json={"name": "mine"}, headers=headers)
    assert (theirs.status_code, count(machine, "mine")) == (201, 2)
    assert theirs.json()["token"] is not None
    assert create(client, "mine", "k-3", role="auditor").status_code == 403


def test_a_revocation_is_repeated_as_it_was(client: Client) -> None:
    """The same answer, without ``already``: it was this request that revoked it."""
    made = create(client, "to revoke", "k-4").json()
    headers = {"idempotency-key": "k-5"}
    path = f"/api/keys/{made['id']}"
    first, again = (client("owner").delete(path, headers=headers).json() for _ in range(2))
    assert again == {**first, "replayed": True}


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "\u00e9"])
def test_a_key_that_is_none_is_refused(client: Client, machine: Machine, key: str) -> None:
    """Before anything is done."""
    headers = [(b"idempotency-key", key.encode())]
    response = client("owner").post("/api/keys", json={"name": "never"}, headers=headers)
    assert (response.status_code, count(machine, "never")) == (400, 0)
