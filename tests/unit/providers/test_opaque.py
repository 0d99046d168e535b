"""What nobody parses: HTTP's word, what JSON gives away, and never an exception."""

import json

import pytest

from affidavit.providers import registry
from tests.unit.providers.streams import EVENTS, JSON, answered, asked, streamed

OPAQUE = registry.lookup("opaque")


def test_json_gives_away_model_usage_and_error() -> None:
    """Top-level fields that most model APIs share, marked as unparsed."""
    request = asked("opaque", "/rerank", {"model": "r-1", "stream": True})
    assert (request.model, request.stream, request.api) == ("r-1", True, "opaque")
    assert request.parsed.startswith("unparsed: ")
    body = {"id": "x", "model": "r-2", "usage": {"input_tokens": 3, "completion_tokens": 4}}
    facts = answered("opaque", "/rerank", body)
    assert (facts.id, facts.model) == ("x", "r-2")
    assert facts.usage == {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4}
    assert facts.parsed.startswith("unparsed: ")
    assert facts.terminal
    failed = answered("opaque", "/rerank", {"error": {"message": "no", "code": 7}}, 500)
    assert failed.error is not None
    assert (failed.error.message, failed.error.code) == ("no", "7")


def test_events_of_unknown_shape_end_with_their_framing() -> None:
    """No terminal event is known, so none is expected."""
    facts = streamed("opaque", "/x", {"model": "m-1"}, b"not json", [1], {"model": "m-2"})
    assert (facts.model, facts.streamed, facts.expects_terminal) == ("m-1", True, False)


@pytest.mark.parametrize("body", [b"", b"\x89PNG\r\n", b"--boundary\r\n", b"a=1&b=2", b"[1,2]"])
def test_bodies_that_are_no_objects(body: bytes) -> None:
    """Bytes without a reading leave the facts empty."""
    request = OPAQUE.request("POST", "/v1/files", [], body)
    assert (request.model, request.document) == ("", None)


def test_binary_responses_are_not_gathered() -> None:
    """Audio is not JSON: nothing of it is kept for reading."""
    request = asked("opaque", "/audio", {})
    reader = OPAQUE.stream(request, 200, [(b"content-type", b"audio/mpeg")])
    reader.feed(b"{" * 1000)
    assert reader._text is None
    assert reader.finish().parsed == "unparsed: content type audio/mpeg"


def test_the_error_is_ours() -> None:
    """The one shape of errors on our APIs."""
    media_type, body = OPAQUE.error_body(503, "c", "m", "h", "r")
    assert media_type == "application/json"
    assert json.loads(body) == {"error": {"code": "c", "message": "m", "hint": "h", "record": "r"}}
    _, short = OPAQUE.error_body(503, "c", "m", "", "")
    assert json.loads(short) == {"error": {"code": "c", "message": "m"}}


@pytest.mark.parametrize("headers", [JSON, EVENTS, []])
def test_an_empty_body_is_said(headers: list[tuple[bytes, bytes]]) -> None:
    """204 has no body; a 200 without one is remarkable."""
    request = asked("opaque", "/x", {})
    if headers != EVENTS:
        assert OPAQUE.response(request, 204, headers, b"").parsed == "yes"
        assert OPAQUE.response(request, 200, headers, b"").parsed == "unparsed: empty body"
    assert OPAQUE.response(request, 200, EVENTS, b"").streamed
