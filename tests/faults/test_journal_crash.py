"""Loss of power: whatever the disk kept, the journal gives what it acknowledged, and no more."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from affidavit.durable import AppendFile, Disk
from affidavit.errors import CannotRecordError
from affidavit.record import journal_reader
from affidavit.record.journal import JournalWriter
from tests.world.crash_states import acknowledged, crash_states, materialise
from tests.world.fakedisk import FakeEffects, Fault, named
from tests.world.journals import Script, names, open_writer, read


class Verdict(NamedTuple):
    """How many states there were, and those in which a promise was broken, with the reason."""

    states: int
    broken: list[str]


def _run(
    root: Path, effects: FakeEffects, script: Callable[[Script, Disk], object] | None = None
) -> tuple[Script, list[tuple[int, str]]]:
    promises: list[tuple[int, str]] = []
    story = Script(lambda what: promises.append((len(effects.trace), what)))
    if script is None:
        asyncio.run(story.run(root, Disk(effects)))
    else:
        script(story, Disk(effects))
    return story, promises


def _judge(
    effects: FakeEffects, story: Script, promises: list[tuple[int, str]], scratch: Path
) -> Verdict:
    states = crash_states(effects)
    broken = []
    for number, state in enumerate(states):
        place = scratch / str(number)
        materialise(state, place)
        found = [names(read(directory)[0]) for directory in sorted(place.iterdir())]
        got = found[0] if found else []
        if got != story.tried[: len(got)]:
            broken.append(f"state {number}: not a prefix of what was written")
        elif missing := [one for one in acknowledged(promises, state) if one not in got]:
            broken.append(f"state {number}: {len(missing)} acknowledged and lost")
    return Verdict(len(states), broken)


def _lose_power(tmp_path: Path, effects_type: type[FakeEffects] = FakeEffects) -> Verdict:
    root = tmp_path / "journal"
    root.mkdir()
    effects = effects_type(root)
    story, promises = _run(root, effects)
    return _judge(effects, story, promises, tmp_path / "states")


def test_every_state_after_power_loss_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """At any point, with any unsynced writes and entries lost: a prefix, with all promises."""
    verdict = _lose_power(tmp_path)
    print(f"{verdict.states} states")
    assert verdict.states > 200
    assert verdict.broken == []


class _NoDataSync(FakeEffects):
    def fdatasync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDirectorySync(FakeEffects):
    def fsync_dir(self, path: str) -> None:
        """Does not sync, and does not say so."""


@pytest.mark.parametrize("mutant", [_NoDataSync, _NoDirectorySync])
def test_a_disk_that_does_not_sync_is_found_out(tmp_path: Path, mutant: type[FakeEffects]) -> None:
    """Without fdatasync, or without the sync of directories, promises break in some state."""
    assert _lose_power(tmp_path, mutant).broken != []


def test_acknowledging_before_the_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that answers when the frame is written, not when it is synced, breaks promises."""
    honest = JournalWriter._record

    def hasty(self: JournalWriter, *arguments: object) -> object:
        n, durable = honest(self, *arguments)  # type: ignore[arg-type]  # passed on as they are
        if not durable.done():
            self._waiters.remove(durable)
            self._waiters.append(asyncio.get_running_loop().create_future())
            durable.set_result(None)
        return n, durable

    monkeypatch.setattr(JournalWriter, "_record", hasty)
    assert _lose_power(tmp_path).broken != []


def test_forgetting_the_segment_that_was_left_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that syncs the newest segment alone loses the end of the one before."""
    honest = JournalWriter._leave

    def forgetful(self: JournalWriter, segment: object) -> None:
        honest(self, segment)  # type: ignore[arg-type]  # passed on as it is
        self._left.pop().close()

    monkeypatch.setattr(JournalWriter, "_leave", forgetful)
    assert _lose_power(tmp_path).broken != []


def test_a_reader_that_does_not_count_frames_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that goes to the next segment when it is there, whatever is missing, skips."""
    honest = journal_reader.JournalReader._frames_that_count

    def hasty(self: journal_reader.JournalReader) -> int | None:
        return None if honest(self) is None else 0

    def read_to_end(
        self: journal_reader.JournalReader, segment: object, limit: object, *rest: object
    ) -> int:
        del limit
        return original(self, segment, None, *rest)  # type: ignore[arg-type]  # passed on

    original = journal_reader.JournalReader._read
    monkeypatch.setattr(journal_reader.JournalReader, "_frames_that_count", hasty)
    monkeypatch.setattr(journal_reader.JournalReader, "_read", read_to_end)
    assert _lose_power(tmp_path).broken != []


async def _sync_fails(story: Script, disk: Disk, root: Path) -> None:
    writer = open_writer(root, disk)
    await story.commit(writer)
    for _ in range(3):
        with contextlib.suppress(CannotRecordError):  # the promises are what is looked at
            await story.commit(writer)
    writer.abandon()


@pytest.mark.parametrize("retries", [False, True])
def test_after_a_failed_sync_nothing_more_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retries: bool
) -> None:
    """A kernel that drops pages at a failed sync hurts only a writer that tries the sync again."""
    if retries:
        monkeypatch.setattr(AppendFile, "sync", lambda self: self._effects.fdatasync(self._fd))
        monkeypatch.setattr(JournalWriter, "_fail", JournalWriter._refuse)
    root = tmp_path / "journal"
    root.mkdir()
    fault = Fault(named("fdatasync", skip=1))
    effects = FakeEffects(root, fault)
    story, promises = _run(
        root, effects, lambda story, disk: asyncio.run(_sync_fails(story, disk, root))
    )
    assert fault.fired == 1
    verdict = _judge(effects, story, promises, tmp_path / "states")
    assert bool(verdict.broken) == retries
    assert len(promises) == (3 if retries else 1)
