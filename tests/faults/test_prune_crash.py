"""Loss of power and errors while a log is pruned: nothing that is owed is lost, and it goes on."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.ledger import fsck, prune, tiles
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import minimum_of
from tests.faults import pruning_story
from tests.faults.pruning_story import Life, Truth, compare_files, lived
from tests.world.crash_states import acknowledged, crash_states, materialise
from tests.world.fakedisk import FakeEffects, Fault, at

Promise = Callable[[str], None]
Prunes = Callable[[Disk, Path, int, Promise], None]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    pruning_story.small(monkeypatch)


class Before:
    """A log with one of everything, and the truth about it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        life = Life(directory)
        most = lived(life)
        self.stages = (most // 2 // tiles.WIDTH * tiles.WIDTH, most)
        self.truth = Truth(life.world)
        self.vkeys = life.world.vkeys()
        self.root = life.world.root
        life.world.drop()

    def judge(self, root: Path, promises: list[str]) -> str:
        """What is wrong with a log that was left while it was pruned, and then with the rest."""
        try:
            report = fsck.check(root, self.vkeys)
            if not report.ok:
                return f"fsck: {report.first}"
            before, unfinished = minimum_of(root), prune.meant(root)
            owed = [promise.split() for promise in promises]
            if any(before < int(n) for what, n in owed if what == "pruned"):
                return f"the minimum fell back to {before}"
            if any(max(before, unfinished or 0) < int(n) for what, n in owed if what == "meant"):
                return "what was meant, and may be on record, is forgotten"
            if unfinished is not None and unfinished > before:
                before = unfinished
                in_order(Disk(), root, before, lambda _: None)
            list(prune.remove(Disk(), root))
            if before:
                compare_files(LogReader(root, self.vkeys), self.truth, before)
            after = fsck.check(root, self.vkeys)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return f"{type(error).__name__}: {error}"
        return "" if after.ok else f"fsck after: {after.first}"


def in_order(disk: Disk, root: Path, before: int, promise: Promise) -> None:
    """All steps as they should be."""
    prune.prepare(disk, root, before, lambda *_: None)
    prune.mean(disk, root, before)
    promise(f"meant {before}")
    prune.commit(disk, root, before)
    promise(f"pruned {before}")
    list(prune.remove(disk, root))


def removed_first(disk: Disk, root: Path, before: int, promise: Promise) -> None:
    """A mutant: files go before it is committed that they may."""
    prune.prepare(disk, root, before, lambda *_: None)
    Disk().write_file(root / "minimum", b"%d\n" % before)  # nobody sees it: not traced
    list(prune.remove(disk, root))
    prune.commit(disk, root, before)
    promise(f"pruned {before}")


def kept_last(disk: Disk, root: Path, before: int, promise: Promise) -> None:
    """A mutant: what stays is written after it is said that the rest may go."""
    prune.commit(disk, root, before)
    (root / "minimum").unlink()
    prune.prepare(disk, root, before, lambda *_: None)
    prune.commit(Disk(), root, before)
    promise(f"pruned {before}")


class Told:
    """Two prunings told once, with all states that a crash could have left."""

    def __init__(
        self,
        directory: Path,
        prunes: Prunes = in_order,
        effects_type: type[FakeEffects] = FakeEffects,
    ) -> None:
        self.log = Before(directory / "before")
        self._place = directory / "state"
        live = directory / "live"
        shutil.copytree(self.log.root, live)
        effects = effects_type(live)
        self._promises: list[tuple[int, str]] = []
        for stage in self.log.stages:
            prunes(
                Disk(effects),
                live,
                stage,
                lambda what: self._promises.append((len(effects.trace), what)),
            )
        self.states = crash_states(effects)

    def broken(self, first: int, every: int) -> Iterator[str]:
        """What is wrong in each state that breaks a promise, of every n-th from the first on."""
        for number in range(first, len(self.states), every):
            state = self.states[number]
            materialise(state, self._place)
            wrong = self.log.judge(self._place, acknowledged(self._promises, state))
            shutil.rmtree(self._place)
            if wrong:
                yield f"state {number} of {len(self.states)}: {wrong}"

    def notices(self) -> bool:
        """Whether any state is broken; looks everywhere, widely spread at first."""
        spread = 23
        return any(True for first in range(spread) for _ in self.broken(first, spread))


def test_no_loss_of_power_takes_more_than_was_meant(tmp_path: Path) -> None:
    """In every state the log passes, proves what it owes, and what was meant is finished."""
    told = Told(tmp_path)
    assert list(told.broken(0, 1)) == []
    assert len(told.states) > 80


class _NoFileSync(FakeEffects):
    def fsync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDirectorySync(FakeEffects):
    def fsync_dir(self, path: str) -> None:
        """Does not sync, and does not say so."""


@pytest.mark.parametrize(
    "mutant",
    [
        removed_first,
        kept_last,
        _NoDirectorySync,
        pytest.param(_NoFileSync, marks=pytest.mark.slow),
    ],
)
def test_these_states_have_teeth(tmp_path: Path, mutant: object) -> None:
    """Steps in another order, or a disk that forgets, are noticed."""
    if isinstance(mutant, type):
        assert issubclass(mutant, FakeEffects)
        assert Told(tmp_path, effects_type=mutant).notices()
    else:
        assert callable(mutant)
        assert Told(tmp_path, mutant).notices()


def _fails(log: Before, live: Path, fault: Fault) -> bool:
    """Whether a pruning fails by a fault; what is left is sound, and goes on to the end."""
    shutil.copytree(log.root, live)
    effects = FakeEffects(live, fault)
    failed = False
    try:
        for stage in log.stages:
            in_order(Disk(effects), live, stage, lambda _: None)
    except OSError:
        failed = True
        wrong = log.judge(live, [])
        assert not wrong, wrong
        for stage in log.stages:
            if stage > minimum_of(live):
                in_order(Disk(), live, stage, lambda _: None)
    compare_files(LogReader(live, log.vkeys), log.truth, log.stages[-1])
    shutil.rmtree(live)
    return failed


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_at_any_step_costs_a_second_attempt(tmp_path: Path, every: int) -> None:
    """The disk fails once, at each of its calls in turn, before it does its work or after it."""
    log = Before(tmp_path / "before")
    number, failed = 0, 0
    while True:
        faults = [Fault(at(number), persisted=persisted) for persisted in (False, True)]
        failed += sum(_fails(log, tmp_path / "live", fault) for fault in faults)
        if not faults[0].fired:
            break
        number += every
    assert failed > 100 // every


def _attempts(log: Before, live: Path, draw: random.Random) -> list[object]:
    """A few prunings, to any index, each of which fails or not, with or without a start between."""
    shutil.copytree(log.root, live)
    told: list[object] = []
    for _ in range(5):
        least = minimum_of(live)
        if least >= log.stages[-1]:
            break
        choice = range(least // tiles.WIDTH + 1, log.stages[-1] // tiles.WIDTH + 1)
        before, call = draw.choice(choice) * tiles.WIDTH, draw.randrange(120)
        told.append((before, call))
        try:
            fault = Fault(at(call), persisted=draw.random() < 0.5)
            in_order(Disk(FakeEffects(live, fault)), live, before, lambda _: None)
        except OSError:
            if draw.random() < 0.4:
                told.append("start")
                list(prune.remove(Disk(), live))
    return told


@pytest.mark.parametrize("lives", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_attempts_one_after_another_lose_nothing(tmp_path: Path, lives: int) -> None:
    """Whatever they left for each other: what is owed is there, and the last one is finished."""
    log, live = Before(tmp_path / "before"), tmp_path / "live"
    for seed in range(lives):
        told = _attempts(log, live, random.Random(seed))
        wrong = log.judge(live, [])
        assert not wrong, (seed, told, wrong)
        shutil.rmtree(live)
