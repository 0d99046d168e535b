"""Which rows to look at: from a tree to posting lists and full text.

Rules: what is named is a superset of the rows where the tree holds, so only speed depends on it;
``conditions`` decides on each row by another reading of the same tree. Where a list holds exactly
the rows that meet a condition it says so, and then counting needs no row. Not here: execution.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from affidavit.index.schema import TEAM_MODEL, UNPOSTED, bounded, folded, of_team
from affidavit.query.conditions import Span, Sql, compared, passages, union
from affidavit.query.fields import field_of
from affidavit.query.tree import And, Match, Moment, Nothing, Number, Or, Phrase, Tree, conjuncts

_OF_A_TEAM = ("tenant", "team", "model")


class Candidates(NamedTuple):
    """A query for a superset of ``idx``, and about how many it gives.

    ``term`` finds the number of the posting list if it is exactly one: that list is then read in
    ledger order as far as the page needs, instead of being collected first. ``also`` are further
    lists the rows must be in: a look there costs less than the row it may save. ``exactly`` are
    the conditions that hold of a row if and only if it is in all these lists.
    """

    sql: Sql
    cost: int
    term: Sql | None = None
    also: tuple[Sql, ...] = ()
    exactly: tuple[Tree, ...] = ()

    @classmethod
    def of(cls, indexes: str, cost: int, phrase: Phrase) -> "Candidates":
        """The rows of a JSON list of indexes, which are all that hold a phrase."""
        return cls(Sql("SELECT value FROM json_each(?)", (indexes,)), cost, exactly=(phrase,))


Count = Callable[[Sql], int | None]
"""A query for indexes → how many it gives; ``None`` if too many to collect first."""


def candidates(tree: Tree, span: Span, count: Count) -> Candidates | None:
    """The cheapest superset of the rows of ``span`` where the tree holds, if there is one."""
    if isinstance(tree, Nothing):
        return Candidates(Sql("SELECT NULL WHERE 0"), 0)
    if isinstance(tree, And):
        parts = conjuncts(tree)
        joint = _of_a_team(parts, span, count)
        if joint is not None:
            parts = tuple(part for part in parts if part not in joint.exactly)
        each = [joint, *(candidates(part, span, count) for part in parts)]
        found = [item for item in each if item is not None]
        best = min(found, key=lambda item: item.cost, default=None)
        if best is None or best.term is None:
            return best
        others = [item for item in found if item is not best and item.term is not None]
        return best._replace(
            also=tuple(sql for item in others for sql in listed(item)),
            exactly=best.exactly + tuple(part for item in others for part in item.exactly),
        )
    if isinstance(tree, Or):
        every = [candidates(child, span, count) for child in tree.children]
        known = [item for item in every if item and item.cost < span[1] - span[0]]
        if len(known) < len(every):
            return None
        text = union([item.sql.text for item in known])
        values = tuple(value for item in known for value in item.sql.values)
        return Candidates(Sql(text, values), sum(item.cost for item in known))
    if isinstance(tree, Phrase):
        found_text = passages(tree, span)
        cost = count(found_text)
        return None if cost is None else Candidates(found_text, cost)
    if isinstance(tree, Match):
        return _posted(tree, span, count)
    return None


def listed(found: Candidates | None) -> tuple[Sql, ...]:
    """All posting lists the rows of ``found`` are in."""
    if found is None:
        return ()
    return (() if found.term is None else (found.term,)) + found.also


def _posted(tree: Match, span: Span, count: Count) -> Candidates | None:
    field = field_of(tree.field)
    dimension = field.dimension
    if dimension is None or (tree.prefix and not tree.value):
        return None
    unposted = UNPOSTED.get(dimension, frozenset())
    if any(v.startswith(tree.value) if tree.prefix else v == tree.value for v in unposted):
        return None
    if dimension == "status" and _digits(tree) and not tree.value.startswith(("3", "4", "5")):
        return None
    value = folded(tree.value) if dimension.startswith("person.") else bounded(tree.value)
    inner = compared("value", Match(tree.field, value, tree.prefix), known="1")
    term = Sql(
        f"SELECT id FROM term WHERE dimension = ? AND {inner.text}",  # noqa: S608 - made of constants; values are parameters
        (dimension, *inner.values),
    )
    if not tree.prefix:
        return _list(term, span, count, (tree,))
    found = _entries(term, span)
    cost = count(found)
    return None if cost is None else Candidates(found, cost)


def _of_a_team(parts: Sequence[Tree], span: Span, count: Count) -> Candidates | None:
    """The list of one model within one team, where both and the tenant are asked for by name."""
    named: dict[str, Match] = {}
    for part in parts:
        if isinstance(part, Match) and not part.prefix and part.field in _OF_A_TEAM:
            named.setdefault(part.field, part)
    if len(named) < len(_OF_A_TEAM):
        return None
    value = of_team(*(bounded(named[field].value) for field in _OF_A_TEAM))
    term = Sql("SELECT id FROM term WHERE dimension = ? AND value = ?", (TEAM_MODEL, value))
    return _list(term, span, count, tuple(named.values()))


def _list(term: Sql, span: Span, count: Count, exactly: tuple[Tree, ...]) -> Candidates:
    """The rows of one posting list."""
    found = _entries(term, span)
    cost = count(found)
    return Candidates(found, span[1] - span[0] if cost is None else cost, term, (), exactly)


def _entries(term: Sql, span: Span) -> Sql:
    return Sql(
        f"SELECT idx FROM mention WHERE term IN ({term.text}) AND idx >= ? AND idx < ?",  # noqa: S608 - made of constants; values are parameters
        (*term.values, *span),
    )


def _digits(tree: Match) -> bool:
    return not tree.value or tree.value[0].isdigit()


def also_in(lists: Sequence[Sql], place: str) -> Sql:
    """The conditions, each after an ``AND``, that the index ``place`` is in these lists."""
    return Sql(
        "".join(
            " AND EXISTS (SELECT 1 FROM mention a "  # noqa: S608 - values are parameters
            f"WHERE a.term = ({sql.text}) AND a.idx = {place})"
            for sql in lists
        ),
        tuple(value for sql in lists for value in sql.values),
    )


def in_lists(term: Sql, also: Sequence[Sql], low: int, high: int) -> Sql:
    """The condition that an entry ``m`` of [low, high) is in the list of ``term`` and in others."""
    others = also_in(also, "m.idx")
    return Sql(
        f"m.term = ({term.text}) AND m.idx >= ? AND m.idx < ?{others.text}",
        (*term.values, low, high, *others.values),
    )


def decided(tree: Tree, found: Candidates) -> bool:
    """Whether a row of the tree's window is in the lists of ``found`` if and only if it holds."""
    return found.term is not None and all(
        part in found.exactly
        or (isinstance(part, Moment) and part.field == "time")
        or (isinstance(part, Number) and part.field == "index")
        for part in conjuncts(tree)
    )
