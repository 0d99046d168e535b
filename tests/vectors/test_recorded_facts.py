"""Facts of recorded exchanges equal what the providers' own SDKs read from the same bytes."""

import json
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest

from affidavit.providers import registry
from affidavit.providers.dialect import Dialect
from affidavit.providers.facts import RequestFacts, ResponseFacts
from tests.vectors import anthropic_sdk, openai_sdk
from tests.vectors.reading import Reading, ours
from tests.vectors.recordings import Exchange, exchanges


class Sdk(NamedTuple):
    """An official SDK as an oracle: which exchanges it reads, and what it reads in one."""

    speaks: Callable[[Exchange], bool]
    read: Callable[[Exchange], Reading]


OPENAI = Sdk(openai_sdk.speaks, openai_sdk.read)
ANTHROPIC = Sdk(anthropic_sdk.speaks, anthropic_sdk.read)

# file, dialect, SDK, and how many of its exchanges both sides must have read
COMPARED = [
    ("openai", "openai", OPENAI, 150),
    ("anthropic", "anthropic", ANTHROPIC, 39),
    ("azure-openai", "azure", OPENAI, 8),
    ("groq", "groq", OPENAI, 3),
    ("mistral", "mistral", OPENAI, 7),
    ("openai-compatible", "openai-compatible", OPENAI, 15),
]
FILES = [(file, name) for file, name, _, _ in COMPARED]


def facts_of(dialect: Dialect, exchange: Exchange) -> tuple[RequestFacts, ResponseFacts]:
    """Both halves of a recorded exchange, read by our dialect."""
    request = dialect.request(
        exchange.method, exchange.path, exchange.request_headers, exchange.request_body
    )
    response = dialect.response(
        request, exchange.status, exchange.response_headers, exchange.response_body
    )
    return request, response


@pytest.mark.parametrize(("file", "name", "sdk", "least"), COMPARED)
def test_facts_equal_those_of_the_official_sdk(file: str, name: str, sdk: Sdk, least: int) -> None:
    """Served model, id, tokens, finish reasons, texts, refusals, tool calls, errors: all equal."""
    dialect = registry.lookup(name)
    passed: Counter[str] = Counter()
    compared = 0
    for exchange in exchanges(file):
        request, response = facts_of(dialect, exchange)
        kind = f"{request.api}{' streamed' if response.streamed else ''}"
        if not sdk.speaks(exchange):
            assert request.parsed != "yes"
            passed[f"{kind} (not compared)"] += 1
            continue
        expected = sdk.read(exchange)
        assert ours(response) == expected, exchange.id
        assert response.parsed == "yes", exchange.id
        assert response.terminal, exchange.id
        assert response.streamed == exchange.streamed == response.expects_terminal, exchange.id
        passed[kind if response.error is None else f"{kind} error {exchange.status}"] += 1
        compared += 1
    print(f"\n{file}: {compared} exchanges equal")
    for kind, number in sorted(passed.items()):
        print(f"    {kind:<40} {number:>4}")
    assert compared >= least


@pytest.mark.parametrize(("file", "name"), FILES)
def test_request_facts_equal_the_recorded_json(file: str, name: str) -> None:
    """Model, stream flag and tools offered are those of the body read by the standard parser."""
    dialect = registry.lookup(name)
    for exchange in exchanges(file):
        if not exchange.request_body.startswith(b"{"):
            continue
        body = json.loads(exchange.request_body)
        request, _ = facts_of(dialect, exchange)
        assert request.model == body.get("model", request.model), exchange.id
        assert request.stream == bool(body.get("stream")), exchange.id
        offered = [
            tool["function"]["name"] if "function" in tool else tool.get("name") or tool["type"]
            for tool in body.get("tools") or ()
        ]
        offered += [function["name"] for function in body.get("functions") or ()]
        assert set(request.tools_offered) == set(offered), exchange.id
        if request.api != "opaque":
            assert request.parsed == "yes", exchange.id
            assert request.model, exchange.id
