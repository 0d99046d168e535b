"""What a recorded read asked for, as a condition that can be put to the records again.

Rules: the expression and the boundary's rows as they stand in the read's own record, of what was
in the ledger before it; told to nobody who may not ask it. Not here: which reads (``stream``,
``custody``).
"""

from collections.abc import Mapping
from typing import Any

from affidavit.errors import AffidavitError
from affidavit.query import language
from affidavit.query.boundary import Boundary, inject
from affidavit.query.tree import And, Number, Phrase, Tree, leaves


def condition(what: Mapping[str, Any], before: int, boundary: Boundary) -> Tree | None:
    """The condition of a read recorded at index ``before``.

    ``None`` if it cannot be told: words in it are recorded as digests, or look at sections that
    this reader may not see.
    """
    under = what.get("boundary")
    rows = under.get("rows") if isinstance(under, Mapping) else None
    parts: list[Tree] = [Number("index", "<", before)]
    try:
        for text in (what.get("expression"), "" if rows == "everything" else rows):
            tree = language.parse(str(text), "9999-01-01T00:00:00.000000Z")
            if any(map(_digested, leaves(tree))):
                return None
            parts.append(inject(tree, boundary))
    except AffidavitError:
        return None
    return And(tuple(parts))


def _digested(leaf: Tree) -> bool:
    """Whether the words of a condition were recorded as a keyed digest."""
    words = leaf.text if isinstance(leaf, Phrase) else getattr(leaf, "value", "")
    return str(words).startswith("hmac:")
