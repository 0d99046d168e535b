"""How far a monitor has replayed a log, on disk, so that a restart goes on from there.

Rules: one encrypted SQLite file for each log, because names of writers and the grouping of leaves
stand in it; everything in it moves in one transaction, so chains, writers and open requests always
are those behind the same leaf. Chains are appended as they change and folded together now and
then, as the sequencer does, because rewriting a million random rows costs more than all else. The
file says nothing that the log does not say: if it is lost, the log is replayed from leaf 0, and
what the monitor's own clock had seen begins anew. Not here: the rules (``rules``).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import msgspec

from affidavit.durable import Disk, open_database
from affidavit.errors import CorruptError, UnavailableError
from affidavit.ledger.leaf import ASKS, Leaf
from affidavit.ledger.rules import ROW_BYTES, Replay, Standing, chain_row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS monitor (one INTEGER PRIMARY KEY CHECK (one = 1), body BLOB NOT NULL)
  STRICT;
CREATE TABLE IF NOT EXISTS writers (
  incarnation TEXT PRIMARY KEY, next INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (position INTEGER PRIMARY KEY, chains BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS chains (seq INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
"""
_CHUNK = 16_384
_SLACK = 100_000


class Progress(msgspec.Struct, frozen=True):
    """What a monitor knows besides the replay itself.

    ``origin`` of the log; ``edge``: the roots of the perfect subtrees of the leaves replayed;
    ``cosigned``: size of the newest checkpoint it cosigned, since ``since`` by its own clock;
    ``floor``: leaves behind that size came into being after this time; ``broken``: the rule that
    was broken, and by which leaf, ``""`` for none.
    """

    origin: str
    standing: Standing = Standing()
    edge: tuple[bytes, ...] = ()
    cosigned: int = 0
    since: str = ""
    floor: str = ""
    broken: str = ""


class _Changes:
    """What the leaves since the last save have touched."""

    def __init__(self) -> None:
        self.chains: dict[bytes, bytes] = {}
        self.waiting: set[int] = set()
        self.writers: set[str] = set()
        self.reset = False
        self.leaves = 0


class MonitorState:
    """The file at ``path``, used by one thread at a time; ``key`` is 32 bytes.

    ``UnavailableError`` if it does not open; ``CorruptError`` if it is of another log or damaged.
    """

    def __init__(self, disk: Disk, path: Path, key: bytes, origin: str) -> None:
        disk.make_dir(path.parent)
        self._connection = open_database(path, key)
        self._changes = _Changes()
        self._rows = 0
        for statement in _SCHEMA.split(";"):
            self._connection.execute(statement)
        self.progress = self._read(origin)

    def _read(self, origin: str) -> Progress:
        rows: list[Any] = self._connection.execute("SELECT body FROM monitor").fetchall()
        if not rows:
            return Progress(origin)
        try:
            found = msgspec.msgpack.decode(rows[0][0], type=Progress)
        except msgspec.MsgspecError as error:
            raise CorruptError("The progress of the monitor cannot be read.") from error
        if found.origin != origin:
            raise CorruptError("The progress is that of a monitor of another log.")
        return found

    def replay(self) -> Replay:
        """The replay as it was saved; a new one before the first save."""
        self._rows = 0
        writers: list[Any] = self._connection.execute("SELECT * FROM writers").fetchall()
        waiting: list[Any] = self._connection.execute("SELECT * FROM waiting").fetchall()
        return Replay.resume(self.progress.standing, dict(writers), dict(waiting), self._chains())

    def _chains(self) -> Iterator[bytes]:
        for (data,) in self._connection.execute("SELECT data FROM chains ORDER BY seq"):
            self._rows += len(data) // ROW_BYTES
            for at in range(0, len(data), ROW_BYTES):
                yield data[at : at + ROW_BYTES]

    @property
    def unsaved(self) -> int:
        """Leaves noted since the last save."""
        return self._changes.leaves

    def note(self, leaf: Leaf, links: tuple[bytes, ...]) -> None:
        """Remember what a leaf that obeyed has touched."""
        changes = self._changes
        if leaf.opening is not None:
            changes.chains.clear()
            changes.reset = True
        stamp = leaf.index.to_bytes(8, "big")
        for link in links:
            changes.chains[link[17:33]] = stamp + link
        if leaf.type in ASKS:
            changes.waiting.add(leaf.index)
        if leaf.re is not None:
            changes.waiting.add(leaf.re)
        changes.writers.add(leaf.src[0])
        changes.leaves += 1

    def save(self, replay: Replay, progress: Progress) -> None:
        """Make everything noted durable, together with ``progress``; ``UnavailableError``."""
        changes = self._changes
        try:
            with self._connection:
                self._write(changes, replay, progress)
        except apsw.Error as error:
            raise UnavailableError(f"The monitor's progress was not saved: {error}.") from error
        self._changes = _Changes()
        self.progress = progress

    def save_broken(self, sentence: str) -> None:
        """Keep for ever that a rule was broken, beside the progress as it was saved last."""
        self._changes = _Changes()
        progress = msgspec.structs.replace(self.progress, broken=sentence)
        try:
            with self._connection:
                self._put(progress)
        except apsw.Error as error:
            raise UnavailableError(f"The monitor's progress was not saved: {error}.") from error
        self.progress = progress

    def _put(self, progress: Progress) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO monitor VALUES (1, ?)", (msgspec.msgpack.encode(progress),)
        )

    def _write(self, changes: _Changes, replay: Replay, progress: Progress) -> None:
        connection = self._connection
        if changes.reset:
            connection.execute("DELETE FROM chains")
            connection.execute("UPDATE waiting SET chains = x''")
            self._rows = 0
        if self._rows + len(changes.chains) > 2 * replay.chain_count + _SLACK:
            connection.execute("DELETE FROM chains")
            self._rows = 0
            self._append(replay.rows())
        else:
            self._append(chain_row(value) for value in changes.chains.values())
        open_now = {index: replay.open.get(index) for index in changes.waiting}
        connection.executemany(
            "DELETE FROM waiting WHERE position = ?",
            [(index,) for index, chains in open_now.items() if chains is None],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO waiting VALUES (?, ?)",
            [(index, chains) for index, chains in open_now.items() if chains is not None],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO writers VALUES (?, ?)",
            [(name, replay.writers[name]) for name in changes.writers],
        )
        self._put(progress)

    def _append(self, rows: Iterable[bytes]) -> None:
        rest = iter(rows)
        while some := list(islice(rest, _CHUNK)):
            self._connection.execute("INSERT INTO chains (data) VALUES (?)", (b"".join(some),))
            self._rows += len(some)

    def close(self) -> None:
        """Close the file; what was not saved is replayed again."""
        self._connection.close()
