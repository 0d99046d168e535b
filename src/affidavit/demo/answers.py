"""What the demo models say: the same answer to the same question, and honest about its source.

Rules: an answer is a function of the request alone; it names itself as a demo and quotes the
question at most in part; token counts are one per four characters, rounded up, and are the same
wherever a request is counted. Not here: how an API wraps an answer (``openai``, ``anthropic``).
"""

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

CHAT_MODEL = "demo-chat"
SLOW_MODEL = "demo-slow"
ERROR_MODEL = "demo-error"
EMBED_MODEL = "demo-embed"
PREFIX = "demo-"
MODELS = (CHAT_MODEL, "demo-mini", SLOW_MODEL, ERROR_MODEL, EMBED_MODEL)
"""What the provider lists; any other name that starts with ``demo-`` answers like the first."""

NOT_REAL = "(This is a demo model on your own machine; the answer is not from a real provider.)"
_SLOW_WORDS = 400
_DIMENSIONS = 64

_OPENINGS = (
    "Good question.",
    "Happy to help.",
    "Here is a short answer.",
    "Let me put it simply.",
)
_BODIES = (
    "A record is worth most when it was made before anybody knew that it would be needed.",
    "Write down what was asked, what was answered, by which model, and on whose behalf.",
    "A log tells you what happened; a proof tells you that nothing was left out.",
    "Two people who hold the same checkpoint agree about everything that came before it.",
)


@dataclass(frozen=True)
class ToolCall:
    """A tool the demo model wants called; ``arguments`` is JSON text."""

    name: str
    arguments: str


def digest(value: Any) -> str:
    """32 hexadecimal digits that depend on the JSON value alone."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def answer(model: str, question: str) -> str:
    """The text a demo model answers to ``question``; ``demo-slow`` answers at length."""
    seed = hashlib.sha256(question.encode("utf-8", "surrogatepass")).digest()
    topic = " ".join(question.split())[:60]
    said = f"You asked about “{topic}”. " if topic else ""
    if model == SLOW_MODEL:
        sentences = " ".join(_BODIES).split()
        words = (sentences * (_SLOW_WORDS // len(sentences) + 1))[:_SLOW_WORDS]
        return f"{said}{' '.join(words)} {NOT_REAL}"
    opening, body = _OPENINGS[seed[0] % 4], _BODIES[seed[1] % 4]
    return f"{opening} {said}{body} {NOT_REAL}"


def after_tool(result: str) -> str:
    """The text a demo model answers once a tool has returned ``result``."""
    shown = " ".join(result.split())[:200]
    return f"The tool returned: {shown} {NOT_REAL}"


def tool_call(name: str, schema: Any, question: str) -> ToolCall:
    """A call of the named tool whose arguments fit the required part of its JSON schema.

    Texts among them are the beginning of ``question``.
    """
    topic = " ".join(question.split())[:80] or "demo"
    return ToolCall(name, json.dumps(_example(schema, topic, 0), ensure_ascii=False))


def _example(schema: Any, topic: str, depth: int) -> Any:
    """A small value that a JSON schema of the usual kind accepts."""
    if not isinstance(schema, dict) or depth > 8:
        return {} if depth == 0 else topic
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type", "object" if depth == 0 else "string")
    if kind == "object":
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        wanted = schema.get("required")
        names = wanted if isinstance(wanted, list) else list(properties)
        return {str(name): _example(properties.get(name), topic, depth + 1) for name in names}
    plain: dict[Any, Any] = {
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "null": None,
    }
    return plain.get(kind, topic) if isinstance(kind, str) else topic


def words(text: str) -> list[str]:
    """The text in pieces of one word each, spaces kept, as a stream sends it."""
    pieces = text.split(" ")
    return [piece if number == 0 else f" {piece}" for number, piece in enumerate(pieces)]


def tokens(text: str) -> int:
    """How many tokens the provider counts for ``text``: one per four characters, at least 1."""
    return max(1, math.ceil(len(text) / 4))


def embedding(text: str, dimensions: int = _DIMENSIONS) -> list[float]:
    """A vector of length one that depends on the text alone, exact in 32-bit floats."""
    seed = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(dimensions * 2)
    raw = [value - 32767.5 for value in struct.unpack(f">{dimensions}H", seed)]
    length = math.sqrt(sum(value * value for value in raw))
    packed = struct.pack(f"<{dimensions}f", *(value / length for value in raw))
    return list(struct.unpack(f"<{dimensions}f", packed))
