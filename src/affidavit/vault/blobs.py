"""What is inside a sealed blob: a disclosure, or a part with its salt and media type.

A section: u8 method ‖ the disclosure's ASCII. A part: u8 method ‖ salt (16) ‖ u16be length ‖ media
type ‖ the bytes. Method 0 leaves disclosure or bytes as they are, 1 is one zstd frame (RFC 8878)
with its content size. Each blob is sealed under its own random key; associated data is the
record's id followed by the section's or part's name, so a blob opens in its own place only.

Compression is per blob. Compression against the previous turn of a session is not done here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import zstandard

from affidavit.errors import CorruptError
from affidavit.ids import SALT_BYTES
from affidavit.record.disclose import open_disclosure
from affidavit.record.model import Part

_AS_IS, _ZSTD = b"\x00", b"\x01"
_WORTH_TRYING = 256
"""Bytes below which zstd saves less than it costs."""

_LEVEL = 3


class OpenedPart(NamedTuple):
    """A part as it was put in: ``salt`` and ``data`` are what its digest commits to."""

    salt: bytes
    media_type: str
    data: bytes


class Plain(NamedTuple):
    """What a blob is made of: ``head`` stays as it is, ``data`` is compressed if that saves."""

    head: bytes
    data: bytes


def plain_section(disclosure: str) -> Plain:
    """What the blob of one section is made of."""
    return Plain(b"", disclosure.encode("ascii"))


def plain_part(part: Part, body: bytes) -> Plain:
    """What the blob of one content part is made of."""
    media_type = part.media_type.encode()
    return Plain(part.salt + len(media_type).to_bytes(2, "big") + media_type, body)


class Packer:
    """Lays out blobs before they are sealed. Keeps a compressor: one per writer, not shared."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL)

    def pack(self, plain: Sequence[Plain]) -> list[bytes]:
        """The blobs of all these, not yet sealed; other threads go on while they are compressed."""
        large: list[bytes | bytearray | memoryview] = [
            data for _, data in plain if len(data) >= _WORTH_TRYING
        ]
        smaller = iter(self._zstd.multi_compress_to_buffer(large) if large else ())
        blobs = []
        for head, data in plain:
            squeezed = next(smaller).tobytes() if len(data) >= _WORTH_TRYING else data
            if len(squeezed) < len(data):
                blobs.append(_ZSTD + head + squeezed)
            else:
                blobs.append(_AS_IS + head + data)
        return blobs


def open_section(blob: bytes) -> str:
    """The disclosure inside an opened blob; ``CorruptError`` if it is none."""
    try:
        return _restored(blob[:1], blob[1:]).decode("ascii")
    except ValueError as error:
        raise CorruptError("A section in the vault is not laid out as one.") from error


def open_part(blob: bytes) -> OpenedPart:
    """The part inside an opened blob; ``CorruptError`` if it is none."""
    at = 1 + SALT_BYTES + 2
    end = at + int.from_bytes(blob[at - 2 : at], "big")
    if end > len(blob):
        raise CorruptError("A part in the vault is shorter than it says.")
    try:
        media_type = blob[at:end].decode()
        return OpenedPart(blob[1 : at - 2], media_type, _restored(blob[:1], blob[end:]))
    except ValueError as error:
        raise CorruptError("A part in the vault is not laid out as one.") from error


def listed_parts(content: str) -> dict[str, str]:
    """The parts that a content section lists: name → b64u digest."""
    value = open_disclosure(content, "content")
    listed = value.get("parts", []) if isinstance(value, dict) else []
    return {
        str(part["name"]): str(part["digest"])
        for part in listed
        if isinstance(part, dict) and "name" in part and "digest" in part
    }


def _restored(method: bytes, data: bytes) -> bytes:
    if method == _AS_IS:
        return data
    if method != _ZSTD:
        raise ValueError(f"unknown method {method.hex()}")
    try:
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError("not a zstd frame") from error
