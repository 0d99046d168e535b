"""The body of a gateway worker process: serve, drain when told to, exit with a code that says why.

Exit codes: 0 drained; 4 the journal failed for good, so that a supervisor starts another worker
with another journal. Rules: SIGTERM and SIGINT drain: no new connection is taken, running calls
end or are interrupted within ``gateway.drain_seconds``, then the journal gets its last record. A
worker whose journal failed, or did not take the record of what was served without one, writes no
last record: the sweep ends it, and says so. uvicorn adds no header and writes no log of its own.

Not here: building what is served (``app``), starting and watching workers (the supervisor).
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, cast

import uvicorn

from affidavit import ids
from affidavit.capture.admission import Receive
from affidavit.capture.gateway import Gateway, Send
from affidavit.capture.server import Bounds, Told, protocol
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.config_retention import LEDGER
from affidavit.errors import CannotRecordError
from affidavit.record.disclose import disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.model import SECTIONS, Record

KEEP_ALIVE_SECONDS = 75
"""So long an unused client connection stays open; longer than common clients keep theirs."""

_LOOK_SECONDS = 0.1

Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
"""A raw ASGI application."""


async def serve(
    gateway: Gateway,
    journal: JournalWriter,
    sock: socket.socket,
    *,
    config: Config,
    clock: Clock,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Serve on a listening socket until told to stop; the process's exit code.

    ``ready`` is called once connections are taken. Signals set ``stop``; they are heard on the
    main thread only.
    """
    stop = stop or asyncio.Event()
    server = make_server(gateway, config, gateway.refused_unread)
    with _signals(stop):
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        await server.up.wait()
        if ready is not None:
            ready()
        while not stop.is_set() and journal.failure is None and not serving.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
            gateway.recover()
        server.should_exit = True
        # With a failed journal no call can end well, and callers wait for the next worker.
        await gateway.drain(0 if journal.failure is not None else config.gateway.drain_seconds)
        await serving
    gateway.close()
    if journal.failure is None and not gateway.gaps.lost:
        with contextlib.suppress(CannotRecordError):
            await journal.close(_ended(clock))
            return 0
    else:
        journal.abandon()
    return 4


def make_server(
    application: Application, config: Config, refused: Told | None = None
) -> "GatewayServer":
    """uvicorn, set up for a recording proxy; it leaves signals alone.

    ``refused`` hears of requests that were not well-formed enough to reach the application.
    """
    limits = config.gateway
    bounds = Bounds(
        limits.max_header_bytes, limits.client_read_timeout, limits.client_write_timeout
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    return GatewayServer(
        uvicorn.Config(
            cast("Any", application),
            loop="none",
            http=protocol(bounds, refused),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(limits.drain_seconds) + 5,
        )
    )


class GatewayServer(uvicorn.Server):
    """uvicorn's server; ``up`` is set once connections are taken, or never will be."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections and say so."""
        try:
            await super().startup(sockets=sockets)
        finally:
            self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the worker."""
        yield


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    heard: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    try:
        for number in heard:
            loop.add_signal_handler(number, stop.set)
    except (ValueError, RuntimeError):
        heard = ()  # not the main thread: tests serve from another one
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def _ended(clock: Clock) -> Record:
    """The last record of a writer."""
    what = disclose("what", {"reason": "drained"})
    return Record(
        id=ids.record_id(),
        type="ledger.ended",
        at=clock.now(),
        tier="observed",
        tenant="",
        retention_class=LEDGER,
        sections=tuple(what if name == "what" else None for name in SECTIONS),
        chains=(),
    )
