"""The bundle of a period, and an attestation: proved, about a window, and nothing personal."""

import functools
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.console import report_kinds
from affidavit.console.app import create_app
from affidavit.errors import RefusedError, UsageError
from affidavit.evidence import report_story, verify
from affidavit.query import boundary, facets, question
from affidavit.query.question import Question
from affidavit.query.tree import All
from tests.unit.console.conftest import BASE
from tests.world.machine import Machine

CANARY = "canary-of-a-prompt"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Two models, one exchange cut short, a hold, and content that must not be seen."""
    made = Machine(tmp_path_factory.mktemp("kinds"))
    made.exchange(CANARY, model="demo-one", session="run")
    made.exchange("second", model="demo-one", outcome={"outcome": "interrupted"})
    made.exchange("other", model="demo-two")
    made.settle()
    yield made
    made.close()


@pytest.fixture(scope="module")
def console(machine: Machine) -> Iterator[TestClient]:
    """A client of the console of this module, in which a hold was placed."""
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as one:
        body = {"expression": "model:demo-one", "matter": "Doe v. Acme", "reason": "suit"}
        assert asked(one, machine, "compliance", "/api/holds", **body).status_code == 201
        yield one


def asked(console: TestClient, machine: Machine, who: str, path: str, **body: Any) -> Any:
    """Ask as ``who``, and let what was asked be sequenced."""
    headers = {"authorization": f"Bearer {machine.keys[who]}"}
    answer = console.post(path, json=body, headers=headers)
    machine.settle()
    return answer


def opened(machine: Machine, data: bytes) -> tuple[verify.Verdict, dict[str, Any], str]:
    """The verdict of a bundle, its manifest and its page."""
    members = verify.read_zip(data)
    page = unescape(bytes(members["report.html"]).decode())
    found = verify.check(data, verify.read_keys([machine.log.vkey]))
    return found, json.loads(bytes(members["manifest.json"])), page


def test_a_period_is_proved_and_told_by_headings(console: TestClient, machine: Machine) -> None:
    """The hold is in it and proved; exceptions are counted beside; traffic is not in it."""
    answer = asked(console, machine, "auditor", "/api/export", expression="", report="period")
    assert answer.status_code == 200, answer.text
    verdict, manifest, page = opened(machine, answer.content)
    assert verdict.completeness.startswith("all ")
    assert manifest["question"]["expression"].startswith("type:change.*")
    leaves = bytes(verify.read_zip(answer.content)["leaves.jsonl"])
    kinds = {json.loads(leaf)["type"] for leaf in leaves.splitlines()}
    assert "retention.held" in kinds
    assert not any(kind.startswith("exchange.") for kind in kinds)
    for words in ("A legal hold began", "Changes of fail mode", "None is on record", "interrupted",
                  "No witness is configured", "How to verify", "Gaps"):  # fmt: skip
        assert words in page, words
    assert CANARY not in page
    exported = next(
        i for i in range(machine.log.size - 1, 0, -1)
        if machine.reader_log.decoded(i).type == "access.export"
    )  # fmt: skip
    assert machine.vault_reader.sections(exported)["what"]["report"] == "period"


def test_a_period_says_none_of_nothing_that_it_has(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of records that the page has no place for either; exchanges are those of the tenant asked."""
    monkeypatch.setattr(report_story, "MAX_ROWS", 0)
    body = {"expression": "tenant:acme", "report": "period"}
    mine = asked(console, machine, "owner", "/api/export", **body)
    _, _, page = opened(machine, mine.content)
    _, _, rest = page.partition("Retention, holds, erasure, pruning")
    heading, _, _ = rest.partition("The ledger")
    assert "more in the bundle, not listed here." in heading
    assert "None is on record" not in heading
    assert "No exchange ended" not in page
    body["expression"] = "tenant:nobody"
    assert asked(console, machine, "owner", "/api/export", **body).status_code == 400
    identity, _ = machine.identities.draft(tenant="beta", name="silent", role="caller")
    machine.identities.put(identity)
    body["expression"] = "tenant:beta"
    other = asked(console, machine, "owner", "/api/export", **body)
    assert other.status_code == 200, other.text
    assert "No exchange ended in the period." in opened(machine, other.content)[2]


def test_an_attestation_counts_and_shows_nothing(console: TestClient, machine: Machine) -> None:
    """Numbers by type and model, each proved; no record, no person, no content, no name."""
    answer = asked(
        console, machine, "auditor", "/api/export", expression="since:90d", report="attestation"
    )
    assert answer.status_code == 200, answer.text
    verdict, manifest, page = opened(machine, answer.content)
    counted = {tuple(chain): number for *chain, number in verdict.facts["counted"]}
    assert "(the ledger begins at " in verdict.completeness
    assert counted["acme", "type", "exchange.request"] == 3
    assert counted["acme", "type", "retention.held"] == 1
    assert counted["acme", "model", "demo-one"] == 4
    assert counted["", "type", "ledger.gap"] == 0
    assert (manifest["custody"], manifest["retention"]) == ([], {})
    assert manifest["question"]["show"] == "count"
    assert not bytes(verify.read_zip(answer.content)["disclosures.jsonl"])
    for words in ("Attestation for acme", "demo-two", "legal holds placed", "default",
                  "erasures, and what went with the release of a hold",
                  "Nobody but the log itself vouches"):  # fmt: skip
        assert words in page, words
    assert "certificates of erasure" not in page, "a release has none"
    for hidden in (CANARY, "@example.com", "Doe v. Acme", "the caller"):
        assert hidden not in page
        assert hidden.encode() not in answer.content
    assert not re.search(rb"(act|ses|key)_[a-z2-7]{26}", answer.content)


def test_an_attestation_leaves_no_model_out(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many requests came after the last one of a model."""
    monkeypatch.setattr(facets, "CAP", 1)
    body = {"expression": "since:90d", "report": "attestation"}
    answer = asked(console, machine, "auditor", "/api/export", **body)
    assert answer.status_code == 200, answer.text
    counted = {tuple(chain) for *chain, _ in opened(machine, answer.content)[0].facts["counted"]}
    assert {("acme", "model", "demo-one"), ("acme", "model", "demo-two")} <= counted


@pytest.mark.parametrize("kind", ["period", "attestation"])
def test_of_a_tenant_that_is_not_there_it_is_said_which_there_are(
    console: TestClient, machine: Machine, kind: str
) -> None:
    """And not that one should be named; who sees one tenant learns of no other."""
    words = "tenant:acmee since:90d"
    answer = asked(console, machine, "auditor", "/api/export", expression=words, report=kind)
    assert answer.status_code == 400
    assert answer.json()["detail"] == "There is no tenant acmee that you may ask about."
    assert answer.json()["hint"] == "There is: acme."


@pytest.mark.parametrize("kind", ["period", "attestation"])
def test_both_are_about_a_window(console: TestClient, machine: Machine, kind: str) -> None:
    """A condition beside window and tenant is refused."""
    answer = asked(
        console, machine, "auditor", "/api/export", expression="model:demo-one", report=kind
    )
    assert answer.status_code == 400
    assert "about a whole window" in answer.json()["detail"]


def test_a_period_of_many_tenants_asks_for_one(
    console: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More chains than can be proved, or no such tenant: refused, with what to add."""
    monkeypatch.setattr(question, "MAX_CHAINS", 40)
    ask = functools.partial(asked, console, machine, "owner", "/api/export", report="period")
    for words, why, way in (
        ("", "and 40 are the limit", "--tenant NAME"),
        ("tenant:none", "no tenant none", "There is: "),
    ):
        refused = ask(expression=words)
        assert refused.status_code == 400
        told = refused.json()
        assert why in told["detail"]
        assert way in told["hint"]
    made = ask(expression="tenant:acme")
    assert made.status_code == 200, made.text
    assert opened(machine, made.content)[0].completeness.startswith("all ")


def test_an_attestation_is_about_one_tenant_by_who_sees_all_of_it(machine: Machine) -> None:
    """Several tenants are too many; a team sees a part."""
    searcher = machine.services().searcher
    member = boundary.member("act_x", "acme", "support")
    with pytest.raises(RefusedError, match="of which you see a part"):
        report_kinds.models_of(searcher, member, All())
    with pytest.raises(UsageError, match="about one tenant"):
        report_kinds.attested(Question("everything"), [])
    window = report_kinds.window_of("tenant:acme since:90d until:1d", machine.clock.now())
    assert window
    assert report_kinds.asked_for("records", "model:x", "") == "model:x"
