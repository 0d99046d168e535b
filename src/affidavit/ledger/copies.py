"""Copies of checkpoints in a place that the operator of this machine should not rule alone.

Rules: below the configured directory, which has to be there, each log has one of its own, named by
the hex SHA-256 of its origin (as witnesses do, C2SP tlog-witness). ``newest`` is replaced by each
newer note and never by an older one; ``<size>.checkpoint`` stay. At a start the copies are compared
with the log: one that is ahead of it, or of another history, means that the log was put back. Their
signatures are not checked: whoever can write there can stop a start, and nothing more. Not here:
when copies are made (``app``).
"""

import hashlib
import re
from pathlib import Path

from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CorruptError, UnavailableError
from affidavit.ledger import note
from affidavit.ledger.log_reader import LogReader

NEWEST = "newest"

_KEPT = re.compile(r"(0|[1-9][0-9]{0,18})\.checkpoint")
_PUBLIC = 0o644
_HINT = (
    "Delete nothing. Put back the newest state of the data directory; if that is lost, begin a log"
    " of another origin."
)


def place(directory: Path, origin: str) -> Path:
    """Where the copies of a log stand."""
    return directory / hashlib.sha256(origin.encode()).hexdigest()


def keep(disk: Disk, directory: Path, data: bytes, *, stays: bool) -> int:
    """Copy a note, durably, as the newest one and, if it ``stays``, under its size, too.

    Returns its size. ``UnavailableError`` if ``directory`` is not there or cannot be written: a
    disk that is not mounted is not replaced by a directory of its name.
    """
    checkpoint = note.open_checkpoint(data, None)
    if not directory.is_dir():
        raise UnavailableError(f"{directory} is not there, so no checkpoint is copied to it.")
    target = place(directory, checkpoint.origin)
    try:
        disk.make_dir(target, 0o755)
        if stays:
            disk.write_file(target / f"{checkpoint.size}.checkpoint", data, _PUBLIC)
        if _size(target / NEWEST) <= checkpoint.size:
            disk.write_file(target / NEWEST, data, _PUBLIC)
    except OSError as error:
        raise UnavailableError(
            f"{directory} takes no copy of a checkpoint: {error.strerror or error}."
        ) from error
    return checkpoint.size


def newest(directory: Path, origin: str) -> tuple[Path, note.Checkpoint] | None:
    """The copy with the most leaves; ``None`` without any.

    ``UnavailableError`` if ``directory`` is not there or a copy in it cannot be read.
    """
    target = place(directory, origin)
    if not directory.is_dir():
        raise UnavailableError(f"{directory} is not there, so its copies are not compared.")
    found: list[tuple[int, Path, note.Checkpoint]] = []
    kept = [path for path in target.glob("*.checkpoint") if _KEPT.fullmatch(path.name)]
    last = sorted(kept, key=lambda path: int(path.stem))[-1:]
    for path in (*last, target / NEWEST):
        if path.exists():
            try:
                checkpoint = note.open_checkpoint(path.read_bytes(), None)
            except (OSError, AffidavitError) as error:
                raise UnavailableError(f"{path} is no checkpoint that can be read.") from error
            found.append((checkpoint.size, path, checkpoint))
    return max(found)[1:] if found else None


def compare(directory: Path, origin: str, log: LogReader, size: int) -> None:
    """``CorruptError`` if a copy is ahead of the ``size`` leaves of ``log``, or not of its history.

    ``UnavailableError`` as ``newest``.
    """
    found = newest(directory, origin)
    if found is None:
        return
    path, copy = found
    if copy.size > size:
        raise CorruptError(
            f"The copy {path} has {copy.size} leaves, of which {size} are here.", hint=_HINT
        )
    if log.root(copy.size) != copy.root:
        raise CorruptError(
            f"The copy {path} is of another history: its {copy.size} leaves are not the first"
            " ones here.",
            hint=_HINT,
        )


def _size(path: Path) -> int:
    try:
        return note.open_checkpoint(path.read_bytes(), None).size
    except (FileNotFoundError, AffidavitError):
        return -1
