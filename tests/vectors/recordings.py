"""Recorded exchanges with real providers, as bytes of the wire. They are read, never copied."""

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.paths import shared

RawHeaders = list[tuple[bytes, bytes]]


class Exchange(NamedTuple):
    """One recorded request and its response; bodies are the bytes as they were sent."""

    id: str
    method: str
    path: str
    request_headers: RawHeaders
    request_body: bytes
    status: int
    response_headers: RawHeaders
    response_body: bytes

    @property
    def streamed(self) -> bool:
        """Whether the response is server-sent events."""
        kinds = [value for name, value in self.response_headers if name.lower() == b"content-type"]
        if kinds:
            return b"event-stream" in kinds[0]
        return self.response_body.startswith((b"data:", b"event:"))


def exchanges(provider: str) -> Iterator[Exchange]:
    """All exchanges of one file, in order; skips the test if the file is absent."""
    with shared("exchanges", f"{provider}.jsonl").open("rb") as lines:
        for line in lines:
            record = json.loads(line)
            request, response = record["request"], record["response"]
            yield Exchange(
                record["id"],
                request["method"].upper(),
                request["path"].partition("#")[0],
                _headers(request["headers"]),
                _body(request["body"]),
                response["status"],
                _headers(response["headers"]),
                _body(response["body"]),
            )


def _headers(pairs: list[list[str]]) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _body(body: dict[str, Any] | None) -> bytes:
    if not body:
        return b""
    return base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()
