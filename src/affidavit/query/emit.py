"""One tree, one emitter per store: the statements that SQLite is asked.

Rules: as in ``conditions``; what ``lists`` names is read in ledger order as far as a page needs.
Not here: execution (``search``).
"""

from collections.abc import Sequence

from affidavit.query.conditions import Sql, predicate
from affidavit.query.lists import Candidates, decided, in_lists
from affidavit.query.tree import Tree


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
        lists = in_lists(found.term, found.also, low, high)
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
    if found is not None and found.term is not None and decided(tree, found):
        lists = in_lists(found.term, found.also, low, high)
        return Sql(
            f"SELECT count(*) FROM (SELECT 1 FROM mention m WHERE {lists.text} LIMIT ?)",  # noqa: S608 - values are parameters
            lists.values,
        )
    matching = page("1", tree, found, low, high, newest=True)
    return Sql(f"SELECT count(*) FROM ({matching.text})", matching.values)  # noqa: S608


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
