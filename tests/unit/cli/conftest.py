"""A served installation, and the command line run in this process against it."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn

from affidavit.cli import output
from affidavit.cli.main import run
from affidavit.config import Config
from affidavit.config_boundaries import BreakGlass, NamedBoundary
from affidavit.config_retention import Retention
from affidavit.console.app import create_app, create_socket_app
from tests.world.machine import Machine


class Site(NamedTuple):
    """An installation with its console on an address and on its socket."""

    machine: Machine
    url: str

    @property
    def data(self) -> str:
        """The data directory."""
        return str(self.machine.root)


class Result(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON Lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Result]
As = Callable[[str], None]

BOUNDARIES = {
    "two": NamedBoundary(content="with_reason", persons=2),
    "chat": NamedBoundary(
        rows="model:demo-chat", counts=True, break_glass=BreakGlass(), groups=["on-call"]
    ),
}
"""For keys that ask for one."""
RETENTION = Retention.model_validate({
    "classes": {"failed": {"regimes": ["pci-12m-hot90"], "maximum": "2y", "expires": "sections"}},
    "rules": [{"when": {"model": "demo-error"}, "class": "failed"}],
})  # fmt: skip


async def _serve(servers: list[tuple[uvicorn.Server, socket.socket]]) -> None:
    await asyncio.gather(*(server._serve([sock]) for server, sock in servers))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation with some exchanges, served."""
    machine = Machine(
        tmp_path_factory.mktemp("site"), Config(boundaries=BOUNDARIES, retention=RETENTION)
    )
    machine.exchange("What is a witness?", "Somebody who saw it.", session="my-session")
    machine.exchange("And a monitor?", "A witness who counts.", session="my-session")
    machine.exchange(
        "Fail, please.", "No.", model="demo-error", outcome={"http.response.status_code": 429}
    )
    machine.exchange("\x1b[2Jhidden\u202e", "<b>\x07</b>", model="demo-hostile\x1b]0;x\x07")
    machine.settle()
    (machine.root / "log" / "log.vkey").write_text(machine.log.vkey + "\n")
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(machine.root / "run" / "console.sock"))
    services = machine.services()
    servers = []
    for app, sock in ((create_app(services), tcp), (create_socket_app(services), unix)):
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        servers.append((uvicorn.Server(config), sock))
    thread = threading.Thread(target=lambda: asyncio.run(_serve(servers)), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not all(server.started for server, _ in servers) and time.monotonic() < deadline:
        time.sleep(0.01)
    yield Site(machine, f"http://127.0.0.1:{tcp.getsockname()[1]}")
    for server, _ in servers:
        server.should_exit = True
    thread.join(10)
    tcp.close()
    unix.close()
    machine.close()


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Run a command line in this process; returns code, stdout and stderr."""
    for name in ("AFFIDAVIT_DATA", "AFFIDAVIT_URL", "AFFIDAVIT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        output._console.cache_clear()
        capsys.readouterr()
        code = run(list(arguments))
        streams = capsys.readouterr()
        output._console.cache_clear()
        assert "Traceback" not in streams.err
        return Result(code, streams.out, streams.err)

    return call


@pytest.fixture
def become(site: Site, monkeypatch: pytest.MonkeyPatch) -> As:
    """Present a key from now on; ``""`` for the socket alone."""

    def choose(key: str) -> None:
        monkeypatch.setenv("AFFIDAVIT_DATA", site.data)
        monkeypatch.setenv("AFFIDAVIT_KEY", key)

    return choose


def flat(text: str) -> str:
    """Without the line breaks of a narrow terminal."""
    return " ".join(text.split())
