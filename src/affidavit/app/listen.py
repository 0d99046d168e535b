"""Listening sockets, made by the supervisor and inherited by its children.

A socket lives in the supervisor, so a worker that dies takes no connection from the queue with
it, and its successor listens at once.
"""

import errno
import socket

from affidavit.errors import UnavailableError, UsageError


def split(address: str) -> tuple[str, int]:
    """``HOST:PORT`` in its parts; IPv6 hosts in brackets. ``UsageError`` if it is not that."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{address!r} is not HOST:PORT.", hint="For example 127.0.0.1:8787")
    return host.strip("[]"), int(port)


def listen(host: str, port: int, what: str, option: str = "") -> socket.socket:
    """Bind and listen; ``UnavailableError`` with one sentence for each way it can fail.

    ``option`` is the one that chooses another address, ``what`` by default.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UnavailableError(f"The {what} has no address {host}: {error.strerror}.") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        taken = error.errno == errno.EADDRINUSE
        why = "is in use" if taken else f"cannot be had: {error.strerror}"
        raise UnavailableError(
            f"Port {port} on {host} {why}, so the {what} did not start.",
            hint=f"Stop what uses it, or choose another with --{option or what} HOST:PORT.",
        ) from error
    sock.setblocking(False)
    return sock


def url(sock: socket.socket) -> str:
    """``http://host:port`` of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
