"""What the ledger has to write in its own name, and when.

Rules: heads a few seconds after anything changed, hourly when nothing does, and when a proof asks
for them, at most once a second; none while the last ones are not published yet, since proofs are
against one heads leaf and that one is of no use before. A clock that fell behind ledger time is
recorded, once. A step of a rotation of the log's key is recorded when somebody asked for it. Ledger
time never goes back. Not here: committing (``log``).
"""

from affidavit.clock import Clock
from affidavit.ids import b64u
from affidavit.ledger.leaf import HEADS, EpochTerms, HeadsTerms
from affidavit.ledger.own import Own
from affidavit.ledger.plan import Item, Plan, work_out
from affidavit.ledger.prover import Prover
from affidavit.ledger.signing import Change, Keys
from affidavit.ledger.tip import Tip
from affidavit.record.disclose import disclose

HEADS_SECONDS = 3.0
IDLE_HEADS_SECONDS = 3600.0
ASKED_HEADS_SECONDS = 1.0


class Agenda:
    """For the ledger whose end is ``tip``.

    ``asked``: somebody waits for heads. ``rotation``: a step of a rotation that was asked for,
    whether it is the last one; ``None`` for none.
    """

    def __init__(
        self,
        own: Own,
        clock: Clock,
        tip: Tip,
        prover: Prover,
        keys: Keys,
    ) -> None:
        self.asked = False
        self.rotation: bool | None = None
        self._own = own
        self._clock = clock
        self._tip = tip
        self._prover = prover
        self._keys = keys
        self._heads_at = clock.monotonic()

    def time(self) -> str:
        """Ledger time now."""
        return max(self._clock.now(), self._tip.time)

    def item(
        self,
        kind: str,
        terms: EpochTerms | HeadsTerms | None = None,
        ahead: int = 0,
        what: str | None = None,
    ) -> Item:
        """A leaf of the ledger's own behind ``ahead`` others of it."""
        n = self._tip.writers.get(self._own.incarnation, (0, False))[0] + ahead
        return self._own.item(n, kind, self.time(), terms, what)

    def heads(self) -> Item:
        """A heads leaf as of now."""
        return self.item(HEADS, self.claim())

    def claim(self) -> HeadsTerms:
        """What a heads leaf claims now."""
        bits, root = self._prover.next_terms()
        return HeadsTerms(self._tip.epoch.index, bits, b64u(root))

    def heads_alone(self) -> Plan:
        """Heads, if they are due; what has sections waits for a plan that the vault sees, too."""
        items = [self.heads()] if self._heads_due() else []
        return work_out(self._tip, items, self.time())

    def due(self) -> list[Item]:
        """The leaves that the next plan begins with."""
        items: list[Item] = []
        if self._heads_due():
            items.append(self.heads())
        late = self._own.clock_lag(self.time())
        if late is not None:
            items.append(self.item("ledger.clock", None, len(items), late))
        if self.rotation is not None:
            change = self._keys.change(self._tip.tree.size + len(items), finish=self.rotation)
            items.append(self.item("ledger.key", None, len(items), disclose("what", change.what)))
        return items

    def _heads_due(self) -> bool:
        if self._prover.waits:
            return False
        since = self._clock.monotonic() - self._heads_at
        due = since >= (HEADS_SECONDS if self._tip.changes() else IDLE_HEADS_SECONDS)
        return (due or self.asked) and self._prover.worked_ahead()

    def ask(self) -> bool:
        """Ask for heads; ``False`` if the last ones are less than a second old."""
        self.asked = self._clock.monotonic() - self._heads_at >= ASKED_HEADS_SECONDS
        return self.asked

    def turned(self) -> None:
        """A heads leaf was committed."""
        self._heads_at, self.asked = self._clock.monotonic(), False

    def change(self, plan: Plan) -> Change | None:
        """What becomes of the log's keys when ``plan`` is committed: it may have the record."""
        if self.rotation is None:
            return None
        for placed in plan.placed[:3]:  # behind heads and clock
            if placed.record.type == "ledger.key" and placed.src[0] == self._own.incarnation:
                return self._keys.change(placed.index, finish=self.rotation)
        return None
