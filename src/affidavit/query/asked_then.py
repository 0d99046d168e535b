"""What a recorded read asked for, as a condition that can be put to the records again.

Rules: the expression and the boundary's rows as they stand in the read's own record, of what was
in the ledger before it; told to nobody who may not ask it. What an export showed stands in its
record as leaves. Not here: which reads (``stream``, ``custody``).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from affidavit.control import terms
from affidavit.errors import AffidavitError
from affidavit.query import language
from affidavit.query.boundary import Boundary, inject
from affidavit.query.tree import And, Number, Phrase, Tree, leaves

_NO_END = 1 << 63


def condition(what: Mapping[str, Any], before: int, boundary: Boundary) -> Tree | None:
    """The condition of a read recorded at index ``before``.

    ``None`` if it cannot be told: words in it are recorded as digests, or look at sections that
    this reader may not see.
    """
    return _condition(what, what.get("expression"), before, boundary)


def story(what: Mapping[str, Any], asked: Tree, before: int, boundary: Boundary) -> Tree | None:
    """The same of a story of the records ``asked``: its question is these, in its window."""
    within = _condition(what, what.get("window", ""), before, boundary)
    return None if within is None else And((asked, within))


def _condition(what: Mapping[str, Any], words: Any, before: int, boundary: Boundary) -> Tree | None:
    under = what.get("boundary")
    rows = under.get("rows") if isinstance(under, Mapping) else None
    parts: list[Tree] = [Number("index", "<", before)]
    try:
        for text in (words, "" if rows == "everything" else rows):
            tree = language.parse(str(text), "9999-01-01T00:00:00.000000Z")
            if any(map(_digested, leaves(tree))):
                return None
            parts.append(inject(tree, boundary))
    except AffidavitError:
        return None
    return And(tuple(parts))


def exported(what: Mapping[str, Any]) -> list[tuple[int, int]] | None:
    """First and last of the runs of leaves that an export was of, ascending.

    Where there are very many, runs hold some that were not in it. ``None`` for the record of an
    older export, which shows all that its question matches.
    """
    runs = what.get("leaves")
    if not isinstance(runs, list):
        return None
    return sorted((run[0], run[1]) for run in runs if _is_run(run))


def lies_in(runs: Sequence[tuple[int, int]], index: int) -> bool:
    """Whether an index is in one of ascending runs that do not overlap."""
    place = bisect_right(runs, (index, _NO_END)) - 1
    return place >= 0 and index <= runs[place][1]


def _is_run(value: Any) -> bool:
    return isinstance(value, list) and [type(end) for end in value] == [int, int]


def _digested(leaf: Tree) -> bool:
    """Whether the words of a condition were recorded as a keyed digest."""
    words = leaf.text if isinstance(leaf, Phrase) else getattr(leaf, "value", "")
    return terms.is_digest(str(words))
