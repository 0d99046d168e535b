"""Chat and legacy completions: the shapes that recordings do not have."""

from typing import Any

import pytest

from affidavit.providers import registry
from affidavit.providers.facts import Error, Message, MessagePart, ToolCall
from tests.unit.providers.streams import answered, asked, streamed

PATH = "/v1/chat/completions"


def delta(index: int = 0, reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    choice = {"index": index, "delta": fields, "finish_reason": reason}
    return {"id": "c", "model": "m", "choices": [choice]}


def call(index: Any, arguments: str, **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    function = {
        "arguments": arguments,
        **({"name": fields.pop("name")} if "name" in fields else {}),
    }
    return {"index": index, "function": function, **fields}


def test_several_choices_grow_side_by_side() -> None:
    """Interleaved choices come out apart, in the order of their index."""
    facts = streamed(
        "openai", PATH,
        delta(1, role="assistant", content="b"), delta(0, content="a"), delta(1, content="B"),
        delta(0, content="A"), delta(1, "length"), delta(0, "stop"), b"[DONE]",
    )  # fmt: skip
    assert [message.parts[0].content for message in facts.messages] == ["aA", "bB"]
    assert facts.finish_reasons == ("stop", "length")
    assert facts.terminal


def test_what_a_stream_said_once_stays() -> None:
    """A later chunk with another model or without a finish reason does not change the facts."""
    later = {"id": "other", "model": "other", "choices": [{"index": 0, "delta": {}}]}
    facts = streamed("openai", PATH, delta(reason="stop"), later, b"[DONE]")
    assert (facts.id, facts.model, facts.finish_reasons) == ("c", "m", ("stop",))


def test_several_tool_calls_grow_side_by_side() -> None:
    """Pieces are joined by index, names and ids from where they stand."""
    facts = streamed(
        "openai", PATH,
        delta(tool_calls=[call(0, "", id="1", name="f"), call(1, "[", id="2", name="g")]),
        delta(tool_calls=[call(1, "1]")]),
        delta(tool_calls=[call(0, "{}")]),
        delta(reason="tool_calls"), b"[DONE]",
    )  # fmt: skip
    assert facts.tool_calls == (ToolCall("1", "f", "{}"), ToolCall("2", "g", "[1]"))


def test_tool_calls_without_an_index_are_told_apart_by_id() -> None:
    """Some compatible servers leave the index out."""
    facts = streamed(
        "openai", PATH,
        delta(tool_calls=[call(None, "{", id="1", name="f")]), delta(tool_calls=[call(None, "}")]),
        delta(tool_calls=[call(None, "[]", id="2", name="g")]), b"[DONE]",
    )  # fmt: skip
    assert facts.tool_calls == (ToolCall("1", "f", "{}"), ToolCall("2", "g", "[]"))


def test_legacy_function_call_refusal_reasoning_and_audio() -> None:
    """What a message may hold besides content."""
    message = {
        "role": "assistant", "content": None, "refusal": "no", "reasoning_content": "hm",
        "function_call": {"name": "f", "arguments": "{}"}, "audio": {"transcript": "said"},
        "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "c", "input": "x"}}],
    }  # fmt: skip
    facts = answered("openai", PATH, {"choices": [{"message": message, "finish_reason": "stop"}]})
    assert facts.messages == (
        Message(
            "assistant",
            (
                MessagePart("reasoning", "hm"),
                MessagePart("text", "said"),
                MessagePart("refusal", "no"),
                MessagePart("tool_call", id="1", name="c", arguments="x"),
                MessagePart("tool_call", name="f", arguments="{}"),
            ),
            "stop",
        ),
    )


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"reasoning": "hm"}, MessagePart("reasoning", "hm")),
        ({"reasoning_content": "hm"}, MessagePart("reasoning", "hm")),
        ({"refusal": "no"}, MessagePart("refusal", "no")),
        ({"audio": {"transcript": "said"}}, MessagePart("text", "said")),
        ({"tool_calls": [{"id": "1", "function": {"name": "f"}}]},
         MessagePart("tool_call", id="1", name="f")),
        ({"function_call": {"name": "f"}}, MessagePart("tool_call", name="f")),
    ],
)  # fmt: skip
def test_whatever_a_delta_has_is_read_also_alone(fields: dict[str, Any], part: MessagePart) -> None:
    """A delta that has one thing and no content loses nothing of it."""
    facts = streamed("openai", PATH, delta(**fields), delta(reason="stop"), b"[DONE]")
    assert facts.messages[0].parts == (part,)


def test_content_in_parts() -> None:
    """Mistral's thinking and text parts, in a message and in deltas."""
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        "so",
        {"type": "image_url", "image_url": "https://a.example/x.png"},
    ]
    whole = answered("openai", PATH, {"choices": [{"message": {"content": content}}]})
    stream = streamed("openai", PATH, delta(content=content[:1]), delta(content=content[1:]))
    assert whole.messages == stream.messages
    assert [part.type for part in whole.messages[0].parts] == ["reasoning", "uri", "text"]


def test_nested_thinking_is_not_followed() -> None:
    """However deep JSON may be, reading it needs no more depth: nothing raises."""
    for depth in (1, 10, *range(440, 500)):
        nested = '[{"type":"thinking","thinking":' * depth + '"hm"' + "}]" * depth
        body = b'{"choices":[{"message":{"content":%b}}]}' % nested.encode()
        facts = answered("openai", PATH, body)
        assert facts.parsed in ("yes", "unparsed: nested too deeply")
        assert facts.messages[0].parts if depth == 1 else True


def test_usage_wherever_it_stands() -> None:
    """In a last chunk without choices, under x_groq, and with details."""
    usage = {
        "prompt_tokens": 5, "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }  # fmt: skip
    expected = {
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }
    assert streamed("openai", PATH, {"choices": [], "usage": usage}).usage == expected
    assert streamed("openai", PATH, {**delta(), "x_groq": {"usage": usage}}).usage == expected
    assert answered("openai", PATH, {"choices": [], "usage": usage}).usage == expected
    assert answered("openai", PATH, {"choices": [], "usage": {"prompt_tokens": "5"}}).usage == {}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, Error("c", "m", "t")),
        ({"error": {"message": "m", "code": 404}}, Error("404", "m")),
        ({"error": "m"}, Error("", "m")),
        ({"object": "error", "message": "m", "type": "t", "code": 7}, Error("7", "m", "t")),
        ({"detail": "m"}, Error("", "m")),
        ({"detail": [{"loc": ["body"]}], "message": {"detail": 1}}, Error("", '{"detail":1}')),
    ],
)
def test_errors_of_compatible_servers(body: dict[str, Any], error: Error) -> None:
    """Each spelling of an error, as a body and as an event."""
    facts = answered("openai", PATH, body, 400)
    assert facts.error == error
    assert facts.parsed == "yes"
    if "error" in body:
        event = streamed("openai", PATH, delta(content="half"), body)
        assert (event.error, event.text, event.terminal) == (error, "half", True)


def test_a_stream_of_something_else_is_said() -> None:
    """An event that is no JSON object does not lose the others."""
    facts = streamed("openai", PATH, delta(content="a"), b"oops", delta(content="b"), b"[DONE]")
    assert (facts.text, facts.terminal) == ("ab", True)
    assert facts.parsed == "unparsed: an event is not a JSON object"
    assert answered("openai", PATH, {"weather": "fine"}).parsed.startswith("unparsed: ")


def test_choices_are_bounded() -> None:
    """A million choices do not become a million objects."""
    facts = streamed("openai", PATH, *[delta(i, content="x") for i in range(1030)])
    assert len(facts.messages) == 1024
    assert facts.parsed == "unparsed: more choices than are read"


def test_legacy_completions_grow_by_text() -> None:
    """The older API has text where the newer has deltas."""
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "text": "a"}]}
    last = {"choices": [{"index": 0, "text": "b", "finish_reason": "stop"}]}
    facts = streamed("openai", "/v1/completions", chunk, last, b"[DONE]")
    assert (facts.text, facts.finish_reasons, facts.model) == ("ab", ("stop",), "m")


def test_the_conversation_of_a_request() -> None:
    """Every role and part, images by reference or size, never inline data."""
    facts = asked(
        "openai",
        PATH,
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "name": "al", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "https://a.example/i.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "f1"}},
                    {"type": "file", "file": {"file_data": "AAA", "filename": "a.pdf"}},
                    {"type": "new_thing"},
                ]},
                {"role": "assistant", "content": "ok", "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "42"}]},
                {"role": "function", "name": "f", "content": "43"},
                "not a message",
            ],
        },
    )  # fmt: skip
    dialect = registry.lookup("openai")
    answer = answered("openai", PATH, {"choices": [{"message": {"content": "done"}}]})
    messages = dialect.conversation(facts, answer)
    assert [message.role for message in messages] == [
        "system", "user", "assistant", "tool", "function", "assistant",
    ]  # fmt: skip
    assert messages[1] == Message(
        "user",
        (
            MessagePart("text", "look"),
            MessagePart("uri", uri="https://a.example/i.png", modality="image"),
            MessagePart("blob", media_type="image/png", modality="image", size=4),
            MessagePart("blob", media_type="audio/wav", modality="audio", size=6),
            MessagePart("file", id="f1"),
            MessagePart("blob", name="a.pdf", size=3),
            MessagePart("other", name="new_thing"),
        ),
        name="al",
    )
    assert messages[2].parts[1] == MessagePart("tool_call", id="1", name="f", arguments="{}")
    assert messages[3].parts == (MessagePart("tool_call_response", "42", id="1"),)
    assert messages[4].parts == (MessagePart("tool_call_response", "43"),)
    assert messages[5].parts[0].content == "done"


def test_prompts_and_inputs_are_messages_too() -> None:
    """Legacy prompts and embedding inputs, one text or several."""
    dialect = registry.lookup("openai")
    prompt = asked("openai", "/v1/completions", {"prompt": ["a", "b", [1, 2]]})
    texts = [message.parts[0].content for message in dialect.conversation(prompt, None)]
    assert texts == ["a", "b"]
    embed = asked("openai", "/v1/embeddings", {"input": "c"})
    assert dialect.conversation(embed, None)[0].parts[0].content == "c"


@pytest.mark.parametrize(("said", "known"), [(0.00014, 0.00014), (0, 0.0), (-1, None), ("1", None),
                                             (True, None), (None, None)])  # fmt: skip
def test_a_cost_that_a_provider_reports_is_kept(said: object, known: float | None) -> None:
    """OpenRouter says it beside the counts; what is no amount is not known."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "cost": said}
    facts = streamed("openrouter", PATH, delta(reason="stop"), {"choices": [], "usage": usage})
    assert facts.cost == known
    assert facts.outcome().get("cost") == known
    assert facts.usage["gen_ai.usage.input_tokens"] == 5
