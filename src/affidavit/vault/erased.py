"""What an erasure took away, and how that is still known when it is done in two attempts.

Rules: what goes is written down before anything of it goes (``vault/.erasing/``, one file per
erasure and place, leaf indexes and counts, nothing else). An attempt after a crash adds what it
finds itself and gives the sum. The file stays until whoever asked has put it on record
(``Eraser.settle``). Not here: carrying it out (``erase``), the record and the certificate.
"""

import hashlib
from array import array
from collections.abc import Iterable
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


_Counts = tuple[int, int, int]
"""Sections, parts and bytes of a leaf that go."""


class Tally:
    """Adds up what goes, record by record, beside what was counted ``before``.

    ``kinds``: the kinds of blob that the erasure is about.
    """

    def __init__(self, kinds: frozenset[int], before: Erased | None = None) -> None:
        self.kinds = kinds
        self._known: dict[int, _Counts] = {}
        if before is not None:
            counts = iter(before.each)
            self._known = dict(
                zip(before.indexes, zip(counts, counts, counts, strict=True), strict=True)
            )
        self._before = 0 if before is None else before.subject_keys
        self._corrected = False
        self._each: dict[int, _Counts] = {}
        self._held: set[int] = set()
        self.subject_keys = 0

    def __bool__(self) -> bool:
        """Whether there is anything to write down."""
        return bool(self._each or self.subject_keys or self._corrected)

    def __contains__(self, index: int) -> bool:
        """Whether that leaf was counted before."""
        return index in self._known

    @property
    def resumed(self) -> bool:
        """Whether something had gone in an earlier attempt."""
        return bool(self._known)

    def gone(self, index: int, sizes: Iterable[tuple[bool, int]]) -> None:
        """Of that leaf blobs go; for each, whether it is a part, and its sealed bytes."""
        if index in self._known:
            return
        sections, parts, total = self._each.get(index, (0, 0, 0))
        for is_part, size in sizes:
            sections, parts, total = sections + (not is_part), parts + is_part, total + size
            self._each[index] = sections, parts, total

    def stays(self, index: int) -> None:
        """What was counted before of that leaf is there still: the attempt did not come so far."""
        del self._known[index]
        self._corrected = True

    def held(self, index: int) -> None:
        """Something of that leaf would go, and a hold keeps it."""
        self._held.add(index)

    def sum(self, token: str) -> Erased:
        """All of it, and what was counted before."""
        every = self._known | self._each
        indexes = sorted(every)
        return Erased(
            array("Q", indexes),
            array("Q", sorted(self._held)),
            sum(one[0] for one in every.values()),
            sum(one[1] for one in every.values()),
            sum(one[2] for one in every.values()),
            subject_keys=max(self.subject_keys, self._before),
            token=token,
            each=array("Q", [count for index in indexes for count in every[index]]),
        )


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
