"""Chain of custody: the reads on record that touched some records.

Rules: a reveal names its records, and an export its leaves (of very many, runs that may hold some
that were not in it); of an older one, which shows all that its question matches, that is put
again; of a question, a story or a tail only that it matches these records can be told, since its
record has the question and a number, not which rows. What is recorded as a digest, asks for what
this reader may not see, or takes too long or is too much to be put again is listed with *cannot be
told*. Counts, sums and lists of values show no record and are not listed. All within the reader's
boundary, newest reads first where there are too many to look at. Where a limit cuts, a line of its
own says so, also where no read is found. Not here: how it is shown (``evidence.report_kept``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from affidavit.control import terms
from affidavit.errors import UsageError
from affidavit.index.reader import LIMIT, TIME
from affidavit.index.schema import Row
from affidavit.query import wording
from affidavit.query.asked_then import condition, exported, lies_in, story
from affidavit.query.boundary import Boundary, inject
from affidavit.query.content import look
from affidavit.query.scope import KINDS, RECORD_ID
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Match, Number, Or, Tree

MOST = 500
"""Reads that are looked at."""
RECORDS = 2_000
"""Records that are looked for in reads."""

_NO_END = 1 << 62
_QUESTIONS = frozenset({"query", "show", "tail"})
_READS = Or(
    tuple(Match("type", f"access.{kind}") for kind in ("query", "reveal", "export", "tail"))
)


def custody(
    searcher: Searcher, boundary: Boundary, records: Sequence[int], size: int
) -> list[dict[str, Any]]:
    """The reads below index ``size`` that touched ``records``, in ledger order, as JSON.

    ``leaf``, ``id``, ``time``, ``type``, ``actor``, ``purpose``, ``said`` in words, ``records``
    (``None`` where its record does not say which). A line that says what was not looked at has no
    ``type``. Empty for who may not see what was asked.
    """
    if not records or "what" not in boundary.sections:
        return []
    looked = sorted(records)[:RECORDS]
    asked = inject(_READS, boundary)
    rows = searcher.rows_of(asked, MOST + 1, looked[0], size, newest=True)
    told = _Told(searcher, boundary, looked)
    found = [entry for row in rows[:MOST] if (entry := told.entry(row)) is not None]
    if len(rows) > MOST:
        said = f"Only the newest {MOST:,} reads were looked at; there are earlier ones."
        found.append(_entry(rows[MOST], boundary, {}, said, []) | {"type": "", "actor": ""})
    if len(looked) < len(records):
        said = f"Looked for were only the first {RECORDS:,} of the {len(records):,} records."
        told_of = {"leaf": looked[-1], "id": "", "time": "", "type": "", "actor": ""}
        found.append(told_of | {"purpose": "", "said": said, "records": []})
    return found[::-1]


class _Told:
    """Tells of each read whether it touched the records; the newest is asked about first."""

    def __init__(self, searcher: Searcher, boundary: Boundary, records: list[int]) -> None:
        self._searcher = searcher
        self._boundary = boundary
        self._records = records
        self._known: dict[Tree, list[int] | None] = {}
        self._late = False
        self._ends: dict[str, int] = {}

    def entry(self, row: Row) -> dict[str, Any] | None:
        """What is told of a read; ``None`` if it touched none of the records."""
        seen = look(self._searcher.contents, row, show=False).sections
        what = seen.get("what")
        if not isinstance(what, Mapping):
            return _entry(row, self._boundary, {}, "Its own record can no longer be read.", None)
        if row.type == "access.reveal":
            listed = what.get("records")
            shown = {one.get("index") for one in listed or [] if isinstance(one, Mapping)}
            touched = [index for index in self._records if index in shown]
            return self._told(row, seen, touched, "") if touched else None
        if row.type == "access.export":
            if what.get("count") is True:
                return None
            given = self._exported(row, what)
            if given is None:
                return self._told(row, seen, None, "whether it showed any cannot be told")
            if given and what.get("sample"):
                return self._told(row, seen, None, f"drew {what['sample']} by a seed")
            return self._told(row, seen, given, "") if given else None
        return self._question(row, seen, what)

    def _exported(self, row: Row, what: Mapping[str, Any]) -> list[int] | None:
        """Those of the records that an export showed; ``None`` if it cannot be told."""
        runs = exported(what)
        if runs is not None:
            return [index for index in self._records if lies_in(runs, index)]
        asked = condition(what, row.idx, self._boundary)
        return None if asked is None else self._matching(asked)

    def _question(
        self, row: Row, seen: Mapping[str, Any], what: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """A question, a story, or a tail that began: whether it matches."""
        operation = what.get("operation")
        if what.get("phase") == "ended":  # comes before its beginning: the newest are first
            self._ends[str(what.get("began", ""))] = row.idx
            return None
        if operation not in _QUESTIONS or not what.get("rows", 1):
            return None
        if what.get("count") is True:
            return None
        asked = self._story(row, what) if operation == "show" else self._asked(row, what)
        if asked is None:
            return self._told(row, seen, None, "whether it matches cannot be told")
        matching = self._matching(asked)
        if matching is None:
            return self._told(row, seen, None, "whether it matches cannot be told")
        more = f"it matches {len(matching)} of these"
        return self._told(row, seen, None, more) if matching else None

    def _asked(self, row: Row, what: Mapping[str, Any]) -> Tree | None:
        if what.get("operation") != "tail":
            return condition(what, row.idx, self._boundary)
        after = what.get("after")
        asked = condition(what, self._ends.get(row.id, _NO_END), self._boundary)
        return None if asked is None else And((asked, Number("index", ">=", int(after or 0))))

    def _story(self, row: Row, what: Mapping[str, Any]) -> Tree | None:
        """What a story told of, as a condition; ``None`` if its name is a digest.

        Of what was there before it, in its window, within the boundary of who read it.
        """
        kind, name = what.get("kind"), str(what.get("name", ""))
        if terms.is_digest(name):
            return None
        if kind in KINDS:
            asked = inject(Match(str(kind), name), self._boundary)
            return story(what, asked, row.idx, self._boundary)
        if RECORD_ID.fullmatch(name):
            named = self._searcher.locate(name, self._boundary)
            name = "" if named is None else str(named.idx)
        number = name.removeprefix("#")
        if not number.isdecimal():
            return None
        halves = self._searcher.locate(int(number), self._boundary)
        both = {int(number)} | ({halves.re, halves.answered} if halves is not None else set())
        asked = Or(tuple(Number("index", "=", index) for index in both if index is not None))
        whole = {key: value for key, value in what.items() if key != "window"}  # none narrows it
        return story(whole, asked, row.idx, self._boundary)

    def _matching(self, asked: Tree) -> list[int] | None:
        """Those of the records that match; ``None`` if it takes too long or is too much at once.

        Once one took too long, no other one is put: each may take as long.
        """
        if asked not in self._known:
            if self._late:
                return None
            rows = And((self._boundary.rows, asked))
            within = self._boundary._replace(rows=rows)
            try:
                self._known[asked] = self._searcher.within(self._records, within)
            except UsageError as error:
                if error.detail.get("reason") not in (TIME, LIMIT):
                    raise
                self._late = error.detail["reason"] == TIME
                self._known[asked] = None
        return self._known[asked]

    def _told(
        self, row: Row, seen: Mapping[str, Any], touched: list[int] | None, more: str
    ) -> dict[str, Any]:
        shown = wording.visible(self._boundary, seen)
        said = wording.sentence(row, shown, self._boundary).rstrip(".")
        said = f"{said}; {more}." if more else f"{said}."
        return _entry(row, self._boundary, shown, said, touched)


def _entry(
    row: Row, boundary: Boundary, shown: Mapping[str, Any], said: str, touched: list[int] | None
) -> dict[str, Any]:
    name = shown.get("person", {}).get("name")
    purpose = shown.get("who", {}).get("purpose") or shown.get("what", {}).get("reason") or ""
    actor = (row.actor or "") if "who" in boundary.sections else "withheld"
    return {
        "leaf": row.idx,
        "id": row.id,
        "time": row.time,
        "type": row.type,
        "actor": f"{actor} ({name})" if isinstance(name, str) and name else actor,
        "purpose": str(purpose),
        "said": said,
        "records": touched,
    }
