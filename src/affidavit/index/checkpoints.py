"""Write-ahead logs: moving them into their files, and having them begin anew.

Rules: SQLite begins a log anew where all of it is in the file and nobody reads of it (SQLite,
"Write-Ahead Logging", 2.2). Readers that overlap keep it from that for ever, however long they are
waited for: who begins meanwhile reads of its end, and may take the place in it that is waited for.
So they stand aside (``aside``) while those of before come to their end. A checkpoint takes as long
as the disk does, so it is done over connections of its own. Not here: when (``indexer``).
"""

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import apsw

from affidavit.durable import BUSY_MS, open_database
from affidavit.index.aside import ASIDE_FILE, LOOK_SECONDS, Pause

_PATIENCE_MS = 20
"""So long the emptying of a log waits for readers; whoever writes waits for it."""
LONG_LOG = 32_768
"""Pages, of 4 KiB, from which on a log is to begin anew."""


def truncated(connection: apsw.Connection, patience: int = _PATIENCE_MS) -> bool:
    """Empty the write-ahead log: all of it is in the file then, and what was deleted is nowhere.

    ``False`` if somebody reads or writes for longer than ``patience`` (ms), so try again later.
    """
    connection.set_busy_timeout(patience)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
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
        self._aside = paths[0].with_name(ASIDE_FILE)
        self._lock = threading.Lock()

    def run(self) -> int:
        """One PASSIVE checkpoint of each file; how many pages the longest log has."""
        with self._lock:
            return max(
                one.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)[0]
                for one in self._connections
            )

    def truncate(self) -> bool:
        """Leave nothing in the logs; ``False`` if somebody reads or writes, so try again later."""
        self.run()
        with self._lock:
            return all(truncated(one) for one in self._connections)

    def anew(
        self, seconds: float, writing: Sequence[threading.Lock], closing: threading.Event
    ) -> bool:
        """Empty the logs while readers stand aside; ``False`` if some of before read for longer.

        Longer than so many ``seconds``, or than until ``closing``. Whoever writes holds one of the
        locks ``writing``, and goes on; they are taken only for the moment that it takes to move
        the rest once nobody reads as of before.
        """
        until = time.monotonic() + seconds
        left = self._connections
        with Pause(self._aside) as pause:
            while left := [one for one in left if not self._emptied(one, writing, until)]:
                if time.monotonic() > until or closing.wait(LOOK_SECONDS):
                    return False
                pause.ask()
        return True

    def _emptied(
        self, connection: apsw.Connection, writing: Sequence[threading.Lock], until: float
    ) -> bool:
        with self._lock:
            pages, there = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if there < pages:
            return False
        with contextlib.ExitStack() as held:
            for lock in writing:
                if not lock.acquire(timeout=max(0.0, until - time.monotonic())):
                    return False
                held.callback(lock.release)
            with self._lock:
                return truncated(connection, 0)

    def close(self) -> None:
        """A last checkpoint, then close."""
        self.run()
        for connection in self._connections:
            connection.close()
