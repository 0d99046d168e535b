"""One tree, one emitter per store: the statements that SQLite is asked.

Rules: as in ``conditions``; what ``lists`` names is read in ledger order as far as a page needs.
Not here: execution (``search``).
"""

from collections.abc import Sequence

from affidavit.index.text import PLACES_BITS
from affidavit.query.conditions import Span, Sql, passages, predicate
from affidavit.query.lists import Candidates, also_in, decided, in_lists
from affidavit.query.tree import And, Phrase, Tree, conjuncts


def page(
    columns: str, tree: Tree, found: Candidates | None, low: int, high: int, *, newest: bool
) -> Sql:
    """Rows of [low, high) where the tree holds, in ledger order; the last parameter is LIMIT."""
    source = rows(tree, found, low, high)
    place = "m.idx" if found is not None and found.term is not None else "r.idx"
    order = "DESC" if newest else "ASC"
    return Sql(
        f"SELECT {columns} FROM {source.text} ORDER BY {place} {order} LIMIT ?",  # noqa: S608 - columns of ours; values are parameters
        source.values,
    )


def rows(tree: Tree, found: Candidates | None, low: int, high: int) -> Sql:
    """What stands between FROM and ORDER BY: the rows of [low, high) where the tree holds."""
    known = () if found is None else tuple(p for p in found.exactly if isinstance(p, Phrase))
    left = And(tuple(part for part in conjuncts(tree) if part not in known))  # looked up already
    where = predicate(left if known else tree, (low, high))
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


def extent(term: Sql, span: Span) -> Sql:
    """The first and the last index of ``span`` in one posting list; ``NULL`` if it has none."""
    return Sql(
        f"SELECT min(idx), max(idx) FROM mention WHERE term = ({term.text}) "  # noqa: S608 - values are parameters
        "AND idx >= ? AND idx < ?",
        (*term.values, *span),
    )


def worded(phrase: Phrase, lists: Sequence[Sql], span: Span, most: int, *, newest: bool) -> Sql:
    """The indexes of ``span`` whose text has the phrase and that are in all lists, in order.

    One for each passage, so one may come several times; ``most`` of them.
    """
    hits = passages(phrase, span)
    among = also_in(lists, f"passage.rowid >> {PLACES_BITS}")
    return Sql(
        f"{hits.text}{among.text} ORDER BY passage.rowid {'DESC' if newest else 'ASC'} LIMIT ?",
        (*hits.values, *among.values, most),
    )


def first_entry(found: Candidates, low: int, high: int) -> Sql:
    """The first index of [low, high) in the lists of ``found``, if there is one."""
    return _entries("m.idx", found, low, high, " ORDER BY m.idx LIMIT 1")


def entries(found: Candidates, low: int, high: int) -> Sql:
    """How many of [low, high) are in the lists of ``found``."""
    return _entries("count(*)", found, low, high)


def _entries(what: str, found: Candidates, low: int, high: int, end: str = "") -> Sql:
    assert found.term is not None
    lists = in_lists(found.term, found.also, low, high)
    return Sql(
        f"SELECT {what} FROM mention m WHERE {lists.text}{end}",  # noqa: S608 - values are parameters
        lists.values,
    )


def count(tree: Tree, found: Candidates | None, low: int, high: int) -> Sql:
    """How many rows of [low, high) there are where the tree holds, counted up to a LIMIT.

    [low, high) lies within the window of the tree. Where posting lists decide, no row is read.
    """
    if found is not None and decided(tree, found):
        matching = _entries("1", found, low, high, " LIMIT ?")
    else:
        matching = page("1", tree, found, low, high, newest=True)
    return Sql(f"SELECT count(*) FROM ({matching.text})", matching.values)  # noqa: S608 - made by page


def which(tree: Tree, indexes: Sequence[int]) -> Sql:
    """Those of ``indexes`` where the tree holds."""
    where = predicate(tree, (min(indexes, default=0), max(indexes, default=0) + 1))
    marks = ",".join("?" * len(indexes))
    return Sql(
        f"SELECT r.idx FROM record r WHERE r.idx IN ({marks}) AND ({where.text})",  # noqa: S608 - marks and a predicate; values are parameters
        (*indexes, *where.values),
    )


def capped(found: Sql) -> Sql:
    """How many indexes a query gives, counted up to a LIMIT."""
    return Sql(f"SELECT count(*) FROM ({found.text} LIMIT ?)", found.values)  # noqa: S608 - made of constants; values are parameters
