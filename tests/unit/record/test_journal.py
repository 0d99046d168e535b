"""The journal's writer when nothing goes wrong: order, durability, segments, days, the end."""

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.durable import Disk, Effects
from affidavit.errors import CannotRecordError, LockedError
from affidavit.record import journal_format as form
from affidavit.record.journal_reader import JournalReader
from affidavit.record.model import Opened, Piece, Record, Written
from tests.world.clock import FakeClock
from tests.world.fakedisk import FakeEffects
from tests.world.journals import (
    TUESDAY,
    Day,
    ended,
    names,
    numbers,
    open_key,
    open_writer,
    read,
    record,
)


def _run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


class _Gate(Effects):
    """Holds each fdatasync, after it has begun, until the test lets it end."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def fdatasync(self, fd: int) -> None:
        self.begun.release()
        assert self.may_end.acquire(timeout=10)
        super().fdatasync(fd)


def test_a_commit_waits_for_a_sync_that_began_after_its_frame(tmp_path: Path) -> None:
    """A record written while a sync runs is not promised by that sync, but by the next one."""

    async def run() -> None:
        gate = _Gate()
        writer = open_writer(tmp_path, Disk(gate))
        first = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.to_thread(gate.begun.acquire)
        second = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.sleep(0)
        gate.may_end.release()
        await first
        await asyncio.to_thread(gate.begun.acquire)
        assert not second.done()
        gate.may_end.release()
        assert await second == 1
        writer.abandon()

    _run(run)


def test_all_who_wait_share_the_next_sync(tmp_path: Path) -> None:
    """Fifty records that come while one sync runs need one more, and no timer."""

    async def run() -> None:
        gate = _Gate()
        writer = open_writer(tmp_path, Disk(gate), segment_bytes=1 << 16)
        first = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.to_thread(gate.begun.acquire)
        others = [asyncio.ensure_future(writer.commit(record(), (b"{}",))) for _ in range(50)]
        await asyncio.sleep(0)
        gate.may_end.release(2)
        assert await asyncio.gather(first, *others) == list(range(51))
        await asyncio.to_thread(gate.begun.acquire)
        assert not gate.begun.acquire(blocking=False)
        writer.abandon()

    _run(run)


@given(
    bodies=st.lists(st.integers(0, 3000), min_size=1, max_size=25),
    pauses=st.lists(st.integers(0, 3), min_size=25, max_size=25),
)
def test_many_writers_at_once(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[int], pauses: list[int]
) -> None:
    """However commits and pieces fall together: in order, each once, synced before the answer."""
    root = tmp_path_factory.mktemp("many")
    effects = FakeEffects(root)
    answered: dict[int, int] = {}

    async def one(number: int, writer: Any) -> None:
        for _ in range(pauses[number]):
            await asyncio.sleep(0)
        writer.piece(f"r{number}", b"piece")
        body = bytes(bodies[number])
        n = await writer.commit(record(body), (body,))
        answered[n] = len(effects.trace)

    async def run() -> None:
        writer = open_writer(root, Disk(effects))
        await asyncio.gather(*(one(number, writer) for number in range(len(bodies))))
        await writer.close(ended())

    asyncio.run(run())
    (directory,) = root.iterdir()
    frames, reader = read(directory)
    assert reader.tail_state == "clean"
    assert numbers(frames) == list(range(len(bodies) + 1))
    assert sorted(answered) == list(range(len(bodies)))
    assert len([frame for frame in frames if isinstance(frame, Piece)]) == len(bodies)
    for n, when in answered.items():
        written, synced = _written_and_synced(effects, frames, n)
        assert written < synced < when


def _written_and_synced(effects: FakeEffects, frames: list[Any], n: int) -> tuple[int, int]:
    """Where in the trace the frame of record n was written, and the first sync of its file."""
    segment, frame = -1, -1
    for one in frames:
        segment, frame = (segment + 1, 0) if isinstance(one, Opened) else (segment, frame + 1)
        if isinstance(one, Written) and one.n == n:
            break
    suffix = form.segment_name(segment)
    steps = [(at, step) for at, step in enumerate(effects.trace) if step.path.endswith(suffix)]
    writes = [at for at, step in steps if step.name == "pwrite"]
    written = writes[frame]  # header and frame 0 are one write, each later frame another
    return written, next(at for at, step in steps if step.name == "fdatasync" and at > written)


def test_what_was_committed_is_read_back_unchanged(tmp_path: Path) -> None:
    """Records with all their fields, and their bodies; ``None`` stays for "the pieces"."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        request, response = record(b"\0\xff"), record(b"", "exchange.response", x=[1, "é"])
        await writer.commit(request, [b"\0\xff"])
        writer.piece(request.id, b"data: 1\n\n")
        await writer.commit(response, [None])
        writer.abandon()
        frames, reader = read(tmp_path / writer.incarnation)
        assert frames == [
            Opened(writer.incarnation, 0, "w1", "2026-11-23T12:00:00.000000Z"),
            Written(0, request, (b"\0\xff",)),
            Piece(request.id, b"data: 1\n\n"),
            Written(1, response, (None,)),
        ]
        assert (reader.worker, reader.tail_state) == ("w1", "clean")

    _run(run)


def test_a_body_of_ten_megabytes_gets_a_segment_that_fits(tmp_path: Path) -> None:
    """A frame larger than a segment is no special case for anybody."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(), segment_bytes=1 << 16)
        big = bytes(10_000_000)
        for body in (b"a", big, b"b", big):
            await writer.commit(record(body), (body,))
        await writer.close(ended())
        frames, _ = read(tmp_path / writer.incarnation)
        written = [frame.bodies for frame in frames if isinstance(frame, Written)]
        assert written == [(b"a",), (big,), (b"b",), (big,), ()]

    _run(run)


def test_another_day_begins_another_segment(tmp_path: Path) -> None:
    """Each segment is sealed for the day its writer was told when it began."""

    async def run() -> None:
        day = Day()
        writer = open_writer(tmp_path, Disk(), day=day, segment_bytes=1 << 16)
        await writer.commit(record(), (b"{}",))
        day.key = TUESDAY
        await writer.commit(record(), (b"{}",))
        await writer.commit(record(), (b"{}",))
        writer.abandon()
        days = []

        def note(day: str, wrapped: bytes) -> bytes:
            days.append(day)
            return open_key(day, wrapped)

        reader = JournalReader(tmp_path / writer.incarnation, note)
        assert numbers([frame for _, frame in reader.poll()]) == [0, 1, 2]
        assert days == ["2026-11-23", "2026-11-24"]
        assert len(reader.segments()) == 2
        reader.close()

    _run(run)


def test_nothing_of_a_record_is_on_disk_in_the_clear(tmp_path: Path) -> None:
    """Neither content, nor names, nor ids: the gateway can write and not read back."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        canary = b"canary-in-the-body"
        one = record(canary, secret="canary-in-a-section")
        writer.piece(one.id, canary)
        await writer.commit(one, (canary,))
        writer.abandon()
        raw = b"".join(path.read_bytes() for path in (tmp_path / writer.incarnation).iterdir())
        for clear in (b"canary", one.id.encode(), b"exchange.request", b"demo-1"):
            assert clear not in raw
        assert one.sections[2] is not None
        assert one.sections[2].encode() not in raw

    _run(run)


def test_a_caller_that_is_cancelled_hurts_nobody(tmp_path: Path) -> None:
    """Its record stays, and the others who waited for the same sync are answered."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        tasks = [asyncio.ensure_future(writer.commit(record(), (b"{}",))) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[::2] == [0, 2]
        assert isinstance(results[1], asyncio.CancelledError)
        assert await writer.commit(record(), (b"{}",)) == 3
        writer.abandon()
        assert numbers(read(tmp_path / writer.incarnation)[0]) == [0, 1, 2, 3]

    _run(run)


def test_the_last_record_is_the_last(tmp_path: Path) -> None:
    """After ``close`` began nothing else is taken; what waited is answered; the lease is free."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        reader = JournalReader(tmp_path / writer.incarnation, open_key)
        with pytest.raises(LockedError, match="held by w1 pid"):
            reader.lease(Disk(), "sweep").__enter__()
        waiting = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(writer.close(ended()))
        await asyncio.sleep(0)
        with pytest.raises(CannotRecordError, match="closed"):
            writer.piece("r", b"x")
        with pytest.raises(CannotRecordError, match="closed"):
            await writer.commit(record(), (b"{}",))
        await closing
        assert await waiting == 0
        with reader.lease(Disk(), "sweep"):
            frames = [frame for _, frame in reader.poll()]
        reader.close()
        assert isinstance(frames[-1], Written)
        assert frames[-1].record.type == "ledger.ended"
        assert {path.name for path in reader.directory.iterdir()} == {"lease", "00000000.seg"}

    _run(run)


def test_abandoning_answers_those_who_wait(tmp_path: Path) -> None:
    """Nobody hangs: what was not acknowledged is refused."""

    async def run() -> None:
        gate = _Gate()
        writer = open_writer(tmp_path, Disk(gate))
        first = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.to_thread(gate.begun.acquire)
        second = asyncio.ensure_future(writer.commit(record(), (b"{}",)))
        await asyncio.sleep(0)
        gate.may_end.release()
        writer.abandon()
        assert await first == 0
        with pytest.raises(CannotRecordError, match="closed"):
            await second

    _run(run)


def test_a_spare_segment_is_made_while_the_current_one_fills(tmp_path: Path) -> None:
    """Changing segments is then one write: no file is made while a caller waits for it."""
    effects = FakeEffects(tmp_path)

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(effects), segment_bytes=8192)
        while writer._spare is None:
            await writer.commit(record(b"s" * 500), (b"s" * 500,))
        await asyncio.to_thread(writer._spare.result)
        before = len(effects.trace)
        while writer._number == 0:
            await writer.commit(record(b"s" * 500), (b"s" * 500,))
        since = {step.name for step in effects.trace[before:]}
        assert since == {"pwrite", "fdatasync", "close"}
        writer.abandon()

    _run(run)


def test_a_spare_that_is_too_small_is_replaced(tmp_path: Path) -> None:
    """A large frame does not go into a spare made for small ones, and its number is used again."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk(), segment_bytes=2048)
        while writer._spare is None:
            await writer.commit(record(), (b"{}",))
        await asyncio.to_thread(writer._spare.result)
        await writer.commit(record(b"x" * 5000), (b"x" * 5000,))
        await writer.close(ended())
        frames, reader = read(tmp_path / writer.incarnation)
        assert reader.tail_state == "clean"
        assert numbers(frames) == list(range(len(numbers(frames))))
        assert [number for number, _ in reader.segments()] == list(range(reader.position[0] + 1))

    _run(run)


def test_a_record_beyond_all_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame has a largest size; a record above it is a sentence, and the writer goes on."""
    monkeypatch.setattr(form, "MAX_PAYLOAD", 5000)

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        with pytest.raises(CannotRecordError, match="more than a journal takes"):
            await writer.commit(record(b"x" * 6000), (b"x" * 6000,))
        assert await writer.commit(record(), (b"{}",)) == 0
        writer.abandon()

    _run(run)


def test_writers_share_a_root_and_nothing_else(tmp_path: Path) -> None:
    """Two writers have two directories named after 16 random bytes each."""

    async def run() -> None:
        one, other = open_writer(tmp_path, Disk()), open_writer(tmp_path, Disk())
        assert one.incarnation != other.incarnation
        assert {len(one.incarnation), len(other.incarnation)} == {22}
        first: Record = record()
        assert [await one.commit(first, (b"{}",)), await other.commit(record(), (b"{}",))] == [0, 0]
        one.abandon()
        other.abandon()
        assert names(read(tmp_path / one.incarnation)[0]) == [first.id]

    _run(run)


class _NoRoom(Effects):
    """A disk on which nothing comes into being until ``room`` is set."""

    def __init__(self) -> None:
        self.room = False

    def mkdir(self, path: str, mode: int) -> None:
        if not self.room:
            raise OSError(errno.EROFS, "injected")
        super().mkdir(path, mode)


def test_a_late_writer_begins_when_it_can(tmp_path: Path) -> None:
    """Until then it refuses, says why, and leaves nothing; its first record is number 0."""
    effects, clock = _NoRoom(), FakeClock()
    with pytest.raises(CannotRecordError):
        open_writer(tmp_path, Disk(effects), clock=clock)

    refusals: list[CannotRecordError | None] = []

    async def test() -> None:
        writer = open_writer(tmp_path, Disk(effects), clock=clock, late=True, serves=True)
        for _ in range(2):
            with pytest.raises(CannotRecordError) as refused:
                await writer.commit(record(), (b"{}",))
            assert refused.value.detail["cause"] == "read-only"
        effects.room = True
        for _ in range(2):  # the disk is asked once a second
            refusals.append(writer.refusing)
            clock.advance(1.0 * len(refusals) - 1.0)
            writer.retry()
        refusals.append(writer.refusing)
        assert await writer.commit(record(), (b"{}",)) == 0
        await writer.close(ended())

    _run(test)
    assert [refusal is not None for refusal in refusals] == [True, True, False]
    (directory,) = tmp_path.iterdir()
    frames, reader = read(directory)
    assert numbers(frames) == [0, 1]
    assert reader.serves


def test_a_late_writer_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    """It has nothing to end, and says so."""

    async def test() -> None:
        writer = open_writer(tmp_path, Disk(_NoRoom()), late=True)
        with pytest.raises(CannotRecordError):
            await writer.close(ended())

    _run(test)
    assert list(tmp_path.iterdir()) == []
