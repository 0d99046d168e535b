"""Proofs and bundles hold nothing outside the reader's boundary, and claim no more than is so."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.console.app import create_app
from affidavit.console.proofs import NARROW
from affidavit.control.identity import Identity
from affidavit.evidence import verify
from affidavit.query import boundary
from tests.unit.console.conftest import BASE
from tests.world.machine import Machine

MODEL = "demo-shared"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An installation where two teams use one model, and one of them has a request open."""
    made = Machine(tmp_path_factory.mktemp("teams"))
    caller = {team: _key(made, team, "caller") for team in ("alpha", "beta")}
    for team, prompt in (("alpha", "one"), ("beta", "two"), ("alpha", "three"), ("beta", "four")):
        made.exchange(prompt, model=MODEL, session=f"{team}-run", caller=caller[team])
    made.settle()
    yield made
    made.close()


def _key(machine: Machine, team: str, role: str) -> Identity:
    identity, token = machine.identities.draft(
        tenant="acme", name=f"{team} {role}", role=role, kind="person", team=team,
        email=f"{role}@{team}.example",
    )  # fmt: skip
    machine.identities.put(identity)
    machine.keys[f"{team} {role}"] = token
    return identity


@pytest.fixture(scope="module")
def console(machine: Machine) -> Iterator[TestClient]:
    """A client of the console of this module."""
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as one:
        yield one


def call(console: TestClient, machine: Machine, who: str, path: str, **body: Any) -> Any:
    """Ask as ``who``; the answer must be good."""
    headers = {"authorization": f"Bearer {machine.keys[who]}"}
    response = console.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response


def types_of(members: dict[str, memoryview]) -> dict[int, str]:
    """Index → type of every leaf in a bundle."""
    leaves = [json.loads(line) for line in bytes(members["leaves.jsonl"]).splitlines()]
    return {leaf["index"]: leaf["type"] for leaf in leaves}


QUESTIONS = [
    f"model:{MODEL}",
    f"model:{MODEL} type:exchange.request",
    "type:exchange.*",
    "type:exchange.request",
    "model:never",
    "http>=200",
    "actor:{alpha}",
    "credential:{alpha_key}",
    f"model:{MODEL} OR actor:{{alpha}}",
    f'model:{MODEL} actor:"alpha caller"',
    "session:alpha-run",
    "",
]


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_members_bundle_holds_leaves_of_its_team_alone(
    console: TestClient, machine: Machine, text: str
) -> None:
    """Every leaf is of a row within the boundary or of the ledger itself; counts likewise."""
    member = _key(machine, "beta", "member")
    alpha = next(i for i in machine.identities.all() if i.name == "alpha caller")
    expression = text.format(alpha=alpha.actor, alpha_key=alpha.id)
    machine.settle()
    made = call(console, machine, "beta member", "/api/export", expression=expression)
    found = verify.check(made.content, verify.read_keys([machine.log.vkey]))
    assert found.completeness.startswith(f'not proved: "{NARROW}"; ')
    members = verify.read_zip(made.content)
    leaves = types_of(members)
    own = {index for index, kind in leaves.items() if kind.startswith("ledger.")}
    searcher = machine.services().searcher
    within = searcher.within(sorted(leaves), boundary.for_identity(member))
    assert set(leaves) <= set(within) | own
    page = call(
        console, machine, "beta member", "/api/query",
        expression=expression, view="records", limit=1000, prove=True,
    ).json()  # fmt: skip
    assert {row["index"] for row in page["rows"]} <= set(leaves)
    assert page["proof"]["proved"] is False
    assert page["proof"]["counts"]["records"] <= len(within)
    assert bytes(members["chains.jsonl"]) == bytes(members["links.jsonl"]) == b""
    assert not [name for name in members if name.startswith("heads/")]
    held = bytes(members["manifest.json"]).decode()
    assert "ses_" not in held
    assert (alpha.actor in held) is (alpha.actor in expression)


def test_whole_tenants_keep_their_proofs(console: TestClient, machine: Machine) -> None:
    """An owner and an auditor are proved the same answer, all of both teams' records."""
    for role in ("owner", "auditor", "responder", "compliance"):
        answer = call(
            console, machine, role, "/api/query", expression=f"model:{MODEL}", prove=True
        ).json()
        assert answer["proof"]["proved"] is True
        assert answer["proof"]["completeness"].startswith("all 8 records of")
