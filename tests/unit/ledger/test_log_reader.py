"""Reading a log from its files: what is right, what is wrong, what is not there."""

from pathlib import Path

import pytest

from affidavit.errors import CorruptError, NotFoundError
from affidavit.ledger import leaf, merkle, tiles
from affidavit.ledger.chains import LINK_BYTES, link_digest
from affidavit.ledger.log_reader import LogReader
from affidavit.record.model import Chain
from tests.world.ledger import World, Writer, signer


def test_leaves_and_links_are_what_was_placed(world: World) -> None:
    """Exact bytes, one by one and in a range; links in the order of the leaf's digests."""
    plan = world.put(Writer().exchange(model="x"))
    world.log.publish()
    reader = world.reader()
    for placed in plan.placed:
        assert reader.leaf(placed.index) == placed.leaf
        assert reader.links(placed.index) == placed.links
        assert reader.decoded(placed.index) == leaf.decode(placed.leaf)
        assert [link_digest(link) for link in placed.links] == list(
            reader.decoded(placed.index).links
        )
        assert all(len(link) == LINK_BYTES for link in placed.links)
    assert list(reader.leaves(1, 3)) == [(placed.index, placed.leaf) for placed in plan.placed]
    assert reader.links(0) == ()


def test_nothing_beyond_the_checkpoint_is_read(world: World) -> None:
    """Committed is not published; the reader follows when the checkpoint moves."""
    reader = world.reader()
    assert reader.leaf(0)
    world.put(Writer().exchange())
    for index in (1, 2, 3, -1):
        with pytest.raises(NotFoundError):
            reader.leaf(index)
    with pytest.raises(NotFoundError):
        reader.root(2)
    world.log.publish()
    assert reader.leaf(2)
    with pytest.raises(NotFoundError):
        reader.leaf(3)


def test_a_log_without_a_checkpoint_has_nothing(tmp_path: Path) -> None:
    """Not an error of the log."""
    with pytest.raises(NotFoundError, match="no checkpoint"):
        LogReader(tmp_path).leaf(0)


def test_the_checkpoint_is_checked_where_a_key_is_given(world: World) -> None:
    """And given back exactly as it is."""
    reader = world.reader()
    data = (world.root / "checkpoint").read_bytes()
    assert reader.checkpoint_bytes() == data
    assert reader.checkpoint().root == world.log.root
    (world.root / "checkpoint").write_bytes(data.replace(b"\n1\n", b"\n2\n"))
    with pytest.raises(CorruptError, match="checkpoint: The signature"):
        reader.checkpoint()
    assert LogReader(world.root).checkpoint().size == 2
    (world.root / "checkpoint").write_bytes(data)


def test_a_full_tile_stands_in_for_a_partial_one(world: World) -> None:
    """A reader with an older checkpoint goes on when the partial tiles are gone."""
    writer = Writer()
    world.put([writer.request() for _ in range(100)])
    world.log.publish()
    reader = world.reader()
    assert reader.checkpoint().size == 101
    root = reader.root(101)
    world.put([writer.request() for _ in range(200)])
    world.log.publish()
    assert not (world.root / "tile/0/000.p/101").exists()
    fresh = world.reader()
    fresh._size = 101
    assert fresh.root(101) == root
    assert fresh.leaf(100) == reader.leaf(100)


def test_proofs_lead_to_the_signed_root(world: World) -> None:
    """Inclusion of every leaf and consistency between all sizes, across a tile boundary."""
    writer = Writer()
    for _ in range(3):
        world.put([writer.request() for _ in range(100)])
    world.log.publish()
    reader = world.reader()
    size, root = reader.checkpoint().size, reader.checkpoint().root
    assert size == 301
    for index in range(0, size, 7):
        path = reader.inclusion(index, size)
        merkle.verify_inclusion(index, size, merkle.leaf_hash(reader.leaf(index)), path, root)
    for older in range(1, size + 1, 13):
        path = reader.consistency(older, size)
        merkle.verify_consistency(older, size, reader.root(older), root, path)
    hashes = [merkle.leaf_hash(reader.leaf(index)) for index in range(256)]
    assert reader.subtree(8, 0) == merkle.root(hashes)
    assert reader.subtree(3, 5) == merkle.root(hashes[40:48])
    for wrong in ((-1, size), (size, size), (0, size + 1)):
        with pytest.raises(NotFoundError):
            reader.inclusion(*wrong)
    for pair in ((0, size), (3, 2), (1, size + 1)):
        with pytest.raises(NotFoundError):
            reader.consistency(*pair)


def test_a_chain_is_walked_backwards(world: World) -> None:
    """From its last leaf, newest first; a leaf of another chain breaks it off."""
    writer = Writer()
    for model in ("x", "y", "x", "y", "x"):
        world.put([writer.request(model=model)])
    world.log.publish()
    reader = world.reader()
    chain_id = world.log.epoch.key(Chain("acme", "model", "x"))[1:]
    assert [index for index, _ in reader.walk(chain_id, 5)] == [5, 3, 1]
    assert reader.link_of(2, chain_id) is None
    with pytest.raises(CorruptError, match="not in the chain"):
        list(reader.walk(chain_id, 4))


@pytest.mark.parametrize("row", ["tile/entries", "links", "tile/0"])
def test_what_is_wrong_is_named(world: World, row: str) -> None:
    """By its path: a changed byte, a missing file, a cut one."""
    world.put(Writer().exchange())
    world.log.publish()
    path = world.root / tiles.tile_for(row, 1, 3).text()
    data = path.read_bytes()
    for changed in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], data + data[-1:], None):
        path.unlink()
        if changed is not None:
            path.write_bytes(changed)
        with pytest.raises(CorruptError, match=r"000\.p/3"):
            world.reader().links(2)
    path.write_bytes(data)
    assert world.reader().links(2)


def test_tiles_that_disagree_give_no_proof(world: World) -> None:
    """A proof that would not verify is not handed out."""
    writer = Writer()
    world.put([writer.request() for _ in range(300)])
    world.log.publish()
    path = world.root / "tile/1/000.p/1"
    data = path.read_bytes()
    path.write_bytes(bytes(32))
    with pytest.raises(CorruptError, match="disagree"):
        world.reader().inclusion(3, 301)
    path.write_bytes(data)


def test_epochs_are_walked_back_to_leaf_0(world: World) -> None:
    """By ``previous``; a leaf that opens none is refused."""
    assert [one.index for one in world.reader().epochs(0)] == [0]
    world.put(Writer().exchange())
    world.log.publish()
    with pytest.raises(CorruptError, match="does not open an epoch"):
        world.reader().epochs(1)


def test_one_reader_does_not_remember_everything(world: World) -> None:
    """The cache of tiles is bounded."""
    writer = Writer()
    for _ in range(70):
        world.put([writer.request()])
        world.log.publish()
    reader = LogReader(world.root, signer().verifier())
    for size in range(1, 71):
        reader._size = size
        assert reader.leaf(size - 1)
    assert len(reader._tiles) == 64
