"""Segments: where they stand, how they are found by ledger index, and how one is written.

A bucket is a directory ``vault/<tenant>/<class>/<day>/``, day in UTC by ledger time. In it stand
pairs ``<first ledger index, 20 digits>.seg`` and ``.wraps``. A segment is "AFVAULT1" and then
sealed blobs, one after another, each byte written once. A process appends only to segments that
it began itself. Within one (tenant, class) the segments of all days, in order of their names,
hold ascending, disjoint ranges of ledger indexes: so the segment of an index is the last one
whose first index is not above it, and no table of records is needed.

Tenant and class are any text: each UTF-8 byte outside ``a-z 0-9 _ -`` stands as ``%XX``, the empty
text as ``%``, and what would be longer than 200 bytes as its beginning, ``~`` and b64u SHA-256.

Not here: what stands in a wraps file (``wraps``) and in a blob (``blobs``), keys.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from affidavit.durable import AppendFile, Disk
from affidavit.ids import b64u
from affidavit.vault import wraps

MAGIC = b"AFVAULT1"
MAX_BYTES = 64 * 2**20
MAX_RECORDS = 16_384
"""A segment that has reached either is full; the batch that reaches it is written whole."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST = 200


class Bucket(NamedTuple):
    """What is kept and erased together: tenant, retention class, UTC day."""

    tenant: str
    retention_class: str
    day: str

    def directory(self, root: Path) -> Path:
        """Where its segments stand."""
        return root / component(self.tenant) / component(self.retention_class) / self.day


def component(text: str) -> str:
    """``text`` as one safe and distinct component of a path."""
    if not text:
        return "%"
    name = "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in text.encode())
    if len(name) <= _LONGEST:
        return name
    digest = b64u(hashlib.sha256(text.encode()).digest())
    return f"{name[: _LONGEST - 1 - len(digest)]}~{digest}"


def segment_path(directory: Path, first: int) -> Path:
    """The segment in ``directory`` that begins with that ledger index."""
    return directory / f"{first:020d}.seg"


def wraps_path(segment: Path) -> Path:
    """The wraps file beside a segment."""
    return segment.with_suffix(".wraps")


class Segment(NamedTuple):
    """A segment that stands on disk, by name only."""

    first: int
    path: Path


def segments_in(directory: Path) -> list[Segment]:
    """The segments of one bucket that have a wraps file, in order; empty if it is not there."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    found = [
        Segment(int(name[:20]), directory / f"{name[:20]}.seg")
        for name in names
        if len(name) == 26 and name.endswith(".wraps") and name[:20].isdecimal()
    ]
    return sorted(found)


def days_in(group: Path) -> list[str]:
    """The days of one (tenant, class) directory, in order; empty if it is not there."""
    try:
        return sorted(path.name for path in group.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def groups_in(root: Path) -> Iterator[Path]:
    """Each (tenant, class) directory under the vault's root."""
    if not root.is_dir():
        return
    for tenant in root.iterdir():
        if tenant.is_dir():
            yield from (path for path in tenant.iterdir() if path.is_dir())


class Catalogue:
    """Where the segment of a ledger index stands. Reads names of files only.

    Only the newest two days known of a group are listed again by ``refresh``: ledger time does
    not go back, so older days gain no segments. Segments that erasure removed may still be named.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._groups: dict[Path, dict[str, list[Segment]]] = {}
        self._flat: dict[Path, tuple[str, list[int], list[Segment]]] = {}

    def candidates(self, index: int, tenant: str | None) -> list[Segment]:
        """The one segment of each (tenant, class) that can hold ``index``, the likeliest first.

        ``tenant`` narrows it to the classes of one tenant.
        """
        only = None if tenant is None else component(tenant)
        found = []
        for name, firsts, segments in self._flat.values():
            if only is not None and name != only:
                continue
            place = bisect_right(firsts, index)
            if place:
                found.append(segments[place - 1])
        return sorted(found, reverse=True)

    def refresh(self) -> None:
        """List what may have been added since the last call."""
        for group in groups_in(self._root):
            days = self._groups.setdefault(group, {})
            newest = sorted(days)[-2:]
            for day in days_in(group):
                if day not in days or day in newest:
                    days[day] = segments_in(group / day)
            segments = [segment for day in sorted(days) for segment in days[day]]
            firsts = [segment.first for segment in segments]
            self._flat[group] = (group.parent.name, firsts, segments)


class SegmentWriter:
    """Appends to one new segment and its wraps file. ``OSError`` means: give it up."""

    def __init__(self, disk: Disk, directory: Path, first: int, bucket: int) -> None:
        disk.make_dir(directory)
        path = segment_path(directory, first)
        self._segment = disk.create_append(path)
        self._wraps = disk.create_append(wraps_path(path))
        self._segment.write_buffered(MAGIC)
        self._wraps.write_buffered(wraps.header(bucket))
        self._records = 0

    @property
    def size(self) -> int:
        """Bytes in the segment so far: the offset of the next blob."""
        return self._segment.size

    @property
    def full(self) -> bool:
        """Whether the next batch belongs into another segment."""
        return self._segment.size >= MAX_BYTES or self._records >= MAX_RECORDS

    def append(self, blobs: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Write the sealed blobs of some records and their packed entries; not yet durable."""
        self._segment.write_buffered(b"".join(blobs))
        self._wraps.write_buffered(b"".join(entries))
        self._records += len(entries)

    def files(self) -> tuple[AppendFile, AppendFile]:
        """The two files to sync: what they seal first, the keys to it last."""
        return self._segment, self._wraps

    def close(self) -> None:
        """Close both files; does not sync."""
        self._segment.close()
        self._wraps.close()
