"""Requests that two parsers could read differently (fault plan rows 23 and 24)."""

from collections.abc import Iterator

import pytest

from tests.world.gateway import KEY, SECRET, Lab, chat, chat_answer
from tests.world.rawclient import RawClient, request
from tests.world.upstream import whole

AUTH = b"host: g\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"
SECOND = b"POST /openai/v1/evil HTTP/1.1\r\n" + AUTH + b"content-length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One gateway for all cases."""
    with Lab.open(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def post(fields: bytes, body: bytes = b"", *, line: bytes = b"POST /openai/v1/x HTTP/1.1") -> bytes:
    """A request with these raw field lines, and another one behind it."""
    return line + b"\r\n" + fields + b"\r\n" + body + SECOND


CASES = {
    "CL and TE": post(AUTH + b"content-length: 5\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    "TE and CL": post(AUTH + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n", b"0\r\n\r\n"),
    "TE.TE": post(AUTH + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
                  b"0\r\n\r\n"),
    "TE xchunked": post(AUTH + b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n"),
    "TE gzip, chunked": post(AUTH + b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "TE chunked, chunked": post(AUTH + b"transfer-encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "TE with tab": post(AUTH + b"transfer-encoding:\tchunked;x\r\n", b"0\r\n\r\n"),
    "two CL": post(AUTH + b"content-length: 0\r\ncontent-length: 5\r\n", b"hello"),
    "CL twice the same": post(AUTH + b"content-length: 5\r\ncontent-length: 5\r\n", b"hello"),
    "CL list": post(AUTH + b"content-length: 5, 5\r\n", b"hello"),
    "CL plus": post(AUTH + b"content-length: +5\r\n", b"hello"),
    "CL hex": post(AUTH + b"content-length: 0x5\r\n", b"hello"),
    "CL negative": post(AUTH + b"content-length: -1\r\n", b"hello"),
    "CL underscore": post(AUTH + b"content-length: 1_0\r\n", b"hello"),
    "obs-fold": post(AUTH + b"x: a\r\n b\r\ncontent-length: 0\r\n"),
    "space before colon": post(AUTH + b"content-length : 5\r\n", b"hello"),
    "bare LF": post(AUTH.replace(b"\r\n", b"\n") + b"content-length: 0\r\n"),
    "bare CR": post(AUTH + b"x: a\rb\r\ncontent-length: 0\r\n"),
    "NUL": post(AUTH + b"x: a\0b\r\ncontent-length: 0\r\n"),
    "two Host": post(AUTH + b"host: other\r\ncontent-length: 0\r\n"),
    "no Host": post(AUTH[9:] + b"content-length: 0\r\n"),
    "absolute form": post(AUTH + b"content-length: 0\r\n",
                          line=b"POST http://127.0.0.1/openai/v1/x HTTP/1.1"),
    "absolute form elsewhere": post(AUTH + b"content-length: 0\r\n",
                                    line=b"POST http://evil/openai/v1/x HTTP/1.1"),
    "authority form": post(AUTH + b"content-length: 0\r\n", line=b"CONNECT evil:443 HTTP/1.1"),
    "asterisk form": post(AUTH + b"content-length: 0\r\n", line=b"OPTIONS * HTTP/1.1"),
    "fragment": post(AUTH + b"content-length: 0\r\n", line=b"POST /openai/v1/x#y HTTP/1.1"),
    "TRACE": post(AUTH + b"content-length: 0\r\n", line=b"TRACE /openai/v1/x HTTP/1.1"),
    "HTTP/1.0": post(AUTH + b"content-length: 0\r\n", line=b"POST /openai/v1/x HTTP/1.0"),
    "HTTP/2.0": post(AUTH + b"content-length: 0\r\n", line=b"POST /openai/v1/x HTTP/2.0"),
    "dot segments": post(AUTH + b"content-length: 0\r\n", line=b"POST /openai/v1/../x HTTP/1.1"),
    "encoded dot segments": post(AUTH + b"content-length: 0\r\n",
                                 line=b"POST /openai/v1/%2e%2e/%2e%2e/x HTTP/1.1"),
    "twice encoded": post(AUTH + b"content-length: 0\r\n",
                          line=b"POST /openai/v1/%252e%252e/x HTTP/1.1"),
    "backslash": post(AUTH + b"content-length: 0\r\n", line=b"POST /openai/v1/..%5cx HTTP/1.1"),
    "encoded prefix": post(AUTH + b"content-length: 0\r\n", line=b"POST /open%61i/v1/x HTTP/1.1"),
    "a key of ours in the target": post(
        AUTH + b"content-length: 0\r\n",
        line=b"POST /openai/v1/x?k=aff_" + b"K" * 43 + b" HTTP/1.1"),
    "double slash": post(AUTH + b"content-length: 0\r\n", line=b"POST //openai/v1/x HTTP/1.1"),
    "Connection names a credential": post(
        AUTH + b"connection: authorization\r\ncontent-length: 0\r\n"),
    "Upgrade": post(AUTH + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n",
                    b"hello"),
    "h2c": post(AUTH + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
                b"http2-settings: AA\r\ncontent-length: 5\r\n", b"hello"),
    "chunk size with sign": post(AUTH + b"transfer-encoding: chunked\r\n",
                                 b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size 0x": post(AUTH + b"transfer-encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk without CRLF": post(AUTH + b"transfer-encoding: chunked\r\n", b"5\r\nhelloXX0\r\n\r\n"),
    "chunk bare LF": post(AUTH + b"transfer-encoding: chunked\r\n", b"5\nhello\n0\n\n"),
    "chunk size overflow": post(AUTH + b"transfer-encoding: chunked\r\n",
                                b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("message", CASES.values(), ids=CASES.keys())
def test_what_is_ambiguous_is_refused_and_what_follows_is_not_run(lab: Lab, message: bytes) -> None:
    """400, the connection closes; the provider sees nothing; no call is on record."""
    before, forwarded = len(lab.world.exchanges()), len(lab.provider.requests)
    lab.provider.play([whole(b"{}")])
    with RawClient(lab.world.port) as client:
        client.send(message)
        assert client.answer().status == 400
        rest = len(client.received)
        assert client.closed_by_peer()
        assert len(client.received) == rest
    assert len(lab.provider.requests) == forwarded
    assert len(lab.world.exchanges()) == before


def test_refused_requests_are_records_without_content(lab: Lab) -> None:
    """A refusal says reason and request line; repeated ones are counted."""
    for _ in range(5):
        with RawClient(lab.world.port) as client:
            client.send(post(AUTH + b"host: other\r\ncontent-length: 0\r\n"))
            assert client.answer().status == 400
    refused = [e for e in lab.world.entries() if e.record.type == "access.denied"]
    parse = [e for e in refused if e.sections["control"]["reasons"] == ["usage.parse"]]
    same = [e for e in parse if "more than one Host" in e.sections["outcome"]["error"]["message"]]
    assert 1 <= len(same) < 5
    assert all(KEY not in str(e.sections) for e in parse)


def test_the_target_goes_on_byte_for_byte(lab: Lab) -> None:
    """Escapes in a segment are not touched: model ids have them."""
    lab.provider.play([whole(b"{}")])
    with RawClient(lab.world.port) as client:
        client.send(request("/openai/v1/models/a%2Fb%3Ac?x=%7E&y", method="GET", key=KEY))
        assert client.answer().status == 200
    assert lab.provider.requests[-1].startswith(b"GET /v1/models/a%2Fb%3Ac?x=%7E&y HTTP/1.1\r\n")


def test_fields_go_on_in_order_without_what_is_for_one_hop_or_for_us(lab: Lab) -> None:
    """Values byte for byte; credentials replaced; what the record shows is what was sent."""
    before = len(lab.world.exchanges())
    lab.provider.play([whole(chat_answer())])
    fields = (
        ("X-First", " odd  \xe9 value"), ("accept", "a"), ("Accept", "b"), ("te", "trailers"),
        ("connection", "keep-alive, te, x-hop"), ("x-hop", "1"), ("cookie", "session=1"),
        ("affidavit-session", "s1"), ("affidavit-key", KEY), ("x-api-key", "sk-callers-own"),
        ("x-forwarded-for", "10.1.2.3"), ("openai-organization", "org-1"),
    )  # fmt: skip
    body = chat()
    lines = [b"POST /openai/v1/chat/completions HTTP/1.1", b"host: gateway"]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in fields]
    lines.append(b"content-length: %d" % len(body))
    with RawClient(lab.world.port) as client:
        client.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        assert client.answer().status == 200
    head, _, sent = lab.provider.requests[-1].partition(b"\r\n\r\n")
    assert sent == body
    assert head.split(b"\r\n") == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"host: 127.0.0.1:%d" % lab.provider.port,
        b"x-first: odd  \xe9 value",
        b"accept: a",
        b"accept: b",
        b"x-forwarded-for: 10.1.2.3",
        b"openai-organization: org-1",
        b"authorization: Bearer " + SECRET.encode(),
        b"content-length: %d" % len(body),
    ]
    asked, _ = lab.world.exchange(before)
    assert asked.sections["what"]["http.request.headers"] == [
        ["x-first", "odd  \xe9 value"],
        ["accept", "a"],
        ["accept", "b"],
        ["openai-organization", "org-1"],
    ]
    assert asked.sections["who"]["session_source"] == "header"
    assert asked.sections["person"]["session"] == "s1"


def test_no_credential_is_in_any_record_or_file(lab: Lab) -> None:
    """G8: neither the caller's key nor the provider's secret, in clear, anywhere on disk."""
    lab.provider.play([whole(chat_answer(), extra=b"set-cookie: token=canary-cookie\r\n")])
    target = "/openai/v1/chat/completions?api_key=canary-query&x=1"
    with RawClient(lab.world.port) as client:
        client.send(request(target, chat(), key=KEY, headers=(("x-auth-token", "canary-field"),)))
        assert client.answer().status == 200
    text = repr(lab.world.frames())
    sections = repr([e.sections for e in lab.world.entries()])
    for secret in (KEY, SECRET, "canary-query", "canary-field", "canary-cookie"):
        assert secret not in text
        assert secret not in sections
    for path in lab.world.directory.rglob("*"):
        if path.is_file():
            assert b"Hello" not in path.read_bytes(), "content in clear"
