"""The same at random of logs that are pruned, twice, and go on in between.

A window that begins behind the minimum index is answered as if nothing had gone; of any other one
it is said before when the log was pruned, and of none that it was without need. Nothing can be
left out of such an answer either.
"""

import random
import shutil
from pathlib import Path

import pytest

from affidavit.clock import add_seconds
from affidavit.errors import UsageError
from affidavit.evidence import bundle, verify
from affidavit.ledger import fsck, tiles
from affidavit.query.completeness import SLACK_SECONDS, build
from affidavit.query.prover import LogProver
from affidavit.query.question import Question
from tests.attacks.test_random_logs import QUESTIONS, Written, files_of, judge, leave_out
from tests.faults import pruning_story
from tests.faults.pruning_story import pruned_to


class Told:
    """What came of many questions."""

    proved = refused = omitted = 0


def _grow(written: Written) -> None:
    for _ in range(written.draw.randrange(12)):
        written._step()
    written._settle()
    reader = written.world.reader
    first = len(written.leaves)
    written.leaves += map(reader.decoded, range(first, written.world.log.published))


def _prune(written: Written) -> bool:
    """To any bundle that ends before the newest heads; whether there was one."""
    world = written.world
    least = world.reader.minimum() // tiles.WIDTH
    newest = max(leaf.index for leaf in written.leaves if leaf.heads is not None)
    choice = range(least + 1, newest // tiles.WIDTH + 1)
    if choice:
        pruned_to(world.root, written.draw.choice(choice) * tiles.WIDTH)
        world.reader.checkpoint()
    return bool(choice)


def _ask(written: Written, asked: Question, told: Told, seed: int) -> None:
    world, draw = written.world, written.draw
    world.clock.advance(2.0)
    edge = written.leaves[world.reader.minimum()].time
    slack = -SLACK_SECONDS if asked.source_time else 0.0
    behind = bool(asked.since) and add_seconds(asked.since, slack) > edge
    try:
        answer = build(world.reader, LogProver(world.log), asked)
        why = answer.question.not_proved
    except UsageError as error:
        assert asked.count, (seed, asked)
        why = error.message.removeprefix("There is nothing to count by: ").rstrip(".")
    if why:
        assert (why, behind) == (f"pruned before {edge}", False), (seed, asked)
        told.refused += 1
        return
    question, files = bundle._question(answer), files_of(answer)
    facts = judge(files, question, world)
    each = [written.expected(chain, answer.question) for chain in asked.chains]
    counted = [[*chain, len(e)] for chain, e in zip(asked.chains, each, strict=True)]
    assert facts["counted"] == counted, (seed, asked)
    whole = [] if asked.count else sorted(set().union(*each))
    assert facts["records"] == whole, (seed, asked)
    told.proved += 1
    changed = leave_out(files, answer, world, draw)
    if changed != files:
        with pytest.raises(verify.Refused):
            judge(changed, question, None)
        told.omitted += 1


def many(tmp_path: Path, logs: int, first: int) -> Told:
    """Ask ``logs`` logs, before and after each of two prunings."""
    told = Told()
    for seed in range(first, first + logs):
        place = tmp_path / str(seed)
        place.mkdir()
        written = Written(place / "log", random.Random(seed))
        try:
            for _ in range(2):
                pruned = _prune(written)
                for _ in range(QUESTIONS):
                    if pruned:
                        _ask(written, written.question(), told, seed)
                _grow(written)
            report = fsck.check(written.world.root, written.world.signer.verifier())
            assert report.ok, (seed, report.first)
        finally:
            written.world.close()
        shutil.rmtree(place)
    return told


def test_some_random_logs_that_are_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few, in every run of the tests; tiles of 4."""
    pruning_story.small(monkeypatch)
    told = many(tmp_path, 4, 1)
    assert min(told.proved, told.refused, told.omitted) > 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_random_logs_that_are_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 of them, pruned twice each."""
    pruning_story.small(monkeypatch)
    told = many(tmp_path, 400, 1000)
    print(f"{told.proved} answers of pruned logs whole, {told.refused} not proved because of it;")
    print(f"{told.omitted} with an omission refused")
    assert min(told.proved, told.refused, told.omitted) > 800
