"""A scripted provider on loopback: it answers with bytes, pauses, resets and ends, as told.

It runs in threads on blocking sockets, so a test may run its own event loop, or none. It keeps
every byte it was sent, which is how tests show that nothing was.
"""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from enum import Enum
from typing import Self

from tests.world.rawclient import PATIENCE, taken


class Do(Enum):
    """Steps that are not bytes (send them), a number (wait so many seconds) or an event (wait)."""

    RST = "reset the connection"
    FIN = "close our side"
    HOLD = "do nothing more until the other side closes"
    TAKEN = "wait until the other side has read all that was sent"


Step = bytes | float | threading.Event | Do


def whole(
    body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: bytes = b""
) -> bytes:
    """A response with ``Content-Length``; ``extra`` are whole field lines."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + extra + b"\r\n" + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
SSE_HEAD = CHUNKED % b"text/event-stream"
LAST_CHUNK = b"0\r\n\r\n"


class Upstream:
    """``Upstream([steps of the first request], [of the second], …)``; the last script repeats.

    A script runs when a whole request has been read, or with ``eager`` at its first byte.
    ``got`` is every byte received, ``requests`` each request's bytes, ``connections`` how many
    were accepted, ``gone`` is set when the other side closed or reset a connection.
    """

    def __init__(
        self,
        *scripts: Sequence[Step],
        tls: ssl.SSLContext | None = None,
        eager: bool = False,
        slow_reader: bool = False,
    ) -> None:
        self._scripts = scripts or ([],)
        self._first = 0
        self._tls = tls
        self._eager = eager
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.got = bytearray()
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = threading.Event()
        self.sent = 0
        self._listener = socket.socket()
        if slow_reader:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._closing = False

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            open_now = list(self._sockets)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def play(self, *scripts: Sequence[Step]) -> None:
        """Answer from here on with these scripts, the first to the next request."""
        with self._lock:
            self._scripts = scripts
            self._first = len(self.requests)
            self.gone.clear()

    def wait_requests(self, count: int, within: float = PATIENCE) -> bool:
        """Wait until that many requests have come in whole."""
        end = time.monotonic() + within
        while len(self.requests) < count and time.monotonic() < end:
            time.sleep(0.005)
        return len(self.requests) >= count

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        wrapped: socket.socket = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                wrapped = self._tls.wrap_socket(connection, server_side=True)
            rest = b""
            while True:
                request, rest = self._read(wrapped, rest)
                if request is None:
                    return
                with self._lock:
                    number = len(self.requests) - self._first
                    self.requests.append(request)
                    script = self._scripts[min(number, len(self._scripts) - 1)]
                if not self._play(wrapped, script):
                    return
        except OSError:
            self.gone.set()
        finally:
            with self._lock:
                if connection in self._sockets:
                    self._sockets.remove(connection)
            with contextlib.suppress(OSError):
                wrapped.close()

    def _play(self, connection: socket.socket, script: Sequence[Step]) -> bool:
        for step in script:
            if isinstance(step, bytes):
                connection.sendall(step)
                self.sent += len(step)
            elif isinstance(step, int | float):
                time.sleep(step)
            elif isinstance(step, threading.Event):
                step.wait(60)
            elif step is Do.RST:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            elif step is Do.FIN:
                connection.shutdown(socket.SHUT_WR)
                return False
            elif step is Do.TAKEN:
                while not taken(connection):
                    time.sleep(0.001)
            else:
                while connection.recv(65536):
                    pass
                self.gone.set()
                return False
        return True

    def _read(self, connection: socket.socket, rest: bytes) -> tuple[bytes | None, bytes]:
        """One request and what came behind it; ``None`` when the other side closed."""
        data = bytearray(rest)
        while (end := _end_of_request(data)) is None:
            if self._eager and data:
                return bytes(data), b""
            more = connection.recv(65536)
            if not more:
                self.gone.set()
                return None, b""
            self.got += more
            data += more
        return bytes(data[:end]), bytes(data[end:])


def _end_of_request(data: bytearray) -> int | None:
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    fields = bytes(data[:head]).lower().split(b"\r\n")[1:]
    length = 0
    for field in fields:
        name, _, value = field.partition(b":")
        if name == b"content-length":
            length = int(value)
    end = head + 4 + length
    return end if len(data) >= end else None
