"""What a model's name meant at the time: which model answered to ``prod-chat`` then.

Rules: there are two sources, and each statement names its own: the newest ``change.alias`` record
of that name before the request (somebody's word, with its tier), and the exchange itself
(resolved by the gateway, served as the provider says). Where they differ, both stand there. A
name that meant itself and was never changed is no alias, and nothing is said. Not here: whether a
reader may see ``what`` (the caller asks only then).
"""

from typing import Any

import msgspec

from affidavit.index.schema import Row
from affidavit.query.boundary import Boundary, inject
from affidavit.query.content import look
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Match


class Meaning(msgspec.Struct, frozen=True):
    """``name`` meant ``model``. ``by``: ``change``, ``resolved`` or ``served``.

    ``record`` is the index of the change (``tier`` its tier) or of the half that says so.
    ``against``: the index of the change that gives another name, of which this one is no version.
    """

    name: str
    model: str
    by: str
    record: int
    tier: str
    against: int | None = None


def meanings(
    searcher: Searcher, row: Row, answer: Row | None, boundary: Boundary
) -> tuple[Meaning, ...]:
    """What the name that a request asks for meant; ``answer``: its response, if it may be seen."""
    name = row.model_requested
    if name is None or row.type != "exchange.request":
        return ()
    found = []
    change = _change(searcher, name, row.idx, boundary)
    if change is not None:
        found.append(change)
    if row.model_resolved and row.model_resolved != name:
        against = _against(row.model_resolved, change)
        found.append(Meaning(name, row.model_resolved, "resolved", row.idx, row.tier, against))
    served = answer.model_served if answer is not None else None
    if answer is not None and served and (served != name or found):
        against = _against(served, change)
        found.append(Meaning(name, served, "served", answer.idx, answer.tier, against))
    return tuple(found)


def _against(model: str, change: Meaning | None) -> int | None:
    """The change, if it says another model than this one or a version of it."""
    if change is None or change.model == "unknown" or model.startswith(change.model):
        return None
    return change.record


def _change(searcher: Searcher, name: str, before: int, boundary: Boundary) -> Meaning | None:
    asked = inject(And((Match("type", "change.alias"), Match("target", f"alias:{name}"))), boundary)
    for row in searcher.rows_of(asked, 1, high=before, newest=True):
        what = look(searcher.contents, row, show=False).sections.get("what")
        model = pointed_to(what.get("after")) if isinstance(what, dict) else None
        return Meaning(name, model or "unknown", "change", row.idx, row.tier)
    return None


def pointed_to(value: Any) -> str | None:
    """The model that one side of a change of an alias names: a text, or ``model`` of an object."""
    if isinstance(value, dict):
        value = value.get("model") or value.get("name")
    return value if isinstance(value, str) and value else None
