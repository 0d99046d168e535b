"""Leaves that the sequencer writes in its own name.

Rules: they bear the sequencer's own incarnation and counter; their sections are null, but for
``ledger.clock``, whose ``what`` says how far the clock had fallen behind ledger time. Not here:
when they are due (``log``), and gaps and ends of other writers, which come as ordinary records.
"""

from affidavit import ids
from affidavit.clock import Clock, to_unix_us
from affidavit.ids import b64u
from affidavit.ledger.leaf import NO_SECTIONS, EpochTerms, HeadsTerms
from affidavit.ledger.plan import Item
from affidavit.record.disclose import disclose
from affidavit.record.model import SECTIONS, Record

CLOCK_TOLERANCE_US = 1_000_000
"""A clock this far behind ledger time is recorded, once until it has caught up."""


class Own:
    """The sequencer as a writer; ``incarnation`` is new for each."""

    def __init__(self, clock: Clock) -> None:
        self.incarnation = b64u(ids.salt())
        self._clock = clock
        self._behind = False

    def item(
        self,
        n: int,
        kind: str,
        time: str,
        terms: EpochTerms | HeadsTerms | None = None,
        what: str | None = None,
    ) -> Item:
        """Record ``n`` of this writer; ``terms`` are the leaf's extra fields."""
        return Item((self.incarnation, n), own_record(kind, time, what), (), terms)

    def clock_lag(self, time: str) -> str | None:
        """The disclosure for a ``ledger.clock`` if the clock has just fallen behind ``time``."""
        now = self._clock.now()
        if now >= time:
            self._behind = False
            return None
        if self._behind or to_unix_us(time) - to_unix_us(now) < CLOCK_TOLERANCE_US:
            return None
        self._behind = True
        return disclose("what", {"clock": now, "ledger_time": time})


def own_record(kind: str, time: str, what: str | None = None) -> Record:
    """A record of the ledger itself: no tenant, no sections but ``what`` if given."""
    sections: tuple[str | None, ...] = NO_SECTIONS
    if what is not None:
        sections = tuple(what if name == "what" else None for name in SECTIONS)
    return Record(ids.record_id(), kind, time, "observed", "", "", sections, ())
