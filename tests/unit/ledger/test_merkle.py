"""RFC 6962 trees against the RFC's own text and a naive recursive definition."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CheckFailedError
from affidavit.ledger import merkle

INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: ("e3b0c442", "b855"),
    1: ("6e340b9c", "a01d"),
    2: ("fac54203", "c125"),
    3: ("aeb6bcfe", "6e77"),
    4: ("d37ee418", "14b7"),
    5: ("4e3bbb1f", "64d4"),
    6: ("76e67dad", "87ef"),
    7: ("ddb89be4", "4c8c"),
    8: ("5dc9da79", "4328"),
}


def naive(hashes: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962 §2.1 writes it, over leaf hashes."""
    if not hashes:
        return merkle.EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return merkle.node_hash(naive(hashes[:split]), naive(hashes[split:]))


def subtree_of(hashes: Sequence[bytes]) -> merkle.Subtree:
    """Subtrees by the naive definition."""
    return lambda level, i: naive(hashes[i << level : (i + 1) << level])


def some_hashes(count: int) -> list[bytes]:
    """Distinct leaf hashes."""
    return [merkle.leaf_hash(b"%d" % i) for i in range(count)]


@pytest.mark.parametrize("size", ROOTS)
def test_roots_of_the_known_inputs(size: int) -> None:
    """The roots that everybody's test vectors have."""
    found = merkle.root([merkle.leaf_hash(data) for data in INPUTS[:size]]).hex()
    start, end = ROOTS[size]
    assert found.startswith(start)
    assert found.endswith(end)


def test_leaves_and_nodes_are_hashed_apart() -> None:
    """A leaf whose bytes are 01 ‖ left ‖ right does not hash as the node."""
    left, right = some_hashes(2)
    assert merkle.leaf_hash(b"\x01" + left + right) != merkle.node_hash(left, right)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_tree_extended_in_two_goes_has_the_naive_root(first: int, more: int) -> None:
    """At any split, and its copy stays where it was."""
    hashes = some_hashes(first + more)
    tree = merkle.Tree()
    tree.extend(hashes[:first])
    before = tree.copy()
    tree.extend(hashes[first:])
    assert (tree.size, tree.root()) == (first + more, naive(hashes))
    assert (before.size, before.root()) == (first, naive(hashes[:first]))


def test_extend_gives_the_roots_that_tiles_hold() -> None:
    """With tiles of height 2, levels 1 and 2 come out as they become known."""
    hashes = some_hashes(37)
    tree = merkle.Tree()
    risen = tree.extend(hashes[:5], step=2) + tree.extend(hashes[5:], step=2)
    level1 = [naive(hashes[i * 4 : i * 4 + 4]) for i in range(9)]
    assert [node for level, node in risen if level == 1] == level1
    assert [node for level, node in risen if level == 2] == [
        naive(hashes[:16]),
        naive(hashes[16:32]),
    ]


def test_a_tree_is_made_of_as_many_subtrees_as_its_size_has_bits() -> None:
    """An edge of the wrong length, or a subtree out of place, is refused."""
    with pytest.raises(ValueError, match="perfect subtree"):
        merkle.Tree(3, some_hashes(1))
    tree = merkle.Tree(1, some_hashes(1))
    with pytest.raises(ValueError, match="multiple of its size"):
        tree.append_subtree(1, some_hashes(1)[0])


@given(st.integers(1, 130), st.data())
def test_inclusion_proofs_hold_and_fit_nothing_else(size: int, data: st.DataObject) -> None:
    """PATH verifies; not for another index, leaf, size, root, nor longer or shorter."""
    hashes = some_hashes(size)
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(index, size, subtree_of(hashes))
    root = naive(hashes)
    merkle.verify_inclusion(index, size, hashes[index], path, root)
    other = merkle.leaf_hash(b"other")
    wrong: list[tuple[int, int, bytes, list[bytes], bytes]] = [
        (index, size, other, path, root),
        (index, size, hashes[index], path, other),
        (index, size, hashes[index], [*path, other], root),
        (index + size, size, hashes[index], path, root),
        (-1, size, hashes[index], path, root),
        (index, size, hashes[index][:31], path, root),
        (index, size, hashes[index], path, root[:31]),
    ]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        wrong.append((index, size, hashes[index], path[:-1], root))
        wrong.append((index, size, hashes[index], [*path[:at], other, *path[at + 1 :]], root))
        wrong.append((index, size, hashes[index], [*path[:at], b"", *path[at + 1 :]], root))
        wrong.append((index ^ 1, size, hashes[index], path, root))
    for case in wrong:
        with pytest.raises(CheckFailedError):
            merkle.verify_inclusion(*case)


@given(st.integers(1, 130), st.data())
def test_consistency_proofs_hold_and_fit_nothing_else(newer: int, data: st.DataObject) -> None:
    """PROOF verifies between any two sizes; not with another root, size or hash."""
    hashes = some_hashes(newer)
    older = data.draw(st.integers(1, newer))
    path = merkle.consistency_path(older, newer, subtree_of(hashes))
    first, second, other = naive(hashes[:older]), naive(hashes), merkle.leaf_hash(b"other")
    merkle.verify_consistency(older, newer, first, second, path)
    wrong: list[tuple[int, int, bytes, bytes, list[bytes]]] = [
        (older, newer, other, second, path),
        (older, newer, first, other, path),
        (older, newer, first, second, [*path, other]),
        (0, newer, first, second, path),
        (newer + 1, newer, first, second, path),
        (older, newer, first[:31], second, path),
    ]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        wrong.append((older, newer, first, second, path[:-1]))
        wrong.append((older, newer, first, second, [*path[:at], other, *path[at + 1 :]]))
    for case in wrong:
        with pytest.raises(CheckFailedError):
            merkle.verify_consistency(*case)


def test_two_histories_from_one_beginning_are_not_consistent() -> None:
    """A fork shows to anybody who has the older root."""
    hashes = some_hashes(9)
    forked = [*hashes[:4], *some_hashes(20)[15:]]
    path = merkle.consistency_path(6, 9, subtree_of(forked))
    with pytest.raises(CheckFailedError):
        merkle.verify_consistency(6, 9, naive(hashes[:6]), naive(forked), path)


def test_proofs_outside_the_tree_are_not_made() -> None:
    """A wrong question is the caller's mistake."""
    with pytest.raises(ValueError, match="outside"):
        merkle.inclusion_path(3, 3, subtree_of(some_hashes(3)))
    with pytest.raises(ValueError, match="order"):
        merkle.consistency_path(0, 3, subtree_of(some_hashes(3)))


def test_perfect_trees_give_paths_without_recursion() -> None:
    """All levels of 16 leaves; every path verifies; 3 leaves are not a perfect tree."""
    hashes = some_hashes(16)
    levels = merkle.perfect_levels(hashes)
    assert bytes(levels[-1]) == naive(hashes)
    for index in range(16):
        path = merkle.perfect_path(levels, index)
        merkle.verify_inclusion(index, 16, hashes[index], path, naive(hashes))
    with pytest.raises(ValueError, match="power of two"):
        merkle.perfect_levels(hashes[:3])
