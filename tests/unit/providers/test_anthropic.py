"""The Anthropic dialect: paths, request facts, and errors the SDK understands."""

from typing import Any

import anthropic
import httpx2
import pytest

from affidavit.providers import registry
from tests.unit.providers.streams import JSON, answered, asked, encode

ANTHROPIC = registry.lookup("anthropic")


@pytest.mark.parametrize(
    ("method", "path", "api", "operation"),
    [
        ("POST", "/v1/messages", "messages", "chat"),
        ("POST", "/v1/messages?beta=true", "messages", "chat"),
        ("POST", "/v1/messages/count_tokens", "messages.count_tokens", "count_tokens"),
        ("GET", "/v1/models", "models", "models"),
        ("GET", "/v1/models/claude-x", "models", "models"),
        ("POST", "/v1/messages/batches", "opaque", "opaque"),
        ("GET", "/v1/messages/batches/b/results", "opaque", "opaque"),
        ("GET", "/v1/organizations/usage_report/messages", "opaque", "opaque"),
    ],
)
def test_a_path_names_its_operation(method: str, path: str, api: str, operation: str) -> None:
    """Messages, counting and models are read; the rest is opaque."""
    facts = ANTHROPIC.request(method, path, [], b'{"model":"m"}' if method == "POST" else b"")
    assert (facts.api, facts.operation) == (api, operation)
    assert facts.parsed.startswith("unparsed") == (api == "opaque")


def test_a_request_in_full() -> None:
    """Parameters by OpenTelemetry's names, tools of three kinds, the caller's own ids."""
    facts = asked(
        "anthropic",
        "/v1/messages",
        {
            "model": "claude-x", "max_tokens": 9, "stream": True, "temperature": 1, "top_k": 5,
            "stop_sequences": ["END"], "messages": [],
            "tools": [{"name": "f"}, {"type": "web_search_20250305", "name": "web_search"}],
            "mcp_servers": [{"name": "crm", "url": "https://a.example"}],
            "metadata": {"user_id": "user_1_account__session_" + "0" * 8 + "-" + "a" * 27},
        },
    )  # fmt: skip
    assert (facts.model, facts.stream, facts.parsed) == ("claude-x", True, "yes")
    assert facts.tools_offered == ("f", "web_search", "crm")
    assert facts.session == "0" * 8 + "-" + "a" * 27
    assert facts.end_user.startswith("user_1_")
    assert facts.parameters == {
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 1,
        "gen_ai.request.top_k": 5,
        "gen_ai.request.stream": True,
        "gen_ai.request.stop_sequences": ["END"],
    }


@pytest.mark.parametrize(
    ("body", "reason", "model"),
    [
        (b'{"model":"cheap","model":"dear"}', "duplicate key", "dear"),
        (b"[]", "not a JSON object", ""),
        (b"", "not JSON", ""),
    ],
)
def test_a_body_with_two_readings_is_marked(body: bytes, reason: str, model: str) -> None:
    """The best reading is given, and that it is not certain."""
    facts = ANTHROPIC.request("POST", "/v1/messages", JSON, body)
    assert (facts.parsed, facts.model) == (f"unparsed: {reason}", model)


@pytest.mark.parametrize("value", [None, 1, [], {}, "", "x" * 513, [["model"]], {"name": 3}])
def test_fields_of_wrong_types_are_not_facts(value: Any) -> None:
    """Every field may hold anything."""
    fields = ("model", "stream", "tools", "mcp_servers", "system", "messages", "metadata",
              "stop_sequences", "max_tokens")  # fmt: skip
    facts = asked("anthropic", "/v1/messages", dict.fromkeys(fields, value))
    assert (facts.model, facts.stream, facts.parsed) == ("", False, "yes")
    ANTHROPIC.conversation(facts, None)


def test_counting_is_no_usage() -> None:
    """A count_tokens answer used no tokens, so totals must not include it."""
    facts = answered("anthropic", "/v1/messages/count_tokens", {"input_tokens": 9})
    assert (facts.parsed, facts.usage) == ("yes", {})


def test_an_unknown_operation_may_give_a_model() -> None:
    """The top-level model of a body nobody parses, marked as unparsed."""
    facts = asked("anthropic", "/v1/complete", {"model": "claude-2"})
    assert (facts.model, facts.parsed) == ("claude-2", "unparsed: no parser for this operation")
    assert (
        ANTHROPIC.response(facts, 200, JSON, encode({"model": "claude-2.1"})).model == "claude-2.1"
    )


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (503, anthropic.InternalServerError, "api_error"),
    ],
)
def test_our_errors_become_the_sdks_exceptions(
    status: int, expected: type[anthropic.APIStatusError], kind: str
) -> None:
    """The official SDK raises its typed exception with our message and the provider's type."""
    media_type, body = ANTHROPIC.error_body(status, "policy.denied", "Not today.", "Ask.", "0199")

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": media_type}, content=body)

    client = anthropic.Anthropic(
        api_key="k",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    with pytest.raises(expected) as caught:
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert "Not today. Ask." in str(caught.value)
    assert kind in str(caught.value)
    assert "0199" in str(caught.value.body)
