"""Rows, posting lists and rollups in one encrypted SQLite file, ``index.db``.

Rules, each measured: the only index on ids relies on their order (a UUIDv7 begins with its time,
so new ids land at the right edge of the tree); posting lists are one table clustered by (term,
record), so a term's records are read newest first without a sort; automatic checkpoints are off,
a thread does PASSIVE ones (``indexer``), and a log begins anew where one of them has moved all of
it; commits do not wait for the disk, because what a power
cut takes is taken from the ledger again. Size and root of the ledger the rows stand for are
written in the same transaction as the rows. Not here: text (``text``), questions
(``query.emit``), and what a row says (``project``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import apsw
import msgspec

from affidavit.durable import open_database
from affidavit.errors import UnavailableError
from affidavit.index import latency, rollup
from affidavit.index.checkpoints import LONG_LOG
from affidavit.index.project import Entry
from affidavit.index.schema import (
    Person,
    Posting,
    Row,
    model_postings,
    person_postings,
    postings,
)

VERSION = 6
INDEX_FILE = "index.db"
TEXT_FILE = "text.db"
ROW_COLUMNS = Row.__struct_fields__
PERSON_COLUMNS = Person.__struct_fields__
LISTS = frozenset(
    {"actors", "groups", "credentials", "models", "tools", "sources", "finish", "firsts"}
)
"""Columns that hold a JSON array of texts."""

_INTEGERS = frozenset({
    "idx", "re", "answered", "present", "shown", "stream", "http", "tokens_in", "tokens_out",
    "tokens_cached", "tokens_reasoning", "bytes",
})  # fmt: skip
_REALS = frozenset({"first_byte", "duration", "cost"})
_LIST_PLACES = tuple(place for place, name in enumerate(ROW_COLUMNS) if name in LISTS)
_TERMS_REMEMBERED = 50_000
_ROWS_REMEMBERED = 4_096
_json = msgspec.json.Encoder()


class Built(NamedTuple):
    """What an index stands for: the ledger's size, its root then, and its latest record's time."""

    size: int
    root: bytes
    time: str


def _column(name: str) -> str:
    kind = "INTEGER" if name in _INTEGERS else "REAL" if name in _REALS else "TEXT"
    return f'"{name}" {kind}' + (" PRIMARY KEY" if name == "idx" else "")


def _marks(count: int) -> str:
    return ",".join("?" * count)


def _cube_table(cube: rollup.Cube) -> str:
    return (
        f"CREATE TABLE {cube.name} ({', '.join(rollup.columns(cube))}, "
        f"PRIMARY KEY (period, {', '.join(cube.keys)})) WITHOUT ROWID"
    )


def _add_to(cube: rollup.Cube) -> str:
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in rollup.Sums._fields)
    return (
        f"INSERT INTO {cube.name} VALUES ({_marks(len(rollup.columns(cube)))}) "  # noqa: S608 - columns of a cube of ours
        f"ON CONFLICT DO UPDATE SET {added}, latency = latency_plus(latency, excluded.latency)"
    )


_SCHEMA = (
    f"CREATE TABLE record ({', '.join(map(_column, ROW_COLUMNS))})",
    "CREATE INDEX record_id ON record (id)",
    f"CREATE TABLE person ({', '.join(map(_column, PERSON_COLUMNS))})",
    "CREATE TABLE term (id INTEGER PRIMARY KEY, dimension TEXT, value TEXT)",
    "CREATE UNIQUE INDEX term_name ON term (dimension, value)",
    "CREATE TABLE mention (term INTEGER, idx INTEGER, PRIMARY KEY (term, idx)) WITHOUT ROWID",
    *map(_cube_table, rollup.CUBES),
    "CREATE TABLE built (version INTEGER, size INTEGER, root BLOB, time TEXT)",
)
_INSERT_ROW = f"INSERT INTO record VALUES ({_marks(len(ROW_COLUMNS))})"  # noqa: S608 - no data
_INSERT_PERSON = f"INSERT INTO person VALUES ({_marks(len(PERSON_COLUMNS))})"  # noqa: S608 - no data
_ADD_TO = tuple(map(_add_to, rollup.CUBES))

_DUMP = {
    "built": "SELECT version, size, hex(root), time FROM built",
    "record": "SELECT * FROM record ORDER BY idx",
    "person": "SELECT * FROM person ORDER BY idx",
    "term": "SELECT dimension, value FROM term ORDER BY dimension, value",
    "mention": "SELECT t.dimension, t.value, m.idx FROM mention m JOIN term t ON t.id = m.term "
    "ORDER BY t.dimension, t.value, m.idx",
    **{
        cube.name: f"SELECT {', '.join((*rollup.columns(cube)[:-1], 'hex(latency)'))} "  # noqa: S608 - columns of a cube of ours
        f"FROM {cube.name} ORDER BY period, {', '.join(cube.keys)}"
        for cube in rollup.CUBES
    },
}


def prepare(connection: apsw.Connection, schema: Sequence[str], name: str) -> None:
    """Tune a writer's connection and make its tables if the file is new.

    ``UnavailableError``, ``reason`` ``version``, if the file is of another version.
    """
    connection.pragma("synchronous", "normal")
    connection.wal_autocheckpoint(0)
    connection.pragma("journal_size_limit", 2 * LONG_LOG * 4_096)
    connection.pragma("cache_size", -65_536)
    if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
        with connection:
            for statement in schema:
                connection.execute(statement)
            connection.execute("INSERT INTO built VALUES (?, 0, ?, '')", (VERSION, b""))
    check_version(connection, name)


def check_version(connection: apsw.Connection, name: str, schema: str = "main") -> None:
    """``UnavailableError`` unless the file ``name`` is an index of this version."""
    try:
        version = connection.execute(f"SELECT version FROM {schema}.built").get  # noqa: S608 - a database of ours
    except apsw.SQLError:
        version = None
    if version != VERSION:
        raise UnavailableError(
            f"{name} is of version {version}, this program reads version {VERSION}.",
            hint="The sequencer makes it anew when it starts; or run: affidavit index rebuild",
            reason="version",
        )


def read_built(connection: apsw.Connection, schema: str = "main") -> Built:
    """What the index in this file stands for."""
    rows = connection.execute(f"SELECT size, root, time FROM {schema}.built")  # noqa: S608 - a database of ours
    ((size, root, time),) = cast(list[tuple[int, bytes, str]], rows.fetchall())
    return Built(size, root, time)


class RowStore:
    """The writer of ``index.db``; one thread uses it. apsw errors leave it as it was."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._db = open_database(path, key)
        prepare(self._db, _SCHEMA, path.name)
        latency.for_writer(self._db)
        self._terms: dict[Posting, int] = {}
        self._rows: dict[int, Entry] = {}

    def built(self) -> Built:
        """What the committed rows stand for."""
        return read_built(self._db)

    def entry(self, idx: int) -> Entry | None:
        """The entry of record ``idx`` as committed, or ``None``."""
        entry = self._rows.get(idx)
        if entry is None:
            found = self._db.execute("SELECT * FROM record WHERE idx = ?", (idx,)).fetchone()
            if found is None:
                return None
            person = self._db.execute("SELECT * FROM person WHERE idx = ?", (idx,)).fetchone()
            entry = Entry(row_of(found), Person(*person) if person else None)
        return entry

    def write(
        self,
        fresh: Mapping[int, Entry],
        changed: Mapping[int, tuple[Entry, Entry]],
        removed: Mapping[int, Entry],
        built: Built,
        less: Mapping[int, Entry] | None = None,
    ) -> None:
        """Take out ``removed``, replace ``changed`` (old, new), add ``fresh``: one transaction.

        Of ``less`` nothing but ``shown`` is another than before.
        """
        shorter = less or {}
        try:
            with self._db:
                self._remove(removed)
                self._change(changed)
                self._add(fresh)
                self._db.executemany(
                    "UPDATE record SET shown = ? WHERE idx = ?",
                    [(entry.row.shown, idx) for idx, entry in shorter.items()],
                )
                self._roll(fresh, removed)
                self._db.execute("UPDATE built SET size = ?, root = ?, time = ?", built)
        except apsw.Error:
            self._terms.clear()
            self._rows.clear()
            raise
        for idx in removed:
            self._rows.pop(idx, None)
        for idx, (_, new) in changed.items():
            if idx in self._rows:
                self._rows[idx] = new
        self._rows.update(fresh)
        self._rows.update(shorter)
        for idx in list(self._rows)[: max(0, len(self._rows) - _ROWS_REMEMBERED)]:
            del self._rows[idx]

    def in_session(self, tenant: str | None, session: str) -> list[int]:
        """Indexes of all records of a session, ascending."""
        rows = self._db.execute(
            "SELECT m.idx FROM mention m JOIN record r ON r.idx = m.idx WHERE m.term = (SELECT id "
            "FROM term WHERE dimension = 'session' AND value = ?) AND r.tenant IS ? ORDER BY m.idx",
            (session, tenant),
        )
        return [idx for (idx,) in rows]

    def find(self, record_id: str) -> list[int] | None:
        """Indexes of the record with this id and, of an answered request, of its response."""
        found = self._db.execute(
            "SELECT idx, answered FROM record WHERE id = ? ORDER BY idx", (record_id,)
        ).fetchone()
        return None if found is None else [idx for idx in found if idx is not None]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _add(self, fresh: Mapping[int, Entry]) -> None:
        entries = fresh.values()
        self._db.executemany(_INSERT_ROW, [_values(entry.row) for entry in entries])
        people = [msgspec.structs.astuple(entry.person) for entry in entries if entry.person]
        self._db.executemany(_INSERT_PERSON, people)
        self._post((posting, idx) for idx, entry in fresh.items() for posting in all_of(entry))

    def _change(self, changed: Mapping[int, tuple[Entry, Entry]]) -> None:
        self._db.executemany(
            "UPDATE record SET answered = ?, models = ? WHERE idx = ?",
            [
                (new.row.answered, _json.encode(new.row.models).decode(), idx)
                for idx, (_, new) in changed.items()
            ],
        )
        more: list[tuple[Posting, int]] = []
        for idx, (old, new) in changed.items():
            known = old.row.models  # nothing else of it can have become more
            names = [name for name in new.row.models if name not in known]
            more += [(posting, idx) for posting in model_postings(new.row, names)]
        self._post(more)

    def _remove(self, removed: Mapping[int, Entry]) -> None:
        """List by list, each in order, as a page that several of them change is written once."""
        mentions = [
            (self._term(one), idx) for idx, entry in removed.items() for one in all_of(entry)
        ]
        indexes = [(idx,) for idx in sorted(removed)]
        self._db.executemany("DELETE FROM mention WHERE term = ? AND idx = ?", sorted(mentions))
        self._db.executemany("DELETE FROM record WHERE idx = ?", indexes)
        self._db.executemany("DELETE FROM person WHERE idx = ?", indexes)
        self._db.executemany(
            "DELETE FROM term WHERE id = ? "
            "AND NOT EXISTS (SELECT 1 FROM mention WHERE term = term.id)",
            [(term,) for term in sorted({term for term, _ in mentions})],
        )
        if removed:
            self._terms.clear()

    def _post(self, found: Iterable[tuple[Posting, int]]) -> None:
        mentions = [(self._term(posting), idx) for posting, idx in found]
        self._db.executemany("INSERT INTO mention VALUES (?, ?)", mentions)

    def _term(self, posting: Posting) -> int:
        number = self._terms.get(posting)
        if number is None:
            found = self._db.execute(
                "SELECT id FROM term WHERE dimension = ? AND value = ?", posting
            ).fetchone()
            if found is None:
                self._db.execute("INSERT INTO term (dimension, value) VALUES (?, ?)", posting)
                number = self._db.last_insert_rowid()
            else:
                number = int(found[0])
            if len(self._terms) >= _TERMS_REMEMBERED:
                self._terms.clear()
            self._terms[posting] = number
        return number

    def _roll(self, fresh: Mapping[int, Entry], removed: Mapping[int, Entry]) -> None:
        changes = rollup.merge(
            (entry.row for entry in fresh.values()), (entry.row for entry in removed.values())
        )
        for cube, statement, cells in zip(rollup.CUBES, _ADD_TO, changes, strict=True):
            self._db.executemany(
                statement,
                [(*key, *change.sums, change.latency) for key, change in cells.items()],
            )
            if removed:
                self._db.execute(
                    f"DELETE FROM {cube.name} WHERE requests = 0 AND denials = 0"  # noqa: S608 - a cube of ours
                )


def all_of(entry: Entry) -> tuple[Posting, ...]:
    """All posting lists of an entry: its row's and its person's."""
    found = postings(entry.row)
    return found + person_postings(entry.person) if entry.person else found


def row_of(values: Sequence[Any]) -> Row:
    """The row that was stored as these column values."""
    given = list(values)
    for place in _LIST_PLACES:
        given[place] = tuple(msgspec.json.decode(given[place]))
    return Row(*given)


def _values(row: Row) -> tuple[Any, ...]:
    given = list(msgspec.structs.astuple(row))
    for place in _LIST_PLACES:
        given[place] = _json.encode(given[place]).decode() if given[place] else "[]"
    return tuple(given)


def dump(path: Path, key: bytes) -> Iterator[str]:
    """Everything ``index.db`` holds, one line each, in an order that depends on content alone.

    Terms are spelt out instead of numbered, so two indexes with the same lines are equal in all
    that can be asked of them.
    """
    connection = open_database(path, key, read_only=True)
    try:
        for name, statement in _DUMP.items():
            for values in connection.execute(statement):
                yield f"{name} {_json.encode(values).decode()}"
    finally:
        connection.close()
