"""The way out: which addresses are connected to, TLS, and the egress proxy.

Rules:

1. Only origins that stand in the configuration are connected to; redirects are answers like any
   other. Proxy settings of the environment are not looked at.
2. A name is resolved once, the addresses are checked, and the checked address is what is
   connected to, so an answer that changes between check and use changes nothing (DNS rebinding).
3. Link-local, cloud metadata, unspecified, multicast and reserved addresses are refused unless
   the configuration names that very address. IPv4 inside IPv6 (mapped, NAT64 of RFC 6052, 6to4) is
   looked at as IPv4. Loopback and private addresses are allowed: models run there. Odd spellings
   (``2130706433``) are no special case, because it is the resolved address that is checked.
4. TLS verifies against the system's trust anchors and the configured extra file, with the
   configured host name; there is no switch to turn that off.
5. With a proxy it is the proxy's address that is checked; the provider's name is resolved there.

Not here: HTTP exchanges (``upstream``).
"""

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from affidavit.capture.upstream_http import ResponseParser, request_head
from affidavit.errors import (
    ConfigError,
    UnreachableError,
    UpstreamError,
    UpstreamProtocolError,
)

_PORTS = {"http": 80, "https": 443}
_METADATA = frozenset({"100.100.100.200", "fd00:ec2::254", "192.0.0.192"})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_P = TypeVar("_P", bound=asyncio.Protocol)


class Origin(NamedTuple):
    """Where a provider is: ``prefix`` is the path of its base URL, without a slash at the end."""

    scheme: str
    host: str
    port: int
    prefix: bytes

    @classmethod
    def parse(cls, base_url: str) -> "Origin":
        """Read ``http(s)://host[:port][/path]``; ``ConfigError`` for anything else."""
        try:
            parts = urlsplit(base_url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError("A base_url is http://host[:port][/path], or https.")
        return cls(
            parts.scheme,
            parts.hostname,
            port or _PORTS[parts.scheme],
            parts.path.rstrip("/").encode(),
        )

    @property
    def authority(self) -> bytes:
        """``host[:port]`` as the ``Host`` field has it, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        plain = self.port == _PORTS[self.scheme]
        return (host if plain else f"{host}:{self.port}").encode()


class Proxy(NamedTuple):
    """An egress proxy; ``authorization`` is the value of ``Proxy-Authorization`` or empty."""

    host: str
    port: int
    authorization: bytes

    @classmethod
    def parse(cls, url: str, secret: str = "") -> "Proxy":
        """Read ``http://host:port``; ``ConfigError`` for anything else.

        ``secret`` is ``user:password`` for a proxy that asks for Basic authentication.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not parts.port or parts.username:
            raise ConfigError("A proxy is http://host:port.")
        authorization = b"Basic " + base64.b64encode(secret.encode()) if secret else b""
        return cls(parts.hostname, parts.port, authorization)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Client TLS: the system's trust anchors, and ``ca_file``'s; ``ConfigError`` if unreadable."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{ca_file} does not hold certificates that can be read.") from error
    return context


def check_address(address: str, configured: str) -> None:
    """Refuse an address that no model API has; ``UnreachableError``.

    ``configured`` is the host as the configuration spells it: an address that stands there
    literally is what the operator wants.
    """
    plain = address.partition("%")[0]
    if plain == configured:
        return
    found = ipaddress.ip_address(plain)
    if isinstance(found, ipaddress.IPv6Address):
        found = _inside(found) or found
    refused = (
        found.is_link_local
        or found.is_unspecified
        or found.is_multicast
        or str(found) in _METADATA
        or (found.is_reserved and not found.is_loopback)
    )
    if refused:
        raise UnreachableError(
            f"{configured} resolves to {plain}, where no model API is.",
            hint="If this address is meant, write it into base_url itself.",
        )


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end up at, if there is one."""
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


async def connect(
    make: Callable[[], _P], origin: Origin, tls: ssl.SSLContext | None, proxy: Proxy | None
) -> tuple[asyncio.Transport, _P]:
    """Open a connection on which requests for ``origin`` can be written.

    ``tls`` is used for https origins. ``UnreachableError`` if it is refused, unreachable or its
    certificate is not good. Time limits and cancellation are the caller's.
    """
    if origin.scheme == "http":
        tls = None
    if proxy is None:
        return await _open(make, origin.host, origin.port, tls)
    if tls is None:
        return await _open(make, proxy.host, proxy.port, None)
    return await _tunnel(make, origin, tls, proxy)


async def _open(
    make: Callable[[], _P], host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.Transport, _P]:
    loop = asyncio.get_running_loop()
    name = host if tls is not None else None
    problem: OSError | None = None
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnreachableError(f"{host} is not a known name.") from error
    for address in dict.fromkeys(str(item[4][0]) for item in found):
        check_address(address, host)
        try:
            return await loop.create_connection(make, address, port, ssl=tls, server_hostname=name)
        except ssl.SSLError as error:
            raise _tls_error(host, error) from error
        except OSError as error:
            problem = error
    raise UnreachableError(f"{host} does not accept connections on port {port}.") from problem


async def _tunnel(
    make: Callable[[], _P], origin: Origin, tls: ssl.SSLContext, proxy: Proxy
) -> tuple[asyncio.Transport, _P]:
    """CONNECT through the proxy (RFC 9110 §9.3.6), then TLS to the provider inside."""
    loop = asyncio.get_running_loop()
    plain, opening = await _open(_Opening, proxy.host, proxy.port, None)
    try:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}".encode()
        fields = [(b"host", target)]
        if proxy.authorization:
            fields.append((b"proxy-authorization", proxy.authorization))
        plain.write(request_head(b"CONNECT", target, fields, None))
        await opening.answered
        protocol = make()
        try:
            inside = cast(
                "asyncio.Transport",
                await loop.start_tls(plain, protocol, tls, server_hostname=origin.host),
            )
        except ssl.SSLError as error:
            raise _tls_error(origin.host, error) from error
        except OSError as error:
            raise UnreachableError(f"{origin.host} broke off inside the egress proxy.") from error
        protocol.connection_made(inside)
    except BaseException:
        plain.abort()
        raise
    return inside, protocol


class _Opening(asyncio.Protocol):
    """Reads the proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A 2xx answer to CONNECT has no body, as an answer to HEAD has none.
        self._parser = ResponseParser(b"HEAD")

    def data_received(self, data: bytes) -> None:
        """Take the answer; bytes behind it, before we spoke TLS, are not a provider's."""
        if self.answered.done():
            return
        try:
            self._parser.feed(data)
        except UpstreamError as error:
            self.answered.set_exception(error)
            return
        if self._parser.excess:
            self.answered.set_exception(
                UpstreamProtocolError("The egress proxy sent bytes before the tunnel was used.")
            )
        elif 200 <= self._parser.status <= 299:
            self.answered.set_result(None)
        elif self._parser.status:
            self.answered.set_exception(
                UnreachableError(f"The egress proxy answered {self._parser.status}, not a tunnel.")
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy closed instead of answering."""
        del exc  # closed or reset, there is no tunnel
        if not self.answered.done():
            self.answered.set_exception(UnreachableError("The egress proxy closed the connection."))


def _tls_error(host: str, error: ssl.SSLError) -> UnreachableError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError(
            f"The certificate of {host} is not good: {error.verify_message}.",
            hint="If the provider uses a private authority, give its certificate as ca_file.",
        )
    reason = (error.reason or "handshake failed").replace("_", " ").lower()
    return UnreachableError(f"TLS with {host} failed: {reason}.")
