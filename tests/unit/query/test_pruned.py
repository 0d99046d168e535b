"""Answers from a log that was pruned: what lies behind is proved, what reaches before says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.clock import add_seconds
from affidavit.errors import PrunedError, UsageError
from affidavit.evidence import verify
from affidavit.ledger import tiles
from affidavit.query import anchors, completeness
from affidavit.query.completeness import Answer, build
from affidavit.query.prover import LogProver, RemoteProver, serve
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.world import TENANT, World, by_model
from tests.faults import pruning_story
from tests.faults.pruning_story import pruned_to
from tests.world.ledger import WITNESS


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Exchanges of two models, an open request, one nobody could attribute; tiles of 4."""
    pruning_story.small(monkeypatch)
    made = World(tmp_path / "log")
    for number in range(12):
        made.exchange(seconds=10, model=f"gpt-{'ab'[number % 2]}", actor=f"act_{number % 3}")
        if number == 2:
            made.add(seconds=10, model="gpt-a")
            made.add(seconds=10, model="gpt-old")
        if number == 7:
            made.add(seconds=10, model=None)
    made.heads()
    yield made
    made.close()


def cut(world: World, share: float) -> int:
    """Prune that share of the log; returns the minimum index."""
    before = int(world.log.published * share) // tiles.WIDTH * tiles.WIDTH
    prune(world, before)
    return before


def prune(world: World, before: int) -> None:
    """Prune, and let a reader know, which would notice within a second."""
    pruned_to(world.root, before)
    world.reader.checkpoint()


def verdict(world: World, data: bytes) -> verify.Verdict:
    """What the independent verifier says."""
    return verify.check(data, verify.read_keys([world.vkey]))


def shown(answer: Answer) -> tuple[object, ...]:
    """What an answer says, without what depends on when it was asked."""
    return (
        answer.records,
        answer.halves,
        answer.open,
        answer.not_shown,
        answer.unattributed,
        answer.gaps,
    )


MODELS = ("gpt-a", "gpt-b", "gpt-old", "never")


def test_windows_behind_the_minimum_are_proved_as_before(world: World) -> None:
    """From any moment behind it, of any chain: the same records, halves and gaps."""
    before = world.log.published // 2 // tiles.WIDTH * tiles.WIDTH
    behind = range(before - 1, world.log.published - 1, 3)
    begins = [add_seconds(world.reader.decoded(index).time, 1e-6) for index in behind]
    asked = [by_model(model, since=since) for model in MODELS for since in begins]
    whole = [shown(world.answer(question)) for question in asked]
    prune(world, before)
    for question, expected in zip(asked, whole, strict=True):
        answer = world.answer(question)
        assert answer.question.not_proved == ""
        assert shown(answer) == expected
        said = verdict(world, world.bundle(question, answer=answer).data).completeness
        assert said.startswith(f"all {len(answer.records)} "), said


def test_a_chain_that_ended_before_the_minimum_is_still_shown_to_have_ended(world: World) -> None:
    """Its last leaf is kept, so that it shows that none of its records came later."""
    (index,) = world.answer(by_model("gpt-old")).records
    before = cut(world, 0.7)
    assert index < before
    since = add_seconds(world.reader.decoded(before).time, 1e-6)
    answer = world.answer(by_model("gpt-old", since=since))
    assert (answer.records, index in answer.leaves) == ((), True)
    assert verdict(world, world.bundle(by_model(), answer=answer).data).completeness != ""


def test_an_open_request_is_shown_when_its_answer_comes(world: World) -> None:
    """It waited at the minimum, and the exchange has two halves."""
    asked = next(i for i, one in world.kept.items() if i not in _paired(world))
    name = world.reader.decoded(asked).id
    before = cut(world, 0.6)
    assert asked < before
    answered, _ = world.add("exchange.response", model="gpt-a", actor=None, parent=name)
    world.heads()
    since = world.reader.decoded(answered).time
    answer = world.answer(by_model(since=since))
    assert answer.halves == {answered: asked}
    assert verdict(world, world.bundle(by_model(since=since), answer=answer).data)


def _paired(world: World) -> set[int]:
    return {index for pair in world.pairs for index in pair}


def test_a_window_that_reaches_before_the_minimum_says_so(world: World) -> None:
    """Nothing is proved then, and what is listed is shown as far as it is there."""
    first, last = world.pairs[0], world.pairs[-1]
    before = cut(world, 0.5)
    time = world.reader.decoded(before).time
    listed = sorted([*first, *last])
    for since in ("", add_seconds(time, -60)):
        answer = world.answer(by_model(since=since), listed=listed)
        assert answer.question.not_proved == f"pruned before {time}"
        assert list(answer.records) == [i for i in listed if world.reader.pruned().has(i)]
        assert set(last) <= set(answer.records) < set(listed)
        made = world.bundle(by_model(since=since), answer=answer)
        said = verdict(world, made.data).completeness
        assert said.startswith(f'not proved: "pruned before {time}"; ')
    with pytest.raises(UsageError, match=f"pruned before {time}"):
        world.answer(by_model(count=True))


def test_what_is_not_proved_of_a_window_without_records_is_no_damage(world: World) -> None:
    """It has a beginning and shows nothing; a bundle of it verifies, and says why not."""
    before = cut(world, 0.5)
    time = world.reader.decoded(before).time
    since = add_seconds(time, -60)
    for until in ("", add_seconds(time, 60)):
        question = by_model("gpt-b", since=since, until=until)
        answer = world.answer(question)
        assert (answer.records, answer.question.since) == ((), since)
        said = verdict(world, world.bundle(question, answer=answer).data).completeness
        assert said == f'not proved: "pruned before {time}"; 0 records are shown'


def test_an_epoch_that_was_pruned_is_not_proved_either(world: World) -> None:
    """Also by a prover in another process, whose errors cross a socket."""
    world.reopen(DIMENSIONS[:7])
    world.heads()
    world.exchange()
    world.heads()
    before = world.log.epochs()[-1].index // tiles.WIDTH * tiles.WIDTH + tiles.WIDTH
    while world.log.published < before + 2:
        world.exchange()
        world.heads()
    prune(world, before)
    chains = [Chain(TENANT, "model", "gpt-a")]
    remote = RemoteProver(lambda asked: serve(LogProver(world.log), asked))
    with pytest.raises(PrunedError):
        remote.prove(chains, "", -1)
    world.clock.advance(5)
    answer = build(world.reader, remote, by_model())
    assert answer.question.not_proved.startswith("pruned before ")
    world.clock.advance(5)
    since = add_seconds(world.reader.decoded(before).time, 1e-6)
    assert build(world.reader, remote, by_model(since=since)).question.not_proved == ""


def test_notes_and_stamps_of_pruned_trees_are_left_out(world: World) -> None:
    """Nothing leads on from a tree that was pruned; later ones stand for the kept leaves, too."""
    early = world.stamp()
    world.cosign(WITNESS)
    for _ in range(8):
        world.exchange()
    world.heads()
    late = world.stamp()
    before = early // tiles.WIDTH * tiles.WIDTH + tiles.WIDTH
    prune(world, before)
    since = add_seconds(world.reader.decoded(before).time, 1e-6)
    answer = world.answer(by_model(since=since))
    assert [stamp.size for stamp in answer.stamps] == [late]
    assert answer.size > early


@pytest.mark.parametrize("moment", ["before the walk", "after the walk"])
def test_a_pruning_beside_an_answer_only_makes_it_prove_less(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Half read, its leaves go; the answer is then one of a pruned log, and no error."""
    first, last = world.pairs[0], world.pairs[-1]
    world.heads()
    world.clock.advance(5)
    before = world.log.published // tiles.WIDTH * tiles.WIDTH - tiles.WIDTH
    done: list[int] = []

    def meanwhile(*given: Any, **more: Any) -> Any:
        if not done:
            done.append(before)
            prune(world, before)
        return whole(*given, **more)

    prover = LogProver(world.log)
    if moment == "before the walk":
        whole: Any = prover.prove
        monkeypatch.setattr(prover, "prove", meanwhile)
    else:
        whole = anchors.checkpoint_over
        monkeypatch.setattr(completeness, "checkpoint_over", meanwhile)
    asked = by_model("gpt-b", until=world.reader.decoded(last[0]).time)  # no newer heads for that
    answer = build(world.reader, prover, asked, listed=sorted([*first, *last]))
    time = world.reader.decoded(before).time
    assert (done, answer.question.not_proved) == ([before], f"pruned before {time}")
    assert set(answer.records) < {*first, *last}
    assert verdict(world, world.bundle(by_model("gpt-b"), answer=answer).data).integrity
