"""The outermost layer: refuses what a browser was tricked into sending, and sets headers.

Rules: on a loopback address only loopback names and that of ``console.public_url`` are accepted in
``Host`` (DNS rebinding); a request that changes or asks something by POST, PUT or DELETE and
carries an ``Origin`` or ``Sec-Fetch-Site`` must come from this very origin, which under the public
name is the public one alone (not the same name without TLS). Every answer forbids scripts, frames
and caching unless the route says otherwise. There is no CORS. Whatever nobody foresaw ends here:
one line in the log with the route and the kind of error, one coded answer, no traceback. Not here:
who is asking (``auth``).
"""

import ipaddress
import json
import socket
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affidavit.console import problems
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
_DIGITS = 18
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class InternalError(AffidavitError):
    """Something nobody foresaw; its kind is in the log, nothing of it in the answer."""


class Guard:
    """Wraps an ASGI application; ``host`` is the address it listens on, ``""`` for a socket.

    ``public``: the origin at which browsers reach it through a proxy, if they do.
    """

    def __init__(self, app: ASGIApp, host: str, public: str = "") -> None:
        self._app = app
        self._names = _loopback_names(host)
        self._public = public
        self._public_name = urlsplit(public).hostname

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, and complete the headers of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def complete(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                said = scope.get("state", {}).get("limits", {})
                for name, value in {**HEADERS, **said}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._pass(scope, receive, complete)
        except Exception as error:  # noqa: BLE001 — the last line: a server would print it whole
            # The route, not the address: people paste keys and session ids into addresses.
            place = getattr(scope.get("route"), "path", "an unknown address")
            sys.stderr.write(f"console: {type(error).__name__} at {place}\n")
            if not started:  # else the answer breaks off, which is all that can still be said
                unforeseen = InternalError("Something failed that was not foreseen.")
                await _answer(unforeseen, unforeseen.http_status, complete)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or len(length) > _DIGITS or int(length) > MAX_BODY:
            await _answer(UsageError("The body is too large."), 413, send)
            return
        try:
            self._check(scope)
        except AffidavitError as error:
            await _answer(error, error.http_status, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise UsageError("A request has exactly one Host header.")
        try:
            host = urlsplit(f"//{hosts[0]}").hostname or ""
        except ValueError as error:
            raise UsageError("The Host header is not the name of a host.") from error
        if self._names and host not in (*self._names, self._public_name):
            raise RefusedError(
                "This console answers to loopback names only.",
                hint="Use http://127.0.0.1 or http://localhost and the console's port. "
                "Behind a proxy: console.public_url in the configuration.",
            )
        if scope["method"] in _SAFE:
            return
        own = {self._public} if self._public else set()
        if host != self._public_name:
            own.add(f"{scope.get('scheme', 'http')}://{hosts[0]}")
        origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
        if set(origins) - own or set(sites) - {"same-origin", "none"}:  # each of them counts
            raise RefusedError("This request was started by another site.")


def _loopback_names(host: str) -> Sequence[str]:
    """The names to accept; empty if any name is accepted.

    However the address is spelt (``127.1``, ``Localhost``), what counts is what it stands for.
    """
    if not host:
        return ()
    try:
        found = {ipaddress.ip_address(item[4][0]) for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return ()
    plain = {getattr(one, "ipv4_mapped", None) or one for one in found}
    loopback = plain and all(one.is_loopback for one in plain)
    return ("127.0.0.1", "localhost", "::1", host.casefold()) if loopback else ()


async def _answer(error: AffidavitError, status: int, send: Send) -> None:
    body = json.dumps(problems.problem(error, status)).encode()
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
