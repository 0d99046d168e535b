"""No process of this program leaves its memory on disk."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, resource, sys
from affidavit import app

def told(*_, **__):
    print(*resource.getrlimit(resource.RLIMIT_CORE))
    return 0

name, module, *arguments = sys.argv[1:]
start = getattr(app, name)  # the module of the same name takes its place when it is loaded
vars(importlib.import_module(f"affidavit.app.{module}")).update(run=told, up=told)
more = {"demo": False, "as_json": False} if name == "up" else {}
start(*([None] * len(arguments)), **more)
"""


@pytest.mark.parametrize(
    ("name", "module", "arguments"),
    [
        ("up", "up", 5),
        ("gateway", "gateway", 3),
        ("sequencer", "sequencing", 2),
        ("console", "console", 3),
        ("rebuild_index", "rebuild", 2),
    ],
)
def test_core_dumps_are_off_in_every_process(name: str, module: str, arguments: int) -> None:
    """A crash leaves no file with keys and content in it, whatever the shell allows."""
    command = [sys.executable, "-c", PROGRAM, name, module, *["None"] * arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0 0\n", "")
