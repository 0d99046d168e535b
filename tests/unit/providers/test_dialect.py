"""The reader all dialects share: codings, sniffing, limits, and the same facts in any pieces."""

import gzip
import zlib
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.providers import registry
from affidavit.providers.dialect import Headers, StreamReader, document_of
from affidavit.providers.facts import ResponseFacts
from affidavit.providers.openai_chat import ChatAccumulator
from affidavit.wire.sse import MAX_EVENT_BYTES
from tests.unit.providers.streams import EVENTS, JSON, asked, encode

OPENAI = registry.lookup("openai")
CHAT = asked("openai", "/v1/chat/completions", {"model": "m", "stream": True})
WHOLE = encode(
    {"id": "c", "model": "m-1", "choices": [{"message": {"content": "hej"}, "finish_reason": "x"}]}
)
STREAM = (
    b'data: {"id":"c","model":"m-1","choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}\n\n'
    b": keep-alive\n\ndata:\n\n"
    b'data: {"choices":[{"index":0,"delta":{"content":"j"},"finish_reason":"stop"}]}\r\n\r\n'
    b"data: [DONE]\n\n"
)
CODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def read(headers: Headers, *pieces: bytes, status: int = 200) -> ResponseFacts:
    """Facts of a chat response in these pieces."""
    reader = OPENAI.stream(CHAT, status, headers)
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()


@pytest.mark.parametrize("coding", sorted(CODERS))
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_coded_bodies_read_as_plain_ones(coding: str, size: int) -> None:
    """Whole and streamed, in any pieces; ``terminal`` is seen through the coding."""
    for kind, body in ((JSON, WHOLE), (EVENTS, STREAM)):
        data = CODERS[coding](body)
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        facts = read([*kind, (b"Content-Encoding", coding.encode())], *pieces)
        assert facts == read(kind, body)
        assert facts.terminal


@pytest.mark.parametrize(("body", "streamed"), [(WHOLE, False), (STREAM, True), (b"\n" + WHOLE, 0)])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain; charset=utf-8")]])
def test_an_unlabelled_body_is_told_by_its_first_byte(
    body: bytes, streamed: bool, mark: bytes, headers: Headers
) -> None:
    """Servers that leave the content type out are read all the same, byte by byte too."""
    data = mark + body
    facts = read(headers, data)
    assert facts == read(headers, *[bytes([byte]) for byte in data])
    assert facts.streamed == streamed
    assert facts.model == "m-1"
    assert facts.parsed == "yes"


@pytest.mark.parametrize("first", [b"event: x", b": comment", b"id: 1", b"retry: 5", b"data:"])
def test_a_stream_may_begin_with_any_field(first: bytes) -> None:
    """No JSON text begins as a line of server-sent events does."""
    assert read([], first + b"\n\n" + STREAM).terminal


def test_no_body_where_none_is_allowed() -> None:
    """204 and 304 have none; for a 200 that is remarkable."""
    assert [read(JSON, status=status).parsed for status in (204, 304, 200)] == [
        "yes",
        "yes",
        "unparsed: empty body",
    ]


def test_an_event_too_large_to_read_is_not_taken_for_a_missing_end() -> None:
    """The last event may have been the one that was not read."""
    facts = read(EVENTS, STREAM[:100], b"data: " + b"x" * MAX_EVENT_BYTES, b"\n\n")
    assert facts.parsed == "unparsed: larger than is read"
    assert not facts.expects_terminal
    assert read(EVENTS, b"data: " + b"x" * MAX_EVENT_BYTES, b"\n\n", STREAM).terminal


def test_a_stream_that_only_lacks_its_last_line_end_is_whole() -> None:
    """Nothing of ``[DONE]`` can have been lost; of half an event something was."""
    assert read(EVENTS, STREAM.rstrip()).terminal
    assert read(EVENTS, STREAM.rstrip()).parsed == "yes"
    cut = read(EVENTS, STREAM[:-20])
    assert not cut.terminal
    assert cut.expects_terminal


@pytest.mark.parametrize(
    ("coding", "body", "parsed"),
    [
        (b"gzip", b"not gzip at all, but text", "unparsed: content coding bad"),
        (b"gzip", gzip.compress(WHOLE, mtime=0)[:-9], "unparsed: content coding truncated"),
        (b"dcz", WHOLE, "unparsed: content coding unknown"),
    ],
)
def test_codings_that_fail_are_named(coding: bytes, body: bytes, parsed: str) -> None:
    """The reading is empty, HTTP's word stays, and the reason is said."""
    facts = read([*JSON, (b"content-encoding", coding)], body, status=503)
    assert facts.parsed == parsed
    assert (facts.status, facts.terminal, facts.model) == (503, False, "")
    assert facts.error is not None


def test_a_stream_in_an_unknown_coding_is_not_called_truncated() -> None:
    """What we do not see the end of, we do not claim to have seen cut."""
    facts = read([*EVENTS, (b"content-encoding", b"dcz")], STREAM)
    assert (facts.streamed, facts.expects_terminal) == (True, False)
    bad = read([*EVENTS, (b"content-encoding", b"gzip")], b"xxxxxxxxxx")
    assert (bad.expects_terminal, bad.terminal) == (True, False)


@pytest.mark.parametrize("headers", [JSON, EVENTS])
def test_memory_is_bounded(headers: Headers) -> None:
    """More than the limit is not read, and that is said; nothing claims a truncation."""
    reader = StreamReader(CHAT, 200, headers, ChatAccumulator(), limit=1000)
    for _ in range(1000):
        reader.feed(b": comment\n\n")
    facts = reader.finish()
    assert facts.parsed.startswith("unparsed: ")
    assert not facts.expects_terminal


@pytest.mark.parametrize(
    "header", [b"X-Request-ID", b"request-id", b"apim-request-id", b"x-amzn-RequestId"]
)
def test_the_providers_request_id_is_kept(header: bytes) -> None:
    """The id to quote to the provider's support."""
    assert read([*JSON, (header, b"req_1")], WHOLE).request_id == "req_1"


@pytest.mark.parametrize("coding", sorted(CODERS))
def test_compressed_requests_are_read(coding: str) -> None:
    """Some clients compress what they send."""
    body = CODERS[coding](encode({"model": "m-9"}))
    facts = OPENAI.request("POST", "/v1/responses", [(b"Content-Encoding", coding.encode())], body)
    assert (facts.model, facts.parsed) == ("m-9", "yes")
    assert document_of([(b"content-encoding", b"gzip")], b"x").problem


BODIES = st.binary(max_size=120) | st.sampled_from([WHOLE, STREAM]).flatmap(
    lambda body: st.tuples(st.integers(0, len(body)), st.binary(max_size=8)).map(
        lambda change: body[: change[0]] + change[1] + body[change[0] + len(change[1]) :]
    )
)
SOME_HEADERS = st.sampled_from(
    [JSON, EVENTS, [], [*EVENTS, (b"content-encoding", b"gzip")], [(b"content-type", b"text/html")]]
)


@settings(max_examples=100)
@given(
    st.sampled_from(["openai", "anthropic", "opaque"]),
    st.sampled_from(
        ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions", "/v1/models",
         "/v1/embeddings", "/v1/files"]
    ),
    BODIES,
    SOME_HEADERS,
    st.lists(st.integers(0, 200), max_size=6),
)  # fmt: skip
def test_any_bytes_in_any_pieces_give_the_same_facts(
    name: str, path: str, body: bytes, headers: Headers, cuts: list[int]
) -> None:
    """Random and damaged bodies: never an exception, whole equal to pieces."""
    dialect = registry.lookup(name)
    request = dialect.request("POST", path, headers, body)
    whole = dialect.response(request, 200, headers, body)
    reader = dialect.stream(request, 200, headers)
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in pairwise(edges):
        reader.feed(body[start:end])
    assert reader.finish() == whole
    dialect.conversation(request, whole)
