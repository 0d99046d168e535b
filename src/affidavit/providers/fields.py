"""Reading foreign JSON without trusting its shape: each function gives a value or its absence.

Nothing here raises, whatever the type of what it is given. Names (models, tools, ids) are
bounded, so that a record's sections stay small; texts are not, as they are in the body anyway.
"""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from affidavit.providers.facts import MAX_NAME

MAX_TOOLS = 256

_encode = msgspec.json.Encoder().encode


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The objects in ``value`` if it is an array, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """``value`` if it is a string, else ``""``."""
    return value if isinstance(value, str) else ""


def name(value: Any) -> str:
    """``value`` if it is a string of at most ``MAX_NAME`` characters, else ``""``."""
    return value if isinstance(value, str) and len(value) <= MAX_NAME else ""


def label(value: Any) -> str:
    """A name that some providers send as a number, such as an error code."""
    return str(value) if type(value) is int and abs(value) < 10**18 else name(value)


def count(value: Any) -> int | None:
    """``value`` if it is a count that fits 63 bits, else ``None``."""
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def number(value: Any) -> int | float | None:
    """``value`` if it is a finite number, else ``None``."""
    if type(value) is int:
        return value if abs(value) < 1 << 63 else None
    return value if type(value) is float and math.isfinite(value) else None


def names(values: Iterable[Any]) -> tuple[str, ...]:
    """The names among ``values``, each once, at most ``MAX_TOOLS``."""
    found = dict.fromkeys(name(value) for value in values)
    found.pop("", None)
    return tuple(found)[:MAX_TOOLS]


def compact(value: Any) -> str:
    """JSON text of a value; a string as it is; ``""`` for ``None`` and for what is too deep."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return _encode(value).decode()
    except RecursionError:
        return ""


def usage(pairs: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Counts by OpenTelemetry name (without ``gen_ai.usage.``), those that are counts."""
    return {f"gen_ai.usage.{key}": value for key, value in pairs if count(value) is not None}


def cost(counts: dict[str, Any]) -> float | None:
    """``cost`` beside the counts of a usage (OpenRouter and others); ``None`` if there is none."""
    value = number(counts.get("cost"))
    return None if value is None or value < 0 else float(value)


def parameters(body: dict[str, Any], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Request parameters by OpenTelemetry name: (field of the body, ``gen_ai.request.…``)."""
    found: dict[str, Any] = {}
    for field, key in pairs:
        value = body.get(field)
        if value is not None and number(value) is not None:
            found[f"gen_ai.request.{key}"] = value
    return found


def stop_sequences(value: Any) -> list[str]:
    """One stop sequence or several, those that are short strings."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and len(item) <= MAX_NAME][:64]
