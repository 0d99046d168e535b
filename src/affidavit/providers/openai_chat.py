"""Chat completions and legacy completions, as OpenAI and all who speak like it have them.

Requests: messages to the neutral shape. Responses: choices, whole or gathered from the deltas
of a stream, where each choice and each tool call has an index of its own. Read as well because
compatible servers send them: ``reasoning`` and ``reasoning_content``, content as a list of
parts, tool calls without an index, usage under ``x_groq``. Log probabilities are not read.
"""

from collections.abc import Iterable
from typing import Any

from affidavit.providers.dialect import DONE
from affidavit.providers.facts import Error, Message, MessagePart
from affidavit.providers.fields import (
    compact,
    cost,
    label,
    mapping,
    mappings,
    name,
    text,
    usage,
)
from affidavit.wire.sse import Event
from affidavit.wire.strict_json import lenient

MAX_CHOICES = 1024


def input_messages(document: dict[str, Any]) -> list[Message]:
    """The ``messages`` of a chat request, the ``prompt`` of a completion, ``input`` texts."""
    messages = [_message(item) for item in mappings(document.get("messages"))]
    for field in ("prompt", "input"):
        given = document.get(field)
        texts = given if isinstance(given, list) else [given]
        messages += [
            Message("user", (MessagePart("text", item),)) for item in texts if isinstance(item, str)
        ]
    return messages


def parts_of(content: Any) -> list[MessagePart]:
    """Parts of a message's ``content``: a string or a list of typed objects."""
    if isinstance(content, str):
        return [MessagePart("text", content)] if content else []
    found: list[MessagePart] = []
    for item in content if isinstance(content, list) else []:
        if isinstance(item, str):
            found.append(MessagePart("text", item))
        elif isinstance(item, dict):
            found.append(_part(item))
    return found


def inline(uri: str, modality: str) -> MessagePart:
    """A link as it is; inline data (RFC 2397) by media type and size only."""
    if uri.startswith("data:"):
        head, _, data = uri[5:].partition(",")
        return MessagePart(
            "blob", modality=modality, media_type=head.partition(";")[0], size=len(data)
        )
    return MessagePart("uri", uri=uri, modality=modality)


def is_error(body: dict[str, Any]) -> bool:
    """Tell whether a body is an error rather than a result."""
    return bool(body.get("error") or body.get("detail")) or body.get("object") == "error"


def error_of(value: Any) -> Error:
    """The error in an OpenAI-like body: under ``error``, or at the top as Mistral has it."""
    body = mapping(value)
    error = body.get("error", body.get("detail"))
    if isinstance(error, str):
        return Error(message=error)
    inner = mapping(error) or body
    message = inner.get("message", inner.get("detail"))
    return Error(
        code=label(inner.get("code")),
        message=message if isinstance(message, str) else compact(message),
        type=name(inner.get("type")),
    )


def usage_of(value: Any) -> dict[str, int]:
    """Token counts of chat, completions and embeddings."""
    counts = mapping(value)
    return usage(
        (
            ("input_tokens", counts.get("prompt_tokens")),
            ("output_tokens", counts.get("completion_tokens")),
            (
                "cache_read.input_tokens",
                mapping(counts.get("prompt_tokens_details")).get("cached_tokens"),
            ),
            (
                "reasoning.output_tokens",
                mapping(counts.get("completion_tokens_details")).get("reasoning_tokens"),
            ),
        )
    )


class _Call:
    """A tool call while its pieces arrive."""

    def __init__(self) -> None:
        self.id = ""
        self.name: list[str] = []
        self.arguments: list[str] = []


class _Choice:
    """One choice while its pieces arrive."""

    def __init__(self) -> None:
        self.role = "assistant"
        self.reasoning: list[str] = []
        self.content: list[MessagePart] = []
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[Any, _Call] = {}
        self.finish_reason = ""

    def add(self, delta: dict[str, Any]) -> None:
        """Take a delta of a stream, or the whole message, which is a delta to nothing."""
        if "role" in delta:
            self.role = name(delta["role"]) or self.role
        if not _THOUGHTS.isdisjoint(delta):
            thought = text(delta.get("reasoning_content")) or text(delta.get("reasoning"))
            self.reasoning.append(thought)
        content = delta.get("content")
        if isinstance(content, str):
            self.text.append(content)
        elif content is not None:
            for part in parts_of(content):
                if part.type == "text":
                    self.text.append(part.content)
                elif part.type == "reasoning":
                    self.reasoning.append(part.content)
                else:
                    self.content.append(part)
        if not _RARE.isdisjoint(delta):
            self._rare(delta)

    def _rare(self, delta: dict[str, Any]) -> None:
        """What most deltas have nothing of."""
        if isinstance(delta.get("audio"), dict):
            self.text.append(text(delta["audio"].get("transcript")))
        self.refusal.append(text(delta.get("refusal")))
        for call in mappings(delta.get("tool_calls")):
            self._call(call)
        if isinstance(delta.get("function_call"), dict):
            self._call({"index": "legacy", "function": delta["function_call"]})

    def _call(self, delta: dict[str, Any]) -> None:
        """Join pieces by index; where there is none, a new id starts a new call."""
        key: Any = delta.get("index")
        identity = name(delta.get("id"))
        if type(key) is not int and key != "legacy":
            last = next(reversed(self.calls), None)
            key = ("", identity or len(self.calls)) if identity or last is None else last
        call = self.calls.setdefault(key, _Call())
        call.id = identity or call.id
        function = mapping(delta.get("function")) or mapping(delta.get("custom"))
        call.name.append(name(function.get("name")))
        arguments = function.get("arguments", function.get("input"))
        call.arguments.append(compact(arguments))

    def message(self) -> Message:
        """What has arrived, as a message."""
        parts: list[MessagePart] = []
        if any(self.reasoning):
            parts.append(MessagePart("reasoning", "".join(self.reasoning)))
        parts += [part for part in self.content if part.content or part.type != "refusal"]
        if any(self.text):
            parts.append(MessagePart("text", "".join(self.text)))
        if any(self.refusal):
            parts.append(MessagePart("refusal", "".join(self.refusal)))
        for call in self.calls.values():
            parts.append(
                MessagePart(
                    "tool_call",
                    id=call.id,
                    name="".join(call.name),
                    arguments="".join(call.arguments),
                )
            )
        return Message(self.role, tuple(parts), self.finish_reason)


class ChatAccumulator:
    """Facts of a chat completion, a legacy completion or a list of embeddings."""

    expects_terminal = True

    def __init__(self) -> None:
        self.terminal = False
        self.problem = ""
        self._choices: dict[int, _Choice] = {}
        self._names: dict[str, str] = {}
        self._usage: dict[str, int] = {}
        self._cost: float | None = None
        self._error: Error | None = None

    def event(self, event: Event) -> None:
        """Take a chunk; ``[DONE]`` and an error end the stream."""
        if event.data == DONE:
            self.terminal = True
            return
        chunk = lenient(event.data, duplicates=False)
        if not isinstance(chunk.value, dict):
            self.problem = self.problem or "an event is not a JSON object"
            return
        if chunk.value.get("error") or event.event == "error":
            self._error = error_of(chunk.value)
            self.terminal = True
        else:
            self._chunk(chunk.value)

    def whole(self, document: Any) -> None:
        """Take a whole body."""
        body = mapping(document)
        if is_error(body):
            self._error = error_of(body)
        elif "choices" in body or "data" in body:
            self._chunk(body)
        else:
            self.problem = "neither choices nor data"

    def facts(self) -> dict[str, Any]:
        """Fields of ``ResponseFacts``."""
        choices = [choice for _, choice in sorted(self._choices.items())]
        return {
            "id": self._names.get("id", ""),
            "model": self._names.get("model", ""),
            "fingerprint": self._names.get("system_fingerprint", ""),
            "finish_reasons": tuple(c.finish_reason for c in choices if c.finish_reason),
            "usage": self._usage,
            "cost": self._cost,
            "messages": tuple(choice.message() for choice in choices),
            "error": self._error,
        }

    def _chunk(self, chunk: dict[str, Any]) -> None:
        for field in _NAMES:
            if field in chunk and field not in self._names and (value := name(chunk[field])):
                self._names[field] = value
        counts = chunk.get("usage")
        if not counts and "x_groq" in chunk:
            counts = mapping(chunk["x_groq"]).get("usage")
        if counts:
            self._usage = usage_of(counts) or self._usage
            reported = cost(mapping(counts))
            self._cost = self._cost if reported is None else reported
        for position, item in enumerate(mappings(chunk.get("choices"))):
            index = item.get("index")
            self._choice(index if type(index) is int else position, item)

    def _choice(self, index: int, item: dict[str, Any]) -> None:
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= MAX_CHOICES:
                self.problem = "more choices than are read"
                return
            choice = self._choices[index] = _Choice()
        choice.finish_reason = name(item.get("finish_reason")) or choice.finish_reason
        delta = item.get("delta") or item.get("message")
        if isinstance(delta, dict):
            choice.add(delta)
        elif "text" in item:
            choice.text.append(text(item["text"]))


_NAMES = ("id", "model", "system_fingerprint")
_THOUGHTS = frozenset({"reasoning", "reasoning_content"})
_RARE = frozenset({"audio", "refusal", "tool_calls", "function_call"})


def _message(item: dict[str, Any]) -> Message:
    """One message of a request."""
    role = name(item.get("role"))
    parts: list[MessagePart] = []
    if role in ("tool", "function"):
        answer = item.get("content")
        content = answer if isinstance(answer, str) else _joined(parts_of(answer))
        parts.append(MessagePart("tool_call_response", content, id=name(item.get("tool_call_id"))))
    else:
        choice = _Choice()
        choice.add({key: item.get(key) for key in item if key != "content"})
        parts += [*parts_of(item.get("content")), *choice.message().parts]
    return Message(role, tuple(parts), name=name(item.get("name")))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _joined(parts: Iterable[MessagePart]) -> str:
    return "\n".join(part.content or part.uri for part in parts)


def _part(item: dict[str, Any]) -> MessagePart:
    """One typed part of a content list."""
    kind = name(item.get("type"))
    if kind in ("text", "input_text", "output_text"):
        return MessagePart("text", text(item.get("text")))
    if kind == "refusal":
        return MessagePart("refusal", text(item.get("refusal")))
    if kind == "thinking":  # Mistral: a list of text parts; what it nests further is not followed
        given = item.get("thinking")
        said = [text(mapping(one).get("text", one)) for one in _listed(given)]
        return MessagePart("reasoning", "\n".join(said))
    if kind in ("image_url", "input_image"):
        link = item.get("image_url")
        link = link.get("url") if isinstance(link, dict) else link
        if link is None:
            return MessagePart("file", id=name(item.get("file_id")), modality="image")
        return inline(text(link), "image")
    if kind == "input_audio":
        audio = mapping(item.get("input_audio"))
        kind_of = name(audio.get("format"))
        return MessagePart(
            "blob",
            modality="audio",
            media_type=f"audio/{kind_of}" if kind_of else "",
            size=len(text(audio.get("data"))),
        )
    if kind in ("file", "input_file"):
        file = mapping(item.get("file")) or item
        data, title = text(file.get("file_data")), name(file.get("filename"))
        if data:
            return MessagePart("blob", name=title, size=len(data))
        if text(file.get("file_url")):
            return MessagePart("uri", uri=text(file.get("file_url")), name=title)
        return MessagePart("file", id=name(file.get("file_id")), name=title)
    return MessagePart("other", name=kind)
