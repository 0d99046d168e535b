"""Calls that fail, persisted or not: the ledger stops, and opening it again tells the truth."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from affidavit.durable import Disk
from affidavit.errors import AffidavitError, LockedError, UnavailableError
from affidavit.ledger import fsck
from affidavit.ledger.state import Committed, LedgerState
from tests.faults.ledger_story import Story, judge, small
from tests.world.fakedisk import FakeEffects, Fault, at
from tests.world.ledger import World, Writer, signer


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


@pytest.mark.parametrize(
    ("error", "persisted"),
    [
        pytest.param(errno.EIO, False, id="EIO"),
        pytest.param(errno.EIO, True, id="EIO-persisted"),
        pytest.param(errno.ENOSPC, False, id="ENOSPC", marks=pytest.mark.slow),
        pytest.param(0, False, id="death", marks=pytest.mark.slow),
        pytest.param(0, True, id="death-persisted", marks=pytest.mark.slow),
    ],
)
def test_whichever_effect_fails_no_promise_is_broken(
    tmp_path: Path, error: int, persisted: bool
) -> None:
    """Step by step: fsck is green at once, and the next start has all that was acknowledged.

    A record whose commit failed is there once or not at all.
    """
    step, wrong = 0, []
    while True:
        directory = tmp_path / str(step)
        directory.mkdir()
        fault = Fault(at(step), error, persisted=persisted)
        effects = FakeEffects(directory, fault)
        promises: list[str] = []
        story = Story(promises.append, short=True)
        try:
            story.run(directory, Disk(effects))
        except (OSError, AffidavitError):
            assert fault.fired
        except BaseException:
            if not effects.dead:
                raise
        if not fault.fired:
            break
        if story.log is not None:
            _let_go(story, effects)
        found = judge(directory, promises, story.tried)
        if found:
            wrong.append(f"step {step} {effects.trace[-1]}: {found}")
        step += 1
    assert wrong == []
    assert step > 150


def _let_go(story: Story, effects: FakeEffects) -> None:
    """Close what the failed sequencer holds, as the end of its process would."""
    assert story.log is not None
    effects.faults.clear()
    effects.dead = False
    story.log._failed = True
    story.log.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_crash_in_the_middle_of_recovery_is_recovered_from(tmp_path: Path) -> None:
    """Death at every ninth step of the story, then at every step of the start that follows."""
    wrong, pairs = [], 0
    for first in range(10, 200, 9):
        second, fired = 0, True
        while fired:
            directory = tmp_path / f"{first}-{second}"
            directory.mkdir()
            promises: list[str] = []
            story = Story(promises.append, short=True)
            _die(directory, story, first)
            again = Story(promises.append, short=True)
            fired = _die(directory, again, second)
            found = judge(directory, promises, story.tried + again.tried)
            wrong += [f"death at {first} and {second}: {found}"] if found else []
            pairs += 1
            second += 1 if second < 40 else 40
            if second > 120:
                break
    print(f"{pairs} pairs")
    assert wrong == []
    assert pairs > 400


def _die(directory: Path, story: Story, step: int) -> bool:
    fault = Fault(at(step), 0)
    effects = FakeEffects(directory, fault)
    try:
        story.run(directory, Disk(effects))
    except BaseException:
        if not effects.dead:
            raise
    if story.log is not None:
        _let_go(story, effects)
    return bool(fault.fired)


def _fail(kind: str) -> Callable[..., None]:
    swap = LedgerState.swap

    def failing(self: LedgerState, *args: Any) -> None:
        if kind == "persisted":
            swap(self, *args)
        raise UnavailableError("state.db did not take the commit: injected.")

    return failing


@pytest.mark.parametrize("kind", ["not-persisted", "persisted"])
def test_a_commit_that_state_db_did_not_confirm_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The batch was staged, so it is kept; the writer sees by its counter that it is in."""
    world = World(tmp_path)
    world.open()
    writer = Writer()
    world.put(writer.exchange())
    batch = writer.exchange()
    with monkeypatch.context() as patch:
        patch.setattr(LedgerState, "swap", _fail(kind))
        with pytest.raises(UnavailableError, match="injected"):
            world.put(batch)
    with pytest.raises(UnavailableError, match="a commit failed"):
        world.log.prepare([])
    report = fsck.check(world.root, signer().verifier())
    assert report.ok, report.first
    world.drop()
    world.open()
    assert world.log.next_src(writer.name) == 4
    world.put(writer.exchange())
    world.log.close()
    reader = world.reader()
    ids = [reader.decoded(index).id for index in range(world.log.published)]
    assert [ids.count(one.record.id) for one in batch] == [1, 1]
    world.shut()


def test_a_full_state_db_is_a_failed_commit(tmp_path: Path) -> None:
    """SQLITE_FULL: refused with its sentence; when space is back, nothing is lost."""
    world = World(tmp_path)
    world.open()
    assert world.connection is not None
    pages = world.connection.pragma("page_count")
    world.connection.pragma("max_page_count", pages)
    with pytest.raises(UnavailableError, match=r"state\.db did not take the commit"):
        _go_on_for_ever(world)
    size = world.log.size
    world.drop()
    world.open()
    assert world.log.size >= size
    world.log.close()
    assert fsck.check(world.root, signer().verifier()).ok
    world.shut()


def _go_on_for_ever(world: World) -> None:
    while True:
        world.put(Writer().exchange())


def _two_sequencers(directory: Path) -> str:
    """A sequencer that lost its lock without knowing it goes on beside a second one.

    Returns what came of the first one's commits: ``""`` if they were refused.
    """
    first, second = World(directory), World(directory)
    first.open()
    first.put(Writer().exchange())
    first.log._exit.pop_all()
    (first.root / "lock").unlink()
    plan = first.log.prepare(Writer().exchange())
    second.open()
    second.put(Writer().exchange())
    found = ""
    try:
        first.log.commit(plan)
        found = "the first sequencer's commit was accepted"
    except LockedError:
        pass
    try:
        second.put(Writer().exchange())
        second.log.publish()
        report = fsck.check(second.root, signer().verifier())
        found = found or report.first
    except AffidavitError as error:
        found = found or error.message
    for world in (first, second):
        world.drop()
    return found


def test_of_two_sequencers_the_newer_goes_on(tmp_path: Path) -> None:
    """The older one's next commit is refused, and what it staged is nobody's."""
    assert _two_sequencers(tmp_path) == ""


def test_without_compare_and_swap_two_sequencers_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: whatever state.db says is overwritten."""
    swap = LedgerState.swap

    def overwrite(self: LedgerState, before: Committed, *args: Any) -> None:
        found = self.committed()
        assert found is not None
        swap(self, found, *args)

    monkeypatch.setattr(LedgerState, "swap", overwrite)
    assert _two_sequencers(tmp_path)


def test_without_fencing_two_sequencers_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: opening does not raise the fencing epoch, and both have the same size."""
    take_over = LedgerState.take_over

    def lenient(self: LedgerState, before: Committed | None, empty: Committed) -> Committed:
        return before or take_over(self, before, empty)

    monkeypatch.setattr(LedgerState, "take_over", lenient)
    with pytest.raises((AssertionError, AffidavitError, OSError, apsw.Error)):
        assert _two_sequencers(tmp_path) == ""
