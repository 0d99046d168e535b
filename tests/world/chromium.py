"""A real Chromium that opens one page: what it measures, asks for and shows.

Skips where none is there, and prints what was not proved. Driven over its own protocol, through a
pipe, so that pages which allow no script can be measured, too.
"""

import contextlib
import itertools
import json
import os
import pwd
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.errors import UnavailableError
from affidavit.evidence import pdf

_SECONDS = 60


class Tab:
    """One page; ``events`` is everything the browser told meanwhile."""

    def __init__(self, asks: int, says: int) -> None:
        self._asks, self._says = asks, says
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []

    def attach(self) -> None:
        """Take the first page that the browser shows."""
        targets: list[dict[str, Any]] = []
        deadline = time.monotonic() + _SECONDS
        while not targets:
            assert time.monotonic() < deadline
            found = self.call("Target.getTargets")["targetInfos"]
            targets = [one for one in found if one["type"] == "page"]
        name = targets[0]["targetId"]
        attached = self.call("Target.attachToTarget", targetId=name, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and wait for its answer."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params, **self._session}
        os.write(self._asks, json.dumps(asked).encode() + b"\0")
        while True:
            said = self._said()
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self.events.append(said)

    def _said(self) -> Any:
        while b"\0" not in self._rest:
            assert select.select([self._says], [], [], _SECONDS)[0], "the browser is silent"
            piece = os.read(self._says, 1 << 20)
            assert piece, "the browser has ended"
            self._rest += piece
        said, _, self._rest = self._rest.partition(b"\0")
        return json.loads(said)

    def open(self, page: Path) -> None:
        """Open a file and wait until it is loaded."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=page.as_uri())
        while not self.told("Page.loadEventFired"):
            self.events.append(self._said())

    def value(self, expression: str) -> Any:
        """What an expression of ours gives on the page."""
        asked = {"expression": expression, "returnByValue": True}
        return self.call("Runtime.evaluate", **asked)["result"]["value"]

    def seen(
        self, width: int, height: int = 900, *, media: str = "screen", dark: bool = False
    ) -> None:
        """Show the page so wide, as on a screen or on paper."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def told(self, method: str) -> list[dict[str, Any]]:
        """What the browser said of a kind."""
        return [event["params"] for event in self.events if event["method"] == method]


@contextlib.contextmanager
def chromium(home: Path) -> Iterator[Tab]:
    """A browser with a profile below ``home``, where its pages have to be, too."""
    try:
        program = pdf.browser()
    except UnavailableError as error:
        pytest.skip(f"not proven: {error.message}")
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if owner is not None:
        for path in (home, *home.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    heard, asks = os.pipe()
    says, told = os.pipe()
    arguments = [
        program, *pdf.FLAGS, f"--user-data-dir={home / 'profile'}", "--remote-debugging-pipe",
        "about:blank",
    ]  # fmt: skip
    running = subprocess.Popen(
        ["/bin/bash", "-c", f'exec "$@" 3<&{heard} 4>&{told}', "bash", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(home)}, cwd=home, start_new_session=True,
        pass_fds=(heard, told), user=owner and owner.pw_uid, group=owner and owner.pw_gid,
        extra_groups=[] if owner else None,
    )  # fmt: skip
    try:
        os.close(heard)
        os.close(told)
        tab = Tab(asks, says)
        tab.attach()
        yield tab
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        os.close(asks)
        os.close(says)
