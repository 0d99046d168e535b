"""What the vault holds, counted: by bucket, with what erasure took and what a hold keeps."""

from collections.abc import Collection
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import NotFoundError
from affidavit.record.model import SECTIONS
from affidavit.vault import stocktaking, wraps
from affidavit.vault.segments import (
    Bucket,
    Segment,
    SegmentWriter,
    segment_path,
    segments_in,
    wraps_path,
)
from affidavit.vault.stocktaking import Stock, Stocktaking

BUCKET = Bucket("acme", "default", "2026-01-01")
TAKEN = bytes(32) + (1).to_bytes(8, "big")
CONTENT = SECTIONS.index("content")


class Keys:
    """Which bucket keys there are, and which were destroyed."""

    def __init__(self) -> None:
        self.names: dict[int, Bucket] = {}
        self.destroyed: set[int] = set()
        self.never: set[int] = set()

    def bucket_of(self, number: int) -> tuple[str, str, str] | None:
        """As the keyring."""
        return self.names.get(number)

    def bucket_secret(self, number: int) -> bytes:
        """As the keyring."""
        if number in self.destroyed:
            raise NotFoundError("destroyed", destroyed="then")
        if number in self.never or not number:
            raise NotFoundError("never")
        return b"k"

    def hold_secret(self, number: int) -> bytes:
        """As the keyring."""
        return self.bucket_secret(-number)


def entry(index: int, *, content: bool = True, taken: Collection[str] = ()) -> bytes:
    """A record with the section ``what`` and, if so, content and a part."""
    names = [(2, "what")] + ([(CONTENT, "content"), (wraps.PART, "body")] if content else [])
    blobs = tuple(
        wraps.Blob(kind, name, 10, TAKEN if name in taken else b"\1" * 40) for kind, name in names
    )
    return wraps.pack(wraps.Entry(index, 8, f"{index:036d}", (), blobs))


def write(root: Path, bucket: Bucket, number: int, entries: list[bytes], first: int = 0) -> Path:
    """A segment of a bucket, closed."""
    writer = SegmentWriter(Disk(), bucket.directory(root), first, number)
    writer.append([b"x" * 10], entries)
    for file in writer.files():
        file.sync()
    writer.close()
    return segment_path(bucket.directory(root), first)


def test_buckets_are_those_of_the_directories(tmp_path: Path) -> None:
    """Tenants and classes by any name; those of long ones are known by the number of their key."""
    keys = Keys()
    long = Bucket("ü" * 200, "default", "2026-01-02")
    found = [
        Bucket("", "default", "2026-01-01"),
        Bucket("A b/%", "c.d", "2026-01-01"),
        BUCKET,
        long,
    ]
    for number, bucket in enumerate(found, 1):
        keys.names[number] = bucket
        write(tmp_path, bucket, number, [entry(0)])
    for name in ("notes", "2026-13-01", "20260101", "2026-1-001"):
        (tmp_path / "acme" / "default" / name).mkdir()
    assert list(Stocktaking(tmp_path, keys).buckets()) == sorted(found)


def test_a_file_that_an_erasure_takes_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look which files there are and the look into one; the next one tells the name."""
    keys, long = Keys(), Bucket("ü" * 200, "default", "2026-01-02")
    keys.names[1] = long
    write(tmp_path, long, 1, [entry(7)], first=7)

    def before(directory: Path) -> list[Segment]:
        return [Segment(0, segment_path(directory, 0)), *segments_in(directory)]

    monkeypatch.setattr(stocktaking, "segments_in", before)
    assert list(Stocktaking(tmp_path, keys).buckets()) == [long]


def test_records_are_counted_by_what_is_left_of_them(tmp_path: Path) -> None:
    """Content alone, or any section; a record without content has nothing of the first to go."""
    entries = [
        entry(0), entry(1, content=False), entry(2, taken=["content", "body"]),
        entry(3, taken=["content"]), entry(4, taken=["what", "content", "body"]),
    ]  # fmt: skip
    segment = write(tmp_path, BUCKET, 1, entries)
    stocks = Stocktaking(tmp_path, Keys())
    size = segment.stat().st_size + wraps_path(segment).stat().st_size
    assert stocks.stock(BUCKET, "content") == Stock(5, size, 2)
    assert stocks.stock(BUCKET, "sections") == Stock(5, size, 4)
    assert stocks.stock(BUCKET, "sections", frozenset({0, 1, 4, 99})) == Stock(5, size, 4, 2)


def test_what_changes_is_counted_again(tmp_path: Path) -> None:
    """More records, and a file that erasure replaced by another one."""
    segment = write(tmp_path, BUCKET, 1, [entry(0)])
    stocks = Stocktaking(tmp_path, Keys())
    assert stocks.stock(BUCKET, "content").left == 1
    write(tmp_path, BUCKET, 1, [entry(7)], first=7)
    assert stocks.stock(BUCKET, "content").left == 2
    Disk().write_file(wraps_path(segment), wraps.header(2) + entry(0, taken=["content", "body"]))
    assert stocks.stock(BUCKET, "content").left == 1


@pytest.mark.parametrize("at", [40, -1])
def test_a_damaged_entry_hides_none(at: int, tmp_path: Path) -> None:
    """Whatever byte of it: what is over its maximum there is met, and told, and not passed over."""
    segment = write(tmp_path, BUCKET, 1, [entry(0), entry(1), entry(2)])
    first = len(entry(0))
    with wraps_path(segment).open("r+b") as file:
        file.seek(wraps.HEADER_BYTES + (first if at < 0 else 0) + at)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 255]))
    stocks = Stocktaking(tmp_path, Keys())
    assert stocks.stock(BUCKET, "sections").left == 3
    assert stocks.leaves(BUCKET, "sections") == [0, 1, 2]


def test_what_is_being_written_is_not_counted(tmp_path: Path) -> None:
    """The last entry, cut."""
    segment = write(tmp_path, BUCKET, 1, [entry(0), entry(1)])
    with wraps_path(segment).open("r+b") as file:
        file.truncate(wraps_path(segment).stat().st_size - 1)
    assert Stocktaking(tmp_path, Keys()).stock(BUCKET, "content").records == 1


def test_without_its_key_a_file_holds_what_a_hold_keeps(tmp_path: Path) -> None:
    """That is neither gone nor to be taken away."""
    keys = Keys()
    segment = write(tmp_path, BUCKET, 1, [entry(0), entry(1), entry(2)])
    stocks = Stocktaking(tmp_path, keys)
    hold = segment.with_name(f"{segment.stem}.9.hold")
    hold.write_bytes(
        b"AFHOLDS1" + (9).to_bytes(8, "big") + entry(1) + entry(2, taken=["content", "body"])
    )
    assert stocks.stock(BUCKET, "content")[2:4] == (3, 1)
    assert stocks.stock(BUCKET, "sections")[2:4] == (3, 2)
    keys.destroyed.add(1)
    assert stocks.stock(BUCKET, "content")[2:4] == (1, 1)
    keys.destroyed.add(-9)
    assert stocks.stock(BUCKET, "content")[2:4] == (0, 0)
    hold.unlink()
    assert stocks.stock(BUCKET, "content")[2:4] == (0, 0)


@pytest.mark.parametrize("gone", ["wraps", "everything"])
def test_what_is_not_there_holds_nothing(tmp_path: Path, gone: str) -> None:
    """Also if it went a moment ago."""
    segment = write(tmp_path, BUCKET, 1, [entry(0)])
    stocks = Stocktaking(tmp_path, Keys())
    assert stocks.stock(BUCKET, "content").left == 1
    wraps_path(segment).unlink()
    if gone == "everything":
        segment.unlink()
        segment.parent.rmdir()
    assert stocks.stock(BUCKET, "content") == Stock(0, 0, 0)


def flipped(path: Path, place: int) -> None:
    """One bit of a file is another one."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


HEADER = wraps.HEADER_BYTES
LONG = len(entry(0))


@pytest.mark.parametrize(
    ("place", "left"),
    [
        pytest.param(HEADER + 100, 3, id="first entry"),
        pytest.param(HEADER + 3, 0, id="its length"),
        pytest.param(HEADER, 0, id="its length, by far"),
        pytest.param(HEADER + LONG + 100, 3, id="an entry among others"),
        pytest.param(HEADER + 2 * LONG + 100, 2, id="last entry"),
        pytest.param(0, 0, id="its beginning"),
    ],
)
def test_a_damaged_file_is_not_taken_for_empty(tmp_path: Path, place: int, left: int) -> None:
    """Whichever entry of it is damaged; once its key is destroyed, nothing of it is left."""
    segment = write(tmp_path, BUCKET, 1, [entry(0), entry(1), entry(2)])
    keys = Keys()
    stocks = Stocktaking(tmp_path, keys)
    assert stocks.stock(BUCKET, "content").damaged == 0
    flipped(wraps_path(segment), place)
    for _ in range(2):  # and when it is remembered
        found = stocks.stock(BUCKET, "content")
        assert (found.left, found.damaged) == (left, 1)
    assert stocks.stock(BUCKET, "content", frozenset({1}))[2:] == (left, int(left > 1), 1)
    keys.destroyed.add(1)
    assert stocks.stock(BUCKET, "content").damaged == int(place == 0)


def test_an_only_entry_that_is_damaged_is_no_empty_file(tmp_path: Path) -> None:
    """Nor is a file of a key that never was."""
    stocks = Stocktaking(tmp_path, keys := Keys())
    segment = write(tmp_path, BUCKET, 1, [entry(0)])
    flipped(wraps_path(segment), HEADER + 100)
    assert stocks.stock(BUCKET, "content")[2:] == (0, 0, 1)
    flipped(wraps_path(segment), HEADER + 100)
    assert stocks.stock(BUCKET, "content")[2:] == (1, 0, 0)
    keys.never = {1}
    assert stocks.stock(BUCKET, "content")[2:] == (0, 0, 1)


@pytest.mark.parametrize("whole", [0, 2])
def test_what_a_crash_left_unfinished_is_no_damage(tmp_path: Path, whole: int) -> None:
    """Cut at any byte, and also if zeros stand from there to the end."""
    before = b"".join(entry(index) for index in range(whole))
    segment = write(tmp_path, BUCKET, 1, [before] if before else [entry(9)])
    stocks, last = Stocktaking(tmp_path, Keys()), entry(whole)
    for cut in range(len(last)):
        for zeros in (0, len(last) - cut, 4096 + len(last) - cut):
            if zeros and len(last) - cut < 8:  # of so few zeros it is not known what they are
                continue
            body = wraps.header(1) + before + last[:cut] + bytes(zeros)
            wraps_path(segment).write_bytes(body)
            assert stocks.stock(BUCKET, "content").damaged == 0, (cut, zeros)
    for short in range(HEADER):
        wraps_path(segment).write_bytes(wraps.header(1)[:short])
        assert stocks.stock(BUCKET, "content")[2:] == (0, 0, 0)
