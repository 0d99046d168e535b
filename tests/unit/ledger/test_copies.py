"""Copies of checkpoints elsewhere: kept, never made older, compared at a start."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import CorruptError, UnavailableError
from affidavit.ledger import copies, note
from tests.world.crash_states import crash_states, materialise
from tests.world.fakedisk import FakeEffects
from tests.world.ledger import ORIGIN, World, Writer, newest, signer


def _note(size: int, root: bytes = bytes(32)) -> bytes:
    return note.sign_checkpoint(note.Checkpoint(ORIGIN, size, root), [signer()])


def test_the_newest_is_replaced_and_some_stay(tmp_path: Path) -> None:
    """Below a directory named by the origin; an older note replaces no newer one."""
    place = copies.place(tmp_path, ORIGIN)
    assert place.name == "3955020484cfcb94c1032aee52c46a1bc125f2b33604afe1e306308f94c44151"
    assert copies.newest(tmp_path, ORIGIN) is None
    assert copies.keep(Disk(), tmp_path, _note(5), stays=True) == 5
    copies.keep(Disk(), tmp_path, _note(9), stays=False)
    copies.keep(Disk(), tmp_path, _note(7), stays=True)
    assert sorted(path.name for path in place.iterdir()) == [
        "5.checkpoint",
        "7.checkpoint",
        "newest",
    ]
    assert (place / "newest").read_bytes() == _note(9)
    found = copies.newest(tmp_path, ORIGIN)
    assert found is not None
    assert (found[0].name, found[1].size) == ("newest", 9)


def test_a_place_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A disk that is not mounted; said in a sentence."""
    away = tmp_path / "mnt"
    with pytest.raises(UnavailableError, match="is not there, so no checkpoint is copied"):
        copies.keep(Disk(), away, _note(5), stays=True)
    with pytest.raises(UnavailableError, match="are not compared"):
        copies.newest(away, ORIGIN)
    assert not away.exists()
    away.mkdir()
    (copies.place(away, ORIGIN)).write_text("a file")
    with pytest.raises(UnavailableError, match="takes no copy"):
        copies.keep(Disk(), away, _note(5), stays=False)


def test_a_copy_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It neither counts nor is it passed over in silence."""
    copies.keep(Disk(), tmp_path, _note(5), stays=True)
    (copies.place(tmp_path, ORIGIN) / "newest").write_bytes(b"x")
    with pytest.raises(UnavailableError, match="newest is no checkpoint"):
        copies.newest(tmp_path, ORIGIN)
    copies.keep(Disk(), tmp_path, _note(6), stays=False)  # and it is replaced
    assert copies.newest(tmp_path, ORIGIN) is not None


def test_copies_are_compared_with_the_log(world: World, tmp_path: Path) -> None:
    """Of its history and not ahead: good. Ahead, or another root: the start is refused."""
    place = tmp_path / "copies"
    place.mkdir()
    reader = world.reader()
    copies.compare(place, ORIGIN, reader, 1)
    copies.keep(Disk(), place, newest(world.root), stays=True)
    world.put(Writer().exchange())
    world.log.publish()
    copies.compare(place, ORIGIN, reader, 3)
    copies.keep(Disk(), place, newest(world.root), stays=False)
    copies.compare(place, ORIGIN, reader, 3)
    with pytest.raises(CorruptError, match="newest has 3 leaves, of which 1 are here") as caught:
        copies.compare(place, ORIGIN, reader, 1)
    assert "Delete nothing" in caught.value.hint
    copies.keep(Disk(), place, _note(3), stays=False)
    with pytest.raises(CorruptError, match="newest is of another history: its 3 leaves"):
        copies.compare(place, ORIGIN, reader, 3)
    copies.compare(place, "another/log", reader, 3)  # copies of other logs are none of ours


def test_a_loss_of_power_leaves_whole_copies(tmp_path: Path) -> None:
    """The old one or the new one, and none is older than what was promised."""
    root = tmp_path / "copies"
    root.mkdir()
    effects = FakeEffects(root)
    disk, promised = Disk(effects), [(0, 0)]
    for size in (5, 6, 7):
        copies.keep(disk, root, _note(size), stays=size == 6)
        promised.append((len(effects.trace), size))
    states = crash_states(effects)
    for number, state in enumerate(states):
        place = tmp_path / str(number)
        materialise(state, place)
        owed = max(size for after, size in promised if after <= state.after)
        found = copies.newest(place, ORIGIN)
        assert (found[1].size if found else 0) >= owed
    assert len(states) > 20
