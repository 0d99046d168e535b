"""The ``.wraps`` file beside a segment: which records it holds, where, and their wrapped keys.

Layout, all numbers big-endian::

    "AFWRAPS1" ‖ u64 number of the bucket key B
    then per record, in ascending ledger index:
      u32 length of the rest ‖ u32 CRC-32 of the rest
      u64 ledger index ‖ u64 offset in the segment of its first blob
      u8 length ‖ record id
      u8 count ‖ u64 number of each subject key S, in ascending order of the subjects
      u16 count ‖ per blob, in the order in which they stand in the segment:
        u8 kind: 0 to 6 a section, 7 a part, then u8 length ‖ its name
        u32 sealed length ‖ 40 bytes: its key, wrapped (RFC 3394)

The wrapping key is HKDF-SHA-256(B ‖ S₁ ‖ …, "affidavit/wrap/v1"); the subjects' keys take part
for ``person``, ``content`` and the parts, for the other sections B stands alone. Nothing of a
record is in the clear here but its id and the names of its parts.

Where the key of a blob was taken away, 32 zeros stand in place of its wrap, and then the u64
microsecond since 1970 at which that was; its size stays, as the next blob's place depends on it.

The writer appends while the segment grows; what follows the last whole entry is not there.
Erasure may replace the file by another one with fewer wraps, or under another key. Not here: which
records are taken out, and the segment's own bytes (``segments``).
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from affidavit.clock import from_unix_us, to_unix_us
from affidavit.errors import CorruptError
from affidavit.record.keys import hkdf
from affidavit.record.model import SECTIONS

MAGIC = b"AFWRAPS1"
HEADER_BYTES = 16
WRAP_BYTES = 40
PART = 7
"""The kind of a blob that is a content part; lower kinds are the section's place."""

OF_THE_SUBJECT = frozenset({SECTIONS.index("person"), SECTIONS.index("content"), PART})
"""The kinds of blob whose wrapping key takes in the subjects' keys."""

_NO_WRAP = bytes(32)
"""No key ever made looks like this when wrapped; it would have to be 256 random zeros."""

_LAST_MOMENT = to_unix_us("9999-12-31T23:59:59.999999Z")

_FRAME = struct.Struct(">II")
_PLACE = struct.Struct(">QQ")
_HEAD = struct.Struct(">IIQ")
_BLOB = struct.Struct(f">I{WRAP_BYTES}s")
_SECTION = struct.Struct(f">BI{WRAP_BYTES}s")
_MAX_ENTRY = 2**26
_TORN = 8
"""Zeros at the end of an entry of which power took the end: so many. No whole one ends in them."""
_LOOKED_THROUGH = 1 << 16
"""Bytes behind an entry that is not whole in which another one is looked for."""


class Blob(NamedTuple):
    """One sealed section or part: ``size`` sealed bytes, ``wrapped`` its key."""

    kind: int
    name: str
    size: int
    wrapped: bytes


class Entry(msgspec.Struct, frozen=True):
    """What the vault knows of one record; ``offset`` is where its first blob begins."""

    index: int
    offset: int
    id: str
    subjects: tuple[int, ...]
    blobs: tuple[Blob, ...]


def wrapping_key(bucket: bytes, subjects: Sequence[bytes]) -> bytes:
    """The key that wraps part keys; ``subjects`` in ascending order of the subjects' ids."""
    return hkdf(bucket + b"".join(subjects), "affidavit/wrap/v1")


def taken(when: str) -> bytes:
    """What stands in place of a wrap that was taken away at ``when``, a time as in the ledger."""
    return _NO_WRAP + to_unix_us(when).to_bytes(8, "big")


def is_taken(wrapped: bytes) -> bool:
    """Whether what stands in place of a wrap is none."""
    return wrapped.startswith(_NO_WRAP)


def taken_at(wrapped: bytes) -> str | None:
    """Since when there is no wrap, ``None`` if there is one."""
    if not is_taken(wrapped):
        return None
    return from_unix_us(min(int.from_bytes(wrapped[len(_NO_WRAP) :], "big"), _LAST_MOMENT))


def header(bucket: int, magic: bytes = MAGIC) -> bytes:
    """The first 16 bytes of a file whose keys are wrapped under that bucket key."""
    return magic + bucket.to_bytes(8, "big")


def parse_header(data: bytes, magic: bytes = MAGIC) -> int:
    """The bucket key's number; ``CorruptError`` if this is no such file."""
    if len(data) != HEADER_BYTES or data[:8] != magic:
        raise CorruptError("A file of wrapped keys does not begin as one.")
    return int.from_bytes(data[8:], "big")


def pack(entry: Entry) -> bytes:
    """One entry as it stands in the file, length and checksum in front."""
    record = entry.id.encode("ascii")
    out = [_PLACE.pack(entry.index, entry.offset), bytes((len(record),)), record]
    out.append(bytes((len(entry.subjects),)))
    out.extend(number.to_bytes(8, "big") for number in entry.subjects)
    out.append(len(entry.blobs).to_bytes(2, "big"))
    for kind, blob_name, size, wrapped in entry.blobs:
        if kind == PART:
            name = blob_name.encode()
            out += (bytes((kind, len(name))), name, _BLOB.pack(size, wrapped))
        else:
            out.append(_SECTION.pack(kind, size, wrapped))
    rest = b"".join(out)
    return _FRAME.pack(len(rest), zlib.crc32(rest)) + rest


def scan(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """Ledger index, begin and end within ``data`` of each whole entry, up to the first that is not.

    ``data`` begins at an entry. What the writer has not finished writing ends the scan, and so
    does anything damaged.
    """
    at = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + length
        if not _PLACE.size < length <= _MAX_ENTRY or end > len(data):
            return
        if zlib.crc32(data[at + _FRAME.size : end]) != checksum:
            return
        yield _PLACE.unpack_from(data, at + _FRAME.size)[0], at, end
        at = end


def is_damaged(rest: bytes) -> bool:
    """Whether what follows the last whole entry is damage, and not what was never finished.

    Never finished is what is cut, or zeros from somewhere to its end, with no whole entry behind.
    """
    if len(rest) < _FRAME.size or rest.count(0) == len(rest):
        return False
    length = _FRAME.unpack_from(rest)[0]
    whole = _PLACE.size < length <= _MAX_ENTRY and _FRAME.size + length <= len(rest)
    end = _FRAME.size + length if whole else 0
    if whole and any(rest[end - _TORN : end]):
        return True
    behind = memoryview(rest)  # of which a slice is no copy
    tried = range(1, min(len(rest) - _FRAME.size, _LOOKED_THROUGH))
    return any(next(scan(behind[at:]), None) is not None for at in (end, *tried) if at)


def places(data: bytes) -> Iterator[tuple[int, int, int]]:
    """As ``scan``, and some times faster: of all but the last entry no checksum is looked at.

    Whoever reads an entry looks at it then (``unpack``). What power took in the middle of being
    written is at the end of a file, or is zeros, which are no length of anything.
    """
    at, last, size = 0, None, len(data)
    while at + _HEAD.size <= size:
        length, _, index = _HEAD.unpack_from(data, at)
        end = at + _FRAME.size + length
        if not _PLACE.size < length <= _MAX_ENTRY or end > size:
            break
        if last is not None:
            yield last
        last, at = (index, at, end), end
    if last is not None and next(scan(data[last[1] : last[2]]), None) is not None:
        yield last


def outline(data: bytes) -> tuple[int, tuple[int, ...]]:
    """Ledger index and subject keys of one whole entry, which ``scan`` has found to be one."""
    at = _FRAME.size + _PLACE.size
    at += 1 + data[at]
    return _PLACE.unpack_from(data, _FRAME.size)[0], struct.unpack_from(
        f">{data[at]}Q", data, at + 1
    )


def live_kinds(data: bytes) -> int:
    """The kinds of blob, as bits ``1 << kind``, that have a wrap in one whole entry of ``scan``."""
    at = _FRAME.size + _PLACE.size
    at += 1 + data[at]
    at += 1 + 8 * data[at]
    count, at = data[at] << 8 | data[at + 1], at + 2
    found = 0
    for _ in range(count):
        kind, at = data[at], at + 1
        if kind == PART:
            at += 1 + data[at]
        if not data.startswith(_NO_WRAP, at + 4):
            found |= 1 << kind
        at += _BLOB.size
    return found


def unpack(data: bytes) -> Entry:
    """One whole entry, as ``pack`` made it; ``CorruptError`` for anything else."""
    try:
        return _unpack(data)
    except (IndexError, ValueError, struct.error) as error:
        raise CorruptError("An entry of wrapped keys is damaged.") from error


def _unpack(data: bytes) -> Entry:
    length, checksum = _FRAME.unpack_from(data)
    rest = data[_FRAME.size :]
    if length != len(rest) or zlib.crc32(rest) != checksum:
        raise ValueError("length or checksum")
    index, offset = _PLACE.unpack_from(rest)
    at = _PLACE.size
    end = at + 1 + rest[at]
    record = rest[at + 1 : end].decode("ascii")
    count, at = rest[end], end + 1
    subjects = struct.unpack_from(f">{count}Q", rest, at)
    at += 8 * count
    blobs = []
    count, at = int.from_bytes(rest[at : at + 2], "big"), at + 2
    for _ in range(count):
        kind, at = rest[at], at + 1
        if kind == PART:
            end = at + 1 + rest[at]
            name, at = rest[at + 1 : end].decode(), end
        else:
            name = SECTIONS[kind]
        size, wrapped = _BLOB.unpack_from(rest, at)
        blobs.append(Blob(kind, name, size, wrapped))
        at += _BLOB.size
    if at != len(rest):
        raise ValueError("trailing bytes")
    return Entry(index, offset, record, subjects, tuple(blobs))
