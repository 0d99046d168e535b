"""What scripts may put on record, and what nobody may claim."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.console.reporting import MAX_SIDES, REPORTED
from affidavit.record.model import TYPES
from tests.unit.console.conftest import Client
from tests.world.machine import Machine

ALIAS = {
    "type": "change.alias", "target": "prod-chat", "before": "gpt-4o", "after": "gpt-5",
    "reason": "CHG-7", "by": "Dora Deploy", "models": ["gpt-4o-mini"],
}  # fmt: skip


def report(client: TestClient, body: dict[str, Any]) -> Any:
    """Post a report."""
    headers = {"content-type": "application/json"}
    return client.post("/api/records", content=json.dumps(body), headers=headers)


def test_a_reported_change_is_a_record(client: Client, machine: Machine) -> None:
    """Tier reported, by the key that told, found under the alias and both models."""
    made = report(client("caller"), ALIAS)
    assert made.status_code == 201
    assert made.json()["tier"] == "reported"
    machine.settle()
    owner = client("owner")
    for expression in (
        "model:prod-chat type:change.*", "model:gpt-5", "target:alias:prod-chat", "tier:reported",
        "model:gpt-4o-mini", f"key:{machine.identity('caller').id} type:change.alias",
        'name:"dora deploy"',
    ):  # fmt: skip
        asked = {"expression": expression, "view": "records"}
        rows = owner.post("/api/query", json=asked).json()["rows"]
        assert made.json()["id"] in [row["id"] for row in rows], expression
    (line,) = owner.get(f"/api/show/{made.json()['id']}").json()["lines"]
    assert (line["evidence"], line["details"]["changed"]) == ("reported", ["gpt-4o → gpt-5"])
    assert line["details"]["reason"] == "CHG-7"
    proof = {"expression": "model:gpt-5", "prove": True}
    verdict = owner.post("/api/query", json=proof).json()["proof"]
    assert verdict["proved"]
    assert "all 1 records of model=gpt-5" in verdict["completeness"]
    assert "reported" in verdict["coverage"]


@pytest.mark.parametrize("kind", sorted(TYPES - set(REPORTED)))
def test_nobody_reports_what_is_observed_or_decided_here(client: Client, kind: str) -> None:
    """No ledger, access, exchange, retention or approval record by hand, nor one of a key."""
    refused = report(client("owner"), ALIAS | {"type": kind})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("target", "name"), [("alias:chat-2", "chat-2"), ("model:chat-2", "model:chat-2")]
)
def test_a_target_named_as_in_a_question_is_the_same(
    client: Client, machine: Machine, target: str, name: str
) -> None:
    """``target:alias:NAME`` finds it; what stands before the name is of its own kind alone."""
    sides = {"before": "gpt-6", "after": "gpt-7"}  # which no other test asks about
    made = report(client("caller"), ALIAS | sides | {"target": target}).json()
    machine.settle()
    asked = {"expression": f'target:"alias:{name}"', "view": "exchanges"}
    rows = client("owner").post("/api/query", json=asked).json()["rows"]
    (row,) = [row for row in rows if row["id"] == made["id"]]
    assert (row["target"], row["text"]) == (
        f"alias:{name}", f"Changed alias:{name}: gpt-6 → gpt-7.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ALIAS | {"target": ""}, 400), (ALIAS | {"extra": 1}, 400), (ALIAS | {"at": "today"}, 400),
        (ALIAS | {"at": "2999-01-01T00:00:00.000000Z"}, 400), (ALIAS | {"models": ["m"] * 65}, 400),
        (ALIAS | {"after": "x" * MAX_SIDES}, 413), (ALIAS | {"after": "\ud800"}, 400),
        ({"type": "change.alias"}, 400), (ALIAS | {"target": "\ud800"}, 400),
    ],
    ids=["no target", "unknown", "no time", "ahead", "models", "large", "after", "empty", "odd"],
)  # fmt: skip
def test_bad_reports_are_refused(client: Client, body: dict[str, Any], status: int) -> None:
    """Each with a sentence, and nothing recorded."""
    answer = report(client("caller"), body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "at",
    [
        "2026-02-30T00:00:00.000000Z", "2026-02-31T25:61:61.000000Z", "2026-11-31T12:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z", "2025-02-29T12:00:00.000000Z",
        "2026-11-20T24:00:00.000000Z", "2026-11-20T23:59:60.000000Z",
        "２０２６-11-20T12:00:00.000000Z", "2026-11-20T12:00:00.000000Z\n",
    ],
)  # fmt: skip
def test_a_time_that_does_not_exist_is_refused(client: Client, machine: Machine, at: str) -> None:
    """With a sentence; taken and placed, it made the proofs of the model fail for ever."""
    answer = report(client("caller"), ALIAS | {"at": at, "models": ["demo-chat"]})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]
    machine.settle()
    asked = {"expression": "model:demo-chat", "prove": True}
    assert client("owner").post("/api/query", json=asked).json()["proof"]["proved"]


def test_a_change_in_the_past_keeps_its_time(client: Client, machine: Machine) -> None:
    """The source's time is what the reporter says; the ledger's is its own."""
    at = "2026-11-20T08:00:00.000000Z"
    made = report(client("owner"), ALIAS | {"at": at, "type": "change.model", "target": "m-9"})
    machine.settle()
    asked = {"expression": "model:m-9", "view": "records"}
    (row,) = client("owner").post("/api/query", json=asked).json()["rows"]
    assert (row["id"], row["at"]) == (made.json()["id"], at)
    assert row["time"] > at
