"""Reading an index: both files over one connection a thread, as of one moment.

Rules: read-only, in any process, also while the sequencer writes. Where the index is of another
version, the new one that is being made beside it is read, as of what it has taken in. The
statements with a reader's question in them come from ``query.emit``, those here only find places
and sizes. No question waits for the end of another's, but while a log is to begin anew (``aside``);
each has so many seconds and no more, because processors are few and a log cannot begin anew before
its end. Not here: who may read what (``query.boundary``).
"""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from affidavit.durable import attach_key, open_database
from affidavit.errors import UnavailableError, UsageError
from affidavit.index import latency
from affidavit.index.aside import ASIDE_FILE, MOST_SECONDS, stand_aside
from affidavit.index.schema import MAX_TEXT, Person, Row
from affidavit.index.sqlite import INDEX_FILE, TEXT_FILE, Built, check_version, read_built, row_of
from affidavit.record.keys import hkdf

BESIDE = "index.next"
"""The directory, beside the files of an index, in which a new one is made."""
SECONDS = 10.0
"""How long the statements of one snapshot, or what asks in several, may run together."""
TIME, LIMIT = "time", "limit"
"""The ``reason`` of a ``UsageError``: it takes longer than that, or has more than SQLite takes."""
BATCH = 2_000
"""So many rows are in memory at once where they are taken some at a time."""
_STEPS = 20_000
"""Steps of SQLite's machine (well under a millisecond) between two looks at the clock."""
_Files = tuple[tuple[int, int] | None, ...]
"""Which files have the names of the index."""


class _Own:
    """The connection of one thread: of which files, and how long its statements may still run."""

    def __init__(self, db: apsw.Connection, files: _Files) -> None:
        self.follow(db, files)
        self.thread = threading.current_thread()
        self.left = SECONDS
        self.together = False
        self.until = float("inf")
        self.ends = float("inf")

    def follow(self, db: apsw.Connection, files: _Files) -> None:
        """Go on with this one."""
        self.db = db
        self.files = files
        self.aside = str(Path(db.filename).with_name(ASIDE_FILE))
        db.set_progress_handler(self.late, _STEPS)

    def late(self) -> bool:
        """Asked by SQLite every so many steps: whether to give the statement up."""
        return time.monotonic() > self.until


class Reader:
    """Both files of an index, read-only; any process, also while the sequencer writes.

    ``secret`` is 32 bytes to sign cursors with. Safe for use by several threads: each has a
    connection of its own, so nobody waits for the question of another. ``UnavailableError`` if
    there is no index yet, if the key does not open it or if it is of another version.
    ``UsageError`` from any question that takes longer than ``SECONDS`` or is too large for SQLite.
    """

    def __init__(self, directory: Path, key: bytes) -> None:
        self._places = (directory, directory / BESIDE)
        self._files = tuple(
            str(place / name) for place in self._places for name in (INDEX_FILE, TEXT_FILE)
        )
        self._key = key
        self._lock = threading.Lock()
        self._here = threading.local()
        self._every: list[_Own] = []
        self.secret = hkdf(key, "affidavit/cursor/v1")
        self._own()

    def _own(self) -> _Own:
        """The connection of this thread; those of threads that are no more are closed."""
        own: _Own | None = getattr(self._here, "own", None)
        if own is None:
            files = self._on_disk()  # before: what comes in between is noticed later
            own = self._here.own = _Own(self._open(), files)
            with self._lock:
                gone = [one for one in self._every if not one.thread.is_alive()]
                self._every = [one for one in self._every if one not in gone] + [own]
            for one in gone:
                one.db.close()
        return own

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is as of one moment for each of the two files.

        One inside another is part of it. ``UsageError`` from what is asked ``MOST_SECONDS`` later.
        """
        own = self._own()
        if own.db.in_transaction:
            yield
            return
        self._ready(own)
        own.db.execute("BEGIN")
        own.ends = time.monotonic() + MOST_SECONDS
        if not own.together:
            own.left = SECONDS
        try:
            self.built()
            yield
        finally:
            if not own.together:
                own.left = SECONDS
            own.ends = float("inf")
            own.db.execute("COMMIT")

    @contextlib.contextmanager
    def together(self, seconds: float | None = None) -> Iterator[None]:
        """All statements inside, in whichever snapshots, take so long together and no longer.

        ``SECONDS`` without a number, and never longer; one inside another takes of its time.
        """
        own = self._own()
        within = own.together
        before = own.left if within else SECONDS
        given = own.left = before if seconds is None else min(before, seconds)
        own.together = True
        try:
            yield
        finally:
            own.together = within
            own.left = before - (given - own.left) if within else SECONDS

    @property
    def left(self) -> float:
        """How many seconds the statements of this thread may still run."""
        return self._own().left

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All result rows of one statement of ``query.emit``."""
        own = self._current()
        with _timed(own):
            return own.db.execute(sql, tuple(parameters)).fetchall()

    def batches(self, sql: str, parameters: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
        """The same, some at a time, inside a snapshot: for more rows than are to be in memory."""
        own = self._current()
        with _timed(own):
            cursor = own.db.execute(sql, tuple(parameters))
        while True:
            with _timed(own):
                rows = list(itertools.islice(cursor, BATCH))
            if not rows:
                return
            yield rows

    def _current(self) -> _Own:
        """The connection of this thread, to the files that are there now."""
        own = self._own()
        if not own.db.in_transaction:
            self._ready(own)
        return own

    def _open(self) -> apsw.Connection:
        """The index in its place, or the new one beside it; the first one's error if neither."""
        try:
            return self._opened(self._places[0])
        except UnavailableError as error:
            if error.detail.get("reason") not in {"version", "absent"}:
                raise
            try:
                return self._opened(self._places[1])
            except UnavailableError:
                raise error from None

    def _opened(self, directory: Path) -> apsw.Connection:
        index, text = directory / INDEX_FILE, directory / TEXT_FILE
        for path in (index, text):
            if not path.exists():
                raise UnavailableError(
                    f"There is no {path.name} yet.",
                    hint="Start the sequencer: affidavit up",
                    reason="absent",
                )
        db = open_database(index, self._key, read_only=True)
        try:
            db.execute("ATTACH ? AS text KEY ?", (str(text), attach_key(self._key)))
            db.pragma("cache_size", -32_768)
            check_version(db, INDEX_FILE)
            check_version(db, TEXT_FILE, "text")
        except apsw.Error as error:
            db.close()
            raise UnavailableError(
                f"{TEXT_FILE} did not open: {error}.", hint="Run: affidavit index rebuild"
            ) from error
        except UnavailableError:
            db.close()
            raise
        latency.for_reader(db)
        return db

    def _ready(self, own: _Own) -> None:
        """Before something new is read: not while logs are to begin anew, and of which files."""
        stand_aside(own.aside)
        self._follow(own)

    def _follow(self, own: _Own) -> None:
        """Take up the files of a rebuilt index; until both are whole, the old ones answer."""
        there = self._on_disk()
        if there != own.files:
            with contextlib.suppress(UnavailableError):
                opened = self._open()
                own.db.close()
                own.follow(opened, there)

    def _on_disk(self) -> _Files:
        """Which files have the names of the index now; ``None`` where there is none."""
        return tuple(map(_identity, self._files))

    def built(self) -> tuple[Built, Built]:
        """What the rows and what the text stand for."""
        own = self._own()
        if not own.db.in_transaction:
            self._ready(own)
        return read_built(own.db), read_built(own.db, "text")

    def row(self, idx: int) -> Row | None:
        """One row by ledger index."""
        found = self.query("SELECT * FROM record WHERE idx = ?", (idx,))
        return row_of(found[0]) if found else None

    def sessions(self, indexes: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Tenant and name of the session of each of these rows that is of one."""
        found = self.query(
            "SELECT idx, tenant, session FROM record "
            "WHERE idx IN (SELECT value FROM json_each(?)) AND session IS NOT NULL",
            (msgspec.json.encode(list(indexes)).decode(),),
        )
        return {idx: (tenant or "", session) for idx, tenant, session in found}

    def row_from(self, idx: int) -> Row | None:
        """The first row at ledger index ``idx`` or after it."""
        found = self.query("SELECT * FROM record WHERE idx >= ? ORDER BY idx LIMIT 1", (idx,))
        return row_of(found[0]) if found else None

    def by_id(self, record_id: str) -> list[int]:
        """Indexes of the records with this id: at most one in a sound ledger."""
        found = self.query("SELECT idx FROM record WHERE id = ?", (record_id,))
        return [idx for (idx,) in found]

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """The indexes of the records with these ids, of those there are."""
        found = self.query(
            "SELECT id, idx FROM record WHERE id IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(list(ids)).decode(),),
        )
        return {str(name): int(idx) for name, idx in found}

    def person(self, idx: int) -> Person | None:
        """What is known about the human in record ``idx``."""
        found = self.query("SELECT * FROM person WHERE idx = ?", (idx,))
        return Person(*found[0]) if found else None

    def position(self, time: str) -> int:
        """The first index whose ledger time is at or after ``time``; rows are in order of both."""
        low, high = 0, self.built()[0].size
        while low < high:
            middle = (low + high) // 2
            found = self.query(
                "SELECT idx, time FROM record WHERE idx >= ? ORDER BY idx LIMIT 1", (middle,)
            )
            if not found or found[0][1] >= time:
                high = middle
            else:
                low = found[0][0] + 1
        return low

    def close(self) -> None:
        """Close both files, for every thread."""
        with self._lock:
            for own in self._every:
                own.db.close()


@contextlib.contextmanager
def _timed(own: _Own) -> Iterator[None]:
    """What a statement may take of the time that is left, and what becomes of its errors."""
    begun = time.monotonic()
    if own.left <= 0 or begun > own.ends:
        raise _too_long()  # some of what full text does is between no two looks at the clock
    own.until = min(begun + own.left, own.ends)
    try:
        yield
    except apsw.InterruptError as error:
        raise _too_long() from error
    except apsw.SQLError as error:  # one of SQLite's limits: how deep, how long, how many
        raise UsageError(
            "The question has too many conditions to be asked at once.",
            hint="Ask it in parts.",
            reason=LIMIT,
            limit=str(error),
        ) from error
    finally:
        if own.together or own.db.in_transaction:
            own.left -= time.monotonic() - begun
        own.until = float("inf")


def _too_long() -> UsageError:
    return UsageError(
        f"The question takes longer than {SECONDS:.0f} seconds.",
        hint="Narrow it: since:… until:…, a model, a session; or a shorter phrase.",
        reason=TIME,
    )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - before every question, and a Path takes longer
    except OSError:
        return None
    return found.st_dev, found.st_ino


def after_prefix(prefix: str) -> str:
    """A text that sorts behind every text with this prefix and before all that follow it."""
    for place in range(len(prefix) - 1, -1, -1):
        last = ord(prefix[place])
        if last < 0x10FFFF:  # what lies between D7FF and E000 is no character
            return prefix[:place] + chr(0xE000 if last == 0xD7FF else last + 1)
    return "\U0010ffff" * (MAX_TEXT + 1)
