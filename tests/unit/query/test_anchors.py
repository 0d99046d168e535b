"""Which note an answer rests on, and what is taken of what outsiders said."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.errors import CorruptError
from affidavit.ledger.note import COSIGNATURE, Cosigner
from affidavit.query import anchors
from affidavit.query.anchors import checkpoint_over
from tests.attacks.world import World

WITNESS = Cosigner("w.example", COSIGNATURE, bytes([1]) * 32)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A ledger with an exchange, published."""
    made = World(tmp_path / "log")
    made.exchange()
    made.heads()
    yield made
    made.close()


def test_without_witnesses_it_is_the_published_one(world: World) -> None:
    """Nothing is waited for where nothing is cosigned and no time is given."""
    data, found = checkpoint_over(world.reader, 0)
    assert data == world.reader.checkpoint_bytes()
    assert found == world.reader.checkpoint()


def test_a_cosigned_one_is_taken_if_it_covers_the_answer(world: World) -> None:
    """Older than the published one, but with cosignatures: enough for what it covers."""
    cosigned = world.cosign(WITNESS)
    size = world.reader.checkpoint().size
    world.heads()
    assert checkpoint_over(world.reader, size - 1) == (
        cosigned,
        checkpoint_over(world.reader, 0)[1],
    )
    data, found = checkpoint_over(world.reader, size)
    assert data == world.reader.checkpoint_bytes()
    assert found.size > size


def test_it_waits_for_the_witness(world: World) -> None:
    """A cosignature that comes within the time is waited for; later ones are not."""
    world.cosign(WITNESS)
    world.heads()
    newest = world.reader.checkpoint().size - 1
    started = time.monotonic()
    assert checkpoint_over(world.reader, newest, 0.2)[0] == world.reader.checkpoint_bytes()
    assert time.monotonic() - started >= 0.2
    thread = threading.Timer(0.1, lambda: world.cosign(WITNESS))
    thread.start()
    data, _ = checkpoint_over(world.reader, newest, 30.0)
    thread.join()
    assert b"w.example" in data


def test_a_note_of_another_log_or_of_nothing_is_left_aside(world: World, tmp_path: Path) -> None:
    """What is not a note of this log, or of more than it has published, is as if it were not."""
    published = world.reader.checkpoint_bytes()
    text = published.replace(b"ledger.example/test\n", b"ledger.example/else\n", 1)
    larger = published.replace(b"\n4\n", b"\n400\n", 1)
    assert larger != published
    for data in (b"", b"nonsense", text, larger):
        (world.root / "cosigned").write_bytes(data)
        assert checkpoint_over(world.reader, 0)[0] == published
    (world.root / "timestamps").mkdir()
    for name in ("x.tsr", "-1.tsr", "400.tsr", "0.tsr", "3.tsr", "٣.tsr"):
        (world.root / "timestamps" / name).write_bytes(b"token")
    assert anchors.stamps(world.reader, [0, 1, 2], world.reader.checkpoint()) == ()


def test_a_note_over_another_tree_stops_the_answer(world: World, tmp_path: Path) -> None:
    """Our log as somebody else saw it, and as it is now, are two logs: that is not passed over."""
    other = World(tmp_path / "other")
    other.exchange(model="gpt-x")
    other.heads()
    other.cosign(WITNESS)
    (world.root / "cosigned").write_bytes((other.root / "cosigned").read_bytes())
    with pytest.raises(CorruptError, match="cosigned is over another tree of 4 leaves"):
        checkpoint_over(world.reader, 0)
    other.close()


def test_each_leaf_is_covered_by_its_earliest_timestamp(world: World) -> None:
    """Of those there are, the first behind each leaf; none twice, none beyond the checkpoint."""
    sizes = []
    for _ in range(4):
        sizes.append(world.stamp())
        world.add()
        world.heads()
    checkpoint = world.reader.checkpoint()
    every = [
        stamp.size for stamp in anchors.stamps(world.reader, range(checkpoint.size), checkpoint)
    ]
    assert every == sizes
    some = anchors.stamps(world.reader, [0, sizes[0], sizes[0] + 1, sizes[2]], checkpoint)
    assert [stamp.size for stamp in some] == [sizes[0], sizes[1], sizes[3]]
    assert all(stamp.proof for stamp in some)
    smaller = checkpoint._replace(size=sizes[1], root=world.reader.root(sizes[1]))
    within = anchors.stamps(world.reader, range(checkpoint.size), smaller)
    assert [stamp.size for stamp in within] == sizes[:2]
    assert within[-1].proof == ()
