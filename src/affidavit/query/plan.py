"""What is known of an answer before a row is read: where to look, and as of when."""

from typing import NamedTuple

from affidavit.ids import b64u
from affidavit.index.sqlite import Built
from affidavit.query.answers import AsOf
from affidavit.query.steps import Steps
from affidavit.query.tree import Tree


class Plan(NamedTuple):
    """Where an answer is looked for: in the rows of [low, high), in steps.

    ``going_on``: a later page. ``bound_to``: what its cursor is of. ``first``: the size of the
    ledger when the first page was made. ``every``: the leaves of its window of time.
    """

    low: int
    high: int
    steps: Steps
    as_of: AsOf
    going_on: bool
    bound_to: Tree
    first: int
    every: tuple[int, int]


def told(built: Built) -> AsOf:
    """As of what an answer from this index is, as answers tell it."""
    return AsOf(built.size, built.time, b64u(built.root))
