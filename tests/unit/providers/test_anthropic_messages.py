"""Content blocks and message streams: the shapes that recordings do not have."""

from typing import Any

import pytest

from affidavit.providers import registry
from affidavit.providers.facts import Error, Message, MessagePart, ToolCall
from tests.unit.providers.streams import answered, asked, streamed

PATH = "/v1/messages"
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 10,
                  "cache_creation_input_tokens": 20},
    },
}  # fmt: skip
STOP = {"type": "message_stop"}


def block(index: int, **fields: Any) -> dict[str, Any]:
    """A block begins."""
    return {"type": "content_block_start", "index": index, "content_block": fields}


def grown(index: int, kind: str, **fields: str) -> dict[str, Any]:
    """A block grows."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def ended(reason: str, **usage: Any) -> dict[str, Any]:
    """The message ends."""
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def test_a_stream_with_every_kind_of_block() -> None:
    """Text, thinking with signature, tools of the client and of the provider, results."""
    facts = streamed(
        "anthropic", PATH, START,
        block(0, type="thinking", thinking="", signature=""),
        grown(0, "thinking_delta", thinking="h"), grown(0, "thinking_delta", thinking="m"),
        grown(0, "signature_delta", signature="sig"),
        block(1, type="text", text=""), grown(1, "text_delta", text="he"), {"type": "ping"},
        grown(1, "text_delta", text="llo"),
        block(2, type="tool_use", id="t1", name="f", input={}),
        grown(2, "input_json_delta", partial_json='{"a": '),
        grown(2, "input_json_delta", partial_json="1}"),
        block(3, type="server_tool_use", id="s1", name="web_search", input={}),
        block(4, type="web_search_tool_result", tool_use_id="s1", content=[{"type": "x", "u": 1}]),
        block(5, type="redacted_thinking", data="AAAA"),
        grown(9, "text_delta", text="no such block"),
        ended("tool_use", output_tokens=30), STOP,
    )  # fmt: skip
    assert facts.messages == (
        Message(
            "assistant",
            (
                MessagePart("reasoning", "hm", signature="sig"),
                MessagePart("text", "hello"),
                MessagePart("tool_call", id="t1", name="f", arguments='{"a": 1}'),
                MessagePart("server_tool_call", id="s1", name="web_search", arguments="{}"),
                MessagePart("server_tool_call_response", '{"type":"x","u":1}', id="s1"),
                MessagePart("reasoning", name="redacted", size=4),
            ),
            "tool_use",
        ),
    )
    assert (facts.terminal, facts.parsed) == (True, "yes")
    assert facts.tool_calls[0] == ToolCall("t1", "f", '{"a": 1}')
    assert facts.usage == {
        "gen_ai.usage.input_tokens": 33,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "gen_ai.usage.cache_creation.input_tokens": 20,
    }


def test_final_counts_replace_those_of_the_start() -> None:
    """Cumulative totals overwrite; what is absent or null keeps what the start said."""
    facts = streamed(
        "anthropic", PATH, START,
        ended("end_turn", output_tokens=5, input_tokens=4, cache_read_input_tokens=None), STOP,
    )  # fmt: skip
    assert facts.usage["gen_ai.usage.input_tokens"] == 34
    assert facts.usage["gen_ai.usage.cache_read.input_tokens"] == 10


def test_an_error_event_ends_a_stream() -> None:
    """What was said before stays; the error is the provider's own."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    facts = streamed(
        "anthropic", PATH, START, block(0, type="text", text=""),
        grown(0, "text_delta", text="half"), error,
    )  # fmt: skip
    assert facts.error == Error("", "Overloaded", "overloaded_error")
    assert (facts.text, facts.terminal, facts.finish_reasons) == ("half", True, ())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"type": "error", "error": {"type": "t", "message": "m"}}, Error("", "m", "t")),
        ({"type": "error"}, Error()),
        ({"error": "m"}, Error("", "m")),
    ],
)
def test_an_error_body(body: dict[str, Any], error: Error) -> None:
    """As the provider and as gateways before it spell errors."""
    facts = answered("anthropic", PATH, body, 529)
    assert (facts.error, facts.parsed, facts.status) == (error, "yes", 529)


@pytest.mark.parametrize("body", [{}, [], {"content": "x"}, {"type": "message"}])
def test_other_documents_are_said_to_be_other(body: Any) -> None:
    """A body that is no message gives no output."""
    facts = answered("anthropic", PATH, body)
    assert (facts.messages, facts.parsed) == ((), "unparsed: not a message")


def test_events_that_are_no_objects_do_not_lose_the_others() -> None:
    """An event nobody understands is said, and the rest is read."""
    facts = streamed("anthropic", PATH, START, b"oops", ended("end_turn", output_tokens=2), STOP)
    assert facts.parsed == "unparsed: an event is not a JSON object"
    assert (facts.terminal, facts.finish_reasons) == (True, ("end_turn",))


def test_the_conversation_of_a_request() -> None:
    """System, roles, images and documents by reference or size, tool results with nested blocks."""
    image = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    facts = asked(
        "anthropic",
        PATH,
        {
            "system": [{"type": "text", "text": "be brief"}],
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "user", "content": [
                    {"type": "image", "source": image},
                    {"type": "image", "source": {"type": "url", "url": "https://a.example/i"}},
                    {"type": "document", "source": {"type": "file", "file_id": "f1"}},
                    {"type": "document", "title": "t", "source": {"type": "text", "data": "txt"}},
                    {"type": "document", "source": {"type": "content", "content": "inner"}},
                    {"type": "search_result", "source": "https://a.example/s",
                     "content": [{"type": "text", "text": "hit"}]},
                    {"type": "container_upload", "file_id": "f2"},
                ]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "42"},
                    {"type": "tool_result", "tool_use_id": "t1", "content": [
                        {"type": "text", "text": "43"}, {"type": "image", "source": image}]},
                    {"type": "tool_result", "tool_use_id": "t1"},
                    {"type": "web_fetch_tool_result", "content": {"type": "error", "code": 1}},
                ]},
            ],
        },
    )  # fmt: skip
    messages = registry.lookup("anthropic").conversation(facts, None)
    assert [message.role for message in messages] == [
        "system", "user", "user", "assistant", "user",
    ]  # fmt: skip
    assert messages[2].parts == (
        MessagePart("blob", media_type="image/png", modality="image", size=4),
        MessagePart("uri", uri="https://a.example/i", modality="image"),
        MessagePart("file", id="f1", modality="document"),
        MessagePart("text", "txt", name="t"),
        MessagePart("text", "inner"),
        MessagePart("uri", "hit", uri="https://a.example/s"),
        MessagePart("other", name="container_upload"),
    )
    assert messages[3].parts[0].arguments == '{"a":1}'
    assert [part.content for part in messages[4].parts] == [
        "42", "43\n", "", '{"type":"error","code":1}',
    ]  # fmt: skip
