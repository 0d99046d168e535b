"""One connection to a provider: bytes out, one response in, limits on both.

Rules:

1. Back-pressure: with more than ``HIGH_WATER`` bytes waiting to be fetched, reading stops until
   fewer than ``LOW_WATER`` are; so one exchange holds at most that and one read.
2. Time runs only while somebody waits: a caller that fetches slowly is not the provider's fault.
3. What arrived before a fault is given out before the fault is raised.
4. Bytes that nobody asked for close the connection.

Not here: pools and repetition (``upstream``), parsing (``upstream_http``).
"""

import asyncio
from collections import deque
from typing import cast

from affidavit.capture.upstream_http import ResponseParser
from affidavit.errors import AffidavitError, UpstreamError, UpstreamTimeoutError

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024


class Connection(asyncio.Protocol):
    """One connection. ``parser`` belongs to the exchange that runs on it or was the last.

    ``lost`` is set when the provider has closed or reset the connection; ``waiting_bytes``
    counts bytes not yet fetched.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.parser = ResponseParser(b"")
        self.lost = False
        self.waiting_bytes = 0
        self._busy = False
        self._pieces: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: AffidavitError | None = None
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._limit = 0.0

    @property
    def usable(self) -> bool:
        """Whether a request may be written: open, and the last exchange, if any, ended cleanly."""
        return not self.lost and self._error is None and not self.transport.is_closing()

    # --- the exchange ---------------------------------------------------------------------------

    def begin(self, method: bytes, head: bytes, body: bytes | None) -> None:
        """Write a request; from here on bytes that arrive are its answer."""
        self.parser = ResponseParser(method)
        self._busy = True
        if body is None or len(body) < 65536:
            self.transport.write(head + (body or b""))
        else:
            self.transport.writelines([head, body])

    async def answer(self, limit: float) -> None:
        """Wait for the response head, at most ``limit`` seconds."""
        self._arm(limit)
        while not self.parser.status and self._error is None:
            await self._wait()
        self._deadline = 0.0
        if not self.parser.status:
            assert self._error is not None
            raise self._error

    async def fetch(self, limit: float) -> bytes:
        """Body bytes of one read, or nothing at the end; waits at most ``limit`` seconds."""
        pieces = self._pieces
        if not pieces:
            self._arm(limit)
            while not pieces and self.parser.ended is None and self._error is None:
                await self._wait()
            self._deadline = 0.0
        if pieces:
            piece = pieces.popleft()
            self.waiting_bytes -= len(piece)
            if self._paused and self.waiting_bytes < LOW_WATER:
                self._paused = False
                self.transport.resume_reading()
            return piece
        if self.parser.ended is not None:
            return b""
        assert self._error is not None
        raise self._error

    def detach(self) -> bool:
        """End the exchange; True if another may follow."""
        self._busy = False
        self._deadline = 0.0
        return self.parser.reusable and not self.transport.get_write_buffer_size()

    def fail(self, error: AffidavitError) -> None:
        """Close at once and give ``error`` to whoever waits; the first error counts."""
        if self._error is None:
            self._error = error
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    # --- called by the event loop ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the answer; bytes nobody asked for end the connection."""
        if not self._busy:
            self.abort()
            return
        problem: AffidavitError | None = None
        try:
            piece = self.parser.feed(data)
        except UpstreamError as error:
            piece, problem = self.parser.salvaged(), error
        if piece:
            self._pieces.append(piece)
            self.waiting_bytes += len(piece)
            if self.waiting_bytes > HIGH_WATER and not self._paused:
                self._paused = True
                self.transport.pause_reading()
        if problem is not None:
            self.fail(problem)
        else:
            self._wake()

    def eof_received(self) -> None:
        """The provider closed its side; nothing useful can follow."""
        self.lost = True
        self._closed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, with ``exc`` if it was reset."""
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if exc is not None and self._busy and self.parser.ended is None and self._error is None:
            self._error = UpstreamError("The provider reset the connection.")
        self._closed()

    # --- inside -----------------------------------------------------------------------------------

    def _closed(self) -> None:
        if self._busy and self._error is None:
            try:
                self.parser.eof()
            except UpstreamError as error:
                self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _arm(self, limit: float) -> None:
        """Start the clock for one wait.

        One timer serves all waits of a connection: it is not touched when they end, and when it
        fires it looks at ``_deadline``.
        """
        self._limit = limit
        self._deadline = self._loop.time() + limit
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if not self._deadline:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._tick)
            return
        self.fail(UpstreamTimeoutError(f"The provider sent nothing for {self._limit:g} seconds."))
