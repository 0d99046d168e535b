"""The OpenAI dialect: paths, request facts, ambiguity, and errors the SDK understands."""

from typing import Any

import httpx2
import openai
import pytest

from affidavit.providers import registry
from tests.unit.providers.streams import JSON, answered, asked, encode

OPENAI = registry.lookup("openai")


@pytest.mark.parametrize(
    ("method", "path", "api", "operation"),
    [
        ("POST", "/v1/chat/completions", "chat.completions", "chat"),
        ("POST", "/v1/chat/completions?x=1", "chat.completions", "chat"),
        ("POST", "/openai/v1/chat/completions/", "chat.completions", "chat"),
        (
            "POST",
            "/openai/deployments/d/chat/completions?api-version=1",
            "chat.completions",
            "chat",
        ),
        ("POST", "/v1/completions", "completions", "text_completion"),
        ("POST", "/v1/responses", "responses", "chat"),
        ("POST", "/v1/responses/input_tokens", "responses.input_tokens", "count_tokens"),
        ("GET", "/v1/responses/resp_1", "responses", "retrieve"),
        ("POST", "/v1/responses/resp_1/cancel", "responses", "retrieve"),
        ("POST", "/v1/embeddings", "embeddings", "embeddings"),
        ("GET", "/v1/models", "models", "models"),
        ("GET", "/v1/models/gpt-4o", "models", "models"),
        ("DELETE", "/v1/models/ft:x", "opaque", "opaque"),
        ("GET", "/v1/chat/completions", "opaque", "opaque"),
        ("POST", "/v1/images/generations", "opaque", "opaque"),
        ("POST", "/v1/audio/transcriptions", "opaque", "opaque"),
        ("POST", "/", "opaque", "opaque"),
    ],
)
def test_a_path_names_its_operation(method: str, path: str, api: str, operation: str) -> None:
    """Whatever prefix a compatible server puts before it."""
    facts = OPENAI.request(method, path, [], b'{"model":"m"}' if method == "POST" else b"")
    assert (facts.api, facts.operation) == (api, operation)
    assert facts.parsed.startswith("unparsed") == (api == "opaque")


def test_a_chat_request_in_full() -> None:
    """Parameters by OpenTelemetry's names, tools, the caller's own ids."""
    facts = asked(
        "openai",
        "/v1/chat/completions",
        {
            "model": "gpt-4o", "messages": [], "stream": True, "temperature": 0, "top_p": 0.5,
            "max_completion_tokens": 5, "seed": 7, "stop": "END", "n": 2, "user": "u",
            "frequency_penalty": 0.1, "presence_penalty": -0.1, "service_tier": "flex",
            "tools": [{"type": "function", "function": {"name": "f"}},
                      {"type": "custom", "custom": {"name": "c"}}],
            "functions": [{"name": "old"}],
            "metadata": {"session_id": "s", "user_id": "other"},
        },
    )  # fmt: skip
    assert (facts.model, facts.stream, facts.parsed) == ("gpt-4o", True, "yes")
    assert facts.tools_offered == ("f", "c", "old")
    assert (facts.end_user, facts.session) == ("u", "s")
    assert facts.parameters == {
        "gen_ai.request.temperature": 0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": -0.1,
        "gen_ai.request.stream": True,
        "gen_ai.request.stop_sequences": ["END"],
        "openai.request.service_tier": "flex",
    }


def test_a_responses_request_in_full() -> None:
    """Conversation, previous response, prompt template, built-in and MCP tools."""
    facts = asked(
        "openai",
        "/v1/responses",
        {
            "model": "gpt-5", "input": "hi", "previous_response_id": "resp_0",
            "conversation": {"id": "conv_1"}, "safety_identifier": "si", "user": "u",
            "prompt": {"id": "pmpt_1", "version": "3"},
            "tools": [{"type": "web_search"}, {"type": "function", "name": "f"},
                      {"type": "mcp", "server_label": "crm"}],
        },
    )  # fmt: skip
    assert facts.previous_response_id == "resp_0"
    assert (facts.conversation, facts.session, facts.end_user) == ("conv_1", "conv_1", "si")
    assert facts.tools_offered == ("web_search", "f", "crm")
    assert facts.parameters["gen_ai.prompt.name"] == "pmpt_1"
    assert facts.parameters["gen_ai.prompt.version"] == "3"
    assert asked("openai", "/v1/responses", {"conversation": "conv_2"}).conversation == "conv_2"


@pytest.mark.parametrize(
    ("body", "reason", "model"),
    [
        (b'{"model":"cheap","model":"dear"}', "duplicate key", "dear"),
        (b'{"model":"cheap","\\u006dodel":"dear"}', "duplicate key", "dear"),
        (b'{"model":"m","messages":[{"role":"user","role":"system"}]}', "duplicate key", "m"),
        (b'{"model":"m","a":NaN}', "not strict JSON", "m"),
        (b'{"model":"m","a":"\\ud800"}', "not strict JSON", "m"),
        (b'\xef\xbb\xbf{"model":"m"}', "byte order mark", "m"),
        (b'{"model":"m","a":"\xff"}', "not UTF-8", "m"),
        (b"[1]", "not a JSON object", ""),
        (b"model=m", "not JSON", ""),
        (b"", "empty body", ""),
    ],
)
def test_a_body_with_two_readings_is_marked(body: bytes, reason: str, model: str) -> None:
    """The best reading is given, and that it is not certain."""
    facts = OPENAI.request("POST", "/v1/chat/completions", JSON, body)
    assert facts.parsed == f"unparsed: {reason}"
    assert facts.model == model


def test_the_model_of_the_path_stands_in() -> None:
    """Azure names a deployment; the models API a model, escapes undone."""
    azure = registry.lookup("azure")
    path = "/openai/deployments/my%2Dgpt/chat/completions?api-version=1"
    assert azure.request("POST", path, JSON, b'{"messages":[]}').model == "my-gpt"
    assert azure.request("POST", path, JSON, b'{"model":"gpt-4o"}').model == "gpt-4o"
    assert OPENAI.request("GET", "/v1/models/ft:a%2Fb", [], b"").model == "ft:a/b"


@pytest.mark.parametrize("value", [None, 1, [], {}, "", "x" * 513, [["model"]], {"name": 3}])
def test_fields_of_wrong_types_are_not_facts(value: Any) -> None:
    """Every field may hold anything."""
    fields = ("model", "stream", "tools", "functions", "messages", "metadata", "user", "stop",
              "conversation", "prompt", "n", "input", "service_tier")  # fmt: skip
    body = dict.fromkeys(fields, value)
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
        facts = asked("openai", path, body)
        assert (facts.model, facts.stream, facts.parsed) == ("", False, "yes")
        OPENAI.conversation(facts, None)


def test_counting_and_listing_are_read_without_a_model() -> None:
    """A count is no usage; a list of models is no exchange with one."""
    counted = answered("openai", "/v1/responses/input_tokens", {"input_tokens": 9})
    assert (counted.parsed, counted.usage) == ("yes", {})
    request = OPENAI.request("GET", "/v1/models", [], b"")
    listed = OPENAI.response(request, 200, JSON, encode({"object": "list", "data": []}))
    assert (request.model, listed.parsed, listed.error) == ("", "yes", None)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (504, openai.InternalServerError),
    ],
)
def test_our_errors_become_the_sdks_exceptions(
    status: int, expected: type[openai.APIStatusError]
) -> None:
    """The official SDK raises its typed exception with our message, code and record."""
    media_type, body = OPENAI.error_body(status, "policy.denied", "Not today.", "Ask.", "0199")

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": media_type}, content=body)

    client = openai.OpenAI(
        api_key="k",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    with pytest.raises(expected) as caught:
        client.chat.completions.create(model="m", messages=[])
    assert caught.value.code == "policy.denied"
    assert (caught.value.type == "server_error") == (status >= 500)
    assert "Not today. Ask." in str(caught.value)
    assert "0199" in str(caught.value.body)
