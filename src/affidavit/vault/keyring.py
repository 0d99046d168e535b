"""The keyring: every secret of a data directory except the key-encryption key, in ``keys.db``.

Rules:

1. ``keys.db`` is an encrypted database, and each secret in it is wrapped once more (RFC 3394) by
   the key-encryption key. Ordinary backups leave the file out.
2. A new key is durable before anybody gets to use it.
3. A destroyed key leaves its row behind without the key: since when, but not what it was. A key
   that is retired (``key_ends``) opens what it wraps and is given to nobody who writes.
4. The sequencer is the only writer. Other processes open read-only and see that a key was
   destroyed at their next read, because they drop what they remember when the file has changed.
   When it was replaced by one under a new key-encryption key, they open that one.

Kinds: **bucket keys** B per (tenant, retention class, UTC day) and **subject keys** S per (tenant,
subject, class), named by small numbers that stand beside what they seal; **hold keys**, under
which part keys are wrapped once more; **keys of the day**, to which writers seal their journals;
and named **secrets** of 32 bytes (log seed, receipt seed, epoch and pseudonym secrets, the keys of
the other encrypted databases, and that of marks of erased names).

Not here: how keys end (``key_ends``, ``recipients``), rewrapping, a new key-encryption key.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from affidavit import ids
from affidavit.clock import Clock
from affidavit.durable import check_database, open_database
from affidavit.errors import CorruptError, NotFoundError, UnavailableError
from affidavit.record.kek import KeyFile
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.seal import RecipientKey
from affidavit.vault import key_tables
from affidavit.vault.key_database import identity, open_in_force

DATABASES = ("state.db", "index.db")
"""The encrypted databases whose keys are kept here; ``text.db`` has that of ``index.db``."""

_REMEMBERED = 50_000
"""Keys kept in memory at most, per kind; beyond it all are read anew (about 10 MB)."""


class Key(NamedTuple):
    """A key of the vault: its number in ``keys.db`` and its 32 bytes."""

    id: int
    secret: bytes


Subject = tuple[str, str, str]
"""Tenant, pseudonym of the data subject, retention class."""


class Change(NamedTuple):
    """``keys.db`` in a transaction: what wraps a key for it, and the time it happens at."""

    database: apsw.Connection
    wrap: Callable[[bytes], bytes]
    now: str


class Keyring:
    """The keys of one data directory. Calls from several threads take turns."""

    def __init__(self, connection: apsw.Connection, kek: KeyEncryptionKey, clock: Clock) -> None:
        self._db = connection
        self._kek = kek
        self._clock = clock
        self._lock = threading.RLock()
        self._read_only = connection.readonly("main")
        self._version: int | None = None
        self._place: tuple[Path, KeyFile] | None = None
        self._files: tuple[int, ...] = ()
        self._buckets: dict[tuple[str, str, str], Key] = {}
        self._subjects: dict[Subject, Key] = {}
        self._opened: dict[tuple[str, int], bytes] = {}
        self._recipients: dict[str, RecipientKey] = {}

    def __repr__(self) -> str:
        return "<Keyring>"

    @classmethod
    def open(
        cls, path: Path, kek: KeyEncryptionKey, clock: Clock, *, read_only: bool = False
    ) -> "Keyring":
        """Open ``keys.db`` at ``path``; made with its tables if missing, unless ``read_only``.

        ``UnavailableError`` if this key-encryption key does not open it.
        """
        connection = open_database(path, kek.derive("keys.db"), read_only=read_only)
        keyring = cls(connection, kek, clock)
        if not read_only:
            keyring._make(earlier=path.with_name("state.db").exists())
        return keyring

    @classmethod
    def follow(cls, path: Path, file: KeyFile, clock: Clock) -> "Keyring":
        """Open ``keys.db`` read-only, under whichever key of ``file`` is in force, now and later.

        ``UnavailableError`` if none opens it; errors as ``KeyFile.candidates``.
        """
        connection, kek, files = open_in_force(path, file)
        keyring = cls(connection, kek, clock)
        keyring._place, keyring._files = (path, file), files
        return keyring

    def _make(self, *, earlier: bool) -> None:
        """The tables and the keys of the databases, together or not at all.

        Earlier releases derived the keys of the databases from the key-encryption key: what was
        begun under one of them (``earlier``) goes on under the keys that it has.
        """
        with self._db:
            known = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            earlier = earlier or known != (0,)
            key_tables.prepare(self._db)
            for name in DATABASES:
                if not self.has_secret(_of_database(name)):
                    key = self._kek.derive(name) if earlier else ids.key()
                    self._put_secret(_of_database(name), key)

    @contextlib.contextmanager
    def alone(self) -> Iterator[tuple[apsw.Connection, KeyEncryptionKey]]:
        """For ``vault.renewal``: connection and key, while nobody else uses this keyring."""
        with self._lock:
            yield self._db, self._kek

    def take(self, connection: apsw.Connection, kek: KeyEncryptionKey) -> None:
        """Go on with another connection, under another key; what is remembered stays true."""
        with self._lock:
            self._db, self._kek = connection, kek

    def close(self) -> None:
        """Forget all keys and close the file."""
        with self._lock:
            self._forget()
            self._db.close()

    # Named secrets.

    def secret(self, name: str) -> bytes:
        """The 32 random bytes of that name, made and durable on first use."""
        with self._current():
            row = self._one("SELECT wrapped FROM secrets WHERE name = ?", (name,))
            if row is not None:
                return self._kek.unwrap(row[0])
            made = ids.key()
            self._put_secret(name, made)
            return made

    def _put_secret(self, name: str, secret: bytes) -> None:
        self._db.execute(
            "INSERT INTO secrets (name, wrapped, created) VALUES (?, ?, ?)",
            (name, self._kek.wrap(secret), self._clock.now()),
        )

    def database_key(self, name: str) -> bytes:
        """The key of the encrypted database ``name``, one of ``DATABASES``.

        Read-only, before this release has opened the directory, it is what was derived for it.
        """
        with self._current():
            if self._read_only and not self.has_secret(_of_database(name)):
                return self._kek.derive(name)
            return self.secret(_of_database(name))

    def has_secret(self, name: str) -> bool:
        """Whether there is a secret of that name; none is made."""
        with self._current():
            return self._one("SELECT 1 FROM secrets WHERE name = ?", (name,)) is not None

    def pseudonym_secret(self, tenant: str, team: str) -> bytes:
        """The secret under which sessions of one team get their pseudonyms."""
        return self.secret(f"pseudonym\x00{tenant}\x00{team}")

    # Keys of the day, for journals.

    def recipient_key(self, day: str) -> RecipientKey:
        """The key of a UTC day (``YYYY-MM-DD``), made and durable on first use.

        ``NotFoundError`` if it was destroyed: a day gets one key and no second one.
        """
        with self._current():
            known = self._recipients.get(day)
            if known is not None:
                return known
            row = self._one("SELECT wrapped, destroyed FROM recipients WHERE day = ?", (day,))
            if row is None:
                made = RecipientKey.generate(day)
                self._db.execute(
                    "INSERT INTO recipients (day, wrapped, created) VALUES (?, ?, ?)",
                    (day, self._kek.wrap(made.private_bytes()), self._clock.now()),
                )
            else:
                made = RecipientKey.from_private(day, self._unwrap(row, f"The key of {day}"))
            self._recipients[day] = made
            return made

    def open_segment_key(self, day: str, wrapped: bytes) -> bytes:
        """Open the key of a journal segment that was sealed to ``day``.

        ``NotFoundError`` if there is no key of that day, or none any more; ``CorruptError`` if it
        does not open ``wrapped``.
        """
        with self._current():
            key = self._recipients.get(day)
            if key is None:
                row = self._one("SELECT wrapped, destroyed FROM recipients WHERE day = ?", (day,))
                secret = self._unwrap(row, f"The key of {day}")
                key = self._recipients[day] = RecipientKey.from_private(day, secret)
        return key.open(wrapped)

    # Keys of the vault.

    def bucket(self, tenant: str, retention_class: str, day: str) -> Key:
        """The bucket key B in use for (tenant, class, UTC day), made and durable on first use."""
        name = (tenant, retention_class, day)
        with self._current():
            known = self._buckets.get(name)
            if known is not None:
                return known
            row = self._one(
                "SELECT id, wrapped FROM bucket_keys "
                "WHERE tenant = ? AND class = ? AND day = ? "
                "AND wrapped IS NOT NULL AND id NOT IN (SELECT id FROM bucket_keys_retired)",
                name,
            )
            if row is not None:
                key = Key(int(row[0]), self._kek.unwrap(row[1]))
            else:
                secret = ids.key()
                self._db.execute(
                    "INSERT INTO bucket_keys (tenant, class, day, wrapped, created) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (*name, self._kek.wrap(secret), self._clock.now()),
                )
                key = Key(self._db.last_insert_rowid(), secret)
            self._buckets[name] = key
            return key

    def subjects(self, wanted: Iterable[Subject]) -> dict[Subject, Key]:
        """The subject keys S in use, one for each of ``wanted``.

        Those that are new are made in one transaction and durable on return.
        """
        with self._current():
            if len(self._subjects) > _REMEMBERED:
                self._subjects.clear()
            names = set(wanted)
            unknown = [name for name in names if name not in self._subjects]
            if unknown:
                with self._db:
                    found = {name: self._find_or_make_subject(name) for name in unknown}
                self._subjects.update(found)
            return {name: self._subjects[name] for name in names}

    def bucket_secret(self, number: int) -> bytes:
        """The bucket key of that number; ``NotFoundError`` if destroyed (says when) or unknown."""
        return self._by_number("bucket_keys", "The bucket key", number)

    def subject_secret(self, number: int) -> bytes:
        """The subject key of that number; ``NotFoundError`` if destroyed (says when) or unknown."""
        return self._by_number("subject_keys", "The subject key", number)

    def hold_secret(self, number: int) -> bytes:
        """The hold's key of that number; ``NotFoundError`` if destroyed (says when) or unknown."""
        return self._by_number("hold_keys", "The hold's key", number)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Change rows, all or none, durable at the end; what is remembered of keys is forgotten."""
        with self._lock:
            try:
                with self._db:
                    yield Change(self._db, self._kek.wrap, self._clock.now())
            finally:
                self._forget()

    def read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query about keys, none of which is opened."""
        with self._current():
            try:
                return self._db.execute(query, values).fetchall()
            except apsw.Error as error:
                raise UnavailableError(f"keys.db cannot be read: {error}.") from error

    def leave_nothing(self) -> None:
        """Take what was destroyed off the disk: the write-ahead log is emptied.

        ``UnavailableError`` if somebody reads the file for longer than a few seconds: call again.
        """
        with self._lock:
            found = self._db.execute("PRAGMA wal_checkpoint(truncate)").fetchall()
        if found[0][0]:
            raise UnavailableError(
                "What was destroyed is still in the write-ahead log of keys.db: it is being read.",
                hint="It is emptied when erasure runs again.",
            )

    def check(self) -> int:
        """Open every key that is not destroyed; how many there are.

        ``CorruptError`` if one does not open under the key-encryption key, or if the file itself
        is damaged.
        """
        count = 0
        with self._lock:
            check_database(self._db, "keys.db")
            for table in ("bucket_keys", "subject_keys", "hold_keys", "recipients", "secrets"):
                query = f"SELECT rowid, wrapped FROM {table} WHERE wrapped IS NOT NULL"  # noqa: S608 - names of this module
                for number, wrapped in self._db.execute(query):
                    try:
                        self._kek.unwrap(wrapped)
                    except CorruptError as error:
                        message = f"keys.db: row {number} of {table} holds no key that opens."
                        raise CorruptError(message, object="keys.db") from error
                    count += 1
        return count

    def bucket_of(self, number: int) -> tuple[str, str, str] | None:
        """Tenant, class and day of the bucket key of that number, also if it was destroyed."""
        rows = self.read("SELECT tenant, class, day FROM bucket_keys WHERE id = ?", (number,))
        return rows[0] if rows else None

    def _find_or_make_subject(self, name: Subject) -> Key:
        row = self._one(
            "SELECT id, wrapped FROM subject_keys "
            "WHERE tenant = ? AND subject = ? AND class = ? "
            "AND wrapped IS NOT NULL AND id NOT IN (SELECT id FROM subject_keys_retired)",
            name,
        )
        if row is not None:
            return Key(int(row[0]), self._kek.unwrap(row[1]))
        secret = ids.key()
        self._db.execute(
            "INSERT INTO subject_keys (tenant, subject, class, wrapped, created) "
            "VALUES (?, ?, ?, ?, ?)",
            (*name, self._kek.wrap(secret), self._clock.now()),
        )
        return Key(self._db.last_insert_rowid(), secret)

    def _by_number(self, table: str, what: str, number: int) -> bytes:
        with self._current():
            if len(self._opened) > _REMEMBERED:
                self._opened.clear()
            known = self._opened.get((table, number))
            if known is None:
                query = f"SELECT wrapped, destroyed FROM {table} WHERE id = ?"  # noqa: S608 - names of this module
                known = self._unwrap(self._one(query, (number,)), what)
                self._opened[table, number] = known
            return known

    def _unwrap(self, row: tuple[Any, ...] | None, what: str) -> bytes:
        if row is None:
            raise NotFoundError(f"{what} is not in the keyring.")
        wrapped, destroyed = row
        if wrapped is None:
            raise NotFoundError(f"{what} was destroyed at {destroyed}.", destroyed=destroyed)
        return self._kek.unwrap(wrapped)

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        try:
            return self._db.execute(query, values).fetchone()
        except apsw.Error as error:
            raise UnavailableError(f"keys.db cannot be read: {error}.") from error

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """Inside, it is this thread's turn; a reader has noticed what others did to the file."""
        with self._lock:
            if self._read_only:
                self._notice_changes()
            yield

    def _notice_changes(self) -> None:
        if self._place is not None and identity(self._place[0]) != self._files:
            connection, kek, files = open_in_force(*self._place)
            self._db.close()
            self._db, self._kek, self._files, self._version = connection, kek, files, None
        version = self._db.pragma("data_version")
        if version != self._version:
            self._forget()
            self._version = version

    def _forget(self) -> None:
        self._buckets.clear()
        self._subjects.clear()
        self._opened.clear()
        self._recipients.clear()


def _of_database(name: str) -> str:
    return f"database/{name}"
