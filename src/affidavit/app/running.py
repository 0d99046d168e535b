"""What runs on a data directory, written down by ``up`` for whoever asks on this machine.

Rules: one small file in ``run/``, written when everything is ready and taken away at the end; it
says which process, which configuration and which providers are off there, because the shell that
asks may have another environment. After a kill the file is left; then its process is gone. Not
here: health, which the console tells.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from affidavit.app.paths import Paths
from affidavit.durable import Disk

FILE = "up.json"
_DEMO = "demo-url"


class Running(NamedTuple):
    """The process id of ``up``, its configuration file, and why which providers are off.

    ``hash`` is that of the configuration in force, ``demo`` the address of the demo's provider,
    if it is one: the file alone does not say it.
    """

    pid: int
    config: str
    off: dict[str, str]
    hash: str
    demo: str = ""


def write(paths: Paths, disk: Disk, running: Running) -> None:
    """Tell others what runs."""
    disk.write_file(paths.run / FILE, json.dumps(running._asdict()).encode())


def clear(paths: Paths, disk: Disk) -> None:
    """It runs no more."""
    disk.remove(paths.run / FILE)


def find(data: Path) -> Running | None:
    """What runs on this data directory, if its process is alive."""
    try:
        told = json.loads((Paths(data).run / FILE).read_bytes())
        off, hashed, demo = dict(told["off"]), str(told["hash"]), str(told.get("demo", ""))
        running = Running(int(told["pid"]), str(told["config"]), off, hashed, demo)
        os.kill(running.pid, 0)
    except PermissionError:  # alive, and somebody else's
        return running
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running


def keep_demo(paths: Paths, disk: Disk, url: str) -> None:
    """Remember where the demo's provider listens, for its next start."""
    if demo_url(paths) != url:
        disk.write_file(paths.run / _DEMO, url.encode("ascii"))


def demo_url(paths: Paths) -> str:
    """Where the demo's provider of a data directory listened last; ``""`` if it never did."""
    try:
        return (paths.run / _DEMO).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
