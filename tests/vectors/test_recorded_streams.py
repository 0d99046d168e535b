"""Recorded responses in bad pieces, cut short and damaged: the same facts, or honest ones."""

import random
from itertools import pairwise

import pytest

from affidavit.providers import registry
from affidavit.providers.dialect import Dialect
from affidavit.providers.facts import YES, RequestFacts, ResponseFacts
from tests.vectors.recordings import Exchange, exchanges
from tests.vectors.test_recorded_facts import FILES, facts_of

OTHERS = [(file, "opaque") for file in ("bedrock", "cohere", "gemini", "ollama", "vertex")]


def in_pieces(
    dialect: Dialect, request: RequestFacts, exchange: Exchange, pieces: list[bytes]
) -> ResponseFacts:
    """Facts of the response when its body arrives in these pieces."""
    reader = dialect.stream(request, exchange.status, exchange.response_headers)
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()


def cut(body: bytes, randomly: random.Random, largest: int) -> list[bytes]:
    """``body`` in pieces of random sizes."""
    pieces = []
    while body:
        size = randomly.randint(1, largest)
        pieces.append(body[:size])
        body = body[size:]
    return pieces


@pytest.mark.parametrize(("file", "name"), FILES + OTHERS)
def test_pieces_do_not_show_in_the_facts(file: str, name: str) -> None:
    """Each recorded response, cut in two random ways and some byte by byte: the same facts."""
    dialect, randomly = registry.lookup(name), random.Random(20)
    for number, exchange in enumerate(exchanges(file)):
        request, whole = facts_of(dialect, exchange)
        divisions = [cut(exchange.response_body, randomly, largest) for largest in (40, 3000)]
        if number % 20 == 0:
            divisions.append([bytes([byte]) for byte in exchange.response_body])
        for pieces in divisions:
            assert in_pieces(dialect, request, exchange, pieces) == whole, exchange.id


@pytest.mark.parametrize(("file", "name"), FILES)
def test_the_terminal_event_is_seen_in_the_piece_that_brings_it(file: str, name: str) -> None:
    """``terminal`` turns true with the very byte that ends the last event, so it can be held."""
    dialect, seen = registry.lookup(name), 0
    for exchange in exchanges(file):
        request, whole = facts_of(dialect, exchange)
        if not (whole.streamed and whole.expects_terminal):
            continue
        body = exchange.response_body
        reader = dialect.stream(request, exchange.status, exchange.response_headers)
        stripped = body.rstrip(b"\r\n")
        ends = [0, len(stripped), len(stripped) + 1, len(body)]
        states = []
        for start, end in pairwise(ends):
            reader.feed(body[start:end])
            states.append(reader.terminal)
        assert states == [False, False, True], exchange.id
        seen += 1
    assert seen


@pytest.mark.parametrize(("file", "name"), FILES)
def test_a_cut_stream_is_truncated_and_keeps_what_was_said(file: str, name: str) -> None:
    """Cut before the last event: expected an end, saw none, and the text so far is a prefix."""
    dialect, randomly = registry.lookup(name), random.Random(3)
    for exchange in exchanges(file):
        request, whole = facts_of(dialect, exchange)
        if not (whole.streamed and whole.expects_terminal):
            continue
        events = exchange.response_body.rstrip(b"\r\n")
        last = max(events.rfind(b"\n\n"), events.rfind(b"\r\n\r\n"))
        for end in {last, randomly.randrange(1, last), randomly.randrange(1, last)}:
            body = exchange.response_body[:end]
            facts = dialect.response(request, exchange.status, exchange.response_headers, body)
            assert facts.expects_terminal, exchange.id
            assert not facts.terminal, exchange.id
            assert len(whole.messages) > 1 or whole.text.startswith(facts.text), exchange.id
        # All but the last event: nothing of what was said is missing.
        body = exchange.response_body[:last]
        facts = dialect.response(request, exchange.status, exchange.response_headers, body)
        assert facts.text == whole.text, exchange.id
        assert [(c.name, c.arguments) for c in facts.tool_calls] == [
            (c.name, c.arguments) for c in whole.tool_calls
        ], exchange.id
        assert facts.model == whole.model, exchange.id


@pytest.mark.parametrize(("file", "name"), FILES + OTHERS)
def test_damaged_recordings_never_raise(file: str, name: str) -> None:
    """Bytes flipped, dropped and doubled in requests and responses: facts every time."""
    dialect, randomly = registry.lookup(name), random.Random(11)
    for exchange in exchanges(file):
        if len(exchange.response_body) > 60_000:
            continue
        broken = exchange._replace(
            request_body=damage(exchange.request_body, randomly),
            response_body=damage(exchange.response_body, randomly),
        )
        request, response = facts_of(dialect, broken)
        dialect.conversation(request, response)
        assert request.parsed == YES or request.parsed.startswith("unparsed: ")
        assert response.parsed == YES or response.parsed.startswith("unparsed: ")
        request.what()
        response.what()
        response.outcome()


def damage(body: bytes, randomly: random.Random) -> bytes:
    """Change a few places of ``body``."""
    mutable = bytearray(body)
    for _ in range(randomly.randint(1, 6)):
        if not mutable:
            break
        place = randomly.randrange(len(mutable))
        match randomly.randrange(4):
            case 0:
                mutable[place] ^= 1 << randomly.randrange(8)
            case 1:
                del mutable[place : place + randomly.randint(1, 20)]
            case 2:
                mutable[place:place] = mutable[place : place + randomly.randint(1, 40)]
            case 3:
                mutable[place : place + 1] = randomly.choice([b"\n\n", b"\r", b'"', b"}", b"[]"])
    return bytes(mutable)
