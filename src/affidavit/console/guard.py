"""The outermost layer: refuses what a browser was tricked into sending, and sets headers.

Rules: on a loopback address only loopback names are accepted in ``Host`` (DNS rebinding); a
request that changes or asks something by POST, PUT or DELETE and carries an ``Origin`` or
``Sec-Fetch-Site`` must come from this very origin; every answer forbids scripts, frames and
caching unless the route says otherwise. There is no CORS. Not here: who is asking (``auth``).
"""

import ipaddress
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affidavit.errors import AffidavitError, RefusedError, UsageError

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
MAX_BODY = 1 << 20
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Wraps an ASGI application; ``host`` is the address it listens on, ``""`` for a socket."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = _loopback_names(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, and complete the headers of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            await _answer(UsageError("The body is too large."), 413, complete)
            return
        try:
            self._check(scope)
        except AffidavitError as error:
            await _answer(error, error.http_status, complete)
            return
        await self._app(scope, receive, complete)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise UsageError("A request has exactly one Host header.")
        host = urlsplit(f"//{hosts[0]}").hostname or ""
        if self._names and host not in self._names:
            raise RefusedError(
                "This console answers to loopback names only.",
                hint="Use http://127.0.0.1 or http://localhost and the console's port.",
            )
        if scope["method"] in _SAFE:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own = f"{scope.get('scheme', 'http')}://{hosts[0]}"
        if (origin is not None and origin != own) or site not in (None, "same-origin", "none"):
            raise RefusedError("This request was started by another site.")


def _loopback_names(host: str) -> Sequence[str]:
    """The names to accept; empty if any name is accepted."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return ("127.0.0.1", "localhost", "::1", host) if loopback else ()


async def _answer(error: AffidavitError, status: int, send: Send) -> None:
    body = json.dumps(error.as_json()).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
