"""The facts that are compared: read once by our dialect and once by a provider's own SDK."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from affidavit.providers.facts import Message, MessagePart, ResponseFacts


class Call(msgspec.Struct, frozen=True):
    """A tool call; ``arguments`` are compared as JSON values where they are JSON."""

    id: str
    name: str
    arguments: Any


class Output(msgspec.Struct, frozen=True):
    """One choice or the output of one message."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """Everything compared between us and an SDK."""

    id: str = ""
    model: str = ""
    fingerprint: str = ""
    finish_reasons: tuple[str, ...] = ()
    usage: dict[str, int] = {}
    outputs: tuple[Output, ...] = ()
    error: tuple[int, str, str, str] | None = None


def json_value(text: str) -> Any:
    """Arguments as a value where they are JSON, else as they are."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def known(pairs: Iterable[tuple[str, int | None]]) -> dict[str, int]:
    """Counts that the SDK has, by OpenTelemetry name."""
    return {f"gen_ai.usage.{name}": value for name, value in pairs if value is not None}


def ours(facts: ResponseFacts) -> Reading:
    """Our facts, in the shape of the comparison."""
    error = facts.error
    return Reading(
        facts.id,
        facts.model,
        facts.fingerprint,
        facts.finish_reasons,
        facts.usage,
        tuple(output(message) for message in facts.messages),
        (facts.status, error.code, error.type, error.message) if error else None,
    )


def output(message: Message) -> Output:
    """One output message, in the shape of the comparison."""

    def joined(kind: str) -> str:
        return "".join(part.content for part in message.parts if part.type == kind)

    calls = [part for part in message.parts if part.type in ("tool_call", "server_tool_call")]
    return Output(
        joined("text"), joined("reasoning"), joined("refusal"), tuple(_call(c) for c in calls)
    )


def _call(part: MessagePart) -> Call:
    return Call(part.id, part.name, json_value(part.arguments))
