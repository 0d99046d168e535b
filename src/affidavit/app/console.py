"""The console process: reads ledger, vault and index, and keeps a journal of every read."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from affidavit import config as configuration
from affidavit.app import memory, opening, snapshots, system
from affidavit.app.listen import listen, split
from affidavit.app.paths import Paths
from affidavit.app.ready import tell_ready
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.console.app import create_app, create_socket_app
from affidavit.console.services import ConsoleServices
from affidavit.control.identity import Directory, Snapshot
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.index.reader import Reader
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Verifier
from affidavit.ledger.publish import heads
from affidavit.query import named
from affidavit.query.prover import RemoteProver
from affidavit.record.journal import JournalWriter
from affidavit.record.seal import Recipient
from affidavit.vault.reader import VaultReader


class Known:
    """The snapshot in force, and what is derived from it: identities, the keys of ``readers``."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.readers: tuple[LogReader, ...] = ()
        self.snapshot = snapshot
        self.directory = Directory(snapshot.identities)

    def update(self, snapshot: Snapshot) -> None:
        """Take a newer snapshot."""
        self.snapshot = snapshot
        self.directory = Directory(snapshot.identities)
        for reader in self.readers:
            reader.trust(self.log_keys())

    def log_keys(self) -> list[Verifier]:
        """The keys that sign the log's checkpoints now."""
        return [Verifier.from_vkey(vkey) for vkey in self.snapshot.log_vkeys]

    def recipient(self) -> Recipient:
        """To whom the journal is sealed today."""
        return Recipient(self.snapshot.recipient_day, self.snapshot.recipient_public)


class QuietServer(uvicorn.Server):
    """Leaves signals to the process, which has two servers."""

    def install_signal_handlers(self) -> None:
        """Nothing: ``_serve`` handles signals."""


def run(data: Path, config_path: Path | None, address: str | None, fd: int) -> int:
    """Serve on ``fd`` or ``address``, and on the owner's socket, until SIGTERM."""
    import uvloop

    memory.lock()  # the sequencer says so if it may not

    paths = Paths(data)
    config = configuration.load(config_path or paths.config, os.environ)
    named.check(config, str(config_path or paths.config))
    if fd >= 0:
        sock = socket.socket(fileno=fd)
    elif address:
        sock = listen(*split(address), "console")
    else:
        sock = listen(config.console.host, config.console.port, "console")
    return uvloop.run(_serve(paths, config, sock))


async def _serve(paths: Paths, config: Config, sock: socket.socket) -> int:
    clock = SystemClock()
    disk = Disk()
    link = ControlLink(paths.control_socket)
    known = Known(await snapshots.first(link))
    keyring = opening.keyring(paths, clock)
    log = LogReader(paths.log, known.log_keys())
    own = LogReader(paths.log, known.log_keys(), heads(require=config.witnesses.require))
    known.readers = (log, own)
    known.update(await snapshots.first(link))  # to open the keys took its time
    journal = JournalWriter.open(disk, paths.journal, "console", known.recipient, clock)
    if known.snapshot.local is None:
        raise UnavailableError("This installation has no owner.", hint="affidavit up")
    services = ConsoleServices(
        clock=clock,
        config=config,
        data=paths.root,
        log=log,
        vault=VaultReader(paths.vault, keyring, own.decoded),
        reader=Reader(paths.root, keyring.database_key("index.db")),
        journal=journal,
        control=link,
        prover=RemoteProver(_asking(link, asyncio.get_running_loop())),
        snapshot=lambda: known.snapshot,
        directory=lambda: known.directory,
    )
    following = asyncio.create_task(snapshots.follow(link, known.snapshot, known.update))
    paths.console_socket.unlink(missing_ok=True)
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    local.bind(str(paths.console_socket))
    paths.console_socket.chmod(0o600)
    local.listen(128)
    servers = [
        (QuietServer(_settings(create_app(services))), sock),
        (QuietServer(_settings(create_socket_app(services))), local),
    ]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        services.closing.set()
        for server, _ in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = [asyncio.create_task(server._serve([s])) for server, s in servers]  # noqa: SLF001 - serve() takes the signals
    try:
        while not all(server.started for server, _ in servers):  # noqa: ASYNC110 - a plain flag
            await asyncio.sleep(0.01)
        tell_ready()
        while not any(task.done() for task in tasks):
            await asyncio.sleep(0.1)
            journal.retry()
            if journal.failure is not None:
                stop()
        await asyncio.gather(*tasks)
        if journal.failure is not None:
            return 4
        await services.floods.flush()
        await journal.close(system.ended(clock, config, "drained"))
        return 0
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await link.close()


def _asking(
    link: ControlLink, loop: asyncio.AbstractEventLoop
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """How a reading thread asks the sequencer for proofs: on the loop, waiting for the answer."""

    def ask(params: dict[str, Any]) -> dict[str, Any]:
        call = link.call("prove", params, within=30.0)
        answer: dict[str, Any] = asyncio.run_coroutine_threadsafe(call, loop).result()
        return answer

    return ask


def _settings(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type] # any ASGI application
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # who connected is who connected, whatever the request claims
        timeout_graceful_shutdown=5,
    )
