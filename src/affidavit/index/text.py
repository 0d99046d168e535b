"""Full text in a file of its own, ``text.db``: FTS5 without the texts, with real deletion.

Rules: one document per message, number = ledger index × 4096 + place, so that a document leads
to its record without a table; the texts themselves are not kept (``contentless_delete``), only
the inverted index. Deleting from such an index leaves words behind until its segments are merged,
which ``purged`` does step by step, and SQLite overwrites the freed pages (``secure_delete``):
erasure costs a rewrite of the text index, so erase in batches. Agents send their whole history
with every turn: history that was said before in its session (same role, same words) is passed over.
What a record itself asks or answers is indexed with it, however often it was said. Not here: what
the messages are and which are history (``messages``), and the thread that calls this (``indexer``).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from affidavit.durable import open_database
from affidavit.index.messages import Said
from affidavit.index.sqlite import Built, prepare, read_built

PLACES_BITS = 12
"""A document number is ledger index << 12 | place; messages past 4,095 share the last place."""

_MERGE_PAGES = 200
"""Pages (of 4 kB) that a step of ``purged`` writes."""
_LAST_PLACE = (1 << PLACES_BITS) - 1
_SCHEMA = (
    (
        "CREATE VIRTUAL TABLE passage USING fts5 (body, content = '', contentless_delete = 1, "
        "tokenize = 'unicode61 remove_diacritics 2')"
    ),
    "CREATE TABLE session (no INTEGER PRIMARY KEY, tenant TEXT, name TEXT, UNIQUE (tenant, name))",
    (
        "CREATE TABLE uttered (session INTEGER, digest BLOB, document INTEGER, "
        "PRIMARY KEY (session, digest)) WITHOUT ROWID"
    ),
    "CREATE TABLE built (version INTEGER, size INTEGER, root BLOB, time TEXT)",
)
_DUMP = {
    "built": "SELECT version, size, hex(root), time FROM built",
    "word": "SELECT term, doc, offset FROM temp.words ORDER BY doc, offset, term",
    "uttered": "SELECT s.tenant, s.name, hex(u.digest), u.document FROM session s "
    "LEFT JOIN uttered u ON u.session = s.no ORDER BY s.tenant, s.name, u.digest",
}
_json = msgspec.json.Encoder()


class Speech(msgspec.Struct, frozen=True):
    """All messages of one record, and the session they belong to, if any."""

    idx: int
    tenant: str
    session: str | None
    messages: list[Said]


class TextStore:
    """The writer of ``text.db``; one thread uses it. apsw errors leave it as it was."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._db = open_database(path, key)
        prepare(self._db, _SCHEMA, path.name)

    def built(self) -> Built:
        """What the committed text stands for."""
        return read_built(self._db)

    def write(self, speeches: Iterable[Speech], built: Built) -> None:
        """Index speeches, in ledger order: one transaction."""
        with self._db:
            self._add(speeches)
            self._db.execute("UPDATE built SET size = ?, root = ?, time = ?", built)

    def replace(
        self,
        indexes: Sequence[int],
        sessions: Iterable[tuple[str, str]],
        speeches: Iterable[Speech],
    ) -> None:
        """Forget all text of ``indexes`` and whole ``sessions`` (tenant, name), index ``speeches``.

        ``indexes`` must hold every record of those sessions: one transaction. The words are not
        found any more; they leave the file with ``purged``.
        """
        with self._db:
            self._db.executemany(
                "DELETE FROM passage WHERE rowid BETWEEN ? AND ?",
                [(i << PLACES_BITS, i << PLACES_BITS | _LAST_PLACE) for i in indexes],
            )
            for tenant, name in sessions:
                self._db.execute(
                    "DELETE FROM uttered WHERE session = "
                    "(SELECT no FROM session WHERE tenant = ? AND name = ?)",
                    (tenant, name),
                )
                self._db.execute(
                    "DELETE FROM session WHERE tenant = ? AND name = ?", (tenant, name)
                )
            self._add(speeches)

    def purged(self) -> Iterator[None]:
        """Merge all segments there are, some pages a step: what was deleted leaves them.

        Between two steps anything may be written. A merge that is under way is finished first,
        because its result may hold what was deleted meanwhile; then all segments become one.
        """
        yield from self._merged(_MERGE_PAGES)
        if self._merge(-_MERGE_PAGES):
            yield
            yield from self._merged(_MERGE_PAGES)

    def _merged(self, pages: int) -> Iterator[None]:
        while self._merge(pages):
            yield

    def _merge(self, pages: int) -> bool:
        """One step (FTS5, "The 'merge' Command"); whether there may be another one."""
        before = self._db.total_changes()
        with self._db:
            self._db.execute("INSERT INTO passage (passage, rank) VALUES ('merge', ?)", (pages,))
        return self._db.total_changes() - before >= 2

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _add(self, speeches: Iterable[Speech]) -> None:
        documents: list[tuple[int, str]] = []
        for speech in speeches:
            session = self._session(speech) if speech.session and speech.messages else None
            fresh: list[str] = []
            for message in speech.messages:
                document = speech.idx << PLACES_BITS | min(len(fresh), _LAST_PLACE)
                first = session is None or self._first(session, message, document)
                if first or message.new:
                    fresh.append(message.text)
            if len(fresh) > _LAST_PLACE:
                fresh[_LAST_PLACE:] = ["\n".join(fresh[_LAST_PLACE:])]
            documents += [
                (speech.idx << PLACES_BITS | place, text) for place, text in enumerate(fresh)
            ]
        self._db.executemany("INSERT INTO passage (rowid, body) VALUES (?, ?)", documents)

    def _session(self, speech: Speech) -> int:
        name = (speech.tenant, speech.session)
        found = self._db.execute(
            "SELECT no FROM session WHERE tenant = ? AND name = ?", name
        ).fetchone()
        if found is not None:
            return int(found[0])
        self._db.execute("INSERT INTO session (tenant, name) VALUES (?, ?)", name)
        return self._db.last_insert_rowid()

    def _first(self, session: int, message: Said, document: int) -> bool:
        """Whether this message has not been said in this session before; remembers it."""
        spoken = f"{message.role}\0{message.text}".encode("utf-8", "surrogatepass")
        self._db.execute(
            "INSERT OR IGNORE INTO uttered VALUES (?, ?, ?)",
            (session, hashlib.sha256(spoken).digest()[:16], document),
        )
        return self._db.changes() == 1


def dump(path: Path, key: bytes) -> Iterator[str]:
    """Everything ``text.db`` holds, one line each: every word at every place of every document."""
    connection = open_database(path, key, read_only=True)
    try:
        # A vocabulary over another schema's table lives in memory: the file stays untouched.
        connection.execute(
            "CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, passage, instance)"
        )
        for name, statement in _DUMP.items():
            for values in connection.execute(statement):
                yield f"{name} {_json.encode(values).decode()}"
    finally:
        connection.close()
