"""The class of a record, as each writer of records gives it."""

import asyncio
from typing import Any

import msgspec

from affidavit.app import system
from affidavit.capture import worker
from affidavit.capture.exchange import Exchange
from affidavit.capture.gaps import SERVED, Gaps
from affidavit.capture.receipts import access_record
from affidavit.capture.refusals import Refusals, Refused
from affidavit.capture.sections import setting
from affidavit.config import parse
from affidavit.errors import CannotRecordError, UnauthenticatedError
from affidavit.ledger import sweep
from affidavit.providers import registry
from affidavit.record.classes import class_of, facts_of
from affidavit.record.model import Chain, Record
from affidavit.retention import Facts
from tests.unit.capture.facts import asked
from tests.world.clock import FakeClock
from tests.world.gateway import chat, identity

CONFIG = parse(
    """
retention:
  classes: {german: {}, pilot: {}, gpt: {}, reads: {}, denials: {}, policies: {}, keys: {}}
  rules:
    - {when: {jurisdiction: DE, type: "exchange.*"}, class: german}
    - {when: {label: pilot}, class: pilot}
    - {when: {model: "gpt-*"}, class: gpt}
    - {when: {type: access.denied}, class: denials}
    - {when: {type: "access.*", tenant: acme}, class: reads}
    - {when: {type: change.policy}, class: policies}
    - {when: {type: change.key, team: red}, class: keys}
""",
    {},
    "config.yaml",
)
SETTING = setting("host", "gateway-1", CONFIG)
CALLER = identity()


def _exchange(**marks: Any) -> Exchange:
    who = msgspec.structs.replace(CALLER, **marks)
    body = chat(model="gpt-4o")
    dialect = registry.lookup("openai")
    return Exchange(asked(body, who=who), body, dialect, SETTING, FakeClock())


def test_an_exchange_has_one_class_by_its_caller_and_the_model_it_asked_for() -> None:
    """Labels and jurisdiction of the key before the model, as the rules stand."""
    for marks, expected in (
        ({"jurisdiction": "DE"}, "german"), ({"labels": ("x", "pilot")}, "pilot"), ({}, "gpt"),
    ):  # fmt: skip
        made = _exchange(**marks)
        request, _ = made.request()
        made.forwarded()
        made.head(200, [(b"content-type", b"application/json")])
        made.piece(b'{"model": "other-model"}')
        made.settle("client_gone")
        response = made.response()
        assert (request.retention_class, response.retention_class) == (expected, expected)


def test_an_outcome_that_the_sweep_writes_has_the_class_of_its_request() -> None:
    """Also where the ledger refuses a record."""
    request, _ = _exchange(jurisdiction="DE").request()
    at = FakeClock().now()
    assert sweep.interrupted(request, b"", at)[0].retention_class == "german"
    outcome = msgspec.structs.replace(request, type="exchange.response", parent=request.id)
    assert sweep.refused(outcome, "too large", at).retention_class == "german"


def test_refusals_and_reads_of_receipts_are_classified() -> None:
    """A stranger's refusal, too."""
    found: list[Record] = []

    class Journal:
        async def commit(self, record: Record, _: Any) -> None:
            found.append(record)

    refusals = Refusals(Journal(), SETTING, FakeClock())  # type: ignore[arg-type]  # what it uses
    pilot = msgspec.structs.replace(CALLER, labels=("pilot",))
    for who in (None, CALLER, pilot):
        refused = Refused(UnauthenticatedError("who?"), "openai", "POST", "/x", "192.0.2.7", who)
        asyncio.run(refusals.refuse(refused))
    classes = [one.retention_class for one in found]
    assert classes == ["denials", "denials"]  # the third is counted with the second
    assert access_record("0" * 36, CALLER, SETTING, FakeClock()).retention_class == "reads"
    assert access_record("0" * 36, pilot, SETTING, FakeClock()).retention_class == "pilot"


def test_what_the_ledger_says_of_itself_has_a_class_of_its_own() -> None:
    """Gaps and ends, whoever writes them."""
    clock = FakeClock()
    gaps, found = Gaps("w", clock), []

    class Journal:
        async def commit(self, record: Record, _: Any) -> None:
            found.append(record)

    gaps.count(SERVED, "default", CannotRecordError("x", cause="disk full"))
    asyncio.run(gaps.record(Journal()))  # type: ignore[arg-type]  # what it uses
    found += [
        worker._ended(clock), system.ended(clock, CONFIG, "drained"),
        sweep.gap("i", "w", "why", clock.now()), sweep.ended("i", "w", clock.now()),
    ]  # fmt: skip
    assert {one.retention_class for one in found} == {"ledger"}


def test_what_the_installation_says_of_itself_is_classified() -> None:
    """By type, and by who asked for it."""
    clock = FakeClock()
    made = system.make("change.policy", clock, CONFIG, {"what": {}})
    assert (made.retention_class, made.tenant) == ("policies", "")
    red = {"tenant": "acme", "actor": "act_1", "team": "red"}
    assert system.key_change(clock, CONFIG, CALLER, "created", red).retention_class == "keys"
    assert system.key_change(clock, CONFIG, CALLER, "created", None).retention_class == "default"


def test_models_of_a_record_are_those_whose_chains_it_joins() -> None:
    """And no other dimension's values."""
    chains = [Chain("t", "model", "gpt-5"), Chain("t", "tool", "x"), Chain("t", "model", "b")]
    assert class_of(CONFIG, "change.alias", {}, chains, tier="reported") == "gpt"
    assert class_of(CONFIG, "change.alias", {}, chains[1:]) == "default"


def test_findings_are_kinds_of_what_was_found() -> None:
    """As the section control counts them."""
    control = {"findings": {"pii.email": 2}}
    who = {"tenant": "t", "team": "x", "labels": ["a"], "jurisdiction": "FR"}
    assert facts_of("exchange.request", "observed", who, ("m",), control) == Facts(
        "exchange.request", "observed", "t", "x", ("m",), ("a",), ("pii.email",), "FR"
    )
