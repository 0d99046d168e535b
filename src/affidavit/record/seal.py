"""Sealing: the journal's keys to the sequencer's key of the day, and blobs under their own key.

Rules: a segment key is sealed by HPKE (RFC 9180, base mode, X25519, HKDF-SHA-256, AES-256-GCM)
to the recipient of a day, with the day as ``info``, so a writer that holds only ``Recipient``
reads nothing back. A blob is AES-256-GCM in pieces of 64 KiB, each with the nonce: 7 random
bytes ‖ u32be counter ‖ last flag, so that pieces are neither swapped nor dropped unnoticed; the
caller names in ``associated`` what the blob belongs to. Not here: where keys are kept, compression.
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from affidavit import ids
from affidavit.errors import CorruptError

WRAPPED_BYTES = 80
"""A sealed segment key: encapsulated key 32, ciphertext 32, tag 16."""

PIECE_BYTES = 65536
PREFIX_BYTES = 7
"""Random bytes that all nonces of a blob begin with."""

_TAG = 16
_ONLY = b"\x00\x00\x00\x00\x01"
"""Counter and last flag of the first piece when it is the last one, too."""

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Recipient(NamedTuple):
    """The public half of a key of the day: ``day`` is ``YYYY-MM-DD``, ``public`` 32 raw bytes."""

    day: str
    public: bytes

    def wrap(self, key: bytes) -> bytes:
        """Seal a key of 32 bytes so that only the holder of the private half opens it: 80 bytes."""
        return _SUITE.encrypt(key, X25519PublicKey.from_public_bytes(self.public), _info(self.day))


class RecipientKey:
    """A key of the day with its private half; only the sequencer holds one."""

    def __init__(self, day: str, private: X25519PrivateKey) -> None:
        self.day = day
        self._private = private

    def __repr__(self) -> str:
        return f"<RecipientKey {self.day}>"

    @classmethod
    def generate(cls, day: str) -> "RecipientKey":
        """Make a new key for ``day`` (``YYYY-MM-DD``)."""
        return cls(day, X25519PrivateKey.generate())

    @classmethod
    def from_private(cls, day: str, private: bytes) -> "RecipientKey":
        """Take up a key that was kept as ``private_bytes``."""
        return cls(day, X25519PrivateKey.from_private_bytes(private))

    @property
    def recipient(self) -> Recipient:
        """The half that writers get."""
        return Recipient(self.day, self._private.public_key().public_bytes_raw())

    def private_bytes(self) -> bytes:
        """32 raw bytes, to be wrapped before they are kept."""
        return self._private.private_bytes_raw()

    def open(self, wrapped: bytes) -> bytes:
        """Return the key inside; ``CorruptError`` if it was sealed to another key or damaged."""
        try:
            return _SUITE.decrypt(wrapped, self._private, _info(self.day))
        except InvalidTag as error:
            raise CorruptError(f"A key sealed for {self.day} does not open.") from error


def seal_blob(key: bytes, data: bytes, associated: bytes, prefix: bytes | None = None) -> bytes:
    """Seal ``data`` under a key of 32 bytes that seals nothing else; see ``sealed_size``.

    ``associated`` is authenticated with each piece and must be given again to open. ``prefix``
    are 7 random bytes of whoever draws them for many blobs at once.
    """
    cipher = AESGCM(key)
    if prefix is None:
        prefix = ids.random_bytes(PREFIX_BYTES)
    if len(data) <= PIECE_BYTES:  # nearly always
        return prefix + cipher.encrypt(prefix + _ONLY, data, associated)
    count = _pieces(len(data))
    view = memoryview(data)
    out = [prefix]
    for index in range(count):
        piece = view[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
        out.append(cipher.encrypt(_nonce(prefix, index, count), piece, associated))
    return b"".join(out)


def open_blob(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Return what was sealed; ``CorruptError`` after any change, cut or addition."""
    cipher = AESGCM(key)
    view = memoryview(sealed)
    prefix, body = bytes(view[:PREFIX_BYTES]), view[PREFIX_BYTES:]
    step = PIECE_BYTES + _TAG
    count = max(1, -(-len(body) // step))
    try:
        return b"".join(
            cipher.decrypt(
                _nonce(prefix, index, count), body[index * step : (index + 1) * step], associated
            )
            for index in range(count)
        )
    except (InvalidTag, ValueError) as error:
        raise CorruptError("Sealed content does not open: it was changed or cut.") from error


def sealed_size(size: int) -> int:
    """Bytes that ``seal_blob`` makes of ``size`` bytes: 7, and 16 more for each piece begun."""
    return PREFIX_BYTES + size + _TAG * _pieces(size)


def _pieces(size: int) -> int:
    return max(1, -(-size // PIECE_BYTES))


def _nonce(prefix: bytes, index: int, count: int) -> bytes:
    return prefix + index.to_bytes(4, "big") + (b"\x01" if index == count - 1 else b"\x00")


def _info(day: str) -> bytes:
    return b"affidavit/journal/v1\x00" + day.encode()
