"""Server-sent events: the standard's grammar, and the same events for every division in pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.wire.sse import Event, Parser


def parse(*pieces: bytes, limit: int = 1 << 20) -> list[Event]:
    """All events of a stream that arrives in these pieces."""
    parser = Parser(limit)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [Event("", b"a")]),
        (b"data:a\r\rdata: b\r\r", [Event("", b"a"), Event("", b"b")]),
        (b"data: a\r\n\r\n", [Event("", b"a")]),
        (b"data: a\r\n\ndata: b\n\r\n", [Event("", b"a"), Event("", b"b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\ndata: b\n\n", [Event("", b"a\nb")]),
        (b"data\n\n", [Event("", b"")]),
        (b"data:\n\n", [Event("", b"")]),
        (b"data:  two\n\n", [Event("", b" two")]),
        (b": comment\n\n", []),
        (b"event: x\n\n", []),
        (b"event: x\ndata: 1\n\ndata: 2\n\n", [Event("x", b"1"), Event("", b"2")]),
        (b"id: 7\ndata: 1\n\ndata: 2\n\n", [Event("", b"1", "7"), Event("", b"2", "7")]),
        (b"id: 7\n\nid: a\0b\ndata: 2\n\n", [Event("", b"2", "7")]),
        (b"retry: 10\ndata: 1\n\n", [Event("", b"1", "", 10)]),
        (b"retry: 1x\ndata: 1\n\n", [Event("", b"1")]),
        (b"unknown: x\ndata: 1\n\n", [Event("", b"1")]),
        (b"data : 1\n\n", []),
        ("data: a\u2028b\u0085c\n\n".encode(), [Event("", "a\u2028b\u0085c".encode())]),
        (b"data: a\x0b\x0c\x1cb\n\n", [Event("", b"a\x0b\x0c\x1cb")]),
        (b"data: \xff\xfe\n\n", [Event("", b"\xff\xfe")]),
        (b"data: unfinished", []),
        (b"data: unfinished\n", []),
        (b"", []),
    ],
)
def test_the_grammar_of_the_standard(stream: bytes, expected: list[Event]) -> None:
    """Each construct of the WHATWG grammar gives the events that the standard says."""
    assert parse(stream) == expected
    assert parse(stream[:2], stream[2:]) == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"data: a\n", b"data: b\n\n"), [Event("", b"a\nb")]),
        ((b"event: e\n", b"data: b\n\n"), [Event("e", b"b")]),
        ((b"da", b"data: b\n\n"), []),
        ((b"id: 7\n\n", b"data: b\n\n"), [Event("", b"b", "7")]),
        ((b"data: a\rdata: b\n\n",), [Event("", b"a\nb")]),
        ((b"x" * 200, b"\n", b"data: b\n\n", b"data: c\n\n"), [Event("", b"c")]),
        ((b"data: " + b"x" * 95 + b"\n\n", b"data: c\n\n"), [Event("", b"c")]),
        ((b"data: " + b"x" * 94 + b"\n\n",), [Event("", b"x" * 94)]),
    ],
)
def test_a_piece_that_looks_like_one_event_may_be_part_of_another(
    pieces: tuple[bytes, ...], expected: list[Event]
) -> None:
    """What came before counts: an open line, an open event, one that is too large, an id."""
    assert parse(*pieces, limit=100) == expected


def test_an_event_is_seen_with_the_carriage_return_that_ends_it() -> None:
    """A CR is not held back until the next byte shows whether it was a CRLF."""
    parser = Parser()
    assert parser.feed(b"data: a\r\r") == [Event("", b"a")]
    assert parser.feed(b"\ndata: b\r\n\r") == [Event("", b"b")]
    assert parser.feed(b"\n") == []


def test_a_line_end_may_be_divided() -> None:
    """CR in one piece and LF in the next are one line end, not an empty line between two."""
    assert parse(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [Event("", b"a\nb")]
    assert parse(b"data: a\r", b"", b"\n", b"\n") == [Event("", b"a")]


LINES = st.sampled_from(
    [
        b"data: x", b"data:", b"data", b":c", b"event: e", b"event:", b"id: 1", b"id", b"retry: 5",
        b"\xef\xbb\xbf", b"", b"", b"data: \xe2\x80\xa8\xc2\x85", b"data: 0123456789", b":" * 20,
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b""])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


@given(STREAMS | st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_division_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """Whole, cut anywhere and byte by byte: the same events, rest and count of dropped events."""
    results = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for pieces in (
        [stream],
        [stream[a:b] for a, b in itertools.pairwise(edges)],
        [stream[i : i + 1] for i in range(len(stream))],
    ):
        parser = Parser(limit=24)
        events = [event for piece in pieces for event in parser.feed(piece)]
        results.append((events, parser.finish(), parser.dropped))
    assert results[0] == results[1] == results[2]


def test_the_event_no_empty_line_ended_comes_apart() -> None:
    """A stream cut before its last empty line shows what was there, but not as an event."""
    parser = Parser()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.finish() == Event("", b"[DONE]")
    assert parser.finish() is None


def test_an_event_over_the_limit_is_dropped_whole_and_counted() -> None:
    """Memory stays bounded, nothing is truncated silently, and the next event is intact."""
    parser = Parser(limit=100)
    events: list[Event] = []
    for _ in range(1000):
        events += parser.feed(b"data: xxxxxxxxxx")
        assert sum(map(len, parser._line)) <= 100
    events += parser.feed(b"\ndata: more\n\ndata: next\n\n")
    assert events == [Event("", b"next")]
    assert parser.dropped == 1


def test_many_small_lines_count_together() -> None:
    """An event that grows by lines is bounded as one that grows by bytes."""
    assert parse(b"data: 0123456789\n" * 20 + b"\ndata: ok\n\n", limit=100) == [Event("", b"ok")]
