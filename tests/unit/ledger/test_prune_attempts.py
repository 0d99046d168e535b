"""Prunings that were begun, failed and begun again with another minimum index keep enough."""

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.durable import Disk
from affidavit.errors import CorruptError, PrunedError, UnavailableError
from affidavit.ledger import fsck, fsck_pruned, log_reader, prune, tiles
from affidavit.ledger.pruned import (
    encode,
    encode_kept,
    kept_name,
    minimum_of,
    read_snapshot,
    snapshot_name,
    split_kept,
)
from tests.faults import pruning_story
from tests.faults.pruning_story import Life, Truth, compare_files, lived, pruned_to


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """One that was lived, with tiles of 4."""
    pruning_story.small(monkeypatch)
    made = Life(tmp_path)
    yield made
    made.world.drop()


def test_a_larger_attempt_that_failed_takes_nothing_from_the_one_that_is_meant(life: Life) -> None:
    """It had written fewer leaves into the same files; what is meant needs more of them."""
    most = lived(life)
    root, disk = life.world.root, Disk()
    truth = Truth(life.world)
    less = most // 2 // tiles.WIDTH * tiles.WIDTH
    assert truth.needed(less) - truth.needed(most) & set(range(less))
    prune.prepare(disk, root, less, lambda *_: None)
    prune.mean(disk, root, less)  # and the record of it failed
    prune.prepare(disk, root, most, lambda *_: None)  # and here the process died
    assert prune.meant(root) == less
    prune.prepare(disk, root, less, lambda *_: None)
    prune.commit(disk, root, less)
    list(prune.remove(disk, root))
    assert minimum_of(root) == less
    compare_files(life.world.reader(), truth, less)


def test_a_kept_leaf_that_is_lost_is_damage_and_not_pruned(life: Life) -> None:
    """Whoever removes one cannot say that its time was over; of others that is said."""
    most = lived(life)
    root, truth = life.world.root, Truth(life.world)
    pruned_to(root, most)
    needed = truth.needed(most)
    kept = next(index for index in sorted(needed) if index % tiles.WIDTH)
    number, place = divmod(kept, tiles.WIDTH)
    hashes = tiles.TilePath(tiles.hash_row(0), number, tiles.WIDTH).text()
    for name in (kept_name(number), hashes):
        path = root / name
        data = path.read_bytes()
        path.unlink()
        for read in (life.world.reader().leaf, life.world.reader().links):
            with pytest.raises(CorruptError, match=f"{name}: leaf {kept} was kept, and is not"):
                read(kept)
        path.write_bytes(data)
    gone = next(index for index in range(most) if index not in needed)
    with pytest.raises(PrunedError):
        life.world.reader().leaf(gone)
    rest = split_kept((root / kept_name(number)).read_bytes(), "kept")
    del rest[place]
    (root / kept_name(number)).write_bytes(encode_kept((at, *rest[at]) for at in rest))
    with pytest.raises(CorruptError, match="was kept"):
        life.world.reader().leaf(kept)


def test_a_check_that_begins_beside_a_second_pruning_finds_no_damage(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept for the first one goes while it is read; the check has to begin again."""
    most = lived(life)
    root, vkeys = life.world.root, life.world.vkeys()
    less = most // 2 // tiles.WIDTH * tiles.WIDTH
    pruned_to(root, less)
    whole = fsck_pruned.begin

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(fsck_pruned, "begin", whole)
        pruned_to(root, most)
        return whole(*given)

    monkeypatch.setattr(fsck_pruned, "begin", meanwhile)
    with pytest.raises(UnavailableError, match="pruned while it was checked"):
        fsck.check(root, vkeys)
    assert fsck.check(root, vkeys).ok


@pytest.mark.parametrize("what", ["epochs", "leaves", "heads"])
def test_an_epoch_that_was_not_kept_is_found(life: Life, what: str) -> None:
    """Provers walk from each epoch leaf to the one before it, whatever a snapshot says."""
    lived(life)
    for number in range(4):
        life.do("epoch", 0)
        life.do("exchange", number)
    most = life.ready()
    root, vkeys = life.world.root, life.world.vkeys()
    pruned_to(root, most)
    assert fsck.check(root, vkeys).ok
    known = read_snapshot(root, most)
    *_, middle, last = known.epochs
    assert len(known.epochs) > 2
    gone = {"epochs": (), "leaves": (middle,), "heads": (last - 1,)}[what]
    epochs = tuple(index for index in known.epochs if index != middle or what == "heads")
    kept = array("Q", [index for index in known.kept if index not in gone])
    lie = msgspec.structs.replace(known, epochs=epochs, kept=kept)
    (root / snapshot_name(most)).write_bytes(encode(lie))
    finding = fsck.check(root, vkeys).finding
    assert finding is not None
    assert finding.object == snapshot_name(most)


def test_a_reader_forgets_in_one_thread_what_another_one_adds(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one makes room in what it had before, and not in what is empty now."""
    most = lived(life)
    reader = life.world.reader()
    data = reader.leaf(0)

    class Meanwhile(OrderedDict[Any, Any]):
        """Another thread has its turn when this one asks how full it is."""

        def __len__(self) -> int:
            found = super().__len__()
            if reader.minimum() == 0:
                pruned_to(life.world.root, most)
            reader._forget_pruned()
            return found

    for room in ("_tiles", "_kept"):
        setattr(reader, room, Meanwhile())
    monkeypatch.setattr(log_reader, "_CACHED", 0)
    assert reader.leaf(0) == data
    reader._kept = Meanwhile()
    reader._minimum = 0
    assert reader.leaf(0) == data
