"""The listening side: uvicorn's HTTP/1.1 protocol with what a recording proxy needs besides.

uvicorn parses, frames and keeps alive. Added here, because only the connection can know it:

1. The request target exactly as it came, in ``scope["affidavit.target"]``: an absolute-form
   target is to be refused, and uvicorn shows its path alone.
2. Trailer fields do not join the header fields: uvicorn's list goes on growing after the head.
3. A request that is sent before the answer to the one before (pipelining) is not run: uvicorn
   would not tell the running one that its client has left. The answer says ``connection: close``,
   and the client sends it again on another connection, as RFC 9112 §9.3.2 has it.
4. A head may take ``max_head_bytes`` and ``read_timeout`` seconds; then 431 or 408. As many bytes
   may come in a row behind it that are no body: chunk extensions and trailer fields. What is
   refused here, and what is no HTTP (400), is answered at once and told to ``refused``, which may
   not wait. A connection on which nothing was sent has asked nothing and is not told.
5. The limit on an unused connection runs from an answer to the start of the next request, whatever
   comes in between: empty lines, or the body of a request that was refused before it was read.
6. Who leaves is told at once (``watch``), whether or not anybody waits for bytes. A client that has
   to take something and takes nothing for ``write_timeout`` seconds has left; so has one that
   takes nothing of what is pending when the connection is closed. A transfer can be broken off so
   that the client sees it (``break_off``).
7. The head of an answer goes out with the first bytes behind it, if they come in the same turn of
   the loop: one system call and one packet instead of two.

Not here: anything about records; the gateway talks to ``Connection``, and hears of refusals.
"""

import asyncio
import contextlib
import fcntl
import sys
import termios
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from affidavit.errors import (
    AffidavitError,
    HeadTooLargeError,
    ParseError,
    TooSlowError,
    UnavailableError,
)

Gone = Callable[[UnavailableError], None]
"""Hears that the client has left, and how."""


class Connection(Protocol):
    """What the gateway asks of the client's connection."""

    @property
    def body_complete(self) -> bool:
        """True when the whole request has arrived."""

    def watch(self, gone: Gone | None) -> None:
        """Call ``gone`` once if the client leaves; at once if it has; ``None`` ends watching."""

    def no_body(self) -> None:
        """The head just sent has a ``content-length`` and, as for 304, no body follows."""

    def break_off(self) -> None:
        """Send what is pending and close in the middle."""

    def abort(self) -> None:
        """Close hard now."""


class Bounds(NamedTuple):
    """Limits on a client: on what is no body, and seconds to send a head and to take an answer."""

    max_head_bytes: int = 64 * 1024
    read_timeout: float = 60.0
    write_timeout: float = 60.0


Told = Callable[[AffidavitError, str], None]
"""Hears why a request was refused before it was one, and the client's address."""


class _EarlyError(Exception):
    """Stops the parser at the start of a request that came too early."""


class _Outgoing:
    """What uvicorn takes for the transport of one answer; its first write waits (rule 7)."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._turn: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """Send what comes, the first of it a little later."""
        if self._head is None:
            self._head = data
            self._turn = self._loop.call_soon(self.flush)
            return
        if self._turn is not None:
            data = self._head + data
            self._turn.cancel()
            self._turn = None
        self._transport.write(data)

    def flush(self) -> None:
        """Send what waits."""
        if self._turn is not None and self._head is not None:
            self._turn.cancel()
            self._turn = None
            if not self.is_closing():
                self._transport.write(self._head)

    def close(self) -> None:
        """Close after what waits."""
        self.flush()
        self._transport.close()


class GatewayProtocol(HttpToolsProtocol):
    """One client connection; see the module."""

    bounds = Bounds()
    refused: Told | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Open, and waiting for a head; uvicorn narrows the argument in the same way."""
        super().connection_made(transport)
        self._gone: Gone | None = None
        self._lost = False
        self._deaf = False
        self._in_head = True
        self._bare_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._pending = 0
        self._pending_look: asyncio.TimerHandle | None = None
        self._outgoing: _Outgoing | None = None
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whoever watches is told now."""
        self._lost = True
        self._stop_waiting()
        self._stop_looking()
        super().connection_lost(exc)
        self._tell_gone(UnavailableError("The client left."))

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse what it refuses, and do not run what came too early."""
        if self._deaf:
            return
        self._bare_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the gateway refuses every Upgrade; what follows is not HTTP
        except httptools.HttpParserError:
            self._stumble(ParseError("This is not a well-formed HTTP/1.1 request."))
        else:
            if self._bare_bytes > self.bounds.max_head_bytes:
                self._stumble(HeadTooLargeError("Header too large."))
            elif self._in_head:
                self._wait_for_head()

    def on_message_begin(self) -> None:
        """A request starts; not before the answer to the one before is complete."""
        if self.cycle is not None and not self.cycle.response_complete:
            raise _EarlyError
        self._unset_keepalive_if_required()
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: keep its target, and keep trailers out of its fields."""
        self._in_head = False
        self._bare_bytes = 0
        self._stop_waiting()
        scope: Any = self.scope
        scope["affidavit.target"] = self.url
        scope["affidavit.connection"] = self
        super().on_headers_complete()
        self.headers = []
        self._outgoing = _Outgoing(self.transport, self.loop)
        self.cycle.transport = cast("asyncio.Transport", self._outgoing)

    def on_body(self, body: bytes) -> None:
        """Take bytes of the body."""
        self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._bare_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is whole; if nothing may follow it, see that it is taken."""
        self._flush()
        super().on_response_complete()
        self._look_if_closing()

    def timeout_keep_alive_handler(self) -> None:
        """No request followed in time."""
        super().timeout_keep_alive_handler()
        self._look_if_closing()

    def shutdown(self) -> None:
        """Close now, or after the answer that is being given."""
        self._flush()
        super().shutdown()
        self._look_if_closing()

    def pause_writing(self) -> None:
        """More bytes wait to be sent than should."""
        super().pause_writing()
        self._look_at_pending()

    def resume_writing(self) -> None:
        """Bytes may be sent again."""
        self._stop_looking()
        self._look_if_closing()
        super().resume_writing()

    # --- Connection -------------------------------------------------------------------------------

    @property
    def body_complete(self) -> bool:
        """True when the whole request has arrived."""
        return not self.cycle.more_body

    def watch(self, gone: Gone | None) -> None:
        """Call ``gone`` once if the client leaves; at once if it has; ``None`` ends watching."""
        self._gone = gone
        if self._lost:
            self._tell_gone(UnavailableError("The client left."))

    def no_body(self) -> None:
        """The head just sent has a ``content-length`` and, as for 304, no body follows."""
        self.cycle.expected_content_length = 0

    def break_off(self) -> None:
        """Send what is pending and close in the middle."""
        self.cycle.disconnected = True
        if not self._lost:
            self.cycle.transport.close()
            self._look_at_pending()

    def abort(self) -> None:
        """Close hard now."""
        self.cycle.disconnected = True
        if not self._lost:
            self.transport.abort()

    # --- inside -----------------------------------------------------------------------------------

    def _stumble(self, error: AffidavitError) -> None:
        """Nothing is read any more: an early request, garbage, or too much that is no body."""
        self._deaf = True
        cycle = self.cycle
        running = cycle is not None and not cycle.response_complete
        if running and not cycle.more_body:
            cycle.keep_alive = False
            return
        if running:
            cycle.disconnected = True
            cycle.message_event.set()
        skipping = cycle is not None and cycle.more_body and not self._in_head
        if skipping and cycle.response_started:
            cycle.transport.close()
            self._look_at_pending()
        else:
            self._refuse(error)

    def _flush(self) -> None:
        if self._outgoing is not None:
            self._outgoing.flush()

    def _wait_for_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.bounds.read_timeout, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        self._patience = None
        self._refuse(TooSlowError("The request did not arrive in time."), told=self._bare_bytes > 0)

    def _refuse(self, error: AffidavitError, *, told: bool = True) -> None:
        self._deaf = True
        self._stop_waiting()
        if self._lost or self.transport.is_closing():
            return
        if told and self.refused is not None:
            self.refused(error, str(self.client[0]) if self.client else "")
        status, text = HTTPStatus(error.http_status), error.message
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain\r\n"
            f"content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode("ascii")
        )
        self.transport.close()
        self._look_at_pending()

    def _tell_gone(self, how: UnavailableError) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            gone(how)

    def _look_if_closing(self) -> None:
        if self.transport.is_closing():
            self._look_at_pending()

    def _look_at_pending(self) -> None:
        """Bytes have to be taken by the client: see in a while whether it has taken some."""
        if self._pending_look is None and not self._lost:
            self._pending = self._untaken()
            self._pending_look = self.loop.call_later(self.bounds.write_timeout, self._look)

    def _look(self) -> None:
        self._pending_look = None
        if self._untaken() < self._pending:
            self._look_at_pending()
            return
        seconds = self.bounds.write_timeout
        self._tell_gone(UnavailableError(f"The client took nothing for {seconds:g} seconds."))
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()

    def _untaken(self) -> int:
        """Bytes of ours that the client's system has not acknowledged, here and in the kernel.

        The kernel's count, where it tells, too: it makes room in large steps, which a slow client
        takes long to cause.
        """
        ours, kernel = self.transport.get_write_buffer_size(), b""
        with contextlib.suppress(OSError, ValueError):  # not on every system; not once it is closed
            sock = self.transport.get_extra_info("socket")
            kernel = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
        return ours + int.from_bytes(kernel, sys.byteorder)

    def _stop_looking(self) -> None:
        if self._pending_look is not None:
            self._pending_look.cancel()
            self._pending_look = None


def protocol(bounds: Bounds, refused: Told | None = None) -> type[GatewayProtocol]:
    """The protocol class for uvicorn's ``http`` setting, with these limits."""
    own = {"bounds": bounds, "refused": None if refused is None else staticmethod(refused)}
    return type("BoundGatewayProtocol", (GatewayProtocol,), own)
