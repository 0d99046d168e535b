"""Writing streams and exchanges for the tests of this folder."""

import json
from typing import Any

from affidavit.providers import registry
from affidavit.providers.facts import RequestFacts, ResponseFacts

JSON = [(b"Content-Type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


def encode(value: Any) -> bytes:
    """Compact JSON, as SDKs send it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def asked(name: str, path: str, body: Any, method: str = "POST") -> RequestFacts:
    """Facts of a request with this JSON body."""
    return registry.lookup(name).request(method, path, JSON, encode(body))


def answered(name: str, path: str, body: Any, status: int = 200) -> ResponseFacts:
    """Facts of a whole response with this JSON body, or these bytes."""
    data = body if isinstance(body, bytes) else encode(body)
    return registry.lookup(name).response(asked(name, path, {"model": "m"}), status, JSON, data)


def streamed(name: str, path: str, *events: Any) -> ResponseFacts:
    """Facts of a stream of these JSON events (bytes stay as they are)."""
    data = b"".join(
        b"data: " + (event if isinstance(event, bytes) else encode(event)) + b"\n\n"
        for event in events
    )
    request = asked(name, path, {"model": "m", "stream": True})
    return registry.lookup(name).response(request, 200, EVENTS, data)
