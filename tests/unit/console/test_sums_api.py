"""Figures over HTTP: within the boundary, and on record before they leave."""

from typing import Any

import pytest

from affidavit.console.access import Access
from affidavit.errors import CannotRecordError
from tests.unit.console.conftest import Client
from tests.world.machine import Machine

QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("aggregate", {"by": ["model"], "interval": "day"}),
    ("facets", {"fields": ["model"]}),
    ("histogram", {"interval": "hour"}),
)


@pytest.mark.parametrize(("what", "body"), QUESTIONS)
def test_figures_are_reads_on_record(
    client: Client, machine: Machine, what: str, body: dict[str, Any]
) -> None:
    """G13: the expression, its words digested, the grouping, the boundary, how many lines."""
    before = len(machine.records("access.query"))
    asked = {"expression": '"witness" model:demo-chat', "purpose": "ticket 7", **body}
    answer = client("responder").post(f"/api/{what}", json=asked)
    assert answer.status_code == 200, answer.text
    (record,) = machine.records("access.query")[before:]
    told = record["what"]
    assert (told["operation"], told["boundary"]["role"]) == (what, "responder")
    assert "model:demo-chat" in told["expression"]
    assert "witness" not in told["expression"]
    assert told.items() >= {key: body[key] for key in ("by", "fields") if key in body}.items()
    assert told["as_of"] == answer.json()["as_of"]
    assert record["who"]["purpose"] == "ticket 7"


@pytest.mark.parametrize(("what", "body"), QUESTIONS)
def test_what_cannot_be_recorded_is_not_shown(
    client: Client, monkeypatch: pytest.MonkeyPatch, what: str, body: dict[str, Any]
) -> None:
    """Without the record no figure leaves."""

    async def fail(*_: object) -> None:
        raise CannotRecordError("The disk is full.")

    monkeypatch.setattr(Access, "read", fail)
    answer = client("owner").post(f"/api/{what}", json=body)
    assert answer.status_code == 503
    assert "demo-chat" not in answer.text


@pytest.mark.parametrize(("what", "body"), QUESTIONS)
def test_the_boundary_holds_for_figures(client: Client, what: str, body: dict[str, Any]) -> None:
    """Content and persons are refused to who may not see them, and callers to everything."""
    for role, expression in (("auditor", '"witness"'), ("auditor", "email:x@y.org"),
                             ("caller", "")):  # fmt: skip
        asked = {"expression": expression, **body}
        assert client(role).post(f"/api/{what}", json=asked).status_code in (401, 403)


def test_sums_say_the_window_and_where_they_came_from(client: Client) -> None:
    """Exactly the window that was asked for, and as of which leaf."""
    asked = {"expression": "since:2020-01-01T10:30", "by": ["key", "hour"]}
    answer = client("owner").post("/api/aggregate", json=asked).json()
    assert answer["since"] == "2020-01-01T10:30:00.000000Z"
    assert answer["until"] is None
    assert {part[0] for part in answer["parts"]} == {"rows"}
    assert answer["as_of"]["size"] > 0
    assert sum(row["requests"] for row in answer["rows"]) == 3
    assert all(row["credential"] and row["time"] for row in answer["rows"])


def test_wrong_questions_are_told(client: Client) -> None:
    """A group or a field that is not kept, two periods, a price that nobody configured."""
    owner = client("owner")
    for what, body in (
        ("aggregate", {"by": ["email"]}),
        ("aggregate", {"by": ["hour", "day"]}),
        ("aggregate", {"cost": True}),
        ("aggregate", {"interval": "year"}),
        ("facets", {"fields": ["email"]}),
        ("histogram", {"interval": ""}),
    ):
        answer = owner.post(f"/api/{what}", json=body)
        assert answer.status_code == 400, (what, body)
