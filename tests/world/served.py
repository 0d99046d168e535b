"""A console of a ``Machine`` behind a real socket, in a thread of its own, and a reader of events.

Only what an answer is made of is read from the socket, so a test is as slow a reader as it likes.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from affidavit.console.app import create_app
from affidavit.console.services import ConsoleServices


class Served:
    """A console that listens; ``stop`` ends it as SIGTERM ends the process."""

    def __init__(self, services: ConsoleServices, port: int = 0) -> None:
        self.services = services
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            create_app(services), log_level="error", lifespan="off", ws="none", http="httptools",
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server._serve([self._listener]))
        self._loop.close()

    def stop(self) -> None:
        """End it, if it has not ended; what goes on for long is told first."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self.services.closing.set)
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._listener.close()


@contextmanager
def served(services: ConsoleServices, port: int = 0) -> Iterator[Served]:
    """A console for the time of a ``with``."""
    one = Served(services, port)
    try:
        yield one
    finally:
        one.stop()


class Events:
    """A tail over a socket: events are read when asked for, and not before."""

    def __init__(
        self, port: int, key: str, query: str = "", last: int | None = None, *, buffer: int = 0
    ) -> None:
        self._socket = socket.socket()
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(20)
        self._socket.connect(("127.0.0.1", port))
        lines = [
            f"GET /api/tail{query} HTTP/1.1", f"host: 127.0.0.1:{port}",
            f"authorization: Bearer {key}", "connection: close",
        ]  # fmt: skip
        if last is not None:
            lines.append(f"last-event-id: {last}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        while self._file.readline().strip():
            pass
        self.ended = ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows until the answer ends; chunks are ended inside no line, so lines are events."""
        for line in self._file:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
            elif line.startswith(b": ended: "):
                self.ended = line[9:].decode().strip()

    def close(self) -> None:
        """Go away."""
        self._file.close()
        self._socket.close()

    def reset(self) -> None:
        """Go away without a word to the other side's bytes (RST)."""
        self._socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4)
        )
        self.close()
