"""The map of heads: for every chain of an epoch its last link, provable in one bucket.

Rules: 2^b buckets by the first b bits of the chain id; a bucket is its entries sorted by chain
id, ``chain id (16) ‖ SHA-256("affidavit/head/v1" ‖ 00 ‖ u64be last index ‖ last link)``, the empty
one the empty string; the root is the RFC 6962 root over the buckets as leaves. b starts at 16 and
grows so that a bucket stays under about 128 entries. The map stands still between two heads
leaves, so that proofs fit the leaf that is published; what changed meanwhile is worked into a
``Step`` beside it, in as many goes as the caller likes, and adopted with the next leaf. Adopting
is one assignment, because it happens while commits wait: proofs look into the adopted step first,
and whoever works out the next one writes it into the map before. Not here: the links themselves,
when a heads leaf is due (``log``).
"""

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from affidavit.errors import CheckFailedError
from affidavit.ledger import merkle
from affidavit.ledger.chains import LINK_BYTES, parse_link

FIRST_BITS = 16
ENTRY_BYTES = 48
FULL = 64
"""Mean number of entries of a bucket above which the map gets twice as many buckets."""

VALUE_BYTES = 8 + LINK_BYTES
"""A head in memory: u64be index of the chain's last leaf ‖ its last link."""

_HEAD = b"affidavit/head/v1\x00"
_sha256 = hashlib.sha256


def head_hash(value: bytes) -> bytes:
    """What stands for a chain in its bucket; ``value`` is u64be index ‖ link, 57 bytes."""
    return _sha256(_HEAD + value).digest()


def bucket_number(chain_id: bytes, bits: int) -> int:
    """The bucket of a chain: the first ``bits`` bits of its id."""
    return int.from_bytes(chain_id[:8], "big") >> (64 - bits)


def bits_for(count: int) -> int:
    """How many bits a map of ``count`` chains has."""
    bits = FIRST_BITS
    while count > FULL << bits:
        bits += 1
    return bits


class HeadProof(msgspec.Struct, frozen=True):
    """Where a chain stood, or that there was none, under the heads leaf ``index``.

    ``epoch``: index of its epoch leaf; ``number``: of the bucket; ``bucket``: its bytes; ``path``:
    ``bits`` hashes, leaf sibling first; ``n``: links in the chain, 0 for none; ``last``: index of
    the chain's last leaf and ``link`` its last link, ``None`` for none.
    """

    index: int
    epoch: int
    bits: int
    chain_id: bytes
    number: int
    bucket: bytes
    path: tuple[bytes, ...]
    n: int
    last: int | None
    link: bytes | None


def verify_head(proof: HeadProof, bits: int, root: bytes) -> None:
    """Check a proof against a heads leaf's ``bits`` and ``map``; ``CheckFailedError`` if wrong."""
    if proof.bits != bits or proof.number != bucket_number(proof.chain_id, bits):
        raise CheckFailedError("The bucket is not the one of the chain.")
    ids = [proof.bucket[at : at + 16] for at in range(0, len(proof.bucket), ENTRY_BYTES)]
    if len(proof.bucket) % ENTRY_BYTES or any(a >= b for a, b in itertools.pairwise(ids)):
        raise CheckFailedError("The bucket is not sorted entries.")
    merkle.verify_inclusion(
        proof.number, 1 << bits, merkle.leaf_hash(proof.bucket), proof.path, root
    )
    if proof.link is None or proof.last is None:
        if proof.chain_id in ids or proof.n or proof.link is not None or proof.last is not None:
            raise CheckFailedError("The chain has a head that is not shown.")
        return
    if proof.chain_id not in ids:
        raise CheckFailedError("The chain has no head in its bucket.")
    at = ids.index(proof.chain_id) * ENTRY_BYTES
    value = proof.last.to_bytes(8, "big") + proof.link
    link = parse_link(proof.link)
    if (
        proof.bucket[at + 16 : at + ENTRY_BYTES] != head_hash(value)
        or link.chain_id != proof.chain_id
        or link.n != proof.n
    ):
        raise CheckFailedError("The head is not the one in the bucket.")


@functools.cache
def _empty(bits: int) -> tuple[bytes, ...]:
    """The node of each level of a map without chains, leaves first."""
    nodes = [merkle.leaf_hash(b"")]
    for _ in range(bits):
        nodes.append(merkle.node_hash(nodes[-1], nodes[-1]))
    return tuple(nodes)


class Step:
    """Changes to a map that are worked out and not yet adopted."""

    def __init__(self, depth: int) -> None:
        self.buckets: dict[int, bytes] = {}
        self.nodes: list[dict[int, bytes]] = [{} for _ in range(depth)]
        self.added = 0
        self.root = b""


class HeadsMap:
    """The map as of one heads leaf; grows by ``advance`` and ``adopt``.

    Memory: 48 bytes a chain and about 100 a bucket.
    """

    def __init__(self, bits: int | None = None) -> None:
        self.bits = bits = FIRST_BITS if bits is None else bits
        self.count = 0
        self._adopted = Step(bits + 1)
        self._buckets = [b""] * (1 << bits)
        self._levels = [bytearray(node) * (1 << bits - i) for i, node in enumerate(_empty(bits))]

    @classmethod
    def build(cls, values: Mapping[bytes, bytes], bits: int | None = None) -> "HeadsMap":
        """The map of ``values``: 17-byte key (dimension ‖ chain id) → u64be index ‖ link."""
        made = cls(bits_for(len(values)) if bits is None else bits)
        made.adopt(made.advance(values.items()))
        return made

    @property
    def root(self) -> bytes:
        """RFC 6962 root over the buckets, 32 bytes."""
        return self._adopted.root or bytes(self._levels[-1])

    @property
    def outgrown(self) -> bool:
        """Whether ``grown`` makes a new map, which takes a while."""
        return bits_for(self.count) > self.bits

    @property
    def unwritten(self) -> int:
        """How many adopted buckets the next ``advance`` writes into the map first."""
        return len(self._adopted.buckets)

    def advance(self, changes: Iterable[tuple[bytes, bytes]], on: Step | None = None) -> Step:
        """Work ``changes`` (key, value) in, on top of ``on`` if given; the map stays as it is.

        ``on`` is used up. May run in another thread than the one that reads the map.
        """
        return self.enter(((key[1:], head_hash(value)) for key, value in changes), on)

    def enter(self, heads: Iterable[tuple[bytes, bytes]], on: Step | None = None) -> Step:
        """As ``advance``, with (chain id, head hash)."""
        self._write_in()
        step = on or Step(len(self._levels))
        touched = set()
        shift = 64 - self.bits
        for chain_id, head in heads:
            number = int.from_bytes(chain_id[:8], "big") >> shift
            bucket = step.buckets.get(number)
            if bucket is None:
                bucket = self._buckets[number]
            patched = _patched(bucket, chain_id, head)
            step.added += len(patched) > len(bucket)
            step.buckets[number] = patched
            touched.add(number)
        for number in touched:
            step.nodes[0][number] = _sha256(b"\x00" + step.buckets[number]).digest()
        for height in range(1, len(self._levels)):
            touched = {number >> 1 for number in touched}
            below, nodes = step.nodes[height - 1], step.nodes[height]
            kept = self._levels[height - 1]
            for number in touched:
                at = number << 1
                left = below.get(at) or kept[at << 5 : (at << 5) + 32]
                right = below.get(at + 1) or kept[(at << 5) + 32 : (at << 5) + 64]
                nodes[number] = _sha256(b"\x01" + left + right).digest()
        step.root = step.nodes[-1].get(0, self.root)
        return step

    def adopt(self, step: Step) -> None:
        """Make the changes of ``step``, which was worked out on this very map."""
        self._write_in()
        self._adopted = step
        self.count += step.added

    def _write_in(self) -> None:
        """Write the adopted step into the map; who reads meanwhile finds the same in either."""
        step = self._adopted
        for number, bucket in step.buckets.items():
            self._buckets[number] = bucket
        for level, nodes in zip(self._levels, step.nodes, strict=True):
            for number, node in nodes.items():
                level[number << 5 : (number << 5) + 32] = node
        self._adopted = Step(len(self._levels))

    def grown(self) -> "HeadsMap":
        """This map, or the same one with as many buckets as its chains now ask for."""
        return self.resized(bits_for(self.count)) if self.outgrown else self

    def resized(self, bits: int) -> "HeadsMap":
        """The same chains in a map of 2^bits buckets."""
        other = HeadsMap(bits)
        other.adopt(other.enter((entry[:16], entry[16:]) for entry in self.entries()))
        return other

    def entries(self) -> Iterator[bytes]:
        """Every chain id with its head hash, 48 bytes, in ascending order."""
        self._write_in()
        for bucket in self._buckets:
            for at in range(0, len(bucket), ENTRY_BYTES):
                yield bucket[at : at + ENTRY_BYTES]

    def prove(self, index: int, epoch: int, key: bytes, value: bytes | None) -> HeadProof:
        """The proof for the chain of ``key`` whose head in this map is ``value``.

        ``index`` and ``epoch`` are those of the heads leaf and its epoch leaf.
        """
        number = bucket_number(key[1:], self.bits)
        adopted = self._adopted  # one and the same, should it be written in meanwhile
        path = []
        for height in range(self.bits):
            at = (number >> height) ^ 1
            kept = bytes(self._levels[height][at << 5 : (at << 5) + 32])
            path.append(adopted.nodes[height].get(at, kept))
        bucket = adopted.buckets.get(number, self._buckets[number])
        last = link = None
        n = 0
        if value is not None:
            last, link = int.from_bytes(value[:8], "big"), value[8:]
            n = int.from_bytes(value[41:49], "big")
        return HeadProof(
            index, epoch, self.bits, key[1:], number, bucket, tuple(path), n, last, link
        )


def _position(bucket: bytes, chain_id: bytes) -> int:
    """Offset of the first entry whose chain id is not below ``chain_id``."""
    low, high = 0, len(bucket) // ENTRY_BYTES
    while low < high:
        middle = (low + high) // 2
        at = middle * ENTRY_BYTES
        if bucket[at : at + 16] < chain_id:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_BYTES


def _patched(bucket: bytes, chain_id: bytes, head: bytes) -> bytes:
    at = _position(bucket, chain_id)
    if bucket[at : at + 16] == chain_id:
        return bucket[: at + 16] + head + bucket[at + ENTRY_BYTES :]
    return bucket[:at] + chain_id + head + bucket[at:]
