"""Holds: the keys of held records, wrapped once more under a key of the hold's own.

Rules: beside each segment with held records stands a file for each hold, laid out as a wraps file
under the number of the hold's key, with the entries of the records it holds. It is replaced whole,
and only records are added to it. What a hold wraps stays readable whatever else is destroyed, until
the hold is released; what it found erased, it does not bring back.

Not here: which records a hold means and who may place or release it; what goes once nothing holds
it (``erase``).
"""

import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from affidavit.durable import Disk
from affidavit.record.keys import wrap_key
from affidavit.vault import key_ends, wraps
from affidavit.vault.directory import Directories
from affidavit.vault.keyring import Key, Keyring
from affidavit.vault.opening import (
    HOLD_MAGIC,
    Wrapping,
    hold_path,
    hold_wrapping,
    part_key,
    wrapping_of,
)
from affidavit.vault.segments import Segment, component, days_in, groups_in, segments_in
from affidavit.vault.whole_files import read_hold, read_wraps

Held = dict[int, frozenset[int]]
"""Leaf index → which blobs of its entry, counted from 0, some hold has the keys of."""


class Placed(NamedTuple):
    """What a hold was placed on: ``records`` and ``blobs`` it has the keys of by this call.

    ``missing``: the leaves that the vault has nothing of, ascending.
    """

    records: int
    blobs: int
    missing: tuple[int, ...]


def held_of(keyring: Keyring, segment: Path, without: int = 0) -> Held:
    """What holds that are not released have of a segment, but for that of one number."""
    found: Held = {}
    for number in key_ends.live_holds(keyring):
        file = None if number == without else read_hold(segment, number)
        for entry in () if file is None else file.entries():
            found[entry.index] = found.get(entry.index, frozenset()) | {
                at for at, blob in enumerate(entry.blobs) if not wraps.is_taken(blob.wrapped)
            }
    return found


def keys_of(keyring: Keyring, segment: Path) -> dict[int, dict[int, bytes]]:
    """The keys that holds have of a segment: leaf index → blob, counted from 0 → its key."""
    found: dict[int, dict[int, bytes]] = {}
    for number in key_ends.live_holds(keyring):
        file, wrapping = read_hold(segment, number), hold_wrapping(keyring, number)
        for entry in () if file is None else file.entries():
            keys = [(at, part_key(wrapping, blob)) for at, blob in enumerate(entry.blobs)]
            opened = {at: key for at, key in keys if isinstance(key, bytes)}
            found.setdefault(entry.index, {}).update(opened)
    return found


class HeldKeys:
    """The keys that holds have of records, one record at a time; calls from threads take turns."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._lock = threading.Lock()
        self._directories = Directories(HOLD_MAGIC)

    def of(self, segment: Path, entry: wraps.Entry) -> dict[int, bytes]:
        """Blob of the entry, counted from 0 → its key, where a hold that is not released has it.

        ``CorruptError`` if a file or a wrap of it is damaged.
        """
        found: dict[int, bytes] = {}
        for number in key_ends.live_holds(self._keyring):
            with self._lock:
                directory = self._directories.get(hold_path(segment, number))
                data = None if directory is None else directory.entry(entry.index)
            if data is None:
                continue
            wrapping, held = hold_wrapping(self._keyring, number), wraps.unpack(data)
            for at, blob in enumerate(held.blobs) if held.id == entry.id else ():
                key = part_key(wrapping, blob)
                if isinstance(key, bytes):
                    found[at] = key
        return found

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._directories.close()


def files_of(root: Path, number: int) -> list[Path]:
    """The segments that the hold of that number has a file beside, in order of their paths."""
    found = root.glob(f"*/*/*/*.{number}.hold")
    return sorted(path.with_name(f"{path.name.partition('.')[0]}.seg") for path in found)


def place(
    disk: Disk,
    root: Path,
    keyring: Keyring,
    name: str,
    indexes: Collection[int],
    tenant: str | None = None,
) -> Placed:
    """Put records under a hold, which is made if there is none of that name; durable on return.

    May be called again for more records. ``tenant``, where known, makes finding them faster.
    ``UsageError`` if a hold of that name was released.
    """
    key = key_ends.hold_key(keyring, name)
    left = set(indexes)
    records = blobs = 0
    for segment, wanted in _places(root, sorted(left), tenant):
        for entry in _add(disk, keyring, key, segment, wanted):
            left.discard(entry.index)
            there = sum(not wraps.is_taken(blob.wrapped) for blob in entry.blobs)
            records, blobs = records + bool(there), blobs + there
    return Placed(records, blobs, tuple(sorted(left)))


def _places(
    root: Path, indexes: Sequence[int], tenant: str | None
) -> Iterator[tuple[Path, set[int]]]:
    """Each segment that some of these may stand in, with those that may."""
    for group in sorted(groups_in(root)):
        if tenant is not None and group.parent.name != component(tenant):
            continue
        segments: list[Segment] = []
        for day in days_in(group):
            segments += segments_in(group / day)
        firsts = [segment.first for segment in segments]
        wanted: dict[Path, set[int]] = {}
        for index in indexes:
            at = bisect_right(firsts, index)
            if at:
                wanted.setdefault(segments[at - 1].path, set()).add(index)
        yield from wanted.items()


def _add(
    disk: Disk, keyring: Keyring, key: Key, segment: Path, wanted: set[int]
) -> list[wraps.Entry]:
    """Wrap the keys of these records for the hold; the entries its file has of them now."""
    file = read_wraps(segment)
    there = {index: file.data[begin:end] for index, begin, end in file.places if index in wanted}
    if not there:
        return []
    old = read_hold(segment, key.id)
    packed = {} if old is None else {i: old.data[begin:end] for i, begin, end in old.places}
    found = [wraps.unpack(packed[index]) for index in there if index in packed]
    path, fresh = hold_path(segment, key.id), there.keys() - packed.keys()
    if not fresh:
        disk.effects.fsync_dir(str(path.parent))  # who wrote it may have died before
        return found
    wrapping = hold_wrapping(keyring, key.id)
    elsewhere: dict[int, dict[int, bytes]] | None = None
    for index in sorted(fresh):
        data = there[index]
        entry = wraps.unpack(data)
        own = wrapping_of(keyring, file.key, entry.subjects)
        keys = [part_key(own, blob) for blob in entry.blobs]
        if any(isinstance(one, str) for one in keys):
            elsewhere = keys_of(keyring, segment) if elsewhere is None else elsewhere
            known = elsewhere.get(index, {})
            keys = [known.get(at, one) for at, one in enumerate(keys)]
        entry = _held(wrapping, entry, keys)
        packed[index] = wraps.pack(entry)
        found.append(entry)
    body = b"".join(packed[index] for index in sorted(packed))
    disk.write_file(path, wraps.header(key.id, HOLD_MAGIC) + body)
    return found


def _held(wrapping: Wrapping, entry: wraps.Entry, keys: Sequence[bytes | str]) -> wraps.Entry:
    """The entry with all keys that are left of it wrapped for the hold."""
    blobs = []
    for blob, key in zip(entry.blobs, keys, strict=True):
        over = wrapping.of(blob.kind)
        assert isinstance(over, bytes)
        wrapped = wrap_key(over, key) if isinstance(key, bytes) else _NEVER
        blobs.append(blob._replace(wrapped=wrapped))
    return wraps.Entry(entry.index, entry.offset, entry.id, (), tuple(blobs))


_NEVER = wraps.taken("1970-01-01T00:00:00.000000Z")
"""In a hold's file: the key was gone before the hold was placed; the wraps file says since when."""
