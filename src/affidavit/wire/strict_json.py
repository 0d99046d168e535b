"""JSON two ways: strictly for formats that are ours, leniently for what providers exchange.

``loads`` refuses whatever two parsers could read differently: duplicate keys, NaN and
infinities, numbers out of range, lone surrogates, a byte order mark, trailing bytes, deep
nesting, bytes that are not UTF-8. ``lenient`` never raises: it gives the best reading there is
and names what is wrong, because failing to understand must never be failing to record.

Speed: both decode with msgspec and encode the result again. When that gives the same bytes but
for the space between tokens, as it does for the JSON that clients send, nothing can have been
lost in between and there is no duplicate key; only otherwise does the slower standard parser
look for one.
"""

import json
from typing import Any, NamedTuple

import msgspec

from affidavit.errors import ParseError

MAX_DEPTH = 64

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Parsed(NamedTuple):
    """What ``lenient`` made of some bytes.

    ``problem`` is ``""`` if they are JSON that has one reading, else a short reason; ``value``
    is then the best reading (of duplicate keys the last, as most parsers take it), ``None``
    where there is none.
    """

    value: Any
    problem: str


def loads(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Decode one JSON text of ours; ParseError names the first thing that is not allowed.

    ``max_depth`` is the largest allowed number of nested arrays and objects.
    """
    try:
        value = _decode(data)
    except RecursionError:
        raise ParseError("The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ParseError("The bytes are not strict JSON in UTF-8.") from None
    if _deeper_than(value, max_depth):
        raise ParseError("The JSON is nested too deeply.")
    if has_duplicate_keys(data, value):
        raise ParseError("The JSON has a key twice in one object.")
    return value


def lenient(data: bytes, *, duplicates: bool = True) -> Parsed:
    """Read JSON of unknown quality; never raises.

    ``duplicates=False`` does not look for duplicate keys, for texts where nothing rests on it.
    """
    try:
        value = _decode(data)
        if duplicates and has_duplicate_keys(data, value):
            return Parsed(value, "duplicate key")
    except RecursionError:
        return Parsed(None, "nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _second_reading(data)
    return Parsed(value, "")


def has_duplicate_keys(data: bytes, value: Any) -> bool:
    """Tell whether ``data``, already decoded to ``value``, has a key twice in one object."""
    try:
        compact = _encode(value)
        if compact == data or compact == msgspec.json.format(data, indent=-1):
            return False
    except RecursionError:
        return True  # nesting that cannot be followed is not known to be without one
    try:
        json.loads(data, object_pairs_hook=_refuse_duplicates)
    except _DuplicateKeyError:
        return True
    except (ValueError, RecursionError):
        # What one parser reads and the other refuses has no single reading.
        return True
    return False


class _DuplicateKeyError(Exception):
    """Ends the standard parser early; never leaves this module."""


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _DuplicateKeyError


def _deeper_than(value: Any, limit: int) -> bool:
    """Tell whether containers are nested more than ``limit`` deep, level by level."""
    level = [value]
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return any(isinstance(child, dict | list) for child in level)


def _second_reading(data: bytes) -> Parsed:
    """Read what msgspec refused with the standard parser, and say what the matter is."""
    problem = "not strict JSON"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text, problem = data.decode("utf-8", "replace"), "not UTF-8"
    if text.startswith("\ufeff"):
        text, problem = text[1:], "byte order mark"
    try:
        value = json.loads(text)
        # Lone surrogates are no text: nothing downstream could encode them.
        clean = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return Parsed(json.loads(clean), problem)
    except (ValueError, RecursionError):
        return Parsed(None, "not JSON")
