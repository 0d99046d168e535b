"""The plan: what of the vault may go and what should, by the rules in force and the holds.

Rules:

1. Nothing may go whose minimum is not over, that is under a hold, or whose class no configuration
   names: of the last nobody knows how long it has to be kept.
2. Whatever is over its maximum and still there is in the plan, held or not, until it is gone: due
   from the first day on, overdue when another day has passed.
3. A plan changes nothing. Whoever carries it out asks again with the time of then.

Not here: taking anything away (``erase``), which holds there are.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, timedelta
from typing import Literal, NamedTuple

from affidavit import retention
from affidavit.config import Config
from affidavit.retention import Kept
from affidavit.vault.segments import Bucket
from affidavit.vault.stocktaking import Stock, Stocktaking, What

State = Literal["minimum", "kept", "due", "overdue"]
"""Below its minimum; over it, and may be kept on; over its maximum; for more than a day."""

_DAMAGED = (
    "Damaged: a file of keys (.wraps) cannot be read whole, so nothing of it goes; "
    "affidavit fsck names the file, and a copy of it mends it."
)

Held = Callable[[Bucket], Collection[int]]
"""The leaf indexes of a bucket's records that a hold keeps."""


def nothing_held(_: Bucket) -> Collection[int]:
    """Without holds."""
    return ()


class Line(NamedTuple):
    """A bucket in a plan.

    ``what`` goes of its records, from the day ``removable`` on if somebody asks for it, and by
    itself on ``due`` (``""``: never). ``known``: whether the configuration names its class; if not,
    ``kept`` is what holds for the default class, and nothing goes. ``spare``: leaf indexes that a
    hold keeps.
    """

    bucket: Bucket
    kept: Kept
    known: bool
    state: State
    what: What
    removable: str
    due: str
    stock: Stock
    spare: frozenset[int]

    @property
    def may_go(self) -> int:
        """How many records may go now."""
        return 0 if self.state == "minimum" or not self.known else self.stock.left - self.stock.held

    @property
    def goes(self) -> bool:
        """Whether retention takes something away now: ``expire(bucket, what, spare)``.

        Of what is damaged, too: that meets the damage, and says so.
        """
        return self.state in ("due", "overdue") and self.may_go > 0

    @property
    def why(self) -> str:
        """In one sentence why it is where it is."""
        limit = self.kept.minimum if self.state == "minimum" else self.kept.maximum
        days = f"{limit} day{'' if limit == 1 else 's'}"
        if self.stock.damaged:
            return _DAMAGED
        if not self.known:
            return "The configuration does not name this class: nothing goes until it does."
        if self.state == "minimum":
            return f"To be kept {days} at least." if limit else "Its day is not over."
        if self.state == "kept":
            return f"To be kept {days} at most." if self.due else "No maximum."
        held = self.stock.held
        if held == self.stock.left:
            return f"Over its maximum of {days}; all of it is held."
        return f"Over its maximum of {days}" + (f"; {held} held." if held else ".")


def plan(
    stocks: Stocktaking,
    config: Config,
    now: str,
    held: Held = nothing_held,
    *,
    due_only: bool = False,
    tenant: Callable[[str], bool] = lambda _: True,
) -> Iterator[Line]:
    """The plan of all buckets that hold something or are damaged, as of ``now``.

    ``now``: a stored time, or a day.
    ``due_only``: of those alone that are over their maximum or of a class that is not known, which
    reads no file of any other. ``tenant``: whose buckets are looked at.
    """
    for bucket in stocks.buckets():
        if not tenant(bucket.tenant):
            continue
        yield from _lines(stocks, config, bucket, now, held, due_only=due_only)


def _lines(
    stocks: Stocktaking, config: Config, bucket: Bucket, now: str, held: Held, *, due_only: bool
) -> Iterator[Line]:
    kept = retention.kept(config, bucket.retention_class)
    known = kept.name == bucket.retention_class
    state = state_of(kept, bucket.day, now)
    if due_only and known and state not in ("due", "overdue"):
        return
    what = what_expires(kept)
    spare = frozenset(held(bucket))
    stock = stocks.stock(bucket, what, spare)
    if stock.left or stock.damaged:
        removable, due, _ = retention.dates(kept, bucket.day)
        yield Line(bucket, kept, known, state, what, removable, due, stock, spare)


def what_expires(kept: Kept) -> What:
    """What goes of a record that is over its maximum."""
    return "content" if kept.expires == "content" else "sections"


def state_of(kept: Kept, day: str, now: str) -> State:
    """Where a record of ``day`` stands."""
    if not retention.removable(kept, day, now):
        return "minimum"
    if not retention.due(kept, day, now):
        return "kept"
    yesterday = (date.fromisoformat(now[:10]) - timedelta(days=1)).isoformat()
    return "overdue" if retention.due(kept, day, yesterday) else "due"


class Late(NamedTuple):
    """What is over its maximum and still there, and what nobody says how long to keep.

    ``oldest``: the earliest day on which something of it was due, ``""`` if nothing is. Overdue is
    a part of due; what is held is counted apart. ``damaged_buckets``: those of all these that are
    damaged, so that not all is counted.
    """

    due_buckets: int = 0
    due_records: int = 0
    overdue_buckets: int = 0
    overdue_records: int = 0
    held_records: int = 0
    unknown_buckets: int = 0
    oldest: str = ""
    damaged_buckets: int = 0


def late(lines: Iterable[Line]) -> Late:
    """The sum of a plan for status and metrics."""
    found = Late()
    for line in lines:
        waits = line.stock.left - line.stock.held
        if not line.known:
            found = found._replace(unknown_buckets=found.unknown_buckets + 1)
        if line.stock.damaged and (not line.known or line.state in ("due", "overdue")):
            found = found._replace(damaged_buckets=found.damaged_buckets + 1)
        if line.state not in ("due", "overdue"):
            continue
        found = found._replace(held_records=found.held_records + line.stock.held)
        if not waits:
            continue
        oldest = min(line.due, found.oldest or line.due)
        found = found._replace(
            due_buckets=found.due_buckets + 1,
            due_records=found.due_records + waits,
            oldest=oldest,
        )
        if line.state == "overdue":
            found = found._replace(
                overdue_buckets=found.overdue_buckets + 1,
                overdue_records=found.overdue_records + waits,
            )
    return found
