"""Writes with an ``Idempotency-Key`` over HTTP: done once, answered again without the secret."""

import asyncio
from typing import Any

import pytest

from affidavit.console.access import Access
from affidavit.console.writes import NOTE, Writes
from affidavit.errors import UnavailableError
from tests.unit.console.conftest import Client, reader_of
from tests.world.machine import ONCE, Machine


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


CHANGE = {"type": "change.model", "target": "demo-chat", "after": "v2", "reason": "a test"}


def reported(machine: Machine) -> int:
    """How many changes of models are on record."""
    return len(machine.records("change.model"))


def test_a_report_is_one_record_however_often_it_is_sent(client: Client, machine: Machine) -> None:
    """The same id again; another report under the key is refused; without a key it is two."""
    before = reported(machine)
    headers = {"idempotency-key": "deploy-17"}
    answers = [client("caller").post("/api/records", json=CHANGE, headers=headers) for _ in "ab"]
    first, again = (answer.json() for answer in answers)
    assert again == {**first, "replayed": True}
    other = client("caller").post("/api/records", json=CHANGE | {"after": "v3"}, headers=headers)
    assert (other.status_code, reported(machine)) == (422, before + 1)
    for _ in range(2):
        assert client("caller").post("/api/records", json=CHANGE).status_code == 201
    assert reported(machine) == before + 3


def test_side_by_side_one_write_acts(machine: Machine) -> None:
    """Ten at a time: one acts, ten answers are the same."""
    services = machine.services()

    async def all_at_once() -> list[dict[str, Any]]:
        access = Access(services)
        writes = Writes(services, access)
        reader = reader_of(machine, "owner")

        async def act() -> dict[str, Any]:
            return {"id": await access.read("access.query", reader, {"operation": "a test"})}

        asked = (writes.once("a.test", {}, reader, "k", act) for _ in range(10))
        return await asyncio.gather(*asked)

    answers = asyncio.run(all_at_once())
    assert len({answer["id"] for answer in answers}) == 1
    assert sum(answer.get("replayed", False) for answer in answers) == 9


def test_a_write_that_failed_may_be_sent_again(client: Client, machine: Machine) -> None:
    """Nothing is kept of a refusal, nor where the sequencer is away before anything was done."""
    headers = {"idempotency-key": "k-6"}
    body = {"expression": "modl:x"}
    assert client("owner").put("/api/saved/x", json=body, headers=headers).status_code == 400
    machine.link.away = True
    body = {"expression": "has:error"}
    assert client("owner").put("/api/saved/x", json=body, headers=headers).status_code == 503
    machine.link.away = False
    first = client("owner").put("/api/saved/x", json=body, headers=headers)
    again = client("owner").put("/api/saved/x", json=body, headers=headers)
    assert again.json() == {**first.json(), "replayed": True}
    assert client("owner").delete("/api/saved/x", headers=headers).status_code == 422
    headers = {"idempotency-key": "k-7"}
    gone = [client("owner").delete("/api/saved/x", headers=headers).status_code for _ in "ab"]
    assert gone == [200, 200]
    assert client("owner").delete("/api/saved/x").status_code == 404


def test_a_decision_whose_answer_was_lost_is_not_made_twice(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sequencer has done it and did not say so in time: sent again, it is what was done."""
    call = machine.link.call
    lost = False

    async def late(method: str, params: Any = None, *, within: float = 5.0) -> Any:
        answer = await call(method, params, within=within)
        if lost and method in ONCE:
            raise UnavailableError("The sequencer does not answer.")
        return answer

    monkeypatch.setattr(machine.link, "call", late)

    def twice(role: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        nonlocal lost
        headers = {"idempotency-key": f"lost-{path}"}
        lost = True
        assert client(role).post(path, json=body, headers=headers).status_code == 503
        lost = False
        for _ in range(2):
            answer = client(role).post(path, json=body, headers=headers)
            assert answer.is_success, answer.text
            found: dict[str, Any] = answer.json()
            assert found["replayed"] is True
        return found

    words = "model:demo-error since:2026-01-01"
    hold = twice("compliance", "/api/holds", {"expression": words, "matter": "D", "reason": "r"})
    assert hold["records"] == 2, "it is counted when it is answered"
    over = twice("compliance", f"/api/holds/{hold['id']}/release", {"reason": "settled"})
    granted = twice("owner", f"/api/approvals/{over['asked']}/grant", {"reason": "agreed"})
    assert granted["state"] == "granted"
    body = {"kind": "expression", "target": words, "basis": "Art. 17"}
    made = twice("compliance", "/api/erasures", body)
    assert [one.id for one in machine.played.erasures.all()] == [made["id"]]
    assert [one.id for one in machine.played.holds.all()] == [hold["id"]]
    assert [len(machine.records(f"retention.{one}")) for one in ("held", "released")] == [1, 1]
