"""The responses API: items, typed events, cut streams, failures."""

from typing import Any

import pytest

from affidavit.providers import registry
from affidavit.providers.facts import Error, Message, MessagePart, ToolCall
from tests.unit.providers.streams import answered, asked, streamed

PATH = "/v1/responses"


def response(status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A response object."""
    return {"object": "response", "id": "resp_1", "model": "gpt-5-2", "status": status,
            "output": [], "error": None, "incomplete_details": None, **fields}  # fmt: skip


def started(index: int, **item: Any) -> dict[str, Any]:
    """An item begins."""
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def grown(kind: str, index: int, piece: str, place: int = 0) -> dict[str, Any]:
    """An item grows."""
    return {"type": f"response.{kind}.delta", "output_index": index, "content_index": place,
            "delta": piece}  # fmt: skip


def test_every_kind_of_output_item() -> None:
    """Texts, refusals, reasoning, calls of the client's and of the provider's own tools."""
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
         "content": [{"type": "reasoning_text", "text": "so"}]},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "hello"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c1", "id": "fc1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "c", "input": "free text"},
        {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}},
        {"type": "web_search_call", "id": "w1", "action": {"type": "search", "query": "q"}},
        {"type": "mcp_call", "id": "m1", "name": "lookup", "arguments": "[]", "output": "found"},
        {"type": "image_generation_call", "id": "i1", "result": "AAAA"},
        {"type": "code_interpreter_call", "id": "k1", "code": "1+1"},
        {"type": "compaction", "encrypted_content": "x"},
    ]  # fmt: skip
    facts = answered("openai", PATH, response(output=output))
    assert [part.type for part in facts.messages[0].parts] == [
        "reasoning", "reasoning", "text", "refusal", "tool_call", "tool_call", "tool_call",
        "server_tool_call", "server_tool_call", "server_tool_call_response", "server_tool_call",
        "blob", "server_tool_call", "other",
    ]  # fmt: skip
    assert facts.tool_calls == (
        ToolCall("c1", "f", "{}"),
        ToolCall("c2", "c", "free text"),
        ToolCall("c3", "local_shell", '{"command":["ls"]}'),
        ToolCall("w1", "web_search", '{"type":"search","query":"q"}', server=True),
        ToolCall("m1", "lookup", "[]", server=True),
        ToolCall("i1", "image_generation", "", server=True),
        ToolCall("k1", "code_interpreter", "1+1", server=True),
    )
    assert facts.text == "hello"


def test_ids_usage_and_links() -> None:
    """What the record of a response needs besides its output."""
    usage = {
        "input_tokens": 9, "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 6},
    }  # fmt: skip
    facts = answered(
        "openai", PATH,
        response(usage=usage, previous_response_id="resp_0", conversation={"id": "conv_1"}),
    )  # fmt: skip
    assert facts.usage == {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.usage.reasoning.output_tokens": 6,
    }
    assert (facts.id, facts.model) == ("resp_1", "gpt-5-2")
    assert (facts.previous_response_id, facts.conversation) == ("resp_0", "conv_1")


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({}, ("completed",)),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
         ("max_output_tokens",)),
        ({"status": "in_progress"}, ()),
        ({"status": "queued"}, ()),
        ({"status": "cancelled"}, ("cancelled",)),
    ],
)  # fmt: skip
def test_why_it_ended(fields: dict[str, Any], reasons: tuple[str, ...]) -> None:
    """The reason if there is one, else the status, and nothing while it goes on."""
    assert answered("openai", PATH, response(**fields)).finish_reasons == reasons


@pytest.mark.parametrize("last", ["completed", "incomplete", "failed"])
def test_the_last_event_holds_the_whole_response(last: str) -> None:
    """Its object is the reading, whatever the deltas said."""
    whole = response(last, output=[{"type": "message", "content": [
        {"type": "output_text", "text": "final"}]}])  # fmt: skip
    facts = streamed(
        "openai", PATH,
        {"type": "response.created", "response": response("in_progress")},
        started(0, type="message", content=[]), grown("output_text", 0, "dra"),
        {"type": f"response.{last}", "response": whole},
    )  # fmt: skip
    assert facts.text == "final"
    assert facts.terminal
    assert facts.expects_terminal


def test_a_failure_carries_its_error() -> None:
    """In the response object, as an event, and as an HTTP error."""
    failed = response("failed", error={"code": "server_error", "message": "sorry"})
    facts = streamed("openai", PATH, {"type": "response.failed", "response": failed})
    assert (facts.error, facts.terminal) == (Error("server_error", "sorry"), True)
    event = {"type": "error", "code": "rate", "message": "slow", "param": None}
    facts = streamed("openai", PATH, started(0, type="message"), event)
    assert (facts.error, facts.terminal) == (Error("rate", "slow", "error"), True)
    refused = answered("openai", PATH, {"error": {"message": "m", "type": "t"}}, 400)
    assert (refused.error, refused.parsed) == (Error("", "m", "t"), "yes")


def test_a_cut_stream_is_put_together_from_its_deltas() -> None:
    """Items that were done are as they ended, the others as far as they had come."""
    facts = streamed(
        "openai", PATH,
        {"type": "response.created", "response": response("in_progress")},
        started(0, type="reasoning", summary=[]), grown("reasoning_summary_text", 0, "h"),
        grown("reasoning_summary_text", 0, "m"),
        {"type": "response.output_item.done", "output_index": 0,
         "item": {"type": "reasoning", "summary": [{"text": "hm"}]}},
        started(1, type="message", content=[]), grown("refusal", 1, "but no", 1),
        grown("output_text", 1, "hel"), grown("output_text", 1, "lo"),
        started(2, type="function_call", call_id="c1", name="f", arguments=""),
        grown("function_call_arguments", 2, '{"a":'),
        started(3, type="custom_tool_call", call_id="c2", name="c", input=""),
        grown("custom_tool_call_input", 3, "fre"),
        {"type": "response.web_search_call.searching", "output_index": 4},
    )  # fmt: skip
    assert not facts.terminal
    assert facts.finish_reasons == ()
    assert facts.model == "gpt-5-2"
    assert facts.messages == (
        Message(
            "assistant",
            (
                MessagePart("reasoning", "hm"),
                MessagePart("text", "hello"),
                MessagePart("refusal", "but no"),
                MessagePart("tool_call", id="c1", name="f", arguments='{"a":'),
                MessagePart("tool_call", id="c2", name="c", arguments="fre"),
            ),
        ),
    )


def test_reasoning_that_was_cut_is_kept() -> None:
    """Summary and text of a reasoning item that never came to its end; noise beside it."""
    facts = streamed(
        "openai", PATH,
        started(0, type="reasoning"), grown("reasoning_text", 0, "h"),
        grown("reasoning_text", 0, "m"), b"[DONE]", b"[1]",
        {"type": "response.output_text.delta", "delta": "no place"},
        grown("output_text", 7, "no item"), grown("unheard_of", 0, "x"), {"type": "other"},
    )  # fmt: skip
    assert facts.messages == (Message("assistant", (MessagePart("reasoning", "hm"),)),)
    assert facts.parsed == "unparsed: an event is not a JSON object"


@pytest.mark.parametrize("body", [{}, [], {"deleted": True}, {"output": "x", "object": "other"}])
def test_other_documents_are_said_to_be_other(body: Any) -> None:
    """A body that is no response object gives no output."""
    facts = answered("openai", PATH, body)
    assert facts.messages == ()
    assert facts.parsed.startswith("unparsed: ") or "output" in body


def test_the_conversation_of_a_request() -> None:
    """Instructions, messages, earlier items and tool results become messages."""
    facts = asked(
        "openai",
        PATH,
        {
            "instructions": "be brief",
            "input": [
                {"role": "user", "content": "hi"},
                {"role": "user", "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA"},
                    {"type": "input_image", "file_id": "f1"},
                    {"type": "input_file", "file_url": "https://a.example/a.pdf"},
                ]},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "42"},
                {"type": "function_call_output", "call_id": "c2", "output": [{"a": 1}]},
                {"type": "input_text", "text": "bare"},
            ],
        },
    )  # fmt: skip
    messages = registry.lookup("openai").conversation(facts, None)
    assert [message.role for message in messages] == [
        "system", "user", "user", "assistant", "tool", "tool", "user",
    ]  # fmt: skip
    assert [part.type for part in messages[2].parts] == ["text", "blob", "file", "uri"]
    assert messages[4].parts == (MessagePart("tool_call_response", "42", id="c1"),)
    assert messages[5].parts[0].content == '[{"a":1}]'
    plain = asked("openai", PATH, {"input": "hello"})
    assert registry.lookup("openai").conversation(plain, None)[0].parts[0].content == "hello"
