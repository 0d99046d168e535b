"""A new key-encryption key: everything in ``keys.db`` under it, and the old one destroyed.

Rules, in the order of the steps:

1. ``kek.next`` is durable before anything is under it.
2. The rows are copied to ``keys.db.next``, every wrapped key rewrapped, in slices, while the
   keyring is in use; rows that change meanwhile are copied again at the end, when nobody uses it.
3. The log of the old file is emptied, and that is durable, before the new file takes its name: from
   then on, and not before, the new key is in force.
4. The old key is overwritten, and ``kek.next`` takes its name.

Up to 3 everything can be given up, and is, if something fails; from then on everything has to be
done, at the next opening if need be (``key_database.settle``). Copies of the old ``keys.db`` open
under the old key alone. Not here: when a key is renewed, and who hears of it.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw

from affidavit.durable import Disk, open_database
from affidavit.errors import UnavailableError
from affidavit.record.kek import KeyFile
from affidavit.record.keys import KeyEncryptionKey
from affidavit.steady import steady
from affidavit.vault import key_database
from affidavit.vault.keyring import Keyring

SLICE = 200
"""So many rows are copied at once (some milliseconds) while users of the keyring wait."""
PAUSE = 0.001
"""Seconds between two slices, in which they get their turn."""
_WRAPPED = "wrapped"


class Renewal:
    """One renewal of the key-encryption key of a keyring that is open for writing; ``run`` once.

    ``keyring`` is the only writer of the ``keys.db`` at ``path``. Any thread.
    """

    def __init__(self, disk: Disk, path: Path, file: KeyFile, keyring: Keyring) -> None:
        self._disk = disk
        self._path = path
        self._next = key_database.next_of(path)
        self._file = file
        self._keyring = keyring
        self._changed: set[tuple[str, int]] = set()
        self._in_force = False
        self._count = 0

    def run(self, kind: str | None = None) -> int:
        """Renew, and keep the new key as ``kind`` says, by default as the old one was kept.

        Returns how many keys were rewrapped. If it fails before the new key is in force, all is as
        it was and the error is the source's, the disk's or ``UnavailableError``; if later, the
        keyring is closed, the process has to end, and the next one finishes it.
        """
        key_database.drop(self._disk, self._path, self._file)
        kek = self._file.make_next(self._disk, kind or self._file.kind)
        try:
            with self._watched() as began, contextlib.closing(self._made(kek)) as made:
                for table in _tables(made):
                    self._copy(made, table, kek)
                _empty_log(made)  # before anybody waits: there is little left to write then
                self._finish(made, kek, began)
        except BaseException:
            if not self._in_force:
                with contextlib.suppress(OSError):
                    key_database.drop(self._disk, self._path, self._file)
            raise
        return self._count

    @contextlib.contextmanager
    def _watched(self) -> Iterator[tuple[Any, Any]]:
        """Take down which rows change; yields the versions of schema and of foreign changes."""
        with self._keyring.alone() as (db, _):
            began = _versions(db)
            db.set_update_hook(lambda _, __, table, row: self._changed.add((table, row)))
        try:
            yield began
        finally:
            if not self._in_force:
                db.set_update_hook(None)

    def _made(self, kek: KeyEncryptionKey) -> apsw.Connection:
        """The new file, with the tables of the old one."""
        made = open_database(self._next, kek.derive("keys.db"))
        made.pragma("synchronous", "off")  # it is synced whole, before it takes the name
        with self._keyring.alone() as (db, _), made:
            for (sql,) in db.execute(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
                "ORDER BY type = 'index'"
            ):
                made.execute(sql)
        return made

    def _copy(self, made: apsw.Connection, table: str, kek: KeyEncryptionKey) -> None:
        last = 0
        while True:
            with self._keyring.alone() as (db, old), made:
                query = f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {SLICE}"  # noqa: S608 - our tables
                rows: list[Any] = db.execute(query, (last,)).fetchall()
                settled = [row for row in rows if (table, row[0]) not in self._changed]
                self._put(made, table, settled, old, kek)
            if len(rows) < SLICE:
                return
            last = int(rows[-1][0])
            time.sleep(PAUSE)

    def _put(
        self,
        made: apsw.Connection,
        table: str,
        rows: Iterable[tuple[Any, ...]],
        old: KeyEncryptionKey,
        kek: KeyEncryptionKey,
    ) -> None:
        """Insert rows, which begin with their rowid, with their keys rewrapped."""
        names = ["rowid", *_columns(made, table)]
        place = names.index(_WRAPPED) if _WRAPPED in names else 0
        keep = [i for i, name in enumerate(names) if not _is_rowid(made, table, name)]
        columns = ", ".join(names[i] for i in keep)
        marks = ", ".join("?" * len(keep))
        insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - our tables
        for row in rows:
            values = list(row)
            if place and values[place] is not None:
                values[place] = kek.wrap(old.unwrap(values[place]))
                self._count += 1
            made.execute(insert, [values[i] for i in keep])

    def _finish(self, made: apsw.Connection, kek: KeyEncryptionKey, began: tuple[Any, Any]) -> None:
        """What changed meanwhile; then the new file in the place of the old one."""
        with self._keyring.alone() as (db, old), steady(self._path.parent, alone=True):
            if _versions(db) != began:
                raise UnavailableError(
                    "keys.db was changed by another process meanwhile.", hint="Try again."
                )
            with made:
                self._catch_up(made, db, old, kek)
            _empty_log(made)
            made.close()
            self._disk.sync_file(self._next)
            _empty_log(db)
            log = self._path.with_name(self._path.name + key_database.BESIDE[0])
            if log.exists():
                self._disk.sync_file(log)
            db.set_update_hook(None)
            self._in_force = True
            db.close()
            self._disk.effects.rename(str(self._next), str(self._path))
            key_database.forward(self._disk, self._path, self._file)
            self._keyring.take(open_database(self._path, kek.derive("keys.db")), kek)

    def _catch_up(
        self,
        made: apsw.Connection,
        db: apsw.Connection,
        old: KeyEncryptionKey,
        kek: KeyEncryptionKey,
    ) -> None:
        tables = _tables(made)
        for table in tables:  # first all that went, so that no two are in use at once
            for _, row in (one for one in self._changed if one[0] == table):
                made.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608 - our tables
        for table in tables:
            query = f"SELECT rowid, * FROM {table} WHERE rowid = ?"  # noqa: S608 - our tables
            for _, row in (one for one in self._changed if one[0] == table):
                self._put(made, table, db.execute(query, (row,)).fetchall(), old, kek)
        made.execute("DELETE FROM sqlite_sequence")
        made.executemany(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
            db.execute("SELECT name, seq FROM sqlite_sequence").fetchall(),
        )


def _tables(db: apsw.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [str(name) for (name,) in db.execute(query).fetchall()]


def _columns(db: apsw.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]


def _is_rowid(db: apsw.Connection, table: str, column: str) -> bool:
    """Whether a column is the rowid by another name."""
    rows = db.execute(f"PRAGMA table_info({table})")
    keys = [(name, declared) for _, name, declared, _, _, primary in rows if primary]
    return keys == [(column, "INTEGER")]


def _versions(db: apsw.Connection) -> tuple[Any, Any]:
    return (
        db.execute("PRAGMA schema_version").fetchall()[0],
        db.execute("PRAGMA data_version").fetchall()[0],
    )


def _empty_log(db: apsw.Connection) -> None:
    """Everything into the file itself; ``UnavailableError`` if a reader is in the way."""
    ((busy, _, _),) = db.execute("PRAGMA wal_checkpoint(truncate)").fetchall()
    if busy:
        raise UnavailableError("keys.db is being read for too long.", hint="Try again.")
