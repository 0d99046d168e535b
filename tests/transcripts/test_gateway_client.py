"""What a client can do to a call, and what is then recorded (fault plan rows 16 to 18)."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.world.gateway import DONE, KEY, OTHER_KEY, Lab, chat, chat_answer, chat_event
from tests.world.rawclient import PATIENCE, RawClient, request
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, chunk, whole

PATH = "/openai/v1/chat/completions"
STREAM = request(PATH, chat(stream=True), key=KEY)
EVENT = chat_event("Hello")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One gateway with little patience for all cases."""
    limits = {
        "client_read_timeout": 1.0,
        "client_write_timeout": 1.0,
        "max_body_bytes": 100_000,
        "max_header_bytes": 8192,
    }
    with Lab.open(
        tmp_path_factory.mktemp("lab"),
        gateway=limits,
        provider={"first_byte_timeout": PATIENCE, "idle_timeout": PATIENCE},
    ) as lab:
        yield lab


def leave(client: RawClient, how: str) -> None:
    """Three ways to be gone."""
    {"close": client.close, "reset": client.reset, "half": client.half_close}[how]()


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("sent", [0, 30, -10])
def test_gone_before_the_request_is_whole(lab: Lab, how: str, sent: int) -> None:
    """Nothing was asked: no record, no byte to the provider."""
    before, forwarded = len(lab.world.exchanges()), len(lab.provider.requests)
    message = request(PATH, chat(), key=KEY)
    with RawClient(lab.world.port) as client:
        client.send(message[:sent])
        time.sleep(0.03)
        leave(client, how)
        time.sleep(0.05)
    assert len(lab.world.exchanges()) == before
    assert len(lab.provider.requests) == forwarded


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_gone_before_the_first_byte(lab: Lab, how: str) -> None:
    """The provider's connection is closed at once; the outcome is client_gone, without a body."""
    before = len(lab.world.exchanges())
    lab.provider.play([Do.HOLD])
    with RawClient(lab.world.port) as client:
        client.send(STREAM)
        assert lab.provider.wait_requests(lab.provider._first + 1)
        leave(client, how)
        assert lab.provider.gone.wait(PATIENCE)
        _, answered = lab.world.exchange(before)
    assert answered.outcome == "client_gone"
    assert answered.parts == {}
    assert answered.sections["outcome"]["bytes_delivered"] == 0


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_gone_in_the_middle_of_a_stream(lab: Lab, how: str) -> None:
    """What was delivered is on record; the provider is told to stop."""
    before = len(lab.world.exchanges())
    lab.provider.play([SSE_HEAD + chunk(EVENT), Do.HOLD])
    with RawClient(lab.world.port) as client:
        client.send(STREAM)
        assert client.wait_for(EVENT)
        leave(client, how)
        assert lab.provider.gone.wait(PATIENCE)
        _, answered = lab.world.exchange(before)
    assert answered.outcome == "client_gone"
    assert answered.parts["response.body"] == EVENT
    assert answered.sections["outcome"]["bytes_delivered"] == len(EVENT)
    assert answered.sections["outcome"]["http.response.status_code"] == 200


def test_gone_while_the_provider_goes_on_sending(lab: Lab) -> None:
    """Every byte that a leaving client may have received is on record."""
    before = len(lab.world.exchanges())
    lab.provider.play([SSE_HEAD, *[chunk(EVENT)] * 3000, Do.HOLD])
    with RawClient(lab.world.port) as client:
        client.send(STREAM)
        assert client.wait_for(EVENT)
        client.reset()
    _, answered = lab.world.exchange(before)
    delivered = answered.sections["outcome"]["bytes_delivered"]
    body = answered.parts["response.body"]
    assert answered.outcome == "client_gone"
    assert len(body) >= delivered >= len(EVENT)
    assert (EVENT * 3000).startswith(body)


def test_a_client_that_stops_reading_is_given_up(lab: Lab) -> None:
    """Back-pressure to the provider, bounded memory, then client_gone (G11)."""
    before = len(lab.world.exchanges())
    block = chat_event("x" * 60_000)
    lab.provider.play([SSE_HEAD, *[chunk(block)] * 2000, Do.HOLD])
    sent = lab.provider.sent
    with RawClient(lab.world.port, receive_buffer=4096) as client:
        client.send(STREAM)
        time.sleep(0.3)
        # Socket buffers of the operating system on both sides, and little more.
        assert lab.provider.sent - sent < 40 << 20
        assert lab.provider.gone.wait(PATIENCE)
        _, answered = lab.world.exchange(before)
    assert answered.outcome == "client_gone"
    assert "took nothing" in answered.sections["outcome"]["error"]["message"]


def test_a_slow_client_that_reads_gets_everything(lab: Lab) -> None:
    """Slow is not gone: pauses shorter than the limit cost nothing."""
    before = len(lab.world.exchanges())
    blocks = [chunk(chat_event("x" * 20_000))] * 100
    lab.provider.play([SSE_HEAD, *blocks, chunk(DONE), LAST_CHUNK])
    with RawClient(lab.world.port, receive_buffer=65536) as client:
        client.send(STREAM)
        for _ in range(5):
            time.sleep(0.3)
            client.received += client.socket.recv(200_000)
        answer = client.answer()
    _, answered = lab.world.exchange(before)
    assert answer.clean
    assert answered.outcome == "complete"
    assert answered.parts["response.body"] == answer.body


@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_a_request_sent_byte_by_byte_is_the_same_request(lab: Lab, pause: float) -> None:
    """However the bytes are cut up, the body recorded and forwarded is what was sent."""
    before = len(lab.world.exchanges())
    lab.provider.play([whole(chat_answer())])
    body = chat()
    with RawClient(lab.world.port) as client:
        client.send_slowly(request(PATH, body, key=KEY), pause)
        assert client.answer().status == 200
    asked, _ = lab.world.exchange(before)
    assert asked.parts["request.body"] == body
    assert lab.provider.requests[-1].endswith(b"\r\n\r\n" + body)


def test_a_chunked_request_is_forwarded_with_its_length(lab: Lab) -> None:
    """Transfer coding is for one hop; the bytes inside are the body. Trailers are dropped."""
    before = len(lab.world.exchanges())
    lab.provider.play([whole(chat_answer())])
    body = chat()
    head = request(PATH, key=KEY, method="PUT").replace(
        b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    trailers = b"0\r\nauthorization: Bearer other\r\naffidavit-session: other\r\n\r\n"
    with RawClient(lab.world.port) as client:
        client.send(head + chunk(body[:7]) + chunk(body[7:]) + trailers)
        assert client.answer().status == 200
    asked, _ = lab.world.exchange(before)
    assert asked.parts["request.body"] == body
    sent = lab.provider.requests[-1]
    assert b"content-length: %d\r\n" % len(body) in sent
    assert b"chunked" not in sent
    assert b"other" not in sent


def test_slow_loris_in_the_head_ends_with_408(lab: Lab) -> None:
    """A head that does not come to its end is given up, and others are served meanwhile."""
    with RawClient(lab.world.port) as slow:
        slow.send(b"POST /openai/v1/x HTTP/1.1\r\nx: ")
        began = time.monotonic()
        answer, _, _ = lab.run([whole(chat_answer())])
        assert answer.status == 200
        for _ in range(20):
            time.sleep(0.05)
            try:
                slow.send(b"y")
            except OSError:
                break
        assert slow.answer().status == 408
        assert slow.closed_by_peer()
    assert time.monotonic() - began < PATIENCE


def test_slow_loris_in_the_body_ends_with_408(lab: Lab) -> None:
    """A body that stops coming is given up, on record as a refusal, and never forwarded."""
    forwarded = len(lab.provider.requests)
    with RawClient(lab.world.port) as client:
        client.send(request(PATH, chat(), key=KEY)[:-5])
        assert client.answer().status == 408
        assert client.closed_by_peer()
    refusals = [e for e in lab.world.entries() if e.record.type == "access.denied"]
    assert "usage.too_slow" in {e.sections["control"]["reasons"][0] for e in refusals}
    assert len(lab.provider.requests) == forwarded


def test_a_head_without_end_is_431(lab: Lab) -> None:
    """Header fields are bounded while they arrive, not after."""
    with RawClient(lab.world.port) as client:
        client.send(b"GET /openai/v1/models HTTP/1.1\r\nx: " + b"y" * 20_000)
        assert client.answer().status == 431
        assert client.closed_by_peer()


def test_a_head_that_comes_whole_and_is_too_large_is_431_and_a_record(lab: Lab) -> None:
    """The same limit for a head in one piece, in the provider's shape, and nothing forwarded."""
    forwarded = len(lab.provider.requests)
    head = request(PATH, chat(), key=KEY, headers=(("x", "y" * 8_200),))
    with RawClient(lab.world.port) as client:
        client.send(head)
        answer = client.answer()
        assert answer.status == 431
        assert client.closed_by_peer()
    refusals = [e for e in lab.world.entries() if e.record.type == "access.denied"]
    assert "usage.head_too_large" in {e.sections["control"]["reasons"][0] for e in refusals}
    assert len(lab.provider.requests) == forwarded


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_413_and_a_record(lab: Lab, announced: bool) -> None:
    """Refused in the provider's shape, seen by a client that is still sending."""
    forwarded = len(lab.provider.requests)
    body = b"x" * 3_000_000
    key = KEY if announced else OTHER_KEY
    message = request(PATH, body, key=key)
    if not announced:
        head = request(PATH, key=key, method="PUT")[:-2] + b"transfer-encoding: chunked\r\n\r\n"
        message = head + chunk(body) + LAST_CHUNK
    with RawClient(lab.world.port) as client:
        client.send(message)
        answer = client.answer()
    assert answer.status == 413
    assert b"usage.too_large" in answer.body
    refused = [
        e
        for e in lab.world.entries()
        if e.record.type == "access.denied"
        and e.sections["control"]["reasons"] == ["usage.too_large"]
    ]
    assert refused[-1].sections["who"]["credential"] == ("key_1" if announced else "key_2")
    assert refused[-1].outcome == "denied"
    assert len(lab.provider.requests) == forwarded


def test_expect_100_continue_is_answered_after_identification(lab: Lab) -> None:
    """A stranger is refused without being asked for the body; a caller is asked for it."""
    body = chat()
    lab.provider.play([whole(chat_answer())])
    for key, first in ((KEY, b"HTTP/1.1 100 Continue\r\n\r\n"), ("nobody", b"HTTP/1.1 401 ")):
        message = request(PATH, body, key=key, headers=(("expect", "100-continue"),))
        with RawClient(lab.world.port) as client:
            client.send(message[: -len(body)])
            assert client.wait_for(first)
            if key == KEY:
                client.send(body)
                assert client.answer().status == 200


def test_one_connection_serves_many_requests(lab: Lab) -> None:
    """Keep-alive works, also after errors that were read whole."""
    lab.provider.play([whole(chat_answer())])
    with RawClient(lab.world.port) as client:
        for key, status in ((KEY, 200), ("nobody", 401), (KEY, 200), (OTHER_KEY, 200)):
            client.send(request(PATH, chat(), key=key))
            assert client.answer().status == status


def test_an_early_second_request_is_not_run(lab: Lab) -> None:
    """Pipelining: the first is answered with close, the second is for another connection."""
    before = len(lab.world.exchanges())
    lab.provider.play([0.1, whole(chat_answer())])
    message = request(PATH, chat(), key=KEY)
    with RawClient(lab.world.port) as client:
        client.send(message + message)
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert client.closed_by_peer()
    lab.world.exchange(before)


def test_who_pipelines_and_leaves_is_still_noticed(lab: Lab) -> None:
    """Early bytes do not hide that the client has gone."""
    before = len(lab.world.exchanges())
    lab.provider.play([Do.HOLD])
    with RawClient(lab.world.port) as client:
        client.send(STREAM + STREAM)
        assert lab.provider.wait_requests(lab.provider._first + 1)
        client.close()
        assert lab.provider.gone.wait(PATIENCE)
    assert lab.world.exchange(before)[1].outcome == "client_gone"


def test_memory_per_exchange_is_bounded(lab: Lab) -> None:
    """A hundred slow readers of endless answers together hold little (G11)."""
    import resource

    lab.provider.play([SSE_HEAD, *[chunk(chat_event("x" * 60_000))] * 200, Do.HOLD])
    clients: list[RawClient] = []
    grown: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(40):
        client = RawClient(lab.world.port, receive_buffer=4096)
        client.send(STREAM)
        clients.append(client)
    time.sleep(0.3)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    for client in clients:
        client.close()
    lab.world.wait_idle()
    assert grown / 40 < 4096, f"{grown / 40:.0f} KiB for each exchange"
