"""An erasure that ends at any step, by a kill or by loss of power, is finished by asking again.

In between each record is as it was or as it will be, fsck finds nothing, and in the end the answer
is that of an erasure that nothing happened to.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from affidavit.durable import Disk
from affidavit.vault import key_ends
from affidavit.vault.erase import Eraser
from affidavit.vault.erased import Erased, Unsettled
from affidavit.vault.keyring import Change, Keyring
from affidavit.vault.segments import Bucket
from tests.world.crash_states import crash_states, materialise
from tests.world.erasing import Erasable
from tests.world.fakedisk import Crash, FakeEffects

_DAY = Bucket("acme", "default", "2026-11-23")
_VERSION = "version"


class Story(NamedTuple):
    """An erasure: what happened ``before`` it, what it does, and what of the account it changes."""

    before: Callable[[Erasable], object]
    does: Callable[[Eraser], Erased | None]
    expects: Callable[[Erasable], object]


def _retired(world: Erasable) -> None:
    world.vault.retire([_DAY])


def _held(world: Erasable) -> None:
    world.hold("matter", {1, 4, 7})
    world.hold("other", {4})
    world.vault.retire([_DAY])
    world.vault.retire_subject("acme", "sub_2", ["default"])


def _all_but_held(world: Erasable) -> None:
    _held(world)
    world.eraser.settle(world.forget("acme", "sub_2"))
    world.eraser.settle(world.expire(_DAY))


def _held_and_erased(eraser: Eraser) -> Erased:
    eraser.hold("late", {1, 3})
    return eraser.records(_DAY, {1, 2}, "sections")


def _expects_held_and_erased(world: Erasable) -> None:
    world.expects_held("late", {1, 3})
    world.expects_erased(_DAY, {1, 2}, "sections")


STORIES = {
    "records": Story(
        _retired,
        lambda eraser: eraser.records(_DAY, {1, 3}, "sections"),
        lambda world: world.expects_erased(_DAY, {1, 3}, "sections"),
    ),
    "content of a bucket": Story(
        _held,
        lambda eraser: eraser.expire(_DAY, "content"),
        lambda world: world.expects_expired(_DAY, "content"),
    ),
    "a bucket": Story(
        _held,
        lambda eraser: eraser.expire(_DAY, "sections", {2}),
        lambda world: world.expects_expired(_DAY, "sections", {2}),
    ),
    "a whole bucket": Story(
        _retired,
        lambda eraser: eraser.expire(_DAY, "sections"),
        lambda world: world.expects_expired(_DAY, "sections"),
    ),
    "a person": Story(
        _held,
        lambda eraser: eraser.subject("acme", "sub_2", ["default"], {3, 4, 7}),
        lambda world: world.expects_forgotten("acme", "sub_2", ["default"], {6}),
    ),
    "what was just held": Story(
        _retired,
        _held_and_erased,
        _expects_held_and_erased,
    ),
    "a release": Story(
        _all_but_held,
        lambda eraser: eraser.release("matter"),
        lambda world: world.holds.pop("matter"),
    ),
}


class Scene:
    """A vault before an erasure, and the answer when nothing comes between."""

    def __init__(self, directory: Path, story: Story) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.story = story
        self.world = Erasable(directory / "before")
        self.world.put([b"one", b"two", b"three"], subjects=("sub_1",))
        self.world.restart()
        self.world.put([b"four", b"five"], subjects=("sub_1", "sub_2"))
        self.world.put([b"six"])
        self.world.put([b"seven", b"eight"], day="2026-11-24", subjects=("sub_2",))
        story.before(self.world)
        assert self.world.wrong() == []
        self.world.close()
        done = self.world.copy(directory / "done")
        self.answer = story.does(done.eraser)
        story.expects(done)
        assert done.wrong() == []
        done.close()

    def judge(self, base: Path) -> str:
        """What is wrong with a vault that was left at some step, and after asking again."""
        left = self.world.beside(base)
        self.story.expects(left)
        try:
            wrong = left.in_doubt(self.world)
            if wrong:
                return f"in doubt: {wrong}"
            answer = self.story.does(left.eraser)
            if answer != self.answer:
                return f"answered {answer} instead of {self.answer}"
            return "; ".join(left.wrong())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return f"{type(error).__name__}: {error}"
        finally:
            left.close()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[str], None]]:
    """Told before and after each change of ``keys.db``."""
    told: list[Callable[[str], None]] = []
    true = Keyring.changing

    @contextlib.contextmanager
    def changing(self: Keyring) -> Iterator[Change]:
        for one in told:
            one("before")
        with true(self) as change:
            yield change
        for one in told:
            one("after")

    monkeypatch.setattr(Keyring, "changing", changing)
    return told


def _killed(scene: Scene, told: list[Callable[[str], None]], number: int) -> str | None:
    """Kill before that step, files' and keys' steps counted together; ``None`` if there is none."""
    base = scene.directory / "live"
    shutil.copytree(scene.world.base, base)
    effects = FakeEffects(base / "vault")
    count = 0

    def step(_: object) -> None:
        nonlocal count
        if count == number:
            raise Crash(str(number))
        count += 1

    live = scene.world.beside(base, Disk(effects))
    effects.before = step
    told.append(step)
    crashed = False
    try:
        scene.story.does(live.eraser)
    except Crash:
        crashed = True
    told.remove(step)
    live.close()
    wrong = scene.judge(base) if crashed else None
    shutil.rmtree(base)
    return f"killed before step {number}: {wrong}" if wrong else wrong


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_step_is_made_good(
    tmp_path: Path, keys: list[Callable[[str], None]], name: str, every: int
) -> None:
    """Asked again it gives the same answer, and nothing is left of what went."""
    scene = Scene(tmp_path, STORIES[name])
    number = 0
    while (wrong := _killed(scene, keys, number)) is not None:
        assert wrong == ""
        number += every
    assert number > 7


class Told:
    """An erasure told once, with all states that a loss of power could have left.

    What is in ``keys.db`` is durable when a change returns (SQLite sees to that); a small file
    beside the vault's says which version of it belongs to a state.
    """

    def __init__(
        self,
        scene: Scene,
        told: list[Callable[[str], None]],
        effects_type: type[FakeEffects] = FakeEffects,
    ) -> None:
        self.scene = scene
        live = scene.directory / "live"
        shutil.copytree(scene.world.base, live)
        (live / "vault" / _VERSION).write_bytes(b"0")
        effects = effects_type(live / "vault")
        self._versions = [self._keys(live)]

        def changed(when: str) -> None:
            if when == "after":
                Disk(effects).write_file(live / "vault" / _VERSION, b"%d" % len(self._versions))
                self._versions.append(self._keys(live))

        world = scene.world.beside(live, Disk(effects))
        told.append(changed)
        answer = scene.story.does(world.eraser)
        told.remove(changed)
        world.close()
        assert answer == scene.answer
        self.states = crash_states(effects)

    def broken(self, first: int, every: int) -> Iterator[str]:
        """What is wrong in every n-th state from the first on."""
        base = self.scene.directory / "state"
        for number in range(first, len(self.states), every):
            base.mkdir()
            materialise(self.states[number], base / "vault")
            version = int((base / "vault" / _VERSION).read_bytes())
            for path in (base / "vault").glob(f"{_VERSION}*"):
                path.unlink()
            for name, data in self._versions[version].items():
                (base / name).write_bytes(data)
            wrong = self.scene.judge(base)
            shutil.rmtree(base)
            if wrong:
                yield f"state {number} of {len(self.states)}: {wrong}"

    def notices(self) -> bool:
        """Whether any state is broken."""
        return next(self.broken(0, 1), None) is not None

    def _keys(self, live: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in live.glob("keys.db*")}


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("every", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_a_loss_of_power_is_made_good(
    tmp_path: Path, keys: list[Callable[[str], None]], name: str, every: int
) -> None:
    """In every state that it may leave."""
    told = Told(Scene(tmp_path, STORIES[name]), keys)
    assert list(told.broken(0, every)) == []
    assert len(told.states) > 12


class _NoFileSync(FakeEffects):
    def fsync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDirectorySync(FakeEffects):
    def fsync_dir(self, path: str) -> None:
        """Does not sync, and does not say so."""


@pytest.mark.slow
@pytest.mark.parametrize("effects_type", [_NoFileSync, _NoDirectorySync])
def test_a_disk_that_forgets_is_noticed(
    tmp_path: Path, keys: list[Callable[[str], None]], effects_type: type[FakeEffects]
) -> None:
    """The states have teeth."""
    assert Told(Scene(tmp_path, STORIES["records"]), keys, effects_type).notices()


def _without_writing_down(_: Unsettled, __: Erased) -> None:
    """A mutant: what goes is only remembered."""


def _destroyed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: the old keys go as soon as what they sealed is to be wrapped anew."""
    true = Eraser._replace

    def replace(self: Eraser, segment: Path, *rest: object) -> None:
        true(self, segment, *rest)  # type: ignore[arg-type]  # whatever it was called with
        key_ends.destroy_buckets(self._keyring, [1])

    monkeypatch.setattr(Eraser, "_replace", replace)


@pytest.mark.slow
def test_steps_in_another_order_are_noticed(
    tmp_path: Path, keys: list[Callable[[str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not written down is not told after a kill; keys destroyed early take more along."""
    scene = Scene(tmp_path / "one", STORIES["records"])
    with monkeypatch.context() as patch:
        patch.setattr(Unsettled, "write", _without_writing_down)
        assert _noticed(scene, keys)
    with monkeypatch.context() as patch:
        _destroyed_first(patch)
        assert _noticed(scene, keys)
    assert not _noticed(scene, keys)


def _noticed(scene: Scene, told: list[Callable[[str], None]]) -> bool:
    for number in range(100):
        try:
            wrong = _killed(scene, told, number)
        except Exception:  # noqa: BLE001 - a mutant may fail in any way
            shutil.rmtree(scene.directory / "live")
            return True
        if wrong or wrong is None:
            return bool(wrong)
    return False
