"""A provider that answers with recordings, and both ends of HTTP/1.1 to hold it against them.

The parser here is written for these tests and shares nothing with the gateway's: strict, small,
and a message it does not understand fails the test. Bytes are cut on two levels: into HTTP chunks,
and the bytes of the wire, heads included, into segments, some with pauses between them. Cuts
fall anywhere, and on purpose inside UTF-8 characters, inside CRLF and between two line ends.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Self

from tests.vectors.recordings import Exchange, RawHeaders

REPLAY = b"x-replay"
"""The end-to-end field by which a request says which recording it is."""

PER_CONNECTION = frozenset({b"connection", b"transfer-encoding"})
"""All the hop-by-hop fields that the recordings have (RFC 9110 §7.6.1)."""

MOST_PIECES = 300
MOST_PAUSES = 40


class Message(NamedTuple):
    """A request or response as it stood on the wire; ``body`` with its framing taken off."""

    first: bytes
    headers: RawHeaders
    body: bytes

    def value(self, name: bytes) -> bytes:
        """The first value of a field, by its name in lower case, or nothing."""
        return next((value for field, value in self.headers if field.lower() == name), b"")


async def read_message(reader: asyncio.StreamReader, *, response: bool) -> Message | None:
    """Read one message; ``None`` if the connection ends before it begins.

    ``AssertionError`` or ``IncompleteReadError`` for what is not one whole HTTP/1.1 message.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head[:-4].split(b"\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, line
        assert name == name.strip(), line
        headers.append((name, value.strip(b" \t")))
    message = Message(first, headers, b"")
    length, coding = message.value(b"content-length"), message.value(b"transfer-encoding")
    assert not (length and coding), first
    if coding:
        assert coding == b"chunked", coding
        body = b"".join([data async for data in _chunks(reader)])
    elif length:
        body = await reader.readexactly(int(length))
    else:
        body = await reader.read() if response else b""
    return message._replace(body=body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The data of each chunk up to the last."""
    while True:
        size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
        data = await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
        if not size:
            return
        yield data


def _bad_places(data: bytes) -> list[int]:
    """Where a cut is worst: inside a character, inside CRLF, between two line ends."""
    return [
        place
        for place in range(1, len(data))
        if 0x80 <= data[place] < 0xC0 or data[place - 1 : place + 1] in (b"\r\n", b"\n\n", b"\n\r")
    ]


def cut(data: bytes, randomly: random.Random) -> Iterator[bytes]:
    """``data`` in pieces: one, single bytes, small ones, large ones, or cut at the worst places."""
    way = randomly.choice(("whole", "bytes", "small", "large", "bad", "bad"))
    places: set[int]
    if way == "whole" or len(data) < 2:
        places = set()
    elif way == "bytes" and len(data) <= 3000:
        places = set(range(1, len(data)))
    elif way == "large":
        places = {randomly.randrange(1, len(data)) for _ in range(len(data) // 3000 + 1)}
    else:
        worst = _bad_places(data) if way == "bad" else []
        places = set(randomly.sample(worst, min(len(worst), MOST_PIECES // 2)))
        few = min(len(data) // 20 + 1, MOST_PIECES // 2)
        places |= {randomly.randrange(1, len(data)) for _ in range(few)}
    begin = 0
    for place in [*sorted(places), len(data)]:
        yield data[begin:place]
        begin = place


def chunked(body: bytes, randomly: random.Random) -> bytes:
    """``body`` as a chunked transfer with random chunks, sizes in either case of hex."""
    framed = bytearray()
    for piece in cut(body, randomly):
        if piece:
            size = b"%x" % len(piece)
            framed += (size.upper() if randomly.random() < 0.3 else size) + b"\r\n" + piece
            framed += b"\r\n"
    return bytes(framed + b"0\r\n\r\n")


async def send(writer: asyncio.StreamWriter, wire: bytes, randomly: random.Random) -> bool:
    """Write the bytes of the wire in random segments; ``True`` if there were pauses."""
    pauses = MOST_PAUSES if randomly.random() < 0.4 else 0
    paused = False
    for piece in cut(wire, randomly):
        writer.write(piece)
        if pauses:
            await writer.drain()
            await asyncio.sleep(randomly.uniform(0.0, 0.002))
            paused, pauses = True, pauses - 1
    await writer.drain()
    return paused


class RecordedUpstream(AbstractAsyncContextManager["RecordedUpstream"]):
    """Answers each request with the recording that its ``x-replay`` field names.

    ``got`` is what arrived and ``sent`` what was answered (fields as on the wire), by that name;
    ``strange`` is everything that was not a request of a recording. ``ways`` counts how bodies
    were framed and sent. Close-delimited answers are left to recordings without a content length.
    """

    def __init__(self, recordings: Mapping[str, Exchange], port: int = 0, seed: int = 1) -> None:
        self._recordings = recordings
        self._seed = seed
        self.port = port
        self.got: dict[str, Message] = {}
        self.sent: dict[str, Message] = {}
        self.strange: list[str] = []
        self.ways: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_message(reader, response=False)) is not None:
                name = request.value(REPLAY).decode()
                if name in self.got or name not in self._recordings:
                    self.strange.append(f"{request.first!r} {name}")
                    break
                self.got[name] = request
                if not await self._answer(writer, name):
                    break
        except (ConnectionError, AssertionError, ValueError, EOFError) as error:
            self.strange.append(repr(error))
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, name: str) -> bool:
        """Send the recorded answer; ``False`` if the end of the connection ends it."""
        recording = self._recordings[name]
        randomly = random.Random(f"{self._seed} down {name}")
        headers, framing = _framed(recording, randomly)
        first = b"HTTP/1.1 %d Recorded" % recording.status
        self.sent[name] = Message(first, headers, recording.response_body)
        fields = b"".join(b"%b: %b\r\n" % field for field in headers)
        body = recording.response_body
        framed = chunked(body, randomly) if framing == "chunked" else body
        paused = await send(writer, first + b"\r\n" + fields + b"\r\n" + framed, randomly)
        self.ways[framing] += 1
        self.ways["with pauses"] += paused
        return framing != "close"


def _framed(recording: Exchange, randomly: random.Random) -> tuple[RawHeaders, str]:
    """The recorded fields with one framing, as the recording has it or allows it.

    A recorded length that is true stays. Where both framings were recorded, the recorder had
    added or kept one; RFC 9112 §6.3 gives the coding precedence, so the length goes. The rest is
    sent in chunks, or with a length, or up to the end of the connection.
    """
    names = {name.lower() for name, _ in recording.response_headers}
    if b"content-length" in names and b"transfer-encoding" not in names:
        return recording.response_headers, "length"
    framing = randomly.choices(("chunked", "length", "close"), (8, 1, 1))[0]
    ends = {b"transfer-encoding", b"content-length"}
    ends |= {b"connection"} if framing == "close" else set()
    kept = [field for field in recording.response_headers if field[0].lower() not in ends]
    own = {
        "chunked": (b"Transfer-Encoding", b"chunked"),
        "length": (b"Content-Length", b"%d" % len(recording.response_body)),
        "close": (b"Connection", b"close"),
    }[framing]
    kept.insert(randomly.randint(0, len(kept)), own)
    return kept, framing
