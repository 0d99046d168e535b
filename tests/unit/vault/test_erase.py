"""Erasure: what goes is gone from every file, what stays is read as before, ever again."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.durable import Disk, Effects
from affidavit.errors import CorruptError, UsageError
from affidavit.vault import key_ends, wraps
from affidavit.vault.check import VaultCheck
from affidavit.vault.entries import Stored
from affidavit.vault.erased import Erased
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import Bucket
from tests.world.canary import find
from tests.world.erasing import Erasable

_DAY = Bucket("acme", "default", "2026-11-23")


def lived(base: Path) -> Erasable:
    """A vault of six records in two segments of one day, and two of another day."""
    made = Erasable(base)
    made.put([b"one", b"two", b"three"], subjects=("sub_1",))
    made.restart()
    made.put([b"four", b"five"], subjects=("sub_1", "sub_2"))
    made.put([b"six"])
    made.put([b"seven", b"eight"], day="2026-11-24", subjects=("sub_2",))
    assert made.wrong() == []
    return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Erasable]:
    """That vault, closed in the end."""
    made = lived(tmp_path)
    yield made
    made.close()


def test_a_record_goes_and_its_neighbours_stay(world: Erasable) -> None:
    """Of two segments of a bucket; asked again it is the same answer, and nothing more goes."""
    erased = world.erase(_DAY, {1, 3})
    assert world.wrong() == []
    assert (list(erased.indexes), erased.records, erased.sections, erased.parts) == (
        [1, 3],
        2,
        14,
        4,
    )
    assert erased.bytes > 2000
    assert world.erase(_DAY, {1, 3}) == erased
    assert world.wrong() == []
    world.eraser.settle(erased)
    assert world.erase(_DAY, {1, 3}).records == 0
    assert world.wrong() == []


def test_content_goes_and_the_other_sections_stay(world: Erasable) -> None:
    """Content section and parts of one record, then of the whole bucket."""
    erased = world.erase(_DAY, {0}, "content")
    assert (erased.sections, erased.parts) == (1, 2)
    assert world.wrong() == []
    erased = world.expire(_DAY, "content")
    assert (erased.records, erased.sections, erased.parts) == (5, 5, 10)
    assert world.wrong() == []
    assert world.reader.sections(0)["who"]["tenant"] == "acme"


def test_an_expired_bucket_leaves_no_file(world: Erasable) -> None:
    """Segments and wraps are removed, and the reason says since when."""
    erased = world.expire(_DAY)
    assert (list(erased.indexes), erased.blobs) == ([0, 1, 2, 3, 4, 5], 6 * 9)
    assert world.wrong() == []
    assert list(_DAY.directory(world.root).iterdir()) == []
    assert world.reader.parts(6)["request.body"] == b"seven"


def test_what_is_spared_of_a_bucket_stays(world: Erasable) -> None:
    """Without any hold: it is wrapped under another key."""
    world.expire(_DAY, "sections", {2, 5})
    assert world.wrong() == []
    assert world.expire(_DAY, "sections", {5}).records == 5
    assert world.wrong() == []


def test_a_person_goes_from_all_days(world: Erasable) -> None:
    """What is of two people goes with either; other sections, other people and no one's stay."""
    erased = world.forget("acme", "sub_2")
    assert (list(erased.indexes), erased.sections, erased.parts) == ([3, 4, 6, 7], 8, 8)
    assert erased.subject_keys == 1
    assert world.wrong() == []
    ends = key_ends.subject_ends(world.keyring, ("acme", "sub_2", "default"))
    assert all(end.destroyed for end in ends.values())
    assert world.reader.missing(6)["person"].startswith("It was erased at 20")
    assert world.forget("acme", "sub_2") == erased
    assert world.forget("acme", "nobody").records == 0


def test_who_comes_back_gets_another_key(world: Erasable) -> None:
    """Records after an erasure are read, and erased by the next one."""
    world.forget("acme", "sub_2")
    world.put([b"again"], day="2026-11-24", subjects=("sub_2",))
    assert world.wrong() == []
    assert list(world.forget("acme", "sub_2").indexes) == [3, 4, 6, 7, 8]
    assert world.wrong() == []


def test_what_is_spared_of_a_person_stays(world: Erasable) -> None:
    """Under another key of the person, which goes with the next erasure."""
    world.forget("acme", "sub_2", spare={4, 6})
    assert world.wrong() == []
    world.forget("acme", "sub_2", spare={6})
    assert world.wrong() == []
    world.forget("acme", "sub_2")
    assert world.wrong() == []


def test_held_records_survive_all_of_it(world: Erasable) -> None:
    """Record, person and bucket are erased; release takes away what only the hold kept."""
    world.hold("matter", {1, 4, 7})
    world.hold("other", {4})
    assert world.eraser.hold("matter", {1, 99}).missing == (99,)
    erased = world.erase(_DAY, {0, 1})
    assert (list(erased.indexes), list(erased.held)) == ([0], [1])
    assert world.wrong() == []
    assert list(world.forget("acme", "sub_2").held) == [4, 7]
    assert world.wrong() == []
    assert list(world.expire(_DAY).held) == [1, 4]
    assert world.wrong() == []
    world.vault.retire_tenant("acme")
    assert world.eraser.people("acme").subject_keys > 0, "and their names are in what is held"
    assert world.wrong() == []
    world.restart()
    assert world.wrong() == []
    erased = world.release("matter")
    assert (list(erased.indexes), erased.sections, erased.parts) == ([1, 7], 7 + 2, 4)
    assert world.wrong() == []
    assert list(world.release("other").indexes) == [4]
    assert world.wrong() == []
    assert list(_DAY.directory(world.root).iterdir()) == []
    with pytest.raises(UsageError, match="was released at"):
        world.eraser.hold("matter", {6})


def test_a_hold_takes_over_what_only_another_one_keeps(world: Erasable) -> None:
    """Placed after an erasure, it has the keys from the hold that was there before."""
    world.hold("first", {2, 4})
    world.hold("first", {1})
    world.erase(_DAY, {1, 2})
    world.forget("acme", "sub_2")
    world.hold("second", {0, 1, 2, 4})
    assert world.release("first").records == 0
    assert world.wrong() == []
    assert list(world.release("second").indexes) == [1, 2, 4]
    assert world.wrong() == []


def test_a_damaged_hold_is_found_before_it_is_needed(world: Erasable) -> None:
    """Any byte of its file, or its end, while the records' own keys still open everything."""
    world.hold("matter", {1, 2})
    path = next(world.root.rglob("*.hold"))
    whole = path.read_bytes()
    for at in (3, 15, 20, 60, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        assert "hold" in world.checked(), at
    path.write_bytes(whole[:-1])
    assert "a hold's file is damaged at byte" in world.checked()
    path.write_bytes(whole)
    assert world.wrong() == []


def test_what_is_written_to_is_not_touched(world: Erasable) -> None:
    """Without the writer's leave nothing goes, of a bucket or a person."""
    with pytest.raises(UsageError, match="not retired"):
        world.eraser.expire(_DAY, "sections")
    with pytest.raises(UsageError, match="not retired"):
        world.eraser.records(_DAY, {5}, "content")
    with pytest.raises(UsageError, match="not retired"):
        world.eraser.subject("acme", "sub_2", ["default"], {3, 4, 6, 7})
    assert world.wrong() == []


def test_a_key_made_meanwhile_is_one_in_use(
    world: Erasable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer comes to the bucket again just after it was looked which keys are retired."""
    today = _DAY._replace(day="2026-11-24")
    world.vault.retire([today])
    true = key_ends.bucket_ends

    def ends(keyring: Keyring, bucket: Bucket) -> dict[int, key_ends.End]:
        found = true(keyring, bucket)
        if len(world.records) == 8:
            world.put([b"later"], day=today.day)
        return found

    monkeypatch.setattr(key_ends, "bucket_ends", ends)
    world.eraser.records(today, {6}, "sections")
    world.expects_erased(today, {6}, "sections")
    with pytest.raises(UsageError, match="not retired"):
        world.eraser.expire(today, "sections")
    assert world.wrong() == []


def test_a_file_that_its_writer_just_begins_is_passed_over(world: Erasable) -> None:
    """Empty, or with half a header: there are no records in it yet."""
    today = _DAY._replace(day="2026-11-24")
    for number, data in ((8, b""), (9, b"AFWRAPS1\0\0")):
        (today.directory(world.root) / f"{number:020d}.seg").write_bytes(b"")
        (today.directory(world.root) / f"{number:020d}.wraps").write_bytes(data)
    world.hold("matter", {7, 6})
    world.forget("acme", "sub_2")
    world.erase(today, {7})
    world.expire(today)
    world.release("matter")
    assert world.eraser.hold("other", {8, 9, 10}).missing == (8, 9, 10)
    for path in today.directory(world.root).iterdir():
        assert path.stat().st_size < wraps.HEADER_BYTES
        path.unlink()
    assert world.wrong() == []


@pytest.mark.parametrize("index", [0, 4])
def test_who_reads_meanwhile_hears_of_no_damage(
    world: Erasable, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """The bucket expires between a look at the keys and one at what they seal; a segment stays."""
    world.hold("matter", {3})
    true, began = VaultReader._keys, list[Erased]()

    def keys(self: VaultReader, *rest: Any) -> Any:
        found = true(self, *rest)
        if not began:
            began.append(world.expire(_DAY))
        return found

    monkeypatch.setattr(VaultReader, "_keys", keys)
    assert world.reader.parts(index) == {}
    assert began
    assert world.wrong() == []


@pytest.mark.parametrize("index", [1, 4])
def test_who_checks_meanwhile_finds_no_damage(
    world: Erasable, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """The same between two records of a segment, whose keys are remembered from the first."""
    world.hold("matter", {3})
    true, began = VaultCheck._sealed, list[Erased]()

    def sealed(self: VaultCheck, stored: Stored, entry: wraps.Entry) -> bytes:
        if stored.position == index and not began:
            began.append(world.expire(_DAY))
        return true(self, stored, entry)

    monkeypatch.setattr(VaultCheck, "_sealed", sealed)
    assert world.checked(counted=False) == ""
    assert began
    assert world.wrong() == []


def test_the_writer_goes_on_in_new_segments(world: Erasable) -> None:
    """After a bucket was retired, records of the same day come under another key."""
    today = _DAY._replace(day="2026-11-24")
    world.vault.retire([today])
    world.put([b"later"], day=today.day)
    world.expects_expired(today, "sections", {8})
    with pytest.raises(UsageError, match="not retired"):
        world.eraser.expire(today, "sections")
    world.eraser.expire(today, "sections", {8})
    assert world.wrong() == []


def test_a_key_that_never_was_is_damage(world: Erasable) -> None:
    """A file of wraps that names one is refused before anything goes."""
    world.vault.retire([_DAY])
    path = min(_DAY.directory(world.root).glob("*.wraps"))
    path.write_bytes(wraps.header(77) + path.read_bytes()[wraps.HEADER_BYTES :])
    with pytest.raises(CorruptError, match="under a key that never was"):
        world.eraser.expire(_DAY, "sections")
    assert world.reader.parts(5)["request.body"] == b"six"


def test_a_canary_is_nowhere(world: Erasable) -> None:
    """What a person said, in no form in any file of vault and keys, before and after erasure."""
    said = "canary-7f3c9a-of-the-person"
    world.put([said.encode() * 50], day="2026-11-24", subjects=("sub_9",))
    assert find([said, "ann@example.com"], [world.base]) == []
    world.forget("acme", "sub_9")
    assert world.wrong() == []
    assert find([said, "ann@example.com", "sub_9"], [world.base]) == []
    assert (world.base / "keys.db-wal").stat().st_size == 0


def test_what_the_disk_does_not_let_go_is_told(
    world: Erasable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments that may not be changed: the keys are gone, and how many bytes stay is said."""

    def refuses(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Effects, "unlink", refuses)
    monkeypatch.setattr(Disk, "overwrite", refuses)
    size = sum(path.stat().st_size for path in _DAY.directory(world.root).glob("*.seg"))
    assert world.expire(_DAY).locked == size
    erased = world.forget("acme", "sub_2")
    assert erased.locked > 1000
    assert world.reader.parts(0) == world.reader.parts(6) == {}
    monkeypatch.undo()
    assert world.expire(_DAY).locked == world.forget("acme", "sub_2").locked == 0
    assert world.wrong() == []


@pytest.mark.parametrize("place", [wraps.HEADER_BYTES + 30, wraps.HEADER_BYTES + 2, -20])
def test_damage_is_no_reason_to_let_go_what_is_behind_it(world: Erasable, place: int) -> None:
    """An erasure of some records refuses a damaged file of wraps; what a crash cut off is kept.

    Damage of an entry, of its length, of the last one.
    """
    world.vault.retire([_DAY])
    path = min(_DAY.directory(world.root).glob("*.wraps"))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptError, match="damaged at byte"):
        world.eraser.records(_DAY, {1}, "sections")
    path.write_bytes(whole + b"\0\0\1\0cut off")
    world.erase(_DAY, {1})
    assert path.read_bytes().endswith(b"\0\0\1\0cut off")
    assert world.wrong() == []
