"""The gateway worker process: no key-encryption key, no database, one journal of its own.

A worker that somebody waits for fails if its journal or the sequencer is not there, with a
sentence. One that replaces another refuses calls instead (``capture.standby``) until they are.
"""

import asyncio
import functools
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from affidavit import config as configuration
from affidavit.app import snapshots
from affidavit.app.listen import listen, split
from affidavit.app.paths import Paths
from affidavit.app.ready import awaited, settle, tell_ready
from affidavit.capture import worker
from affidavit.capture.current import Current
from affidavit.capture.endpoint import Endpoint, endpoints
from affidavit.capture.gateway import Gateway
from affidavit.capture.standby import Standby, standing_in
from affidavit.clock import Clock, SystemClock
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
    begin = functools.partial(_begin, link, paths.journal, name, clock)
    if replaces:
        current, journal = await _insist(begin, providers, name, config, sock)
    else:
        current, journal = await begin(FIRST_SECONDS)
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


async def _begin(
    link: ControlLink, root: Path, name: str, clock: Clock, within: float
) -> tuple[Current, JournalWriter]:
    """A snapshot and a journal; ``UnavailableError`` if one of them is not to be had."""
    current = Current(await snapshots.first(link, within))
    return current, JournalWriter.open(Disk(), root, name, current.recipient, clock)


async def _insist(
    begin: Callable[[float], Awaitable[tuple[Current, JournalWriter]]],
    providers: Mapping[str, Endpoint],
    name: str,
    config: Config,
    sock: socket.socket,
) -> tuple[Current, JournalWriter]:
    """Try until it succeeds; callers get their refusals meanwhile."""
    try:
        return await begin(PATIENCE_SECONDS)
    except UnavailableError as error:
        standby = Standby(providers, name, error)
    async with standing_in(standby, sock, config):
        while True:
            await asyncio.sleep(PATIENCE_SECONDS)
            try:
                return await begin(PATIENCE_SECONDS)
            except UnavailableError as error:
                standby.error = error
