"""What a question is once it is understood: a tree of typed nodes.

Rules: logic is two-valued: a condition on a value nobody knows does not hold, its negation
does. Nodes are plain data (msgspec structs with a ``node`` tag), so a tree can be recorded, sent
and proved about. Not here: words (``language``), who may ask (``boundary``), SQL (``emit``).
"""

import math
from collections.abc import Callable
from typing import Literal

import msgspec

Operator = Literal["<", "<=", "=", ">=", ">"]


class _Node(msgspec.Struct, frozen=True, tag_field="node", tag=str.lower):
    """What all nodes share: they are values, and their JSON says which node it is."""


class All(_Node, frozen=True):
    """Holds for every record."""


class Nothing(_Node, frozen=True):
    """Holds for no record."""


class Match(_Node, frozen=True):
    """The field has this value, or one that begins with it; ``""`` with ``prefix``: has any."""

    field: str
    value: str
    prefix: bool = False


class Number(_Node, frozen=True):
    """The field compares so to a number."""

    field: str
    op: Operator
    value: float


class Moment(_Node, frozen=True):
    """Ledger ``time`` or ``source_time`` is at or after, or before, a stored time."""

    field: Literal["time", "source_time"]
    op: Literal[">=", "<"]
    value: str


class Phrase(_Node, frozen=True):
    """The words stand next to each other in one message; with ``prefix`` the last may go on."""

    text: str
    prefix: bool = False


class Has(_Node, frozen=True):
    """The record has something of this kind; the kinds are in ``fields.HAS``."""

    what: str


class Not(_Node, frozen=True):
    """The child does not hold."""

    child: "Tree"


class And(_Node, frozen=True):
    """All children hold."""

    children: "tuple[Tree, ...]"


class Or(_Node, frozen=True):
    """At least one child holds."""

    children: "tuple[Tree, ...]"


Tree = All | Nothing | Match | Number | Moment | Phrase | Has | Not | And | Or


def conjuncts(tree: Tree) -> tuple[Tree, ...]:
    """The conditions that must all hold: nested ``And`` flattened, ``All`` left out."""
    if isinstance(tree, And):
        return tuple(part for child in tree.children for part in conjuncts(child))
    return () if isinstance(tree, All) else (tree,)


def window(tree: Tree, field: str = "time") -> tuple[str | None, str | None]:
    """The times every match lies between: from (inclusive) and to (exclusive), ``None`` if open."""
    since: str | None = None
    until: str | None = None
    for part in conjuncts(tree):
        if isinstance(part, Moment) and part.field == field:
            if part.op == ">=":
                since = part.value if since is None else max(since, part.value)
            else:
                until = part.value if until is None else min(until, part.value)
    return since, until


def stretch(tree: Tree, low: int, high: int) -> tuple[int, int]:
    """The leaf indexes of [low, high) of which all that is said of ``index`` by itself holds.

    If there are none, an empty stretch within [low, high], however large the numbers asked for.
    """
    begin = low
    for part in conjuncts(tree):
        if isinstance(part, Number) and part.field == "index":
            first, end = math.ceil(part.value), math.floor(part.value) + 1
            if part.op in (">", ">=", "="):
                low = max(low, end if part.op == ">" else first)
            if part.op in ("<", "<=", "="):
                high = min(high, first if part.op == "<" else end)
    return (low, high) if low < high else (begin, begin)


def leaves(tree: Tree) -> tuple[Tree, ...]:
    """All conditions of the tree, in order, negated ones included."""
    if isinstance(tree, And | Or):
        return tuple(leaf for child in tree.children for leaf in leaves(child))
    return leaves(tree.child) if isinstance(tree, Not) else (tree,)


def replace(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The tree with each condition replaced by what ``change`` makes of it; its shape stays."""
    if isinstance(tree, And):
        return And(tuple(replace(child, change) for child in tree.children))
    if isinstance(tree, Or):
        return Or(tuple(replace(child, change) for child in tree.children))
    if isinstance(tree, Not):
        return Not(replace(tree.child, change))
    return change(tree)
