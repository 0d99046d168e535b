"""The listening side: uvicorn's HTTP/1.1 protocol with what a recording proxy needs besides.

uvicorn parses, frames and keeps alive. Added here, because only the connection can know it:

1. The request target exactly as it came, in ``scope["affidavit.target"]``: an absolute-form
   target is to be refused, and uvicorn shows its path alone.
2. Trailer fields do not join the header fields: uvicorn's list goes on growing after the head.
3. A request that is sent before the answer to the one before (pipelining) is not run: uvicorn
   would not tell the running one that its client has left. The answer says ``connection: close``,
   and the client sends it again on another connection, as RFC 9112 §9.3.2 has it.
4. A head may take ``max_head_bytes`` and ``read_timeout`` seconds; then 431 or 408. What is
   refused here, and what is no HTTP (400), is answered at once and told to ``refused``, which may
   not wait. A connection on which nothing was sent has asked nothing and is not told.
5. Who leaves is told at once (``watch``), whether or not anybody waits for bytes; a transfer can
   be broken off so that the client sees it (``break_off``), and a client that stops reading can be
   waited for with a limit (``writable``).

Not here: anything about records; the gateway talks to ``Connection``, and hears of refusals.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from affidavit.errors import AffidavitError, HeadTooLargeError, ParseError, TooSlowError


class Connection(Protocol):
    """What the gateway asks of the client's connection."""

    @property
    def write_paused(self) -> bool:
        """True while more bytes wait to be sent than should."""

    @property
    def body_complete(self) -> bool:
        """True when the whole request has arrived."""

    def watch(self, gone: Callable[[], None] | None) -> None:
        """Call ``gone`` once if the client leaves; at once if it has; ``None`` ends watching."""

    async def writable(self, seconds: float) -> bool:
        """Wait until bytes may be sent again; False after that long."""

    def no_body(self) -> None:
        """The head just sent has a ``content-length`` and, as for 304, no body follows."""

    def break_off(self, within: float) -> None:
        """Send what is pending and close in the middle; close hard after ``within`` seconds."""

    def abort(self) -> None:
        """Close hard now."""


class Bounds(NamedTuple):
    """Limits on what a client may send before it has said what it wants."""

    max_head_bytes: int = 64 * 1024
    read_timeout: float = 60.0


Told = Callable[[AffidavitError, str], None]
"""Hears why a request was refused before it was one, and the client's address."""


class _EarlyError(Exception):
    """Stops the parser at the start of a request that came too early."""


class GatewayProtocol(HttpToolsProtocol):
    """One client connection; see the module."""

    bounds = Bounds()
    refused: Told | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Open, and waiting for a head; uvicorn narrows the argument in the same way."""
        super().connection_made(transport)
        self._gone: Callable[[], None] | None = None
        self._lost = False
        self._deaf = False
        self._head_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whoever watches is told now."""
        self._lost = True
        self._stop_waiting()
        super().connection_lost(exc)
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse what it refuses, and do not run what came too early."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the gateway refuses every Upgrade; what follows is not HTTP
        except httptools.HttpParserError:
            self._deaf = True
            self._stumble()
        else:
            if self._head_bytes >= 0:
                self._head_bytes += len(data)
                if self._head_bytes > self.bounds.max_head_bytes:
                    self._refuse(HeadTooLargeError("Header too large."))
                else:
                    self._wait_for_head()

    def on_message_begin(self) -> None:
        """A request starts; not before the answer to the one before is complete."""
        if self.cycle is not None and not self.cycle.response_complete:
            raise _EarlyError
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: keep its target, and keep trailers out of its fields."""
        self._head_bytes = -1
        self._stop_waiting()
        scope: Any = self.scope
        scope["affidavit.target"] = self.url
        scope["affidavit.connection"] = self
        super().on_headers_complete()
        self.headers = []

    # --- Connection -------------------------------------------------------------------------------

    @property
    def write_paused(self) -> bool:
        """True while more bytes wait to be sent than should."""
        return self.flow.write_paused

    @property
    def body_complete(self) -> bool:
        """True when the whole request has arrived."""
        return not self.cycle.more_body

    def watch(self, gone: Callable[[], None] | None) -> None:
        """Call ``gone`` once if the client leaves; at once if it has; ``None`` ends watching."""
        if gone is not None and self._lost:
            gone()
        else:
            self._gone = gone

    async def writable(self, seconds: float) -> bool:
        """Wait until bytes may be sent again; False after that long."""
        try:
            async with asyncio.timeout(seconds):
                await self.flow.drain()
        except TimeoutError:
            return False
        return True

    def no_body(self) -> None:
        """The head just sent has a ``content-length`` and, as for 304, no body follows."""
        self.cycle.expected_content_length = 0

    def break_off(self, within: float) -> None:
        """Send what is pending and close in the middle; close hard after ``within`` seconds."""
        self.cycle.disconnected = True
        if not self._lost:
            self.transport.close()
            self._patience = self.loop.call_later(within, self.transport.abort)

    def abort(self) -> None:
        """Close hard now."""
        self.cycle.disconnected = True
        if not self._lost:
            self.transport.abort()

    # --- inside -----------------------------------------------------------------------------------

    def _stumble(self) -> None:
        """The parser stopped: at an early request, at garbage behind one, or inside a request."""
        cycle = self.cycle
        running = cycle is not None and not cycle.response_complete
        if running and not cycle.more_body:
            cycle.keep_alive = False
            return
        if running:
            cycle.disconnected = True
            cycle.message_event.set()
        if running and cycle.response_started:
            self.transport.close()
        else:
            self._refuse(ParseError("This is not a well-formed HTTP/1.1 request."))

    def _wait_for_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.bounds.read_timeout, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        self._patience = None
        self._refuse(TooSlowError("The request did not arrive in time."), told=self._head_bytes > 0)

    def _refuse(self, error: AffidavitError, *, told: bool = True) -> None:
        self._deaf = True
        self._stop_waiting()
        if not self._lost and not self.transport.is_closing():
            status, text = HTTPStatus(error.http_status), error.message
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain\r\n"
                f"content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode("ascii")
            )
            self.transport.close()
            if told and self.refused is not None:
                self.refused(error, str(self.client[0]) if self.client else "")


def protocol(bounds: Bounds, refused: Told | None = None) -> type[GatewayProtocol]:
    """The protocol class for uvicorn's ``http`` setting, with these limits."""
    own = {"bounds": bounds, "refused": None if refused is None else staticmethod(refused)}
    return type("BoundGatewayProtocol", (GatewayProtocol,), own)
