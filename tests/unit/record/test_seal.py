"""Sealing to a day's key, and blobs in pieces."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CorruptError
from affidavit.record import seal
from affidavit.record.seal import (
    PIECE_BYTES,
    Recipient,
    RecipientKey,
    open_blob,
    seal_blob,
    sealed_size,
)

KEY = b"k" * 32
SIZES = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 5]


def test_a_key_sealed_for_a_day_opens_with_that_days_key_only() -> None:
    """The holder of the private half opens it, kept bytes and all; another day's key does not."""
    key = RecipientKey.generate("2026-11-23")
    wrapped = key.recipient.wrap(KEY)
    assert len(wrapped) == seal.WRAPPED_BYTES
    assert RecipientKey.from_private("2026-11-23", key.private_bytes()).open(wrapped) == KEY
    with pytest.raises(CorruptError, match="2026-11-23"):
        RecipientKey.generate("2026-11-23").open(wrapped)
    with pytest.raises(CorruptError, match="2026-11-24"):
        RecipientKey.from_private("2026-11-24", key.private_bytes()).open(wrapped)


def test_hpke_is_that_of_rfc_9180() -> None:
    """A base-mode message for the documented suite and info, made apart from this, opens."""
    key = RecipientKey.generate("2026-11-23")
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    public = X25519PublicKey.from_public_bytes(key.recipient.public)
    assert key.open(suite.encrypt(KEY, public, b"affidavit/journal/v1\x002026-11-23")) == KEY


def test_any_flipped_byte_of_a_sealed_key_is_refused() -> None:
    """Encapsulated key, ciphertext and tag are all checked."""
    key = RecipientKey.generate("2026-11-23")
    wrapped = key.recipient.wrap(KEY)
    for position in range(len(wrapped)):
        bad = bytearray(wrapped)
        bad[position] ^= 0x40
        with pytest.raises(CorruptError):
            key.open(bytes(bad))
    for cut in (b"", wrapped[:-1], wrapped + b"\0"):
        with pytest.raises(CorruptError):
            key.open(cut)


def test_a_writer_holds_nothing_that_opens() -> None:
    """``Recipient`` is the day and the public half, and neither form of the key shows itself."""
    key = RecipientKey.generate("2026-11-23")
    assert Recipient._fields == ("day", "public")
    assert key.recipient.public != key.private_bytes()
    assert repr(key) == "<RecipientKey 2026-11-23>"


@pytest.mark.parametrize("size", SIZES)
def test_blobs_of_every_size_open_and_have_the_size_that_is_told(size: int) -> None:
    """At each boundary of a piece: the same bytes back, and ``sealed_size`` is right."""
    data = bytes(size)
    sealed = seal_blob(KEY, data, b"record part")
    assert len(sealed) == sealed_size(size)
    assert open_blob(KEY, sealed, b"record part") == data


@given(st.binary(max_size=300), st.data())
def test_any_change_to_a_blob_is_refused(data: bytes, draw: st.DataObject) -> None:
    """A flipped bit anywhere, a cut, an addition, another key or another place: no bytes."""
    sealed = seal_blob(KEY, data, b"a")
    position = draw.draw(st.integers(0, len(sealed) * 8 - 1))
    bad = bytearray(sealed)
    bad[position // 8] ^= 1 << position % 8
    cut = draw.draw(st.integers(0, len(sealed) - 1))
    for other in (bytes(bad), sealed[:cut], sealed + b"\0"):
        with pytest.raises(CorruptError):
            open_blob(KEY, other, b"a")
    with pytest.raises(CorruptError):
        open_blob(b"q" * 32, sealed, b"a")
    with pytest.raises(CorruptError):
        open_blob(KEY, sealed, b"b")


def test_pieces_are_neither_dropped_nor_swapped_nor_repeated() -> None:
    """The counter and the last flag are part of each piece's nonce."""
    step = PIECE_BYTES + 16
    sealed = seal_blob(KEY, b"a" * PIECE_BYTES + b"b" * PIECE_BYTES + b"c" * PIECE_BYTES, b"")
    prefix, pieces = sealed[:7], [sealed[7 + n * step : 7 + (n + 1) * step] for n in range(3)]
    for order in ([0, 1], [0, 2], [1, 0, 2], [0, 0, 1, 2], [0, 1, 2, 2], [2], [0]):
        with pytest.raises(CorruptError):
            open_blob(KEY, prefix + b"".join(pieces[n] for n in order), b"")


def test_a_piece_is_plain_aes_gcm_under_the_documented_nonce() -> None:
    """The format can be opened with AES-256-GCM alone: prefix ‖ u32be counter ‖ last flag."""
    sealed = seal_blob(KEY, b"x" * (PIECE_BYTES + 3), b"part")
    prefix, second = sealed[:7], sealed[7 + PIECE_BYTES + 16 :]
    assert AESGCM(KEY).decrypt(prefix + b"\0\0\0\1\1", second, b"part") == b"xxx"
    with pytest.raises(InvalidTag):
        AESGCM(KEY).decrypt(prefix + b"\0\0\0\1\0", second, b"part")


def test_two_seals_of_the_same_bytes_differ() -> None:
    """The prefix is random."""
    assert seal_blob(KEY, b"x", b"") != seal_blob(KEY, b"x", b"")
