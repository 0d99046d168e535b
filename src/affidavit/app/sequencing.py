"""The life of a sequencer process: its lock, the sequencer, and what it answers."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from affidavit import config as configuration
from affidavit.app import early, memory, origin, questions
from affidavit.app.paths import Paths
from affidavit.app.ready import tell_ready
from affidavit.app.sequencer import Sequencer
from affidavit.app.trouble import say
from affidavit.clock import SystemClock
from affidavit.durable import Disk
from affidavit.errors import LockedError, NotFoundError
from affidavit.query import named

LOCK_SECONDS = 20.0
"""How long a start waits for the process before it to end."""


@contextlib.contextmanager
def _locked(paths: Paths, disk: Disk) -> Iterator[None]:
    """The sequencer's lock; waits for a predecessor whose supervisor died and that still drains."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with disk.locked(paths.sequencer_lock, "sequencer"):
                yield
                return
        except LockedError:
            if time.monotonic() > until or early.asked_to_stop():
                raise
            time.sleep(0.1)


def run(data: Path, config_path: Path | None) -> int:
    """Run the sequencer of a data directory until SIGTERM; ``LockedError`` if one runs there."""
    paths = Paths(data)
    file = config_path or paths.config
    config = configuration.load(file, os.environ)
    named.check(config, str(file))
    disk = Disk()
    if not paths.initialised:
        raise NotFoundError(f"{data} is not a data directory.", hint="Start with: affidavit up")
    with _locked(paths, disk):
        if swapped := memory.lock():
            say(swapped)
        config = config.named(origin.settled(paths, disk, config.log.origin, file))
        sequencer = Sequencer(paths, config, disk, SystemClock())
        code = asyncio.run(sequencer.run(questions.handlers(sequencer), tell_ready))
    if code:
        # Threads of a stage that failed may wait for ever; what they hold is not to be trusted,
        # and the next start recovers from what is on disk.
        sys.stderr.flush()
        os._exit(code)
    return code
