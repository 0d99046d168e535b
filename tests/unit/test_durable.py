"""The calls that each way of writing makes, and what holds when one of them fails."""

import errno
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit import durable
from affidavit.durable import AppendFile, Disk, check_private, open_database
from affidavit.errors import LockedError, UnavailableError
from tests.world.fakedisk import FakeEffects, Fault, at, named


def _documented(function: Callable[..., object]) -> list[str]:
    """The calls in the comment above ``function``, with ``p`` for its path."""
    lines, start = inspect.getsourcelines(function)
    del lines
    above = inspect.getsource(durable).splitlines()[start - 2]
    assert above.strip().startswith("# "), f"no expected calls above {function.__name__}"
    calls = re.findall(r"(\w+)\(([^)]*)\)", above)
    return [
        f"fsync_dir({inner.removeprefix('dir of ')}/..)"
        if inner.startswith("dir of ")
        else f"{name}({inner.split(', O_')[0]})"
        for name, inner in calls
    ]


def _traced(effects: FakeEffects, path: str) -> list[str]:
    """The trace in the notation of the comments."""
    out = []
    for step in effects.trace:
        if step.name == "fsync_dir":
            out.append("fsync_dir(p/..)")
        else:
            out.append(str(step).replace(path, "p"))
    return out


def _create(disk: Disk, path: Path) -> None:
    disk.create_append(path, preallocate=4096)


def _append(disk: Disk, path: Path) -> None:
    AppendFile(disk.effects, path, disk.effects.open(str(path), 2, 0), 3).write_buffered(b"x")


def _sync(disk: Disk, path: Path) -> None:
    AppendFile(disk.effects, path, disk.effects.open(str(path), 2, 0), 3).sync()


@pytest.mark.parametrize(
    ("function", "run", "there", "opens"),
    [
        (Disk.write_file, lambda disk, path: disk.write_file(path, b"new"), False, 0),
        (Disk.create_append, _create, False, 0),
        (Disk.reopen_append, lambda disk, path: disk.reopen_append(path, 3), True, 0),
        (Disk.overwrite, lambda disk, path: disk.overwrite(path, 1, b"X"), True, 0),
        (Disk.remove, lambda disk, path: disk.remove(path), True, 0),
        (Disk.sync_file, lambda disk, path: disk.sync_file(path), True, 0),
        (AppendFile.write_buffered, _append, True, 1),
        (AppendFile.sync, _sync, True, 1),
    ],
)
def test_calls_are_those_in_the_comment(
    tmp_path: Path,
    function: Callable[..., object],
    run: Callable[[Disk, Path], object],
    there: bool,
    opens: int,
) -> None:
    """Each function makes exactly the calls that stand above it, in that order."""
    path = tmp_path / "file"
    if there:
        path.write_bytes(b"old")
    effects = FakeEffects(tmp_path)
    run(Disk(effects), path)
    assert _traced(effects, "file")[opens:] == _documented(function)


def test_several_files_are_all_written_before_any_gets_its_name(tmp_path: Path) -> None:
    """``write_files``: all data synced, then all renames, then each directory once."""
    effects = FakeEffects(tmp_path)
    Disk(effects).write_files([(tmp_path / "a", b"1"), (tmp_path / "b", b"2")])
    assert effects.calls() == [
        "open(a.tmp)",
        "pwrite(a.tmp)",
        "open(b.tmp)",
        "pwrite(b.tmp)",
        "fsync(a.tmp)",
        "fsync(b.tmp)",
        "rename(a.tmp, a)",
        "rename(b.tmp, b)",
        "fsync_dir(.)",
    ]
    assert (tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes() == b"12"


def test_directories_are_made_from_the_top_and_each_is_synced(tmp_path: Path) -> None:
    """``make_dir`` syncs the parent of every directory it makes."""
    effects = FakeEffects(tmp_path)
    Disk(effects).make_dir(tmp_path / "a" / "b")
    assert effects.calls() == ["mkdir(a)", "fsync_dir(.)", "mkdir(a/b)", "fsync_dir(a)"]


def test_a_directory_that_is_there_is_made_durable_all_the_same(tmp_path: Path) -> None:
    """Whoever made it may have died before the sync; without one, a power loss takes it."""
    (tmp_path / "a").mkdir()
    effects = FakeEffects(tmp_path)
    Disk(effects).make_dir(tmp_path / "a")
    assert effects.calls() == ["fsync_dir(.)"]


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_a_file_is_old_or_new_whichever_call_fails(
    tmp_path: Path, number: int, persisted: bool
) -> None:
    """``write_file`` raises, and the file has the old bytes or the new ones, never others."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fault = Fault(at(number), persisted=persisted)
    effects = FakeEffects(tmp_path, fault)
    with pytest.raises(OSError, match="Input/output"):
        Disk(effects).write_file(path, b"new")
    assert fault.fired == 1
    assert path.read_bytes() in {b"old", b"new"}
    Disk().write_file(path, b"next")
    assert path.read_bytes() == b"next"


@given(sizes=st.lists(st.integers(0, 40), max_size=8), short=st.integers(1, 7))
def test_short_writes_are_continued(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], short: int
) -> None:
    """However little the kernel takes at a time, the file holds everything in order."""
    root = tmp_path_factory.mktemp("short")
    effects = FakeEffects(root, Fault(named("pwrite"), short=short, times=1000))
    file = Disk(effects).create_append(root / "f")
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    offsets = [file.write_buffered(piece) for piece in pieces]
    file.close()
    assert (root / "f").read_bytes() == b"".join(pieces)
    assert offsets == [sum(sizes[:number]) for number in range(len(sizes))]


def test_a_full_disk_stops_writing_but_not_syncing(tmp_path: Path) -> None:
    """After ENOSPC nothing more is written, but what was written before can still be synced."""
    effects = FakeEffects(tmp_path)
    file = Disk(effects).create_append(tmp_path / "f")
    file.write_buffered(b"kept")
    effects.full = True
    with pytest.raises(OSError, match="No space") as caught:
        file.write_buffered(b"lost")
    assert durable.is_no_space(caught.value)
    assert (file.size, file.broken, file.lost) == (4, True, False)
    effects.full = False
    with pytest.raises(OSError, match="earlier"):
        file.write_buffered(b"more")
    file.sync()
    assert file.synced == 4


def test_a_failed_write_of_another_kind_ends_the_file(tmp_path: Path) -> None:
    """After EIO neither write nor sync is tried again."""
    effects = FakeEffects(tmp_path)
    file = Disk(effects).create_append(tmp_path / "f")
    effects.faults.append(Fault(named("pwrite")))
    with pytest.raises(OSError, match="Input/output"):
        file.write_buffered(b"x")
    with pytest.raises(OSError, match="earlier"):
        file.sync()
    assert file.lost


@pytest.mark.parametrize("persisted", [False, True])
def test_a_failed_sync_is_never_retried(tmp_path: Path, persisted: bool) -> None:
    """The kernel may have dropped the pages and would report success the second time."""
    effects = FakeEffects(tmp_path)
    file = Disk(effects).create_append(tmp_path / "f")
    file.write_buffered(b"x")
    effects.faults.append(Fault(named("fdatasync"), persisted=persisted))
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    before = effects.count
    for again in (file.sync, lambda: file.write_buffered(b"y")):
        with pytest.raises(OSError, match="earlier"):
            again()
    assert (effects.count, file.synced) == (before, 0)


def test_blanking_zeroes_what_a_failed_write_left(tmp_path: Path) -> None:
    """``blank`` writes zeros behind the end and leaves ``size`` alone; if it fails, all is lost."""
    effects = FakeEffects(tmp_path, Fault(named("pwrite", skip=1), errno.ENOSPC, persisted=True))
    file = Disk(effects).create_append(tmp_path / "f", preallocate=16)
    file.write_buffered(b"good")
    with pytest.raises(OSError, match="No space"):
        file.write_buffered(b"half")
    assert (tmp_path / "f").read_bytes()[:8] == b"goodhalf"
    file.blank(8)
    assert (tmp_path / "f").read_bytes() == b"good" + bytes(12)
    assert file.size == 4
    effects.faults.append(Fault(named("pwrite")))
    with pytest.raises(OSError, match="Input/output"):
        file.blank(8)
    assert file.lost


def test_nobody_appends_to_what_another_began(tmp_path: Path) -> None:
    """``create_append`` refuses a file that is there and leaves it as it is."""
    (tmp_path / "f").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        Disk().create_append(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"theirs"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_file_that_could_not_be_made_is_not_left_behind(tmp_path: Path, number: int) -> None:
    """When allocating or syncing a new file fails, the file is removed again."""
    fault = Fault(at(number), errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        Disk(FakeEffects(tmp_path, fault)).create_append(tmp_path / "f", preallocate=4096)
    assert fault.fired == 1
    assert list(tmp_path.iterdir()) == []


def test_reopening_checks_that_what_was_committed_is_there(tmp_path: Path) -> None:
    """``reopen_append`` goes on at the committed size and refuses a file that is shorter."""
    (tmp_path / "f").write_bytes(b"committed+tail")
    file = Disk().reopen_append(tmp_path / "f", 9)
    assert file.write_buffered(b"!") == 9
    file.close()
    with pytest.raises(OSError, match="shorter"):
        Disk().reopen_append(tmp_path / "f", 99)


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    """``remove`` is the same the second time."""
    (tmp_path / "f").touch()
    Disk().remove(tmp_path / "f", tmp_path / "g")
    Disk().remove(tmp_path / "f", tmp_path / "none" / "g")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_removed_durably_when_it_is_empty(tmp_path: Path) -> None:
    """``remove_dir`` syncs the parent, is the same the second time, and keeps what is not empty."""
    (tmp_path / "d").mkdir()
    effects = FakeEffects(tmp_path)
    Disk(effects).remove_dir(tmp_path / "d")
    assert effects.calls() == ["rmdir(d)", "fsync_dir(.)"]
    Disk(effects).remove_dir(tmp_path / "d")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "f").touch()
    with pytest.raises(OSError, match="not empty"):
        Disk().remove_dir(tmp_path / "full")
    assert (tmp_path / "full" / "f").exists()


def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    """The second taker is refused at once with the first one's name; afterwards it is free."""
    disk = Disk()
    with disk.locked(tmp_path / "lock", "sequencer"):  # noqa: SIM117 - the order is the point
        with pytest.raises(LockedError, match="held by sequencer pid"):
            disk.locked(tmp_path / "lock", "other").__enter__()
    with disk.locked(tmp_path / "lock", "other"):
        assert (tmp_path / "lock").read_text().startswith("other pid ")


def test_a_lock_is_taken_on_a_full_disk(tmp_path: Path) -> None:
    """That the holder's name does not fit on the disk does not keep anybody from the lock."""
    (tmp_path / "lock").touch()
    effects = FakeEffects(tmp_path)
    effects.full = True
    with Disk(effects).locked(tmp_path / "lock", "sequencer"), pytest.raises(LockedError):
        Disk().locked(tmp_path / "lock", "other").__enter__()


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A symbolic link where a file should be is refused (``O_NOFOLLOW``)."""
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "f").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        Disk().overwrite(tmp_path / "f", 0, b"XXX")
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """``check_private`` names the mode and how to mend it."""
    path = tmp_path / "key"
    path.touch(0o600)
    check_private(path)
    path.chmod(0o640)
    with pytest.raises(UnavailableError, match="0640") as caught:
        check_private(path)
    assert caught.value.hint == "chmod 600 key"


def test_a_database_is_sealed_and_opens_with_its_key_only(tmp_path: Path) -> None:
    """No text of it is in the file, and another key is refused with a sentence."""
    path = tmp_path / "x.db"
    connection = open_database(path, b"k" * 32)
    connection.execute("create table t (v)")
    connection.execute("insert into t values ('canary-of-the-database')")
    connection.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"canary" not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
    reader = open_database(path, b"k" * 32, read_only=True)
    assert list(reader.execute("select v from t")) == [("canary-of-the-database",)]
    reader.close()
    for read_only in (True, False):
        with pytest.raises(UnavailableError, match=r"x\.db did not open"):
            open_database(path, b"q" * 32, read_only=read_only)
