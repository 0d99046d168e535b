"""What a provider can do to a call, and what is then recorded and seen (fault plan row 19)."""

import gzip
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.world.gateway import DONE, KEY, Lab, chat, chat_answer, chat_event
from tests.world.rawclient import RawClient, request
from tests.world.upstream import CHUNKED, LAST_CHUNK, SSE_HEAD, Do, chunk, whole

EVENTS = chat_event("Hel") + chat_event("lo")
STREAM = request("/openai/v1/chat/completions", chat(stream=True), key=KEY)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One gateway for all cases."""
    with Lab.open(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


COMPLETE: list[tuple[str, list[Any], int, bytes]] = [
    ("whole", [whole(chat_answer())], 200, chat_answer()),
    ("byte by byte", [whole(b"{}")[i : i + 1] for i in range(len(whole(b"{}")))], 200, b"{}"),
    ("chunked", [CHUNKED % b"application/json", chunk(b"{"), Do.TAKEN, chunk(b"}"), LAST_CHUNK],
     200, b"{}"),
    ("empty", [whole(b"")], 200, b""),
    ("204", [b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
    ("304", [b"HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\netag: x\r\n\r\n"], 304, b""),
    ("103 first", [b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", whole(b"{}")], 200, b"{}"),
    ("redirect", [whole(b"", status="302 Found", extra=b"location: http://10.0.0.1/\r\n")], 302,
     b""),
    ("rate limit", [whole(b'{"error":{"message":"slow down","code":"rate"}}',
                          status="429 Too Many Requests", extra=b"retry-after: 7\r\n")], 429,
     b'{"error":{"message":"slow down","code":"rate"}}'),
    ("5xx", [whole(b"oops", status="500 Internal Server Error", kind="text/html")], 500, b"oops"),
    ("stream", [SSE_HEAD + chunk(EVENTS), Do.TAKEN, chunk(DONE), LAST_CHUNK], 200, EVENTS + DONE),
    ("stream, end late", [SSE_HEAD + chunk(EVENTS + DONE), Do.TAKEN, LAST_CHUNK], 200,
     EVENTS + DONE),
    ("stream, no end", [SSE_HEAD + chunk(EVENTS + DONE), Do.HOLD], 200, EVENTS + DONE),
    ("stream, reset behind the last event", [SSE_HEAD + chunk(EVENTS + DONE), Do.TAKEN, Do.RST],
     200, EVENTS + DONE),
    ("stream to the close", [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
                             EVENTS, Do.TAKEN, DONE, Do.FIN], 200, EVENTS + DONE),
    ("JSON to the close", [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
                           chat_answer(), Do.FIN], 200, chat_answer()),
    ("audio to the close", [b"HTTP/1.0 200 OK\r\ncontent-type: audio/mpeg\r\n\r\n", b"\xff\xfb",
                            Do.TAKEN, b"\x00" * 9, Do.FIN], 200, b"\xff\xfb" + b"\x00" * 9),
    ("garbage as JSON", [whole(b"\xff\x00 not json {{{")], 200, b"\xff\x00 not json {{{"),
    ("behind the end", [whole(b"{}") + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"], 200,
     b"{}"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "status", "body"), [c[1:] for c in COMPLETE],
                         ids=[c[0] for c in COMPLETE])  # fmt: skip
def test_a_whole_answer_passes_unchanged_and_is_complete(
    lab: Lab, script: list[Any], status: int, body: bytes
) -> None:
    """G7: status and bytes are the provider's, and what is recorded is what was delivered."""
    answer, asked, answered = lab.run(script)
    assert (answer.status, answer.body, answer.clean) == (status, body, True)
    assert answered.outcome == "complete"
    assert answered.parts.get("response.body", b"") == body
    outcome = answered.sections["outcome"]
    assert outcome["http.response.status_code"] == status
    given = outcome["bytes_delivered"] + outcome.get("bytes_held", 0)
    assert (outcome["bytes_received"], given) == (len(body), len(body))
    assert answer.header("affidavit-record") == asked.record.id
    assert answered.sections["what"]["response_made_by"] == "provider"


BROKEN: list[tuple[str, list[Any], bytes]] = [
    ("short length", [whole(b"abcdef")[:-3], Do.FIN], b"abc"),
    ("reset in the body", [whole(b"abcdef")[:-3], Do.TAKEN, Do.RST], b"abc"),
    ("stall in the body", [whole(b"abcdef")[:-3], Do.HOLD], b"abc"),
    ("FIN in a chunk", [SSE_HEAD + chunk(EVENTS)[:-10], Do.FIN], EVENTS[:-8]),
    ("FIN between chunks", [SSE_HEAD + chunk(EVENTS), Do.FIN], EVENTS),
    ("stall between events", [SSE_HEAD + chunk(EVENTS), Do.HOLD], EVENTS),
    ("bad chunk size", [SSE_HEAD + chunk(EVENTS) + b"0x1\r\n"], EVENTS),
    ("stream closed without last event",
     [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", EVENTS, Do.TAKEN, Do.FIN],
     EVENTS),
    ("JSON closed in the middle",
     [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b'{"id":', Do.TAKEN, Do.FIN],
     b'{"id":'),
]  # fmt: skip


@pytest.mark.parametrize(("script", "body"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_cut_answer_is_cut_for_the_caller_too(lab: Lab, script: list[Any], body: bytes) -> None:
    """Truncation is an outcome of its own, and no clean end hides it from the caller."""
    answer, _, answered = lab.run(script, STREAM)
    assert (answer.status, answer.clean) == (200, False)
    assert answer.body == body
    assert answered.outcome == "truncated"
    assert answered.parts["response.body"] == body


def test_a_stream_that_ends_without_its_last_event_is_truncated(lab: Lab) -> None:
    """A clean last chunk without [DONE]: the bytes and the framing pass, the outcome says it."""
    answer, _, answered = lab.run([SSE_HEAD + chunk(EVENTS) + LAST_CHUNK], STREAM)
    assert (answer.body, answer.clean) == (EVENTS, True)
    assert answered.outcome == "truncated"


def test_an_error_event_inside_a_stream_is_an_upstream_error(lab: Lab) -> None:
    """A provider that reports failure after the head has failed, whatever its status said."""
    failed = b'data: {"error":{"message":"overloaded","type":"server_error","code":"busy"}}\n\n'
    answer, _, answered = lab.run([SSE_HEAD + chunk(EVENTS + failed) + LAST_CHUNK], STREAM)
    assert answer.body == EVENTS + failed
    assert answered.outcome == "upstream_error"
    assert answered.sections["outcome"]["error"]["code"] == "busy"


UNANSWERED: list[tuple[str, list[Any], int]] = [
    ("closed", [Do.FIN], 502),
    ("reset", [Do.RST], 502),
    ("stall", [Do.HOLD], 504),
    ("stall in the head", [b"HTTP/1.1 200 OK\r\nx: ", Do.HOLD], 504),
    ("not HTTP", [b"SSH-2.0-x\r\n\r\n"], 502),
    ("101", [b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], 502),
    ("both framings", [whole(b"abc", extra=b"transfer-encoding: chunked\r\n")], 502),
    ("two lengths", [whole(b"abc", extra=b"content-length: 2\r\n")], 502),
    ("TE other than chunked",
     [b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"], 502),
    ("folded field", [b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"], 502),
    ("bare LF", [b"HTTP/1.1 200 OK\ncontent-length: 0\n\n"], 502),
    ("space before colon", [b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n"], 502),
    ("no length and then one",
     [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\nhello"], 502),
]  # fmt: skip


@pytest.mark.parametrize(("script", "status"), [c[1:] for c in UNANSWERED],
                         ids=[c[0] for c in UNANSWERED])  # fmt: skip
def test_no_answer_is_an_error_in_the_providers_shape(
    lab: Lab, script: list[Any], status: int
) -> None:
    """502 or 504 as the SDK expects errors; outcome upstream_error; our answer is on record."""
    answer, asked, answered = lab.run(script)
    assert (answer.status, answer.clean) == (status, True)
    assert answered.outcome == "upstream_error"
    assert answered.parts["response.body"] == answer.body
    assert b'"error"' in answer.body
    assert answer.header("affidavit-record") == asked.record.id
    assert answered.sections["what"]["response_made_by"] == "gateway"
    assert answered.sections["outcome"]["error"]["code"].startswith("upstream")


def test_a_provider_that_is_not_there(lab: Lab) -> None:
    """Refused connections are 502 with a sentence and a record."""
    answer, _, answered = lab.run([Do.FIN])
    assert answer.status == 502
    assert answered.outcome == "upstream_error"


def test_head_requests_have_no_body_and_keep_their_length(lab: Lab) -> None:
    """HEAD: the length the provider states, no body, and the connection goes on."""
    message = request("/openai/v1/models", method="HEAD", key=KEY)
    answer, asked, answered = lab.run(
        [b"HTTP/1.1 200 OK\r\ncontent-length: 321\r\n\r\n"], message, head=True
    )
    assert (answer.status, answer.header("content-length"), answer.body) == (200, "321", b"")
    assert answer.header("transfer-encoding") is None
    assert answered.outcome == "complete"
    assert asked.sections["what"]["http.request.method"] == "HEAD"


def test_compressed_answers_pass_compressed_and_are_read_on_a_copy(lab: Lab) -> None:
    """A gzip body stays gzip on the wire and in the record; the facts come from what is inside."""
    packed = gzip.compress(chat_answer(text="x" * 5000))
    answer, _, answered = lab.run([whole(packed, extra=b"content-encoding: gzip\r\n")])
    assert answer.body == packed
    assert answer.header("content-encoding") == "gzip"
    assert answered.parts["response.body"] == packed
    assert answered.sections["what"]["gen_ai.response.model"] == "gpt-4o-2024-08-06"


def test_response_fields_are_the_providers_and_ours(lab: Lab) -> None:
    """End-to-end fields arrive with their values in order; hop-by-hop do not; two are added."""
    extra = (
        b"X-Request-Id: req_1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nX-Odd:  spaced \xe9 \r\n"
        b"connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n"
        b"affidavit-record: forged\r\n"
    )
    answer, asked, answered = lab.run([whole(b"{}", extra=extra)])
    assert answer.headers[:-1] == [
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("x-request-id", "req_1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-odd", "spaced \xe9"),
        ("affidavit-record", asked.record.id),
    ]
    assert answer.headers[-1][0] == "affidavit-digest"
    recorded = dict(map(tuple, answered.sections["what"]["http.response.headers"]))
    assert "set-cookie" not in recorded
    assert recorded["x-request-id"] == "req_1"


def test_events_are_not_held_back(lab: Lab) -> None:
    """An event reaches the caller while the provider still works on the next (unbuffered)."""
    seen = threading.Event()
    lab.provider.play([SSE_HEAD + chunk(EVENTS), seen, chunk(DONE), LAST_CHUNK])
    with RawClient(lab.world.port) as client:
        client.send(STREAM)
        assert client.wait_for(EVENTS)
        assert DONE not in client.received
        seen.set()
        assert client.answer().clean


def test_models_can_be_listed(lab: Lab) -> None:
    """GET works and is an exchange of its own, with its query byte for byte."""
    message = request("/openai/v1/models?limit=2&x=%2Fa%20b", method="GET", key=KEY)
    answer, asked, answered = lab.run([whole(b'{"object":"list","data":[]}')], message)
    assert answer.status == 200
    assert lab.provider.requests[-1].startswith(b"GET /v1/models?limit=2&x=%2Fa%20b HTTP/1.1\r\n")
    assert asked.sections["what"]["api"] == "models"
    assert asked.parts == {}
    assert answered.outcome == "complete"
