"""From a tree to a condition on one row: parametrised SQL for SQLite.

Rules: values travel as parameters, never in the text; names of columns come from ``fields``;
every condition is two-valued (``IS``, and ``IS NOT NULL`` beside comparisons), so negation is
plain ``NOT``; every sub-expression stands in its own parentheses. A row is decided on by its own
columns alone, but for full text and what identifies people. Not here: which rows to look at
(``lists``), whole statements (``emit``), boundaries (already in the tree).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from affidavit.index.reader import after_prefix
from affidavit.index.schema import bounded, folded
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
)

Span = tuple[int, int]
"""Ledger indexes from (inclusive) and to (exclusive)."""

EVERYWHERE: Span = (0, 1 << 50)

_SIDE_BY_SIDE = 100
"""So many parts stand side by side in one expression or compound query."""

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
        found = passages(tree, span)
        return Sql(f"r.idx IN ({found.text})", found.values)
    return _match(tree)


def fts(phrase: Phrase) -> str:
    """The FTS5 query of a phrase: one quoted string, nothing of it is syntax."""
    words = phrase.text.replace("\0", " ").replace('"', '""')
    return f'"{words}"' + ("*" if phrase.prefix else "")


def passages(phrase: Phrase, span: Span) -> Sql:
    """The indexes of the rows of ``span`` whose text has the phrase, once a passage."""
    return Sql(
        f"SELECT rowid >> {PLACES_BITS} FROM text.passage WHERE passage MATCH ? "  # noqa: S608 - made of constants; values are parameters
        "AND rowid >= ? AND rowid < ?",
        (fts(phrase), span[0] << PLACES_BITS, span[1] << PLACES_BITS),
    )


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


def union(texts: Sequence[str]) -> str:
    """All rows of all queries, nested in groups: SQLite's compounds have a length."""
    while len(texts) > _SIDE_BY_SIDE:
        groups = [texts[i : i + _SIDE_BY_SIDE] for i in range(0, len(texts), _SIDE_BY_SIDE)]
        texts = [f"SELECT * FROM ({' UNION ALL '.join(group)})" for group in groups]  # noqa: S608 - made of constants; values are parameters
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
        f'EXISTS (SELECT 1 FROM json_each(r."{column}") WHERE {inner.text})',  # noqa: S608 - made of constants; values are parameters
        inner.values,
    )


def _mentioned(tree: Match, dimension: str) -> Sql:
    """The row is in a posting list: for fields whose values are not columns of ``record``."""
    inner = compared("value", Match(tree.field, folded(tree.value), tree.prefix), known="1")
    return Sql(
        "EXISTS (SELECT 1 FROM mention m WHERE m.idx = r.idx AND m.term IN "  # noqa: S608 - made of constants; values are parameters
        f"(SELECT id FROM term WHERE dimension = ? AND {inner.text}))",
        (dimension, *inner.values),
    )
