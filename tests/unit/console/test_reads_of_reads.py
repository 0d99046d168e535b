"""Who looks at who looked leaves a record too, and sees no more of it than a boundary shows."""

import asyncio
import contextlib
import json
from typing import Any

import pytest

from affidavit.console import floods
from affidavit.console.access import Access
from affidavit.console.reads import Reads
from affidavit.errors import UsageError
from affidavit.query.search import Searcher
from tests.unit.console.conftest import Client, reader_of
from tests.world.machine import Machine


def reads(client: Client, role: str, expression: str, **more: Any) -> list[dict[str, Any]]:
    """The rows of a question about reads."""
    body = {"expression": expression, "view": "records", "limit": 1000, **more}
    answer = client(role).post("/api/query", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


def test_a_read_of_reads_is_a_read(client: Client, machine: Machine) -> None:
    """It is not in its own answer, and in that of whoever asks next; so it goes on."""
    machine.settle()
    owner, auditor = machine.identity("owner").actor, machine.identity("auditor").actor
    known = {row["index"] for row in reads(client, "owner", "type:access.*")}
    machine.settle()
    for role, actor in (("auditor", owner), ("owner", auditor), ("auditor", owner)):
        rows = [row for row in reads(client, role, "type:access.*") if row["index"] not in known]
        assert {row["actor"] for row in rows} == {actor}
        assert len(rows) == 1
        known |= {row["index"] for row in rows}
        machine.settle()


@pytest.mark.parametrize("role", ["owner", "auditor", "compliance"])
def test_what_was_searched_for_is_not_told_by_the_record_of_it(
    client: Client, machine: Machine, role: str
) -> None:
    """Neither words of content nor names, in rows, in narratives, to nobody."""
    reads(client, "responder", '"And a monitor?" email:canary@example.com', purpose="a test")
    machine.settle()
    row = reads(client, role, "type:access.query")[0]
    told = client(role).get(f"/api/show/%23{row['index']}")
    assert told.status_code == 200
    shown = client(role).post("/api/query", json={"expression": "type:access.query", "limit": 1})
    for text in (told.text, shown.text):
        assert "canary" not in text
        assert "And a monitor" not in text
    assert "hmac:" in told.text


def test_reads_are_within_a_boundary_like_everything(client: Client, machine: Machine) -> None:
    """A member of another team learns of no read of this one, nor how many there are."""
    identity, token = machine.identities.draft(
        tenant="acme", name="the neighbour", role="member", kind="person", team="billing"
    )
    machine.identities.put(identity)
    reads(client, "member", "model:demo-chat")
    machine.settle()
    headers = {"authorization": f"Bearer {token}"}
    body = {"expression": "type:access.*", "view": "records"}
    first = client("").post("/api/query", json=body, headers=headers).json()
    assert (first["rows"], first["count"]) == ([], 0)
    machine.settle()
    second = client("").post("/api/query", json=body, headers=headers).json()
    assert [row["actor"] for row in second["rows"]] == [identity.actor]
    assert second["count"] == 1


def test_a_tail_of_reads_shows_its_own_beginning_and_does_not_feed_itself(
    machine: Machine,
) -> None:
    """Once, whatever it looks at afterwards; its end is for the next one."""
    machine.settle()
    services = machine.services()
    reader = reader_of(machine, "owner")

    async def follow() -> list[dict[str, Any]]:
        tail = await Reads(services, Access(services)).tail(reader, "type:access.*", None)
        loop = asyncio.get_running_loop()
        found = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20) as time:
                while True:
                    await loop.run_in_executor(None, machine.settle)
                    row = await anext(tail)
                    assert row is not None
                    found.append(row)
                    time.reschedule(loop.time() + 1)
        await tail.aclose()
        return found

    rows = asyncio.run(follow())
    assert [(row["type"], row["actor"]) for row in rows] == [
        ("access.tail", machine.identity("owner").actor)
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/erasures", {"kind": "session", "target": "no-session", "dry_run": True}),
        ("/api/erasures", {"kind": "subject", "target": "eve@example.com", "dry_run": True}),
        ("/api/erasures", {"kind": "expression", "target": "email:eve@*", "dry_run": True}),
        ("/api/erasures", {"kind": "subject", "target": "bob@example.com"}),
        ("/api/subjects/export", {"subject": "eve@example.com"}),
    ],
)
def test_that_nobody_is_meant_is_a_read_too(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    """Whoever decides about keeping learns of nobody unseen who is not there."""
    monkeypatch.setattr(floods, "FLOOD_SECONDS", 0.0)
    before = len(machine.records("access.query"))
    asked = body if path.startswith("/api/subjects") else {"basis": "a request", **body}
    assert client("compliance").post(path, json=asked).status_code == 404
    (record,) = machine.records("access.query")[before:]
    assert record["what"]["rows"] == 0
    assert record["what"]["of"].startswith("hmac:")
    assert "example.com" not in json.dumps(record["what"])


HOLD = {"expression": "model:demo-chat", "matter": "m", "reason": "r", "dry_run": True}


def _too_much(*_: Any, **__: Any) -> None:
    raise UsageError("The question takes longer than 10 seconds.")


@pytest.mark.parametrize(
    ("method", "path", "body", "operation"),
    [
        ("POST", "/api/diff", {"first": "#5"}, "diff"),
        ("POST", "/api/query", {"expression": "model:demo-chat"}, "query"),
        ("POST", "/api/aggregate", {"expression": "model:demo-chat", "by": ["model"]}, "aggregate"),
        ("POST", "/api/facets", {"expression": "model:demo-chat"}, "facets"),
        ("POST", "/api/histogram", {"expression": "model:demo-chat"}, "histogram"),
        ("GET", "/api/show/my-session", None, "show"),
        ("GET", "/api/pivot?value=demo-chat", None, "pivot"),
        ("POST", "/api/export", {"expression": "nobodysaidthis"}, "export"),
        ("POST", "/api/holds", HOLD, "holds.plan"),
        ("GET", "/api/retention/explain/%231", None, "retention.explain"),
    ],
)
def test_that_too_much_is_meant_is_a_read_too(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch,
    method: str, path: str, body: Any, operation: str,
) -> None:  # fmt: skip
    """It tells that there is something: on record, with the question, as any answer."""
    monkeypatch.setattr(floods, "FLOOD_SECONDS", 0.0)
    for name in (
        "run", "exchanges", "aggregate", "facets", "histogram", "rows_of", "count_of", "locate",
    ):  # fmt: skip
        monkeypatch.setattr(Searcher, name, _too_much)
    before = len(machine.records("access.query"))
    answer = client("owner").request(method, path, json=body)
    if operation == "holds.plan":  # a hold may be placed on as much; only the number is missing
        assert (answer.status_code, answer.json()["records"]) == (200, None), answer.text
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "usage"), answer.text
    (record,) = machine.records("access.query")[before:]
    assert (record["what"]["operation"], record["what"]["rows"]) == (operation, 0)
    assert {"expression", "name", "of"} & set(record["what"])
