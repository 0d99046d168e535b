"""No process of this program leaves its memory on disk, or shows it to others."""

import inspect
import subprocess
import sys

import pytest

from affidavit import app

PROGRAM = """
import ctypes, importlib, inspect, resource, sys
from affidavit import app

def told(*_, **__):
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    print(*resource.getrlimit(resource.RLIMIT_CORE), dumpable)
    return 0

name, module = sys.argv[1:]
start = getattr(app, name)
vars(importlib.import_module(f"affidavit.app.{module}")).update(run=told, up=told)
start(**dict.fromkeys(inspect.signature(start).parameters))
"""


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("run_up", "up"),
        ("run_gateway", "gateway"),
        ("run_sequencer", "sequencing"),
        ("run_console", "console"),
        ("witness", "witnessing"),
        ("rebuild_index", "rebuild"),
        ("fsck", "checking"),
    ],
)
def test_core_dumps_are_off_in_every_process(name: str, module: str) -> None:
    """A crash leaves no file with keys and content, and no other process of the user looks in."""
    command = [sys.executable, "-c", PROGRAM, name, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0 0 0\n", "")


def test_every_process_is_in_the_table_above() -> None:
    """A new way to start something is tried here, too."""
    started = {name for name, value in vars(app).items() if inspect.isfunction(value)}
    assert {name for name in started if not name.startswith("_")} == {
        "run_up", "run_gateway", "run_sequencer", "run_console", "witness", "rebuild_index",
        "fsck",
    }  # fmt: skip
