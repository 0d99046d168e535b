"""COSE receipts: the worked example, and CBOR as the RFC spells it."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.ledger import merkle
from affidavit.ledger.cose import Included, ReceiptKey, Value, encode, sign
from affidavit.ledger.note import Signer

LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031")]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WORKED = (
    "d28447a2012719018b01a119018ca12081586a83050283582007506a85fd9dd2f120eb694f86011e5bb4662e5c415a"
    "62917033d4a9624487e75820fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c1255820bc"
    "1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6bf65840886daa5849cb0d89ab8dab04ec"
    "5a02fef9fe1181b8a97ca137bbd9300c77ab9740b75071e36b81edabf23acc55fa47a3a2622bfbe99490baa80be614"
    "3849e50c"
)


def _third() -> Included:
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES]
    pair, fifth = merkle.node_hash(hashes[0], hashes[1]), hashes[4]
    left = merkle.node_hash(pair, merkle.node_hash(hashes[2], hashes[3]))
    return Included(2, 5, [hashes[3], pair, fifth], merkle.node_hash(left, fifth))


def test_the_worked_receipt() -> None:
    """Leaf 2 of the tree of 5, byte for byte as another implementation accepts it."""
    assert sign(_third(), KEY, {}).hex() == WORKED


def test_key_id_and_claims_are_under_the_signature() -> None:
    """They stand in the protected header, which the signature covers."""
    vkey = Signer("audit.example/receipts", bytes(range(32))).vkey
    told = ReceiptKey("audit.example", bytes(range(32)), vkey).receipt(_third(), "0199")
    kid = bytes.fromhex(vkey.split("+")[1])
    claims: dict[int, Value] = {1: -8, 4: kid, 15: {1: "audit.example", 2: "0199"}, 395: 1}
    protected = encode(claims)
    assert protected in told
    signed = encode(["Signature1", protected, b"", _third().root])
    KEY.public_key().verify(told[-64:], signed)
    assert told[-64:] != sign(_third(), KEY, {})[-64:]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1000, "1903e8"),
        (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"),
        (2**64 - 1, "1bffffffffffffffff"),
        (-1, "20"),
        (-1000, "3903e7"),
        (None, "f6"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("ü", "62c3bc"),
        ([1, [2, 3]], "8201820203"),
        ({1: 2, 3: 4}, "a201020304"),
        ({3: 4, 1: 2, -1: 0}, "a3010203042000"),
    ],
)
def test_cbor_is_deterministic(value: Value, expected: str) -> None:
    """Examples of RFC 8949, appendix A, and the order of keys of §4.2.1."""
    assert encode(value).hex() == expected


def test_too_large_a_number_is_refused() -> None:
    """There is no bignum here."""
    with pytest.raises(ValueError, match="too large"):
        encode(2**64)


def test_the_tree_of_the_example_is_the_one_of_the_specification() -> None:
    """So that the receipt above is over a root known from elsewhere."""
    assert hashlib.sha256(b"").digest() == merkle.EMPTY_ROOT
    assert _third().root.hex().startswith("4e3bbb1f")
