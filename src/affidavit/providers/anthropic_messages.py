"""Anthropic's messages: content blocks in requests, responses and streams.

A stream is put together as the provider documents it: ``message_start`` brings an empty
message, blocks are started by index and grow by deltas, ``message_delta`` brings the stop reason
and the final counts, ``message_stop`` ends it; an ``error`` event may come at any time and
nothing follows it. The result is the same message object a whole body has, and read alike.
"""

from typing import Any

from affidavit.providers.facts import Error, Message, MessagePart
from affidavit.providers.fields import compact, count, label, mapping, mappings, name, text, usage
from affidavit.wire.sse import Event
from affidavit.wire.strict_json import lenient

MAX_BLOCKS = 10_000

_COUNTS = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens",
)  # fmt: skip
_DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


def input_messages(document: dict[str, Any]) -> list[Message]:
    """``system`` and ``messages`` of a request."""
    system = _parts(document.get("system"))
    messages = [Message("system", system)] if system else []
    return messages + [
        Message(name(item.get("role")), _parts(item.get("content")))
        for item in mappings(document.get("messages"))
    ]


class MessagesAccumulator:
    """Facts of a message, whole or from a stream."""

    expects_terminal = True

    def __init__(self) -> None:
        self.terminal = False
        self.problem = ""
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        self._error: Error | None = None

    def event(self, event: Event) -> None:
        """Take an event; the type in its data counts, the ``event`` field merely repeats it."""
        value = lenient(event.data, duplicates=False).value
        if not isinstance(value, dict):
            self.problem = self.problem or "an event is not a JSON object"
            return
        match name(value.get("type")) or event.event:
            case "message_start":
                self._message = dict(mapping(value.get("message")))
            case "content_block_start":
                self._start(value)
            case "content_block_delta":
                self._grow(value)
            case "message_delta":
                self._change(value)
            case "message_stop":
                self.terminal = True
            case "error":
                self._error = _error_of(value)
                self.terminal = True

    def whole(self, document: Any) -> None:
        """Take a whole body."""
        body = mapping(document)
        if body.get("type") == "error" or "error" in body:
            self._error = _error_of(body)
        elif isinstance(body.get("content"), list):
            self._message = body
        else:
            self.problem = "not a message"

    def facts(self) -> dict[str, Any]:
        """Fields of ``ResponseFacts``."""
        message = self._message
        blocks = self._gathered()
        content = blocks or mappings(message.get("content"))
        reason = name(message.get("stop_reason"))
        parts = _parts(content)
        role = name(message.get("role")) or "assistant"
        return {
            "id": name(message.get("id")),
            "model": name(message.get("model")),
            "finish_reasons": (reason,) if reason else (),
            "usage": _usage(mapping(message.get("usage"))),
            "messages": (Message(role, parts, reason),) if parts or message else (),
            "error": self._error,
        }

    def _start(self, value: dict[str, Any]) -> None:
        index = value.get("index")
        if type(index) is int and len(self._blocks) < MAX_BLOCKS:
            self._blocks[index] = dict(mapping(value.get("content_block")))

    def _grow(self, value: dict[str, Any]) -> None:
        index, delta = value.get("index"), mapping(value.get("delta"))
        field = _DELTAS.get(name(delta.get("type")))
        if type(index) is int and field and index in self._blocks:
            self._pieces.setdefault((index, field), []).append(text(delta.get(field)))

    def _change(self, value: dict[str, Any]) -> None:
        """Final stop reason and counts; a count that is absent keeps what the start said."""
        delta = mapping(value.get("delta"))
        self._message["stop_reason"] = delta.get("stop_reason") or self._message.get("stop_reason")
        counts = dict(mapping(self._message.get("usage")))
        for field in _COUNTS:
            if count(mapping(value.get("usage")).get(field)) is not None:
                counts[field] = value["usage"][field]
        self._message["usage"] = counts

    def _gathered(self) -> list[dict[str, Any]]:
        """Blocks of a stream, each with the deltas that arrived."""
        blocks = {index: dict(block) for index, block in self._blocks.items()}
        for (index, field), pieces in self._pieces.items():
            block = blocks[index]
            if field == "partial_json":
                block["input"] = "".join(pieces) or block.get("input")
            elif field == "signature":
                block[field] = pieces[-1]  # sent whole; a later one replaces it
            else:
                block[field] = text(block.get(field)) + "".join(pieces)
        return [block for _, block in sorted(blocks.items())]


def _usage(counts: dict[str, Any]) -> dict[str, int]:
    parts = [count(counts.get(field)) or 0 for field in _COUNTS[:3]]
    known = count(counts.get("input_tokens")) is not None
    return usage(
        (
            ("input_tokens", sum(parts) if known else None),
            ("output_tokens", counts.get("output_tokens")),
            ("cache_read.input_tokens", counts.get("cache_read_input_tokens")),
            ("cache_creation.input_tokens", counts.get("cache_creation_input_tokens")),
        )
    )


def _error_of(body: dict[str, Any]) -> Error:
    given = body.get("error")
    if isinstance(given, str):
        return Error(message=given)
    inner = mapping(given)
    return Error(label(inner.get("code")), text(inner.get("message")), name(inner.get("type")))


def _parts(content: Any) -> tuple[MessagePart, ...]:
    """Parts of a ``content`` or ``system``: a string or a list of blocks."""
    if isinstance(content, str):
        return (MessagePart("text", content),) if content else ()
    return tuple(_part(block) for block in mappings(content))


def _part(block: dict[str, Any]) -> MessagePart:
    """One content block."""
    kind = name(block.get("type"))
    if kind == "text":
        return MessagePart("text", text(block.get("text")))
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return MessagePart(
            "tool_call" if kind == "tool_use" else "server_tool_call",
            id=name(block.get("id")),
            name=name(block.get("name")),
            arguments=compact(block.get("input")),
        )
    if kind.endswith("tool_result"):
        content = block.get("content")
        return MessagePart(
            "tool_call_response" if kind == "tool_result" else "server_tool_call_response",
            content if isinstance(content, str) else _flat(content),
            id=name(block.get("tool_use_id")),
        )
    if kind == "thinking":
        signature = text(block.get("signature"))
        return MessagePart("reasoning", text(block.get("thinking")), signature=signature)
    if kind == "redacted_thinking":
        return MessagePart("reasoning", name="redacted", size=len(text(block.get("data"))))
    if kind in ("image", "document"):
        return _source(block, kind)
    if kind == "search_result":
        return MessagePart("uri", _flat(block.get("content")), uri=text(block.get("source")))
    return MessagePart("other", name=kind)


def _source(block: dict[str, Any], modality: str) -> MessagePart:
    """An image or a document: inline, by link, by file id, or text."""
    source = mapping(block.get("source"))
    media_type = name(source.get("media_type"))
    title = name(block.get("title"))
    match name(source.get("type")):
        case "url":
            return MessagePart("uri", uri=text(source.get("url")), name=title, modality=modality)
        case "file":
            file_id = name(source.get("file_id"))
            return MessagePart("file", id=file_id, name=title, modality=modality)
        case "text":
            return MessagePart("text", text(source.get("data")), name=title)
        case "content":
            return MessagePart("text", _flat(source.get("content")), name=title)
    size = len(text(source.get("data")))
    return MessagePart("blob", name=title, media_type=media_type, modality=modality, size=size)


def _flat(content: Any) -> str:
    """Text of nested blocks; of results that are not text, their JSON without inline data."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return compact(content)
    found: list[str] = []
    for block in mappings(content):
        kind = name(block.get("type"))
        if kind == "text":
            found.append(text(block.get("text")))
        elif kind in ("image", "document"):
            found.append(_source(block, kind).uri)
        else:
            found.append(compact(block))
    return "\n".join(found)
