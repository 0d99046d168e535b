"""Where a batch is durable before it is committed: one append file, one fdatasync a batch.

Rules: a file belongs to one fencing epoch and one sequencer, ``staging/<epoch>-<first index>``, so
a sequencer that lost the ledger can append only to a file that nobody reads any more. A frame is
``u32be length ‖ u32be CRC-32 of the rest ‖ u64be first index ‖ u32be count ‖ entries ‖ links``,
both as bundles. Space is allocated in advance, as zeros; a length of zero ends the file. Frames
say what was about to be committed; state.db says whether it was. Once tiles hold a batch, its
frame is of no use, and the file is replaced when it is full. Not here: tiles, the decision what
to make of a frame (``recover``).
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from affidavit.durable import AppendFile, Disk
from affidavit.errors import CorruptError
from affidavit.ledger import tiles

FILE_BYTES = 8 * 1024 * 1024
_HEAD = 8
_INNER = 12
_NAME = re.compile(r"([0-9]{10})-([0-9]{20})")


class Batch(NamedTuple):
    """What one frame holds: leaves from index ``first`` on, and the links of each, unframed."""

    fencing: int
    first: int
    entries: list[bytes]
    links: list[bytes]


class Staging:
    """The file that this sequencer appends to."""

    def __init__(self, disk: Disk, root: Path, fencing: int, first: int) -> None:
        self._disk = disk
        self._directory = root / "staging"
        self._fencing = fencing
        disk.make_dir(self._directory)
        self._file = self._create(first)

    def _create(self, first: int) -> AppendFile:
        path = self._directory / f"{self._fencing:010d}-{first:020d}"
        return self._disk.create_append(path, preallocate=FILE_BYTES)

    def append(self, first: int, entries: list[bytes], links: list[bytes]) -> None:
        """Make a batch durable; entries and links are framed. ``OSError``: give up the ledger."""
        inner = b"".join(
            [first.to_bytes(8, "big"), len(entries).to_bytes(4, "big"), *entries, *links]
        )
        head = len(inner).to_bytes(4, "big") + zlib.crc32(inner).to_bytes(4, "big")
        self._file.write_buffered(head + inner)
        self._file.sync()

    def published(self, size: int) -> None:
        """All of ``size`` leaves stand in tiles: replace the file if it is large."""
        if self._file.size < FILE_BYTES * 3 // 4:
            return
        old, self._file = self._file, self._create(size)
        old.close()
        self._disk.remove(old.path)

    def close(self) -> None:
        """Close the file and leave it; the next open removes it."""
        self._file.close()


def files(root: Path) -> list[tuple[int, Path]]:
    """Staging files with their fencing epoch, in the order in which they were begun."""
    found = []
    directory = root / "staging"
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.append((int(match[1]), path))
    return found


def read(fencing: int, path: Path) -> Iterator[Batch]:
    """The whole frames of a file up to the first that is not.

    ``CorruptError`` if a frame with the right checksum is malformed inside.
    """
    data = path.read_bytes()
    at = 0
    while at + _HEAD + _INNER <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        inner = data[at + _HEAD : at + _HEAD + length]
        if length < _INNER or len(inner) < length:
            return
        if zlib.crc32(inner) != int.from_bytes(data[at + 4 : at + 8], "big"):
            return
        first, count = int.from_bytes(inner[:8], "big"), int.from_bytes(inner[8:12], "big")
        both = tiles.split_bundle(inner[_INNER:], path.name)
        if len(both) != 2 * count:
            raise CorruptError(f"staging/{path.name} has a malformed frame.")
        yield Batch(fencing, first, both[:count], both[count:])
        at += _HEAD + length
