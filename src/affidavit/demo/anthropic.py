"""The demo provider's Anthropic side: messages whole and streamed, tools, count_tokens, models.

Rules: shapes as the official SDK parses them; counting a request's tokens gives the number that
its answer's usage will name. Not done: batches, files, prompt caching (its counts are zero).
"""

import json
from collections.abc import Iterator
from typing import Any

from affidavit.demo import answers
from affidavit.demo.openai import BadRequestError, Reply, model_of, text_of

_LISTED_AT = "2026-01-01T00:00:00Z"


def error_body(message: str, kind: str, request_id: str) -> dict[str, Any]:
    """The API's error object; ``kind`` is its ``type``."""
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def _prompt(body: dict[str, Any]) -> str:
    return json.dumps([body.get(name) for name in ("system", "messages", "tools")])


def message_reply(body: dict[str, Any]) -> Reply:
    """Answer a messages request."""
    messages, model = body.get("messages"), model_of(body)
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: at least one message is required")
    if not all(isinstance(message, dict) for message in messages):
        raise BadRequestError("messages: each must be an object")
    last = messages[-1].get("content")
    blocks = [block for block in last if isinstance(block, dict)] if isinstance(last, list) else []
    results = [block for block in blocks if block.get("type") == "tool_result"]
    call = None if results else _wanted_tool(body, text_of(last))
    if call is not None:
        text, spoken = "", call.name + call.arguments
    else:
        text = (
            answers.after_tool(text_of(results[-1].get("content")))
            if results
            else answers.answer(model, text_of(last))
        )
        spoken = text
    prompt = _prompt(body)
    identity = answers.digest([model, prompt])
    calls = [call] if call else []
    return Reply(model, text, calls, answers.tokens(prompt), answers.tokens(spoken), identity)


def _wanted_tool(body: dict[str, Any], question: str) -> answers.ToolCall | None:
    """The first tool on offer, unless the request says that none is to be called."""
    choice, tools = body.get("tool_choice"), body.get("tools")
    if not isinstance(tools, list) or (isinstance(choice, dict) and choice.get("type") == "none"):
        return None
    for tool in tools:
        if isinstance(tool, dict) and isinstance(tool.get("name"), str):
            return answers.tool_call(tool["name"], tool.get("input_schema"), question)
    return None


def _usage(reply: Reply, output: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    }


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    if reply.calls:
        return [
            {
                "type": "tool_use",
                "id": f"toolu_{reply.identity[:24]}",
                "name": call.name,
                "input": json.loads(call.arguments),
            }
            for call in reply.calls
        ]
    return [{"type": "text", "text": reply.text}]


def message_whole(reply: Reply) -> dict[str, Any]:
    """The ``message`` object."""
    return {
        "id": f"msg_{reply.identity}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": _blocks(reply),
        "stop_reason": "tool_use" if reply.calls else "end_turn",
        "stop_sequence": None,
        "usage": _usage(reply, reply.output_tokens),
    }


def message_stream(reply: Reply) -> Iterator[str]:
    """The named server-sent events of a streamed message, ``message_stop`` last."""
    whole = message_whole(reply)
    begun = whole | {"content": [], "stop_reason": None, "usage": _usage(reply, 1)}
    yield _event({"type": "message_start", "message": begun})
    yield _event({"type": "ping"})
    for place, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty = block | {"text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in answers.words(block["text"])]
        else:
            empty = block | {"input": {}}
            arguments = json.dumps(block["input"], ensure_ascii=False)
            deltas = [{"type": "input_json_delta", "partial_json": arguments}]
        yield _event({"type": "content_block_start", "index": place, "content_block": empty})
        for delta in deltas:
            yield _event({"type": "content_block_delta", "index": place, "delta": delta})
        yield _event({"type": "content_block_stop", "index": place})
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": reply.output_tokens}
    yield _event({"type": "message_delta", "delta": stop, "usage": usage})
    yield _event({"type": "message_stop"})


def _event(value: dict[str, Any]) -> str:
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n"


def count_tokens(body: dict[str, Any]) -> dict[str, Any]:
    """How many input tokens the request will be counted as."""
    model_of(body)
    return {"input_tokens": answers.tokens(_prompt(body))}


def models() -> dict[str, Any]:
    """The model list."""
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": _LISTED_AT}
        for name in answers.MODELS
    ]
    first, last = answers.MODELS[0], answers.MODELS[-1]
    return {"data": listed, "has_more": False, "first_id": first, "last_id": last}
