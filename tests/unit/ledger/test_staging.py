"""The staging file: whole frames back, up to the first that is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.errors import CorruptError
from affidavit.ledger import staging, tiles
from affidavit.ledger.staging import Batch, Staging
from tests.world.fakedisk import FakeEffects


def put(stage: Staging, first: int, count: int) -> Batch:
    """Append a batch of that many leaves."""
    entries = [b"leaf %d" % (first + at) for at in range(count)]
    links = [b"l" * 49 * at for at in range(count)]
    stage.append(first, [tiles.frame(x) for x in entries], [tiles.frame(x) for x in links])
    return Batch(3, first, entries, links)


def test_batches_are_read_back(tmp_path: Path) -> None:
    """In order, with the fencing epoch of their file; an empty file has none."""
    stage = Staging(Disk(), tmp_path, 3, 0)
    ((fencing, path),) = staging.files(tmp_path)
    assert list(staging.read(fencing, path)) == []
    batches = [put(stage, 0, 4), put(stage, 4, 1), put(stage, 5, 3)]
    assert list(staging.read(fencing, path)) == batches
    stage.close()


def test_a_batch_is_durable_by_one_write_and_one_sync(tmp_path: Path) -> None:
    """Nothing else happens on the disk for a batch."""
    effects = FakeEffects(tmp_path)
    stage = Staging(Disk(effects), tmp_path, 3, 0)
    before = len(effects.trace)
    put(stage, 0, 500)
    name = f"staging/{3:010d}-{0:020d}"
    assert effects.calls(before) == [f"pwrite({name})", f"fdatasync({name})"]
    stage.close()


def test_files_are_found_in_order_and_strangers_are_not(tmp_path: Path) -> None:
    """By fencing epoch, then by first index."""
    assert staging.files(tmp_path) == []
    for fencing, first in ((2, 9), (1, 30), (2, 10)):
        Staging(Disk(), tmp_path, fencing, first).close()
    (tmp_path / "staging" / "note.txt").write_bytes(b"")
    found = [(fencing, int(path.name[-20:])) for fencing, path in staging.files(tmp_path)]
    assert found == [(1, 30), (2, 9), (2, 10)]


def test_a_full_file_is_replaced_once_its_leaves_are_in_tiles(tmp_path: Path) -> None:
    """The new one is there before the old one goes."""
    effects = FakeEffects(tmp_path)
    stage = Staging(Disk(effects), tmp_path, 3, 0)
    put(stage, 0, 4)
    stage.published(4)
    assert len(staging.files(tmp_path)) == 1
    first, made = 4, [put(stage, 4, 4)]
    while stage._file.size < staging.FILE_BYTES:
        first += 4
        made.append(put(stage, first, 4))
    before = len(effects.trace)
    stage.published(first + 4)
    names = [call.split("(")[0] for call in effects.calls(before)]
    assert names.index("open") < names.index("unlink")
    ((fencing, path),) = staging.files(tmp_path)
    assert path.name.endswith(f"-{first + 4:020d}")
    assert list(staging.read(fencing, path)) == []
    stage.close()


@given(st.integers(0, 400), st.integers(0, 7))
def test_a_damaged_frame_ends_the_file(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    """Whatever bit is flipped: the frames before it, and nothing that was not written."""
    directory = tmp_path_factory.mktemp("staging")
    stage = Staging(Disk(), directory, 3, 0)
    batches = [put(stage, 0, 3), put(stage, 3, 2), put(stage, 5, 1)]
    size = stage._file.size
    stage.close()
    ((_, path),) = staging.files(directory)
    data = bytearray(path.read_bytes())
    data[at % size] ^= 1 << bit
    path.write_bytes(data)
    found = list(staging.read(3, path))
    assert found == batches[: len(found)]
    assert len(found) < 3
    path.write_bytes(data[: at % size])
    cut = list(staging.read(3, path))
    assert cut == batches[: len(cut)]


def test_a_frame_with_the_right_sum_and_wrong_inside_is_corrupt(tmp_path: Path) -> None:
    """Not a torn write, so not passed over."""
    stage = Staging(Disk(), tmp_path, 3, 0)
    stage.append(0, [tiles.frame(b"leaf")], [])
    stage.close()
    ((_, path),) = staging.files(tmp_path)
    with pytest.raises(CorruptError, match="malformed frame"):
        list(staging.read(3, path))
