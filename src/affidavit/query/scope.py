"""What a narrative is about: the records that a name stands for, within a boundary.

Rules: a record id or ``#index`` is an exchange or a single record; ``session:``, ``trace:``,
``actor:`` and ``model:`` before a name say which it is; without, it is a session, else a trace. A
window of ledger times narrows all but exchanges and records. Not here: what fell in between
(``stream``), and pseudonyms of names that callers chose (``console.resolve``).
"""

import re
from typing import NamedTuple

from affidavit.index.schema import Row
from affidavit.query.boundary import Boundary, inject
from affidavit.query.search import Searcher
from affidavit.query.tree import All, And, Match, Tree

KINDS = ("session", "trace", "actor", "model")
"""What a name with a prefix may stand for."""
RECORD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_SECTION = {"session": "who", "trace": "what"}


class Scope(NamedTuple):
    """The records of a narrative: those of ``indexes``, or all for which ``tree`` holds.

    ``tree`` is injected, so it holds only within the boundary; ``window`` is of ledger times.
    """

    kind: str
    name: str
    tree: Tree
    window: Tree = All()
    indexes: tuple[int, ...] = ()


def typed(name: str) -> tuple[str, str] | None:
    """The kind and the value of a name such as ``actor:act_…``; ``None`` without such a prefix."""
    kind, colon, value = name.partition(":")
    return (kind, value) if colon and value and kind in KINDS else None


def find(
    searcher: Searcher, name: str, boundary: Boundary, window: Tree, tree: Tree | None = None
) -> Scope | None:
    """The scope of a name, ``None`` if nothing within the boundary is in it.

    ``tree`` stands for a typed name where a name of a person was resolved to pseudonyms.
    ``RefusedError`` for a typed name of a kind that the boundary hides.
    """
    if name.startswith("#") or name.isdecimal() or RECORD_ID.fullmatch(name):
        return _record(searcher, name, boundary)
    given = typed(name)
    if given is not None:
        asked = inject(And((tree or Match(*given), window)), boundary)
        found = searcher.rows_of(asked, 1)
        return Scope(*given, asked, window) if found else None
    for kind, section in _SECTION.items():
        if section in boundary.sections:
            asked = inject(And((Match(kind, name), window)), boundary)
            if searcher.rows_of(asked, 1):
                return Scope(kind, name, asked, window)
    return None


def holds(searcher: Searcher, scope: Scope, condition: Tree, size: int) -> bool:
    """Whether the condition holds for a record of the scope below index ``size``."""
    if scope.indexes:
        return False
    return bool(searcher.rows_of(And((scope.tree, condition)), 1, high=size))


def rows(searcher: Searcher, scope: Scope, limit: int, low: int, high: int) -> list[Row]:
    """The first ``limit`` rows of the scope between two indexes, in ledger order."""
    if not scope.indexes:
        return searcher.rows_of(scope.tree, limit, low, high)
    found = [searcher.reader.row(index) for index in scope.indexes if low <= index < high]
    return [row for row in found if row is not None][:limit]


def _record(searcher: Searcher, name: str, boundary: Boundary) -> Scope | None:
    row = searcher.locate(name, boundary)
    if row is None:
        return None
    other = row.re if row.re is not None else row.answered
    both = [row.idx] if other is None else [row.idx, other]
    kind = "exchange" if row.type.startswith("exchange.") else "record"
    return Scope(kind, name, All(), indexes=tuple(searcher.within(both, boundary)))
