"""What was said: from the bytes of a part to messages, for real traffic and for odd bytes."""

import base64
import gzip
import json
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from affidavit.index.messages import Said, said
from affidavit.index.project import Entry, project, viewed
from affidavit.record.model import Placed
from tests.paths import shared
from tests.unit.index.made import SERVED, WHAT, WHO, placed, request, response


def heard(item: Placed, asked: Placed | None = None) -> list[Said]:
    """The messages of a record, after those it answers."""
    before: Entry | None = project(viewed(asked), None) if asked else None
    entry = project(viewed(item), before)
    assert entry is not None
    return said(viewed(item), entry.row)


def test_a_request_and_its_response_say_what_was_said() -> None:
    """Messages have the role that spoke."""
    asked = request(0, "how tall is it")
    assert heard(asked) == [Said("user", "how tall is it")]
    assert heard(response(1, 0, "very"), asked) == [Said("assistant", "very")]


def test_a_compressed_body_is_read_as_its_header_says() -> None:
    """The part is the wire's bytes; the coding stands in the headers."""
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "zip"}]})
    what = WHAT | {
        "http.request.headers": [["Content-Type", "application/json"], ["Content-Encoding", "gzip"]]
    }
    item = placed(
        0, "exchange.request", {"who": WHO, "what": what}, {"request.body": gzip.compress(body)}
    )
    assert heard(item) == [Said("user", "zip")]


def test_a_stream_is_read_as_one_message() -> None:
    """The pieces of a streamed answer are joined."""
    events = b"".join(
        b"data: "
        + msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": piece}}]})
        + b"\n\n"
        for piece in ("three ", "hundred ", "metres")
    )
    what = SERVED | {"http.response.headers": [["content-type", "text/event-stream"]]}
    item = placed(
        1, "exchange.response", {"what": what}, {"response.body": events + b"data: [DONE]\n\n"},
        re=0,
    )  # fmt: skip
    assert heard(item, request(0)) == [Said("assistant", "three hundred metres")]


@pytest.mark.parametrize("dialect", ["opaque", "nobody-knows", None])
def test_traffic_nobody_understands_is_text_all_the_same(dialect: str | None) -> None:
    """A body that is UTF-8 is found by its words even if no parser knows it."""
    what: dict[str, Any] = {"dialect": dialect, "url.path": "/odd"}
    item = placed(0, "exchange.request", {"what": what}, {"request.body": b"curious words"})
    assert heard(item) == [Said("request.body", "curious words")]


def test_bytes_that_are_no_text_say_nothing() -> None:
    """Binary content is not indexed."""
    item = placed(0, "exchange.request", {"what": {}}, {"request.body": b"\xff\xfe\x00\x80"})
    assert heard(item) == []


@given(
    body=st.binary(max_size=200),
    headers=st.lists(st.lists(st.text(max_size=5) | st.none(), max_size=3), max_size=3) | st.none(),
    kind=st.sampled_from(["exchange.request", "exchange.response"]),
)
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_sent_stops_the_index(body: bytes, headers: Any, kind: str) -> None:
    """Any bytes under any headers give messages or none, never an error."""
    what = WHAT | {"http.request.headers": headers, "http.response.headers": headers}
    name = "request.body" if kind == "exchange.request" else "response.body"
    for message in heard(placed(0, kind, {"what": what}, {name: body})):
        assert message.text.strip()


def body_of(side: dict[str, Any]) -> bytes:
    """The bytes of a recorded body."""
    body = side.get("body") or {}
    return base64.b64decode(body["base64"]) if "base64" in body else body.get("text", "").encode()


def pairs(side: dict[str, Any]) -> list[list[str]]:
    """Headers of a recorded side as records hold them."""
    headers = side.get("headers") or {}
    items = headers.items() if isinstance(headers, dict) else headers
    return [[str(name), str(value)] for name, value in items]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_real_traffic_is_heard(provider: str) -> None:
    """In recorded chats the last message asked and what was answered are among the messages."""
    lines = shared("exchanges", f"{provider}.jsonl").read_text().splitlines()
    spoken = 0
    for line in lines:
        recorded = json.loads(line)
        asked, answer = recorded["request"], recorded["response"]
        what = WHAT | {
            "dialect": provider, "http.request.method": asked["method"],
            "url.path": asked["path"], "http.request.headers": pairs(asked),
        }  # fmt: skip
        body = body_of(asked)
        first = placed(0, "exchange.request", {"who": WHO, "what": what}, {"request.body": body})
        messages = heard(first)
        try:
            sent = json.loads(body)["messages"][-1]["content"]
        except (ValueError, KeyError, TypeError, IndexError):
            continue
        if not isinstance(sent, str) or not sent.strip():
            continue
        assert sent in messages[-1].text
        spoken += 1
        served = SERVED | {"http.response.headers": pairs(answer)}
        outcome = {"http.response.status_code": answer["status"], "outcome": "complete"}
        second = placed(
            1, "exchange.response", {"what": served, "outcome": outcome},
            {"response.body": body_of(answer)}, re=0,
        )  # fmt: skip
        assert heard(second, first) or answer["status"] >= 400 or not body_of(answer)
    assert spoken > 20
