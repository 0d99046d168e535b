"""A witness after a loss of power: it knows every head of which a cosignature has left it."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from tests.world.crash_states import crash_states, materialise
from tests.world.fakedisk import FakeEffects
from tests.world.witnessing import ORIGIN, ask, checkpoint_of, grown, open_witness

TREE = grown("a", 12)
FORK = grown("b", 12, TREE[:3])
SIZES = (3, 5, 9)


class _NoFileSync(FakeEffects):
    def fsync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDirectorySync(FakeEffects):
    def fsync_dir(self, path: str) -> None:
        """Does not sync, and does not say so."""


def _forgetful(root: Path, kind: type[FakeEffects]) -> list[str]:
    """States in which the witness does not start, or has forgotten what it let out."""
    live, effects = root / "live", kind(root)
    effects.root = live
    live.mkdir()
    promises = [(0, 0)]
    served = open_witness(live, Disk(effects))
    for old, size in zip((0, *SIZES), SIZES, strict=False):
        assert ask(served, old, TREE[:size]).status == 200
        promises.append((len(effects.trace), size))
    bad = []
    states = crash_states(effects)
    assert len(states) > 15
    for number, state in enumerate(states):
        directory = root / str(number)
        materialise(state, directory)
        owed = max(size for made, size in promises if made <= state.after)
        try:
            head = open_witness(directory).head(ORIGIN)
        except Exception as error:  # noqa: BLE001 - a start that fails is what is looked for
            bad.append(f"{state.after}: {error}")
            continue
        size = 0 if head is None else head.size
        if head is not None and (head.size, head.root) != checkpoint_of(TREE[:size])[1:3]:
            bad.append(f"{state.after}: another tree")
        if size < owed:
            bad.append(f"{state.after}: {size} and not {owed}")
    return bad


def test_no_loss_of_power_makes_a_witness_forget(tmp_path: Path) -> None:
    """It starts in every state, on the head it last let out or a later one."""
    assert _forgetful(tmp_path, FakeEffects) == []


@pytest.mark.parametrize("mutant", [_NoFileSync, _NoDirectorySync])
def test_a_sync_that_is_left_out_is_found_out(tmp_path: Path, mutant: type[FakeEffects]) -> None:
    """Then some state has forgotten, or does not start."""
    assert _forgetful(tmp_path, mutant) != []
