"""The only module that writes to disk.

Rules, in the order in which they were learnt:

1. A file is either written once and whole (``write_file``), or appended to at offsets its owner
   keeps (``AppendFile``), or a SQLite database (``open_database``). Nothing else exists.
2. What returns has reached the disk, unless its name says ``buffered``; the caller then calls
   ``sync``.
3. After a failed fsync nothing is retried: the kernel may have dropped the pages and would
   report success the second time. The file is dead (``AppendFile.broken``), its owner gives up.
4. Every system call that matters goes through ``Effects``, so a test can fail, cut or record it.
   Above each function stands the sequence of calls that the tests compare with what happens.

Not here: what the bytes mean, who may write them, and retries.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw

from affidavit.errors import CorruptError, LockedError, UnavailableError

_TMP = ".tmp"
BUSY_MS = 5000
"""So long a connection waits for another one to finish writing."""
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Effects:
    """The system calls of this program that change a disk, one method each; ``OSError`` as is."""

    def open(self, path: str, flags: int, mode: int) -> int:
        """``open(2)`` with ``O_CLOEXEC | O_NOFOLLOW``; returns the descriptor."""
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """``pwrite(2)``; may write less than all of it."""
        return os.pwrite(fd, data, offset)  # noqa: TID251 - the one place

    def allocate(self, fd: int, size: int) -> None:
        """``posix_fallocate(3)`` from 0 to ``size``."""
        os.posix_fallocate(fd, 0, size)

    def truncate(self, fd: int, size: int) -> None:
        """``ftruncate(2)``."""
        os.ftruncate(fd, size)

    def fdatasync(self, fd: int) -> None:
        """``fdatasync(2)``."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """``fsync(2)``."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """``close(2)``."""
        os.close(fd)

    def rename(self, source: str, target: str) -> None:
        """``rename(2)``."""
        os.rename(source, target)  # noqa: TID251 - the one place

    def unlink(self, path: str) -> None:
        """``unlink(2)``."""
        os.unlink(path)

    def mkdir(self, path: str, mode: int) -> None:
        """``mkdir(2)``."""
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        """``rmdir(2)``."""
        os.rmdir(path)

    def fsync_dir(self, path: str) -> None:
        """``open(2)`` of the directory, ``fsync(2)``, ``close(2)``."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def is_no_space(error: OSError) -> bool:
    """Whether a write failed for want of room (disk, quota, file size), which may pass."""
    return error.errno in _NO_SPACE


def disk_trouble(error: BaseException) -> str | None:
    """What the disk said, if ``error`` comes from a disk (SQLite's included); else ``None``."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, apsw.FullError):
        return os.strerror(errno.ENOSPC)
    if isinstance(error, apsw.ReadOnlyError):
        return os.strerror(errno.EROFS)
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        return str(error)
    return None


class AppendFile:
    """A file its owner extends at the end; bytes once written are never changed.

    ``size`` is the number of bytes handed over, ``synced`` how many of them are known to be on
    disk. ``broken`` is set by the first failed write or sync and never cleared: nothing more is
    written. After a write that failed for want of room, what was written before can still be
    synced; after any other failure it cannot (``lost``), because nobody knows what was kept.
    """

    def __init__(self, effects: Effects, path: Path, fd: int, size: int) -> None:
        self._effects = effects
        self._fd = fd
        self.path = path
        self.size = size
        self.synced = size
        self.broken = False
        self.lost = False

    # pwrite(p)…
    def write_buffered(self, data: bytes) -> int:
        """Append ``data``, return its offset; visible to readers at once, durable after ``sync``.

        ``OSError`` if it could not be written whole (no space, read-only, …): the file then is
        ``broken``, and ``size`` stays where it was.
        """
        if self.broken:
            raise OSError(errno.EIO, "an earlier write or sync of this file failed", str(self.path))
        offset = self.size
        try:
            self._write_all(data, offset)
        except OSError as error:
            self.broken = True
            self.lost = not is_no_space(error)
            raise
        self.size = offset + len(data)
        return offset

    # pwrite(p)…
    def blank(self, count: int) -> None:
        """Write ``count`` zeros behind the end, where a failed write may have left something."""
        try:
            self._write_all(bytes(count), self.size)
        except OSError:
            self.broken = self.lost = True
            raise

    # fdatasync(p)
    def sync(self) -> None:
        """Make everything written before this call durable, or raise ``OSError`` and be broken."""
        if self.lost:
            raise OSError(errno.EIO, "an earlier write or sync of this file failed", str(self.path))
        target = self.size
        try:
            self._effects.fdatasync(self._fd)
        except OSError:
            self.broken = self.lost = True
            raise
        self.synced = target

    def _write_all(self, data: bytes, offset: int) -> None:
        done = self._effects.pwrite(self._fd, data, offset)
        if done < len(data):
            view = memoryview(data)
            while done < len(view):
                done += self._effects.pwrite(self._fd, view[done:], offset + done)

    def close(self) -> None:
        """Close the descriptor; does not sync."""
        if self._fd >= 0:
            self._effects.close(self._fd)
            self._fd = -1


class Disk:
    """All the ways this program changes a disk. Stateless apart from its ``effects``."""

    def __init__(self, effects: Effects | None = None) -> None:
        self.effects = effects or Effects()

    # for each missing parent from the top, then p: mkdir(p) fsync(dir of p)
    def make_dir(self, path: Path, mode: int = 0o700) -> None:
        """Create ``path`` and its missing parents, durably; no error if it is there.

        The parent of a directory that is there is synced too: its maker may have died before.
        """
        if not path.is_dir():
            if not path.parent.is_dir():
                self.make_dir(path.parent, mode)
            with contextlib.suppress(FileExistsError):
                self.effects.mkdir(str(path), mode)
        self.effects.fsync_dir(str(path.parent))

    # open(p.tmp) pwrite(p.tmp)… fsync(p.tmp) close(p.tmp) rename(p.tmp, p) fsync(dir of p)
    def write_file(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        """Put ``data`` at ``path``: afterwards, and at every instant, the old or the new whole."""
        self.write_files([(path, data)], mode)

    # for each: open(p.tmp) pwrite… ; for each: fsync close ; for each: rename ; for each dir: fsync
    def write_files(self, items: Iterable[tuple[Path, bytes]], mode: int = 0o600) -> None:
        """Put several files, each whole or not at all; all durable on return, in no order.

        Their directories exist already. ``OSError`` leaves some written and some not.
        """
        opened: list[tuple[int, Path]] = []
        try:
            for path, data in items:
                tmp = f"{path}{_TMP}"
                fd = self.effects.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
                opened.append((fd, path))
                view, done = memoryview(data), 0
                while done < len(view):
                    done += self.effects.pwrite(fd, view[done:], done)
            for fd, _ in opened:
                self.effects.fsync(fd)
        finally:
            for fd, _ in opened:
                self.effects.close(fd)
        for _, path in opened:
            self.effects.rename(f"{path}{_TMP}", str(path))
        for directory in dict.fromkeys(str(path.parent) for _, path in opened):
            self.effects.fsync_dir(directory)

    # open(p, O_CREAT|O_EXCL) allocate(p) fsync(p) fsync(dir of p)
    def create_append(self, path: Path, *, preallocate: int = 0, mode: int = 0o600) -> AppendFile:
        """Create a new file for appending, with ``preallocate`` bytes of zeros behind its end.

        ``FileExistsError`` if it is there: nobody appends to what another process began.
        """
        fd = self.effects.open(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            if preallocate:
                self.effects.allocate(fd, preallocate)
            self.effects.fsync(fd)
            self.effects.fsync_dir(str(path.parent))
        except OSError:
            self.effects.close(fd)
            with contextlib.suppress(OSError):
                self.effects.unlink(str(path))
            raise
        return AppendFile(self.effects, path, fd, 0)

    # open(p)
    def reopen_append(self, path: Path, size: int, mode: int = 0o600) -> AppendFile:
        """Open (or create) a file whose first ``size`` bytes are committed; what follows is not.

        For the single owner of a file that keeps its committed size elsewhere (the ledger).
        ``OSError`` if the file is shorter than ``size``.
        """
        fd = self.effects.open(str(path), os.O_RDWR | os.O_CREAT, mode)
        if os.fstat(fd).st_size < size:
            self.effects.close(fd)
            raise OSError(5, "file is shorter than what was committed", str(path))
        return AppendFile(self.effects, path, fd, size)

    # open(p) pwrite(p)… fdatasync(p) close(p)
    def overwrite(self, path: Path, offset: int, data: bytes, *more: tuple[int, bytes]) -> None:
        """Write ``data`` over existing bytes, durably, and ``more`` at other offsets.

        For destroying wrapped keys, and what they sealed, only.
        """
        fd = self.effects.open(str(path), os.O_WRONLY, 0)
        try:
            for begin, piece in ((offset, data), *more):
                view, done = memoryview(piece), 0
                while done < len(view):
                    done += self.effects.pwrite(fd, view[done:], begin + done)
            self.effects.fdatasync(fd)
        finally:
            self.effects.close(fd)

    # open(p) fdatasync(p) close(p)
    def sync_file(self, path: Path) -> None:
        """Make durable what another process wrote to ``path``, as far as it can be read now."""
        fd = self.effects.open(str(path), os.O_RDONLY, 0)
        try:
            self.effects.fdatasync(fd)
        finally:
            self.effects.close(fd)

    # rmdir(p) fsync(dir of p)
    def remove_dir(self, path: Path) -> None:
        """Remove an empty directory, durably; no error if it is not there."""
        with contextlib.suppress(FileNotFoundError):
            self.effects.rmdir(str(path))
        self.effects.fsync_dir(str(path.parent))

    def remove_tree(self, path: Path) -> None:
        """Remove a directory that nothing rests on, and all in it; durable is none of that."""
        shutil.rmtree(path, ignore_errors=True)

    # unlink(p)… fsync(dir of p)
    def remove(self, *paths: Path) -> None:
        """Remove files, durably; no error for those that are not there."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self.effects.unlink(str(path))
        for directory in dict.fromkeys(str(path.parent) for path in paths):
            if Path(directory).is_dir():
                self.effects.fsync_dir(directory)

    @contextlib.contextmanager
    def locked(self, path: Path, who: str) -> Iterator[int]:
        """Hold an exclusive ``flock`` on ``path`` while inside; the file says who holds it.

        ``LockedError`` at once if another process has it. The lock dies with the process.
        """
        fd = self.effects.open(str(path), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
                raise LockedError(
                    f"{path.name} is held by {holder or 'another process'}.",
                    hint="Stop the other process, or use another data directory.",
                ) from error
            with contextlib.suppress(OSError):  # on a full disk the lock holds, unnamed
                self.effects.truncate(fd, 0)
                self.effects.pwrite(fd, f"{who} pid {os.getpid()}\n".encode(), 0)
            yield fd
        finally:
            self.effects.close(fd)


def open_database(
    path: Path, key: bytes, *, read_only: bool = False, untouched: bool = False
) -> apsw.Connection:
    """Open an encrypted SQLite file (SQLite3 Multiple Ciphers, ChaCha20-Poly1305 pages).

    ``key`` is 32 bytes. Writers get WAL, ``synchronous=FULL``, ``secure_delete`` and memory for
    temporary tables, so that nothing of the content reaches the disk in the clear. ``untouched``
    reads without leaving the files ``-wal`` and ``-shm`` beside a database that nobody has open.
    ``UnavailableError`` if the key does not open the file, the file is damaged or the disk refuses.
    """
    flags = apsw.SQLITE_OPEN_READONLY
    name = str(path)
    if untouched and not path.with_name(path.name + "-wal").exists():
        flags |= apsw.SQLITE_OPEN_URI
        name = f"{path.absolute().as_uri()}?immutable=1"
    if not read_only:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        connection = apsw.Connection(name, flags=flags)
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("key", attach_key(key))
        connection.pragma("temp_store", "memory")
        if not read_only:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            connection.pragma("secure_delete", "on")
        else:
            connection.pragma("schema_version")
    except (apsw.Error, OSError) as error:
        trouble = disk_trouble(error)
        raise UnavailableError(
            f"{path.name} did not open: {trouble or error}.",
            hint="Look at the disk: is it full or read-only?"
            if trouble
            else "Is this the key-encryption key that the directory was made with?",
        ) from error
    return connection


def check_database(connection: apsw.Connection, name: str, schema: str = "main") -> None:
    """Read every page in use of a database; ``CorruptError`` naming it if one is damaged.

    Pages of an encrypted file carry a checksum of their own, so no changed byte of them passes.
    """
    try:
        found = connection.execute(f"PRAGMA {schema}.quick_check(1)").fetchall()
    except apsw.Error as error:
        raise CorruptError(f"{name} is damaged: {error}.", object=name) from error
    if found != [("ok",)]:
        raise CorruptError(f"{name} is damaged: {found[0][0]}.", object=name)


def attach_key(key: bytes) -> str:
    """How SQLite is told a key of 32 random bytes: as it is, and not stretched (0.1 s an open)."""
    return f"raw:{key.hex()}"


def check_private(path: Path) -> None:
    """Raise ``UnavailableError`` if others than the owner may read ``path`` (a key file)."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UnavailableError(
            f"{path.name} may be read by others (mode {mode:04o}).",
            hint=f"chmod 600 {path.name}",
        )
