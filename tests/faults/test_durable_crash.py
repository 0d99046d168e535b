"""What ``durable`` promises, in every state that a loss of power may leave."""

from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.record.keys import KeyEncryptionKey, destroy_key_file
from tests.world.crash_states import State, crash_states
from tests.world.fakedisk import Crash, FakeEffects, Fault, at

Content = dict[str, bytes | None]


class _NoFileSync(FakeEffects):
    def fsync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDataSync(FakeEffects):
    def fdatasync(self, fd: int) -> None:
        """Does not sync, and does not say so."""


class _NoDirectorySync(FakeEffects):
    def fsync_dir(self, path: str) -> None:
        """Does not sync, and does not say so."""


class _NameFirst(FakeEffects):
    """Gives a file its name before its bytes: writes what was meant for the temporary file."""

    def open(self, path: str, flags: int, mode: int) -> int:
        return super().open(path.removesuffix(".tmp"), flags, mode)

    def rename(self, source: str, target: str) -> None:
        """There is nothing left to do."""


def _states(
    root: Path, run: Callable[[Disk], object], kind: type[FakeEffects] = FakeEffects
) -> tuple[list[State], int]:
    """All states, and the length of the trace when ``run`` returned."""
    effects = kind(root)
    run(Disk(effects))
    return crash_states(effects), len(effects.trace)


def _replace(disk: Disk, root: Path) -> None:
    disk.write_files([(root / "a", b"new a" * 9), (root / "b", b"new b" * 9)])


def _broken_replacements(root: Path, kind: type[FakeEffects]) -> list[State]:
    (root / "a").write_bytes(b"old a")
    states, returned = _states(root, lambda disk: _replace(disk, root), kind)
    bad = []
    for state in states:
        a, b = state.entries.get("a"), state.entries.get("b")
        whole = a in {b"old a", b"new a" * 9} and b in {None, b"new b" * 9}
        done = a == b"new a" * 9 and b == b"new b" * 9
        if not whole or (state.after == returned and not done):
            bad.append(state)
    assert len(states) > 5
    return bad


def test_a_file_is_old_or_new_and_new_once_it_was_said(tmp_path: Path) -> None:
    """``write_files``: never a torn file under its name; on return every state has the new ones."""
    assert _broken_replacements(tmp_path, FakeEffects) == []


@pytest.mark.parametrize("mutant", [_NoFileSync, _NoDirectorySync, _NameFirst])
def test_leaving_out_a_step_of_a_replacement_is_found_out(
    tmp_path: Path, mutant: type[FakeEffects]
) -> None:
    """Without the sync of the file, of the directory, or without the temporary name, it breaks."""
    assert _broken_replacements(tmp_path, mutant) != []


def _broken_appends(root: Path, kind: type[FakeEffects]) -> list[State]:
    effects = kind(root)
    disk = Disk(effects)
    synced: list[tuple[int, int]] = []
    disk.make_dir(root / "d" / "e")
    file = disk.create_append(root / "d" / "e" / "f", preallocate=64)
    for byte in b"123":
        file.write_buffered(bytes([byte]) * 10)
        file.write_buffered(bytes([byte]) * 10)
        file.sync()
        synced.append((len(effects.trace), file.synced))
    file.close()
    expected = b"1" * 20 + b"2" * 20 + b"3" * 20
    bad = []
    for state in crash_states(effects):
        owed = max((size for when, size in synced if when <= state.after), default=0)
        content = state.entries.get("d/e/f") or b""
        if content[:owed] != expected[:owed]:
            bad.append(state)
    return bad


def test_what_was_synced_of_an_appended_file_stays(tmp_path: Path) -> None:
    """File, directories and synced bytes are there in every state."""
    assert _broken_appends(tmp_path, FakeEffects) == []


@pytest.mark.parametrize("mutant", [_NoDataSync, _NoDirectorySync])
def test_appending_without_syncs_is_found_out(tmp_path: Path, mutant: type[FakeEffects]) -> None:
    """Without fdatasync bytes are lost, without the directories' syncs the whole file."""
    assert _broken_appends(tmp_path, mutant) != []


def test_removed_is_removed(tmp_path: Path) -> None:
    """After ``remove`` returned, no state has the file."""
    (tmp_path / "f").write_bytes(b"x")
    states, returned = _states(tmp_path, lambda disk: disk.remove(tmp_path / "f"))
    assert [state for state in states if state.after == returned and "f" in state.entries] == []
    assert any("f" in state.entries for state in states)


@pytest.mark.parametrize("mutant", [FakeEffects, _NoDataSync])
def test_a_destroyed_key_is_in_no_state_without_its_name(
    tmp_path: Path, mutant: type[FakeEffects]
) -> None:
    """The bytes are overwritten, durably, before the name goes; without the sync they may stay."""
    path = tmp_path / "kek"
    KeyEncryptionKey.create(Disk(), path)
    effects = mutant(tmp_path)
    destroy_key_file(Disk(effects), path)
    (file,) = {step.file for step in effects.trace if step.name == "pwrite"}
    synced = [step.name for step in effects.trace if step.file == file]
    before_unlink = synced[: synced.index("unlink")]
    assert ("fdatasync" in before_unlink) == (mutant is FakeEffects)
    gone = [state for state in crash_states(effects) if state.after == len(effects.trace)]
    assert [state.entries for state in gone] == [{}]


def test_a_directory_whose_maker_died_is_durable_for_the_next(tmp_path: Path) -> None:
    """Killed between mkdir and sync, then used by the next process: it is there in every state."""
    first = FakeEffects(tmp_path, Fault(at(1), error=0))
    with pytest.raises(Crash):
        Disk(first).make_dir(tmp_path / "d")
    # The second process sees the directory in the page cache; for the disk it is still pending.
    second = FakeEffects(tmp_path)
    second.trace = first.trace[:1]
    second.base.clear()
    disk = Disk(second)
    disk.make_dir(tmp_path / "d")
    disk.write_file(tmp_path / "d" / "f", b"promised")
    done = [state for state in crash_states(second) if state.after == len(second.trace)]
    assert [state.entries for state in done] == [{"d": None, "d/f": b"promised"}]


def test_the_enumeration_itself_knows_what_may_be_lost(tmp_path: Path) -> None:
    """One unsynced write of ten bytes: nothing, all, either half; with or without its name."""
    effects = FakeEffects(tmp_path)
    fd = effects.open(str(tmp_path / "f"), 0o102, 0o600)
    effects.pwrite(fd, b"0123456789", 0)
    contents = {state.entries.get("f", b"no name") for state in crash_states(effects)}
    assert contents == {b"no name", b"", b"01234", b"\0" * 5 + b"56789", b"0123456789"}
    effects.fdatasync(fd)
    effects.fsync_dir(str(tmp_path))
    effects.close(fd)
    last = [state for state in crash_states(effects) if state.after == len(effects.trace)]
    assert [state.entries for state in last] == [{"f": b"0123456789"}]


def test_the_enumeration_is_the_same_each_time(tmp_path: Path) -> None:
    """Two runs over one trace give the same states in the same order."""
    effects = FakeEffects(tmp_path)
    _replace(Disk(effects), tmp_path)
    assert crash_states(effects) == crash_states(effects)
