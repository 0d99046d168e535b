"""A log that another implementation wrote, read with our reader and verifiers."""

import pytest

from affidavit.ledger import merkle, note, tiles
from affidavit.ledger.log_reader import LogReader
from tests.paths import shared

VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SIZE = 15


@pytest.fixture
def reader() -> LogReader:
    """The log as its files show it."""
    return LogReader(shared("vectors", "tessera-log"), note.Verifier.from_vkey(VKEY))


def _checkpoints() -> dict[int, bytes]:
    """The root at each size for which the log kept a checkpoint."""
    roots = {}
    for path in shared("vectors", "tessera-log").glob("checkpoint.*"):
        checkpoint = note.open_checkpoint(path.read_bytes(), note.Verifier.from_vkey(VKEY))
        assert checkpoint.size == int(path.suffix[1:])
        roots[checkpoint.size] = checkpoint.root
    return roots


def test_every_checkpoint_is_signed_and_is_the_root_of_the_tiles(reader: LogReader) -> None:
    """All of them, from size 0 on; the tiles give each root."""
    roots = _checkpoints()
    assert set(roots) == set(range(SIZE + 1))
    assert reader.checkpoint().size == SIZE
    for size, root in roots.items():
        assert reader.root(size) == root


def test_every_entry_is_included(reader: LogReader) -> None:
    """Under the newest checkpoint; the bytes match their hashes in the tile."""
    root = reader.checkpoint().root
    for index in range(SIZE):
        data = reader.leaf(index)
        path = reader.inclusion(index, SIZE)
        merkle.verify_inclusion(index, SIZE, merkle.leaf_hash(data), path, root)


def test_every_older_checkpoint_is_consistent_with_every_newer(reader: LogReader) -> None:
    """One history."""
    roots = _checkpoints()
    pairs = [(a, b) for a in roots for b in roots if 0 < a <= b]
    for older, newer in pairs:
        path = reader.consistency(older, newer)
        merkle.verify_consistency(older, newer, roots[older], roots[newer], path)
    assert len(pairs) == SIZE * (SIZE + 1) // 2


def test_its_files_are_named_as_ours_would_be() -> None:
    """Every tile path in it is one that we read, and the ones that its size needs are there."""
    root = shared("vectors", "tessera-log")
    found = {str(path.relative_to(root)) for path in (root / "tile").rglob("*") if path.is_file()}
    assert all(tiles.parse_path(name).text() == name for name in found)
    needed = {path.text() for path in tiles.tiles_of(SIZE) if path.row != tiles.LINKS}
    assert needed <= found
