"""The gateway worker process: no key-encryption key, no database, one journal of its own.

A worker that somebody waits for fails if its journal or the sequencer is not there, with a
sentence. One that replaces another does not: without the sequencer, which knows the callers, calls
are refused (``capture.standby``); without a journal they are refused or served as their routes say.
"""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from affidavit import config as configuration
from affidavit.app import snapshots
from affidavit.app.listen import listen, split
from affidavit.app.paths import Paths
from affidavit.app.ready import awaited, settle, tell_ready
from affidavit.capture import worker
from affidavit.capture.current import Current
from affidavit.capture.endpoint import endpoints
from affidavit.capture.gaps import Gaps
from affidavit.capture.gateway import Gateway
from affidavit.capture.standby import Standby, standing_in
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.record.journal import JournalWriter

FIRST_SECONDS = 60.0
"""How long the first worker waits for the sequencer."""

PATIENCE_SECONDS = 0.5
"""How long one that replaces another waits before it refuses calls, and between tries."""


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
    return uvloop.run(_serve(paths, config, sock, replaces=fd >= 0 and not awaited()))


async def _serve(paths: Paths, config: Config, sock: socket.socket, *, replaces: bool) -> int:
    clock = SystemClock()
    name = f"gateway-{os.getpid()}"
    link = ControlLink(paths.control_socket)
    providers = endpoints(config)
    gaps = Gaps(name, clock)
    if replaces:
        current = await _insist(link, Standby(providers, name, gaps), config, sock)
        with contextlib.suppress(UnavailableError):  # whoever was refused took their time
            current.update(await snapshots.first(link, PATIENCE_SECONDS))
    else:
        current = Current(await snapshots.first(link, FIRST_SECONDS))
    journal = JournalWriter.open(
        Disk(),
        paths.journal,
        name,
        current.recipient,
        clock,
        serves=config.serves_unrecorded,
        late=replaces,
    )
    gateway = Gateway(
        endpoints=providers,
        off={name: p.off for name, p in config.providers.items() if p.off},
        journal=journal,
        current=current,
        link=link,
        clock=clock,
        config=config,
        worker=name,
        gaps=gaps,
    )
    following = asyncio.create_task(snapshots.follow(link, current.snapshot, current.update))
    settle()
    try:
        return await worker.serve(
            gateway, journal, sock, config=config, clock=clock, ready=tell_ready
        )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await link.close()


async def _insist(
    link: ControlLink, standby: Standby, config: Config, sock: socket.socket
) -> Current:
    """Ask the sequencer until it answers; callers get their refusals meanwhile."""
    try:
        return Current(await snapshots.first(link, PATIENCE_SECONDS))
    except UnavailableError as error:
        standby.error = error
    async with standing_in(standby, sock, config):
        while True:
            await asyncio.sleep(PATIENCE_SECONDS)
            try:
                return Current(await snapshots.first(link, PATIENCE_SECONDS))
            except UnavailableError as error:
                standby.error = error
