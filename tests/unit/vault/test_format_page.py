"""The example on the page of the vault's format is true, byte by byte."""

import re
import zlib
from pathlib import Path

from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from affidavit.clock import from_unix_us
from affidavit.vault import wraps
from affidavit.vault.blobs import OpenedPart, open_part, open_section
from affidavit.vault.opening import HOLD_MAGIC, hold_path
from affidavit.vault.segments import MAGIC
from tests.paths import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "format" / "vault.md").read_text(encoding="utf-8")
_ID = "01930f6e-7a00-7000-8000-000000000001"
_B, _S = bytes(range(32)), bytes(range(32, 64))
_KEYS = [bytes(range(64, 96)), bytes(range(96, 128))]


def _blocks() -> list[str]:
    return re.findall(r"```\n(.*?)```", _PAGE, flags=re.DOTALL)


def _wrapping(secret: bytes) -> bytes:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"affidavit/wrap/v1")
    return kdf.derive(secret)


def test_the_example_opens_by_hand_and_by_the_program() -> None:
    """Header, entry, wraps and blobs are what the page says, read without and with our reader."""
    who, segment, packed = _blocks()[:3]
    sealed, data = bytes.fromhex(segment), bytes.fromhex(packed)
    assert data[:16] == b"AFWRAPS1" + (1).to_bytes(8, "big")
    length, checksum = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert (length, checksum) == (len(data) - 24, zlib.crc32(data[24:]))
    entry = wraps.unpack(data[16:])
    assert wraps.pack(entry) == data[16:]
    assert (entry.index, entry.offset, entry.id, entry.subjects) == (7, len(MAGIC), _ID, (3,))
    wrapping = [_wrapping(_B), _wrapping(_B + _S)]
    plain, at = [], entry.offset
    for blob, key, secret in zip(entry.blobs, _KEYS, wrapping, strict=True):
        assert keywrap.aes_key_unwrap(secret, blob.wrapped) == key
        nonce = bytes(range(7)) + b"\0\0\0\0\x01"
        one = sealed[at : at + blob.size]
        assert one[:7] == nonce[:7]
        plain.append(AESGCM(key).decrypt(nonce, one[7:], (_ID + blob.name).encode()))
        at += blob.size
    assert at == len(sealed)
    assert [(blob.kind, blob.name) for blob in entry.blobs] == [(0, "who"), (7, "request.body")]
    assert open_section(plain[0]) == who.strip()
    assert open_part(plain[1]) == OpenedPart(bytes(16), "text/plain", b"hello")


def test_the_hold_and_the_erasure_are_as_the_page_says() -> None:
    """The hold's file opens by its key alone; of the wrap that was taken away the time is left."""
    segment, packed, hold, erased = [bytes.fromhex(block) for block in _blocks()[1:]]
    before, held, after = [wraps.unpack(data[16:]) for data in (packed, hold, erased)]
    assert hold[:16] == HOLD_MAGIC + (2).to_bytes(8, "big")
    assert erased[:16] == packed[:16]
    assert hold_path(Path("00000000000000000007.seg"), 2).name in _PAGE
    assert (held.index, held.offset, held.id, held.subjects) == (7, before.offset, _ID, ())
    secret = _wrapping(bytes(range(128, 160)))
    for blob, key in zip(held.blobs, _KEYS, strict=True):
        assert keywrap.aes_key_unwrap(secret, blob.wrapped) == key
    assert after.blobs[0] == before.blobs[0]
    gone = after.blobs[1]
    assert gone[:3] == before.blobs[1][:3]
    since = int.from_bytes(gone.wrapped[32:], "big")
    assert gone.wrapped[:32] == bytes(32)
    assert from_unix_us(since) == "2026-12-24T00:00:00.000000Z" == wraps.taken_at(gone.wrapped)
    begin = before.offset + before.blobs[0].size
    assert f"its {gone.size} bytes in the segment, from {begin} on," in _PAGE
    assert begin + gone.size == len(segment)
