"""Inclusion proofs as COSE receipts (RFC 9942), for tools that speak CBOR.

Rules: a receipt is a COSE_Sign1 (tag 18) whose payload, the Merkle root, is detached: whoever
checks it has the leaf and works the root out. Protected header: 1 (alg) −8 EdDSA, 4 (kid) the key
id, 15 (CWT claims) 1 issuer and 2 subject as RFC 9943 §6 asks for, 395 (vds) 1, RFC9162_SHA256.
Unprotected: 396 (vdp) with −1, one inclusion proof, ``[size, index, [hashes]]`` as CBOR in a byte
string. CBOR is written in the deterministic form of RFC 8949 §4.2.1. The receipt key signs these,
never the log's key, which signs checkpoints and nothing else. Not here: reading receipts; other
programs do that.
"""

from collections.abc import Mapping, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.ledger.note import Verifier

_ALG, _KID, _CLAIMS, _VDS, _VDP = 1, 4, 15, 395, 396
_EDDSA, _RFC9162_SHA256, _INCLUSION = -8, 1, -1
_ISSUER, _SUBJECT = 1, 2
_COSE_SIGN1 = b"\xd2"

Value = int | bytes | str | None | Sequence["Value"] | Mapping[int, "Value"]


class Included(msgspec.Struct, frozen=True):
    """Where a leaf stands: ``path`` is the RFC 6962 audit path, leaf sibling first."""

    index: int
    size: int
    path: Sequence[bytes]
    root: bytes


class ReceiptKey:
    """The receipt key as an issuer: ``seed`` is its 32 bytes, ``vkey`` its public half."""

    def __init__(self, origin: str, seed: bytes, vkey: str) -> None:
        self._origin = origin
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._kid = Verifier.from_vkey(vkey).key_id

    def receipt(self, included: Included, record_id: str) -> bytes:
        """The receipt, as CBOR, that a record's leaf is in the log."""
        claims = {_ISSUER: self._origin, _SUBJECT: record_id}
        return sign(included, self._key, {_KID: self._kid, _CLAIMS: claims})


def sign(included: Included, key: Ed25519PrivateKey, more: Mapping[int, "Value"]) -> bytes:
    """A receipt with ``more`` in its protected header, as CBOR."""
    protected = encode({_ALG: _EDDSA, _VDS: _RFC9162_SHA256, **more})
    signature = key.sign(encode(["Signature1", protected, b"", included.root]))
    proof = encode([included.size, included.index, list(included.path)])
    return _COSE_SIGN1 + encode([protected, {_VDP: {_INCLUSION: [proof]}}, None, signature])


def encode(value: Value) -> bytes:
    """CBOR of integers, byte and text strings, null, arrays, and maps with integers as keys."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, Mapping):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    return _head(4, len(value)) + b"".join(map(encode, value))


def _head(major: int, number: int) -> bytes:
    """Major type and argument in the fewest bytes (RFC 8949 §3)."""
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
    raise ValueError("the number is too large for CBOR")
