"""What an erasure took away, and how that is still known when it is done in two attempts.

Rules: what goes is written down before anything of it goes (``vault/.erasing/``, one file per
erasure and place, leaf indexes and counts, nothing else). An attempt after a crash adds what it
finds itself and gives the sum. The file stays until whoever asked has put it on record
(``Eraser.settle``). Not here: carrying it out (``erase``), the record and the certificate.
"""

import hashlib
import heapq
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from affidavit.durable import Disk
from affidavit.errors import CorruptError
from affidavit.ids import b64u


class Erased(NamedTuple):
    """What was erased, for the record of it.

    ``indexes``: the leaves something of which was erased, ascending; ``sections`` and ``parts``
    of theirs, ``bytes`` of sealed content. ``held``: the leaves that a hold keeps something of
    which would have gone. ``locked``: bytes of sealed content without a key that the disk did not
    let go. ``subject_keys`` were destroyed. ``token``: names what is kept until ``settle``.
    ``each``: sections, parts and bytes of each leaf, one after another.
    """

    indexes: "array[int]"
    held: "array[int]"
    sections: int
    parts: int
    bytes: int
    locked: int = 0
    subject_keys: int = 0
    token: str = ""
    each: "array[int]" = array("Q")

    @property
    def records(self) -> int:
        """How many records lost something."""
        return len(self.indexes)

    @property
    def blobs(self) -> int:
        """Sections and parts."""
        return self.sections + self.parts


_Packed = bytes  # as ``bytes`` is a name in the classes here


class _Kept(msgspec.Struct, array_like=True):
    version: int
    indexes: bytes
    sections: int
    parts: int
    bytes: int
    subject_keys: int
    each: _Packed


class _Counted:
    """Sections, parts and bytes by leaf, 32 bytes for each; in order wherever leaves are."""

    def __init__(self) -> None:
        self.indexes = array("Q")
        self.each = array("Q")
        self.sections = self.parts = self.bytes = 0
        self._runs = [0]

    def add(self, index: int, sections: int, parts: int, size: int) -> None:
        """So much of a leaf; what follows on the same leaf is added to it."""
        self.sections, self.parts = self.sections + sections, self.parts + parts
        self.bytes += size
        if self.indexes and index <= self.indexes[-1]:
            if index == self.indexes[-1]:
                for place, more in enumerate((sections, parts, size), -3):
                    self.each[place] += more
                return
            self._runs.append(len(self.indexes))
        self.indexes.append(index)
        self.each.extend((sections, parts, size))

    def rows(self) -> Iterator[tuple[int, int, int, int]]:
        """What was counted, by ascending leaves."""
        ends = [*self._runs[1:], len(self.indexes)]
        runs = [self._run(*places) for places in zip(self._runs, ends, strict=True)]
        return heapq.merge(*runs) if len(runs) > 1 else runs[0]

    def ordered(self) -> "_Counted":
        """The same, leaves ascending and each there once."""
        return self if len(self._runs) == 1 else _of_rows(self.rows())

    def _run(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        for place in range(begin, end):
            at = 3 * place
            yield self.indexes[place], self.each[at], self.each[at + 1], self.each[at + 2]


def _of_rows(rows: Iterable[tuple[int, int, int, int]]) -> _Counted:
    """Counts of ascending rows."""
    found = _Counted()
    for row in rows:
        found.add(*row)
    return found


class Tally:
    """Adds up what goes, record by record, beside what was counted ``before``.

    ``kinds``: the kinds of blob that the erasure is about. Takes a few dozen bytes a record, as
    there may be millions in a day.
    """

    def __init__(self, kinds: frozenset[int], before: Erased | None = None) -> None:
        self.kinds = kinds
        self._before = before
        self._there_still: set[int] = set()
        self._gone = _Counted()
        self._held: set[int] = set()
        self.subject_keys = 0

    def __bool__(self) -> bool:
        """Whether there is anything to write down."""
        return bool(self._gone.indexes or self.subject_keys or self._there_still)

    def __contains__(self, index: int) -> bool:
        """Whether that leaf was counted before."""
        if self._before is None or index in self._there_still:
            return False
        known = self._before.indexes
        place = bisect_left(known, index)
        return place < len(known) and known[place] == index

    @property
    def resumed(self) -> bool:
        """Whether something had gone in an earlier attempt."""
        before = self._before
        return before is not None and len(before.indexes) > len(self._there_still)

    def gone(self, index: int, sizes: Sequence[tuple[bool, int]]) -> None:
        """Of that leaf blobs go; for each, whether it is a part, and its sealed bytes."""
        if sizes and index not in self:
            parts = sum(is_part for is_part, _ in sizes)
            self._gone.add(index, len(sizes) - parts, parts, sum(size for _, size in sizes))

    def stays(self, index: int) -> None:
        """What was counted before of that leaf is there still: the attempt did not come so far."""
        self._there_still.add(index)

    def held(self, index: int) -> None:
        """Something of that leaf would go, and a hold keeps it."""
        self._held.add(index)

    def sum(self, token: str) -> Erased:
        """All of it, and what was counted before."""
        found, before = self._gone.ordered(), self._before
        if before is not None:
            found = _of_rows(heapq.merge(self._known(before), found.rows()))
        return Erased(
            found.indexes,
            array("Q", sorted(self._held)),
            found.sections,
            found.parts,
            found.bytes,
            subject_keys=max(self.subject_keys, 0 if before is None else before.subject_keys),
            token=token,
            each=found.each,
        )

    def _known(self, before: Erased) -> Iterator[tuple[int, int, int, int]]:
        counts = iter(before.each)
        for row in zip(before.indexes, counts, counts, counts, strict=True):
            if row[0] not in self._there_still:
                yield row


class Unsettled:
    """What attempts have written down and nobody has settled, below the vault's ``root``."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk = disk
        self._place = root / ".erasing"  # no tenant's directory has a dot in its name

    def token(self, *what: str) -> str:
        """The name of one erasure in one place."""
        return b64u(hashlib.sha256("\0".join(what).encode()).digest())

    def read(self, token: str) -> Erased | None:
        """What earlier attempts wrote down; ``None`` if there was none."""
        try:
            data = (self._place / token).read_bytes()
        except FileNotFoundError:
            return None
        try:
            kept = msgspec.msgpack.decode(data, type=_Kept)
            unpack = zstandard.ZstdDecompressor().decompress
            indexes, each = array("Q", unpack(kept.indexes)), array("Q", unpack(kept.each))
        except (msgspec.MsgspecError, zstandard.ZstdError, ValueError) as error:
            raise CorruptError("What an unfinished erasure wrote down is damaged.") from error
        return Erased(
            indexes,
            array("Q"),
            kept.sections,
            kept.parts,
            kept.bytes,
            subject_keys=kept.subject_keys,
            token=token,
            each=each,
        )

    def write(self, erased: Erased) -> None:
        """Write it down, durably."""
        pack = zstandard.ZstdCompressor().compress
        kept = _Kept(
            1, pack(erased.indexes.tobytes()), erased.sections, erased.parts, erased.bytes,
            erased.subject_keys, pack(erased.each.tobytes()),
        )  # fmt: skip
        self._disk.make_dir(self._place)
        self._disk.write_file(self._place / erased.token, msgspec.msgpack.encode(kept))

    def settle(self, token: str) -> None:
        """It is on record; no error if it was settled before."""
        if (self._place / token).exists():
            self._disk.remove(self._place / token)
