"""How much a boundary withholds, for whoever may know that.

Rules: a number, of rows of the reader's own tenant, and nothing of any of them. What a question
looks at decides what the number tells, so none is given where it looks at content or at people.
Not here: whether the reader may know it (``Boundary.counts``).
"""

from typing import Any

from affidavit.query.boundary import NOT_PERSON, Boundary, section_of
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Not, Tree, leaves

MOST = 10_000
"""Rows are counted as far as this."""


def beyond(searcher: Searcher, tree: Tree, boundary: Boundary) -> dict[str, Any] | None:
    """How many rows fit the question and are withheld: ``rows``, ``capped`` if at least so many.

    ``None`` where the question looks at content or people. The caller has seen to it that the
    question itself is within the boundary.
    """
    if any(section_of(leaf) in ("person", "content") for leaf in leaves(tree)):
        return None
    if boundary.whole_tenants:
        return {"rows": 0, "capped": False}
    rest = Boundary(
        boundary.reader,
        boundary.role,
        And((boundary.whole, Not(boundary.rows))),
        NOT_PERSON,
        "never",
    )
    page = searcher.run(tree, rest, limit=1, count_to=MOST)
    return {"rows": page.count, "capped": page.count_capped}
