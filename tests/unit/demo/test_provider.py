"""The official SDKs work against the demo provider, and its numbers agree with each other."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from affidavit.demo.answers import MODELS, NOT_REAL

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}


@pytest.fixture
def client(provider: str) -> Iterator[openai.OpenAI]:
    """The OpenAI SDK, pointed at the demo provider."""
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="any", max_retries=2) as made:
        yield made


@pytest.fixture
def other(provider: str) -> Iterator[anthropic.Anthropic]:
    """The Anthropic SDK, pointed at the demo provider."""
    with anthropic.Anthropic(base_url=provider, api_key="any", max_retries=2) as made:
        yield made


def post(provider: str, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Send raw bytes; returns status and JSON."""
    address = urlsplit(provider)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, body, named)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_chat_whole_and_streamed_say_the_same(client: openai.OpenAI) -> None:
    """A streamed chat completion carries the text, id and usage of the whole one."""
    messages: Any = [{"role": "user", "content": "What is a ledger?"}]
    whole = client.chat.completions.create(model="demo-chat", messages=messages)
    text = whole.choices[0].message.content
    assert text
    assert NOT_REAL in text
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(
        client.chat.completions.create(
            model="demo-chat",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == text
    assert {chunk.id for chunk in chunks} == {whole.id}
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_chat_calls_the_tool_and_reads_its_result(client: openai.OpenAI) -> None:
    """With tools the demo model calls the first, with valid arguments, and then uses the result."""
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    messages: Any = [{"role": "user", "content": "Weather?"}]
    first = client.chat.completions.create(model="demo-chat", messages=messages, tools=tools)
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    call: Any = calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Weather?"}
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = client.chat.completions.create(model="demo-chat", messages=messages, tools=tools)
    assert "sunny" in (second.choices[0].message.content or "")


def test_chat_streams_a_tool_call(client: openai.OpenAI) -> None:
    """The SDK's stream helper assembles the same tool call as the whole answer has."""
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    with client.chat.completions.stream(
        model="demo-chat", messages=[{"role": "user", "content": "Weather?"}], tools=tools
    ) as stream:
        final = stream.get_final_completion()
    calls: Any = final.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather"]
    assert json.loads(calls[0].function.arguments) == {"city": "Weather?"}


def test_responses_whole_and_streamed_say_the_same(client: openai.OpenAI) -> None:
    """A streamed response ends in the object that the whole answer is."""
    whole = client.responses.create(model="demo-chat", input="What is a witness?")
    assert NOT_REAL in whole.output_text
    with client.responses.stream(model="demo-chat", input="What is a witness?") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == whole.output_text == final.output_text
    assert final.usage == whole.usage
    follow = client.responses.create(
        model="demo-chat", input="And a monitor?", previous_response_id=whole.id
    )
    assert follow.previous_response_id == whole.id


def test_responses_calls_a_tool_whole_and_streamed(client: openai.OpenAI) -> None:
    """A function call comes alike in both forms, and its output is answered."""
    tools: Any = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
    whole = client.responses.create(model="demo-chat", input="Weather?", tools=tools)
    call: Any = whole.output[0]
    assert (call.type, call.name) == ("function_call", "weather")
    with client.responses.stream(model="demo-chat", input="Weather?", tools=tools) as stream:
        streamed: Any = stream.get_final_response().output[0]
    assert streamed.arguments == call.arguments
    items: Any = [
        {"role": "user", "content": "Weather?"},
        call.model_dump(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    after = client.responses.create(model="demo-chat", input=items, tools=tools)
    assert "rain" in after.output_text


def test_completions_whole_and_streamed_say_the_same(client: openai.OpenAI) -> None:
    """The old completions API answers in both forms."""
    whole = client.completions.create(model="demo-chat", prompt="Once upon")
    chunks = client.completions.create(model="demo-chat", prompt="Once upon", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text


def test_embeddings_are_unit_vectors_in_both_encodings(client: openai.OpenAI) -> None:
    """The SDK's default (base64) and floats give the same vector of length one."""
    packed = client.embeddings.create(model="demo-embed", input=["a", "b"], dimensions=32)
    plain = client.embeddings.create(
        model="demo-embed", input=["a", "b"], dimensions=32, encoding_format="float"
    )
    assert [row.embedding for row in packed.data] == [row.embedding for row in plain.data]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert abs(sum(value**2 for value in packed.data[0].embedding) - 1) < 1e-5


def test_models_are_listed_in_both_apis(client: openai.OpenAI, other: anthropic.Anthropic) -> None:
    """Each SDK lists the demo models by its own shape."""
    assert {model.id for model in client.models.list()} == set(MODELS)
    assert {model.id for model in other.models.list()} == set(MODELS)
    assert client.models.retrieve("demo-chat").id == "demo-chat"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("demo-nothing")


def test_messages_whole_and_streamed_say_the_same(other: anthropic.Anthropic) -> None:
    """A streamed message accumulates to the whole one, and count_tokens agrees with its usage."""
    messages: Any = [{"role": "user", "content": "What is a tile?"}]
    whole = other.messages.create(model="demo-chat", max_tokens=100, messages=messages)
    block: Any = whole.content[0]
    assert NOT_REAL in block.text
    with other.messages.stream(model="demo-chat", max_tokens=100, messages=messages) as stream:
        final = stream.get_final_message()
    assert final.content[0].model_dump() == block.model_dump()
    assert final.usage.output_tokens == whole.usage.output_tokens
    counted = other.messages.count_tokens(model="demo-chat", messages=messages)
    assert counted.input_tokens == whole.usage.input_tokens


def test_messages_calls_a_tool_whole_and_streamed(other: anthropic.Anthropic) -> None:
    """A tool_use block comes alike in both forms, and its result is answered."""
    tools: Any = [{"name": "weather", "input_schema": WEATHER}]
    messages: Any = [{"role": "user", "content": "Weather?"}]
    ask: Any = {"model": "demo-chat", "max_tokens": 100, "messages": messages, "tools": tools}
    whole = other.messages.create(**ask)
    call: Any = whole.content[0]
    assert (whole.stop_reason, call.name, call.input) == (
        "tool_use",
        "weather",
        {"city": "Weather?"},
    )
    with other.messages.stream(**ask) as stream:
        streamed: Any = stream.get_final_message().content[0]
    assert streamed.input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "snow"}
    messages += [
        {"role": "assistant", "content": [call.model_dump()]},
        {"role": "user", "content": [result]},
    ]
    after: Any = other.messages.create(**ask).content[0]
    assert "snow" in after.text


def test_demo_error_is_an_error_in_both_apis(
    client: openai.OpenAI, other: anthropic.Anthropic
) -> None:
    """demo-error raises each SDK's own rate limit error."""
    messages: Any = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="demo-error", messages=messages)
    assert caught.value.code == "rate_limit_exceeded"
    with pytest.raises(anthropic.RateLimitError) as other_caught:
        other.messages.create(model="demo-error", max_tokens=1, messages=messages)
    assert other_caught.value.request_id


def test_a_slow_stream_can_be_left(client: openai.OpenAI) -> None:
    """A client may close demo-slow in the middle, and the provider goes on serving others."""
    messages: Any = [{"role": "user", "content": "at length"}]
    stream = client.chat.completions.create(model="demo-slow", messages=messages, stream=True)
    assert next(iter(stream)).choices[0].delta.role == "assistant"
    stream.close()
    assert client.models.retrieve("demo-slow").id == "demo-slow"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", b"{"),
        ("/v1/chat/completions", b"[]"),
        ("/v1/responses", b'{"model": "demo-chat", "input": "\\ud800"}'),
        ("/v1/chat/completions", b'{"model": "demo-chat"}'),
        ("/v1/chat/completions", b'{"model": "demo-chat", "messages": [1]}'),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}]}'),
        ("/v1/responses", b'{"model": "demo-chat", "input": 7}'),
        ("/v1/embeddings", b'{"model": "demo-embed", "input": [[1, 2]]}'),
        ("/v1/embeddings", b'{"model": "demo-embed", "input": "x", "dimensions": 0}'),
        ("/v1/messages", b'{"model": "demo-chat", "messages": []}'),
        ("/v1/messages", b'{"model": "demo-chat", "messages": ["x"]}'),
    ],
)
def test_bad_requests_get_400(provider: str, path: str, body: bytes) -> None:
    """What is not understood gets status 400 and the API's error shape."""
    status, answer = post(provider, path, body, authorization="Bearer any")
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"


def test_a_request_without_a_key_is_refused(provider: str) -> None:
    """No key gets 401 in the shape of the API that was asked."""
    status, answer = post(provider, "/v1/chat/completions", b"{}")
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    status, answer = post(provider, "/v1/messages", b"{}", anthropic_version="2023-06-01")
    assert (status, answer["error"]["type"]) == (401, "authentication_error")


def test_an_unknown_path_is_404(provider: str) -> None:
    """Paths the provider does not know get 404 and name the path."""
    status, answer = post(provider, "/v1/images", b"{}", authorization="Bearer any")
    assert status == 404
    assert "/v1/images" in answer["error"]["message"]


def test_a_model_of_somebody_else_is_not_there(
    provider: str, client: openai.OpenAI, other: anthropic.Anthropic
) -> None:
    """A real model's name is 404 in the shape of the API that was asked, as a typo would be."""
    messages: Any = [{"role": "user", "content": "Hello"}]
    with pytest.raises(openai.NotFoundError, match="gpt-4o") as caught:
        client.chat.completions.create(model="gpt-4o", messages=messages)
    assert caught.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError, match="model: claude-x"):
        other.messages.create(model="claude-x", max_tokens=5, messages=messages)


@pytest.mark.parametrize("body", [b"{", b"[]", b""])
def test_the_path_of_messages_is_enough_for_its_error_shape(provider: str, body: bytes) -> None:
    """A request by hand, without the header of the SDK, gets that API's error all the same."""
    status, told = post(provider, "/v1/messages", body, x_api_key="any")
    assert (status, told["type"]) == (400, "error")
    assert told["error"]["type"] == "invalid_request_error"
