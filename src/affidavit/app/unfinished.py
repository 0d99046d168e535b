"""What a restore makes before it takes its name, and what is left of one that was killed.

Rules: it stands beside the directory it becomes, as ``NAME.restoring``, and has a copy of all keys.
A file in it says what it is, the first to be there and the last to go; another directory of that
name with any file in it is somebody's, and stays.
Whoever makes it holds the lock in it; without a holder it is of one that was killed. The next
restore to that name removes it, and so does the next start there, and an erasure: the copy of the
key-encryption key is overwritten first. Where nothing is there yet, nothing is begun beside it: who
meant to restore would get an empty log. Not here: the restore (``restoring``).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from affidavit.app.paths import Paths
from affidavit.durable import Disk
from affidavit.errors import LockedError, UnavailableError, UsageError
from affidavit.record.keys import destroy_key_file

_SUFFIX = ".restoring"


def place(root: Path) -> Path:
    """Where the directory ``root`` is made while it is restored."""
    whole = root.absolute()
    return whole.with_name(whole.name + _SUFFIX)


def told(root: Path) -> str:
    """A sentence about what is left of a restore to ``root``; ``""`` if nothing is."""
    if not place(root).exists() or not _is_ours(Paths(place(root))):
        return ""
    return (
        f"{place(root)} is of a restore that was killed, unless one runs now; it has a copy of the"
        " keys."
    )


def refuse(root: Path) -> None:
    """``UnavailableError`` if something of a restore is left where ``root`` is to be begun."""
    if said := told(root):
        raise UnavailableError(
            said, hint=f"Restore again to {root}, which removes it; or remove it by hand."
        )


@contextlib.contextmanager
def made(root: Path, disk: Disk) -> Iterator[Paths]:
    """An empty place for a restore to ``root``, nobody else's while inside; gone after an error.

    ``LockedError`` if another restore to that name runs; ``UsageError`` if the place is somebody's.
    """
    drop(root, disk)
    paths = Paths(place(root))
    if paths.root.exists():
        raise UsageError(
            f"{paths.root} is in the way: it is of no restore.",
            hint="Give it another name.",
        )
    paths.create(disk)
    disk.write_file(paths.restoring, b"A restore makes this directory.\n")
    with disk.locked(paths.sequencer_lock, "restore"):
        try:
            yield paths
        except BaseException:
            _remove(paths, disk)
            raise


def drop(root: Path, disk: Disk) -> None:
    """Remove what a restore that was killed left; ``LockedError`` if one to that name runs."""
    paths = Paths(place(root))
    if not paths.root.exists() or not _is_ours(paths):
        return
    if not paths.run.exists():
        _remove(paths, disk)
        return
    try:
        with disk.locked(paths.sequencer_lock, "restore"):
            _remove(paths, disk)
    except LockedError as error:
        raise LockedError(
            f"{paths.root} is being made by another restore.", hint="Wait for its end."
        ) from error


def whole(root: Path, disk: Disk) -> None:
    """What was made has its name: from now on it is an installation as any other."""
    disk.remove(Paths(root).restoring)


def _is_ours(paths: Paths) -> bool:
    """Whether it says so, or was cut before it could: then there is no file, or none but ours."""
    if paths.restoring.exists():
        return True
    mine = {paths.sequencer_lock, paths.restoring.with_suffix(".tmp")}
    files = (path for path in paths.root.rglob("*") if path.is_symlink() or not path.is_dir())
    return paths.root.is_dir() and mine.issuperset(files)


def _remove(paths: Paths, disk: Disk) -> None:
    with contextlib.suppress(OSError):  # a full or failing disk; then it is removed alone
        for path in sorted(paths.keys.glob("*")):
            destroy_key_file(disk, path)
    files = []
    for path in paths.root.iterdir():
        if path.is_dir() and not path.is_symlink():
            disk.remove_tree(path)
        elif path != paths.restoring:
            files.append(path)
    with contextlib.suppress(OSError):
        disk.remove(*files)
    if not {*paths.root.iterdir()} - {paths.restoring}:  # what is cut here is still ours
        disk.remove_tree(paths.root)
