"""Where two texts differ: line by line, and within changed lines word by word.

Rules: ``difflib`` on lines, then on the words of lines that were replaced by similar ones; nothing
is normalised, so every difference is there, blanks and hidden characters included (whoever shows
it makes them visible). Equal stretches are cut to a few lines. Texts are compared within limits,
since callers and models write what they like; what is beyond is named, never passed over. Not
here: whose texts these are.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

import msgspec

MAX_CHARACTERS = 400_000
MAX_LINES = 1_500
MAX_WORDS = 4_000
CONTEXT = 3
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_SIMILAR = 0.3
_BUDGET = 40_000
"""Words, all in all, that are compared one by one."""

Op = Literal[" ", "-", "+", "~", "…"]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Some words: in both (`` ``), only in the first (``-``), only in the second (``+``)."""

    op: Literal[" ", "-", "+"]
    text: str


class DiffLine(msgspec.Struct, frozen=True):
    """A line in both (`` ``), only in the first (``-``) or second (``+``), or changed (``~``).

    ``…`` says in words how many equal lines are left out, or that the rest was not compared.
    """

    op: Op
    pieces: list[Piece]


def diff(first: str, second: str) -> list[DiffLine]:
    """The differences with their surroundings; empty if the texts are the same."""
    if first == second:
        return []
    a, b = _lines(first), _lines(second)
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    cut = max(len(a), len(b)) - head > MAX_LINES
    begin = max(head - CONTEXT, 0)
    found = [_told(f"{begin} equal lines")] if begin else []
    a, b = a[begin : head + MAX_LINES], b[begin : head + MAX_LINES]
    found += _compared(a, b)
    if cut or len(first) > MAX_CHARACTERS or len(second) > MAX_CHARACTERS:
        found.append(_told("the rest was not compared: the texts are too long"))
    return found


def _lines(text: str) -> list[str]:
    return text[:MAX_CHARACTERS].split("\n")


def _told(words: str) -> DiffLine:
    return DiffLine("…", [Piece(" ", words)])


def _compared(a: Sequence[str], b: Sequence[str]) -> Iterator[DiffLine]:
    left = _BUDGET
    blocks = SequenceMatcher(None, a, b).get_opcodes()
    for place, (tag, i, j, k, end) in enumerate(blocks):
        if tag == "equal":
            yield from _equal(a[i:j], first=not place, last=place == len(blocks) - 1)
            continue
        both = min(j - i, end - k)
        for old, new in zip(a[i : i + both], b[k : k + both], strict=True):
            words = len(old) + len(new)
            pieces = _words(old, new) if words <= left else None
            left -= min(words, left)
            if pieces is not None:
                yield DiffLine("~", pieces)
            else:
                yield from (DiffLine("-", [Piece("-", old)]), DiffLine("+", [Piece("+", new)]))
        yield from (DiffLine("-", [Piece("-", text)]) for text in a[i + both : j])
        yield from (DiffLine("+", [Piece("+", text)]) for text in b[k + both : end])


def _equal(lines: Sequence[str], *, first: bool, last: bool) -> Iterator[DiffLine]:
    """Equal lines, those away from a difference as a number."""
    head = 0 if first else CONTEXT
    tail = 0 if last else CONTEXT
    if len(lines) <= head + tail + 1:
        yield from (DiffLine(" ", [Piece(" ", text)]) for text in lines)
        return
    yield from (DiffLine(" ", [Piece(" ", text)]) for text in lines[:head])
    yield _told(f"{len(lines) - head - tail} equal lines")
    yield from (DiffLine(" ", [Piece(" ", text)]) for text in lines[len(lines) - tail :])


def _words(old: str, new: str) -> list[Piece] | None:
    """One line with its changes, ``None`` if the two have too little in common."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    if len(a) > MAX_WORDS or len(b) > MAX_WORDS:
        return None
    matcher = SequenceMatcher(None, a, b)  # frequent words of a long line do not count: bounded
    if matcher.quick_ratio() < _SIMILAR or matcher.ratio() < _SIMILAR:
        return None
    found: list[Piece] = []
    for tag, i, j, k, end in matcher.get_opcodes():
        if tag == "equal":
            found.append(Piece(" ", "".join(a[i:j])))
            continue
        if i < j:
            found.append(Piece("-", "".join(a[i:j])))
        if k < end:
            found.append(Piece("+", "".join(b[k:end])))
    return found
