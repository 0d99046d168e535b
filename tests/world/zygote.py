"""Runs one case per process and kills it where it hurts, cheaply.

A zygote is a single-threaded process that has imported everything; it forks a child per case, so
a case costs a fork and not a start of Python, and pytest itself is never forked. A case is a
module-level function ``case(report, **arguments)`` named ``module:function``; what it reports
before it dies arrives with how it ended. Arguments and reports are JSON.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_REPOSITORY = Path(__file__).resolve().parent.parent.parent
Report = Callable[[Any], None]


class Ended(NamedTuple):
    """How a case ended: ``signal`` that killed it or 0, ``status`` of its exit, its reports.

    ``error`` is the traceback if it ended by an exception (status 1).
    """

    signal: int
    status: int
    reports: list[Any]
    error: str

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it: the fault fired."""
        return self.signal == signal.SIGKILL


class Zygote:
    """The process that forks; a context manager. ``modules`` are imported once, at the start."""

    def __init__(self, *modules: str) -> None:
        path = os.pathsep.join([str(_REPOSITORY / "src"), str(_REPOSITORY)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.world.zygote", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_REPOSITORY,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __enter__(self) -> "Zygote":  # noqa: PYI034 - nobody derives from it
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, case: str, **arguments: Any) -> Ended:
        """Run ``case`` in a child of its own and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"case": case, "arguments": arguments}) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the zygote has died")
        return Ended(**json.loads(answer))


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def _main(modules: list[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_fork(request["case"], request["arguments"])), flush=True)


def _fork(case: str, arguments: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(2, 1)  # what a case prints is not an answer
        os._exit(_child(case, arguments, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = [json.loads(line) for line in pipe if line.endswith(b"\n")]
    _, status = os.waitpid(child, 0)
    return {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
        "reports": [line["report"] for line in lines if "report" in line],
        "error": "".join(line["error"] for line in lines if "error" in line),
    }


def _child(case: str, arguments: dict[str, Any], pipe: int) -> int:
    def send(line: dict[str, Any]) -> None:
        os.write(pipe, json.dumps(line).encode() + b"\n")

    module, _, function = case.partition(":")
    try:
        getattr(importlib.import_module(module), function)(
            lambda value: send({"report": value}), **arguments
        )
    except BaseException:  # noqa: BLE001 - whatever ends the child is what is reported
        send({"error": traceback.format_exc()})
        return 1
    return 0


if __name__ == "__main__":
    _main(sys.argv[1:])
