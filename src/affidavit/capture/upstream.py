"""Calls to a provider: the only HTTP this program speaks outwards.

Rules:

1. A request's bytes are sent once. A call is tried again only when nothing of it was written, or
   when it was a GET, HEAD or OPTIONS on a reused connection that closed before any byte of an
   answer. A POST that may have been seen is never repeated: a model would be asked twice.
2. Idle connections are few (``MAX_IDLE``), newest first, and dropped after ``IDLE_SECONDS``,
   which is shorter than any server's own patience that we know of.
3. Three limits, in seconds: to connect (TLS and proxy included), from sending to the whole
   response head, and between two pieces of a body while somebody waits for one.
4. ``abort`` closes the connection at once; what had arrived can still be fetched.

Body bytes are given as they came, transfer coding taken off, content coding left on. Not here:
what is sent and which fields (``forward``), one connection's bytes and back-pressure
(``upstream_connection``), addresses and TLS (``egress``).
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Coroutine
from typing import Any, NamedTuple

from affidavit.capture.egress import Origin, Proxy, connect
from affidavit.capture.upstream_connection import Connection
from affidavit.capture.upstream_http import Ended, Headers, request_head
from affidavit.errors import AffidavitError, UpstreamTimeoutError

MAX_IDLE = 64
"""So many unused connections are kept per provider and process."""

IDLE_SECONDS = 4.0
"""Common servers close an unused connection after 5 seconds or more; we do before they do."""
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class Limits(NamedTuple):
    """Seconds: to connect, to the response head, between two pieces of the body."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 300.0


class Request(NamedTuple):
    """What is sent: ``target`` in origin form, ``headers`` with neither Host nor framing fields.

    ``body`` None means no body and no ``Content-Length``.
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | None


class Upstream:
    """One provider's origin with its pool of connections; for one event loop."""

    def __init__(
        self,
        origin: Origin,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self.origin = origin
        self.limits = limits or Limits()
        self._tls = tls
        self._proxy = proxy
        self._idle: deque[tuple[float, Connection]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    def call(self, request: Request) -> "Call":
        """Prepare a call; nothing happens before ``Call.start``."""
        return Call(self, request)

    def close(self) -> None:
        """Drop the unused connections; running calls are not touched."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self._idle.pop()[1].abort()

    def head_of(self, request: Request) -> bytes:
        """The bytes of the request up to its body."""
        fields = [(b"host", self.origin.authority), *request.headers]
        target = request.target
        if self._proxy is not None and self.origin.scheme == "http":
            # RFC 9112 §3.2.2: a proxy gets the absolute form.
            target = b"http://" + self.origin.authority + target
            if self._proxy.authorization:
                fields.append((b"proxy-authorization", self._proxy.authorization))
        size = None if request.body is None else len(request.body)
        return request_head(request.method, target, fields, size)

    def take(self) -> Connection | None:
        """An unused connection that looks alive, the most recent one, or ``None``."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            since, connection = self._idle.pop()
            if connection.usable and since > oldest:
                return connection
            connection.abort()
        return None

    async def open(self) -> Connection:
        """Open a connection within the limit; ``UpstreamError`` when that fails."""
        try:
            async with asyncio.timeout(self.limits.connect):
                transport, connection = await connect(
                    Connection, self.origin, self._tls, self._proxy
                )
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                f"{self.origin.host} did not accept a connection within "
                f"{self.limits.connect:g} seconds."
            ) from error
        connection.transport = transport
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose exchange is over, if another may follow on it."""
        if not connection.usable or len(self._idle) >= MAX_IDLE:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), connection))
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        while self._idle and (self._idle[0][0] <= oldest or not self._idle[0][1].usable):
            self._idle.popleft()[1].abort()
        if self._idle:
            self._sweeper = loop.call_later(IDLE_SECONDS / 2, self._sweep)


class Call:
    """One request and its response. ``start``, then ``next`` until it gives nothing, ``close``.

    ``abort`` may come from anywhere at any time and wakes whoever waits.
    """

    def __init__(self, upstream: Upstream, request: Request) -> None:
        self._upstream = upstream
        self._request = request
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._aborted: AffidavitError | None = None

    @property
    def status(self) -> int:
        """HTTP status, once ``start`` has returned."""
        assert self._connection is not None
        return self._connection.parser.status

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Response fields in the order of the wire, names in lower case."""
        assert self._connection is not None
        return self._connection.parser.headers

    @property
    def received(self) -> int:
        """Body bytes that have arrived, fetched or not."""
        return 0 if self._connection is None else self._connection.parser.received

    @property
    def finished(self) -> bool:
        """True when the end is known and every byte before it has been fetched."""
        connection = self._connection
        return (
            connection is not None
            and connection.parser.ended is not None
            and not connection.waiting_bytes
        )

    @property
    def ready(self) -> bool:
        """True when ``next`` would not wait."""
        connection = self._connection
        return connection is not None and (
            connection.waiting_bytes > 0 or connection.parser.ended is not None
        )

    @property
    def ended(self) -> Ended | None:
        """How the body ended; ``None`` before its end has arrived."""
        return None if self._connection is None else self._connection.parser.ended

    async def start(self) -> None:
        """Send the request and wait for the response head; afterwards its body is let go.

        ``UpstreamError`` and its kin when there will be none; whatever ``abort`` was given when
        the call was aborted.
        """
        head = self._upstream.head_of(self._request)
        try:
            await self._start(head)
        finally:
            self._request = self._request._replace(body=None)

    async def _start(self, head: bytes) -> None:
        connection = self._upstream.take()
        if connection is not None:
            try:
                await self._exchange(connection, head)
            except AffidavitError:
                unanswered = connection.lost and not connection.parser.started
                if (
                    self._aborted is not None
                    or not unanswered
                    or self._request.method not in _REPEATABLE
                ):
                    raise
            else:
                return
        await self._exchange(await self._open(), head)

    def next(self, within: float | None = None) -> Coroutine[Any, Any, bytes]:
        """Fetch the next body bytes as they arrived; empty at the end of the body.

        Waits ``within`` seconds, or the idle limit.
        ``UpstreamError`` and its kin for a body that was cut, garbled or stalled, after all that
        arrived before has been given.
        """
        assert self._connection is not None
        return self._connection.fetch(within or self._upstream.limits.idle)

    def abort(self, error: AffidavitError) -> None:
        """Close the connection now; ``start`` and ``next`` raise ``error`` if they are waiting."""
        if self._aborted is not None:
            return
        self._aborted = error
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.fail(error)

    def close(self) -> None:
        """Be done: the connection is kept if the exchange ended well, else closed."""
        connection = self._connection
        if connection is None:
            return
        if connection.detach() and self.finished and self._aborted is None:
            self._upstream.give_back(connection)
        else:
            connection.abort()

    async def _open(self) -> Connection:
        if self._aborted is not None:
            raise self._aborted
        self._opening = asyncio.ensure_future(self._upstream.open())
        try:
            return await self._opening
        except asyncio.CancelledError:
            if self._aborted is not None:
                raise self._aborted from None
            self._opening.cancel()
            raise
        finally:
            self._opening = None

    async def _exchange(self, connection: Connection, head: bytes) -> None:
        self._connection = connection
        if self._aborted is not None:
            connection.abort()
            raise self._aborted
        connection.begin(self._request.method, head, self._request.body)
        await connection.answer(self._upstream.limits.first_byte)
