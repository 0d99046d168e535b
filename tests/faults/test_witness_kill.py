"""``kill -9`` before every effect of a witness's life: no two of its cosignatures contradict."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.ledger import note
from tests.world.fakedisk import FakeEffects, Step
from tests.world.witnessing import COSIGNER, ORIGIN, ask, checkpoint_of, grown, open_witness
from tests.world.zygote import Report, Zygote, die

TREE = grown("a", 12)
FORK = grown("b", 12, TREE[:3])
SIZES = (2, 5, 9)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process that has imported everything."""
    with Zygote(__name__) as process:
        yield process


def live_and_die(report: Report, directory: str, step: int) -> None:
    """Start, cosign three sizes; report each when its cosignature is out; die before ``step``."""
    effects = FakeEffects(Path(directory))

    def before(coming: Step) -> None:
        if coming.number == step:
            die()

    effects.before = before
    served = open_witness(Path(directory), Disk(effects))
    for old, size in zip((0, *SIZES), SIZES, strict=False):
        answer = ask(served, old, TREE[:size])
        assert answer.status == 200
        report([size, answer.body.decode()])


def test_killed_anywhere_it_contradicts_nothing_it_has_let_out(
    tmp_path: Path, zygote: Zygote
) -> None:
    """The next start knows what was reported, and gives the fork only where nothing speaks."""
    step, forks = 0, 0
    while True:
        directory = tmp_path / str(step)
        directory.mkdir()
        ended = zygote.run(f"{__name__}:live_and_die", directory=str(directory), step=step)
        assert ended.error == ""
        served = open_witness(directory)
        head = served.head(ORIGIN)
        known = 0 if head is None else head.size
        out = [size for size, _ in ended.reports]
        assert known >= max(out, default=0)
        for size, line in ended.reports:
            text = checkpoint_of(TREE[:size]).text()
            assert note.open_note(f"{text}\n{line}".encode(), [COSIGNER.verifier()]).signers
        for old in range(known + 1):
            answer = ask(served, old, FORK[:12])
            if answer.status == 200:
                forks += 1
                assert max(out, default=0) <= 3
        if not ended.killed:
            break
        step += 1
    assert (ended.status, len(ended.reports)) == (0, 3)
    assert step > 15
    assert forks > 0
