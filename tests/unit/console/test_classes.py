"""Classes of what is recorded at the console, and labels of keys that rules ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from affidavit.config import parse
from affidavit.console.app import create_app
from tests.unit.console.conftest import BASE, Client
from tests.world.machine import TENANT, Machine

CONFIG = """
retention:
  classes: {audit: {}, models: {}, told: {}, pilot: {}}
  rules:
    - {when: {type: [access.query, access.denied]}, class: audit}
    - {when: {label: pilot, jurisdiction: DE}, class: pilot}
    - {when: {model: gpt-5, tier: reported}, class: models}
    - {when: {tier: reported}, class: told}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An installation with rules."""
    made = Machine(tmp_path_factory.mktemp("machine"), parse(CONFIG, {}, "c"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def console(machine: Machine) -> Iterator[TestClient]:
    """A client to its console."""
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as one:
        yield one


def kept(machine: Machine) -> dict[str, int]:
    """Segments of the vault by class."""
    machine.settle()
    folder: Path = machine.root / "vault" / TENANT
    return {path.name: len(list(path.glob("*/*.seg"))) for path in folder.glob("*")}


def test_reads_refusals_and_reports_have_the_class_of_their_rule(
    client: Client, machine: Machine
) -> None:
    """As the vault keeps them apart."""
    client("owner").post("/api/query", json={"expression": "since:1h"})
    assert "audit" in kept(machine)
    alias = {"type": "change.alias", "target": "prod", "before": "a", "after": "gpt-5"}
    assert client("caller").post("/api/records", json=alias).status_code == 201
    assert "models" in kept(machine)
    alias["after"] = "b"
    assert client("caller").post("/api/records", json=alias).status_code == 201
    before = set(kept(machine))
    assert before >= {"audit", "models", "told"}
    client("owner").get("/api/approvals")
    assert client("caller").get("/api/keys").status_code == 403
    assert set(kept(machine)) == before


def test_a_key_may_have_labels_and_a_jurisdiction(client: Client, machine: Machine) -> None:
    """They are listed, and stand in the section ``who`` of what the key does."""
    asked = {"name": "Pia", "role": "auditor", "labels": ["pilot", "x"], "jurisdiction": "DE"}
    made = client("owner").post("/api/keys", json=asked)
    assert made.status_code == 201
    assert (made.json()["labels"], made.json()["jurisdiction"]) == (["pilot", "x"], "DE")
    mine = {"authorization": f"Bearer {made.json()['token']}"}
    reader = client("")
    assert reader.post("/api/query", json={"expression": "since:1h"}, headers=mine).is_success
    who = machine.records("access.query")[-1]["who"]
    assert (who["labels"], who["jurisdiction"]) == (["pilot", "x"], "DE")
    (identity,) = (one for one in machine.identities.all() if one.name == "Pia")
    assert (identity.labels, identity.jurisdiction) == (("pilot", "x"), "DE")


@pytest.mark.parametrize(
    "asked", [{"labels": [""]}, {"labels": ["x"] * 21}, {"labels": "x"}, {"jurisdiction": "x" * 65},
              {"labels": ["a\u202eb"]}],
)  # fmt: skip
def test_labels_are_short_and_seen(client: Client, asked: dict[str, object]) -> None:
    """As names are."""
    made = client("owner").post("/api/keys", json={"name": "Pia", **asked})
    assert made.status_code == 400


def test_every_record_explains_its_class_by_what_it_says(client: Client, machine: Machine) -> None:
    """The rule that is found again in its sections gives the class that it was given."""
    machine.exchange("Hello?", "Good day.", model="gpt-5")
    for kind, target, models in (
        ("change.model", "gpt-5", []), ("change.prompt", "greeting", ["gpt-5"]),
        ("change.alias", "prod", []), ("change.deployment", "eu-1", []),
    ):  # fmt: skip
        change = {"type": kind, "target": target, "models": models, "after": "gpt-5"}
        assert client("caller").post("/api/records", json=change).status_code == 201
    client("caller").get("/api/keys")
    client("owner").get("/api/approvals")
    machine.settle()
    seen: dict[str, int] = {}
    for index in range(machine.log.published):
        answer = client("owner").get(f"/api/retention/explain/%23{index}")
        if answer.status_code == 200:
            found = answer.json()
            seen[found["retention_class"]] = seen.get(found["retention_class"], 0) + 1
            assert found["given"]["today"] == found["retention_class"], found
            assert found["given"]["unchanged"] in (True, None)
    assert seen.keys() >= {"audit", "models", "told", "default"}
    assert seen["models"] >= 3
