"""Each staged attack: what is said of it, what it takes to see it, and that the page says so."""

import pytest

from tests.attacks import threat_table
from tests.attacks.staged import (
    ATTACKS,
    MACHINE,
    MONITORED,
    NOTHING,
    TIMED,
    WITNESSED,
    Attack,
    Seen,
)
from tests.attacks.world import staged_world


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """All attacks, staged once."""
    world = staged_world(tmp_path_factory.mktemp("stage") / "log")
    places = (tmp_path_factory.mktemp(f"attack{number}") for number in range(len(ATTACKS)))
    found = threat_table.stage_all(world, places)
    world.close()
    return found


def named(*takes: str) -> list[Attack]:
    """The attacks that it takes these to see; those by the machine are not bundles that lie."""
    return [attack for attack in ATTACKS if attack.takes in takes and attack.has != MACHINE]


@pytest.mark.parametrize("attack", named(NOTHING), ids=lambda attack: attack.name)
def test_seen_with_the_logs_key_alone(seen: dict[str, Seen], attack: Attack) -> None:
    """Refused by name, by a verifier that knows nothing but the log's key."""
    assert seen[attack.name].said.startswith("REFUSED ")
    assert seen[attack.name].without == ""


@pytest.mark.parametrize("attack", named(TIMED), ids=lambda attack: attack.name)
def test_seen_with_somebody_elses_time(seen: dict[str, Seen], attack: Attack) -> None:
    """Refused where somebody else has seen the log; without, the verdict says what is asserted."""
    found = seen[attack.name]
    assert found.said.startswith("REFUSED ")
    assert "own key only" in found.without
    assert "are asserted" in found.without


@pytest.mark.parametrize("attack", named(WITNESSED, MONITORED), ids=lambda attack: attack.name)
def test_seen_by_a_policy_that_demands_a_witness(seen: dict[str, Seen], attack: Attack) -> None:
    """Whoever replays or remembers does not cosign, and the policy is not satisfied."""
    found = seen[attack.name]
    assert "NOT met, so by this policy nothing here is trusted" in found.said
    assert "own key only" in found.without
    assert "are asserted" in found.without


def test_what_cannot_be_read_is_part_of_every_answer(seen: dict[str, Seen]) -> None:
    """A body that parsers read differently is unattributed, and counted beside the answer."""
    said = seen["a body that parsers read differently names the model"].said
    assert said.startswith("all 2 records of model=gpt-a, tenant acme")
    assert "; 1 unattributed; " in said


def test_a_journal_that_is_gone_leaves_a_gap(seen: dict[str, Seen]) -> None:
    """A writer that the ledger knows ends; without its journal, with a gap in every answer."""
    said = seen["a journal deleted before it was sequenced"].said
    assert said.startswith("all 2 records of model=gpt-a, tenant acme")
    assert "; gaps listed: leaf " in said


def test_a_models_name_is_never_a_pattern(seen: dict[str, Seen]) -> None:
    """A model called ``*`` is one model."""
    said = seen["a model called *"].said
    assert said.startswith("all 2 records of model=*, tenant acme")


def test_what_is_called_pruned_is_not_proved(seen: dict[str, Seen]) -> None:
    """Whether it was is the exporter's word, in quotes, and nothing is said to be complete."""
    said = seen["records called pruned that are not"].said
    assert said.startswith('not proved: "pruned before 2026-')


def test_the_threat_model_says_what_happens(seen: dict[str, Seen]) -> None:
    """docs/threat-model.md has the table that these attacks make.

    ``python -m tests.attacks.threat_table`` writes it.
    """
    assert threat_table.written() == threat_table.render(seen)
