"""HTTP/1.1 towards a provider, without I/O: request bytes out, response bytes in.

Rules:

1. A request is written once, whole, with ``Content-Length``; header values go out byte for byte as
   they came in. The caller of this module has already taken away hop-by-hop fields.
2. A response that two parsers could read differently is refused, never repaired: both framings,
   a transfer coding other than ``chunked``, lengths that are not digits, folded lines, bare LF
   (httptools refuses those bytes; ``wire.http_rules`` looks at the fields again).
3. Interim responses (1xx) are skipped, at most ``MAX_INTERIM`` of them; 101 is refused, as nobody
   asked for an upgrade (RFC 9110 §15.2.2).
4. How a body ended is a fact (``Ended``): a body delimited by the end of the connection cannot be
   told from one that was cut, so it says so.
5. Bytes behind the end of a response make the connection unfit for another request.

Not here: sockets, time limits, pools (``upstream``), decoding of contents (``wire.decode``).
Trailer fields are read and dropped; no more than ``MAX_HEAD_BYTES`` may come in a row that are no
body, be they trailers or chunk extensions.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import httptools

from affidavit.errors import AffidavitError, UpstreamProtocolError
from affidavit.wire import http_rules

MAX_HEAD_BYTES = 64 * 1024
"""Status line and header fields of one response, or its trailers, may take this many bytes."""

MAX_INTERIM = 8
"""More interim responses than this before the final one are refused."""

_BODILESS = frozenset({204, 304})

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in the order of the wire; names in lower case, values as they came."""


class Ended(StrEnum):
    """What told that the body was over."""

    NONE = "none"
    """The response has no body: HEAD, 204, 304."""
    LENGTH = "length"
    """``Content-Length`` bytes were received."""
    CHUNKED = "chunked"
    """The last chunk was received."""
    CLOSE = "close"
    """The provider closed the connection; a cut would look the same."""


def request_head(method: bytes, target: bytes, headers: Headers, body_size: int | None) -> bytes:
    """Bytes of a request up to and including the empty line.

    ``headers`` already holds ``host``; ``content-length`` is added unless ``body_size`` is None
    (a request without a body and without the field, such as most GETs).
    """
    lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
    lines += [b"%b: %b\r\n" % field for field in headers]
    if body_size is not None:
        lines.append(b"content-length: %d\r\n" % body_size)
    lines.append(b"\r\n")
    return b"".join(lines)


class ResponseParser:
    """Reads one response to one request; afterwards tells whether the connection may be reused.

    ``status`` is 0 until the head is complete. ``headers`` have lower-case names. ``ended`` is
    None until the body is over. ``received`` counts body bytes after transfer decoding;
    ``excess`` is set by bytes behind the end.
    """

    def __init__(self, method: bytes) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.ended: Ended | None = None
        self.received = 0
        self.started = False
        self._head_request = method == b"HEAD"
        self._framing = Ended.NONE
        self._keep_alive = False
        self._interim = 0
        self._skipping = False
        self._bare_bytes = 0
        self.excess = False
        self._failure: AffidavitError | None = None
        self._pieces: list[bytes] = []
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on this connection; False before the end."""
        return (
            self.ended in (Ended.NONE, Ended.LENGTH, Ended.CHUNKED)
            and self._keep_alive
            and not self.excess
        )

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the wire, return the body bytes in them (joined), maybe none.

        ``UpstreamProtocolError`` when they are not one well-formed response; body bytes that came
        before the fault in the same call are then given by ``salvaged``.
        """
        if self.ended is not None or self._parser is None:
            self.excess = True
            return b""
        self.started = True
        self._bare_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._over():
                raise self._failure or UpstreamProtocolError(
                    f"The provider's response is not well-formed HTTP ({error})."
                ) from error
            self.excess = True
        if self._pieces:
            self._bare_bytes = 0
        elif self.ended is None and self._bare_bytes > MAX_HEAD_BYTES:
            what = "trailer" if self.status else "head"
            raise UpstreamProtocolError(
                f"The provider's response {what} is longer than {MAX_HEAD_BYTES} bytes."
            )
        self._let_go()
        return self._take()

    def salvaged(self) -> bytes:
        """Body bytes parsed before ``feed`` raised; each is given once."""
        return self._take()

    def eof(self) -> None:
        """Note that the provider closed its side.

        Ends a body that is delimited by that. ``UpstreamProtocolError`` when something was still
        missing: the head, bytes of a known length, or the last chunk.
        """
        if self.ended is not None:
            self.excess = True
        elif self.status and self._framing is Ended.CLOSE:
            self.ended = Ended.CLOSE
            self._let_go()
        elif not self.status:
            raise UpstreamProtocolError("The provider closed the connection without a response.")
        else:
            raise UpstreamProtocolError(
                f"The provider closed the connection in the middle of a body, after "
                f"{self.received} bytes."
            )

    def _let_go(self) -> None:
        """After the end the parser goes; it points back here, and the collector is slow to see."""
        if self.ended is not None:
            self._parser = None

    def _over(self) -> bool:
        return self.ended is not None

    def _take(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    # --- called by httptools -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start of a message; a second one after the end is excess."""
        if self.ended is not None:
            self.excess = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field; fields after the head are trailers and are dropped, within limits."""
        if self.excess:
            return
        if self.status:
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Head complete: refuse what is ambiguous, decide how the body ends."""
        if self.excess:
            return
        parser: Any = self._parser
        status: int = parser.get_status_code()
        version: str = parser.get_http_version()
        try:
            framing = self._framing_of(status, version)
        except AffidavitError as error:
            self._failure = error
            raise
        if framing is None:
            return
        self._framing = framing
        self._bare_bytes = 0
        self.status = status
        self._keep_alive = bool(parser.should_keep_alive()) or (
            framing is Ended.NONE and version == "1.1" and not self._asks_to_close()
        )
        if framing is Ended.NONE:
            self.ended = Ended.NONE

    def on_body(self, data: bytes) -> None:
        """Take body bytes; bytes behind the end are excess."""
        if self.ended is not None:
            self.excess = True
            return
        self.received += len(data)
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """End of the message, or of an interim one."""
        if self._skipping:
            self._skipping = False
            self.headers = []
        elif self.ended is None:
            self.ended = self._framing

    def _framing_of(self, status: int, version: str) -> Ended | None:
        """How the body will end; None for an interim response."""
        if version not in ("1.1", "1.0"):
            raise UpstreamProtocolError(f"The provider answered in HTTP/{version}.")
        if status == 101:
            raise UpstreamProtocolError("The provider switched protocols; nobody asked it to.")
        if status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise UpstreamProtocolError("The provider sent interim responses without end.")
            self._skipping = True
            return None
        http_rules.check_response(status, self.headers)
        if self._head_request or status in _BODILESS:
            return Ended.NONE
        names = {name for name, _ in self.headers}
        if b"transfer-encoding" in names:
            if version == "1.0":
                raise UpstreamProtocolError("The provider sent chunks in HTTP/1.0.")
            return Ended.CHUNKED
        return Ended.LENGTH if b"content-length" in names else Ended.CLOSE

    def _asks_to_close(self) -> bool:
        return any(
            name == b"connection" and b"close" in value.lower() for name, value in self.headers
        )
