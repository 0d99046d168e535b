"""RFC 6962 Merkle trees over SHA-256: hashes, an append-only tree, proofs and their checks.

Rules: a leaf is hashed behind 00 and a node behind 01 (RFC 6962 §2.1), so neither can pass for
the other; a tree of n leaves splits at the largest power of two below n; the empty tree has the
hash of the empty string. Every hash handed in is 32 bytes or is refused. A root does not commit
to its size: whoever compares roots compares sizes too, and size 0 (which needs no proof) is
judged by the caller. Not here: where hashes are stored (``tiles``), who signs a root (``note``).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from affidavit.errors import CheckFailedError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""

Subtree = Callable[[int, int], bytes]
"""``(level, i)`` → hash over the 2^level leaves from i·2^level on; all of them exist."""

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(00 ‖ data), RFC 6962 §2.1."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 ‖ left ‖ right), RFC 6962 §2.1."""
    return _sha256(b"\x01" + left + right).digest()


class Tree:
    """The right edge of a growing tree: the roots of its perfect subtrees, largest first.

    Holds at most log2(size) + 1 hashes. ``size`` is the number of leaves.
    """

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        if len(edge) != size.bit_count():
            raise ValueError("a tree has one perfect subtree for each bit of its size")
        self.size = size
        self._edge = list(edge)

    def edge(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees, largest first, for ``Tree(size, edge)``."""
        return tuple(self._edge)

    def copy(self) -> "Tree":
        """An independent tree of the same leaves."""
        return Tree(self.size, self._edge)

    def extend(self, hashes: Iterable[bytes], step: int = 8) -> list[tuple[int, bytes]]:
        """Append leaf hashes; return the roots that tiles of height ``step`` hold above level 0.

        Each is ``(level, hash)`` with level ≥ 1, the root of 2^(step·level) leaves, in the order
        in which they became known.
        """
        edge, size, risen = self._edge, self.size, []
        for node in hashes:
            height, carry = 0, size
            while carry & 1:
                node = _sha256(b"\x01" + edge.pop() + node).digest()  # noqa: PLW2901
                carry >>= 1
                height += 1
                if height % step == 0:
                    risen.append((height // step, node))
            edge.append(node)
            size += 1
        self.size = size
        return risen

    def append_subtree(self, height: int, node: bytes) -> None:
        """Append the root of 2^height leaves; ``size`` is a multiple of 2^height."""
        if self.size & ((1 << height) - 1):
            raise ValueError("a subtree starts at a multiple of its size")
        carry = self.size >> height
        while carry & 1:
            node = node_hash(self._edge.pop(), node)
            carry >>= 1
        self._edge.append(node)
        self.size += 1 << height

    def root(self) -> bytes:
        """MTH of all leaves so far."""
        if not self._edge:
            return EMPTY_ROOT
        node = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            node = node_hash(left, node)
        return node


def root(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes that are all at hand."""
    tree = Tree()
    tree.extend(hashes)
    return tree.root()


def perfect_levels(hashes: Sequence[bytes]) -> list[bytearray]:
    """All levels of a tree over 2^b leaf hashes, leaves first, 32 bytes a node."""
    if len(hashes) & (len(hashes) - 1) or not hashes:
        raise ValueError("a perfect tree has a power of two leaves")
    levels = [bytearray(b"".join(hashes))]
    while len(levels[-1]) > HASH_BYTES:
        below = bytes(levels[-1])
        levels.append(
            bytearray(
                b"".join(
                    [
                        _sha256(b"\x01" + below[at : at + 64]).digest()
                        for at in range(0, len(below), 64)
                    ]
                )
            )
        )
    return levels


def perfect_path(levels: Sequence[bytearray], index: int) -> tuple[bytes, ...]:
    """Inclusion path of leaf ``index`` in a tree of ``perfect_levels``, leaf sibling first."""
    path = []
    for level in levels[:-1]:
        sibling = (index ^ 1) * HASH_BYTES
        path.append(bytes(level[sibling : sibling + HASH_BYTES]))
        index >>= 1
    return tuple(path)


def range_hash(begin: int, end: int, subtree: Subtree) -> bytes:
    """MTH(D[begin:end]) as it occurs in a tree: ``begin`` is a multiple of the range's span."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append(subtree(level, begin >> level))
        begin += 1 << level
    node = nodes.pop()
    while nodes:
        node = node_hash(nodes.pop(), node)
    return node


def inclusion_path(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, leaf sibling first; 0 ≤ index < size."""
    if not 0 <= index < size:
        raise ValueError("index outside the tree")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        split = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if index < split:
            path.append(range_hash(split, end, subtree))
            end = split
        else:
            path.append(range_hash(begin, split, subtree))
            begin = split
    path.reverse()
    return path


def consistency_path(older: int, newer: int, subtree: Subtree) -> list[bytes]:
    """PROOF(older, D[newer]) of RFC 6962 §2.1.2; 0 < older ≤ newer; empty for equal sizes."""
    if not 0 < older <= newer:
        raise ValueError("sizes out of order")
    path = []
    begin, end, whole = 0, newer, True
    while older != end:
        split = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if older <= split:
            path.append(range_hash(split, end, subtree))
            end = split
        else:
            path.append(range_hash(begin, split, subtree))
            begin, whole = split, False
    if not whole:
        path.append(range_hash(begin, end, subtree))
    path.reverse()
    return path


def _check_lengths(*hashes: bytes) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise CheckFailedError("A hash of the proof is not 32 bytes long.")


def verify_inclusion(
    index: int, size: int, leaf: bytes, path: Sequence[bytes], expected: bytes
) -> None:
    """Check that the leaf with hash ``leaf`` is number ``index`` of the tree (size, expected).

    RFC 9162 §2.1.3.2. ``CheckFailedError`` if not.
    """
    _check_lengths(leaf, expected, *path)
    if not 0 <= index < size:
        raise CheckFailedError("The index is outside the tree.")
    position, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise CheckFailedError("The inclusion proof is too long.")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or node != expected:
        raise CheckFailedError("The inclusion proof does not lead to the root.")


def verify_consistency(
    older: int, newer: int, older_root: bytes, newer_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree (older, older_root) is the beginning of (newer, newer_root).

    RFC 9162 §2.1.4.2 with 0 < older ≤ newer; the caller judges size 0. ``CheckFailedError`` if
    the proof does not hold.
    """
    _check_lengths(older_root, newer_root, *path)
    if not 0 < older <= newer:
        raise CheckFailedError("The sizes are not in order.")
    if older == newer:
        if path or older_root != newer_root:
            raise CheckFailedError("Two trees of the same size have different roots.")
        return
    rest = list(path)
    if older & (older - 1) == 0:
        rest.insert(0, older_root)
    if not rest:
        raise CheckFailedError("The consistency proof is empty.")
    position, last = older - 1, newer - 1
    while position & 1:
        position >>= 1
        last >>= 1
    first = second = rest[0]
    for node in rest[1:]:
        if last == 0:
            raise CheckFailedError("The consistency proof is too long.")
        if position & 1 or position == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            second = node_hash(second, node)
        position >>= 1
        last >>= 1
    if last != 0 or first != older_root or second != newer_root:
        raise CheckFailedError("The consistency proof does not lead to both roots.")
