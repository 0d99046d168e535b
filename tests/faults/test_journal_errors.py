"""Writes and syncs that fail: refuse, promise nothing false, and go on only where that is safe."""

import asyncio
import contextlib
import errno
import gc
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.durable import AppendFile, Disk
from affidavit.errors import AffidavitError, CannotRecordError
from affidavit.record.journal import RETRY_SECONDS, JournalWriter
from affidavit.record.model import Record
from tests.world.clock import FakeClock
from tests.world.fakedisk import FakeEffects, Fault, at, named
from tests.world.journals import (
    Script,
    ended,
    names,
    numbers,
    open_writer,
    read,
    record,
)
from tests.world.zygote import Report, Zygote

NO_SPACE = errno.ENOSPC


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process that has imported everything."""
    with Zygote(__name__) as process:
        yield process


def _got(root: Path) -> tuple[list[str], list[int]]:
    found = [read(directory)[0] for directory in root.iterdir()]
    frames = found[0] if found else []
    return names(frames), numbers(frames)


def _health(writer: JournalWriter) -> tuple[CannotRecordError | None, CannotRecordError | None]:
    return writer.refusing, writer.failure


async def _insist(root: Path, effects: FakeEffects, kept: list[str]) -> JournalWriter | None:
    """Commit twelve records one by one, whatever fails; one refused is not tried again."""
    clock = FakeClock()
    try:
        writer = open_writer(root, Disk(effects), clock=clock)
    except CannotRecordError:
        return None
    for _ in range(12):
        one = record(b"d" * 200)
        with contextlib.suppress(CannotRecordError):
            await writer.commit(one, (b"d" * 200,))
            kept.append(one.id)
        clock.advance(RETRY_SECONDS)
    writer.abandon()
    return writer


@pytest.mark.parametrize("persisted", [False, True], ids=["not-persisted", "persisted"])
@pytest.mark.parametrize("error", [errno.EIO, NO_SPACE], ids=["EIO", "ENOSPC"])
def test_whichever_effect_fails_no_promise_is_broken(
    tmp_path: Path, error: int, persisted: bool
) -> None:
    """Step by step, each variant: what was acknowledged is there, each n once and without holes.

    A failed fdatasync, and a failed write for any reason but want of room, end the writer; after
    everything else it goes on by itself.
    """
    step = 0
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        fault = Fault(at(step), error, persisted=persisted)
        effects = FakeEffects(root, fault)
        kept: list[str] = []
        writer = asyncio.run(_insist(root, effects, kept))
        if not fault.fired:
            break
        struck = next(one for one in effects.trace if one.error)
        got, order = _got(root)
        assert [one for one in kept if one not in got] == []
        assert order == list(range(len(order)))
        assert len(got) - len(kept) <= 1  # the one that was refused may be there, unacknowledged
        fatal = struck.name == "fdatasync" or (struck.name == "pwrite" and error != NO_SPACE)
        if writer is None:
            assert step < 10  # the directory, the lease or the first segment did not come to be
        elif struck.path.endswith("lease"):
            assert len(kept) == 12  # that the holder's name is missing harms nobody
        else:
            assert (writer.failure is not None) == fatal, str(struck)
            assert len(kept) >= 11 or fatal
        step += 1
    assert step > 30
    assert len(kept) == 12


def test_a_short_write_is_continued(tmp_path: Path) -> None:
    """A kernel that takes three bytes at a time changes nothing."""
    effects = FakeEffects(tmp_path, Fault(named("pwrite", suffix=".seg"), short=3, times=10**6))
    kept: list[str] = []
    asyncio.run(_insist(tmp_path, effects, kept))
    assert len(kept) == 12
    assert _got(tmp_path)[0] == kept


async def _fill(root: Path, effects: FakeEffects) -> None:
    clock = FakeClock()
    writer = open_writer(root, Disk(effects), clock=clock)
    kept: list[str] = []

    async def commit() -> None:
        one = record(b"f" * 400)
        await writer.commit(one, (b"f" * 400,))
        kept.append(one.id)

    await commit()
    effects.full = True
    while writer.refusing is None:  # what is allocated is still used up
        with contextlib.suppress(CannotRecordError):
            await commit()
    assert 2 <= len(kept) < 8
    assert writer.failure is None

    before = effects.count
    for _ in range(50):
        with pytest.raises(CannotRecordError, match="No space left") as caught:
            await commit()
        with pytest.raises(CannotRecordError):
            writer.piece("r", b"p" * 1500)
    assert "disk space" in caught.value.hint
    assert effects.count == before  # refused at once, without asking the disk

    effects.full = False
    with pytest.raises(CannotRecordError):
        await commit()
    clock.advance(RETRY_SECONDS)
    await commit()
    assert _health(writer) == (None, None)
    await writer.close(ended())
    got, order = _got(root)
    assert got[:-1] == kept
    assert order == list(range(len(kept) + 1))


def test_a_full_disk_refuses_at_once_and_recording_resumes_when_there_is_space(
    tmp_path: Path,
) -> None:
    """No restart, no lost record, no hole, and at most one attempt a second at the disk."""
    asyncio.run(_fill(tmp_path, FakeEffects(tmp_path)))


async def _smaller_still_fits(root: Path, effects: FakeEffects) -> None:
    clock = FakeClock()
    writer = open_writer(root, Disk(effects), clock=clock, segment_bytes=8192)
    effects.full = True
    with pytest.raises(CannotRecordError):
        await writer.commit(record(b"b" * 9000), (b"b" * 9000,))
    assert _health(writer)[0] is not None
    one = record()
    await writer.commit(one, (b"{}",))
    assert _health(writer)[0] is not None  # the disk is as full as before
    before = effects.count
    writer.retry()
    assert effects.count == before  # not within a second of the last attempt
    clock.advance(RETRY_SECONDS)
    writer.retry()
    assert effects.count > before
    assert _health(writer)[0] is not None
    effects.full = False
    clock.advance(RETRY_SECONDS)
    writer.retry()
    assert _health(writer) == (None, None)
    two = record()
    await writer.commit(two, (b"{}",))
    writer.abandon()
    writer.retry()
    assert _got(root) == ([one.id, two.id], [0, 1])


def test_on_a_full_disk_what_fits_in_the_segment_is_still_recorded(tmp_path: Path) -> None:
    """A body too large for the segment keeps no smaller record out; red until there is room."""
    asyncio.run(_smaller_still_fits(tmp_path, FakeEffects(tmp_path)))


@pytest.mark.parametrize("blanks", [True, False])
def test_a_refused_frame_that_reached_the_disk_is_blanked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blanks: bool
) -> None:
    """The frame was written whole, then ENOSPC: without blanking, two records would share an n."""
    if not blanks:
        monkeypatch.setattr(AppendFile, "blank", lambda self, count: None)
    skip = named("pwrite", suffix=".seg", skip=2)
    effects = FakeEffects(tmp_path, Fault(skip, NO_SPACE, persisted=True))

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(effects))
        await writer.commit(record(), (b"{}",))
        with pytest.raises(CannotRecordError):
            await writer.commit(record(), (b"{}",))
        assert writer.failure is None
        live = names(read(tmp_path / writer.incarnation)[0])  # before the next segment begins
        assert len(live) == (1 if blanks else 2)
        writer.abandon()

    asyncio.run(run())


def test_a_refused_frame_that_was_not_blanked_ends_the_writer(tmp_path: Path) -> None:
    """If even the blanking fails, nobody knows what a reader sees: the writer has failed."""
    effects = FakeEffects(
        tmp_path,
        Fault(named("pwrite", suffix=".seg", skip=2), NO_SPACE),
        Fault(named("pwrite", suffix=".seg", skip=2)),
    )

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(effects))
        await writer.commit(record(), (b"{}",))
        with pytest.raises(CannotRecordError, match="Input/output"):
            await writer.commit(record(), (b"{}",))
        assert writer.failure is not None
        writer.abandon()

    asyncio.run(run())
    assert [fault.fired for fault in effects.faults] == [1, 1]


def test_a_failed_sync_is_told_to_all_who_wait_and_ends_the_writer(tmp_path: Path) -> None:
    """Every waiting commit is refused, later ones at once, and health has the reason."""
    effects = FakeEffects(tmp_path, Fault(named("fdatasync")))

    async def run() -> list[object]:
        writer = open_writer(tmp_path, Disk(effects))
        waiting = [writer.commit(record(), (b"{}",)) for _ in range(5)]
        results: list[object] = list(await asyncio.gather(*waiting, return_exceptions=True))
        before = effects.count
        with pytest.raises(CannotRecordError, match="Input/output error"):
            await writer.commit(record(), (b"{}",))
        with pytest.raises(CannotRecordError):
            writer.piece("r", b"x")
        assert effects.count == before
        with pytest.raises(CannotRecordError):
            await writer.close(ended())
        assert writer.failure is not None
        assert writer.failure is writer.refusing
        assert "replaced" in writer.failure.hint
        return results

    results = asyncio.run(run())
    assert [type(one) for one in results] == [CannotRecordError] * 5
    assert len({id(one) for one in results}) == 5  # no traceback is shared


def test_commits_that_wait_behind_a_failing_sync_are_refused_too(tmp_path: Path) -> None:
    """A frame written while the sync that fails was running is not promised by a second sync."""
    effects = FakeEffects(tmp_path, Fault(named("fdatasync")))

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(effects))
        first = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert writer._syncing
        second = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(one) for one in results] == [CannotRecordError] * 2
        writer.abandon()

    asyncio.run(run())
    assert effects.calls().count("fdatasync(" + _segment(effects) + ")") <= 1


def _segment(effects: FakeEffects) -> str:
    return next(step.path for step in effects.trace if step.path.endswith(".seg"))


def test_a_read_only_directory_is_a_sentence(tmp_path: Path) -> None:
    """A journal that cannot begin is a CannotRecordError, and leaves no lease held."""
    effects = FakeEffects(tmp_path)
    effects.read_only = True
    with pytest.raises(CannotRecordError, match="Read-only file system"):
        open_writer(tmp_path / "journal", Disk(effects))
    assert effects._fds == {}


def test_a_disk_that_turns_read_only_ends_the_writer(tmp_path: Path) -> None:
    """EROFS in the middle of a segment is final: what the kernel holds is unknown."""
    effects = FakeEffects(tmp_path)

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(effects))
        await writer.commit(record(), (b"{}",))
        effects.read_only = True
        with pytest.raises(CannotRecordError, match="Read-only"):
            await writer.commit(record(), (b"{}",))
        effects.read_only = False
        with pytest.raises(CannotRecordError, match="Read-only"):
            await writer.commit(record(), (b"{}",))
        writer.abandon()

    asyncio.run(run())
    assert len(_got(tmp_path)[0]) == 1


def write_under_a_limit(report: Report, root: str, limit: int) -> None:
    """Commit until the kernel's own file size limit refuses, then lift it and go on."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def run() -> None:
        clock = FakeClock()
        writer = open_writer(Path(root), Disk(), clock=clock, segment_bytes=4096)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for _ in range(30):
            one: Record = record(b"l" * 200)
            try:
                await writer.commit(one, (b"l" * 200,))
            except AffidavitError as error:
                report({"refused": error.message, "final": writer.failure is not None})
                resource.setrlimit(resource.RLIMIT_FSIZE, (-1, resource.RLIM_INFINITY))
                clock.advance(RETRY_SECONDS)
            else:
                report({"kept": one.id})
        writer.abandon()

    asyncio.run(run())


@pytest.mark.parametrize("limit", [2000, 2300, 4095])
def test_the_kernels_own_limit_is_survived(tmp_path: Path, zygote: Zygote, limit: int) -> None:
    """RLIMIT_FSIZE gives real short writes and EFBIG: one refusal, nothing garbled, then on."""
    answer = zygote.run(f"{__name__}:write_under_a_limit", root=str(tmp_path), limit=limit)
    assert (answer.error, answer.status) == ("", 0)
    refused = [one for one in answer.reports if "refused" in one]
    kept = [one["kept"] for one in answer.reports if "kept" in one]
    assert [one["final"] for one in refused] == [False]
    assert "File too large" in refused[0]["refused"]
    got, order = _got(tmp_path)
    assert (got, order) == (kept, list(range(29)))


def test_the_whole_script_survives_lack_of_room_at_each_write(tmp_path: Path) -> None:
    """With pieces, bodies and days: after any refusal the rest goes on and reads as written."""
    step = 0
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        fault = Fault(named("pwrite", suffix=".seg", skip=step), NO_SPACE)
        effects = FakeEffects(root, fault)
        kept: list[str] = []
        story = Script(kept.append, death=True)
        with contextlib.suppress(CannotRecordError):
            asyncio.run(story.run(root, Disk(effects)))
        if not fault.fired:
            break
        got, order = _got(root)
        assert got == [one for one in story.tried if one in got]
        assert [one for one in kept if one not in got] == []
        assert order == list(range(len(order)))
        step += 1
    assert step > 15
    assert len(kept) == 14


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """Changing segments a hundred times, with and without failures, leaks no descriptor."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        for _ in range(100):
            await writer.commit(record(b"x" * 1800), (b"x" * 1800,))
        await writer.close(ended())

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()  # what earlier tests left is not what is counted
    before = descriptors()
    asyncio.run(run())
    assert descriptors() <= before
