"""What could stand next in an expression, at a place in it: operators, fields, values.

Rules: nothing is offered that would be refused: a field whose section the reader may not see is
not there. Values of closed sets come from the field table, all others from records that the reader
may see (``known``); which field's, if any, is told, because that is a read. Names of people are
never offered, nor is what a terminal would not show as it is. Every suggestion, put in the place
of what stands there, is one the parser understands. Not here: that the read is recorded (whoever
asks does that), and shells (``cli.completion``).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from affidavit.errors import UsageError
from affidavit.query.boundary import Boundary
from affidavit.query.fields import ALIASES, FIELDS, HAS, Field
from affidavit.query.language import quoted

MAX_SUGGESTIONS = 100
_NAMED = re.compile(r"([A-Za-z_.]+)(:|<=|>=|<|>|=)")
_OPERATORS = ("AND", "NOT", "OR")
_COMPARED = {"number": (">", ">=", "<", "<=", "="), "time": (">=", "<", ":")}
_WINDOWS = ("24h", "7d", "30d", "90d")

Known = Callable[[Field], Sequence[str]]
"""The values of a field in records that the reader may see, most frequent first."""


class Suggestion(NamedTuple):
    """``text`` goes in the place of what stands there. ``kind``: field, operator or value."""

    text: str
    kind: str
    help: str = ""


class Completion(NamedTuple):
    """``text`` of each suggestion replaces the expression from ``start`` to ``end``.

    ``field``: whose values in records were looked up, ``None`` if no record was looked at.
    """

    start: int
    end: int
    suggestions: tuple[Suggestion, ...]
    field: str | None = None


def complete(expression: str, position: int | None, boundary: Boundary, known: Known) -> Completion:
    """What could stand at ``position`` (0-based; the end if ``None``) of ``expression``.

    At most ``MAX_SUGGESTIONS``; none inside a phrase and where nothing is known. ``known`` is asked
    only if values of records are wanted. ``UsageError`` for a position outside the expression.
    """
    end = len(expression) if position is None else position
    if not 0 <= end <= len(expression):
        raise UsageError(f"The expression has {len(expression)} characters; {end} is outside it.")
    start, quote = _word(expression[:end])
    word = expression[start:end]
    named = _NAMED.match(word)
    if named is not None:
        field = FIELDS.get(ALIASES.get(named[1].lower(), named[1].lower()))
        if field is None or not _askable(field, boundary):
            return Completion(start, end, ())
        given = word[named.end() :]
        if quote is not None:
            if quote != start + named.end():
                return Completion(start, end, ())
            given = re.sub(r"\\(.)", r"\1", given[1:])
        elif given.endswith('"'):
            return Completion(start, end, ())  # a value that is closed
        values, read = _values(field, named[2], boundary, known)
        found = _beginning(values, given)
        told = tuple(Suggestion(named[0] + quoted(value), "value", about) for value, about in found)
        return Completion(start, end, told[:MAX_SUGGESTIONS], field.name if read else None)
    if '"' in word:
        return Completion(start, end, ())
    names = [*_operators(word, expression[:start]), *_fields(word.lower(), boundary)]
    return Completion(start, end, tuple(names)[:MAX_SUGGESTIONS])


def _word(before: str) -> tuple[int, int | None]:
    """Where the word begins that ends here, and where a quote in it that is still open."""
    start, at = 0, 0
    while at < len(before):
        letter = before[at]
        if letter.isspace() or letter in "()" or (letter == "-" and at == start):
            start = at + 1
        elif letter == '"':
            opened = at
            at += 1
            while at < len(before) and before[at] != '"':
                at += 2 if before[at] == "\\" else 1
            if at >= len(before):
                return start, opened
        at += 1
    return start, None


def _askable(field: Field, boundary: Boundary) -> bool:
    if field.kind == "text":
        return boundary.content != "never"
    return field.section == "leaf" or field.section in boundary.sections


def _fields(word: str, boundary: Boundary) -> Iterable[Suggestion]:
    """Fields that begin so, as far as the reader may ask for them."""
    for name in (*FIELDS, *ALIASES):
        field = FIELDS[ALIASES.get(name, name)]
        if not name.startswith(word) or not _askable(field, boundary):
            continue
        signs = _COMPARED.get(field.kind, (":",))
        if name in ("since", "until"):
            signs = (":",)
        for sign in signs if name == word else signs[:1]:
            yield Suggestion(name + sign, "field", field.help)


def _operators(word: str, before: str) -> Iterable[Suggestion]:
    """The operators that begin so, where a condition stands before them that they can join."""
    joins = before.rstrip(" -")
    last = joins.rpartition(" ")[2].lstrip("(")
    after = bool(joins) and not joins.endswith("(") and last not in _OPERATORS
    for operator in _OPERATORS:
        if operator.startswith(word) and (after or operator == "NOT") and not before.endswith("-"):
            yield Suggestion(f"{operator} ", "operator")


def _values(
    field: Field, sign: str, boundary: Boundary, known: Known
) -> tuple[Iterable[tuple[str, str]], bool]:
    """Values to choose from with what they mean, and whether records were looked at."""
    if field.kind == "has":
        open_to = boundary.sections | {"leaf"}
        return [(one.name, one.help) for one in HAS.values() if one.section in open_to], False
    if field.kind == "time":
        return [(ago, "") for ago in _WINDOWS] if sign == ":" else [], False
    if field.kind != "name" or sign != ":":
        return [], False
    if not field.suggested:
        return [(value, "") for value in field.values], False
    return [(value, "") for value in dict.fromkeys((*field.values, *known(field)))], True


def _beginning(values: Iterable[tuple[str, str]], given: str) -> Iterable[tuple[str, str]]:
    """Those that begin so, in whatever case, and that a terminal shows as they are."""
    wanted = given.casefold()
    for value, about in values:
        if value.isprintable() and value.casefold().startswith(wanted):
            yield value, about
