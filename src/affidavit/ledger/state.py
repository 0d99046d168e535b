"""What the sequencer keeps in ``state.db``: how far the ledger is committed, and by whom.

Rules: one row says size, root, ledger time and fencing epoch; it moves by compare-and-swap, in a
transaction that also moves the writers' counters, so a second sequencer that was let in by
mistake fails at its first commit. Chain heads and open requests are written with each heads leaf,
as of that leaf, and whatever came later is replayed from the ledger at start; heads are appended
as one value a heads leaf, because rewriting a million random rows would cost more than all else,
and once there are twice as many as chains, all are written anew behind them and the old ones
removed: some with each heads leaf, because commits wait meanwhile. The keys of the log change in
the transaction that commits the record of it. Not here: keys and secrets of any kind.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apsw

from affidavit.errors import LockedError, UnavailableError
from affidavit.ledger.chains import KEY_BYTES
from affidavit.ledger.heads import VALUE_BYTES

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger_tip (
  one INTEGER PRIMARY KEY CHECK (one = 1), fencing INTEGER NOT NULL, size INTEGER NOT NULL,
  root BLOB NOT NULL, time TEXT NOT NULL, epoch INTEGER NOT NULL, heads INTEGER NOT NULL,
  own TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ledger_src (
  incarnation TEXT PRIMARY KEY, next INTEGER NOT NULL, ended INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger_chains (seq INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ledger_open (
  id TEXT PRIMARY KEY, position INTEGER NOT NULL, keys BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger_keys (
  number INTEGER PRIMARY KEY, vkey TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER) STRICT;
"""
_ROW = KEY_BYTES + VALUE_BYTES
_CHUNK = 16_384
"""Heads in one value; so many, or twice as many as changed, are written anew with a heads leaf."""

_SLACK = 100_000


class Committed(NamedTuple):
    """The committed end of the ledger.

    ``epoch``: index of the newest epoch leaf; ``heads``: index of the leaf from which on chains
    and open requests are to be replayed; ``own``: the sequencer's own incarnation.
    """

    fencing: int
    size: int
    root: bytes
    time: str
    epoch: int
    heads: int
    own: str


class Open(NamedTuple):
    """A request not yet answered: where it stands, and the keys its answer inherits."""

    position: int
    keys: tuple[bytes, ...]


class Turn(NamedTuple):
    """What a heads leaf commits besides itself: the state as of the leaves before it.

    ``changed``: heads that changed since the one before; ``chains``: all of them; ``open``:
    requests that were opened, or ``None`` where answered; ``reset``: an epoch leaf follows, all
    chains so far are of a closed epoch.
    """

    changed: Mapping[bytes, bytes]
    chains: Mapping[bytes, bytes]
    open: Mapping[str, Open | None]
    reset: bool = False


class KeyTerm(NamedTuple):
    """A key of the log and the sizes whose checkpoints it signs; ``last`` ``None``: still does."""

    number: int
    vkey: str
    first: int
    last: int | None = None


class LedgerState:
    """The ledger's tables in ``state.db``; ``connection`` is used by nobody else."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._rows = 0
        self._anew: list[bytes] = []
        self._old = 0
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)

    def committed(self) -> Committed | None:
        """The committed end, ``None`` before the first commit."""
        rows: list[Any] = self._connection.execute(
            "SELECT fencing, size, root, time, epoch, heads, own FROM ledger_tip"
        ).fetchall()
        return Committed(*rows[0]) if rows else None

    def take_over(self, before: Committed | None, empty: Committed) -> Committed:
        """Raise the fencing epoch, so that whoever had the ledger before can commit no more.

        With ``before`` ``None`` the first row is ``empty``. ``LockedError`` if another was faster.
        """
        if before is None:
            with self._connection:
                self._connection.execute(
                    "INSERT INTO ledger_tip VALUES (1, ?, ?, ?, ?, ?, ?, ?)", tuple(empty)
                )
            return empty
        with self._connection:
            self._connection.execute(
                "UPDATE ledger_tip SET fencing = fencing + 1, own = ? WHERE fencing = ?",
                (empty.own, before.fencing),
            )
            moved = self._connection.changes() == 1
        if not moved:
            raise LockedError("Another sequencer has taken this ledger.")
        return before._replace(fencing=before.fencing + 1, own=empty.own)

    def swap(
        self,
        before: Committed,
        after: Committed,
        writers: Mapping[str, tuple[int, bool]],
        turn: Turn | None = None,
        keys: Iterable[KeyTerm] = (),
    ) -> None:
        """Commit: move from ``before`` to ``after``, durably, with the writers' counters.

        ``writers``: incarnation → (next counter, ended). ``keys``: those of the log whose terms
        change with this commit. ``LockedError`` if size, root or fencing
        epoch are no longer ``before``'s; ``UnavailableError`` if the database did not take it.
        """
        try:
            with self._connection:
                self._connection.execute(
                    "UPDATE ledger_tip SET size = ?, root = ?, time = ?, epoch = ?, heads = ?"
                    " WHERE size = ? AND root = ? AND fencing = ?",
                    (*after[1:6], before.size, before.root, before.fencing),
                )
                if self._connection.changes() != 1:
                    raise LockedError(
                        "Another sequencer has taken this ledger, or state.db was put back.",
                        hint="Let one sequencer run; start it again to see what it says.",
                    )
                self._connection.executemany(
                    "INSERT INTO ledger_src VALUES (?, ?, ?) ON CONFLICT (incarnation)"
                    " DO UPDATE SET next = excluded.next, ended = excluded.ended",
                    [(name, n, int(ended)) for name, (n, ended) in writers.items()],
                )
                if turn is not None:
                    self._turn(turn)
                self._connection.executemany(
                    "INSERT OR REPLACE INTO ledger_keys VALUES (?, ?, ?, ?)",
                    [tuple(key) for key in keys],
                )
        except apsw.Error as error:
            raise UnavailableError(f"state.db did not take the commit: {error}.") from error

    @contextlib.contextmanager
    def holding(self, fencing: int) -> Iterator[None]:
        """While inside, nobody can take the ledger over; ``LockedError`` if somebody has.

        For whatever is signed or published under a commit of that fencing epoch.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise UnavailableError(f"state.db cannot be held: {error}.") from error
        try:
            committed = self.committed()
            if committed is None or committed.fencing != fencing:
                raise LockedError(
                    "Another sequencer has taken this ledger, or state.db was put back.",
                    hint="Let one sequencer run; start it again to see what it says.",
                )
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def keys(self) -> list[KeyTerm]:
        """The log's keys in their order; none before one followed another."""
        rows = self._connection.execute(
            "SELECT number, vkey, first, last FROM ledger_keys ORDER BY number"
        )
        return [KeyTerm(*row) for row in rows]

    def _turn(self, turn: Turn) -> None:
        if turn.reset:
            self._connection.execute("DELETE FROM ledger_chains")
            self._rows, self._anew, self._old = 0, [], 0
            self._connection.execute("UPDATE ledger_open SET keys = x''")
        else:
            self._append(turn.changed.items())
            self._fold(turn.chains, max(_CHUNK, 2 * len(turn.changed)))
        gone = [(name,) for name, request in turn.open.items() if request is None]
        self._connection.executemany("DELETE FROM ledger_open WHERE id = ?", gone)
        self._connection.executemany(
            "INSERT OR REPLACE INTO ledger_open VALUES (?, ?, ?)",
            [
                (name, request.position, b"" if turn.reset else b"".join(request.keys))
                for name, request in turn.open.items()
                if request is not None
            ],
        )

    def _fold(self, chains: Mapping[bytes, bytes], most: int) -> None:
        """Go on writing all heads anew, ``most`` at once, then removing what stood before them."""
        if self._old == 0:
            if self._rows <= 2 * len(chains) + _SLACK:
                return
            self._anew = list(chains)
            last = self._connection.execute("SELECT max(seq) FROM ledger_chains").get
            self._old = int(last)
        some = self._anew[-most:]
        del self._anew[-most:]
        self._append((key, chains[key]) for key in some)
        if self._anew:
            return
        oldest: list[Any] = self._connection.execute(
            "SELECT seq, length(data) FROM ledger_chains WHERE seq <= ? ORDER BY seq LIMIT ?",
            (self._old, 1 + most // _CHUNK),
        ).fetchall()
        self._connection.executemany(
            "DELETE FROM ledger_chains WHERE seq = ?", [(seq,) for seq, _ in oldest]
        )
        self._rows -= sum(size for _, size in oldest) // _ROW
        if not oldest or oldest[-1][0] == self._old:
            self._old = 0

    def _append(self, chains: Iterable[tuple[bytes, bytes]]) -> None:
        rows = [key + value for key, value in chains]
        self._rows += len(rows)
        self._connection.executemany(
            "INSERT INTO ledger_chains (data) VALUES (?)",
            [(b"".join(rows[at : at + _CHUNK]),) for at in range(0, len(rows), _CHUNK)],
        )

    def chains(self) -> dict[bytes, bytes]:
        """Every chain's head as of leaf ``heads``: key → u64be index ‖ link."""
        found: dict[bytes, bytes] = {}
        self._rows = 0
        for (data,) in self._connection.execute("SELECT data FROM ledger_chains ORDER BY seq"):
            for at in range(0, len(data), _ROW):
                found[data[at : at + KEY_BYTES]] = data[at + KEY_BYTES : at + _ROW]
            self._rows += len(data) // _ROW
        return found

    def open(self) -> Iterator[tuple[str, Open]]:
        """Every request open as of leaf ``heads``, oldest first."""
        for name, index, keys in self._connection.execute(
            "SELECT id, position, keys FROM ledger_open ORDER BY position"
        ):
            yield (
                name,
                Open(
                    index,
                    tuple(keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)),
                ),
            )

    def writers(self) -> dict[str, tuple[int, bool]]:
        """Every writer that ever was: incarnation → (next counter, ended)."""
        rows = self._connection.execute("SELECT incarnation, next, ended FROM ledger_src")
        return {name: (n, bool(ended)) for name, n, ended in rows}
