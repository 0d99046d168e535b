"""What a model's name meant at the time: which model answered to ``prod-chat`` then.

Rules: there are two sources, and each statement names its own: the newest ``change.alias`` record
of that name before the request (somebody's word, with its tier), and the exchange itself
(resolved by the gateway, served as the provider says). Where they differ, both stand there. A
name that meant itself and was never changed is no alias, and nothing is said. Not here: whether a
reader may see ``what`` (the caller asks only then).
"""

from bisect import bisect_left
from typing import Any

import msgspec

from affidavit.index.schema import Row
from affidavit.query.boundary import Boundary, inject
from affidavit.query.content import look
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Match

MOST = 256
"""So many changes of a name are looked up at once; what is older is looked up when asked for."""


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


class Aliases:
    """What names meant, within one boundary and a ledger of ``size`` leaves.

    The changes of a name are looked up once, as its requests are many.
    """

    def __init__(self, searcher: Searcher, boundary: Boundary, size: int) -> None:
        self._searcher = searcher
        self._boundary = boundary
        self._size = size
        self._changes: dict[str, list[int]] = {}
        self._said: dict[int, Meaning] = {}

    def meanings(self, row: Row, answer: Row | None) -> tuple[Meaning, ...]:
        """What the name that a request asks for meant.

        ``answer``: its response, if it may be seen.
        """
        name = row.model_requested
        if name is None or row.type != "exchange.request":
            return ()
        found = []
        change = self._change(name, row.idx)
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

    def _change(self, name: str, before: int) -> Meaning | None:
        """The newest change of a name before a record."""
        if name not in self._changes:
            self._changes[name] = [row.idx for row in self._rows(name, self._size, MOST)][::-1]
        known = self._changes[name]
        place = bisect_left(known, before)
        if place:
            return self._meaning(name, known[place - 1])
        if len(known) < MOST:
            return None
        earlier = self._rows(name, min(before, known[0]), 1)
        return self._meaning(name, earlier[0].idx) if earlier else None

    def _rows(self, name: str, high: int, limit: int) -> list[Row]:
        asked = And((Match("type", "change.alias"), Match("target", f"alias:{name}")))
        within = inject(asked, self._boundary)
        return self._searcher.rows_of(within, limit, high=high, newest=True)

    def _meaning(self, name: str, index: int) -> Meaning | None:
        if index not in self._said:
            row = self._searcher.reader.row(index)
            if row is None:
                return None
            what = look(self._searcher.contents, row, show=False).sections.get("what")
            model = pointed_to(what.get("after")) if isinstance(what, dict) else None
            self._said[index] = Meaning(name, model or "unknown", "change", index, row.tier)
        return self._said[index]


def _against(model: str, change: Meaning | None) -> int | None:
    """The change, if it says another model than this one or a version of it."""
    if change is None or change.model == "unknown" or model.startswith(change.model):
        return None
    return change.record


def pointed_to(value: Any) -> str | None:
    """The model that one side of a change of an alias names: a text, or ``model`` of an object."""
    if isinstance(value, dict):
        value = value.get("model") or value.get("name")
    return value if isinstance(value, str) and value else None
