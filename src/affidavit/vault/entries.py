"""Every entry of a vault in the order of the ledger, a piece of each file at a time.

Rules: the entries of each (tenant, class) ascend over all its files, and those of all of them are
merged; what follows the last whole entry of a file is passed over and remembered. A file that
erasure replaces meanwhile is read again from where it was. Not here: what an entry says
(``wraps``) and whether it is right (``check``).
"""

import heapq
import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from affidavit.errors import CorruptError
from affidavit.ledger.findings import damaged
from affidavit.vault import wraps
from affidavit.vault.segments import days_in, groups_in, segments_in, wraps_path

_READ_BYTES = 1 << 18


class Stored(NamedTuple):
    """An entry as it stands in a wraps file: ``path`` is its segment's, ``bucket`` the file's."""

    position: int
    path: Path
    bucket: int
    data: bytes


class Entries:
    """The entries of leaf ``begin`` and later ones; ``next`` takes them one by one.

    ``CorruptError`` from any of it names a file that is no wraps file or is not in order.
    """

    def __init__(self, root: Path, begin: int) -> None:
        self._root = root
        self._cut: list[tuple[Path, int]] = []
        streams = [self._group(group, begin) for group in sorted(groups_in(root))]
        self._merged = heapq.merge(*streams)
        self.first = next(self._merged, None)

    def next(self) -> Stored | None:
        """The first entry that was not taken yet, which ``first`` shows; takes it."""
        taken, self.first = self.first, next(self._merged, None)
        return taken

    def again(self, stored: Stored) -> Stored | None:
        """The entry as it stands by now, ``None`` if its file is gone or has it no more."""
        try:
            data = wraps_path(stored.path).read_bytes()
        except FileNotFoundError:
            return None
        bucket = self._bucket(wraps_path(stored.path), data[: wraps.HEADER_BYTES])
        body = data[wraps.HEADER_BYTES :]
        for index, begin, end in wraps.scan(body):
            if index == stored.position:
                return Stored(index, stored.path, bucket, body[begin:end])
        return None

    def name(self, path: Path) -> str:
        """What a finding calls a file of the vault."""
        return f"vault/{path.relative_to(self._root)}"

    def suspect(self, index: int) -> tuple[str, str]:
        """The file that most likely held the missing entry of a leaf, and what is wrong with it.

        Any file that ends in something else than an entry is one, and one that should be there.
        """
        for path, at in self._cut:
            if int(path.stem) <= index:
                return self.name(path), f"what begins at byte {at} is damaged or cut"
        for segment in sorted(self._root.glob("*/*/*/*.seg")):
            if not wraps_path(segment).exists() and int(segment.stem) <= index:
                return self.name(wraps_path(segment)), "it is not there, and its segment is"
        return "vault/", "files are missing"

    def _group(self, group: Path, begin: int) -> Iterator[Stored]:
        segments = [one for day in days_in(group) for one in segments_in(group / day)]
        first = bisect_right([one.first for one in segments], begin) - 1
        last = begin - 1
        for segment in segments[max(first, 0) :]:
            for stored in self._file(segment.path, begin):
                if stored.position <= last:
                    name = self.name(wraps_path(stored.path))
                    raise damaged(name, f"{name}: its entries are not in ascending order.")
                last = stored.position
                yield stored

    def _file(self, segment: Path, begin: int) -> Iterator[Stored]:
        """The whole entries of one wraps file but those at its beginning of leaves below one."""
        path = wraps_path(segment)
        inode, known, bucket, at, rest, skipping = -1, b"", 0, 0, b"", True
        while True:
            try:
                with path.open("rb", buffering=0) as file:
                    head = file.read(wraps.HEADER_BYTES)
                    if len(head) < wraps.HEADER_BYTES:
                        self._cut.append((path, 0))
                        return
                    # Another file may have the number of one that is gone; if its header is the
                    # same, too, its entries stand where they stood.
                    if os.fstat(file.fileno()).st_ino != inode or head != known:
                        inode, known = os.fstat(file.fileno()).st_ino, head
                        bucket = self._bucket(path, head)
                        at, rest, skipping = len(head), b"", True
                    file.seek(at + len(rest))
                    piece = file.read(_READ_BYTES)
            except FileNotFoundError:
                return  # if it should be there, a leaf will miss it
            rest += piece
            end = 0
            for index, start, end in wraps.scan(rest):
                skipping = skipping and index < begin
                if not skipping:
                    yield Stored(index, segment, bucket, rest[start:end])
                    begin = index + 1
            at, rest = at + end, rest[end:]
            if not piece:
                break
        if rest:
            self._cut.append((path, at))

    def _bucket(self, path: Path, head: bytes) -> int:
        try:
            return wraps.parse_header(head)
        except CorruptError as error:
            name = self.name(path)
            raise damaged(name, f"{name} does not begin as a file of wrapped keys.") from error
