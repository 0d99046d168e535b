"""Where the entries of one file of wraps stand, while its writer may still append to it.

Rules: what follows the last whole entry is not there yet. The file stays open, so that one put in
its place is told from it. Not here: what an entry says (``wraps``); which files there are.
"""

import os
from array import array
from bisect import bisect_left
from pathlib import Path

from affidavit.errors import CorruptError
from affidavit.vault import wraps


class Directory:
    """Where each entry of one file of wraps stands: 16 bytes of memory per record."""

    def __init__(self, path: Path, magic: bytes) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._inode = os.fstat(self._file.fileno()).st_ino
        self._indexes = array("Q")
        self._offsets = array("Q")
        self._end = wraps.HEADER_BYTES
        try:
            self.bucket = wraps.parse_header(self._read(0, wraps.HEADER_BYTES), magic)
        except CorruptError:
            self._file.close()
            raise

    def replaced(self) -> bool:
        """Whether another file has that name now; ``FileNotFoundError`` if none has."""
        return self._path.stat().st_ino != self._inode

    def entry(self, index: int) -> bytes | None:
        """The packed entry of that ledger index, ``None`` if it is not (yet) there."""
        if not self._indexes or index > self._indexes[-1]:
            self._read_on()
        place = bisect_left(self._indexes, index)
        if place == len(self._indexes) or self._indexes[place] != index:
            return None
        begin = self._offsets[place]
        last = place + 1 == len(self._offsets)
        end = self._end if last else self._offsets[place + 1]
        return self._read(begin, end - begin)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_on(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        base = self._end
        for index, begin, end in wraps.scan(self._read(base, size - base)):
            self._indexes.append(index)
            self._offsets.append(base + begin)
            self._end = base + end

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)
