"""Loss of power and kills while keys change, notes are cosigned and timestamps kept."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.durable import Disk
from affidavit.errors import AffidavitError
from affidavit.ledger import note, timestamp
from affidavit.ledger.log import Log
from affidavit.ledger.publish import COSIGNED, INTEGRATED, Publisher
from affidavit.ledger.signing import Keys
from affidavit.ledger.state import LedgerState
from tests.faults.anchored_story import Anchored, judge
from tests.faults.ledger_story import small
from tests.world.crash_states import acknowledged, crash_states, materialise
from tests.world.fakedisk import FakeEffects, Fault, at

MODES = [pytest.param(False, id="beside"), pytest.param(True, id="required")]
EVERY = 41
"""The quick tier judges every 41st state of the short story, the slow one a third of the whole."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


class Told:
    """A story told once, with all states that a crash could have left."""

    def __init__(self, directory: Path, *, require: bool, short: bool = False) -> None:
        root = directory / "data"
        root.mkdir()
        effects = FakeEffects(root)
        self._promises: list[tuple[int, str]] = []
        self._story = Anchored(
            lambda what: self._promises.append((len(effects.trace), what)),
            require=require,
            short=short,
        )
        self._story.run(root, Disk(effects))
        self._place = directory / "state"
        self.states = crash_states(effects)

    def broken(self, first: int, every: int) -> Iterator[str]:
        """What is wrong in each state that breaks a promise, of every n-th from the first on."""
        for number in range(first, len(self.states), every):
            state = self.states[number]
            materialise(state, self._place)
            owed = acknowledged(self._promises, state)
            wrong = judge(self._place, owed, self._story.tried, require=self._story.require)
            shutil.rmtree(self._place)
            if wrong:
                yield f"state {number} of {len(self.states)}: {wrong}"

    def notices(self) -> bool:
        """Whether any state is broken; looks everywhere, widely spread at first."""
        spread = 37
        return any(True for first in range(spread) for _ in self.broken(first, spread))


@pytest.mark.parametrize("require", MODES)
def test_states_after_power_loss_are_sound(tmp_path: Path, require: bool) -> None:
    """At any point, with any unsynced writes and entries lost."""
    told = Told(tmp_path, require=require, short=True)
    print(f"{len(told.states)} states, every {EVERY}th judged")
    assert list(told.broken(0, EVERY)) == []
    assert len(told.states) > 800


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("require", MODES)
def test_every_state_after_power_loss_is_sound(tmp_path: Path, require: bool) -> None:
    """Every third of the whole story."""
    told = Told(tmp_path, require=require)
    print(f"{len(told.states)} states, every third judged")
    assert list(told.broken(1, 3)) == []


def _deaths(tmp_path: Path, *, require: bool, every: int, first: int) -> Iterator[str]:
    """Death before every n-th effect; what is wrong afterwards, ``""`` where nothing is."""
    step = first
    while True:
        directory = tmp_path / str(step)
        directory.mkdir()
        fault = Fault(at(step), 0)
        effects = FakeEffects(directory, fault)
        promises: list[str] = []
        story = Anchored(promises.append, require=require)
        try:
            story.run(directory, Disk(effects))
        except BaseException:
            if not effects.dead:
                raise
        if story.log is not None:
            effects.faults.clear()
            effects.dead = False
            story.log._failed = True
            story.log.close()
        if not fault.fired:
            return
        wrong = judge(directory, promises, story.tried, require=require)
        yield f"step {step}: {wrong}" if wrong else ""
        shutil.rmtree(directory)
        step += every


@pytest.mark.parametrize("require", MODES)
def test_killed_at_every_step_it_goes_on(tmp_path: Path, require: bool) -> None:
    """Every 23rd here, all of them in the slow tier."""
    found = list(_deaths(tmp_path, require=require, every=23, first=4))
    assert [one for one in found if one] == []
    assert len(found) > 10


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("require", MODES)
def test_killed_at_each_step_it_goes_on(tmp_path: Path, require: bool) -> None:
    """All of them."""
    found = list(_deaths(tmp_path, require=require, every=1, first=0))
    assert [one for one in found if one] == []
    assert len(found) > 200


def _keys_forgotten(patch: pytest.MonkeyPatch) -> None:
    swap = LedgerState.swap

    def without(self: LedgerState, *args: Any) -> None:
        swap(self, *args[:4])

    patch.setattr(LedgerState, "swap", without)


def _new_key_before_its_record(patch: pytest.MonkeyPatch) -> None:
    rotate = Log.rotate

    def eager(self: Log, *, finish: bool = False) -> None:
        self.keys.adopt(self.keys.change(self.size, finish=finish))
        self._publisher.sign(
            note.Checkpoint(self.origin, self.size, self.root), self.keys.signers()
        )
        if not finish:
            self.keys._signers.pop(1)
            self.keys.terms = self.keys.terms[:1]
        rotate(self, finish=finish)

    patch.setattr(Log, "rotate", eager)


def _old_key_signs_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keys, "signers", lambda self: [self._key(term.number) for term in self.terms])


def _waiting_note_before_its_tiles(patch: pytest.MonkeyPatch) -> None:
    publish = Log._publish

    def early(self: Log) -> None:
        if self._publisher.behind(self.size) and self._publisher.require:
            checkpoint = note.Checkpoint(self.origin, self.size, self.root)
            data = note.sign_checkpoint(checkpoint, self.keys.signers())
            self._disk.write_file(self._root / INTEGRATED, data)
        publish(self)

    patch.setattr(Log, "_publish", early)


def _no_waiting_note(patch: pytest.MonkeyPatch) -> None:
    write = Disk.write_file

    def skipping(self: Disk, path: Path, data: bytes, mode: int = 0o600) -> None:
        if path.name != INTEGRATED or not path.exists():
            write(self, path, data, mode)

    patch.setattr(Disk, "write_file", skipping)


def _cosigned_last(patch: pytest.MonkeyPatch) -> None:
    write = Disk.write_file
    waiting: list[tuple[Path, bytes, int]] = []

    def late(self: Disk, path: Path, data: bytes, mode: int = 0o600) -> None:
        if path.name == COSIGNED:
            waiting.append((path, data, mode))
            return
        write(self, path, data, mode)
        while waiting:
            write(self, *waiting.pop())

    patch.setattr(Disk, "write_file", late)


def _not_made_good(patch: pytest.MonkeyPatch) -> None:
    def resume(self: Publisher, signed: int, published: int) -> None:
        self.signed, self.published = signed, published

    patch.setattr(Publisher, "resume", resume)


def _token_first(patch: pytest.MonkeyPatch) -> None:
    def keep(disk: Disk, root: Path, size: int, data: bytes, answer: bytes) -> None:
        directory = root / timestamp.DIRECTORY
        disk.make_dir(directory)
        disk.write_file(directory / f"{size}.tsr", answer)
        disk.write_file(directory / f"{size}.checkpoint", data[:-1])

    patch.setattr(timestamp, "keep", keep)


MUTANTS = [
    pytest.param(_keys_forgotten, False, id="keys_forgotten"),
    pytest.param(_no_waiting_note, True, id="no_waiting_note"),
    pytest.param(_cosigned_last, True, id="cosigned_last", marks=pytest.mark.slow),
    pytest.param(_old_key_signs_on, False, id="old_key_signs_on", marks=pytest.mark.slow),
    pytest.param(_new_key_before_its_record, False, id="new_key_first", marks=pytest.mark.slow),
    pytest.param(_waiting_note_before_its_tiles, True, id="note_first", marks=pytest.mark.slow),
    pytest.param(_not_made_good, True, id="not_made_good", marks=pytest.mark.slow),
    pytest.param(_token_first, False, id="token_first", marks=pytest.mark.slow),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mutant", "require"), MUTANTS)
def test_a_wrong_order_is_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
    require: bool,
) -> None:
    """Each step stands where it stands because some state breaks a promise else."""
    mutant(monkeypatch)
    try:
        assert Told(tmp_path, require=require).notices()
    except (AffidavitError, OSError) as error:
        print(f"noticed at once: {error}")
