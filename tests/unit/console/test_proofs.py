"""Proofs and bundles hold nothing outside the reader's boundary, and claim no more than is so."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from affidavit.app import system
from affidavit.console.app import create_app
from affidavit.console.contradicted import DISAGREE, HINTS, NAMED, UNPLACED
from affidavit.console.proofs import NARROW
from affidavit.control.identity import Identity
from affidavit.errors import PrunedError
from affidavit.evidence import verify
from affidavit.index.rebuild import catch_up
from affidavit.ledger.firsts import with_firsts
from affidavit.query import boundary
from affidavit.record.model import Chain, View
from affidavit.vault.reader import VaultReader
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
    "model:never since:90d",
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
    manifest = json.loads(bytes(members["manifest.json"]))
    reads = [entry["leaf"] for entry in manifest.pop("custody")]  # what its own team asked
    assert reads == searcher.within(reads, boundary.for_identity(member))
    held = json.dumps(manifest)
    assert not re.search("ses_[a-z2-7]{26}", held)
    assert (alpha.actor in held) is (alpha.actor in expression)


def test_whole_tenants_keep_their_proofs(console: TestClient, machine: Machine) -> None:
    """An owner and an auditor are proved the same answer, all of both teams' records."""
    for role in ("owner", "auditor", "responder", "compliance"):
        answer = call(
            console, machine, role, "/api/query", expression=f"model:{MODEL}", prove=True
        ).json()
        assert answer["proof"]["proved"] is True
        assert answer["proof"]["completeness"].startswith("all 8 records of")


def test_an_owner_is_proved_what_the_installation_records_of_itself(
    console: TestClient, machine: Machine
) -> None:
    """Records of no tenant that an owner's rows show are in the chains of the owner's proof."""
    journal = machine.journal("system")
    record = system.make("change.config", machine.clock, machine.config, {"what": {"after": 1}})
    asyncio.run(journal.commit(record, ()))
    machine.settle()
    expression = "type:change.config"
    answer = call(
        console, machine, "owner", "/api/query", expression=expression, view="records", prove=True
    ).json()
    assert len(answer["rows"]) == 1
    assert answer["proof"]["proved"] is True
    assert answer["proof"]["completeness"].startswith("all 1 records of type=change.config")
    journal.abandon()


def proof_of(console: TestClient, machine: Machine, expression: str) -> dict[str, Any]:
    """The owner's verdict on an expression."""
    asked = {"expression": expression, "prove": True}
    found: dict[str, Any] = call(console, machine, "owner", "/api/query", **asked).json()["proof"]
    return found


@pytest.mark.parametrize("expression", ["model:{0}", "type:exchange.* model:{0}"])
@pytest.mark.parametrize("true", ["demo-hidden", "demo-never"])
def test_a_proof_that_the_index_contradicts_is_not_given(
    console: TestClient, machine: Machine, expression: str, true: str
) -> None:
    """Rows too few or too many in the index: not proved, and said; true again, proved again."""
    asked = "demo-hidden"
    lie = "demo-never" if true == asked else asked
    expression = expression.format(asked)
    request, _ = machine.exchange(model=true)
    machine.exchange(model=asked)
    machine.settle()
    halves = machine.indexer.find(request)
    assert halves is not None
    assert proof_of(console, machine, expression)["proved"] is True

    def lying(at: int) -> View:
        view = machine.vault_reader.view(at)
        names = {f"gen_ai.{half}.model": lie for half in ("request", "response")}
        what = {name: names.get(name, value) for name, value in view.sections["what"].items()}
        return msgspec.structs.replace(view, sections={**view.sections, "what": what})

    machine.indexer.refresh(halves, lying)
    proof = proof_of(console, machine, expression)
    assert proof["proved"] is False
    assert proof["completeness"].startswith(f'not proved: "{DISAGREE}"; ')
    made = call(console, machine, "owner", "/api/export", expression=expression)
    verdict = verify.check(made.content, verify.read_keys([machine.log.vkey]))
    assert verdict.completeness.startswith(f'not proved: "{DISAGREE}"; ')
    machine.indexer.refresh(halves, machine.vault_reader.view)
    assert proof_of(console, machine, expression)["proved"] is True


def test_matching_records_outside_every_chain_are_named(
    console: TestClient, machine: Machine
) -> None:
    """The ninth tool of a record has no chain of its own for it: found, and not proved."""
    tools = [f"tool-{n}" for n in range(9)]
    caller = machine.identity("caller")
    who = {"tenant": "acme", "actor": caller.actor}
    chains = [Chain("acme", "tool", name) for name in tools]
    what = {"tools_called": tools}
    machine._write("tool.result", {"who": who, "what": what}, chains, "result.body", b"{}", None)
    machine.settle()
    assert proof_of(console, machine, "tool:tool-0")["proved"] is True
    proof = proof_of(console, machine, "tool:tool-8")
    assert proof["completeness"] == f'not proved: "{UNPLACED}"; 1 records are shown'


@pytest.mark.parametrize(
    ("expression", "shown"), [('actor:"{}"', 4), ('model:demo-named-0 -actor:"{}"', 0)]
)
def test_records_that_name_somebody_else_are_no_disagreement(
    console: TestClient, machine: Machine, expression: str, shown: int
) -> None:
    """A name is looked for in records, too, and proved of its pseudonyms alone; that is said."""
    somebody = _key(machine, f"named {shown}", "caller")
    for actor in (somebody.actor, "act_" + "b" * 26):
        one = msgspec.structs.replace(somebody, actor=actor)
        machine.exchange(model=f"demo-named-{shown}", caller=one)
    machine.settle()
    asked = expression.format(somebody.name)
    proof = proof_of(console, machine, asked)
    assert proof["completeness"] == f'not proved: "{NAMED}"; {shown} records are shown'
    by_pseudonym = asked.replace(f'"{somebody.name}"', "act_" + "b" * 26)
    assert proof_of(console, machine, by_pseudonym)["proved"] is True
    if shown:
        headers = {"authorization": f"Bearer {machine.keys['owner']}"}
        body = {"expression": asked, "count": True}
        answer = console.post("/api/query", json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["hint"]) == (503, HINTS[NAMED])


def test_what_is_erased_does_not_contradict(console: TestClient, machine: Machine) -> None:
    """A record that the search no longer finds because a section is gone stays proved."""
    request, _ = machine.exchange("gone", model="demo-gone")
    machine.settle()
    found = machine.indexer.find(request)
    assert found is not None

    def erased(at: int) -> View:
        view = machine.vault_reader.view(at)
        kept = {name: value for name, value in view.sections.items() if name != "what"}
        return msgspec.structs.replace(view, sections=kept)

    machine.indexer.refresh(found[:1], erased)
    assert proof_of(console, machine, "model:demo-gone")["proved"] is True
    machine.indexer.refresh(found[:1], machine.vault_reader.view)


@pytest.mark.parametrize(
    ("words", "every"),
    [
        ("time:0999-01-01", False), ("since:0001-01-01", True), ("until:0999-12-31", False),
        ("source_time>0001-01-01", True),
    ],
)  # fmt: skip
def test_years_of_fewer_figures_are_asked_and_proved(
    console: TestClient, machine: Machine, words: str, *, every: bool
) -> None:
    """Found, proved and summed up alike; a time of the year 999 matched every record."""
    asked = {"expression": f"model:{MODEL} {words}"}
    page = call(console, machine, "owner", "/api/query", **asked, view="records").json()
    proved = call(console, machine, "owner", "/api/query", **asked, prove=True).json()["proof"]
    assert (bool(page["count"]), proved["proved"]) == (every, True)
    assert proved["completeness"].startswith(f"all {page['count']} records of model={MODEL}")
    sums = {"by": ["model"], "interval": "week"}
    rows = call(console, machine, "owner", "/api/aggregate", **asked, **sums).json()["rows"]
    assert bool(rows) == every


def test_a_window_that_begins_in_the_future_is_refused_and_no_damage(
    console: TestClient, machine: Machine
) -> None:
    """A proof of it was made and refused as damaged; a search and a sum have nothing."""
    headers = {"authorization": f"Bearer {machine.keys['owner']}"}
    asked = {"expression": f"model:{MODEL} since:9999-12-30"}
    sums = asked | {"by": ["model"], "interval": "week"}
    assert call(console, machine, "owner", "/api/aggregate", **sums).json()["rows"] == []
    assert call(console, machine, "owner", "/api/query", **asked).json()["count"] == 0
    for path, more in (("/api/query", {"prove": True}), ("/api/export", {})):
        answer = console.post(path, json=asked | more, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "usage"), answer.text
        assert "begins after" in answer.json()["detail"]


def test_a_window_of_which_nothing_is_proved_or_found_is_no_damage(
    console: TestClient, machine: Machine
) -> None:
    """Words that nobody said, since a moment: an answer, and a bundle that verifies."""
    expression = f"nobodysaidthis since:{machine.clock.now()}"
    proof = proof_of(console, machine, expression)
    assert proof["completeness"].startswith("not proved: ")
    made = call(console, machine, "owner", "/api/export", expression=expression)
    said = verify.check(made.content, verify.read_keys([machine.log.vkey])).completeness
    assert said == proof["completeness"]


def test_what_is_not_indexed_yet_does_not_contradict(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that lags behind the ledger shows fewer rows, and the proof stands."""
    machine.exchange("late", model="demo-lag")
    machine.settle()
    monkeypatch.setattr(machine, "_index", lambda _: None)
    monkeypatch.setattr(machine.intake, "_on_placed", lambda _: None)
    machine.exchange("later", model="demo-lag")
    machine.settle()
    assert proof_of(console, machine, "model:demo-lag")["counts"]["records"] == 4
    monkeypatch.undo()
    catch_up(
        machine.indexer,
        machine.reader_log,
        with_firsts(machine.reader_log, machine.vault_reader.view),
    )


def test_leaves_that_are_pruned_beside_an_export_are_shown_without_sections(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof was made before; what the vault cannot show any more is said to be missing."""
    machine.exchange("going", model="demo-going")
    machine.settle()

    def gone(*_: object) -> None:
        raise PrunedError("tile/entries/000 was pruned: the log begins with leaf 256.")

    monkeypatch.setattr(VaultReader, "disclosures", gone)
    made = call(console, machine, "owner", "/api/export", expression="model:demo-going")
    said = verify.check(made.content, verify.read_keys([machine.log.vkey])).completeness
    assert said.startswith("all 2 records of model=demo-going")
    assert "; 2 withheld; " in said


def test_a_sample_is_drawn_and_recorded(console: TestClient, machine: Machine) -> None:
    """An export of a sample verifies as one; size and seed stand in its record; half is refused."""
    who = "owner"
    asked = {"expression": f"model:{MODEL}", "sample": 2, "seed": "2026-Q3"}
    made = call(console, machine, who, "/api/export", **asked)
    verdict = verify.check(made.content, verify.read_keys([machine.log.vkey]))
    assert len(verdict.facts["sample"]) == 2
    assert 'drawn by the seed "2026-Q3"' in verdict.completeness
    machine.settle()
    sealed = range(machine.log.size - 1, 0, -1)
    index = next(i for i in sealed if machine.reader_log.decoded(i).type == "access.export")
    what = machine.vault_reader.sections(index)["what"]
    assert (what["sample"], what["seed"]) == (2, "2026-Q3")
    headers = {"authorization": f"Bearer {machine.keys[who]}"}
    for wrong in ({"sample": 0}, {"seed": ""}, {"count": True}, {"expression": '"words"'}):
        answer = console.post("/api/export", json=asked | wrong, headers=headers)
        assert answer.status_code == 400, answer.text
