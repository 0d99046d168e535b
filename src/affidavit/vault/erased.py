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
    """

    indexes: "array[int]"
    held: "array[int]"
    sections: int
    parts: int
    bytes: int
    locked: int = 0
    subject_keys: int = 0
    token: str = ""

    @property
    def records(self) -> int:
        """How many records lost something."""
        return len(self.indexes)

    @property
    def blobs(self) -> int:
        """Sections and parts."""
        return self.sections + self.parts


class _Kept(msgspec.Struct, array_like=True):
    version: int
    indexes: bytes
    sections: int
    parts: int
    bytes: int
    subject_keys: int


class Tally:
    """Adds up what goes, record by record; ``known`` are leaves that were counted before."""

    def __init__(self, known: Iterable[int] = ()) -> None:
        self._known = frozenset(known)
        self._indexes: set[int] = set()
        self._held: set[int] = set()
        self.sections = self.parts = self.bytes = self.subject_keys = 0

    def __bool__(self) -> bool:
        return bool(self._indexes or self.subject_keys)

    def gone(self, index: int, sizes: Iterable[tuple[bool, int]]) -> None:
        """Of that leaf blobs go; for each, whether it is a part, and its sealed bytes."""
        if index in self._known:
            return
        for is_part, size in sizes:
            self._indexes.add(index)
            self.parts += is_part
            self.sections += not is_part
            self.bytes += size

    def held(self, index: int) -> None:
        """Something of that leaf would go, and a hold keeps it."""
        self._held.add(index)

    def sum(self, before: Erased | None, token: str) -> Erased:
        """All of it, and what was counted before."""
        indexes = self._indexes if before is None else self._indexes.union(before.indexes)
        made = Erased(
            array("Q", sorted(indexes)),
            array("Q", sorted(self._held)),
            self.sections,
            self.parts,
            self.bytes,
            subject_keys=self.subject_keys,
            token=token,
        )
        if before is None:
            return made
        return made._replace(
            sections=made.sections + before.sections,
            parts=made.parts + before.parts,
            bytes=made.bytes + before.bytes,
            subject_keys=max(made.subject_keys, before.subject_keys),
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
            indexes = array("Q", zstandard.ZstdDecompressor().decompress(kept.indexes))
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
        )

    def write(self, erased: Erased) -> None:
        """Write it down, durably."""
        indexes = zstandard.ZstdCompressor().compress(erased.indexes.tobytes())
        kept = _Kept(1, indexes, erased.sections, erased.parts, erased.bytes, erased.subject_keys)
        self._disk.make_dir(self._place)
        self._disk.write_file(self._place / erased.token, msgspec.msgpack.encode(kept))

    def settle(self, token: str) -> None:
        """It is on record; no error if it was settled before."""
        if (self._place / token).exists():
            self._disk.remove(self._place / token)
