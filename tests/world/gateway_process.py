"""A gateway worker in a process of its own, so that it can be told to stop, or killed.

``python -m tests.world.gateway_process DIRECTORY UPSTREAM`` prints its port and serves.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from affidavit.record.seal import RecipientKey
from tests.paths import REPOSITORY
from tests.world.gateway import World

DAY_KEY = RecipientKey.from_private("2026-11-23", bytes(range(32)))


class Worker(NamedTuple):
    """A running worker; ``journal`` reads back what it wrote."""

    process: subprocess.Popen[str]
    port: int
    journal: World


@contextlib.contextmanager
def start(directory: Path, url: str) -> Iterator[Worker]:
    """A worker; it is killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(directory), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"},
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "the worker did not start"
            yield Worker(process, int(line), World(directory, day_key=DAY_KEY))
        finally:
            process.kill()
            process.communicate(timeout=10)


def main() -> int:
    """Serve on the main thread until a signal comes; the worker's exit code."""
    world = World(Path(sys.argv[1]), sys.argv[2], day_key=DAY_KEY, gateway={"drain_seconds": 2.0})
    return world.serve(lambda: print(world.port, flush=True))


if __name__ == "__main__":
    sys.exit(main())
