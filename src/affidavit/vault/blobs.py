"""What is inside a sealed blob: a disclosure, or a part with its salt and media type.

A section: u8 method ‖ the disclosure's ASCII. A part: u8 method ‖ salt (16) ‖ u16be length ‖ media
type ‖ the bytes. Method 0 leaves disclosure or bytes as they are, 1 is one zstd frame (RFC 8878)
with its content size. Each blob is sealed under its own random key; associated data is the
record's id followed by the section's or part's name, so a blob opens in its own place only.

Compression is per blob. Compression against the previous turn of a session is not done here.
"""

from typing import NamedTuple

import zstandard

from affidavit.errors import CorruptError
from affidavit.ids import SALT_BYTES
from affidavit.record.model import Part

_AS_IS, _ZSTD = 0, 1
_WORTH_TRYING = 256
"""Bytes below which zstd saves less than it costs."""

_LEVEL = 3


class OpenedPart(NamedTuple):
    """A part as it was put in: ``salt`` and ``data`` are what its digest commits to."""

    salt: bytes
    media_type: str
    data: bytes


class Packer:
    """Lays out blobs before they are sealed. Keeps a compressor: one per writer, not shared."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL)

    def section(self, disclosure: str) -> bytes:
        """The blob of one section, not yet sealed."""
        method, data = self._squeezed(disclosure.encode("ascii"))
        return bytes((method,)) + data

    def part(self, part: Part, body: bytes) -> bytes:
        """The blob of one content part, not yet sealed."""
        method, data = self._squeezed(body)
        media_type = part.media_type.encode()
        return b"".join(
            (bytes((method,)), part.salt, len(media_type).to_bytes(2, "big"), media_type, data)
        )

    def _squeezed(self, data: bytes) -> tuple[int, bytes]:
        if len(data) >= _WORTH_TRYING:
            smaller = self._zstd.compress(data)
            if len(smaller) < len(data):
                return _ZSTD, smaller
        return _AS_IS, data


def open_section(blob: bytes) -> str:
    """The disclosure inside an opened blob; ``CorruptError`` if it is none."""
    try:
        return _restored(blob[0], blob[1:]).decode("ascii")
    except (IndexError, ValueError) as error:
        raise CorruptError("A section in the vault is not laid out as one.") from error


def open_part(blob: bytes) -> OpenedPart:
    """The part inside an opened blob; ``CorruptError`` if it is none."""
    at = 1 + SALT_BYTES + 2
    end = at + int.from_bytes(blob[at - 2 : at], "big")
    if end > len(blob):
        raise CorruptError("A part in the vault is shorter than it says.")
    try:
        media_type = blob[at:end].decode()
        return OpenedPart(blob[1 : at - 2], media_type, _restored(blob[0], blob[end:]))
    except ValueError as error:
        raise CorruptError("A part in the vault is not laid out as one.") from error


def _restored(method: int, data: bytes) -> bytes:
    if method == _AS_IS:
        return data
    if method != _ZSTD:
        raise ValueError(f"unknown method {method}")
    try:
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError("not a zstd frame") from error
