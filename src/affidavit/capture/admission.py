"""Before a call: whether it is one request to every parser, and all of it here.

Rules: fields and target are judged as they came (``wire.http_rules``); HTTP/1.0 is refused, as its
clients cannot be told a cut answer from a whole one, and so is ``Upgrade``, behind which the
parser reads no body. A body is read whole, within a limit of bytes, and with a limit on the time
in which nothing of it comes. Who leaves before that has asked nothing.

Not here: who the caller is, and what a refusal looks like (``gateway``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from affidavit.capture.server import Connection
from affidavit.config import Gateway as Limits
from affidavit.errors import ParseError, TooLargeError, TooSlowError
from affidavit.wire.http_rules import check_request

LINGER_BYTES = 8 << 20
LINGER_SECONDS = 2.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


class GoneError(Exception):
    """The client left before its request was whole; nothing was asked, nothing is recorded."""


def check(scope: dict[str, Any], target: bytes) -> None:
    """Refuse what two parsers could read differently, and what is not served: ``ParseError``."""
    headers = scope["headers"]
    check_request(scope["method"], target, scope["http_version"], headers)
    if scope["http_version"] != "1.1":
        raise ParseError("This gateway speaks HTTP/1.1.", hint="Configure the client for HTTP/1.1.")
    if b"upgrade" in dict(headers):
        raise ParseError(
            "Upgrade is not supported here.", hint="Configure the client for plain HTTP/1.1."
        )


async def read_body(
    scope: dict[str, Any], receive: Receive, connection: Connection, limits: Limits
) -> bytes:
    """The whole body; ``TooLargeError``, ``TooSlowError``, or ``GoneError``."""
    limit = limits.max_body_bytes
    if int(dict(scope["headers"]).get(b"content-length", 0)) > limit:
        raise _too_large(limit)
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
        if not message["more_body"]:
            return bytes(body + piece) if body else piece
        body += piece


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
