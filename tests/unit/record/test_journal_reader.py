"""Reading a journal while it is written, and going on where one left off."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.record import journal_format as form
from affidavit.record.journal import destroy_segment
from affidavit.record.journal_reader import START, JournalReader, Position
from affidavit.record.model import Frame, Piece
from tests.world.fakedisk import FakeEffects
from tests.world.journals import ended, numbers, open_key, open_writer, read, record


def _all(reader: JournalReader, max_bytes: int = 4 << 20) -> list[tuple[Position, Frame]]:
    found = []
    while more := reader.poll(max_bytes):
        found += more
    return found


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of several segments, ended."""
    root = tmp_path_factory.mktemp("journal")

    async def write() -> Path:
        writer = open_writer(root, Disk())
        for number in range(12):
            writer.piece("r", b"p" * number * 30)
            await writer.commit(record(b"b" * number * 60), (b"b" * number * 60,))
        await writer.close(ended())
        return root / writer.incarnation

    return asyncio.run(write())


def test_a_reader_follows_a_living_writer(tmp_path: Path) -> None:
    """After each commit the reader has it, through changes of segment; nothing comes twice."""

    async def run() -> None:
        writer = open_writer(tmp_path, Disk())
        reader = JournalReader(tmp_path / writer.incarnation, open_key)
        got: list[int] = []
        for number in range(40):
            await writer.commit(record(b"b" * 100), (b"b" * 100,))
            got += numbers([frame for _, frame in _all(reader)])
            assert got == list(range(number + 1))
            assert reader.reason == ""
        writer.piece("r", b"not yet synced, but written")
        assert isinstance(reader.poll()[-1][1], Piece)
        assert reader.position.segment > 3
        writer.abandon()
        reader.close()

    asyncio.run(run())


def test_a_reader_may_be_there_first(tmp_path: Path) -> None:
    """A directory without a segment, and a segment without a header, are "not yet"."""
    reader = JournalReader(tmp_path, open_key)
    assert (reader.poll(), reader.tail_state, reader.position) == ([], "clean", START)
    (tmp_path / form.segment_name(0)).write_bytes(bytes(4096))
    assert (reader.poll(), reader.tail_state, reader.position) == ([], "clean", START)


def test_reading_can_be_resumed_behind_every_frame(journal: Path) -> None:
    """A new reader that starts at a kept position gives exactly the rest."""
    reader = JournalReader(journal, open_key)
    whole = _all(reader)
    reader.close()
    assert len({position.segment for position, _ in whole}) > 3
    for index, (position, _) in enumerate(whole):
        again = JournalReader(journal, open_key, position)
        assert _all(again) == whole[index + 1 :]
        again.close()


@given(st.integers(1, 5000))
def test_a_poll_takes_about_as_much_as_it_was_told(journal: Path, max_bytes: int) -> None:
    """Small polls give the same frames in the same order, at least one each."""
    whole = read(journal)[0]
    reader = JournalReader(journal, open_key)
    first = reader.poll(max_bytes)
    sizes = [position.offset for position, _ in first if position.segment == 0]
    assert len(first) >= 1
    assert len(sizes) < 2 or sizes[-2] - form.HEADER_BYTES < max_bytes
    assert [frame for _, frame in first + _all(reader, max_bytes)] == whole
    reader.close()


def test_more_says_whether_a_poll_was_cut_short(journal: Path) -> None:
    """After a small poll there is more to read at once, after the last one there is not."""
    reader = JournalReader(journal, open_key)
    told = []
    while reader.poll(1):
        told.append(reader.more)
    assert all(told)
    assert not reader.more
    reader.close()


def test_segments_behind_the_position_may_be_destroyed(journal: Path, tmp_path: Path) -> None:
    """The reader keeps its place when what it has read is removed."""
    copy = tmp_path / journal.name
    copy.mkdir()
    for path in journal.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    reader = JournalReader(copy, open_key)
    got = []
    while found := reader.poll(800):
        got += [frame for _, frame in found]
        for number, path in reader.segments():
            if number < reader.position.segment:
                destroy_segment(Disk(), path)
    assert got == read(journal)[0]
    assert [number for number, _ in reader.segments()] == [reader.position.segment]
    assert reader.tail_state == "clean"
    reader.close()


def test_destroying_overwrites_the_wrapped_key_first(journal: Path, tmp_path: Path) -> None:
    """Key, sync, then the name: a power loss in between leaves nothing that opens."""
    path = tmp_path / form.segment_name(0)
    path.write_bytes((journal / form.segment_name(0)).read_bytes())
    effects = FakeEffects(tmp_path)
    destroy_segment(Disk(effects), path)
    assert effects.calls() == [
        f"open({path.name})",
        f"pwrite({path.name})",
        f"fdatasync({path.name})",
        f"unlink({path.name})",
        "fsync_dir(.)",
    ]
    (wiped,) = [step for step in effects.trace if step.name == "pwrite"]
    assert (wiped.offset, wiped.data) == (form.WRAPPED_OFFSET, bytes(80))


def test_only_segments_are_listed(journal: Path) -> None:
    """The lease and other files are none of them."""
    reader = JournalReader(journal, open_key)
    listed = reader.segments()
    assert [number for number, _ in listed] == list(range(len(listed)))
    assert {path.name for _, path in listed} | {"lease"} == {p.name for p in journal.iterdir()}
