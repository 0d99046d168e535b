"""Before a call: whether it is one request to every parser, and all of it here.

Rules: fields and target are judged as they came (``wire.http_rules``); HTTP/1.0 is refused, as its
clients cannot be told a cut answer from a whole one; so is ``Upgrade``, behind which the parser
reads no body, and a target with a key of ours in it, as targets are forwarded unchanged. A body is
read whole, within a limit of bytes, and with a limit on the time in which nothing of it comes. Who
leaves before that has asked nothing. All bodies of a worker together have a limit too
(``Inflight``): bytes count as they arrive, so that announcing many takes nothing from others, and
until the call has ended.

Not here: who the caller is, and what a refusal looks like (``gateway``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

from affidavit.capture.server import Connection
from affidavit.config import Gateway as Limits
from affidavit.errors import BusyError, ParseError, TooLargeError, TooSlowError
from affidavit.wire.credentials import holds_our_key
from affidavit.wire.http_rules import check_request

LINGER_BYTES = 8 << 20
LINGER_SECONDS = 2.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


class GoneError(Exception):
    """The client left before its request was whole; nothing was asked, nothing is recorded."""


class Inflight:
    """Bytes of request bodies that one worker holds at one time, and how many it may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def share(self) -> "Share":
        """The part that one request takes."""
        return Share(self)


class Share:
    """Bytes held for one request; given back when the ``with`` block ends, or by ``release``."""

    def __init__(self, inflight: Inflight) -> None:
        self._inflight = inflight
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def ask(self, size: int) -> None:
        """``BusyError`` if there is no room for so many bytes now; nothing is taken."""
        if self._inflight.held + size > self._inflight.limit:
            raise BusyError("The gateway holds as many bytes of requests as it may.")

    def take(self, size: int) -> None:
        """Hold so many bytes more; ``BusyError`` if there is no room."""
        self.ask(size)
        self._inflight.held += size
        self._held += size

    def release(self) -> None:
        """Give back what is held."""
        self._inflight.held -= self._held
        self._held = 0


def check(scope: dict[str, Any], target: bytes, max_header_bytes: int) -> None:
    """Refuse what two parsers could read differently, and what is not served: ``ParseError``.

    ``HeadTooLargeError`` for a head that came whole and is larger than it may be.
    """
    headers = scope["headers"]
    check_request(scope["method"], target, scope["http_version"], headers, max_header_bytes)
    if scope["http_version"] != "1.1":
        raise ParseError("This gateway speaks HTTP/1.1.", hint="Configure the client for HTTP/1.1.")
    if b"upgrade" in dict(headers):
        raise ParseError(
            "Upgrade is not supported here.", hint="Configure the client for plain HTTP/1.1."
        )


def check_goes_on(target: bytes) -> None:
    """Refuse a target that may not be forwarded: ``ParseError``."""
    if holds_our_key(target):
        raise ParseError(
            "A key of this gateway stands in the request target, which goes on to the provider.",
            hint="Send the key in a header, and replace it: targets end up in logs.",
        )


async def read_body(
    scope: dict[str, Any],
    receive: Receive,
    connection: Connection,
    limits: Limits,
    share: Share,
) -> bytes:
    """The whole body, its size taken from ``share``.

    ``TooLargeError``, ``TooSlowError``, ``BusyError``, or ``GoneError``.
    """
    limit = limits.max_body_bytes
    announced = int(dict(scope["headers"]).get(b"content-length", 0))
    if announced > limit:
        raise _too_large(limit)
    share.ask(announced)
    body = bytearray()
    while True:
        if connection.body_complete:
            message = await receive()
        else:
            try:
                async with asyncio.timeout(limits.client_read_timeout):
                    message = await receive()
            except TimeoutError:
                raise TooSlowError("The request body did not arrive in time.") from None
        if message["type"] == "http.disconnect":
            raise GoneError
        piece: bytes = message["body"]
        if len(body) + len(piece) > limit:
            raise _too_large(limit)
        share.take(len(piece))
        if not message["more_body"] and not body:
            return piece
        body += piece
        if not message["more_body"]:
            return bytes(body)


async def linger(receive: Receive) -> None:
    """Read on for a while, so that a client in the middle of sending gets to see the answer."""
    taken = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while taken < LINGER_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
                taken += len(message["body"])
    except TimeoutError:
        return


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The request body is larger than {limit} bytes.", hint="Raise gateway.max_body_bytes."
    )
