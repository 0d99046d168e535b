"""The file ``keys.db``: opened under whichever key-encryption key is in force.

Rules: of ``kek`` and ``kek.next`` the key in force is the one that opens ``keys.db``. The file is
replaced by one under another key while other processes have it open; they hold the old one, which
stays as it was, until they see that another file has its name. Who opens it by name keeps it in its
place meanwhile (``steady``), as SQLite finds the log beside a database by name, too.
"""

import os
from pathlib import Path

import apsw

from affidavit.durable import Disk, open_database
from affidavit.errors import AffidavitError, UnavailableError
from affidavit.record.kek import KeyFile
from affidavit.record.keys import KeyEncryptionKey
from affidavit.steady import steady

BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database that is open."""


def identity(path: Path) -> tuple[int, ...]:
    """Which files have the names of the database and of its log now; 0 for none."""
    name = str(path)
    return (_inode(name), _inode(name + BESIDE[0]))


def _inode(name: str) -> int:
    try:
        return os.stat(name).st_ino  # noqa: PTH116 - before every key, and a Path takes longer
    except OSError:
        return 0


def next_of(path: Path) -> Path:
    """Where the successor of the database is made."""
    return path.with_name(path.name + ".next")


def open_in_force(
    path: Path, file: KeyFile
) -> tuple[apsw.Connection, KeyEncryptionKey, tuple[int, ...]]:
    """Open ``keys.db`` read-only; with the key that opened it, and its ``identity``.

    ``UnavailableError`` if none opens it; errors as ``KeyFile.candidates``.
    """
    while True:
        before = (identity(path)[0], file.contents())
        error: AffidavitError | None = None
        try:
            for kek in file.candidates():
                try:
                    with steady(path.parent):
                        connection = open_database(path, kek.derive("keys.db"), read_only=True)
                        file.forget_old()
                        return connection, kek, identity(path)
                except UnavailableError as one:
                    error = error or one
        except AffidavitError as one:
            error = error or one
        with steady(path.parent):
            if error is not None and (identity(path)[0], file.contents()) == before:
                raise error  # else something was replaced meanwhile


def settle(disk: Disk, path: Path, file: KeyFile) -> KeyEncryptionKey:
    """End a renewal that was cut, forwards or backwards; the key in force on return.

    For who is about to open ``keys.db`` for writing and has the directory to itself but for
    readers. ``UnavailableError`` if no key opens it; errors as ``KeyFile.candidates``.
    """
    if path.exists() and file.next.exists():
        connection, kek, _ = open_in_force(path, file)
        connection.close()
        if file.is_next(kek):
            with steady(path.parent, alone=True):
                forward(disk, path, file)
            return kek
    drop(disk, path, file)
    return next(file.candidates())


def drop(disk: Disk, path: Path, file: KeyFile) -> None:
    """Give up a renewal of which nothing is in force yet; no error if there is none."""
    made = next_of(path)
    if made.exists():
        disk.remove(made, *(made.with_name(made.name + suffix) for suffix in BESIDE))
    file.drop_next(disk)


def forward(disk: Disk, path: Path, file: KeyFile) -> None:
    """From where ``keys.db`` is the new one: drop the old one's log, which is empty, and old key.

    Nobody has written to the new one yet; readers have found it or are kept out.
    """
    disk.effects.fsync_dir(str(path.parent))
    disk.remove(*(path.with_name(path.name + suffix) for suffix in BESIDE))
    file.advance(disk)
