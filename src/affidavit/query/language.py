"""From the words of an expression to a tree, and back.

::

    expression = either
    either     = all { "OR" all }                OR binds less than standing side by side
    all        = unary { [ "AND" ] unary }
    unary      = { "-" | "NOT" } primary
    primary    = "(" either ")" | field ":" value | field compare number-or-time | words
    value      = text [ "*" ] | quoted [ "*" ]   * at the end: begins with
    words      = word [ "*" ] | quoted [ "*" ]

Rules: times become absolute here, so what is recorded of a question stays true; whatever is not
understood is an ``ExpressionError`` with its position (0-based) and, for a field or a value of a
closed set, the nearest name. Lengths are bounded before anything is parsed. Not here: what fields
there are (``fields``).
"""

import datetime as dt
import difflib
import re
from typing import Literal, NoReturn

from affidavit.clock import add_seconds
from affidavit.errors import ExpressionError
from affidavit.query import phrases
from affidavit.query.fields import ALIASES, FIELDS, Field
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Nothing,
    Number,
    Operator,
    Or,
    Phrase,
    Tree,
)

MAX_LENGTH = 4_096
MAX_DEPTH = 32
MAX_TERMS = 128

_WORD = re.compile(r'[^\s()"]+')
_FIELD = re.compile(r"([A-Za-z_.]+)(:|<=|>=|<|>|=)")
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_CLASS = re.compile(r"[1-5][xX]{2}")
_FEW = 15
"""Closed sets of so many values are listed beside the nearest one."""
_OPERATORS = ("AND", "OR", "NOT")
_PLAIN = re.compile(r'[^\s()"*\\]+')


def parse(text: str, now: str) -> Tree:
    """The tree of an expression; ``""`` is ``All``. ``now`` (stored time) is what "ago" refers to.

    ``ExpressionError`` with ``position`` and ``nearest`` in its detail.
    """
    return read(Parser(text, now))


def read(parser: "Parser") -> Tree:
    """The tree of a parser's whole text, as ``parse``."""
    text = parser.text
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"The expression has {len(text)} characters; at most {MAX_LENGTH} are read.",
            position=MAX_LENGTH, nearest=None,
        )  # fmt: skip
    parser.space()
    if parser.done():
        return All()
    tree = parser.either(0)
    if not parser.done():
        parser.fail("A closing parenthesis has no opening one.")
    return tree


def unparse(tree: Tree) -> str:
    """The expression of a tree that ``parse`` made: ``parse(unparse(tree), …) == tree``.

    A tree made otherwise (a boundary) is spelt readably; ``Nothing`` and an ``All`` inside have
    no words of their own and are written ``nothing`` and ``everything`` in angle brackets.
    """
    return "" if isinstance(tree, All) else _spell(tree, inside=False)


class Parser:
    """Recursive descent over one expression; ``at`` is where it stands."""

    def __init__(self, text: str, now: str) -> None:
        self.text = text
        self.now = now
        self.at = 0
        self.terms = 0
        self.words = 0

    def fail(
        self, message: str, at: int | None = None, nearest: str | None = None, hint: str = ""
    ) -> NoReturn:
        """Raise the error of this place, or of ``at``."""
        raise ExpressionError(
            message, hint=hint, position=self.at if at is None else at, nearest=nearest
        )

    def done(self) -> bool:
        """Whether everything was read."""
        return self.at >= len(self.text)

    def space(self) -> None:
        """Step over space."""
        while not self.done() and self.text[self.at].isspace():
            self.at += 1

    def sees(self, operator: str) -> bool:
        """Whether ``operator`` stands here as a word of its own."""
        end = self.at + len(operator)
        follows = self.text[end : end + 1]
        return self.text[self.at : end] == operator and (
            not follows or follows.isspace() or follows in '()"'
        )

    def word(self, operator: str) -> bool:
        """Step over ``operator`` if it stands here."""
        if not self.sees(operator):
            return False
        self.at += len(operator)
        self.space()
        return True

    def either(self, depth: int) -> Tree:
        """Conditions of which one has to hold."""
        if depth > MAX_DEPTH:
            self.fail(f"Parentheses and negations are nested more than {MAX_DEPTH} deep.")
        found = [self.every(depth)]
        while self.word("OR"):
            found.append(self.every(depth))
        return found[0] if len(found) == 1 else Or(_flat(found, Or))

    def every(self, depth: int) -> Tree:
        """Conditions that all have to hold."""
        found = [self.unary(depth)]
        while self.word("AND") or not (self.done() or self.text[self.at] == ")" or self.sees("OR")):
            found.append(self.unary(depth))
        return found[0] if len(found) == 1 else And(_flat(found, And))

    def unary(self, depth: int) -> Tree:
        """A condition, perhaps negated."""
        negations = 0
        while not self.done():
            if self.text[self.at] == "-":
                self.at += 1
            elif not self.word("NOT"):
                break
            negations += 1
            if depth + negations > MAX_DEPTH:
                self.fail(f"Parentheses and negations are nested more than {MAX_DEPTH} deep.")
        tree = self.primary(depth + negations)
        for _ in range(negations):
            tree = Not(tree)
        return tree

    def primary(self, depth: int) -> Tree:
        """A condition, or conditions in parentheses."""
        if self.done():
            self.fail("The expression ends where a condition should stand.")
        start = self.at
        if self.text[start] == ")" or any(map(self.sees, _OPERATORS)):
            self.fail("Here a condition should stand.")
        if self.text[start] == "(":
            self.at += 1
            self.space()
            tree = self.either(depth + 1)
            if self.done():
                self.fail("The parenthesis that opens here is not closed.", start)
            self.at += 1
        else:
            self.terms += 1
            if self.terms > MAX_TERMS:
                self.fail(f"There are more than {MAX_TERMS} conditions.")
            tree = self.term()
        self.space()
        return tree

    def term(self) -> Tree:
        """One condition."""
        start = self.at
        named = _FIELD.match(self.text, self.at)
        if named is None:
            value, prefix = self.value("words to look for")
            return self.phrase(value, prefix, start)
        name = named[1].lower()
        field = FIELDS.get(ALIASES.get(name, name))
        if field is None:
            near = difflib.get_close_matches(name, (*FIELDS, *ALIASES), 1, 0.5)
            nearest = near[0] if near else None
            self.fail(
                f"There is no field {name!r}.", start, nearest,
                f"Did you mean {nearest}:?" if nearest else "Put text to look for in quotes.",
            )  # fmt: skip
        self.at = named.end()
        op = named[2]
        if field.kind == "number":
            return self.number(field, "=" if op == ":" else op)
        if field.kind == "time":
            return self.time(field, op)
        if op != ":":
            self.fail(f"{field.name} is compared with ':'.", named.start(2))
        at = self.at
        value, prefix = self.value(f"a value of {field.name}")
        if field.kind == "text":
            return self.phrase(value, prefix, at)
        if field.kind == "has":
            self.known(field, value, at)
            return Has(value)
        if not value and not prefix:
            self.fail(f"{field.name}: needs a value.", at)
        if field.closed:
            self.known(field, value, at, prefix=prefix)
        return Match(field.name, value, prefix)

    def known(self, field: Field, value: str, at: int, *, prefix: bool = False) -> None:
        """Fail, with what is nearest, unless the closed set of the field has such a value."""
        if "http" in field.columns and value.isdecimal():
            return
        if prefix and field.name != "values":
            if any(one.startswith(value) for one in field.values):
                return
        elif value in field.values and not prefix:
            return
        near = difflib.get_close_matches(value.lower(), field.values, 1, 0.5)
        nearest = near[0] if near else None
        if "http" in field.columns and _CLASS.fullmatch(value):
            nearest = f"{value[0]}*"
        hints = [f"Did you mean {field.name}:{nearest}?"] if nearest else []
        if not hints or len(field.values) <= _FEW:
            hints.append(f"It knows {', '.join(field.values)}.")
        self.fail(f"{field.name}: does not know {value!r}.", at, nearest, " ".join(hints))

    def value(self, what: str) -> tuple[str, bool]:
        """A quoted or plain text and whether ``*`` follows it."""
        if self.done():
            self.fail(f"The expression ends where {what} should stand.")
        if self.text[self.at] == '"':
            value = self.quoted()
            prefix = not self.done() and self.text[self.at] == "*"
            self.at += prefix
            return value, prefix
        start = self.at
        found = _WORD.match(self.text, self.at)
        if found is None:
            self.fail(f"Here {what} should stand.")
        self.at = found.end()
        value = found[0]
        prefix = value.endswith("*")
        value = value[:-1] if prefix else value
        if "*" in value:
            self.fail(
                "A * stands at the end of a value only.", start + value.index("*"), None,
                "Put the value in quotes if the * is part of it.",
            )  # fmt: skip
        return value, prefix

    def quoted(self) -> str:
        """What stands in quotes."""
        start = self.at
        found: list[str] = []
        self.at += 1
        while not self.text.startswith('"', self.at):
            if self.done():
                self.fail("The quote that opens here is not closed.", start)
            letter = self.text[self.at]
            if letter == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\"):
                self.at += 1
                letter = self.text[self.at]
            found.append(letter)
            self.at += 1
        self.at += 1
        return "".join(found)

    def phrase(self, value: str, prefix: bool, at: int) -> Tree:
        """Words to look for."""
        words = phrases.words_of(value)
        self.words += len(words)
        problem = phrases.problem(words, self.words, prefix=prefix)
        if problem:
            self.fail(problem, at)
        return Phrase(value, prefix)

    def number(self, field: Field, op: str) -> Tree:
        """A comparison with a number."""
        at = self.at
        found = _WORD.match(self.text, self.at)
        try:
            value = float(found[0]) if found else float("nan")
        except ValueError:
            value = float("nan")
        if found is None or not abs(value) < 2**53:
            self.fail(f"{field.name} is compared with a number.", at, None, f"As {field.example}.")
        self.at = found.end()
        operators: dict[str, Operator] = {"<": "<", "<=": "<=", "=": "=", ">=": ">=", ">": ">"}
        return Number(field.name, operators[op], value)

    def time(self, field: Field, op: str) -> Tree:
        """A comparison with a time."""
        at = self.at
        found = _WORD.match(self.text, self.at)
        given = found[0] if found else ""
        self.at += len(given)
        if field.name in ("since", "until"):
            if op != ":":
                self.fail(f"{field.name} is compared with ':'.", at - len(op))
            begin, _ = self.moment(given, at)
            return Moment("time", ">=" if field.name == "since" else "<", begin)
        name: Literal["time", "source_time"] = "time" if field.name == "time" else "source_time"
        first, dots, last = given.partition("..")
        if dots and op == ":":
            begin, _ = self.moment(first, at)
            _, end = self.moment(last, at + len(first) + 2)
            return And((Moment(name, ">=", begin), Moment(name, "<", end)))
        begin, end = self.moment(given, at)
        if op in ("<", ">="):
            return Moment(name, "<" if op == "<" else ">=", begin)
        if op in ("<=", ">"):
            return Moment(name, "<" if op == "<=" else ">=", end)
        return And((Moment(name, ">=", begin), Moment(name, "<", end)))

    def moment(self, given: str, at: int) -> tuple[str, str]:
        """First instant of what is meant and the first instant after it (a day or 1 µs on)."""
        ago = _AGO.fullmatch(given)
        try:
            if ago:
                begin = add_seconds(self.now, -int(ago[1]) * _SECONDS[ago[2]])
                return begin, add_seconds(begin, 1e-6)
            found = dt.datetime.fromisoformat(given)
            if found.tzinfo is None:
                found = found.replace(tzinfo=dt.UTC)
            found = found.astimezone(dt.UTC).replace(tzinfo=None)
            begin = f"{found.isoformat('T', 'microseconds')}Z"
            day = re.fullmatch(r"\d{4}-\d{2}-\d{2}", given) is not None
            return begin, add_seconds(begin, 86_400 if day else 1e-6)
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{given!r} is not a time." if given else "Here a time should stand.", at, None,
                "Write 2026-08-01, 2026-08-01T10:00:00Z, or so long ago: 90d, 12h, 30m.",
            )  # fmt: skip


def _flat(found: list[Tree], kind: type[And] | type[Or]) -> tuple[Tree, ...]:
    """The children, with those of nested nodes of the same kind in their place."""
    return tuple(
        part
        for child in found
        for part in (child.children if isinstance(child, kind) else (child,))
    )


def quoted(value: str, prefix: bool = False, *, always: bool = False) -> str:
    """A value as an expression spells it, in quotes where it needs them (or ``always``)."""
    star = "*" if prefix else ""
    if not always and (_PLAIN.fullmatch(value) or (prefix and not value)):
        return value + star
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"{star}'


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _spell(tree: Tree, *, inside: bool) -> str:
    if isinstance(tree, And | Or):
        text = (" OR " if isinstance(tree, Or) else " ").join(
            _spell(child, inside=True) for child in tree.children
        )
        return f"({text})" if inside else text
    if isinstance(tree, Not):
        return "-" + _spell(tree.child, inside=True)
    if isinstance(tree, Match):
        return f"{tree.field}:{quoted(tree.value, tree.prefix)}"
    if isinstance(tree, Number):
        return f"{tree.field}{tree.op}{_number(tree.value)}"
    if isinstance(tree, Moment):
        names = {">=": "since", "<": "until"}
        if tree.field == "time":
            return f"{names[tree.op]}:{tree.value}"
        return f"{tree.field}{tree.op}{tree.value}"
    if isinstance(tree, Phrase):
        return quoted(tree.text, tree.prefix, always=True)
    if isinstance(tree, Has):
        return f"has:{tree.what}"
    return "<nothing>" if isinstance(tree, Nothing) else "<everything>"
