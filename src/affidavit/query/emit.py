"""One tree, one emitter per store: from a tree to parametrised SQL for SQLite.

Rules: values travel as parameters, never in the text; names of columns come from ``fields``;
every condition is two-valued (``IS``, and ``IS NOT NULL`` beside comparisons), so negation is
plain ``NOT``; every sub-expression stands in its own parentheses. Two independent readings of a
tree: ``predicate`` decides on a row by the row's own columns, ``candidates`` names a small
superset of rows by posting lists and full text, and only speed depends on the second. Not here:
execution (``search``), and boundaries (already in the tree).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from affidavit.index.reader import after_prefix
from affidavit.index.schema import TEAM_MODEL, UNPOSTED, bounded, folded, of_team
from affidavit.index.sqlite import LISTS
from affidavit.index.text import PLACES_BITS
from affidavit.query.fields import field_of
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Nothing,
    Number,
    Or,
    Phrase,
    Tree,
    conjuncts,
)

Span = tuple[int, int]
"""Ledger indexes from (inclusive) and to (exclusive)."""
EVERYWHERE: Span = (0, 1 << 50)

_SIDE_BY_SIDE = 100
"""So many parts stand side by side in one expression or compound query."""

_OF_A_TEAM = ("tenant", "team", "model")
_HAS = {
    "answer": "r.answered IS NOT NULL",
    "approval": "r.approval IS NOT NULL OR r.type >= 'approval.' AND r.type < 'approval/'",
    "content": "r.present & 64 != 0",
    "erased": "r.present & ~r.shown != 0",
    "error": "r.error IS NOT NULL OR r.status IS NOT NULL AND r.status IS NOT 'complete' "
             "OR r.http IS NOT NULL AND r.http >= 400",
    "gap": "r.type = 'ledger.gap'",
    "person": "EXISTS (SELECT 1 FROM person p WHERE p.idx = r.idx)",
    "purpose": "r.purpose IS NOT NULL",
    "session": "r.session IS NOT NULL",
    "source": "r.sources != '[]'",
    "tool": "r.tools != '[]'",
    "trace": "r.trace IS NOT NULL",
    "unattributed": "r.tenant IS NULL AND NOT (r.present & 1 != 0 AND r.shown & 1 = 0) "
    "AND r.type NOT IN ('ledger.ended', 'ledger.clock', 'ledger.key')",
    "unparsed": "r.parsed IS NOT NULL AND r.parsed IS NOT 'yes'",
}  # fmt: skip


class Sql(NamedTuple):
    """A piece of SQL and the values of its question marks."""

    text: str
    values: tuple[Any, ...] = ()


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


Count = Callable[[Sql], int | None]
"""A query for indexes → how many it gives; ``None`` if too many to collect first."""


def predicate(tree: Tree, span: Span = EVERYWHERE) -> Sql:
    """A condition over table ``record`` named ``r`` that is 1 where the tree holds, else 0.

    Right for rows of ``span``: full text is looked up for that part of the ledger only.
    """
    if isinstance(tree, All):
        return Sql("1")
    if isinstance(tree, Nothing):
        return Sql("0")
    if isinstance(tree, And | Or):
        return _joined(" AND " if isinstance(tree, And) else " OR ", tree.children, span)
    if isinstance(tree, Not):
        child = predicate(tree.child, span)
        return Sql(f"NOT ({child.text})", child.values)
    if isinstance(tree, Has):
        return Sql(_HAS[tree.what])
    if isinstance(tree, Moment):
        column = "time" if tree.field == "time" else "at"
        return Sql(f"r.{column} {'>=' if tree.op == '>=' else '<'} ?", (tree.value,))
    if isinstance(tree, Number):
        return _number(tree)
    if isinstance(tree, Phrase):
        found = _passages(tree, span)
        return Sql(f"r.idx IN ({found.text})", found.values)
    return _match(tree)


def fts(phrase: Phrase) -> str:
    """The FTS5 query of a phrase: one quoted string, nothing of it is syntax."""
    words = phrase.text.replace("\0", " ").replace('"', '""')
    return f'"{words}"' + ("*" if phrase.prefix else "")


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
            also=tuple(sql for item in others for sql in _lists(item)),
            exactly=best.exactly + tuple(part for item in others for part in item.exactly),
        )
    if isinstance(tree, Or):
        every = [candidates(child, span, count) for child in tree.children]
        known = [item for item in every if item and item.cost < span[1] - span[0]]
        if len(known) < len(every):
            return None
        text = _union([item.sql.text for item in known])
        values = tuple(value for item in known for value in item.sql.values)
        return Candidates(Sql(text, values), sum(item.cost for item in known))
    if isinstance(tree, Phrase):
        found_text = _passages(tree, span)
        cost = count(found_text)
        return None if cost is None else Candidates(found_text, cost)
    if isinstance(tree, Match):
        return _posted(tree, span, count)
    return None


def _lists(found: Candidates) -> tuple[Sql, ...]:
    """All posting lists the rows of ``found`` are in."""
    return (() if found.term is None else (found.term,)) + found.also


def page(
    columns: str, tree: Tree, found: Candidates | None, low: int, high: int, *, newest: bool
) -> Sql:
    """Rows of [low, high) where the tree holds, in ledger order; the last parameter is LIMIT."""
    source = rows(tree, found, low, high)
    place = "m.idx" if found is not None and found.term is not None else "r.idx"
    order = "DESC" if newest else "ASC"
    return Sql(
        f"SELECT {columns} FROM {source.text} ORDER BY {place} {order} LIMIT ?",  # noqa: S608
        source.values,
    )


def rows(tree: Tree, found: Candidates | None, low: int, high: int) -> Sql:
    """What stands between FROM and ORDER BY: the rows of [low, high) where the tree holds."""
    where = predicate(tree, (low, high))
    if found is not None and found.term is not None:
        lists = _in_lists(found.term, found.also, low, high)
        return Sql(
            f"mention m CROSS JOIN record r ON r.idx = m.idx WHERE {lists.text} AND ({where.text})",
            (*lists.values, *where.values),
        )
    among, values = "", ()
    if found is not None:
        among, values = f"r.idx IN ({found.sql.text}) AND ", found.sql.values
    return Sql(
        f"record r WHERE {among}r.idx >= ? AND r.idx < ? AND ({where.text})",
        (*values, low, high, *where.values),
    )


def _in_lists(term: Sql, also: Sequence[Sql], low: int, high: int) -> Sql:
    """The condition that an entry ``m`` of [low, high) is in the list of ``term`` and in others."""
    others = "".join(
        " AND EXISTS (SELECT 1 FROM mention a "  # noqa: S608 - values are parameters
        f"WHERE a.term = ({sql.text}) AND a.idx = m.idx)"
        for sql in also
    )
    return Sql(
        f"m.term = ({term.text}) AND m.idx >= ? AND m.idx < ?{others}",
        (*term.values, low, high, *(value for sql in also for value in sql.values)),
    )


def mentions(dimension: str, value: str, low: int, high: int) -> Sql:
    """How many rows of [low, high) are in one posting list."""
    return Sql(
        "SELECT count(*) FROM mention WHERE term = (SELECT id FROM term WHERE dimension = ? "
        "AND value = ?) AND idx >= ? AND idx < ?",
        (dimension, value, low, high),
    )


def count(tree: Tree, found: Candidates | None, low: int, high: int) -> Sql:
    """How many rows of [low, high) there are where the tree holds, counted up to a LIMIT.

    [low, high) lies within the window of the tree. Where posting lists decide, no row is read.
    """
    if found is not None and found.term is not None and _decided(tree, found):
        lists = _in_lists(found.term, found.also, low, high)
        return Sql(
            f"SELECT count(*) FROM (SELECT 1 FROM mention m WHERE {lists.text} LIMIT ?)",  # noqa: S608 - values are parameters
            lists.values,
        )
    matching = page("1", tree, found, low, high, newest=True)
    return Sql(f"SELECT count(*) FROM ({matching.text})", matching.values)  # noqa: S608


def _decided(tree: Tree, found: Candidates) -> bool:
    """Whether a row of the tree's window is in the lists of ``found`` if and only if it holds."""
    return all(
        part in found.exactly
        or (isinstance(part, Moment) and part.field == "time")
        or (isinstance(part, Number) and part.field == "index")
        for part in conjuncts(tree)
    )


def which(tree: Tree, indexes: Sequence[int]) -> Sql:
    """Those of ``indexes`` where the tree holds."""
    where = predicate(tree, (min(indexes, default=0), max(indexes, default=0) + 1))
    marks = ",".join("?" * len(indexes))
    return Sql(
        f"SELECT r.idx FROM record r WHERE r.idx IN ({marks}) AND ({where.text})",  # noqa: S608
        (*indexes, *where.values),
    )


def capped(found: Sql) -> Sql:
    """How many indexes a query gives, counted up to a LIMIT."""
    return Sql(f"SELECT count(*) FROM ({found.text} LIMIT ?)", found.values)  # noqa: S608


def _joined(word: str, children: Sequence[Tree], span: Span) -> Sql:
    parts = [predicate(child, span) for child in children]
    if not parts:
        return Sql("1" if word == " AND " else "0")
    return Sql(
        balanced(word, [f"({part.text})" for part in parts]),
        tuple(value for part in parts for value in part.values),
    )


def balanced(word: str, texts: Sequence[str]) -> str:
    """``texts`` joined by ``word``, nested in halves: SQLite's expressions have a depth."""
    if len(texts) <= _SIDE_BY_SIDE:
        return word.join(texts)
    half = len(texts) // 2
    return f"({balanced(word, texts[:half])}){word}({balanced(word, texts[half:])})"


def _union(texts: Sequence[str]) -> str:
    """All rows of all queries, nested in groups: SQLite's compounds have a length."""
    while len(texts) > _SIDE_BY_SIDE:
        groups = [texts[i : i + _SIDE_BY_SIDE] for i in range(0, len(texts), _SIDE_BY_SIDE)]
        texts = [f"SELECT * FROM ({' UNION ALL '.join(group)})" for group in groups]  # noqa: S608
    return " UNION ALL ".join(texts)


def _number(tree: Number) -> Sql:
    columns = field_of(tree.field).columns
    known = " OR ".join(f"r.{column} IS NOT NULL" for column in columns)
    total = " + ".join(f"coalesce(r.{column}, 0)" for column in columns)
    return Sql(f"({known}) AND {total} {tree.op} ?", (tree.value,))


def _match(tree: Match) -> Sql:
    field = field_of(tree.field)
    parts = [_column(column, tree) for column in field.columns]
    parts += [listed(column, tree) for column in field.lists]
    if not parts:
        parts = [_mentioned(tree, field.dimension or "")]
    return Sql(
        " OR ".join(f"({part.text})" for part in parts),
        tuple(value for part in parts for value in part.values),
    )


def _column(column: str, tree: Match) -> Sql:
    if column == "http":
        return compared("CAST(r.http AS TEXT)", tree, known="r.http IS NOT NULL")
    return compared(f"r.{column}", tree, known=f"r.{column} IS NOT NULL")


def compared(expression: str, tree: Match, *, known: str) -> Sql:
    """Whether a text is the value of ``tree`` or begins with it; ``known``: whether it is one."""
    value = bounded(tree.value)
    if not tree.prefix:
        return Sql(f"{known} AND {expression} = ?", (value,))
    if not value:
        return Sql(known)
    return Sql(f"{known} AND {expression} >= ? AND {expression} < ?", (value, after_prefix(value)))


def listed(column: str, tree: Match) -> Sql:
    """The same for the texts of a column that holds a list."""
    assert column in LISTS
    inner = compared("value", tree, known="1")
    return Sql(
        f'EXISTS (SELECT 1 FROM json_each(r."{column}") WHERE {inner.text})',  # noqa: S608
        inner.values,
    )


def _mentioned(tree: Match, dimension: str) -> Sql:
    """The row is in a posting list: for fields whose values are not columns of ``record``."""
    inner = compared("value", Match(tree.field, folded(tree.value), tree.prefix), known="1")
    return Sql(
        "EXISTS (SELECT 1 FROM mention m WHERE m.idx = r.idx AND m.term IN "  # noqa: S608
        f"(SELECT id FROM term WHERE dimension = ? AND {inner.text}))",
        (dimension, *inner.values),
    )


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
        f"SELECT id FROM term WHERE dimension = ? AND {inner.text}",  # noqa: S608
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
        f"SELECT idx FROM mention WHERE term IN ({term.text}) AND idx >= ? AND idx < ?",  # noqa: S608
        (*term.values, *span),
    )


def _digits(tree: Match) -> bool:
    return not tree.value or tree.value[0].isdigit()


def _passages(phrase: Phrase, span: Span) -> Sql:
    return Sql(
        f"SELECT rowid >> {PLACES_BITS} FROM text.passage WHERE passage MATCH ? "  # noqa: S608
        "AND rowid >= ? AND rowid < ?",
        (fts(phrase), span[0] << PLACES_BITS, span[1] << PLACES_BITS),
    )
