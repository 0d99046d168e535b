"""Texts of others that name a person whose erasure is planned or asked for.

Rules: none of them is part of that erasure. A plan counts them, within what who asks may read; a
request only says by which expression they are found, as with the erasure the names are gone here.
What is told has names of the person: it is for who asks alone, and no record or kept answer has it.
Not here: what is meant (``selecting``), what is asked (``erasing``).
"""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from affidavit.app.selecting import Found
from affidavit.clock import Clock
from affidavit.errors import ExpressionError, UsageError
from affidavit.query.boundary import Boundary, inject
from affidavit.query.language import parse, unparse
from affidavit.query.search import COUNT_TO
from affidavit.query.tree import Or, Phrase, Tree

_UNASKED = "that is done by --dry-run alone"


class Counter(Protocol):
    """What counts records."""

    async def others(self, tree: Tree, meant: Collection[int], most: int) -> tuple[int, bool]:
        """How many records of a tree are not ``meant``, up to ``most``, and if there are more."""


class Host(Protocol):
    """What is needed of the sequencer process."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def erasing(self) -> Counter:
        """What counts."""


async def counted(
    host: Host, names: Sequence[str], within: Boundary, found: Found, reason: str
) -> dict[str, Any]:
    """``named``: how many other records have text that names the person, as ``expression`` finds.

    ``records`` is ``None`` where ``why`` says why it was not searched: somebody else may then do it
    by the ``expression``. That has names, so nothing is told to whom ``person`` is not shown.
    """
    told, tree = _told(host, names, within, reason)
    if tree is None:
        return {"named": told}
    meant = {index for one in found.portions for index in (*one.now, *one.later)}
    try:
        number, capped = await host.erasing.others(inject(tree, within, reason), meant, COUNT_TO)
    except UsageError as error:  # it takes too long; the plan is good without it
        return {"named": told | {"why": error.message}}
    return {"named": told | {"records": number, "capped": capped, "why": ""}}


def uncounted(host: Host, names: Sequence[str], within: Boundary, reason: str) -> dict[str, Any]:
    """The same without the search, which ``why`` says."""
    return {"named": _told(host, names, within, reason)[0]}


def _told(
    host: Host, names: Sequence[str], within: Boundary, reason: str
) -> tuple[dict[str, Any], Tree | None]:
    """What is told before anything is searched, and what finds it.

    No tree where who asks may not search it.
    """
    words = [name for name in names if any(letter.isalnum() for letter in name)]
    told: dict[str, Any] = {"expression": "", "records": None, "capped": False, "why": _UNASKED}
    if not words:
        return told | {"why": "no name and no e-mail of the person is known"}, None
    if "person" not in within.sections:
        return told | {"why": "names of people are outside your boundary"}, None
    tree = Or(tuple(Phrase(name) for name in words))
    try:
        parse(unparse(tree), host.clock.now())
    except ExpressionError:  # whoever reads it here, on record or elsewhere, could not put it
        return told | {
            "why": "the person's names are more words than one expression may have"
        }, None
    told["expression"] = unparse(tree)
    if not within.shows_content(reason):
        return told | {"why": "searching text reads content, which you may not see"}, None
    return told, tree
