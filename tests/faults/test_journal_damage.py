"""Journals that were cut, flipped, swapped or made up: a true prefix is read, or nothing."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.record import journal_format as form
from affidavit.record.journal import destroy_segment
from affidavit.record.journal_reader import START, JournalReader, Position
from affidavit.record.model import Frame, Opened, Piece
from tests.world.journals import (
    AT,
    MONDAY,
    ended,
    names,
    numbers,
    open_key,
    open_writer,
    read,
    record,
)

SMALL = 1200


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small journal: one segment with a piece, a record and the end, then zeros."""
    root = tmp_path_factory.mktemp("journal")

    async def write() -> Path:
        writer = open_writer(root, Disk(), segment_bytes=SMALL)
        writer.piece("r", b"piece")
        await writer.commit(record(), (b"{}",))
        await writer.close(ended())
        return root / writer.incarnation

    return asyncio.run(write())


@pytest.fixture(scope="module")
def long_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several segments."""
    root = tmp_path_factory.mktemp("long")

    async def write() -> Path:
        writer = open_writer(root, Disk(), segment_bytes=SMALL)
        for _ in range(6):
            await writer.commit(record(), (b"{}",))
        await writer.close(ended())
        return root / writer.incarnation

    return asyncio.run(write())


def _ends(directory: Path) -> list[int]:
    """The offset behind each whole frame of the first segment."""
    reader = JournalReader(directory, open_key)
    ends = [position.offset for position, _ in reader.poll()]
    reader.close()
    return ends


def _segment(directory: Path) -> Path:
    return directory / form.segment_name(0)


@pytest.fixture
def copy(journal: Path, tmp_path: Path) -> Path:
    """The small journal, to be damaged."""
    return Path(shutil.copytree(journal, tmp_path / journal.name))


def test_cut_at_every_byte_the_whole_frames_before_are_read(journal: Path, copy: Path) -> None:
    """The file ends early: exactly the frames in front of the cut; the tail is torn or clean."""
    whole, _ = read(journal)
    ends = _ends(journal)
    raw = _segment(journal).read_bytes()
    for cut in range(len(raw)):
        _segment(copy).write_bytes(raw[:cut])
        frames, reader = read(copy)
        expected = sum(1 for end in ends if end <= cut)
        assert frames == whole[:expected]
        if cut == 0 or (cut >= form.HEADER_BYTES and _nothing_begun(ends, raw, cut, expected)):
            assert reader.tail_state == "clean"
        else:
            assert reader.tail_state == ("unreadable" if cut < form.HEADER_BYTES else "torn")


def _nothing_begun(ends: list[int], raw: bytes, cut: int, frames: int) -> bool:
    """Whether nothing but zeros stands between the last whole frame and the cut."""
    return not raw[[form.HEADER_BYTES, *ends][frames] : cut].strip(b"\0")


def test_cut_at_every_byte_and_filled_with_zeros(journal: Path, copy: Path) -> None:
    """What a preallocated file looks like when its last write was lost or torn: the same prefix."""
    whole, _ = read(journal)
    ends = _ends(journal)
    raw = _segment(journal).read_bytes()
    for cut in range(ends[-1]):
        _segment(copy).write_bytes(raw[:cut].ljust(len(raw), b"\0"))
        frames, reader = read(copy)
        # What is cut off may have been zeros anyway: then the cut has hurt nothing.
        expected = sum(1 for end in ends if not raw[cut:end].strip(b"\0"))
        assert frames == whole[:expected]
        begun = not raw[cut : form.HEADER_BYTES].strip(b"\0")
        clean = begun and _nothing_begun(ends, raw, cut, expected)
        assert (reader.tail_state == "clean") == (clean or cut == 0)


def test_each_byte_flipped_gives_a_prefix_and_is_noticed(journal: Path, copy: Path) -> None:
    """Any changed byte stops the reader in front of it, and the tail is never called clean."""
    whole, _ = read(journal)
    ends = _ends(journal)
    raw = _segment(journal).read_bytes()
    for position in range(ends[-1]):
        for bit in (0x01, 0x80):
            bad = bytearray(raw)
            bad[position] ^= bit
            _segment(copy).write_bytes(bad)
            frames, reader = read(copy)
            assert frames == whole[: sum(1 for end in ends if end <= position)]
            assert reader.tail_state != "clean"


def test_a_reader_that_trusts_what_the_crc_refuses_mistakes_torn_for_forged(
    journal: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check has teeth: without the CRC, a torn frame is no longer told from a false one."""
    raw = _segment(journal).read_bytes()
    cut = _ends(journal)[-1] - 5
    _segment(copy).write_bytes(raw[:cut].ljust(len(raw), b"\0"))
    assert read(copy)[1].tail_state == "torn"
    monkeypatch.setattr(form, "is_whole", lambda *_: True)
    assert read(copy)[1].tail_state == "unreadable"


def test_a_forged_frame_with_a_right_crc_does_not_open(journal: Path, copy: Path) -> None:
    """Whoever can write to the disk can make a CRC, but not a frame: AES-GCM refuses it."""
    ends = _ends(journal)
    raw = bytearray(_segment(journal).read_bytes())
    sealed = b"forged" * 10
    crc = form._crc(0, len(ends), sealed)
    raw[ends[-1] : ends[-1] + 68] = form.PREFIX.pack(len(sealed), crc) + sealed
    _segment(copy).write_bytes(raw)
    frames, reader = read(copy)
    assert frames == read(journal)[0]
    assert reader.tail_state == "unreadable"
    assert "does not open" in reader.reason


@given(st.binary(max_size=400), st.integers(0, SMALL))
def test_garbage_never_raises(journal: Path, garbage: bytes, offset: int) -> None:
    """Whatever bytes stand wherever: a prefix of the truth comes out, and no error."""
    raw = _segment(journal).read_bytes()
    place = journal.parent / "garbage" / journal.name
    place.mkdir(parents=True, exist_ok=True)
    _segment(place).write_bytes(raw[:offset] + garbage + raw[offset + len(garbage) :])
    whole, _ = read(journal)
    frames, reader = read(place)
    assert frames == whole[: len(frames)]
    assert reader.tail_state in {"clean", "torn", "unreadable"}
    reader.skip()


@pytest.mark.parametrize("position", [Position(0, 3, 7), Position(0, 0, 10**9), Position(9, 0, 0)])
def test_a_position_that_is_nowhere_gives_nothing(journal: Path, position: Position) -> None:
    """A kept position that does not fit the files finds no frame and raises nothing."""
    frames, reader = read(journal, position)
    assert frames == []
    assert reader.tail_state in {"clean", "torn"}
    assert not reader.skip()


def test_segments_of_another_journal_or_place_are_refused(
    journal: Path, long_journal: Path, tmp_path: Path
) -> None:
    """A segment renamed, or put into another writer's directory, is not read."""
    moved = Path(shutil.copytree(long_journal, tmp_path / "a" / long_journal.name))
    shutil.copy(moved / form.segment_name(1), moved / form.segment_name(0))
    frames, reader = read(moved)
    assert frames == []
    assert "another journal" in reader.reason
    foreign = Path(shutil.copytree(journal, tmp_path / "b" / long_journal.name))
    frames, reader = read(foreign)
    assert (frames, reader.tail_state) == ([], "unreadable")


def test_a_missing_segment_is_named(long_journal: Path, tmp_path: Path) -> None:
    """A hole in the row of segments is damage, not an end."""
    copy = Path(shutil.copytree(long_journal, tmp_path / long_journal.name))
    (copy / form.segment_name(1)).unlink()
    frames, reader = read(copy)
    assert numbers(frames) == numbers(read(long_journal)[0])[: len(numbers(frames))]
    assert (reader.tail_state, reader.position.segment) == ("unreadable", 0)
    assert reader.reason == "segment 2 has begun, but no header says where segment 0 ends"
    frames, reader = read(copy, Position(1, 0, 0))
    assert (frames, reader.tail_state) == ([], "unreadable")
    assert "segment 1 is missing" in reader.reason


def test_a_segment_whose_end_was_lost_is_told_by_the_next_ones_header(
    long_journal: Path, tmp_path: Path
) -> None:
    """Zeros at the end of a segment look clean, but the next header counts the frames."""
    copy = Path(shutil.copytree(long_journal, tmp_path / long_journal.name))
    ends = _ends(long_journal)
    ends = ends[: next((n for n in range(1, len(ends)) if ends[n] < ends[n - 1]), len(ends))]
    raw = _segment(copy).read_bytes()
    _segment(copy).write_bytes(raw[: ends[-2]].ljust(len(raw), b"\0"))
    frames, reader = read(copy)
    assert len(frames) == len(ends) - 1
    assert reader.tail_state == "unreadable"
    assert reader.reason == f"segment 0 ends after {len(ends) - 1} of {len(ends)} frames"


def test_damage_can_be_stepped_over_frame_by_frame(long_journal: Path, tmp_path: Path) -> None:
    """After the damage is noted, ``skip`` goes to the next whole frame, else the next segment."""
    copy = Path(shutil.copytree(long_journal, tmp_path / long_journal.name))
    whole = numbers(read(long_journal)[0])
    raw = bytearray(_segment(copy).read_bytes())
    raw[_ends(copy)[0] + 20] ^= 1  # in the first record
    _segment(copy).write_bytes(raw)
    frames, reader = read(copy)
    assert (numbers(frames), reader.tail_state) == ([], "unreadable")
    assert reader.skip()
    rest = []
    while found := reader.poll():
        rest += [frame for _, frame in found]
    assert numbers(rest) == whole[1:]
    assert reader.tail_state == "clean"
    reader.close()

    raw[_ends(long_journal)[0]] ^= 1  # its length too: nothing in this segment can be found
    _segment(copy).write_bytes(raw)
    frames, reader = read(copy)
    assert numbers(frames) == []
    assert reader.skip()
    assert reader.position == Position(1, 0, 0)
    reader.close()


def _forge(directory: Path, *frames: Frame) -> None:
    """A segment 0 as the holder of the public key, but not this program, might make it."""
    key = bytes(32)
    header = form.Header(directory.name, 0, 0, MONDAY.day, MONDAY.recipient.wrap(key))
    raw = header.pack()
    for number, frame in enumerate(frames):
        raw += form.seal_frame(AESGCM(key), 0, number, form.encode(frame))
    directory.mkdir()
    _segment(directory).write_bytes(raw)


def test_frames_out_of_their_place_are_refused(journal: Path, tmp_path: Path) -> None:
    """``Opened`` comes first, only there, and names its own segment."""
    opened = Opened(journal.name, 0, "w1", AT)
    cases: list[tuple[list[Frame], int, str]] = [
        ([Piece("r", b"x")], 0, "of another kind"),
        ([opened, opened], 1, "of another kind"),
        ([Opened(journal.name, 1, "w1", AT)], 0, "another segment"),
        ([Opened("A" * 22, 0, "w1", AT)], 0, "another segment"),
    ]
    for number, (frames, good, reason) in enumerate(cases):
        place = tmp_path / str(number)
        place.mkdir()
        _forge(place / journal.name, *frames)
        got, reader = read(place / journal.name)
        assert got == frames[:good]
        assert reader.tail_state == "unreadable"
        assert reason in reader.reason


def test_what_the_disk_does_not_give_is_a_reason(journal: Path, tmp_path: Path) -> None:
    """An error of the operating system while reading is told, not raised; skip finds its way."""
    copy = Path(shutil.copytree(journal, tmp_path / journal.name))
    _segment(copy).unlink()
    _segment(copy).mkdir()
    frames, reader = read(copy)
    assert (frames, reader.tail_state) == ([], "unreadable")
    assert "segment 0 does not read: Is a directory" in reader.reason
    assert not reader.skip()


def test_a_disk_that_fails_after_the_header_was_read(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO later on: no exception from poll, tail_state or skip."""
    reader = JournalReader(journal, open_key)
    assert len(reader.poll()) == 4

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert reader.tail_state == "unreadable"
    assert reader.poll() == []
    assert "Input/output error" in reader.reason
    assert not reader.skip()
    reader.close()


def test_an_unreadable_key_stops_until_it_can_be_read(journal: Path) -> None:
    """An error from ``open_key`` is a reason, not an exception, and the next poll tries again."""
    works = False

    def sometimes(day: str, wrapped: bytes) -> bytes:
        if not works:
            raise UnavailableError(f"The key of {day} is not here.")
        return open_key(day, wrapped)

    reader = JournalReader(journal, sometimes)
    assert reader.poll() == []
    assert (reader.tail_state, reader.position) == ("unreadable", START)
    assert "The key of 2026-11-23 is not here." in reader.reason
    works = True
    assert len(reader.poll()) == 4
    assert (reader.tail_state, reader.reason) == ("clean", "")
    reader.close()


def test_a_destroyed_segment_opens_to_nobody(copy: Path, tmp_path: Path) -> None:
    """The wrapped key is gone from the disk before the name is: a copy in between is worthless."""
    shutil.copytree(copy, tmp_path / "aside" / copy.name, copy_function=_link)
    destroy_segment(Disk(), _segment(copy))
    assert not _segment(copy).exists()
    frames, reader = read(tmp_path / "aside" / copy.name)
    assert (frames, reader.tail_state) == ([], "unreadable")
    destroy_segment(Disk(), _segment(copy))


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def test_a_directory_that_is_empty_or_absent_is_clean(tmp_path: Path) -> None:
    """A writer that is just starting, or one that was removed, is no damage."""
    for directory in (tmp_path, tmp_path / "none"):
        frames, reader = read(directory)
        assert (frames, reader.tail_state, reader.segments()) == ([], "clean", [])
        assert not reader.skip()


def test_names_read_are_those_written(journal: Path) -> None:
    """The undamaged journal is whole: piece, record, end; the writer's name is known."""
    frames, reader = read(journal)
    assert names(frames)[0] == "piece"
    assert numbers(frames) == [0, 1]
    assert (reader.worker, reader.tail_state) == ("w1", "clean")
