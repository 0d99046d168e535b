"""Who begins to read waits a little while a write-ahead log is to begin anew.

Rules: SQLite begins a log anew at a moment at which nobody reads of it. Where the next one always
begins before the last one has ended there is no such moment, however long one waits: who begins
takes the newest place in the log, and may take over the very one that is waited for. So the
checkpointer asks for a pause, by an exclusive ``flock`` on a file beside the index, and whoever is
about to begin looks at it first. Who reads already is not disturbed. Readers need to read that file
and no more, and hold nothing once they have looked: none of them, living or dead, keeps the
checkpointer waiting. A pause ends with the process that asked for it. Not here: when (``indexer``),
and what is done in it (``checkpoints``).
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Self

from affidavit.durable import Disk
from affidavit.errors import LockedError

ASIDE_FILE = "index.wait"
MOST_SECONDS = 20.0
"""So long a pause is asked for at most, so long a reader waits at most, and so long it may go on
asking as of one moment."""
LOOK_SECONDS = 0.02


class Pause:
    """What the one writer of an index asks of its readers; over at the end of the ``with``.

    ``path`` is that file, which is made at the first time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._disk = Disk()
        self._held = contextlib.ExitStack()
        self._asked = False

    def ask(self) -> None:
        """From now on nobody begins, unless somebody looked just now: ask again.

        Where the disk refuses the file, readers go on as if nothing had been asked.
        """
        if not self._asked:
            with contextlib.suppress(LockedError, OSError):
                self._held.enter_context(self._disk.locked(self._path, "index"))
                self._asked = True

    def __enter__(self) -> Self:
        self.ask()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        self._asked = False


def stand_aside(path: str) -> None:
    """Return once nobody asks for a pause any more (``path``: that file), or after the most."""
    until = time.monotonic() + MOST_SECONDS
    while _asked(path) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)


def _asked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # nobody ever asked for one
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(fd)
    return False
