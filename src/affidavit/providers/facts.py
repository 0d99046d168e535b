"""What a dialect read from an exchange, in one shape for all providers.

Names follow OpenTelemetry GenAI where it has one (``gen_ai.*``), messages its message schema.
Rules: an empty string or an empty tuple means "not known"; token counts are the provider's own,
with one translation: ``gen_ai.usage.input_tokens`` counts cached tokens too, as OpenTelemetry
wants it and OpenAI does, so for Anthropic it is the sum of three of its numbers.

``what`` and ``outcome`` give the part of those two sections that comes from the bytes; what
only the gateway knows (target, headers, times, who) is not here. What identifies a person
(``end_user``, ``session``) is a field and never part of ``what``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

YES = "yes"
"""Value of ``parsed`` when the bytes have one reading and it was understood."""

MAX_ERROR = 2_000
"""Characters of a provider's error message that a record's section has; the body has it all."""

_TOOL_CALLS = ("tool_call", "server_tool_call")

MAX_NAME = 512
"""Longest model, tool or id that is taken over as a name; longer ones count as not known."""


class MessagePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a message.

    ``type``: ``text`` ``reasoning`` ``refusal`` (``content``, for reasoning also ``signature``);
    ``tool_call`` ``server_tool_call`` (``id``, ``name``, ``arguments`` as the exact text sent, or
    compact JSON where the provider sends an object); ``tool_call_response``
    ``server_tool_call_response`` (``id``, ``content``); ``uri`` ``file`` ``blob`` (``uri`` or
    ``id`` or ``size`` in characters of the inline data, never the data; ``media_type``,
    ``modality``); ``other`` (``name`` is the provider's type).
    """

    type: str
    content: str = ""
    id: str = ""
    name: str = ""
    arguments: str = ""
    uri: str = ""
    media_type: str = ""
    modality: str = ""
    size: int = 0
    signature: str = ""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message: ``role`` as the provider spells it; parts in order; of outputs why it ended."""

    role: str
    parts: tuple[MessagePart, ...] = ()
    finish_reason: str = ""
    name: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool the model called; ``server`` when the provider ran it itself."""

    id: str
    name: str
    arguments: str
    server: bool = False


class Error(msgspec.Struct, frozen=True):
    """The provider's own error; each field as it spelt it, ``""`` where it gave none."""

    code: str = ""
    message: str = ""
    type: str = ""


class RequestFacts(msgspec.Struct, frozen=True):
    """What a request asks for.

    ``api`` names the endpoint (``chat.completions`` ``responses`` ``completions`` ``embeddings``
    ``models`` ``messages`` ``messages.count_tokens`` ``responses.input_tokens`` ``opaque``) and
    ``operation`` the kind of work in OpenTelemetry's words. ``model`` is spelt as the caller
    did. ``end_user``, ``session``: the caller's own ids from the body. ``parsed`` is ``yes`` or
    ``unparsed: <reason>``; the other facts are then the best reading there is, and whoever
    attributes by them also joins the unattributed chains. ``document`` is the decoded body, for
    ``Dialect.conversation``; it belongs in no record.
    """

    dialect: str
    provider: str
    parser: str
    api: str = "opaque"
    operation: str = "opaque"
    parsed: str = YES
    model: str = ""
    stream: bool = False
    parameters: dict[str, Any] = {}
    tools_offered: tuple[str, ...] = ()
    previous_response_id: str = ""
    conversation: str = ""
    end_user: str = ""
    session: str = ""
    document: Any = None

    def what(self) -> dict[str, Any]:
        """This request's part of the section ``what``."""
        named = {
            "dialect": self.dialect,
            "gen_ai.provider.name": self.provider,
            "api": self.api,
            "gen_ai.operation.name": self.operation,
            "gen_ai.request.model": self.model,
            "tools_offered": list(self.tools_offered),
            "previous_response_id": self.previous_response_id,
            "gen_ai.conversation.id": self.conversation,
            "parser": self.parser,
            "parsed": self.parsed,
        }
        return {**_known(named), **self.parameters}


class ResponseFacts(msgspec.Struct, frozen=True):
    """What a response says.

    ``model`` is the one that served it. ``usage`` maps OpenTelemetry names to counts;
    ``cost`` is what the provider says the exchange cost, in the unit it charges in.
    ``messages`` are the outputs, one for each choice. ``error`` is set for an error body and for
    an error event in a stream. ``expects_terminal``: this is a stream whose protocol has a last
    event; ``terminal``: it was seen (or an error event, after which nothing comes). A stream
    that expects one and ends without is truncated, whatever its framing says. Of a whole body
    ``terminal`` tells whether it decoded and parsed as what it claims to be.
    """

    dialect: str
    provider: str
    parser: str
    status: int
    parsed: str = YES
    id: str = ""
    model: str = ""
    fingerprint: str = ""
    finish_reasons: tuple[str, ...] = ()
    usage: dict[str, int] = {}
    cost: float | None = None
    messages: tuple[Message, ...] = ()
    error: Error | None = None
    request_id: str = ""
    previous_response_id: str = ""
    conversation: str = ""
    streamed: bool = False
    expects_terminal: bool = False
    terminal: bool = False

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools called, in order of occurrence."""
        return tuple(
            ToolCall(part.id, part.name, part.arguments, part.type == "server_tool_call")
            for message in self.messages
            for part in message.parts
            if part.type in _TOOL_CALLS
        )

    @property
    def tools_called(self) -> tuple[str, ...]:
        """Names of the tools called, each once, in order of first occurrence."""
        names: dict[str, None] = {}
        for message in self.messages:
            for part in message.parts:
                if part.type in _TOOL_CALLS and part.name:
                    names[part.name] = None
        return tuple(names)

    @property
    def text(self) -> str:
        """The text of all choices, choice after choice, without reasoning and refusals."""
        return "".join(
            part.content
            for message in self.messages
            for part in message.parts
            if part.type == "text"
        )

    def what(self) -> dict[str, Any]:
        """This response's part of the section ``what``."""
        return _known(
            {
                "dialect": self.dialect,
                "gen_ai.provider.name": self.provider,
                "gen_ai.response.id": self.id,
                "gen_ai.response.model": self.model,
                "openai.response.system_fingerprint": self.fingerprint,
                "tools_called": list(self.tools_called),
                "request_id": self.request_id,
                "previous_response_id": self.previous_response_id,
                "gen_ai.conversation.id": self.conversation,
                "parser": self.parser,
                "parsed": self.parsed,
            }
        )

    def outcome(self) -> dict[str, Any]:
        """This response's part of the section ``outcome``; which outcome it is, is not here."""
        named: dict[str, Any] = {"http.response.status_code": self.status}
        if self.finish_reasons:
            named["gen_ai.response.finish_reasons"] = list(self.finish_reasons)
        named.update(self.usage)
        if self.cost is not None:
            named["cost"] = self.cost
        if self.error is not None:
            error = self.error
            named["error"] = _known(
                {"code": error.code, "message": error.message[:MAX_ERROR], "type": error.type}
            )
        return named


def text_of(messages: Iterable[Message]) -> str:
    """Join what people would search for: texts, reasoning, refusals, tool names and arguments."""
    pieces: list[str] = []
    for message in messages:
        for part in message.parts:
            pieces += [text for text in (part.name, part.content, part.arguments, part.uri) if text]
    return "\n".join(pieces)


def _known(named: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not known."""
    return {name: value for name, value in named.items() if value}
