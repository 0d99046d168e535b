"""Claims about the listening side that only the connection can know."""

import asyncio
import contextlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from affidavit.capture import worker
from affidavit.capture.server import Bounds, GatewayProtocol, _Outgoing, protocol
from tests.world.gateway import KEY, World, chat, chat_answer
from tests.world.rawclient import RawClient, request
from tests.world.upstream import Upstream, whole


def test_bounds_belong_to_the_class_that_was_made_for_them() -> None:
    """Two servers in one process may have different limits."""
    one, two = protocol(Bounds(1000, 1.0)), protocol(Bounds(2000, 2.0))
    assert (one.bounds.max_head_bytes, two.bounds.max_head_bytes) == (1000, 2000)
    assert GatewayProtocol.bounds == Bounds()


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    """Silence costs a connection only as long as the read limit."""
    with (
        World(tmp_path, gateway={"client_read_timeout": 0.2}) as world,
        RawClient(world.port) as client,
    ):
        assert client.answer().status == 408
        assert client.closed_by_peer()


def test_an_unused_connection_after_an_answer_is_not_cut_by_the_read_limit(tmp_path: Path) -> None:
    """Keep-alive has its own, longer limit."""
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, gateway={"client_read_timeout": 0.6}) as world,
        RawClient(world.port) as client,
    ):
        for _ in range(2):
            client.send(request("/openai/v1/chat/completions", chat(), key=KEY))
            assert client.answer().status == 200
            assert not client.closed_by_peer(within=0.8)


class _Wire(asyncio.Transport):
    """Keeps what is written, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False
        self._socket, self._peer = socket.socketpair()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket if name == "socket" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def end(self) -> None:
        """Close the sockets that only its name and its queue are asked of."""
        self._socket.close()
        self._peer.close()

    def close(self) -> None:
        self.closed = True


def test_a_head_goes_out_with_the_first_bytes_behind_it() -> None:
    """One write for both; later bytes go as they come."""

    async def run() -> list[bytes]:
        wire = _Wire()
        outgoing = _Outgoing(wire, asyncio.get_running_loop())
        outgoing.write(b"head")
        outgoing.write(b"first")
        outgoing.write(b"second")
        await asyncio.sleep(0)
        outgoing.close()
        wire.end()
        return wire.written

    assert asyncio.run(run()) == [b"headfirst", b"second"]


@pytest.mark.parametrize("how", ["turn", "close", "flush", "lost"])
def test_a_head_behind_which_nothing_comes_goes_out_all_the_same(how: str) -> None:
    """In the next turn of the loop, or before the connection is closed; never into a closed one."""

    async def run() -> tuple[list[bytes], list[bytes]]:
        wire = _Wire()
        outgoing = _Outgoing(wire, asyncio.get_running_loop())
        outgoing.write(b"head")
        if how == "close":
            outgoing.close()
        elif how == "flush":
            outgoing.flush()
            outgoing.flush()
        elif how == "lost":
            wire.close()
        at_once = list(wire.written)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wire.end()
        return at_once, wire.written

    at_once, written = asyncio.run(run())
    assert written == ([] if how == "lost" else [b"head"])
    assert at_once == ([b"head"] if how in ("close", "flush") else [])


@pytest.mark.parametrize("behind", ["garbage", "shutdown"])
def test_a_head_alone_goes_out_before_what_follows_its_answer(behind: str) -> None:
    """An answer without a body is sent when it is whole, before anything else is written."""
    wire = _Wire()

    async def run() -> None:
        over = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            length = [(b"content-length", b"5")]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if behind == "garbage":
                connection.data_received(b"garbage\r\n\r\n")
            else:
                connection.shutdown()
            over.set()

        config = uvicorn.Config(
            app, http=protocol(Bounds()), ws="none", lifespan="off", log_config=None
        )
        config.load()
        connection: Any = protocol(Bounds())(config, ServerState(), {})
        connection.connection_made(wire)
        connection.data_received(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(over.wait(), 5)
        connection.connection_lost(None)

    asyncio.run(run())
    wire.end()
    starts = [data.partition(b"\r\n")[0] for data in wire.written]
    more = [b"HTTP/1.1 400 Bad Request"] if behind == "garbage" else []
    assert starts == [b"HTTP/1.1 200 OK", *more]


def test_the_answers_own_fields_are_no_servers(tmp_path: Path) -> None:
    """Neither ``server`` nor ``date`` is added to what the provider sent."""
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        client.send(request("/openai/v1/chat/completions", chat(), key=KEY))
        answer = client.answer()
    assert [name for name, _ in answer.headers] == [
        "content-type",
        "content-length",
        "affidavit-record",
        "affidavit-digest",
    ]


SLOW = {"client_read_timeout": 1.0, "client_write_timeout": 1.0}
HEALTH = request("/healthz", method="GET")
STRANGER = b"POST /openai/v1/x HTTP/1.1\r\nhost: g\r\n"
CHUNKED_BODY = STRANGER + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("asked", "status", "then"),
    [
        (HEALTH, 200, b"\r\n"),
        (HEALTH, 200, b"\r\n\r\n\r\n"),
        (STRANGER + b"content-length: 1000000\r\n\r\n", 401, b"x"),
        (CHUNKED_BODY, 401, b"5\r\nhel"),
        (CHUNKED_BODY, 401, b"0\r\nx: y"),
    ],
)
def test_what_begins_no_request_keeps_no_connection_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bytes, status: int, then: bytes
) -> None:
    """Empty lines, or a body nobody reads: the limit on an unused connection goes on running."""
    monkeypatch.setattr(worker, "KEEP_ALIVE_SECONDS", 0.3)
    with World(tmp_path, gateway=SLOW) as world, RawClient(world.port) as client:
        client.send(asked)
        assert client.answer().status == status
        client.send(then)
        assert client.closed_by_peer()


def taken(client: RawClient, data: bytes, pause: float = 0.001) -> int:
    """How many bytes of ``data``, again and again, are taken before the connection is closed."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < len(data) * 5000:
            client.send(data)
            sent += len(data)
            time.sleep(pause)
    return sent


FIELD = b"x-trailer: y\r\n"


@pytest.mark.parametrize(
    "endless",
    [FIELD * 100, b"x" * 1000],
    ids=["trailer fields", "one trailer field"],
)
@pytest.mark.parametrize("key", ["", KEY])
def test_trailers_have_a_limit(tmp_path: Path, endless: bytes, key: str) -> None:
    """Neither a stranger nor a caller fills the memory behind the last chunk (G11)."""
    head = CHUNKED_BODY.replace(b"host", b"authorization: Bearer " + key.encode() + b"\r\nhost")
    with World(tmp_path) as world, RawClient(world.port) as client:
        client.send(head + b"5\r\nhello\r\n0\r\nfirst: ")
        if not key:
            assert client.answer().status == 401
        assert taken(client, endless * 20) < 40 << 20  # what the systems take on both sides
        world.wait_idle()
        assert not world.exchanges()


def test_a_chunk_extension_has_a_limit(tmp_path: Path) -> None:
    """431 and a record: nothing of the body came for longer than a head may be."""
    head = CHUNKED_BODY.replace(b"host", b"authorization: Bearer " + KEY.encode() + b"\r\nhost")
    with World(tmp_path) as world, RawClient(world.port) as client:
        client.send(head + b"5;")
        for _ in range(2):
            time.sleep(0.05)
            client.send(b"x" * 40_000)
        assert client.answer().status == 431
    denied = [e for e in world.entries() if e.record.type == "access.denied"]
    reasons = [e.sections["control"]["reasons"] for e in denied]
    assert reasons == [["usage.head_too_large"]]


def test_a_body_in_small_chunks_is_no_head(tmp_path: Path) -> None:
    """The limit is on what comes in a row without a byte of the body, not on framing."""
    body = chat(user="x" * 20_000)
    chunks = b"".join(b"1;ext=1\r\n%c\r\n" % byte for byte in body) + b"0\r\nt: u\r\n\r\n"
    head = CHUNKED_BODY.replace(b"host", b"authorization: Bearer " + KEY.encode() + b"\r\nhost")
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        client.send(head + chunks)
        assert client.answer().status == 200
        assert provider.requests[0].endswith(body)


def test_a_client_that_takes_nothing_of_an_answer_is_no_running_call(tmp_path: Path) -> None:
    """Also where the head waits behind an earlier answer: it left, and the connection is closed."""
    head, body = whole(b"z" * 250_000)[:-250_000], b"z" * 250_000
    with (
        Upstream([head, 0.01, body]) as provider,
        World(tmp_path, provider.url, gateway=SLOW) as world,
        RawClient(world.port, receive_buffer=2048) as client,
    ):
        asked = request("/openai/v1/files/x", method="GET", key=KEY)
        for _ in range(100):
            client.send(asked)
            time.sleep(0.02)
            world.wait_idle(0.1)
            if world.gateway.health()[1]["running"]:
                break
        world.wait_idle()
        outcomes = [answered for _, answered in world.exchanges()]
    assert outcomes[-1].outcome == "client_gone"
    assert "took nothing" in outcomes[-1].sections["outcome"]["error"]["message"]
    assert {one.outcome for one in outcomes[:-1]} == {"complete"}


@pytest.mark.parametrize("fields", [(), (("connection", "close"),)], ids=["kept", "closed"])
def test_an_answer_that_nobody_takes_keeps_no_connection_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: Any
) -> None:
    """Whoever asks and never reads is cut off once nothing more is taken."""
    monkeypatch.setattr(worker, "KEEP_ALIVE_SECONDS", 0.3)
    body = b"z" * 8_000_000
    with (
        Upstream([whole(body)]) as provider,
        World(tmp_path, provider.url, gateway=SLOW) as world,
        RawClient(world.port, receive_buffer=2048) as client,
    ):
        client.send(request("/openai/v1/files/x", method="GET", key=KEY, headers=fields))
        assert taken(client, b"\r\n", pause=0.02) < 1000


def test_a_slow_reader_of_a_closing_connection_gets_everything(tmp_path: Path) -> None:
    """Only one that takes nothing at all is cut off."""
    body = b"z" * 6_000_000
    asked = request("/openai/v1/files/x", method="GET", key=KEY, headers=(("connection", "close"),))
    with (
        Upstream([whole(body)]) as provider,
        World(tmp_path, provider.url, gateway=SLOW) as world,
        RawClient(world.port, receive_buffer=65536) as client,
    ):
        client.send(asked)
        for _ in range(5):
            time.sleep(0.3)
            client.received += client.socket.recv(100_000)
        answer = client.answer()
        assert answer.clean
        assert answer.body == body
        assert world.exchange()[1].outcome == "complete"
