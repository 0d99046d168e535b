"""Sealed content that no key opens any more: overwritten with zeros, or gone with its segment.

Rules: only what neither its own wrap nor a hold opens is overwritten; where nothing of a segment is
open and its bucket key is destroyed, the segment is removed, then its wraps, then what holds have
of it, so that whoever was interrupted finds it again. What is zeros already is left alone. A disk
that refuses (object lock, immutable, read-only) is no failure: how many bytes stayed is told.

Not here: making it so that no key opens it (``erase``).
"""

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from affidavit.durable import Disk
from affidavit.vault import key_ends, wraps
from affidavit.vault.holds import held_of
from affidavit.vault.keyring import Keyring
from affidavit.vault.rewrap import Doomed, Wrappings, live
from affidavit.vault.segments import wraps_path
from affidavit.vault.whole_files import WholeFile, read_wraps

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_AT_ONCE = 1 << 22
"""Bytes of zeros that are written and synced in one go."""


def overwrite(
    disk: Disk,
    keyring: Keyring,
    segment: Path,
    doomed: Doomed,
    rest: Callable[[], None] = lambda: None,
) -> int:
    """Overwrite what no key opens of the records that ``doomed`` means; durable on return.

    Gives how many bytes the disk did not let go. No error if the segment was removed before.
    ``rest`` is called after each record.
    """
    try:
        file = read_wraps(segment)
    except FileNotFoundError:
        return 0
    free, open_still = _free(keyring, segment, file, doomed, rest)
    try:
        if not open_still:
            return _remove(disk, keyring, segment, file)
        return _blank(disk, segment, free, rest)
    except FileNotFoundError:
        return 0


def _free(
    keyring: Keyring, segment: Path, file: WholeFile, doomed: Doomed, rest: Callable[[], None]
) -> tuple[list[tuple[int, int]], bool]:
    """Where what goes stands, adjacent blobs as one, and whether the segment itself must stay."""
    held = held_of(keyring, segment)
    wrappings = Wrappings(keyring, file.key)
    dead = not isinstance(wrappings.of(()).alone, bytes)
    if dead and not held:
        return [], False
    free: list[tuple[int, int]] = []
    open_still = not dead
    for index, first, last in file.places:
        data = file.data[first:last]
        subjects = wraps.outline(data)[1]
        kinds = doomed(index, subjects)
        rest()
        if open_still and not kinds:
            continue
        entry, wrapping = wraps.unpack(data), wrappings.of(subjects)
        opens = held.get(index, frozenset()).union(live(wrapping, entry))
        open_still = open_still or bool(opens)
        end = entry.offset
        for at, blob in enumerate(entry.blobs):
            begin, end = end, end + blob.size
            if at in opens:
                continue
            if free and free[-1][1] == begin:
                free[-1] = (free[-1][0], end)
            else:
                free.append((begin, end))
    return free, open_still


def _remove(disk: Disk, keyring: Keyring, segment: Path, file: WholeFile) -> int:
    size = segment.stat().st_size if segment.exists() else 0
    key_ends.mark_emptied(keyring, file.key, [index for index, _, _ in file.places])
    others = sorted(segment.parent.glob(f"{segment.stem}.*.hold"))
    try:
        disk.remove(segment)
        disk.remove(wraps_path(segment))
        if others:
            disk.remove(*others)
    except OSError as error:
        if error.errno in _REFUSED:
            return size
        raise
    return 0


def _blank(
    disk: Disk, segment: Path, free: Iterable[tuple[int, int]], rest: Callable[[], None]
) -> int:
    """Zeros wherever something else stands in these places."""
    pieces: list[tuple[int, bytes]] = []
    locked = waiting = 0
    with segment.open("rb", buffering=0) as file:
        for begin, end in free:
            rest()
            for at in range(begin, end, _AT_ONCE):
                there = os.pread(file.fileno(), min(_AT_ONCE, end - at), at)
                if there.count(0) == len(there):
                    continue
                pieces.append((at, bytes(len(there))))
                waiting += len(there)
                if waiting >= _AT_ONCE:
                    locked += _write(disk, segment, pieces)
                    pieces, waiting = [], 0
    return locked + (_write(disk, segment, pieces) if pieces else 0)


def _write(disk: Disk, segment: Path, pieces: list[tuple[int, bytes]]) -> int:
    (offset, data), *more = pieces
    try:
        disk.overwrite(segment, offset, data, *more)
    except OSError as error:
        if error.errno in _REFUSED:
            return sum(len(piece) for _, piece in pieces)
        raise
    return 0
