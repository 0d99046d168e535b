"""Why a record is kept, and the plan: within the boundary, and on record before they leave."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.config import parse
from affidavit.console.access import Access
from affidavit.console.app import create_app
from affidavit.errors import CannotRecordError
from affidavit.vault.reader import NOT_THERE, VaultReader
from tests.unit.console.conftest import BASE, Client
from tests.world.machine import TENANT, Machine

CONFIG = """
boundaries: {careful: {purpose: required}, narrow: {sections: [what, control]}}
retention:
  default_class: short
  classes:
    short: {maximum: 10d}
    long:
      regimes: [hipaa-6y, gdpr-cap-24m]
      expires: sections
      conflict: {keep: maximum, reason: less is enough, decided_by: the officer}
  rules:
    - {when: {type: access.query}, class: short}
    - {when: {model: "demo-e*", team: support}, class: long}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An installation with rules, two exchanges, and a class that is not configured any more."""
    made = Machine(tmp_path_factory.mktemp("machine"), parse(CONFIG, {}, "c"))
    made.exchange("What is a witness?", "Somebody who saw it.")
    made.exchange("Fail, please.", "No.", model="demo-error")
    made.settle()
    yield made
    made.close()


@pytest.fixture(scope="module")
def console(machine: Machine) -> Iterator[TestClient]:
    """A client to its console."""
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as one:
        yield one


def index_of(machine: Machine, kind: str, model: str) -> int:
    """The index of the first record of a type and model."""
    for index in range(machine.log.published):
        if machine.reader_log.decoded(index).type == kind:
            what = machine.vault_reader.sections(index)["what"]
            if model in (what.get("gen_ai.request.model"), what.get("gen_ai.response.model")):
                return index
    raise AssertionError(kind)


def explained(client: TestClient, index: int) -> Any:
    """The answer for a record."""
    return client.get(f"/api/retention/explain/%23{index}").json()


@pytest.mark.parametrize("kind", ["exchange.request", "exchange.response"])
def test_a_record_is_explained_by_rule_regimes_and_dates(
    client: Client, machine: Machine, kind: str
) -> None:
    """A response by the rule that its request met."""
    found = explained(client("owner"), index_of(machine, kind, "demo-error"))
    assert (found["retention_class"], found["known"], found["type"]) == ("long", True, kind)
    assert found["given"]["rule"] == 2
    assert found["given"]["when"] == {"model": ["demo-e*"], "team": ["support"]}
    assert found["given"]["today"] == "long"
    assert found["minimum"] == {"days": 2192, "by": ["hipaa-6y"]}
    assert found["maximum"] == {"days": 730, "by": ["gdpr-cap-24m"]}
    assert found["decision"] == {
        "keep": "maximum", "reason": "less is enough", "decided_by": "the officer",
    }  # fmt: skip
    assert {one["review"] for one in found["regimes"]} == {"not reviewed by counsel"}
    assert (found["day"], found["removable"], found["due"]) == (
        "2026-11-23", "2028-11-23", "2028-11-23",
    )  # fmt: skip
    assert (found["state"], found["expires"]) == ("minimum", "sections")
    assert {one["matter"] for one in found["holds"]} <= {"Doe"}  # placed by another test, perhaps


def test_the_default_class_is_explained_by_no_rule(client: Client, machine: Machine) -> None:
    """Rule 0."""
    found = explained(client("owner"), index_of(machine, "exchange.request", "demo-chat"))
    assert (found["retention_class"], found["given"]["rule"]) == ("short", 0)
    assert (found["state"], found["due"]) == ("kept", "2026-12-04")  # without a minimum


def test_the_rule_is_told_to_who_may_see_what_it_goes_by(client: Client, machine: Machine) -> None:
    """And holds to who oversees the tenant: an auditor sees both, a member its own records."""
    index = index_of(machine, "exchange.request", "demo-error")
    placed = client("compliance").post(
        "/api/holds", json={"expression": "model:demo-error", "matter": "Doe", "reason": "suit"}
    )
    assert placed.status_code == 201, placed.text
    assert [one["matter"] for one in explained(client("auditor"), index)["holds"]] == ["Doe"]
    other = index_of(machine, "exchange.request", "demo-chat")
    assert explained(client("auditor"), other)["holds"] == []
    assert explained(client("member"), index)["holds"] is None
    unseen = client("administrator").get(f"/api/retention/explain/%23{index}")
    assert unseen.status_code == 404


def test_by_which_rule_is_not_told_to_who_may_not_see_who(client: Client, machine: Machine) -> None:
    """What a rule asks of the key would tell of the section that is withheld."""
    asked = {"name": "Nora", "role": "auditor", "boundary": "narrow"}
    token = client("owner").post("/api/keys", json=asked).json()["token"]
    index = index_of(machine, "exchange.request", "demo-error")
    mine = {"authorization": f"Bearer {token}"}
    found = client("").get(f"/api/retention/explain/%23{index}", headers=mine).json()
    assert (found["retention_class"], found["given"]) == ("long", None)


def test_what_was_erased_of_a_record_is_told(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the vault; what it only has not got is not said to be erased."""
    index = index_of(machine, "exchange.request", "demo-chat")
    before = explained(client("owner"), index)
    assert (before["erased"], before["erased_under"]) == ([], "")
    assert "erasures.under" not in {method for method, _ in machine.link.asked}
    gone = {"content": "The key was destroyed.", "request.body": "The key was destroyed.",
            "who": NOT_THERE}  # fmt: skip
    monkeypatch.setattr(VaultReader, "missing", lambda *_: gone)
    assert explained(client("owner"), index)["erased"] == ["content"]
    machine.link.away = True  # who is told of no holds needs nobody else for the rest
    try:
        found = explained(client("member"), index)
    finally:
        machine.link.away = False
    assert (found["erased"], found["erased_under"]) == (["content"], "")


def test_the_plan_has_all_buckets_of_the_tenant_due_ones_first(
    client: Client, machine: Machine
) -> None:
    """With sums of all; as of a time to come."""
    client("auditor").get("/api/retention/plan")  # a read, which is a record of the short class
    machine.settle()
    plan = client("auditor").get("/api/retention/plan?at=20d").json()
    lines = plan["lines"]
    assert [line["state"] for line in lines] == ["overdue", "minimum"]
    short, long = lines
    assert short["tenant"] == TENANT
    assert (short["retention_class"], short["what"], short["goes"]) == ("short", "content", True)
    assert short["left"] == 2  # of the reads that are in it, none has content
    assert short["records"] > 2
    assert (long["left"], long["what"], long["goes"]) == (2, "sections", False)
    assert plan["totals"]["overdue"] == {"buckets": 1, "records": 2, "bytes": short["bytes"]}
    assert not plan["more"]
    later = client("auditor").get("/api/retention/plan?at=1d").json()["totals"]
    assert later.keys() == {"kept", "minimum"}
    assert client("auditor").get("/api/retention/plan?at=nonsense").status_code == 400


def test_both_are_reads_on_record(client: Client, machine: Machine) -> None:
    """G13: what was asked, and how much there was; a name that is nothing, too."""
    before = len(machine.records("access.query"))
    index = index_of(machine, "exchange.request", "demo-chat")
    why = "purpose=ticket+7"
    assert client("auditor").get(f"/api/retention/explain/%23{index}?{why}").is_success
    client("auditor").get(f"/api/retention/plan?at=2030-01-01&{why}")
    assert client("auditor").get(f"/api/retention/explain/somebody?{why}").status_code == 404
    found = machine.records("access.query")[before:]
    one, two, three = (record["what"] for record in found)
    assert {record["who"]["purpose"] for record in found} == {"ticket 7"}
    assert (one["operation"], one["name"], one["rows"]) == ("retention.explain", f"#{index}", 1)
    assert (two["operation"], two["at"]) == ("retention.plan", "2030-01-01T00:00:00.000000Z")
    assert two["rows"] >= 2
    assert (three["rows"], three["name"][:5]) == (0, "hmac:")


@pytest.mark.parametrize("path", ["explain/%231", "plan"])
def test_a_boundary_may_ask_for_the_purpose(client: Client, path: str) -> None:
    """As of every read."""
    asked = {"name": "Carla", "role": "auditor", "boundary": "careful"}
    token = client("owner").post("/api/keys", json=asked).json()["token"]
    mine = {"authorization": f"Bearer {token}"}
    reader = client("")
    assert reader.get(f"/api/retention/{path}", headers=mine).status_code == 403
    answer = reader.get(f"/api/retention/{path}?purpose=ticket", headers=mine)
    assert answer.status_code in (200, 404), answer.text


@pytest.mark.parametrize("path", ["explain/%231", "plan"])
def test_what_cannot_be_recorded_is_not_shown(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Without the record nothing leaves."""

    async def fail(*_: object) -> None:
        raise CannotRecordError("The disk is full.")

    monkeypatch.setattr(Access, "read", fail)
    answer = client("owner").get(f"/api/retention/{path}")
    assert answer.status_code == 503
    assert "short" not in answer.text
