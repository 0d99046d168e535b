"""``kill -9`` before every effect of a ledger's life, with the real state.db."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.ledger import fsck
from affidavit.ledger.agenda import HEADS_SECONDS
from tests.faults.ledger_story import small
from tests.world import ledger
from tests.world.fakedisk import FakeEffects, Step
from tests.world.ledger import World, Writer, secret, signer
from tests.world.zygote import Report, Zygote, die

ledger.salt_tree(secret(0))  # once, in the zygote, and not in every process that dies


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process that has imported everything."""
    with Zygote(__name__) as process:
        yield process


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


def live_and_die(report: Report, directory: str, step: int) -> None:
    """Open, three batches, close; dies before effect number ``step``."""
    small(pytest.MonkeyPatch())
    effects = FakeEffects(Path(directory) / "log")

    def before(coming: Step) -> None:
        if coming.number == step:
            die()

    effects.before = before
    world = World(Path(directory), Disk(effects))
    world.open()
    writer = Writer()
    asked = writer.request()
    batches = [[asked, *writer.exchange(model="x")], [writer.response(asked)], [writer.ended()]]
    for batch in batches:
        world.put(batch)
        report([one.record.id for one in batch])
        world.clock.advance(HEADS_SECONDS)
    world.log.close()


def test_killed_before_every_effect_the_ledger_goes_on(tmp_path: Path, zygote: Zygote) -> None:
    """Fsck is green on what the dead process left, and the next start has all it acknowledged."""
    step = 0
    while True:
        directory = tmp_path / str(step)
        directory.mkdir()
        (directory / "log").mkdir()
        ended = zygote.run(f"{__name__}:live_and_die", directory=str(directory), step=step)
        assert ended.error == ""
        before = fsck.check(directory / "log", signer().verifier())
        assert before.ok, f"step {step}: {before.first}"
        world = World(directory)
        world.open()
        world.put(Writer().exchange())
        world.log.close()
        world.shut()
        after = fsck.check(directory / "log", signer().verifier())
        assert after.ok, f"step {step}: {after.first}"
        reader = world.reader()
        found = [reader.decoded(index).id for index in range(after.size)]
        assert [one for batch in ended.reports for one in batch if one not in found] == []
        assert len(set(found)) == len(found)
        if not ended.killed:
            break
        step += 1
    assert (ended.status, len(ended.reports)) == (0, 3)
    assert step > 100
