"""The bytes of a journal segment, shared by its writer and its reader.

::

    segment   header ‖ frame 0 ‖ frame 1 ‖ … ‖ zeros up to the end of the file
    header    magic "AFFJRNL1" ‖ incarnation (16) ‖ u64be segment ‖ u64be frames in the segment
              before this one ‖ day "YYYY-MM-DD" ‖ wrapped key (80) ‖ u32be CRC32C of all before
    frame     u32be length of the sealed payload ‖ u32be CRC32C ‖ sealed payload
    CRC32C    over u64be segment ‖ u64be frame number ‖ sealed payload
    sealed    AES-256-GCM under the segment's random key, nonce u96be frame number
    payload   msgpack of ``model.Opened | Written | Piece``; frame 0 is ``Opened``, no other is

Segments and their frames are numbered from 0. The key is sealed to the recipient of the day
(``seal.Recipient``). CRC32C tells an unfinished write from a whole one without the key; that
nobody else made the frame is for AES-GCM to say. Not here: when anything is written or synced.
"""

import struct
from typing import NamedTuple

import google_crc32c
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from affidavit import ids
from affidavit.errors import CorruptError
from affidavit.record.model import Frame
from affidavit.record.seal import WRAPPED_BYTES

MAGIC = b"AFFJRNL1"
_HEADER = struct.Struct(f">8s16sQQ10s{WRAPPED_BYTES}s")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
WRAPPED_OFFSET = _HEADER.size - WRAPPED_BYTES
PREFIX = struct.Struct(">II")
"""What stands before a sealed payload: its length and its CRC32C."""

_PLACE = struct.Struct(">QQ")
_TAG = 16
OVERHEAD = PREFIX.size + _TAG
"""Bytes of a frame beyond its payload."""

MAX_PAYLOAD = 1 << 30
"""A frame's payload in bytes, at most."""

LEASE = "lease"
"""The file in a writer's directory that it holds by ``flock`` while it lives."""

_SUFFIX = ".seg"
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


class Header(NamedTuple):
    """The first bytes of a segment.

    ``before`` is the number of frames in the segment before this one, so that its end is known
    although its file is longer. ``wrapped`` is the segment's key, sealed for ``day``.
    """

    incarnation: str
    segment: int
    before: int
    day: str
    wrapped: bytes

    def pack(self) -> bytes:
        """The header's ``HEADER_BYTES`` bytes."""
        raw = _HEADER.pack(
            MAGIC,
            ids.from_b64u(self.incarnation),
            self.segment,
            self.before,
            self.day.encode("ascii"),
            self.wrapped,
        )
        return raw + _CRC.pack(google_crc32c.value(raw))

    @classmethod
    def unpack(cls, raw: bytes) -> "Header | None":
        """The header in ``raw``, or ``None`` if it is not whole (yet) or damaged."""
        body = raw[: _HEADER.size]
        if len(raw) != HEADER_BYTES or _CRC.pack(google_crc32c.value(body)) != raw[_HEADER.size :]:
            return None
        magic, incarnation, segment, before, day, wrapped = _HEADER.unpack(body)
        if magic != MAGIC or not day.isascii():
            return None
        return cls(ids.b64u(incarnation), segment, before, day.decode("ascii"), wrapped)


def segment_name(number: int) -> str:
    """File name of a segment: eight digits or more, sorted as text for the first 10^8."""
    return f"{number:08d}{_SUFFIX}"


def segment_number(name: str) -> int | None:
    """The number in a segment's file name, or ``None`` for any other file."""
    digits = name.removesuffix(_SUFFIX)
    if not (digits.isascii() and digits.isdigit()) or segment_name(int(digits)) != name:
        return None
    return int(digits)


def encode(frame: Frame) -> bytes:
    """The payload of a frame."""
    return _ENCODER.encode(frame)


def seal_frame(cipher: AESGCM, segment: int, number: int, payload: bytes) -> bytes:
    """The bytes of frame ``number``; no number may be sealed twice under one key."""
    sealed = cipher.encrypt(number.to_bytes(12, "big"), payload, None)
    return PREFIX.pack(len(sealed), _crc(segment, number, sealed)) + sealed


def is_whole(segment: int, number: int, crc: int, sealed: bytes) -> bool:
    """Whether ``sealed`` is all of what was written as frame ``number``."""
    return _crc(segment, number, sealed) == crc


def open_frame(cipher: AESGCM, number: int, sealed: bytes) -> Frame:
    """The frame in a whole sealed payload; ``CorruptError`` if it is not one of this writer's."""
    try:
        return _DECODER.decode(cipher.decrypt(number.to_bytes(12, "big"), sealed, None))
    except (InvalidTag, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CorruptError(f"Frame {number} does not open.") from error


def _crc(segment: int, number: int, sealed: bytes) -> int:
    place: int = google_crc32c.value(_PLACE.pack(segment, number))
    crc: int = google_crc32c.extend(place, sealed)
    return crc
