r"""Make characters visible that change how other text is seen.

Rules: what models and callers write is hostile until shown otherwise; control characters,
terminal escapes, direction overrides, invisible tags and separators are shown as escapes
(``\x1b``, ``\u202e``), for people only: bytes, digests and ``--json`` stay as they are. Line
breaks and tabs are kept where a text has several lines. Joiners inside words and emoji are kept.
Not here: escaping for HTML (``html``).
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from affidavit.clock import to_unix_us

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_KEPT = frozenset("\u200c\u200d")
UNSEEN = ("withheld", "erased", "missing", "corrupt", "pending")
"""States of content that are said in place of it."""
MAX_MARKS = 4
"""Combining marks in a row that are kept; more only cover the lines around them."""
_BESIDE_US = 1_000_000
"""What happened no further than that from the ledger's time needs no time of its own."""


def visible(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with every hidden character as an escape; ``lines`` keeps breaks and tabs."""
    shown = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if lines and character in "\n\t":
            shown.append(character)
        elif category in _HIDDEN and character not in _KEPT:
            shown.append(_escape(character))
        elif marks <= MAX_MARKS:
            shown.append(character)
    return "".join(shown)


def snippet(text: str, width: int) -> str:
    """The beginning of ``text`` on one line, at most ``width`` characters, hidden ones visible."""
    line = visible(" ".join(text[: width * 4].split()))
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def by_whom(row: Mapping[str, Any]) -> str:
    """Who did what a row tells, by name if it is known, else the pseudonym; ``""`` if nobody is.

    The person of a ``change.key`` is whose key it is, and not who made or revoked it.
    """
    name = None if row.get("type") == "change.key" else row.get("name")
    return str(name or row.get("actor") or "")


def happened(line: Mapping[str, Any]) -> str:
    """When a record happened, as its source says, to the second.

    ``""`` where that is within a second of the ledger's time, which stands beside it.
    """
    apart = abs(to_unix_us(line["time"]) - to_unix_us(line["at"]))
    if apart <= _BESIDE_US:
        return ""
    return f"happened {line['at'][:19].replace('T', ' ')} UTC, as its source says"


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
