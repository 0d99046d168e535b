"""``kill -9`` at every step: the death of a process loses nothing that anybody received."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.durable import Disk
from tests.world.fakedisk import FakeEffects, Step
from tests.world.journals import Script, names, read
from tests.world.zygote import Report, Zygote, die


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process that has imported everything."""
    with Zygote(__name__) as process:
        yield process


def live_and_die(report: Report, root: str, step: int) -> None:
    """Run the script and die before effect number ``step``; reports promises as they are made."""
    effects = FakeEffects(Path(root))

    def before(coming: Step) -> None:
        if coming.number == step:
            die()

    effects.before = before
    story = Script(report, death=True)
    asyncio.run(story.run(Path(root), Disk(effects)))


def test_killed_before_every_effect_everything_promised_is_there(
    tmp_path: Path, zygote: Zygote
) -> None:
    """Pieces too: what ``piece`` returned for may have been sent to the client."""
    step = 0
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        ended = zygote.run(f"{__name__}:live_and_die", root=str(root), step=step)
        found = [names(read(directory)[0]) for directory in root.iterdir()]
        got = found[0] if found else []
        assert ended.error == ""
        assert [one for one in ended.reports if one not in got] == []
        assert len(got) - len(ended.reports) <= 3  # what was on its way: three at once, at most
        if not ended.killed:
            break
        step += 1
    assert (ended.status, len(ended.reports)) == (0, 14)
    assert step > 40


def test_a_dead_writers_lease_is_free(tmp_path: Path, zygote: Zygote) -> None:
    """The kernel gives the lease back, so that the sweep can take it."""
    ended = zygote.run(f"{__name__}:live_and_die", root=str(tmp_path), step=20)
    assert ended.killed
    (directory,) = tmp_path.iterdir()
    with read(directory)[1].lease(Disk(), "sweep"):
        assert (directory / "lease").read_text().startswith("sweep")
