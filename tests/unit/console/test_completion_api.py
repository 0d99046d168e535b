"""Completion over HTTP: within the boundary, and on record without a flood."""

from typing import Any

import pytest

from tests.unit.console.conftest import Client
from tests.world.machine import Machine


def complete(client: Client, role: str, expression: str, **more: Any) -> dict[str, Any]:
    """What is offered to a role."""
    response = client(role).get("/api/completion", params={"expression": expression, **more})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def texts(found: dict[str, Any]) -> list[str]:
    """The suggestions alone."""
    return [one["text"] for one in found["suggestions"]]


def test_values_of_records_are_offered_with_their_place(client: Client) -> None:
    """The answer says which part of the expression a suggestion replaces."""
    found = complete(client, "owner", "since:90d model:demo-e tokens>1", position=22)
    assert (found["start"], found["end"]) == (10, 22)
    assert texts(found) == ["model:demo-error"]


def test_a_role_is_offered_what_it_may_ask(client: Client) -> None:
    """Nobody's name for an auditor, and nothing of another team's for a member."""
    assert "email:" in texts(complete(client, "responder", "em"))
    assert texts(complete(client, "auditor", "em")) == []
    assert texts(complete(client, "auditor", "email:")) == []
    assert "tenant:acme" in texts(complete(client, "auditor", "tenant:"))


def test_completions_are_on_record_many_together(client: Client, machine: Machine) -> None:
    """The first of a field is a record before it is answered, those after it are counted."""
    machine.clock.advance(61)
    before = len(machine.records("access.query"))
    for typed in ("tool:", "tool:s", "tool:se", "tool:sea"):
        complete(client, "responder", typed)
    complete(client, "responder", "tier:")
    complete(client, "responder", "mod")
    told = [one["what"] for one in machine.records("access.query")[before:]]
    assert [(one["operation"], one["field"]) for one in told] == [("completion", "tool")]
    assert "sea" not in str(told)
    complete(client, "responder", "source:")
    machine.clock.advance(61)
    complete(client, "responder", "tool:")
    told = [one["what"] for one in machine.records("access.query")[before:]]
    assert [one["field"] for one in told] == ["tool", "source", "tool"]
    assert [one["repeated_before"] for one in told] == [0, 0, 3]


@pytest.mark.parametrize(
    ("more", "status"),
    [({"position": 99}, 400), ({"position": -1}, 400), ({"position": "x"}, 400),
     ({"expression": "a" * 5000}, 400)],
)  # fmt: skip
def test_what_makes_no_sense_is_an_error(client: Client, more: dict[str, Any], status: int) -> None:
    """A place outside the expression, or an expression too long."""
    asked = {"expression": "model:", **more}
    response = client("owner").get("/api/completion", params=asked)
    assert (response.status_code, response.json()["error"]["code"]) == (status, "usage")


def test_without_a_record_nothing_is_offered(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the read cannot be recorded, no value leaves; fields do, which show nothing."""
    from affidavit.errors import CannotRecordError
    from affidavit.record.journal import JournalWriter

    async def full(*_: object) -> None:
        raise CannotRecordError("The disk is full.")

    machine.clock.advance(61)
    monkeypatch.setattr(JournalWriter, "commit", full)
    response = client("owner").get("/api/completion", params={"expression": "model:"})
    assert response.status_code == 503
    assert "demo-chat" not in response.text
    assert texts(complete(client, "owner", "mod")) == ["model:"]
