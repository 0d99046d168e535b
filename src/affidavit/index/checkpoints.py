"""Write-ahead logs: moving them into their files, and having them begin anew.

Rules: SQLite begins a log anew where all of it is in the file and nobody reads of it (SQLite,
"Write-Ahead Logging", 2.2). A checkpoint takes as long as the disk does, so it is done over
connections of its own. Not here: when (``indexer``), and who waits for it.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import apsw

from affidavit.durable import BUSY_MS, open_database

_PATIENCE_MS = 20
"""So long the emptying of a log waits for readers, mostly; whoever writes waits for it."""
LONG_LOG = 32_768
"""Pages, of 4 KiB, from which on a log is to begin anew."""


def truncated(connection: apsw.Connection, patience: int = _PATIENCE_MS) -> bool:
    """Empty the write-ahead log: all of it is in the file then, and what was deleted is nowhere.

    ``False`` if somebody reads or writes for longer than ``patience`` (ms), so try again later.
    """
    return _done(connection, apsw.SQLITE_CHECKPOINT_TRUNCATE, patience)


def moved(connection: apsw.Connection, patience: int) -> bool:
    """``truncated``, with the same patience for readers of before and, then, for those of since."""
    whole = _done(connection, apsw.SQLITE_CHECKPOINT_FULL, patience)
    return whole and truncated(connection, patience)


def _done(connection: apsw.Connection, mode: int, patience: int) -> bool:
    connection.set_busy_timeout(patience)
    try:
        connection.wal_checkpoint(mode=mode)
    except apsw.BusyError:
        return False
    finally:
        connection.set_busy_timeout(BUSY_MS)
    return True


class Checkpointer:
    """Moves write-ahead logs into their files over connections of its own, without waiting.

    A checkpoint takes as long as the disk does; on a writer's connection the writer would wait.
    Calls from several threads take turns.
    """

    def __init__(self, paths: Sequence[Path], key: bytes) -> None:
        self._connections = [open_database(path, key) for path in paths]
        self._lock = threading.Lock()

    def run(self) -> int:
        """One PASSIVE checkpoint of each file; how many pages the longest log has."""
        with self._lock:
            return max(
                one.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)[0]
                for one in self._connections
            )

    def truncate(self, patience: int = _PATIENCE_MS) -> bool:
        """Leave nothing in the logs; ``False`` if somebody reads or writes, so try again later.

        Waits so long (ms) for each reader who needs what is not in the file yet, and then for each
        who began meanwhile; those that begin once all of it is there need the log no more.
        """
        self.run()
        with self._lock:
            return all(moved(one, patience) for one in self._connections)

    def close(self) -> None:
        """A last checkpoint, then close."""
        self.run()
        for connection in self._connections:
            connection.close()
