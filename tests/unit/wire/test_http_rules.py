"""The smuggling matrix, both directions, and what passes byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import HeadTooLargeError, ParseError, UpstreamProtocolError
from affidavit.wire.http_rules import (
    MAX_HEADERS,
    check_request,
    check_response,
    end_to_end,
)

HOST = (b"host", b"127.0.0.1:8787")
LIMIT = 64 * 1024
Fields = list[tuple[bytes, bytes]]


def request(*fields: tuple[bytes, bytes], target: bytes = b"/openai/v1/x", version: str = "1.1",
            host: bool = True, method: str = "POST") -> None:  # fmt: skip
    """Check a request with these fields beside Host."""
    check_request(method, target, version, [*([HOST] if host else []), *fields], LIMIT)


FRAMING: dict[str, Fields] = {
    "CL and TE": [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")],
    "TE and CL, other case": [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")],
    "two different CL": [(b"content-length", b"3"), (b"content-length", b"4")],
    "two equal CL": [(b"content-length", b"3"), (b"content-length", b"3")],
    "CL list": [(b"content-length", b"3, 3")],
    "CL with plus": [(b"content-length", b"+3")],
    "CL with minus": [(b"content-length", b"-3")],
    "CL hexadecimal": [(b"content-length", b"0x3")],
    "CL with underscore": [(b"content-length", b"1_0")],
    "CL with space": [(b"content-length", b"3 ")],
    "CL empty": [(b"content-length", b"")],
    "CL huge": [(b"content-length", b"9" * 30)],
    "CL other digits": [(b"content-length", "٣".encode())],
    "TE gzip, chunked": [(b"transfer-encoding", b"gzip, chunked")],
    "TE chunked, identity": [(b"transfer-encoding", b"chunked, identity")],
    "TE identity": [(b"transfer-encoding", b"identity")],
    "TE twice": [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
    "TE xchunked": [(b"transfer-encoding", b"xchunked")],
    "TE with vertical tab": [(b"transfer-encoding", b"\x0bchunked")],
    "TE quoted": [(b"transfer-encoding", b'"chunked"')],
}

FIELDS: dict[str, Fields] = {
    "obs-fold": [(b"x-a", b"one\r\n two")],
    "CR in value": [(b"x-a", b"one\rtwo")],
    "LF in value": [(b"x-a", b"one\nx-b: two")],
    "NUL in value": [(b"x-a", b"one\0two")],
    "DEL in value": [(b"x-a", b"one\x7ftwo")],
    "space before colon": [(b"content-length ", b"3")],
    "space in name": [(b"x a", b"3")],
    "empty name": [(b"", b"3")],
    "colon in name": [(b"x:a", b"3")],
    "other letters in name": [("ⅹ-a".encode(), b"3")],
    "newline in name": [(b"x-a\r\nx-b", b"3")],
    "LF in name": [(b"x-a\nx-b", b"3")],
    "too many": [(b"x-a", b"3")] * (MAX_HEADERS + 1),
    "Connection: x-api-key": [(b"connection", b"x-api-key")],
    "Connection: keep-alive, Authorization": [(b"connection", b"keep-alive, Authorization")],
    "Connection: content-length": [(b"connection", b"content-length")],
    "Connection: host": [(b"connection", b"close"), (b"Connection", b"Host")],
    "Connection: affidavit-key": [(b"connection", b"affidavit-key")],
    "Connection: content-encoding": [(b"connection", b"content-encoding")],
    "Connection: anthropic-version": [(b"connection", b"anthropic-version")],
}


def test_fields_have_a_size() -> None:
    """Of a request as it is configured, exactly; of a response 64 KiB. Names count, too."""
    room = LIMIT - sum(map(len, HOST)) - 2  # and an end of each line
    request((b"x" * 200, b"3" * (room - 200)))
    for field in ((b"x" * 200, b"3" * (room - 199)), (b"x" * room, b"3")):
        with pytest.raises(HeadTooLargeError, match="65536"):
            request(field)
    check_response(200, [(b"x-a", b"3" * (LIMIT - 4))])
    with pytest.raises(UpstreamProtocolError, match="64 KiB"):
        check_response(200, [(b"x-a", b"3" * (LIMIT - 3))])


@pytest.mark.parametrize("name", [*FRAMING, *FIELDS])
def test_a_request_two_parsers_could_read_differently_is_refused(name: str) -> None:
    """Fault plan 23 and 24, towards us: ParseError, HTTP 400."""
    with pytest.raises(ParseError, match="refused") as caught:
        request(*{**FRAMING, **FIELDS}[name])
    assert caught.value.http_status == 400


@pytest.mark.parametrize("name", [*FRAMING, *FIELDS])
def test_a_response_two_parsers_could_read_differently_is_refused(name: str) -> None:
    """The same matrix from the provider: UpstreamProtocolError, HTTP 502."""
    with pytest.raises(UpstreamProtocolError, match="refused") as caught:
        check_response(200, {**FRAMING, **FIELDS}[name])
    assert caught.value.http_status == 502


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b"a.example", b"b.example"],
        [b"a.example", b"a.example"],
        [b""],
        [b"a.example, b.example"],
        [b"a.example/x"],
        [b"user@a.example"],
        [b"a example"],
        [b"a.example:port"],
        [b"http://a.example"],
    ],
)
def test_one_host_and_only_a_host(hosts: list[bytes]) -> None:
    """RFC 9112 §3.2: missing, doubled or malformed Host is refused."""
    with pytest.raises(ParseError):
        request(*[(b"host", host) for host in hosts], host=False)


@pytest.mark.parametrize("host", [b"localhost", b"a_b.example:443", b"[::1]:8787", b"10.0.0.1"])
def test_hosts_that_pass(host: bytes) -> None:
    """Names, IPv4 and IPv6 literals, with and without port."""
    request((b"Host", host), host=False)


def test_http_1_0_needs_no_host_and_has_no_chunks() -> None:
    """RFC 9112 §3.2 and §6.1 for HTTP/1.0."""
    request(version="1.0", host=False)
    with pytest.raises(ParseError):
        request((b"transfer-encoding", b"chunked"), version="1.0")


@pytest.mark.parametrize(
    "target",
    [
        b"", b"*", b"openai/v1", b"http://a.example/openai", b"//a.example/x", b"a.example:443",
        b"/openai/../x", b"/openai/./x", b"/openai/..", b"/..", b"/openai/%2e%2e/x",
        b"/openai/%2E./x", b"/openai/.%2e", b"/openai/a%2f..%2fb", b"/openai/..%2fb",
        b"/openai/%252e%252e/x", b"/openai/..;/x", b"/openai/..%5cb", b"/openai/a\\b",
        b"/openai/a%5Cb", b"/openai/a%00b", b"/openai/a%0ab", b"/openai/a%0D%0Ab",
        b"/openai/a%2500b", b"/openai/a%7fb", b"/openai/%zz", b"/openai/%", b"/openai/%2",
        b"/openai/a b", b"/openai/a\tb", b"/openai/a\r\nb", b"/openai/\xc3\xa9", b"/openai/#x",
        b"/open%61i/v1", b"/openai%2fv1/x", b"/openai/v1?x=%zz", b"/openai/v1?a b",
        b"/openai/" + b"a" * 9000,
    ],
)  # fmt: skip
def test_targets_that_are_refused(target: bytes) -> None:
    """Absolute-form, dot segments however spelt, backslashes, control characters, bad escapes."""
    with pytest.raises(ParseError):
        request(target=target)


@pytest.mark.parametrize(
    "target",
    [
        b"/", b"/openai/v1/chat/completions", b"/openai//v1/models", b"/openai/v1/models?limit=2",
        b"/bedrock/model/amazon.nova-micro-v1%3A0/invoke",
        b"/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A01%3Ainference-profile%2Fus.x-v1/converse",
        b"/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        b"/openai/v1/files/a..b/content", b"/openai/v1/...", b"/openai/v1/x?next=/../y&z=%00",
        b"/anthropic/v1/messages?beta=true", b"/openai/v1/100%25/x", b"/openai/%E2%80%A8",
    ],
)  # fmt: skip
def test_targets_that_pass_unchanged(target: bytes) -> None:
    """What providers use, model ids with escaped colons and slashes among it."""
    request(target=target)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "", "GE T", "GET\r", "GÉT"])
def test_methods_that_are_refused(method: str) -> None:
    """No tunnels, no echo, and only tokens."""
    with pytest.raises(ParseError):
        request(method=method)


def test_what_sdks_send_passes() -> None:
    """An ordinary request of an SDK, obs-text in a value included."""
    request(
        (b"authorization", b"Bearer x"),
        (b"content-length", b"17"),
        (b"connection", b"keep-alive"),
        (b"x-name", "José\t".encode("latin-1")),
        (b"empty", b""),
    )
    request((b"transfer-encoding", b"Chunked"), (b"connection", b"close, x-odd, TE"))


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 999, -1])
def test_a_response_needs_a_final_status(status: int) -> None:
    """Interim and impossible statuses are no response to pass on."""
    with pytest.raises(UpstreamProtocolError):
        check_response(status, [])


def test_responses_without_a_body() -> None:
    """204 and 304 must not claim a body that a second parser would wait for."""
    check_response(204, [])
    check_response(204, [(b"content-length", b"0")])
    check_response(304, [(b"content-length", b"100")])
    for status, field in [
        (204, (b"content-length", b"5")),
        (204, (b"transfer-encoding", b"chunked")),
        (304, (b"transfer-encoding", b"chunked")),
    ]:
        with pytest.raises(UpstreamProtocolError):
            check_response(status, [field])


def test_hop_by_hop_fields_end_here() -> None:
    """RFC 9110 §7.6.1: those fields and those Connection names go, the rest stays as it was."""
    kept = [(b"Host", b"h"), (b"X-API-Key", b"k"), (b"Content-Length", b"3"), (b"X-B", b"1")]
    dropped = [
        (b"Connection", b"keep-alive, X-Odd"), (b"Keep-Alive", b"5"), (b"TE", b"trailers"),
        (b"Transfer-Encoding", b"chunked"), (b"Upgrade", b"h2c"), (b"Proxy-Connection", b"x"),
        (b"x-odd", b"1"), (b"Trailer", b"x"), (b"Proxy-Authorization", b"x"),
        (b"HTTP2-Settings", b"x"),
    ]  # fmt: skip
    assert end_to_end(kept[:2] + dropped + kept[2:]) == kept


def test_connection_does_not_strip_a_credential() -> None:
    """Connection: x-api-key must not make the proxy forward a request without its key."""
    with pytest.raises(ParseError):
        end_to_end([(b"Connection", b"X-Api-Key"), (b"x-api-key", b"k")])


NAMES = st.sampled_from(
    [b"host", b"connection", b"content-length", b"transfer-encoding", b"x-a", b"Te", b"X-Odd"]
) | st.binary(max_size=6)  # fmt: skip
VALUES = st.sampled_from([b"1", b"chunked", b"close", b"x-odd", b"a.example"]) | st.binary(
    max_size=8
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.binary(max_size=12))
def test_any_fields_pass_or_are_refused(fields: Fields, tail: bytes) -> None:
    """No bytes raise anything else; what passes has one framing and one Host."""
    try:
        check_request("POST", b"/a/" + tail, "1.1", fields, LIMIT)
    except ParseError:
        return
    names = [name.lower() for name, _ in fields]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not any(c in value for _, value in fields for c in (0, 10, 13))
    kept = {name.lower() for name, _ in end_to_end(fields)}
    assert not kept & {b"connection", b"transfer-encoding", b"te"}
