"""The bytes of a segment."""

import google_crc32c
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from affidavit import ids
from affidavit.errors import CorruptError
from affidavit.record import journal_format as form
from affidavit.record.model import Opened, Piece
from affidavit.record.seal import WRAPPED_BYTES

HEADER = form.Header(ids.b64u(bytes(range(16))), 7, 3, "2026-11-23", b"w" * WRAPPED_BYTES)
CIPHER = AESGCM(b"k" * 32)


def test_crc_is_castagnolis() -> None:
    """RFC 3720 B.4: 32 zero bytes, 32 bytes of ones, and the usual check string."""
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    assert google_crc32c.value(b"\xff" * 32) == 0x62A8AB43
    assert google_crc32c.value(b"123456789") == 0xE3069283
    assert google_crc32c.implementation == "c"


def test_header_bytes_are_those_documented() -> None:
    """Field by field, in the documented order."""
    raw = HEADER.pack()
    body = (
        b"AFFJRNL1"
        + bytes(range(16))
        + (7).to_bytes(8, "big")
        + (3).to_bytes(8, "big")
        + b"2026-11-23"
        + b"w" * 80
    )
    assert raw == body + google_crc32c.value(body).to_bytes(4, "big")
    assert len(raw) == form.HEADER_BYTES == 134
    assert raw[form.WRAPPED_OFFSET :][:WRAPPED_BYTES] == HEADER.wrapped
    assert form.Header.unpack(raw) == HEADER


def test_a_header_with_any_bit_changed_is_none() -> None:
    """Cut, longer, zero, or changed anywhere: not a header."""
    raw = HEADER.pack()
    for position in range(len(raw) * 8):
        bad = bytearray(raw)
        bad[position // 8] ^= 1 << position % 8
        assert form.Header.unpack(bytes(bad)) is None
    for other in (b"", raw[:-1], raw + b"\0", bytes(len(raw))):
        assert form.Header.unpack(other) is None


@pytest.mark.parametrize(("field", "value"), [(0, b"AFFJRNL2"), (24, b"\xff" * 8), (40, b"\xff")])
def test_a_header_of_another_kind_is_none(field: int, value: bytes) -> None:
    """A right CRC over another magic or a day that is no text is refused; numbers are free."""
    body = bytearray(HEADER.pack()[:-4])
    body[field : field + len(value)] = value
    raw = bytes(body) + google_crc32c.value(bytes(body)).to_bytes(4, "big")
    assert (form.Header.unpack(raw) is None) == (field != 24)


@given(st.integers(0, 10**9))
def test_segment_names_go_there_and_back(number: int) -> None:
    """A number has one name, and the names of the first 10^8 sort as the numbers do."""
    name = form.segment_name(number)
    assert form.segment_number(name) == number


@pytest.mark.parametrize(
    "name", ["lease", "1.seg", "00000001", "0000000١.seg", "00000001.seg.tmp", "-0000001.seg", ""]
)
def test_other_files_have_no_segment_number(name: str) -> None:
    """Whatever else lies in the directory is not a segment."""
    assert form.segment_number(name) is None


def test_a_frame_is_length_crc_and_sealed_payload() -> None:
    """Opened with nothing but AES-256-GCM, the nonce u96be frame number, and CRC32C."""
    payload = form.encode(Piece("r", b"data"))
    raw = form.seal_frame(CIPHER, 5, 9, payload)
    length, crc = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:8], "big")
    sealed = raw[8:]
    assert length == len(sealed) == len(payload) + 16
    place = (5).to_bytes(8, "big") + (9).to_bytes(8, "big")
    assert crc == google_crc32c.value(place + sealed)
    assert CIPHER.decrypt((9).to_bytes(12, "big"), sealed, None) == payload
    assert form.is_whole(5, 9, crc, sealed)
    assert not form.is_whole(5, 8, crc, sealed)
    assert not form.is_whole(4, 9, crc, sealed)


@given(st.binary(max_size=80))
def test_what_is_no_frame_is_corrupt_and_nothing_else(payload: bytes) -> None:
    """Sealed rightly, but not one of the three frames: ``CorruptError``."""
    sealed = CIPHER.encrypt((0).to_bytes(12, "big"), payload, None)
    with pytest.raises(CorruptError):
        form.open_frame(CIPHER, 0, sealed)
    with pytest.raises(CorruptError):
        form.open_frame(CIPHER, 1, sealed)
    with pytest.raises(CorruptError):
        form.open_frame(CIPHER, 0, payload)


def test_a_frame_at_another_place_does_not_open() -> None:
    """The frame's number is its nonce."""
    frame = Opened("i", 0, "w", "at")
    sealed = CIPHER.encrypt((3).to_bytes(12, "big"), form.encode(frame), None)
    assert form.open_frame(CIPHER, 3, sealed) == frame
    with pytest.raises(CorruptError):
        form.open_frame(CIPHER, 4, sealed)
