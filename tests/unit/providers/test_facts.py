"""Facts become sections by OpenTelemetry's names, without what is not known or personal."""

from affidavit.providers.facts import (
    MAX_ERROR,
    Error,
    Message,
    MessagePart,
    RequestFacts,
    ResponseFacts,
    ToolCall,
    text_of,
)


def test_what_of_a_request_has_no_person_and_no_unknowns() -> None:
    """Names as OpenTelemetry has them; end user and session are left to the section person."""
    facts = RequestFacts(
        "openai", "openai", "openai/1", "chat.completions", "chat", model="m",
        parameters={"gen_ai.request.temperature": 0.5}, tools_offered=("a",),
        end_user="alice", session="s-1", document={"secret": 1},
    )  # fmt: skip
    assert facts.what() == {
        "dialect": "openai",
        "gen_ai.provider.name": "openai",
        "api": "chat.completions",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "tools_offered": ["a"],
        "parser": "openai/1",
        "parsed": "yes",
        "gen_ai.request.temperature": 0.5,
    }


def test_what_is_not_known_is_left_out() -> None:
    """No empty strings and no empty lists in a section."""
    response = ResponseFacts("opaque", "opaque", "opaque/1", 200)
    assert response.what() == {
        "dialect": "opaque",
        "gen_ai.provider.name": "opaque",
        "parser": "opaque/1",
        "parsed": "yes",
    }
    assert response.outcome() == {"http.response.status_code": 200}


def test_tools_called_are_those_of_the_outputs_in_order() -> None:
    """Each name once in ``tools_called``, every call in ``tool_calls``."""
    calls = [
        MessagePart("tool_call", id="1", name="b", arguments="{}"),
        MessagePart("text", "between"),
        MessagePart("reasoning", "hm"),
        MessagePart("server_tool_call", id="2", name="a"),
        MessagePart("tool_call", id="3", name="b"),
        MessagePart("tool_call", id="4"),  # its name has not come
    ]
    facts = ResponseFacts(
        "openai", "openai", "openai/1", 200,
        messages=(Message("assistant", tuple(calls[:3])), Message("assistant", tuple(calls[3:]))),
    )  # fmt: skip
    assert facts.tools_called == ("b", "a")
    assert facts.tool_calls[0] == ToolCall("1", "b", "{}")
    assert facts.tool_calls[1].server
    assert facts.what()["tools_called"] == ["b", "a"]
    assert facts.text == "between"


def test_outcome_has_status_usage_reasons_and_error() -> None:
    """What the section outcome takes from the bytes."""
    facts = ResponseFacts(
        "openai", "openai", "openai/1", 429, finish_reasons=("stop",),
        usage={"gen_ai.usage.input_tokens": 1}, error=Error("rate", "Slow down", ""),
    )  # fmt: skip
    assert facts.outcome() == {
        "http.response.status_code": 429,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1,
        "error": {"code": "rate", "message": "Slow down"},
    }


def test_an_error_message_does_not_swell_a_section() -> None:
    """Some servers repeat the whole prompt in it; the body has it all."""
    facts = ResponseFacts("openai", "openai", "openai/1", 400, error=Error(message="x" * 10**6))
    assert facts.outcome()["error"] == {"message": "x" * MAX_ERROR}


def test_text_for_search_has_texts_names_and_arguments() -> None:
    """What people would look for, one piece a line, and no inline data."""
    message = Message(
        "assistant",
        (
            MessagePart("text", "hello"),
            MessagePart("tool_call", id="1", name="lookup", arguments='{"q":"x"}'),
            MessagePart("blob", media_type="image/png", size=9),
        ),
    )
    assert text_of([message]) == 'hello\nlookup\n{"q":"x"}'
