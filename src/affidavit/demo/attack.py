"""A private installation of the demo that may be attacked: started, called, killed, looked at.

Rules: it lives in a directory of its own that goes when it ends; it is the same program that
others run, started from the command line, so that what is shown is what would happen. Processes
are found by ``/proc``. Not here: forging (``tamper``), and what people are told (``cli.demo``).
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from affidavit.demo.answers import CHAT_MODEL
from affidavit.errors import UnavailableError

PATIENCE = 30.0
"""Seconds that a step may take."""


class Victim:
    """``affidavit up --demo`` below ``directory``, with one gateway worker."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "demo"
        words = ["up", "--demo", "--json", "--workers", "1", "--data", str(self.data)]
        words += ["--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "affidavit", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.end()
            raise UnavailableError("The demo to be attacked did not start.", hint="Try: up --demo")
        facts: dict[str, Any] = json.loads(line)
        self.vkey: str = facts["vkey"]
        self._address = urlsplit(facts["gateway"])
        self._key: str = facts["caller_key"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop everything; what is on disk stays until the directory goes."""
        self._process.terminate()
        self._process.wait(PATIENCE * 2)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """The command line, as anybody would use it; both streams are kept."""
        command = [sys.executable, "-m", "affidavit", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours

    def rows(self, expression: str) -> list[dict[str, Any]]:
        """Records that match, newest first."""
        asked = self.run("query", expression, "--json", "--limit", "1000", "--data", self.data)
        return [json.loads(line) for line in asked.stdout.splitlines()]

    def wait(self, what: str, found: Callable[[], Any]) -> Any:
        """Look until ``found`` gives something; ``UnavailableError`` if it never does."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = found()
            if answer:
                return answer
            if time.monotonic() > until:
                raise UnavailableError(f"The demo showed no {what} in time.")
            time.sleep(0.2)

    def stream(self, prompt: str, pieces: int) -> tuple[str, bytes]:
        """Ask for a stream, read so many pieces, kill the worker; (record id, what arrived)."""
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=PATIENCE
        )
        asked = {
            "model": CHAT_MODEL,
            "stream": True,
            "messages": [{"role": "user", "content": prompt}],
        }
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        connection.request("POST", "/openai/v1/chat/completions", json.dumps(asked), headers)
        answer = connection.getresponse()
        arrived = b"".join(answer.read1() for _ in range(pieces))
        os.kill(self._worker(), signal.SIGKILL)
        try:
            while more := answer.read1():
                arrived += more
        except (OSError, http.client.HTTPException):
            pass  # the connection broke with the worker
        connection.close()
        return answer.headers["affidavit-record"], arrived

    def _worker(self) -> int:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                except OSError:
                    continue  # it has just ended
                if int(parent) == self._process.pid and b"gateway" in words:
                    return int(entry.name)
        raise UnavailableError("The gateway worker of the demo was not found.")
