"""OpenAI's responses API: items in, items out, and typed events between.

The last event of a stream carries the whole response object, which is then the reading; only
when the stream was cut is it put together from the items and deltas that came before. So a
cut stream shows what had been said by then, and a whole one is read as the provider sums it up.
"""

from typing import Any

from affidavit.providers.facts import Error, Message, MessagePart
from affidavit.providers.fields import compact, cost, mapping, mappings, name, text, usage
from affidavit.providers.openai_chat import error_of, is_error, parts_of
from affidavit.wire.sse import Event
from affidavit.wire.strict_json import lenient

MAX_ITEMS = 10_000

_LAST_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SERVER_CALLS = frozenset(
    {
        "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
        "mcp_call", "tool_search_call",
    }
)  # fmt: skip
_CLIENT_CALLS = frozenset(
    {
        "function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call",
        "apply_patch_call",
    }
)  # fmt: skip
_ARGUMENTS = ("arguments", "input", "action", "operation", "queries", "code")


def input_messages(document: dict[str, Any]) -> list[Message]:
    """``instructions`` and ``input`` of a request."""
    messages: list[Message] = []
    for field, role in (("instructions", "system"), ("input", "user")):
        given = document.get(field)
        if isinstance(given, str) and given:
            messages.append(Message(role, (MessagePart("text", given),)))
        messages += [_input_item(item) for item in mappings(given)]
    return messages


def output_parts(item: dict[str, Any]) -> list[MessagePart]:
    """The parts of one item of ``output``."""
    kind = name(item.get("type"))
    if kind == "message":
        return parts_of(item.get("content"))
    if kind == "reasoning":
        said = [*mappings(item.get("summary")), *mappings(item.get("content"))]
        return [MessagePart("reasoning", text(part.get("text"))) for part in said]
    if kind in _CLIENT_CALLS or kind in _SERVER_CALLS:
        return _call(item, kind)
    if kind.endswith("_output"):
        output = item.get("output")
        content = output if isinstance(output, str) else compact(output)
        return [MessagePart("tool_call_response", content, id=name(item.get("call_id")))]
    return [MessagePart("other", name=kind)]


class ResponsesAccumulator:
    """Facts of a response object, whole or from typed events."""

    expects_terminal = True

    def __init__(self) -> None:
        self.terminal = False
        self.problem = ""
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._done: set[int] = set()
        self._deltas: dict[tuple[int, int, str], list[str]] = {}
        self._error: Error | None = None

    def event(self, event: Event) -> None:
        """Take an event; the type in its data counts, the ``event`` field merely repeats it."""
        if event.data == b"[DONE]":
            return  # some compatible servers add it
        value = lenient(event.data, duplicates=False).value
        if not isinstance(value, dict):
            self.problem = self.problem or "an event is not a JSON object"
            return
        kind = name(value.get("type")) or event.event
        if isinstance(value.get("response"), dict):
            self._response = value["response"]
        if kind in _LAST_EVENTS:
            self.terminal = True
        elif kind == "error" or (value.get("error") and not kind):
            self._error = error_of(value)
            self.terminal = True
        elif kind.startswith("response."):
            self._progress(kind, value)

    def whole(self, document: Any) -> None:
        """Take a whole body."""
        body = mapping(document)
        if "output" in body or body.get("object") == "response":
            self._response = body
        elif is_error(body):
            self._error = error_of(body)
        else:
            self.problem = "not a response object"

    def facts(self) -> dict[str, Any]:
        """Fields of ``ResponseFacts``."""
        response = self._response
        outputs = mappings(response.get("output"))
        if not outputs:
            outputs = self._gathered()
        parts = tuple(part for item in outputs for part in output_parts(item))
        reason = name(mapping(response.get("incomplete_details")).get("reason"))
        status = name(response.get("status"))
        ended = reason or ("" if status in ("in_progress", "queued") else status)
        counts = mapping(response.get("usage"))
        conversation = response.get("conversation")
        error = self._error
        if error is None and isinstance(response.get("error"), dict):
            error = error_of(response)
        return {
            "id": name(response.get("id")),
            "model": name(response.get("model")),
            "finish_reasons": (ended,) if ended else (),
            "cost": cost(counts),
            "usage": usage(
                (
                    ("input_tokens", counts.get("input_tokens")),
                    ("output_tokens", counts.get("output_tokens")),
                    (
                        "cache_read.input_tokens",
                        mapping(counts.get("input_tokens_details")).get("cached_tokens"),
                    ),
                    (
                        "reasoning.output_tokens",
                        mapping(counts.get("output_tokens_details")).get("reasoning_tokens"),
                    ),
                )
            ),
            "messages": (Message("assistant", parts, ended),) if parts else (),
            "error": error,
            "previous_response_id": name(response.get("previous_response_id")),
            "conversation": name(mapping(conversation).get("id")) or name(conversation),
        }

    def _progress(self, kind: str, value: dict[str, Any]) -> None:
        """Keep what a cut stream will be read from."""
        index = value.get("output_index")
        if type(index) is not int:
            return
        if kind in ("response.output_item.added", "response.output_item.done"):
            if len(self._items) < MAX_ITEMS:
                self._items[index] = mapping(value.get("item"))
            if kind.endswith(".done"):
                self._done.add(index)
        elif kind.endswith(".delta"):
            place = value.get("content_index", value.get("summary_index"))
            key = (index, place if type(place) is int else 0, kind)
            self._deltas.setdefault(key, []).append(text(value.get("delta")))

    def _gathered(self) -> list[dict[str, Any]]:
        """Items put together from events: those that were done, and the others from deltas."""
        items = {index: dict(item) for index, item in self._items.items()}
        for (index, _, kind), pieces in sorted(self._deltas.items()):
            item = items.get(index)
            if item is None or index in self._done:
                continue
            said = "".join(pieces)
            if kind == "response.output_text.delta":
                _extend(item, "content", {"type": "output_text", "text": said})
            elif kind == "response.refusal.delta":
                _extend(item, "content", {"type": "refusal", "refusal": said})
            elif kind in _REASONING_DELTAS:
                _extend(item, "summary", {"text": said})
            elif kind in _ARGUMENT_DELTAS:
                item[_ARGUMENT_DELTAS[kind]] = said
        return [item for _, item in sorted(items.items())]


_REASONING_DELTAS = frozenset(
    {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}
)
_ARGUMENT_DELTAS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}


def _extend(item: dict[str, Any], field: str, part: dict[str, Any]) -> None:
    item[field] = [*mappings(item.get(field)), part]


def _call(item: dict[str, Any], kind: str) -> list[MessagePart]:
    """A call of a tool, by the client's function or by one the provider runs itself."""
    server = kind in _SERVER_CALLS
    arguments = next((item[field] for field in _ARGUMENTS if item.get(field) is not None), None)
    call = MessagePart(
        "server_tool_call" if server else "tool_call",
        id=name(item.get("call_id")) or name(item.get("id")),
        name=name(item.get("name")) or kind.removesuffix("_call"),
        arguments=compact(arguments),
    )
    if kind == "image_generation_call" and text(item.get("result")):
        return [call, MessagePart("blob", modality="image", size=len(item["result"]))]
    if kind == "mcp_call" and text(item.get("output")):
        return [call, MessagePart("server_tool_call_response", item["output"], id=call.id)]
    return [call]


def _input_item(item: dict[str, Any]) -> Message:
    """One item of ``input``: a message, an earlier output item, or a tool's result."""
    role = name(item.get("role"))
    if role:
        return Message(role, tuple(parts_of(item.get("content"))))
    kind = name(item.get("type"))
    if kind in ("input_text", "input_image", "input_file"):
        return Message("user", tuple(parts_of([item])))
    parts = tuple(output_parts(item))
    return Message("tool" if kind.endswith("_output") else "assistant", parts)
