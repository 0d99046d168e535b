"""The gateway worker process: no key-encryption key, no database, one journal of its own."""

import asyncio
import os
import socket
from pathlib import Path

from affidavit import config as configuration
from affidavit.app import snapshots
from affidavit.app.listen import listen, split
from affidavit.app.paths import Paths
from affidavit.app.ready import settle, tell_ready
from affidavit.capture import worker
from affidavit.capture.current import Current
from affidavit.capture.endpoint import endpoints
from affidavit.capture.gateway import Gateway
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.record.journal import JournalWriter


def run(data: Path, config_path: Path | None, address: str | None, fd: int) -> int:
    """Serve on ``fd`` or ``address`` until SIGTERM; exit code of the worker."""
    import uvloop

    paths = Paths(data)
    config = configuration.load(config_path or paths.config, os.environ)
    if fd >= 0:
        sock = socket.socket(fileno=fd)
    elif address:
        sock = listen(*split(address), "gateway")
    else:
        sock = listen(config.gateway.host, config.gateway.port, "gateway")
    return uvloop.run(_serve(paths, config, sock))


async def _serve(paths: Paths, config: Config, sock: socket.socket) -> int:
    clock = SystemClock()
    name = f"gateway-{os.getpid()}"
    link = ControlLink(paths.control_socket)
    snapshot = await snapshots.first(link)
    current = Current(snapshot)
    providers = endpoints(config)
    journal = JournalWriter.open(Disk(), paths.journal, name, current.recipient, clock)
    gateway = Gateway(
        endpoints=providers,
        off={name: p.off for name, p in config.providers.items() if p.off},
        journal=journal,
        current=current,
        link=link,
        clock=clock,
        config=config,
        worker=name,
    )
    settle()
    following = asyncio.create_task(snapshots.follow(link, snapshot, current.update))
    worker.settle_memory()
    try:
        return await worker.serve(
            gateway, journal, sock, config=config, clock=clock, ready=tell_ready
        )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await link.close()
