"""A whole installation in a temporary directory: real processes, real sockets, the real CLI."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 90


class Machine:
    """``affidavit up`` with its own data directory and free ports; stop it with ``stop``.

    ``prefix`` is a command that runs the program somewhere else (``tests.world.disks``).
    """

    def __init__(
        self,
        data: Path,
        *,
        config: Path | None = None,
        demo: bool = False,
        workers: int = 1,
        environ: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.data = data
        self._prefix = prefix
        self.log = data.parent / f"{data.name}.stderr"
        arguments = ["up", "--data", str(data), "--json", "--workers", str(workers)]
        arguments += ["--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
        arguments += ["--config", str(config)] if config else []
        arguments += ["--demo"] if demo else []
        self._arguments = [*prefix, sys.executable, "-m", "affidavit", *arguments]
        self._environ = {**os.environ, **(environ or {})}
        self.start()

    def start(self) -> None:
        """Start it (again) and wait until it says that it is ready."""
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                self._arguments, stdout=subprocess.PIPE, stderr=stderr, env=self._environ
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"did not start: {self.messages()}"
        self.facts: dict[str, Any] = json.loads(line)
        self.gateway: str = self.facts["gateway"]
        self.console: str = self.facts["console"]
        if self.facts["caller_key"]:
            self.key: str = self.facts["caller_key"]
        self.vkey: str = self.facts["vkey"]

    def messages(self) -> str:
        """What it said on stderr so far."""
        return self.log.read_text(errors="replace")

    def children(self) -> dict[int, str]:
        """Process id and name of each running child."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == self.process.pid and b"affidavit.app" in words:
                found[int(entry.name)] = words[words.index(b"affidavit.app") + 1].decode()
        return found

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line against this installation."""
        data = str(self.data)
        return run_cli(*arguments, "--data", data, check=check, prefix=self._prefix)

    def rows(self, expression: str, limit: int = 1000) -> list[dict[str, Any]]:
        """The records that match, as ``query --json`` gives them."""
        out = self.cli("query", expression, "--json", "--limit", str(limit), check=False)
        assert out.returncode in {0, 1}, out.stderr
        return [json.loads(line) for line in out.stdout.splitlines()]

    def wait_rows(self, expression: str, count: int, within: float = 60.0) -> list[dict[str, Any]]:
        """Ask until at least ``count`` records match."""
        until = time.monotonic() + within
        while True:
            rows = self.rows(expression)
            if len(rows) >= count:
                return rows
            assert time.monotonic() < until, f"{len(rows)} of {count} for {expression}"
            time.sleep(0.1)

    def stop(self) -> int:
        """SIGTERM, wait, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        """SIGKILL the whole tree and wait until nobody is left."""
        children = self.children()
        for pid in [self.process.pid, *children]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        until = time.monotonic() + 30
        while any(_alive(pid) for pid in children):
            assert time.monotonic() < until, "children survived SIGKILL"
            time.sleep(0.01)


def run_cli(
    *arguments: str, check: bool = True, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the command line; with ``check``, exit code 0 is asserted."""
    words: Sequence[str] = [*prefix, sys.executable, "-m", "affidavit", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"{arguments}: {done.returncode} {done.stderr}"
    return done


def _alive(pid: int) -> bool:
    try:
        state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
