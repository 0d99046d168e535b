"""Claims about reading and writing HTTP/1.1 towards a provider, without sockets."""

import gc
import itertools
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.capture.upstream_http import MAX_HEAD_BYTES, Ended, ResponseParser, request_head
from affidavit.errors import UpstreamProtocolError

CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nx-trailer: 1\r\n\r\n"
)
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: 1\r\nx-a:  2 \r\n\r\nhello world"
CLOSE = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello world"


def read(data: bytes, bounds: list[int], method: bytes = b"POST") -> tuple[object, ...]:
    """Everything a parser tells of these bytes, cut at these places."""
    parser = ResponseParser(method)
    body = b""
    for a, b in itertools.pairwise([0, *bounds, len(data)]):
        if a < b:
            body += parser.feed(data[a:b])
    if parser.ended is None:
        parser.eof()
    return parser.status, parser.headers, body, parser.ended, parser.reusable, parser.received


@pytest.mark.parametrize(
    ("data", "ended", "reusable"),
    [
        (CHUNKED, Ended.CHUNKED, True),
        (LENGTH, Ended.LENGTH, True),
        (CLOSE, Ended.CLOSE, False),
    ],
)
@given(cuts=st.lists(st.integers(0, len(CHUNKED)), max_size=20))
def test_any_division_gives_the_same_response(
    data: bytes, ended: Ended, reusable: bool, cuts: list[int]
) -> None:
    """Status, fields, body and end do not depend on how the bytes arrived."""
    bounds = sorted({cut for cut in cuts if cut < len(data)})
    found = read(data, bounds)
    assert found == read(data, [])
    assert found == read(data, list(range(len(data))))
    assert (found[0], found[2], found[3], found[4]) == (200, b"hello world", ended, reusable)


@given(st.binary(max_size=400), st.booleans())
def test_garbage_is_refused_or_read_and_nothing_else(data: bytes, framed: bool) -> None:
    """Any bytes give a response or ``UpstreamProtocolError``."""
    if framed:
        data = b"HTTP/1.1 200 OK\r\n" + data
    parser = ResponseParser(b"POST")
    try:
        parser.feed(data)
        parser.eof()
    except UpstreamProtocolError:
        assert parser.ended is None
    else:
        assert parser.ended is not None


def test_excess_behind_the_end_is_noticed_in_one_read_or_two() -> None:
    """More bytes than the response has make the connection unfit."""
    for pieces in ([LENGTH + b"HTTP/1.1 200 OK\r\n\r\n"], [LENGTH, b"x"], [LENGTH + b"\0"]):
        parser = ResponseParser(b"POST")
        assert b"".join(parser.feed(piece) for piece in pieces) == b"hello world"
        assert parser.excess
        assert not parser.reusable


@pytest.mark.parametrize("start", [b"0\r\nx: ", b"5;", b"0\r\n" + b"x: y\r\n" * 10])
def test_what_is_no_body_has_a_limit(start: bytes) -> None:
    """Trailers and chunk extensions without end are refused; a body in small chunks is not."""
    parser = ResponseParser(b"POST")
    parser.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(20_000):
        assert parser.feed(b"1;extension=1\r\nx\r\n") == b"x"
    parser.feed(start)
    more = b"y: z\r\n" * 20 if start[-1:] == b"\n" else b"x" * 120

    def read_on() -> None:
        for _ in range(MAX_HEAD_BYTES // 100):
            parser.feed(more)

    with pytest.raises(UpstreamProtocolError, match="longer than"):
        read_on()


def test_what_came_before_a_fault_is_given_out() -> None:
    """Body bytes before a broken chunk are salvaged, once."""
    parser = ResponseParser(b"POST")
    parser.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with pytest.raises(UpstreamProtocolError):
        parser.feed(b"5\r\nhello\r\nzz\r\n")
    assert parser.salvaged() == b"hello"
    assert parser.salvaged() == b""


def test_a_request_is_written_field_by_field() -> None:
    """Order and values are kept; the length is added."""
    head = request_head(b"POST", b"/a?b", [(b"host", b"h"), (b"x", b"\xe9 ")], 3)
    assert head == b"POST /a?b HTTP/1.1\r\nhost: h\r\nx: \xe9 \r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_a_response_that_ended_is_freed_without_the_collector(response: bytes) -> None:
    """Nothing of it points back to itself, or thousands would wait for one long collection."""
    gc.disable()
    try:
        parser = ResponseParser(b"POST")
        parser.feed(response)
        if parser.ended is None:
            parser.eof()
        assert parser.ended is not None
        gone = weakref.ref(parser)
        del parser
        assert gone() is None
    finally:
        gc.enable()
