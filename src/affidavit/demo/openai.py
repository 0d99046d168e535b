"""The demo provider's OpenAI side: chat completions, responses, completions, embeddings, models.

Rules: shapes as the official SDK parses them; whole and streamed answers to one request carry
the same text, ids and usage; a bad request gets the API's own error shape. Not done: images,
audio, files, batches, stored responses (a ``previous_response_id`` is accepted, not looked up).
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from affidavit.demo import answers
from affidavit.demo.answers import ToolCall

FINGERPRINT = "fp_demo_0001"
EPOCH = 1_760_000_000
"""``created`` of every answer (seconds since 1970): demo answers do not depend on the clock."""


class BadRequestError(Exception):
    """The request cannot be answered; becomes status 400 in the API's own shape."""


@dataclass(frozen=True)
class Reply:
    """What the demo model has to say to one request, before an API's wrapping."""

    model: str
    text: str
    calls: list[ToolCall]
    input_tokens: int
    output_tokens: int
    identity: str = field(default="")


def error_body(message: str, kind: str, code: str | None) -> dict[str, Any]:
    """The API's error object; ``kind`` is its ``type``."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the texts of its parts one after another."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [
        part if isinstance(part, str) else part.get("text", "")
        for part in content
        if isinstance(part, str | dict)
    ]
    return " ".join(text for text in texts if isinstance(text, str) and text)


def model_of(body: dict[str, Any]) -> str:
    """The model asked for; ``BadRequestError`` if there is none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("you must provide a model parameter")
    return model


def _items(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in list ``name``; ``BadRequestError`` if it is not a list of objects."""
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequestError(f"'{name}' must be a list of objects")
    return value


def _wanted_tool(body: dict[str, Any], question: str) -> ToolCall | None:
    """The first function on offer, unless the request says that none is to be called."""
    if body.get("tool_choice") == "none":
        return None
    for tool in _items(body, "tools"):
        if tool.get("type") == "function":
            function = tool.get("function", tool)
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                return answers.tool_call(function["name"], function.get("parameters"), question)
    return None


def reply_to(model: str, question: str, tool_result: str | None, body: dict[str, Any]) -> Reply:
    """Decide between a tool call, a text after a tool's result, and an answer."""
    prompt = json.dumps(
        [body.get(name) for name in ("messages", "input", "instructions", "tools")],
        ensure_ascii=False,
    )
    call = None if tool_result is not None else _wanted_tool(body, question)
    if call is not None:
        text = ""
    elif tool_result is not None:
        text = answers.after_tool(tool_result)
    else:
        text = answers.answer(model, question)
    spoken = text if call is None else call.name + call.arguments
    identity = answers.digest([model, prompt])
    calls = [call] if call else []
    return Reply(model, text, calls, answers.tokens(prompt), answers.tokens(spoken), identity)


def chat_reply(body: dict[str, Any]) -> Reply:
    """Answer a chat completions request."""
    messages = _items(body, "messages")
    if not messages:
        raise BadRequestError("'messages' must not be empty")
    question = next(
        (text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), ""
    )
    last = messages[-1]
    result = text_of(last.get("content")) if last.get("role") == "tool" else None
    return reply_to(model_of(body), question, result, body)


def _chat_usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chat_calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{reply.identity[:24]}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.calls
    ]


def chat_whole(reply: Reply) -> dict[str, Any]:
    """The ``chat.completion`` object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.calls:
        message |= {"content": None, "tool_calls": _chat_calls(reply)}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "tool_calls" if reply.calls else "stop",
    }
    return {
        "id": f"chatcmpl-{reply.identity}",
        "object": "chat.completion",
        "created": EPOCH,
        "model": reply.model,
        "choices": [choice],
        "usage": _chat_usage(reply),
        "system_fingerprint": FINGERPRINT,
    }


def chat_stream(reply: Reply, *, usage: bool) -> Iterator[str]:
    """The server-sent events of a streamed chat completion, ``[DONE]`` last."""
    head = {
        "id": f"chatcmpl-{reply.identity}",
        "object": "chat.completion.chunk",
        "created": EPOCH,
        "model": reply.model,
        "system_fingerprint": FINGERPRINT,
    }
    tail: dict[str, Any] = {"usage": None} if usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(head | {"choices": [choice]} | tail)

    yield chunk({"role": "assistant", "content": None if reply.calls else "", "refusal": None})
    for number, call in enumerate(_chat_calls(reply)):
        arguments = call["function"]["arguments"]
        opened = call | {"index": number, "function": call["function"] | {"arguments": ""}}
        yield chunk({"tool_calls": [opened]})
        yield chunk({"tool_calls": [{"index": number, "function": {"arguments": arguments}}]})
    for word in answers.words(reply.text) if reply.text else ():
        yield chunk({"content": word})
    yield chunk({}, "tool_calls" if reply.calls else "stop")
    if usage:
        yield _data(head | {"choices": [], "usage": _chat_usage(reply)})
    yield "data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> str:
    """One server-sent event without a name."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def completion_reply(body: dict[str, Any]) -> Reply:
    """Answer a text completions request; several prompts are answered as one."""
    prompt = text_of(body.get("prompt"))
    model = model_of(body)
    text = answers.answer(model, prompt)
    identity = answers.digest([model, prompt])
    return Reply(model, text, [], answers.tokens(prompt), answers.tokens(text), identity)


def _completion(reply: Reply, text: str, finish: str | None) -> dict[str, Any]:
    return {
        "id": f"cmpl-{reply.identity}",
        "object": "text_completion",
        "created": EPOCH,
        "model": reply.model,
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}],
        "system_fingerprint": FINGERPRINT,
    }


def completion_whole(reply: Reply) -> dict[str, Any]:
    """The ``text_completion`` object."""
    return _completion(reply, reply.text, "stop") | {"usage": _chat_usage(reply)}


def completion_stream(reply: Reply) -> Iterator[str]:
    """The server-sent events of a streamed text completion, ``[DONE]`` last."""
    for word in answers.words(reply.text):
        yield _data(_completion(reply, word, None))
    yield _data(_completion(reply, "", "stop"))
    yield "data: [DONE]\n\n"


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """The embeddings of a text or a list of texts, as floats or base64 as asked for."""
    given = body.get("input")
    texts: list[Any] = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError("'input' must be a string or a list of strings")
    size = body.get("dimensions", 64)
    if not isinstance(size, int) or not 1 <= size <= 4096:
        raise BadRequestError("'dimensions' must be between 1 and 4096")
    rows = []
    for number, text in enumerate(texts):
        vector: Any = answers.embedding(text, size)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        rows.append({"object": "embedding", "index": number, "embedding": vector})
    used = sum(answers.tokens(text) for text in texts)
    return {
        "object": "list",
        "data": rows,
        "model": model_of(body),
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def model_object(name: str) -> dict[str, Any]:
    """One entry of the model list."""
    return {"id": name, "object": "model", "created": EPOCH, "owned_by": "affidavit-demo"}


def models() -> dict[str, Any]:
    """The model list."""
    return {"object": "list", "data": [model_object(name) for name in answers.MODELS]}
