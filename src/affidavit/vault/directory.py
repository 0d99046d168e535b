"""Where the entries of one file of wraps stand, while its writer may still append to it.

Rules: what follows the last whole entry is not there yet. The file stays open, so that one put in
its place is told from it. Not here: what an entry says (``wraps``); which files there are.
"""

import os
from array import array
from bisect import bisect_left
from collections import OrderedDict
from pathlib import Path

from affidavit.errors import CorruptError
from affidavit.vault import wraps

_OPEN_FILES = 64


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
        for index, begin, end in wraps.places(self._read(base, size - base)):
            self._indexes.append(index)
            self._offsets.append(base + begin)
            self._end = base + end

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)


class Directories:
    """Those of the files asked about last, which begin with ``magic``; calls have to take turns."""

    def __init__(self, magic: bytes) -> None:
        self._magic = magic
        self._known: OrderedDict[Path, Directory] = OrderedDict()

    def get(self, path: Path) -> Directory | None:
        """That of a file as it is now; ``None`` if it is not there, or its writer just begins it.

        ``CorruptError`` if it is no such file.
        """
        known = self._known.get(path)
        try:
            if known is not None and known.replaced():
                self._known.pop(path).close()
                known = None
            if known is None:
                if path.stat().st_size < wraps.HEADER_BYTES:
                    return None
                known = self._known[path] = Directory(path, self._magic)
        except FileNotFoundError:
            gone = self._known.pop(path, None)
            if gone is not None:
                gone.close()
            return None
        self._known.move_to_end(path)
        while len(self._known) > _OPEN_FILES:
            self._known.popitem(last=False)[1].close()
        return known

    def close(self) -> None:
        """Close all files."""
        while self._known:
            self._known.popitem()[1].close()
