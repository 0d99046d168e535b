"""Claims about calls to a provider, against a scripted one on real sockets."""

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from affidavit.capture.egress import Origin, Proxy, tls_context
from affidavit.capture.upstream import Call, Limits, Request, Upstream
from affidavit.capture.upstream_http import Ended
from affidavit.errors import (
    AffidavitError,
    UnreachableError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from tests.world.certificates import Authority
from tests.world.rawclient import PATIENCE
from tests.world.tunnel import Tunnel
from tests.world.upstream import CHUNKED, LAST_CHUNK, SSE_HEAD, Do, chunk, whole
from tests.world.upstream import Upstream as Provider

T = TypeVar("T")
POST = Request(b"POST", b"/v1/chat", [(b"content-type", b"application/json")], b'{"a":1}')
GET = Request(b"GET", b"/v1/models?limit=2", [(b"accept", b"*/*")], None)
QUICK = Limits(connect=1.5, first_byte=1.5, idle=1.5)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on the event loop that the gateway uses."""
    return uvloop.run(work)


async def fetch(call: Call) -> tuple[list[bytes], AffidavitError | None]:
    """Start, fetch everything, close; the error instead of raising it."""
    pieces: list[bytes] = []
    try:
        await call.start()
        while piece := await call.next():
            pieces.append(piece)
    except AffidavitError as error:
        return pieces, error
    finally:
        call.close()
    return pieces, None


async def once(
    provider: Provider, request: Request = POST, limits: Limits = QUICK
) -> tuple[Call, bytes, AffidavitError | None]:
    """One call on a fresh pool."""
    upstream = Upstream(Origin.parse(provider.url), limits)
    call = upstream.call(request)
    pieces, error = await fetch(call)
    upstream.close()
    return call, b"".join(pieces), error


def test_the_request_goes_out_byte_exact_with_host_and_length() -> None:
    """Method, target, field order, values and body are those that were given."""
    with Provider([whole(b"{}")]) as provider:
        call, body, error = run(once(provider))
    assert (error, body, call.status, call.ended) == (None, b"{}", 200, Ended.LENGTH)
    assert provider.requests == [
        b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b'content-length: 7\r\n\r\n{"a":1}' % provider.port
    ]


def test_a_get_has_no_length() -> None:
    """A request without a body gets no Content-Length."""
    with Provider([whole(b"[]")]) as provider:
        _, body, _ = run(once(provider, GET))
    assert body == b"[]"
    assert b"content-length" not in provider.requests[0]


@pytest.mark.parametrize(
    ("steps", "body", "ended"),
    [
        ([whole(b"abc")], b"abc", Ended.LENGTH),
        ([CHUNKED % b"text/plain", chunk(b"ab"), chunk(b"c"), LAST_CHUNK], b"abc", Ended.CHUNKED),
        ([b"HTTP/1.1 200 OK\r\n\r\nabc", Do.FIN], b"abc", Ended.CLOSE),
        ([b"HTTP/1.0 200 OK\r\n\r\nabc", Do.FIN], b"abc", Ended.CLOSE),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", Ended.NONE),
        ([b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"], b"", Ended.NONE),
        ([whole(b"")], b"", Ended.LENGTH),
        ([b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + whole(b"abc")], b"abc", Ended.LENGTH),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", Do.TAKEN, whole(b"abc")], b"abc", Ended.LENGTH),
        ([CHUNKED % b"a/b" + chunk(b"abc") + b"0\r\nx-trailer: y\r\n\r\n"], b"abc", Ended.CHUNKED),
    ],
)
def test_bodies_end_as_they_ended(steps: list[Any], body: bytes, ended: Ended) -> None:
    """Each framing gives the body and says what its end was."""
    with Provider(steps) as provider:
        call, got, error = run(once(provider))
    assert (got, error, call.ended) == (body, None, ended)


def test_interim_fields_are_not_those_of_the_response() -> None:
    """Fields of a 103 do not leak into the final response."""
    with Provider([b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + whole(b"x")]) as provider:
        call, _, _ = run(once(provider))
    assert b"link" not in dict(call.headers)


def test_head_has_no_body_whatever_it_says() -> None:
    """The answer to HEAD ends with its head, and the connection stays usable."""

    async def twice(provider: Provider) -> list[Any]:
        upstream = Upstream(Origin.parse(provider.url), QUICK)
        ended = []
        for _ in range(2):
            call = upstream.call(Request(b"HEAD", b"/", [], None))
            await fetch(call)
            ended.append((call.status, call.ended, dict(call.headers)[b"content-length"]))
        upstream.close()
        return ended

    with Provider([b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"]) as provider:
        assert run(twice(provider)) == [(200, Ended.NONE, b"12")] * 2
    assert provider.connections == 1


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([Do.FIN], UpstreamProtocolError),
        ([Do.RST], UpstreamError),
        ([b"HTTP/1.1 200 O", Do.FIN], UpstreamProtocolError),
        ([Do.HOLD], UpstreamTimeoutError),
        ([b"HTTP/1.1 200 OK\r\nx: ", Do.HOLD], UpstreamTimeoutError),
        ([b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
         UpstreamProtocolError),
        ([b"HTTP/1.1 101 Switching\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/2.0 200 OK\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 103 E\r\n\r\n" * 20 + whole(b"")], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n"], UpstreamProtocolError),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], UpstreamProtocolError),
        ([whole(b"abc", extra=b"transfer-encoding: chunked\r\n")], UpstreamProtocolError),
        ([whole(b"abc", extra=b"content-length: 3\r\n")], UpstreamProtocolError),
        ([whole(b"abc", extra=b"content-length: 4\r\n")], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
         UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nabc", Do.FIN],
         UpstreamProtocolError),
        ([b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
         UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\ncontent-length: 0\n\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"], UpstreamProtocolError),
    ],
)  # fmt: skip
def test_no_response_is_made_of_what_is_none(steps: list[Any], kind: type[Exception]) -> None:
    """Before the head is complete and unambiguous, every fault is an error, never a response."""
    with Provider(steps) as provider:
        call, body, error = run(once(provider))
    assert type(error) is kind
    assert (body, call.ended) == (b"", None)


@pytest.mark.parametrize(
    ("steps", "body", "kind"),
    [
        ([whole(b"abcdef")[:-3], Do.FIN], b"abc", UpstreamProtocolError),
        ([whole(b"abcdef")[:-3], Do.TAKEN, Do.RST], b"abc", UpstreamError),
        ([whole(b"abcdef")[:-3], Do.HOLD], b"abc", UpstreamTimeoutError),
        ([SSE_HEAD + chunk(b"abc"), Do.FIN], b"abc", UpstreamProtocolError),
        ([SSE_HEAD + chunk(b"abcdef")[:6], Do.FIN], b"abc", UpstreamProtocolError),
        ([SSE_HEAD + chunk(b"abc") + b"0x1\r\n"], b"abc", UpstreamProtocolError),
        ([SSE_HEAD + b"3\r\nabcXX"], b"abc", UpstreamProtocolError),
        ([SSE_HEAD + chunk(b"abc") + b"3\nabc\r\n"], b"abc", UpstreamProtocolError),
        ([SSE_HEAD + chunk(b"abc") + b"0\r\n" + b"x: y\r\n" * 40_000], b"abc",
         UpstreamProtocolError),
    ],
)  # fmt: skip
def test_a_broken_body_gives_its_bytes_and_then_the_fault(
    steps: list[Any], body: bytes, kind: type[Exception]
) -> None:
    """What arrived is given out; then an error; the end is never claimed."""
    with Provider(steps) as provider:
        call, got, error = run(once(provider))
    assert (got, type(error), call.ended) == (body, kind, None)


def test_a_stall_before_the_connection_is_limited() -> None:
    """An address that never answers costs the connect limit, not more."""
    listener = __import__("socket").socket()
    listener.bind(("127.0.0.1", 0))
    with listener:
        port = listener.getsockname()[1]
        upstream = Upstream(Origin.parse(f"http://127.0.0.1:{port}"), QUICK)
        pieces, error = run(fetch_of(upstream, POST))
    assert pieces == []
    assert type(error) in (UnreachableError, UpstreamTimeoutError)


async def fetch_of(
    upstream: Upstream, request: Request
) -> tuple[list[bytes], AffidavitError | None]:
    """One call on this pool."""
    try:
        return await fetch(upstream.call(request))
    finally:
        upstream.close()
        await asyncio.sleep(0.01)


def test_redirects_are_returned() -> None:
    """A 302 is an answer; nothing follows it."""
    with Provider([whole(b"", status="302 Found", extra=b"location: /v2\r\n")]) as provider:
        call, _, error = run(once(provider))
    assert (call.status, error, len(provider.requests)) == (302, None, 1)


def test_connections_are_reused_newest_first() -> None:
    """Ten calls one after another need one connection."""

    async def ten(provider: Provider) -> None:
        upstream = Upstream(Origin.parse(provider.url), QUICK)
        for _ in range(10):
            _, error = await fetch(upstream.call(POST))
            assert error is None
        upstream.close()

    with Provider([whole(b"{}")]) as provider:
        run(ten(provider))
    assert (provider.connections, len(provider.requests)) == (1, 10)


@pytest.mark.parametrize(
    "steps",
    [
        [whole(b"{}", extra=b"connection: close\r\n")],
        [b"HTTP/1.1 200 OK\r\n\r\n{}", Do.FIN],
        [whole(b"{}") + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
        [whole(b"{}"), Do.TAKEN, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
        [b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
    ],
)
def test_a_connection_with_a_doubtful_end_is_not_reused(steps: list[Any]) -> None:
    """Close, excess bytes and unasked answers end the connection; the next call is clean."""

    async def two(provider: Provider) -> list[bytes]:
        upstream = Upstream(Origin.parse(provider.url), QUICK)
        bodies = []
        for _ in range(2):
            pieces, error = await fetch(upstream.call(POST))
            assert error is None
            bodies.append(b"".join(pieces))
            await asyncio.sleep(0.3)
        upstream.close()
        return bodies

    with Provider(steps) as provider:
        assert run(two(provider)) == [b"{}", b"{}"]
    assert provider.connections == 2


@pytest.mark.parametrize(("request_", "sent"), [(POST, 2), (GET, 3)])
def test_only_what_may_be_repeated_is_repeated(request_: Request, sent: int) -> None:
    """A reused connection that dies under a POST is an error; under a GET one fresh try."""

    async def two(provider: Provider) -> AffidavitError | None:
        upstream = Upstream(Origin.parse(provider.url), QUICK)
        await fetch(upstream.call(request_))
        _, error = await fetch(upstream.call(request_))
        upstream.close()
        return error

    with Provider([whole(b"{}")], [Do.FIN], [whole(b"{}")]) as provider:
        error = run(two(provider))
    assert len(provider.requests) == sent
    assert (error is None) == (request_ is GET)


def test_an_idle_connection_that_closed_is_not_used() -> None:
    """A POST after the provider closed an idle connection goes out on a fresh one, once."""

    async def two(provider: Provider) -> list[AffidavitError | None]:
        upstream = Upstream(Origin.parse(provider.url), QUICK)
        errors = [(await fetch(upstream.call(POST)))[1]]
        await asyncio.sleep(0.5)
        errors.append((await fetch(upstream.call(POST)))[1])
        upstream.close()
        return errors

    with Provider([whole(b"{}"), Do.FIN], [whole(b"{}")]) as provider:
        assert run(two(provider)) == [None, None]
    assert (provider.connections, len(provider.requests)) == (2, 2)


def test_abort_wakes_who_waits_and_closes() -> None:
    """Abort while waiting raises its error there, and the provider sees the connection go."""

    async def work(provider: Provider) -> AffidavitError | None:
        upstream = Upstream(Origin.parse(provider.url))
        call = upstream.call(POST)
        asyncio.get_running_loop().call_later(0.1, call.abort, UpstreamError("gone"))
        return (await fetch(call))[1]

    with Provider([SSE_HEAD + chunk(b"abc"), Do.HOLD]) as provider:
        error = run(work(provider))
        assert provider.gone.wait(PATIENCE)
    assert error is not None
    assert error.message == "gone"


def test_abort_while_connecting() -> None:
    """Abort before there is a connection raises its error and leaves no task behind."""

    async def work() -> AffidavitError | None:
        upstream = Upstream(Origin.parse("http://127.0.0.1:9"))
        call = upstream.call(POST)
        asyncio.get_running_loop().call_soon(call.abort, UpstreamError("gone"))
        error = (await fetch(call))[1]
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return error

    error = run(work())
    assert error is not None
    assert error.message == "gone"


def test_a_slow_consumer_stops_the_provider() -> None:
    """Without fetching, at most a bounded number of bytes is taken from the provider (G11)."""
    size = 64 * 1024 * 1024

    async def work(provider: Provider) -> int:
        upstream = Upstream(Origin.parse(provider.url))
        call = upstream.call(POST)
        await call.start()
        await asyncio.sleep(0.4)
        held = call.received
        total = 0
        while piece := await call.next():
            total += len(piece)
        call.close()
        upstream.close()
        assert total == size
        return held

    block = b"x" * 65536
    script = [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size, *[block] * (size // 65536)]
    with Provider(script) as provider:
        held = run(work(provider))
    assert held < 1024 * 1024


def test_a_large_body_to_a_slow_reader_arrives_whole() -> None:
    """A request body larger than any buffer is sent byte for byte."""
    body = bytes(range(256)) * 40_000
    with Provider([whole(b"{}")], slow_reader=True) as provider:
        _, _, error = run(once(provider, POST._replace(body=body), Limits(1, 10, 10)))
    assert error is None
    assert provider.requests[0].endswith(b"\r\n\r\n" + body)


def test_an_early_answer_is_taken_and_the_connection_dropped() -> None:
    """A provider may refuse before it has read the body; the refusal arrives."""
    refusal = whole(b"too large", status="413 Content Too Large", extra=b"connection: close\r\n")
    big = POST._replace(body=b"x" * 50_000_000)
    with Provider([refusal, Do.HOLD], eager=True, slow_reader=True) as provider:
        call, body, error = run(once(provider, big, Limits(1, 5, 5)))
    assert (call.status, body, error) == (413, b"too large", None)


def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    """With its certificate as extra trust anchor a private provider is reached."""
    authority = Authority(tmp_path)
    with Provider([whole(b"{}")], tls=authority.server("127.0.0.1")) as provider:
        upstream = Upstream(Origin.parse(provider.url), QUICK, tls_context(authority.file))
        pieces, error = run(fetch_of(upstream, POST))
    assert (pieces, error) == ([b"{}"], None)


@pytest.mark.parametrize("name", ["127.0.0.1", "other.test"])
def test_bad_certificates_are_refused_before_a_byte_is_sent(tmp_path: Path, name: str) -> None:
    """An unknown authority and a wrong name end the handshake; the request stays here."""
    authority = Authority(tmp_path)
    trust = tls_context(None) if name == "127.0.0.1" else tls_context(authority.file)
    with Provider([whole(b"{}")], tls=authority.server(name)) as provider:
        upstream = Upstream(Origin.parse(provider.url), QUICK, trust)
        _, error = run(fetch_of(upstream, POST))
    assert type(error) is UnreachableError
    assert "certificate" in error.message
    assert provider.requests == []


def test_tls_against_a_plain_server() -> None:
    """A server that does not speak TLS is an error with its reason, not a traceback."""
    with Provider([b"nonsense"], eager=True) as provider:
        upstream = Upstream(
            Origin.parse(f"https://127.0.0.1:{provider.port}"), QUICK, ssl.create_default_context()
        )
        _, error = run(fetch_of(upstream, POST))
    assert isinstance(error, UpstreamError)


def test_plain_http_through_a_proxy_uses_the_absolute_form() -> None:
    """An http origin behind a proxy: absolute target, the proxy's credential only to it."""
    with Provider([whole(b"{}")]) as provider:
        proxy = Proxy.parse(f"http://127.0.0.1:{provider.port}", "me:secret")
        upstream = Upstream(Origin.parse("http://model.test"), QUICK, proxy=proxy)
        pieces, error = run(fetch_of(upstream, GET))
    assert (pieces, error) == ([b"{}"], None)
    assert provider.requests[0].startswith(
        b"GET http://model.test/v1/models?limit=2 HTTP/1.1\r\nhost: model.test\r\n"
    )
    assert b"proxy-authorization: Basic bWU6c2VjcmV0\r\n" in provider.requests[0]


def test_https_through_a_proxy_is_tls_inside_a_tunnel(tmp_path: Path) -> None:
    """CONNECT names the provider; the request and its credential are inside TLS; reuse works."""
    authority = Authority(tmp_path)

    async def twice(upstream: Upstream) -> list[Any]:
        found = [await fetch(upstream.call(POST)) for _ in range(2)]
        upstream.close()
        await asyncio.sleep(0.01)
        return found

    with (
        Provider([whole(b"{}")], tls=authority.server("model.test")) as provider,
        Tunnel(provider.port) as tunnel,
    ):
        proxy = Proxy.parse(f"http://127.0.0.1:{tunnel.port}", "me:secret")
        trust = tls_context(authority.file)
        upstream = Upstream(Origin.parse("https://model.test"), QUICK, trust, proxy)
        assert run(twice(upstream)) == [([b"{}"], None)] * 2
    connect = b"CONNECT model.test:443 HTTP/1.1\r\nhost: model.test:443\r\n"
    assert tunnel.asked == [connect + b"proxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"]
    assert len(provider.requests) == 2
    assert provider.requests[0].startswith(b"POST /v1/chat HTTP/1.1\r\nhost: model.test\r\n")
    assert b"proxy-authorization" not in provider.requests[0]


def test_a_wrong_certificate_inside_a_tunnel_is_refused(tmp_path: Path) -> None:
    """The proxy is not trusted to be the provider."""
    authority = Authority(tmp_path)
    with (
        Provider([whole(b"{}")], tls=authority.server("other.test")) as provider,
        Tunnel(provider.port) as tunnel,
    ):
        proxy = Proxy.parse(f"http://127.0.0.1:{tunnel.port}")
        trust = tls_context(authority.file)
        upstream = Upstream(Origin.parse("https://model.test"), QUICK, trust, proxy)
        _, error = run(fetch_of(upstream, POST))
    assert isinstance(error, UpstreamError)
    assert "certificate" in error.message
    assert provider.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nearly bytes",
        b"nonsense\r\n\r\n",
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_an_error(answer: bytes) -> None:
    """Refusal, early bytes and nonsense from the proxy are errors; nothing went inside."""
    with Provider([answer]) as provider:
        proxy = Proxy.parse(f"http://127.0.0.1:{provider.port}")
        upstream = Upstream(
            Origin.parse("https://model.test"), QUICK, ssl.create_default_context(), proxy
        )
        _, error = run(fetch_of(upstream, POST))
    assert isinstance(error, UpstreamError)
    assert provider.requests == [b"CONNECT model.test:443 HTTP/1.1\r\nhost: model.test:443\r\n\r\n"]
