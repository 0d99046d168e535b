"""The demo's traffic is what it says: a session with a tool call, a stream, an error."""

import json
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from affidavit.demo import traffic
from affidavit.demo.provider import create_app
from tests.unit.demo.serving import served


class Noting:
    """An ASGI application that notes path, headers and body of what passes through it."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request, then pass it on."""
        body = await Request(scope, receive).body()
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.seen.append((scope["path"], headers, body))
        await self.inner(scope, again, send)


@pytest.fixture
def gateway() -> Iterator[tuple[str, Noting]]:
    """The demo provider under the paths that the gateway would give it."""
    provider = create_app(pace=0.0)
    noting = Noting(Starlette(routes=[Mount("/openai", provider), Mount("/anthropic", provider)]))
    with served(uvicorn.Config(noting, log_level="error", lifespan="off")) as address:
        yield address, noting


def test_traffic_covers_what_the_demo_shows(gateway: tuple[str, Noting]) -> None:
    """One session of three turns with a tool result, a stream, both APIs, and one error."""
    address, noting = gateway
    assert traffic.generate(address, "key") == len(noting.seen) == 7
    bodies = [json.loads(body) for _, _, body in noting.seen]
    sessions = [headers.get("affidavit-session") for _, headers, _ in noting.seen]
    assert sessions.count("demo-session-1") == 3
    assert any(m.get("role") == "tool" for m in bodies[1]["messages"])
    assert bodies[2]["stream"] is True
    assert {path.split("/")[1] for path, _, _ in noting.seen} == {"openai", "anthropic"}
    assert bodies[-1]["model"] == "demo-error"
    assert all(headers["authorization"] == "Bearer key" for _, headers, _ in noting.seen)


def test_nobody_there_is_no_failure() -> None:
    """Without a gateway the generator answers 0 and raises nothing."""
    assert traffic.generate("http://127.0.0.1:1", "key") == 0


def test_a_gateway_that_answers_nonsense_is_no_failure() -> None:
    """An answer that is no chat completion ends the tool session early and the rest goes on."""

    async def nonsense(_request: Request) -> Response:
        return Response(b"[]", 502)

    app = Starlette(routes=[Route("/{rest:path}", nonsense, methods=["POST"])])
    with served(uvicorn.Config(app, log_level="error", lifespan="off")) as address:
        assert traffic.generate(address, "key") == 6
