"""A client that controls every byte: it sends slowly, stops reading, half closes and resets."""

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

PATIENCE = 20.0
"""So many seconds are waited for what has to come: many more than it takes, also beside others."""


class Answer(NamedTuple):
    """One response: ``body`` with chunks joined; ``clean`` if its framing came to its end."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    clean: bool

    def header(self, name: str) -> str | None:
        """The first value of that field, name in lower case."""
        return next((value for key, value in self.headers if key == name), None)


class RawClient:
    """One TCP connection; ``received`` is every byte that came back."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self._used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def send_slowly(self, data: bytes, pause: float = 0.0) -> None:
        """Send one byte at a time."""
        for place in range(len(data)):
            self.socket.sendall(data[place : place + 1])
            if pause:
                time.sleep(pause)

    def wait_taken(self, within: float = PATIENCE) -> None:
        """Wait until the other side has read all that was sent."""
        end = time.monotonic() + within
        while not taken(self.socket) and time.monotonic() < end:
            time.sleep(0.001)

    def wait_for(self, needle: bytes, within: float = PATIENCE) -> bool:
        """Read until ``needle`` has arrived; False if the time or the connection ends first."""
        return self._read(lambda: needle in self.received, within)

    def read_to_end(self, within: float = PATIENCE) -> bytes:
        """Read until the other side closes (or resets, or the time is over)."""
        self._read(lambda: False, within)
        return bytes(self.received)

    def answer(self, *, head_request: bool = False, within: float = PATIENCE) -> Answer:
        """Read one response, whole or until the connection ends."""
        found: list[Answer] = []

        def done() -> bool:
            parsed = _parse(bytes(self.received[self._used :]), head_request)
            if parsed is None:
                return False
            found.append(parsed[0])
            self._used += parsed[1]
            return True

        if self._read(done, within):
            return found[0]
        return _partial(bytes(self.received[self._used :]))

    def closed_by_peer(self, within: float = PATIENCE) -> bool:
        """Whether the other side closes within that time."""
        end = time.monotonic() + within
        self.socket.settimeout(within)
        try:
            while time.monotonic() < end:
                data = self.socket.recv(65536)
                if not data:
                    return True
                self.received += data
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return False

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def _read(self, done: Callable[[], bool], within: float) -> bool:
        end = time.monotonic() + within
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, ConnectionError):
                return done()
            if not data:
                return done()
            self.received += data
        return True


def taken(connection: socket.socket) -> bool:
    """Whether nothing that was sent is still in a buffer of the kernel, on either side.

    So what is sent next is read apart from it, however slow the reader is; a pause would only make
    that likely.
    """
    ends = [_as_listed(connection.getsockname()), _as_listed(connection.getpeername())]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        unacknowledged, _, unread = fields[4].partition(":")
        if fields[1:3] == ends and int(unacknowledged, 16):
            return False
        if fields[2:0:-1] == ends and int(unread, 16):
            return False
    return True


def _as_listed(address: tuple[str, int]) -> str:
    host = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{host:08X}:{address[1]:04X}"


def request(
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    key: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """The bytes of a plain request with ``Content-Length``."""
    lines = [f"{method} {path} HTTP/1.1", "host: gateway.test"]
    if key:
        lines.append(f"authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _head(data: bytes) -> tuple[int, list[tuple[str, str]], int] | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    fields = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
    if 100 <= status < 200:
        rest = _head(data[end + 4 :])
        return None if rest is None else (rest[0], rest[1], rest[2] + end + 4)
    return status, fields, end + 4


def _parse(data: bytes, head_request: bool) -> tuple[Answer, int] | None:
    head = _head(data)
    if head is None:
        return None
    status, fields, start = head
    names = dict(fields)
    if head_request or status in (204, 304):
        return Answer(status, fields, b"", clean=True), start
    if names.get("transfer-encoding") == "chunked":
        body, end, clean = _chunks(data, start)
        return (Answer(status, fields, body, clean=True), end) if clean else None
    length = int(names.get("content-length", "0"))
    if len(data) < start + length:
        return None
    return Answer(status, fields, data[start : start + length], clean=True), start + length


def _partial(data: bytes) -> Answer:
    head = _head(data)
    if head is None:
        return Answer(0, [], data, clean=False)
    status, fields, start = head
    if dict(fields).get("transfer-encoding") == "chunked":
        return Answer(status, fields, _chunks(data, start)[0], clean=False)
    return Answer(status, fields, data[start:], clean=False)


def _chunks(data: bytes, start: int) -> tuple[bytes, int, bool]:
    body = bytearray()
    while True:
        line = data.find(b"\r\n", start)
        if line < 0:
            return bytes(body), start, False
        size = int(data[start:line], 16)
        if size == 0:
            whole = data[line : line + 4] == b"\r\n\r\n"
            return bytes(body), line + 4, whole
        body += data[line + 2 : line + 2 + size]
        if len(data) < line + 2 + size + 2:
            return bytes(body), start, False
        start = line + 2 + size + 2
