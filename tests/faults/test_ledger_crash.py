"""Loss of power: whatever the disk kept, the ledger is sound, whole and of one history."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.durable import Disk
from affidavit.ledger import note
from affidavit.ledger.log import Log
from affidavit.ledger.staging import Staging
from affidavit.ledger.state import LedgerState
from tests.faults.ledger_story import Kept, Story, judge, small
from tests.world.crash_states import acknowledged, crash_states, materialise
from tests.world.fakedisk import FakeEffects


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


EVERY = 5
"""In the quick tier every fifth state is judged, the others in the slow one."""


class Told:
    """A story told once, with all states that a crash could have left."""

    def __init__(
        self,
        directory: Path,
        effects_type: type[FakeEffects] = FakeEffects,
        *,
        short: bool = True,
    ) -> None:
        root = directory / "data"
        root.mkdir()
        effects = effects_type(root)
        self._promises: list[tuple[int, str]] = []
        self._story = Story(
            lambda what: self._promises.append((len(effects.trace), what)), short=short
        )
        self._story.run(root, Disk(effects))
        self._place = directory / "state"
        self.states = crash_states(effects)

    def broken(self, first: int, every: int) -> Iterator[str]:
        """What is wrong in each state that breaks a promise, of every n-th from the first on."""
        for number in range(first, len(self.states), every):
            state = self.states[number]
            materialise(state, self._place)
            wrong = judge(self._place, acknowledged(self._promises, state), self._story.tried)
            shutil.rmtree(self._place)
            if wrong:
                yield f"state {number} of {len(self.states)}: {wrong}"

    def notices(self) -> bool:
        """Whether any state is broken; looks everywhere, widely spread at first."""
        spread = 37
        return any(True for first in range(spread) for _ in self.broken(first, spread))


def test_states_after_power_loss_are_sound_ledgers(tmp_path: Path) -> None:
    """At any point of the short story, with any unsynced writes and entries lost."""
    told = Told(tmp_path)
    print(f"{len(told.states)} states, every {EVERY}th judged")
    assert list(told.broken(0, EVERY)) == []
    assert len(told.states) > 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_state_of_the_whole_story_is_a_sound_ledger(tmp_path: Path) -> None:
    """Two sequencers, rotation of the staging file, the end of a writer and of the ledger."""
    told = Told(tmp_path, short=False)
    print(f"{len(told.states)} states")
    assert list(told.broken(0, 1)) == []
    assert len(told.states) > 2000


class _NoDataSync(FakeEffects):
    def fdatasync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDirectorySync(FakeEffects):
    def fsync_dir(self, path: str) -> None:
        """Does not sync, and does not say so."""


class _NoTileSync(FakeEffects):
    def fsync(self, fd: int) -> None:
        """Syncs everything but tiles and bundles."""
        if "tile/" not in self._fds[fd][1]:
            super().fsync(fd)


@pytest.mark.parametrize(
    "mutant",
    [
        _NoDataSync,
        pytest.param(_NoDirectorySync, marks=pytest.mark.slow),
        pytest.param(_NoTileSync, marks=pytest.mark.slow),
    ],
)
def test_a_missing_sync_is_noticed(tmp_path: Path, mutant: type[FakeEffects]) -> None:
    """The suite has teeth: without these calls some state breaks a promise."""
    assert Told(tmp_path, mutant).notices()


def _checkpoint_first(patch: pytest.MonkeyPatch) -> None:
    publish = Log._publish

    def early(self: Log) -> None:
        if self._publisher.behind(self.size):
            checkpoint = note.Checkpoint(self.origin, self.size, self.root)
            data = note.sign_checkpoint(checkpoint, self.keys.signers())
            self._disk.write_file(self._root / "checkpoint", data)
        publish(self)

    patch.setattr(Log, "_publish", early)


def _nothing_staged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Staging, "append", lambda *_: None)


def _staging_replaced_early(patch: pytest.MonkeyPatch) -> None:
    append = Staging.append

    def eager(self: Staging, first: int, entries: list[bytes], links: list[bytes]) -> None:
        append(self, first, entries, links)
        old, self._file = self._file, self._create(first + len(entries))
        old.close()
        self._disk.remove(old.path)

    patch.setattr(Staging, "append", eager)


def _state_one_commit_late(patch: pytest.MonkeyPatch) -> None:
    swap = LedgerState.swap

    def late(self: Kept, *args: Any) -> None:
        self.keep()
        swap(self, *args)

    patch.setattr(Kept, "swap", late)


def _partial_tiles_removed_early(patch: pytest.MonkeyPatch) -> None:
    publish = Log._publish

    def eager(self: Log) -> None:
        self._publisher._clean(self.published, self.size)
        publish(self)

    patch.setattr(Log, "_publish", eager)


def _checkpoint_in_place(patch: pytest.MonkeyPatch) -> None:
    whole = Disk.write_file

    def in_place(self: Disk, path: Path, data: bytes, mode: int = 0o600) -> None:
        if path.name != "checkpoint" or not path.exists():
            whole(self, path, data, mode)
            return
        fd = self.effects.open(str(path), os.O_WRONLY | os.O_TRUNC, mode)
        self.effects.pwrite(fd, data, 0)
        self.effects.fsync(fd)
        self.effects.close(fd)

    patch.setattr(Disk, "write_file", in_place)


_SLOWER = (
    *(_checkpoint_first, _nothing_staged, _staging_replaced_early, _partial_tiles_removed_early),
    _checkpoint_in_place,
)
MUTANTS = [
    _state_one_commit_late,
    *(pytest.param(mutant, marks=pytest.mark.slow) for mutant in _SLOWER),
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_order_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Each step of a commit stands where it stands because some state breaks a promise else."""
    mutant(monkeypatch)
    assert Told(tmp_path).notices()
