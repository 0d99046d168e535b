"""Gaps: intervals in which something could not be recorded, counted here and recorded afterwards.

Rules: what happens without a record is counted by route, kind (``served``: it went to the provider
all the same; ``refused``: nothing went anywhere) and cause; a gap begins with the first and lasts
until recording works again, which the record of it proves: type ``ledger.gap``, with start, end,
cause and *at least* how many. A count that is not on record yet is kept, whatever happens to the
attempt; if this process dies with it, the sweep records a gap of unknown count. A gap is of no
tenant, so it joins the chain that is part of every answer. Not here: when recording works.
"""

from typing import Any, NamedTuple

from affidavit import ids
from affidavit.clock import Clock
from affidavit.config_retention import LEDGER
from affidavit.errors import CannotRecordError
from affidavit.record.disclose import disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.model import SECTIONS, Record

SERVED = "served"
REFUSED = "refused"
STUCK = "journal stuck"
"""The cause of a gap where the disk did not answer in time."""


class _Name(NamedTuple):
    kind: str
    route: str
    cause: str


class _Count(NamedTuple):
    since: str
    many: int


class Gaps:
    """The gaps of one worker that are not on record yet."""

    def __init__(self, worker: str, clock: Clock) -> None:
        self._worker = worker
        self._clock = clock
        self._open: dict[_Name, _Count] = {}
        self._recording: dict[_Name, _Count] = {}

    @property
    def lost(self) -> bool:
        """Whether something was served without a record, and that is not on record yet."""
        return any(name.kind == SERVED for name in (*self._open, *self._recording))

    @property
    def due(self) -> bool:
        """Whether ``record`` has something to do."""
        return bool(self._open) and not self._recording

    @property
    def why(self) -> CannotRecordError | None:
        """Why something was not recorded that is not on record yet."""
        names = [*self._recording, *self._open]
        return _error(names[0].cause) if names else None

    @property
    def hopeless(self) -> CannotRecordError | None:
        """Why nothing is recorded now: the record of a gap waits for a journal that is stuck."""
        return _error(STUCK) if any(name.cause == STUCK for name in self._recording) else None

    def count(self, kind: str, route: str, error: CannotRecordError) -> None:
        """Something was served, or refused, without a record."""
        name = _Name(kind, route, str(error.detail.get("cause", "unknown")))
        before = self._open.get(name) or _Count(self._clock.now(), 0)
        self._open[name] = before._replace(many=before.many + 1)

    async def record(self, journal: JournalWriter) -> None:
        """Put everything counted so far on record; ``CannotRecordError`` if it is not taken.

        One at a time: does nothing while another call is at it.
        """
        if self._recording:
            return
        self._recording, self._open = self._open, {}
        try:
            for name, counted in list(self._recording.items()):
                await journal.commit(self._record(name, counted), ())
                del self._recording[name]
        finally:
            for name, counted in self._recording.items():
                later = self._open.get(name, _Count("", 0)).many
                self._open[name] = counted._replace(many=counted.many + later)
            self._recording = {}

    def _record(self, name: _Name, counted: _Count) -> Record:
        at = self._clock.now()
        what = describe(
            kind=name.kind,
            route=name.route,
            cause=name.cause,
            start=counted.since,
            end=at,
            at_least=counted.many,
            worker=self._worker,
        )
        text = disclose("what", what)
        return Record(
            id=ids.record_id(),
            type="ledger.gap",
            at=at,
            tier="observed",
            tenant="",
            retention_class=LEDGER,
            sections=tuple(text if section == "what" else None for section in SECTIONS),
            chains=(),
        )


def _error(cause: str) -> CannotRecordError:
    return CannotRecordError(f"Calls were not recorded: {cause}.", cause=cause)


def describe(**facts: Any) -> dict[str, Any]:
    """The ``what`` of a gap, with a sentence for people."""
    served = facts["kind"] == SERVED
    what = "calls were served without a record" if served else "calls were refused"
    route = facts["route"] or "any"
    said = f"At least {facts['at_least']} {what} on route {route}: {facts['cause']}."
    return {**facts, "reason": said}
