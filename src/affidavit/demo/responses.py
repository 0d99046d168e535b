"""The demo provider's OpenAI responses API, whole and streamed.

Rules: as in ``openai``; the streamed events end in ``response.completed`` with the same object
that the whole answer is. Not done: stored responses, background mode, built-in tools.
"""

import json
from collections.abc import Iterator
from typing import Any

from affidavit.demo import answers
from affidavit.demo.openai import EPOCH, BadRequestError, Reply, model_of, reply_to, text_of

_ECHOED = (
    "instructions", "max_output_tokens", "metadata", "previous_response_id", "temperature",
    "top_p", "parallel_tool_calls", "tools", "tool_choice",
)  # fmt: skip


def response_reply(body: dict[str, Any]) -> Reply:
    """Answer a responses request; the input is a text or a list of items."""
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadRequestError("'input' must be a string or a list of items")
    question = next(
        (text_of(i.get("content")) for i in reversed(items) if i.get("role") == "user"), ""
    )
    last = items[-1] if items else {}
    result = None
    if last.get("type") == "function_call_output":
        result = text_of(last.get("output"))
    return reply_to(model_of(body), question, result, body)


def _output(reply: Reply) -> list[dict[str, Any]]:
    """The output items: a function call, or one message of one text."""
    if reply.calls:
        return [
            {
                "id": f"fc_{reply.identity}",
                "type": "function_call",
                "status": "completed",
                "name": call.name,
                "arguments": call.arguments,
                "call_id": f"call_{reply.identity[:24]}",
            }
            for call in reply.calls
        ]
    return [
        {
            "id": f"msg_{reply.identity}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [_text(reply.text)],
        }
    ]


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    """The ``response`` object."""
    echoed = {name: body.get(name) for name in _ECHOED}
    echoed["tools"] = echoed["tools"] or []
    echoed["tool_choice"] = echoed["tool_choice"] or "auto"
    echoed["parallel_tool_calls"] = echoed["parallel_tool_calls"] is not False
    return echoed | {
        "id": f"resp_{reply.identity}",
        "object": "response",
        "created_at": EPOCH,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "output": _output(reply),
        "usage": {
            "input_tokens": reply.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": reply.input_tokens + reply.output_tokens,
        },
    }


def response_stream(reply: Reply, body: dict[str, Any]) -> Iterator[str]:
    """The named server-sent events of a streamed response, ``response.completed`` last."""
    whole = response_whole(reply, body)
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(whole["output"]):
        at = {"output_index": place, "item_id": item["id"]}
        if item["type"] == "function_call":
            events += _call_events(item, at)
        else:
            events += _message_events(item, at, reply.text)
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        data = json.dumps(event | {"sequence_number": number}, ensure_ascii=False)
        yield f"event: {event['type']}\ndata: {data}\n\n"


def _call_events(item: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"output_index": at["output_index"]}
    opened = item | {"status": "in_progress", "arguments": ""}
    said = {"arguments": item["arguments"], "name": item["name"]}
    return [
        {"type": "response.output_item.added", **place, "item": opened},
        {"type": "response.function_call_arguments.delta", **at, "delta": item["arguments"]},
        {"type": "response.function_call_arguments.done", **at, **said},
        {"type": "response.output_item.done", **place, "item": item},
    ]


def _message_events(item: dict[str, Any], at: dict[str, Any], text: str) -> list[dict[str, Any]]:
    place = {"output_index": at["output_index"]}
    part_at = at | {"content_index": 0}
    opened = item | {"status": "in_progress", "content": []}
    events = [
        {"type": "response.output_item.added", **place, "item": opened},
        {"type": "response.content_part.added", **part_at, "part": _text("")},
    ]
    events += [
        {"type": "response.output_text.delta", **part_at, "delta": word, "logprobs": []}
        for word in answers.words(text)
    ]
    return [
        *events,
        {"type": "response.output_text.done", **part_at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **part_at, "part": _text(text)},
        {"type": "response.output_item.done", **place, "item": item},
    ]
