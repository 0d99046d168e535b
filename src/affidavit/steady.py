"""Files that keep their names while somebody opens them.

Rules: an advisory lock (``flock``) on the directory itself, shared by those who open files by name,
held alone by who puts one file in the place of another; it dies with its holder. Nothing is written
here. Not here: who replaces what (``vault.renewal``), locks of one owner (``durable``).
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from affidavit.errors import UnavailableError

_SECONDS = 5.0


@contextlib.contextmanager
def steady(directory: Path, *, alone: bool = False) -> Iterator[None]:
    """Inside, no file of ``directory`` is put in the place of another by who is ``alone``.

    ``UnavailableError`` if that is not had in 5 seconds.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _SECONDS
        while True:
            try:
                fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UnavailableError(
                        f"The files of {directory.name} are being opened or replaced.",
                        hint="Try again; a process that is stopped (SIGSTOP) may be in the way.",
                    ) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(fd)
