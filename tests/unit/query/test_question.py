"""From expressions to chains, windows and conditions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import UsageError
from affidavit.evidence.verify import is_condition
from affidavit.query.language import parse
from affidavit.query.question import (
    MAX_CHAINS,
    Question,
    counting,
    question,
    sections_needed,
    unproved,
)
from affidavit.record.model import TYPES, Chain

NOW = "2026-11-23T12:00:00.000000Z"


def ask(text: str, *tenants: str, **more: Any) -> Question:
    """The question in an expression."""
    return question(parse(text, NOW), tenants or ("acme",), **more)


@pytest.mark.parametrize(
    ("text", "chains"),
    [
        ("model:gpt-4o", [("model", "gpt-4o")]),
        ("actor:act_x", [("actor", "act_x")]),
        ("session:ses_x", [("session", "ses_x")]),
        ("tool:search", [("tool", "search")]),
        ("source:crm", [("source", "crm")]),
        ("credential:key_1", [("key", "key_1")]),
        ("key:key_1", [("key", "key_1")]),
        ("values:model", [("model.values", "")]),
        ("values:model model:a", [("model.values", "")]),
        ("values:actor session:ses_x", [("session", "ses_x")]),
        ("values:model OR values:tool", [("model.values", ""), ("tool.values", "")]),
        ("type:tool.call", [("type", "tool.call")]),
        ("type:tool.*", [("type", "tool.call"), ("type", "tool.result")]),
        ("model:a OR model:b", [("model", "a"), ("model", "b")]),
        ("(model:a OR actor:act_x) tier:observed", [("actor", "act_x"), ("model", "a")]),
        ("model:a actor:act_x", [("actor", "act_x")]),
        ("type:exchange.* model:a", [("model", "a")]),
        ("(model:a decision:deny) OR (model:b decision:allow)", [("model", "a"), ("model", "b")]),
    ],
)
def test_the_chains_of_an_expression(text: str, chains: list[tuple[str, str]]) -> None:
    """The part that holds fewest records drives; every branch of an OR has to."""
    found = ask(text)
    assert found.not_proved == ""
    assert list(found.chains) == [Chain("acme", *chain) for chain in chains]


@pytest.mark.parametrize(
    "text",
    ['"exact phrase"', "decision:deny", "-model:a", "model:a OR decision:deny", "model:gpt*",
     "tokens>10", "since:90d tokens>10", "actor:alice@example.com"],
)  # fmt: skip
def test_what_no_chain_holds_is_not_proved(text: str) -> None:
    """An expression whose matches no chain holds is not proved, and says why."""
    found = ask(text)
    assert found.chains == ()
    assert "names no chain" in found.not_proved
    assert found.conditions == ()


@pytest.mark.parametrize("text", ["", "since:90d", "until:2026-09-01 tenant:acme"])
def test_everything_is_the_chains_of_all_types(text: str) -> None:
    """Each record is in the chain of its type, so nothing but window and tenant needs no other."""
    found = ask(text)
    assert found.not_proved == ""
    assert set(found.chains) == {Chain("acme", "type", name) for name in TYPES}
    assert found.conditions in ((), (["or", ["is", "who.tenant", "acme"]],))


def test_too_many_chains_are_not_proved() -> None:
    """An answer has a bounded number of chains."""
    found = ask("model:a", *(f"tenant{n}" for n in range(MAX_CHAINS + 1)))
    assert "limit" in found.not_proved


def test_tenants() -> None:
    """Each tenant has its own chain; ``tenant:`` in the expression narrows them down."""
    assert [chain.tenant for chain in ask("model:a", "x", "y").chains] == ["x", "y"]
    found = ask("model:a tenant:y", "x", "y")
    assert [chain.tenant for chain in found.chains] == ["y"]


def test_another_tenants_chain_is_never_walked() -> None:
    """``tenant:`` outside what the reader may ask about proves nothing, and says so."""
    found = ask("model:a tenant:z", "x", "y")
    assert found.chains == ()
    assert "no tenant that the reader may ask about" in found.not_proved


def test_names_are_resolved_to_pseudonyms() -> None:
    """A person's name becomes the pseudonyms it stands for, all of them."""

    def resolve(field: str, value: str) -> list[str]:
        return {("actor", "alice@example.com"): ["act_1", "act_2"]}.get((field, value), [])

    found = ask("actor:alice@example.com", resolve=resolve)
    assert [chain.value for chain in found.chains] == ["act_1", "act_2"]
    assert "names no chain" in ask("actor:bob", resolve=resolve).not_proved


def test_records_of_no_tenant_are_in_chains_of_types() -> None:
    """Asked about no tenant too, a type has a chain for it; other dimensions have none."""
    found = ask("type:change.config", "", "acme")
    assert found.chains == (
        Chain("", "type", "change.config"),
        Chain("acme", "type", "change.config"),
    )
    assert ask("model:a", "", "acme").chains == (Chain("acme", "model", "a"),)
    assert ask("type:change.config tenant:acme", "", "acme").chains == found.chains[1:]
    assert ask("values:type", "", "acme").chains == (
        Chain("", "type.values", ""), Chain("acme", "type.values", ""),
    )  # fmt: skip
    assert ask("values:model", "", "acme").chains == (Chain("acme", "model.values", ""),)
    assert "names no chain" in ask("model:a", "").not_proved


def test_a_name_that_stands_for_nobody_is_not_a_condition_that_fails() -> None:
    """Records may hold a name that has no pseudonym here, so nobody decides the condition."""
    found = ask("model:a -actor:bob", resolve=lambda *_: [])
    assert found.conditions == (["not", ["stated", "actor:bob"]],)


def test_unproved_keeps_the_words_and_the_window() -> None:
    """What is not proved has no chains and no conditions, and says why."""
    found = unproved(ask("model:a role:b since:2026-08-01"), "because")
    assert (found.chains, found.conditions, found.not_proved) == ((), (), "because")
    assert found.since == "2026-08-01T00:00:00.000000Z"


def test_what_can_be_counted_without_showing_it() -> None:
    """Whole chains in a window of ledger time; conditions and source times need the records."""
    assert counting(ask("model:a since:2026-08-01 until:2026-09-01")).count is True
    assert counting(ask("values:model")).count is True
    for text, why in (
        ("model:a decision:deny", "decided on records that are shown"),
        ("model:a source_time>=2026-08-01", "source times"),
        ("tokens>1", "names no chain"),
    ):
        with pytest.raises(UsageError, match=why):
            counting(ask(text))


def test_the_window() -> None:
    """Since is inside, until is not: the last microsecond before it is; times are absolute."""
    found = ask("model:a since:2026-08-01 until:2026-09-01")
    assert found.since == "2026-08-01T00:00:00.000000Z"
    assert found.until == "2026-08-31T23:59:59.999999Z"
    assert found.conditions == ()
    assert (ask("model:a").since, ask("model:a").until) == ("", "")
    with pytest.raises(UsageError):
        ask("model:a since:2026-09-01 until:2026-08-01")


def test_windows_before_all_time() -> None:
    """Dates before any ledger are windows like others, and end nowhere in an error of ours."""
    assert ask("model:a since:0001-01-01").since.startswith("0001-01-01")
    assert ask("model:a until:0001-01-01").until == "1970-01-01T00:00:00.000000Z"
    assert ask("model:a source_time>=0001-01-01").source_time


def test_source_time() -> None:
    """A window over source time alone is one; beside ledger time it is a condition."""
    found = ask("model:a source_time>=2026-08-01")
    assert (found.source_time, found.since) == (True, "2026-08-01T00:00:00.000000Z")
    found = ask("model:a since:2026-08-01 source_time<2026-09-01")
    assert found.source_time is False
    assert found.conditions == (["<", "at", "2026-09-01T00:00:00.000000Z"],)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("decision:deny", ["or", ["is", "control.decision", "deny"]]),
        ("role:adm*", ["or", ["prefix", "who.role", "adm"]]),
        ("-team:x", ["not", ["or", ["is", "who.team", "x"]]]),
        ("tokens_out>10", [">", "outcome.gen_ai.usage.output_tokens", 10.0]),
        ("http=500", ["and", ["<=", "outcome.http.response.status_code", 500.0],
                      [">=", "outcome.http.response.status_code", 500.0]]),
        ("type:exchange.*", ["or", ["prefix", "type", "exchange."]]),
        ("tier:observed", ["or", ["is", "tier", "observed"]]),
        ("has:purpose", ["has", "who.purpose"]),
        ('"exact phrase"', ["stated", '"exact phrase"']),
        ("has:error", ["stated", "has:error"]),
        ("tokens>10", ["stated", "tokens>10"]),
        ("status:429", ["stated", "status:429"]),
        ("values:model", ["stated", "values:model"]),
    ],
)  # fmt: skip
def test_conditions(text: str, condition: list[Any]) -> None:
    """What the chain does not say is a condition on a section, or stated in words."""
    found = ask(f"session:ses_x {text}")
    assert found.conditions == (condition,)
    assert is_condition(condition)


def test_a_second_model_looks_at_the_other_half() -> None:
    """A model beside another chain: requested, resolved, or served in the other half."""
    (condition,) = ask("session:ses_x model:a").conditions
    assert is_condition(condition)
    assert ["half", ["is", "what.gen_ai.response.model", "a"]] in condition


def test_sections_needed() -> None:
    """The sections on which conditions are decided, however deep they stand."""
    found = ask('session:ses_x decision:deny (-role:a OR tokens_in>5) "words" type:tool.*')
    assert sections_needed(found.conditions) == {"control", "who", "outcome"}


WORDS = st.sampled_from(
    ["model:a", "model:b", "actor:act_x", "session:ses_y", "type:tool.*", "decision:deny",
     "tokens_in>7", '"two words"', "has:error", "tier:observed", "since:30d", "path:/v1*",
     "until:2026-11-01", "source_time<2026-10-01", "index>=5", "status:client_gone"]
)  # fmt: skip


@given(st.lists(WORDS, min_size=1, max_size=5), st.sampled_from([" ", " OR "]), st.booleans())
def test_whatever_is_asked_becomes_a_question(words: list[str], joint: str, negated: bool) -> None:
    """Every expression gives chains or a reason; every condition is one the verifier knows."""
    text = joint.join(words)
    found = ask(f"model:z -({text})" if negated else text)
    assert bool(found.chains) == (found.not_proved == "")
    assert all(is_condition(condition) for condition in found.conditions)
    assert all(chain.value in TYPES for chain in found.chains if chain.dimension == "type")
