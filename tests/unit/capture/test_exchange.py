"""Claims about one exchange as a state machine: no sockets, no journal."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.capture.exchange import Exchange
from affidavit.capture.upstream_http import Ended
from affidavit.errors import UnavailableError, UpstreamError, UpstreamTimeoutError
from affidavit.record.disclose import check_part
from affidavit.record.model import OUTCOMES
from tests.unit.capture.facts import JSON, SSE, exchange, opened
from tests.world.clock import FakeClock
from tests.world.gateway import DONE, chat, chat_answer, chat_event

STREAM = chat_event("Hel") + chat_event("lo") + DONE


def test_the_request_record_is_whole_before_anything_happened() -> None:
    """Seven sections but the outcome, the body committed to, all chains, no parent."""
    made = exchange()
    record, bodies = Exchange(
        made._asked, chat(), made._dialect, made._setting, FakeClock()
    ).request()
    sections = opened(record)
    assert sorted(sections) == ["content", "context", "control", "person", "what", "who"]
    assert (record.type, record.tier, record.parent) == ("exchange.request", "observed", None)
    assert bodies == (chat(),)
    assert check_part(record.parts[0], chat())
    assert [c.dimension for c in record.chains] == ["model", "actor", "key"]


@pytest.mark.parametrize(
    ("headers", "body", "ended", "outcome", "whole"),
    [
        (JSON, chat_answer(), Ended.LENGTH, "complete", True),
        (JSON, chat_answer(), Ended.CLOSE, "complete", True),
        (JSON, chat_answer()[:-1], Ended.CLOSE, "truncated", False),
        (JSON, chat_answer()[:-1], Ended.LENGTH, "complete", True),
        (SSE, STREAM, Ended.CHUNKED, "complete", True),
        (SSE, STREAM, Ended.CLOSE, "complete", True),
        (SSE, STREAM, None, "complete", True),
        (SSE, STREAM[:-8], Ended.CHUNKED, "truncated", True),
        (SSE, STREAM[:-8], Ended.CLOSE, "truncated", False),
        (SSE, b'data: {"error":{"message":"m"}}\n\n', Ended.CHUNKED, "upstream_error", True),
        ([(b"content-type", b"audio/mpeg")], b"\xff", Ended.CLOSE, "complete", True),
    ],
)
def test_how_a_body_ended_decides(
    headers: list[tuple[bytes, bytes]], body: bytes, ended: Ended | None, outcome: str, whole: bool
) -> None:
    """Framing, last event and content together make the outcome and the end the caller sees."""
    made = exchange(chat(stream=True))
    made.head(200, headers)
    made.piece(body)
    made.end(ended)
    assert (made.outcome, made.whole) == (outcome, whole)


def test_the_last_event_is_announced_with_its_piece() -> None:
    """``piece`` is true from the piece on that holds the protocol's last event."""
    made = exchange(chat(stream=True))
    made.head(200, SSE)
    assert [made.piece(part) for part in (STREAM[:20], STREAM[20:-3], STREAM[-3:], b"\n")] == [
        False, False, True, True,
    ]  # fmt: skip


CAUSES: dict[str, tuple[Callable[[Exchange], None], str]] = {
    "end": (lambda e: e.end(Ended.CHUNKED), "complete"),
    "cut": (lambda e: e.failed(UpstreamError("cut")), "truncated"),
    "stall": (lambda e: e.failed(UpstreamTimeoutError("stall")), "truncated"),
    "gone": (lambda e: e.settle("client_gone", UnavailableError("gone")), "client_gone"),
    "drain": (lambda e: e.settle("interrupted", UnavailableError("stop")), "interrupted"),
}


@pytest.mark.parametrize("order", list(itertools.permutations(CAUSES, 3)), ids="-".join)
def test_the_first_cause_wins(order: tuple[str, ...]) -> None:
    """Whatever else happens after it, the outcome is that of the first cause; there is one."""
    made = exchange(chat(stream=True))
    made.head(200, SSE)
    made.piece(STREAM)
    for name in order:
        CAUSES[name][0](made)
    assert made.outcome == CAUSES[order[0]][1]
    section = opened(made.response())["outcome"]
    assert section["outcome"] == made.outcome
    assert section["outcome"] in OUTCOMES
    assert ("error" in section) == (order[0] != "end")


def test_without_a_head_a_failure_is_the_providers() -> None:
    """Before a response head: upstream_error, and the answer on record is the gateway's own."""
    made = exchange()
    made.failed(UpstreamError("refused"))
    part = made.answered_by_gateway(502, JSON, b'{"error":{}}')
    sections = opened(made.response(part))
    assert made.outcome == "upstream_error"
    assert sections["what"]["response_made_by"] == "gateway"
    assert sections["outcome"]["http.response.status_code"] == 502
    assert sections["outcome"]["error"]["code"] == "upstream"


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_any_division_into_pieces_gives_the_same_record(cuts: list[int]) -> None:
    """Bytes, facts, outcome and chains do not depend on how the network cut the stream."""
    bounds = [0, *sorted(set(cuts)), len(STREAM)]
    clock = FakeClock()
    one, many = exchange(chat(stream=True), clock), exchange(chat(stream=True), clock)
    for made, pieces in (
        (one, [STREAM]),
        (many, [STREAM[a:b] for a, b in itertools.pairwise(bounds)]),
    ):
        made.head(200, SSE)
        for piece in pieces:
            made.piece(piece)
        made.end(Ended.CHUNKED)
    first, second = one.response(), many.response()
    assert check_part(first.parts[0], STREAM)
    assert check_part(second.parts[0], STREAM)
    assert first.chains == second.chains
    ours, theirs = opened(first), opened(second)
    for sections in (ours, theirs):
        del sections["what"]["parent"]
        del sections["content"]
    assert ours == theirs


@given(st.binary(max_size=300), st.sampled_from([SSE, JSON, []]), st.sampled_from([200, 404]))
def test_any_bytes_have_an_outcome(
    body: bytes, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    """No answer, however garbled, makes recording fail."""
    made = exchange()
    made.head(status, headers)
    if body:
        made.piece(body)
    made.end(Ended.LENGTH)
    record = made.response()
    assert opened(record)["outcome"]["outcome"] in OUTCOMES
    assert sum(part.size for part in record.parts) == len(body)


def test_times_are_measured() -> None:
    """Seconds to the first byte count from forwarding, the duration from the beginning."""
    clock = FakeClock()
    made = exchange(clock=clock)
    clock.advance(0.25)
    made.head(200, JSON)
    clock.advance(0.5)
    made.piece(chat_answer())
    made.end(Ended.LENGTH)
    section = opened(made.response())["outcome"]
    assert (section["time_to_first_byte"], section["duration"]) == (0.25, 0.75)


def test_bytes_delivered_are_those_handed_over() -> None:
    """What arrived and what the caller got are two numbers."""
    made = exchange(chat(stream=True))
    made.head(200, SSE)
    made.piece(STREAM)
    made.handed_over(10)
    made.settle("client_gone", UnavailableError("gone"))
    section = opened(made.response())["outcome"]
    assert (section["bytes_received"], section["bytes_delivered"]) == (len(STREAM), 10)
    assert "bytes_held" not in section


def test_what_waits_for_the_outcome_is_not_delivered_yet() -> None:
    """The record counts it apart, as it does not know whether the caller will take it."""
    made = exchange(chat(stream=True))
    made.head(200, SSE)
    made.piece(STREAM)
    made.handed_over(10)
    made.end(Ended.CHUNKED)
    made.held = len(STREAM) - 10
    section = opened(made.response())["outcome"]
    assert (section["bytes_delivered"], section["bytes_held"]) == (10, len(STREAM) - 10)


def test_our_own_answer_waits_too_unless_it_was_given_already() -> None:
    """A 502 of ours waits for its record; a 503 that says there is no record does not."""
    made = exchange()
    made.failed(UnavailableError("none"))
    made.answered_by_gateway(502, JSON, b"{}")
    section = opened(made.response())["outcome"]
    assert (section["bytes_delivered"], section["bytes_held"]) == (0, 2)
    made.released()
    section = opened(made.response())["outcome"]
    assert (section["bytes_delivered"], "bytes_held" in section) == (2, False)
