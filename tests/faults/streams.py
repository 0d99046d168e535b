"""Many streams at once: a provider that streams, and clients that log every byte they receive.

Both run on one event loop in a thread of their own. A client writes down what came out of its
socket before it looks at it, so the log is what the client received and nothing else.
"""

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """What one client got for one request; ``raw`` is its socket's bytes, head included."""

    number: int
    raw: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def head(self) -> dict[str, str]:
        """Response headers, if the head arrived whole."""
        head, end, _ = bytes(self.raw).partition(b"\r\n\r\n")
        if not end:
            return {}
        lines = head.decode("latin-1").split("\r\n")
        return {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}

    @property
    def status(self) -> int:
        """Status code, 0 if the head did not arrive."""
        return int(self.raw[9:12]) if self.head else 0

    @property
    def entity(self) -> bytes:
        """The body's bytes that arrived, transfer coding removed; a cut chunk counts too."""
        _, end, rest = bytes(self.raw).partition(b"\r\n\r\n")
        if not end or self.head.get("transfer-encoding") != "chunked":
            return rest
        out = bytearray()
        while rest:
            size, end, rest = rest.partition(b"\r\n")
            if not end or int(size, 16) == 0:
                break
            count = int(size, 16)
            out += rest[:count]
            rest = rest[count + 2 :]
        return bytes(out)


class Provider:
    """Streams chat completions: ``pieces`` events, a pause before each; keeps what it was asked."""

    def __init__(self, seed: int, pieces: int = 30) -> None:
        self._random = random.Random(seed)
        self._pieces = pieces
        self.asked: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                body = json.loads(await reader.readexactly(length))
                self.asked.append(body["messages"][0]["content"])
                await self._answer(body["messages"][0]["content"], writer)
        writer.close()

    async def _answer(self, prompt: str, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for number in range(self._pieces):
            await asyncio.sleep(self._random.uniform(0.002, 0.03))
            delta = {"content": f"{prompt}/{number} "}
            writer.write(_chunk(_event(delta, None)))
            await writer.drain()
        writer.write(_chunk(_event({}, "stop")) + _chunk(b"data: [DONE]\n\n"))
        await asyncio.sleep(0.005)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


class Clients:
    """``count`` clients that ask again and again until ``stop``; ``log`` keeps what they got."""

    def __init__(self, port: int, key: str, count: int, first: int = 0) -> None:
        self.port = port
        self.key = key
        self.log: list[Received] = []
        self.running = True
        self._count = count
        self._number = first
        self._tasks: list[asyncio.Task[None]] = []

    def in_flight(self) -> int:
        """Streams of which some bytes of the body have arrived and the end has not."""
        return sum(1 for one in self.log[-4 * self._count :] if one.entity and not one.ended)

    async def start(self) -> None:
        """Begin asking."""
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._count)]

    async def stop(self) -> None:
        """Let the requests under way end, or be cut, and stop."""
        self.running = False
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self) -> None:
        while self.running:
            self._number += 1
            received = Received(self._number)
            self.log.append(received)
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._ask(received), 20)
            received.ended = True
            if not received.raw:
                await asyncio.sleep(0.05)

    async def _ask(self, received: Received) -> None:
        message = {"role": "user", "content": f"prompt-canary-{received.number}"}
        body = json.dumps({"model": "m-1", "stream": True, "messages": [message]}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                b"POST /scripted/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
                b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n"
                b"Connection: close\r\nContent-Length: %d\r\n\r\n"
                % (self.key.encode(), len(body))
                + body
            )
            while data := await reader.read(65536):
                received.raw += data
        finally:
            writer.close()


class Loop:
    """An event loop in a thread; ``run`` waits for a coroutine on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, None], within: float = 60.0) -> None:
        """Run to the end on the loop's thread."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        future.result(within)

    def close(self) -> None:
        """Stop the thread."""
        for task in asyncio.all_tasks(self.loop):
            self.loop.call_soon_threadsafe(task.cancel)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


def _event(delta: dict[str, str], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "c1", "object": "chat.completion.chunk", "model": "m-1-served", "created": 1}
    return b"data: " + json.dumps({**body, "choices": [choice]}).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
