"""Which chains a record joins."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.ledger.attribution import Attribution, merge
from affidavit.ledger.chains import Epoch, all_dimensions
from affidavit.record.model import DIMENSIONS, Chain, Record
from tests.world.ledger import record, secret


class Rules:
    """The rules of the first epoch, in names instead of keys."""

    def __init__(self) -> None:
        self.epoch = Epoch(0, -1, all_dimensions(DIMENSIONS), 1, secret(0))
        self.rules = Attribution(self.epoch)

    def names(self, *chains: Chain) -> set[bytes]:
        """The keys of chains."""
        return {self.epoch.key(chain) for chain in chains}

    def joined(self, one: Record, inherited: tuple[Chain, ...] = ()) -> set[bytes]:
        """What a record joins, all told."""
        keys = merge([self.epoch.key(chain) for chain in inherited], self.rules.joins(one))
        assert len(set(keys)) == len(keys)
        return set(keys)


@pytest.fixture
def rules() -> Rules:
    """Fresh rules; the salt tree is computed once a run."""
    return Rules()


MODEL = Chain("acme", "model", "m")
ACTOR = Chain("acme", "actor", "a")


def test_a_request_joins_what_its_writer_says_and_its_type(rules: Rules) -> None:
    """Twice the same is once."""
    one = record("exchange.request", (MODEL, ACTOR, MODEL))
    kind = Chain("acme", "type", "exchange.request")
    assert rules.joined(one) == rules.names(MODEL, ACTOR, kind)


def test_an_exchange_without_model_or_actor_says_so(rules: Rules) -> None:
    """By the chains of what is unattributed in the dimension."""
    kind = Chain("acme", "type", "exchange.request")
    no_actor = Chain("acme", "actor.unattributed", "")
    no_model = Chain("acme", "model.unattributed", "")
    assert rules.joined(record("exchange.request", (MODEL,))) == rules.names(MODEL, kind, no_actor)
    assert rules.joined(record("exchange.request", ())) == rules.names(kind, no_actor, no_model)
    said = record("exchange.request", (no_model, ACTOR))
    assert rules.joined(said) == rules.names(no_model, ACTOR, kind)


def test_a_tool_call_has_a_tool_and_an_actor(rules: Rules) -> None:
    """Or says that they are not known; a model is not asked for."""
    one = record("tool.call", (Chain("acme", "tool", "search"),))
    assert rules.joined(one) == rules.names(
        Chain("acme", "tool", "search"),
        Chain("acme", "type", "tool.call"),
        Chain("acme", "actor.unattributed", ""),
    )


def test_above_8_values_a_record_is_unattributed_too(rules: Rules) -> None:
    """The first 8 in order of occurrence, and the dimension's unattributed chain."""
    tools = [Chain("acme", "tool", f"t{i}") for i in range(11)]
    one = record("exchange.response", (MODEL, ACTOR, *tools))
    assert rules.joined(one) == rules.names(
        MODEL,
        ACTOR,
        *tools[:8],
        Chain("acme", "tool.unattributed", ""),
        Chain("acme", "type", "exchange.response"),
    )


def test_a_response_joins_the_chains_of_its_request_first(rules: Rules) -> None:
    """What it inherits counts towards the limit, and meets what is required."""
    served = Chain("acme", "model", "served")
    asked = tuple(Chain("acme", "model", f"m{i}") for i in range(8))
    one = record("exchange.response", (served,))
    kind = Chain("acme", "type", "exchange.response")
    assert rules.joined(one, (MODEL, ACTOR)) == rules.names(MODEL, ACTOR, served, kind)
    assert rules.joined(one, (*asked, ACTOR)) == rules.names(
        *asked, ACTOR, kind, Chain("acme", "model.unattributed", "")
    )
    bare = record("exchange.response", ())
    assert rules.joined(bare, (MODEL, ACTOR)) == rules.names(MODEL, ACTOR, kind)


def test_a_tenant_that_cannot_be_named_is_unknown(rules: Rules) -> None:
    """The record still has its type, and says what it lacks."""
    one = record("exchange.request", (), tenant="ac\x00me")
    assert rules.joined(one) == rules.names(
        Chain("", "type", "exchange.request"),
        Chain("", "model.unattributed", ""),
        Chain("", "actor.unattributed", ""),
        Chain("", "unattributed", ""),
    )


@pytest.mark.parametrize(
    "one",
    [
        record("ledger.gap", (), tenant="acme"),
        record("change.model", (), tenant=""),
        record("custom", (Chain("acme", "colour", "red"),)),
        record("custom", (Chain("ac\x00me", "model", "m"),)),
        record("custom", (Chain("acme", "model", "\ud800"),)),
        record("custom", (Chain("", "unattributed", ""),)),
        record("custom", (Chain("acme", "unattributed", "x"),)),
    ],
)
def test_what_belongs_to_nobody_joins_the_unattributed_chain(rules: Rules, one: Record) -> None:
    """Gaps, unknown tenants, chains that cannot be named."""
    assert rules.names(Chain("", "unattributed", "")) <= rules.joined(one)


@pytest.mark.parametrize("kind", ["ledger.ended", "ledger.clock", "ledger.key"])
def test_the_ledgers_own_records_are_not_of_an_unknown_tenant(rules: Rules, kind: str) -> None:
    """They join their type chain alone."""
    one = record(kind, (), tenant="")
    assert rules.joined(one) == rules.names(Chain("", "type", kind))


def test_derived_chains_are_the_ledgers_to_say(rules: Rules) -> None:
    """A writer's ``.values`` or wrong type is left out; an unattributed value is empty."""
    one = record(
        "custom",
        (
            Chain("acme", "model.values", ""),
            Chain("acme", "type", "exchange.request"),
            Chain("acme", "source.unattributed", "secret"),
        ),
    )
    assert rules.joined(one) == rules.names(
        Chain("acme", "type", "custom"), Chain("acme", "source.unattributed", "")
    )


dimension_names = st.sampled_from([*all_dimensions(("model", "tool", "actor")), "nonsense"])


@settings(deadline=None)
@given(
    st.sampled_from(["exchange.request", "exchange.response", "tool.call", "custom"]),
    st.lists(st.builds(Chain, st.sampled_from(["", "acme"]), dimension_names, st.text(max_size=2))),
    st.lists(st.builds(Chain, st.just("acme"), st.sampled_from(["model", "tool"]), st.text())),
)
def test_no_record_is_refused_and_the_limits_hold(
    kind: str, own: list[Chain], inherited: list[Chain]
) -> None:
    """Whatever a writer says: inherited kept, at most 8 of its own above it, required met."""
    rules = Rules()
    first = tuple(dict.fromkeys(inherited))[:8]
    joined = rules.joined(record(kind, own), first)
    assert rules.names(*first) <= joined
    for number in range(0, 30, 3):
        among = [key for key in joined if key[0] == number]
        assert len(among) <= 8 or set(among) <= rules.names(*first)
