"""The way in: from all journals, through vault and ledger, in bounded batches.

The order of effects in a step, and what a crash behind each of them leaves:

1. journals are read, bodies joined (nothing);
2. what was read is synced where it stands (nothing), because the writer may not have got to it:
   the ledger must not hold a request whose record a restart would not find;
3. ``prepare``: indexes, leaves, links (nothing);
4. ``store.put``: sections and content durable (content without a leaf: the store takes it back
   when it is opened beside the ledger);
5. ``commit`` (everything is in the ledger; the counters in it say so, and nothing is done twice);
6. ``on_placed``: the index, which catches up from vault and ledger by itself;
7. segments without anything left to do are removed (they are passed over and removed again).

So a step may end anywhere; the next start finishes with every acknowledged record once and one
outcome per request. A record that no leaf can hold is replaced by one that says so (``sweep``),
and the rest goes on. Any error of store or ledger ends the process; nothing is retried in it.

Not here: what is written for writers that are gone (``sweep``) and for those whose journal is
missing (``lost``), and the journal's format.
"""

import heapq
import math
import os
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from affidavit.clock import Clock
from affidavit.durable import Disk
from affidavit.errors import CorruptError, ParseError, UnavailableError
from affidavit.ledger import sweep
from affidavit.ledger.assemble import Ready
from affidavit.ledger.inbox import Inbox, OpenKey, segment_days
from affidavit.ledger.leaf import Leaf, is_incarnation
from affidavit.ledger.lost import Lost, Writers
from affidavit.ledger.plan import Plan, Submission
from affidavit.record.model import Placed, Record

READ_BYTES = 1 << 20
"""Bytes read of one journal before the others have their turn."""

LOOK_SECONDS = 1.0
"""How often a writer that says nothing is looked at: is it still alive?"""

PATIENCE_SECONDS = 10.0
"""How long a journal that cannot be read to its end is tried again before a gap is recorded."""


class Store(Protocol):
    """Where sections and content go: the vault, which the ledger does not know."""

    def put(self, placed: Sequence[Placed]) -> None:
        """Keep these; durable on return. Places never committed are given out again later."""


class Ledger(Writers, Protocol):
    """What the intake asks of the log."""

    @property
    def writing(self) -> AbstractContextManager[object]:
        """Held from ``prepare`` to ``commit``."""

    def prepare(self, submissions: Sequence[Submission]) -> Plan:
        """Work out a batch, possibly with leaves of the ledger's own."""

    def commit(self, plan: Plan) -> None:
        """Make it true; durable on return."""

    def take_own(self) -> list[Placed]:
        """Leaves the ledger appended by itself since it was last asked."""


class Intake:
    """Takes the records of all writers under ``root`` into the ledger; one thread uses it.

    ``open_key`` opens journal segments (the keyring); ``on_placed`` gets every leaf once it is
    committed, in order. ``leaf`` reads a published leaf, ``asked`` makes the record of a request
    from what the store has of it. ``held_bytes`` bounds the streamed bodies in memory,
    ``batch_records`` and ``batch_bytes`` what one commit takes (a single larger record is a batch
    of its own). ``taken_in``: when (monotonic) all that was acknowledged by then was in the ledger,
    but what a living writer's journal does not show; any thread may read it.
    """

    def __init__(
        self,
        disk: Disk,
        root: Path,
        ledger: Ledger,
        store: Store,
        open_key: OpenKey,
        clock: Clock,
        on_placed: Callable[[Sequence[Placed]], None],
        *,
        leaf: Callable[[int], Leaf],
        asked: Callable[[Leaf], Record],
        held_bytes: int = 64 << 20,
        batch_records: int = 500,
        batch_bytes: int = 8 << 20,
    ) -> None:
        self._disk = disk
        self._root = root
        self._ledger = ledger
        self._store = store
        self._open_key = open_key
        self._clock = clock
        self._on_placed = on_placed
        self._held_bytes = held_bytes
        self._batch_records = batch_records
        self._batch_bytes = batch_bytes
        self._inboxes: dict[str, Inbox] = {}
        self._kept: dict[str, str] = {}
        self._closed: frozenset[str] = frozenset()
        self._looked_at: dict[str, float] = {}
        self._damaged: dict[str, tuple[float, str]] = {}
        self._lost = Lost(ledger, leaf, asked, clock, batch_records)
        self.taken_in = -math.inf

    def step(self) -> int:
        """Take in one batch; returns the number of leaves written.

        Nothing to do is 0, and due heads and checkpoints are then written all the same; call
        again after a pause of some milliseconds. Any error ends this object (see the module);
        ``UnavailableError`` is one of the disk.
        """
        try:
            return self._step()
        except OSError as error:
            raise UnavailableError(
                f"The journals cannot be taken in: {error.strerror or error}.",
                hint="Look at the disk, then restart; everything acknowledged is in the journals.",
                kept="Recording goes on.",
            ) from error

    @property
    def behind(self) -> bool:
        """Whether the last step was full, so that the next one should come at once."""
        return any(inbox.more for inbox in self._inboxes.values())

    @property
    def trouble(self) -> dict[str, str]:
        """Journals that need a person: incarnation → what is wrong with it."""
        found = {name: inbox.trouble() for name, inbox in self._inboxes.items()}
        found |= {name: why for name, (_, why) in self._damaged.items()}
        return {name: why for name, why in (found | self._kept).items() if why}

    @property
    def backlog(self) -> int:
        """Bytes of journal on disk, space made ahead included."""
        return sum(path.stat().st_blocks * 512 for path in self._root.glob("*/*.seg"))

    @property
    def closed(self) -> frozenset[str]:
        """Journals that are kept, and of which nothing more comes: what can be read is taken in."""
        return self._closed

    def stuck(self, requests: Iterable[int], unread: Container[str]) -> dict[int, str]:
        """Which open requests get no answer, where journals are ``unread``: ``Lost.stuck``."""
        return self._lost.stuck(requests, unread)

    def oldest_day(self) -> str | None:
        """The oldest day whose key is needed to take in a journal; ``""`` if one does not say.

        None is for what is ``closed``.
        """
        names = {path.name for path in self._root.iterdir() if path.is_dir()} - self._closed
        return min(set().union(*(segment_days(self._root / one) for one in names)), default=None)

    def closed_days(self) -> list[set[str]]:
        """For each closed journal with segments the days whose keys still open them, or did.

        ``""`` is in it where a segment does not say.
        """
        every = (segment_days(self._root / name) for name in sorted(self._closed))
        return [days for days in every if days]

    def close(self) -> None:
        """Close all files and give back the leases that were taken."""
        for inbox in self._inboxes.values():
            inbox.close()
        self._inboxes.clear()

    # Reading

    def _step(self) -> int:
        began = self._clock.monotonic()
        self._discover()
        idle = []
        for inbox in self._inboxes.values():
            news = inbox.waiting < self._batch_bytes and inbox.read(READ_BYTES)
            if not news and not inbox.pending:
                idle.append(inbox)
            elif not inbox.pending:
                inbox.shorten()  # a writer that has gone on to a segment without a record so far
        self._bound_memory()
        written = self._take_in()
        for inbox in idle:
            if self._due(inbox):
                written += self._wind_up(inbox)
        if words := self._lost.step(self._inboxes, self._kept.keys()):
            written += self._write(words)
        self.taken_in = min([began, *(one.passed(began) for one in self._inboxes.values())])
        self._rotate()
        return written

    def _discover(self) -> None:
        names = set(filter(is_incarnation, os.listdir(self._root)))  # noqa: PTH208 - often, names only
        for name in self._inboxes.keys() - names:
            self._inboxes.pop(name).close()
        for name in self._kept.keys() - names:
            del self._kept[name]
        self._closed = self._closed.intersection(self._kept)
        for name in sorted(names - self._inboxes.keys() - self._kept.keys()):
            inbox = Inbox(self._disk, self._root / name, self._open_key, self._ledger.next_src)
            try:
                self._begin(inbox)
            except CorruptError as error:
                self._kept[name] = error.message
                continue
            if inbox.damaged and self._is_over(inbox):
                self._keep(inbox)
            else:
                self._inboxes[name] = inbox

    def _begin(self, inbox: Inbox) -> None:
        over = self._ledger.ended(inbox.incarnation)
        inbox.begin(self._ledger.open_requests(), over=over)

    def _bound_memory(self) -> None:
        while sum(inbox.assembler.held for inbox in self._inboxes.values()) > self._held_bytes:
            fullest = max(self._inboxes.values(), key=lambda inbox: inbox.assembler.held)
            fullest.assembler.let_go()

    def _rotate(self) -> None:
        """Another journal is the first one next time."""
        if self._inboxes:
            name = next(iter(self._inboxes))
            self._inboxes[name] = self._inboxes.pop(name)

    # Writing

    def _take_in(self) -> int:
        """Commit one batch of what is pending (or of nothing), then shorten the journals.

        Each writer's records stay in their order, and are placed among those of others by their
        source time: what one caller asked of several workers in turn is told in that order.
        """
        runs: list[list[Submission]] = []
        sources: list[Inbox] = []
        size = count = 0
        for inbox in self._inboxes.values():
            if inbox.pending and count < self._batch_records and size < self._batch_bytes:
                inbox.sync()
                sources.append(inbox)
                runs.append([])
                while inbox.pending and count < self._batch_records:
                    if size and size + inbox.pending[0].size > self._batch_bytes:
                        size = self._batch_bytes  # full: the others wait, too
                        break
                    ready = inbox.pending.popleft()
                    size, count = size + ready.size, count + 1
                    runs[-1].append(inbox.submission(ready))
        written = self._write(list(heapq.merge(*runs, key=lambda one: one.record.at)))
        for inbox in sources:
            inbox.shorten()
        return written

    def _write(self, batch: Sequence[Submission]) -> int:
        with self._ledger.writing:
            own = self._ledger.take_own()
            try:
                plan = self._ledger.prepare(batch)
            except ParseError as error:
                return self._write_one_by_one(batch, own, error)
            self._store.put(plan.placed)
            self._ledger.commit(plan)
        placed = [*own, *plan.placed]
        if placed:
            self._on_placed(placed)
        return len(plan.placed)

    def _write_one_by_one(
        self, batch: Sequence[Submission], own: Sequence[Placed], error: ParseError
    ) -> int:
        if own:
            self._on_placed(own)
        if len(batch) > 1:
            return sum(self._write([one]) for one in batch)
        src, record, _ = batch[0]
        instead = sweep.refused(record, error.message, self._clock.now())
        return self._write([Submission(src, instead)])

    # Writers that are gone

    def _due(self, inbox: Inbox) -> bool:
        """Whether to wind up this writer now: it is gone, and not waited for."""
        name, now = inbox.incarnation, self._clock.monotonic()
        if inbox.leased and name not in self._damaged:
            return True
        if now - self._looked_at.get(name, -LOOK_SECONDS) < LOOK_SECONDS:
            return False
        self._looked_at[name] = now
        return inbox.take_lease()

    def _wind_up(self, inbox: Inbox) -> int:
        """Do the next thing for a writer that is gone and whose journal seems to be read."""
        if inbox.read(READ_BYTES) or inbox.pending:
            return 0  # it came between the last look and the lease, or between two steps
        name = inbox.incarnation
        over = self._ledger.ended(name)
        if inbox.end is None and (inbox.returned or not over):
            own = self._ledger.next_src(name) - int(over)  # without the end that it did not write
            return self._fix_end(inbox, own)
        if inbox.assembler.exchanges:
            self._interrupt(inbox, self._lost.under(inbox))
            return 0
        unread = self._lost.unread(inbox, self._inboxes)
        if unread is None or unread:
            return self._write(unread) if unread else 0
        written = self._write(self._last_words(inbox, over=over))
        del self._inboxes[name]
        if inbox.damaged:
            self._keep(inbox)
        else:
            inbox.remove()
        return written

    def _fix_end(self, inbox: Inbox, records: int) -> int:
        name, now = inbox.incarnation, self._clock.monotonic()
        damage = inbox.damage()
        if not damage:
            unread = self._lost.unread(inbox, self._inboxes)
            if unread is None:
                return 0
            damage = "requests that the ledger has are not in it" if unread else ""
        if damage and now - self._damaged.setdefault(name, (now, damage))[0] < PATIENCE_SECONDS:
            self._begin(inbox)
            return 0
        self._damaged.pop(name, None)
        try:
            inbox.fix_end(records, damage)
        except OSError as error:  # the writer's disk, not ours: it waits, and the others do not
            self._damaged[name] = (now, f"Its end cannot be written down: {error.strerror}.")
            return 0
        self._begin(inbox)
        return 0

    def _interrupt(self, inbox: Inbox, name: str) -> None:
        """Make outcomes for open exchanges, as many as one batch takes."""
        n = self._ledger.next_src(name)
        size = 0
        for request in list(inbox.assembler.exchanges)[: self._batch_records]:
            exchange = inbox.assembler.close(request)
            body = exchange.body()
            if body is None:
                body = b"" if exchange.recall is None else inbox.recall(exchange.recall)
            record, bodies = sweep.interrupted(exchange.request, body, self._clock.now())
            place = (name, n + len(inbox.pending))
            inbox.pending.append(Ready(place, record, bodies, None, len(body), exchange.segment))
            size += len(body)
            if size >= self._batch_bytes:
                return

    def _last_words(self, inbox: Inbox, *, over: bool) -> list[Submission]:
        """The gap, if there is one, and the ends that are missing: committed together."""
        at = self._clock.now()
        name, worker = inbox.incarnation, inbox.worker
        records: list[Submission] = []
        if not over:
            n = self._ledger.next_src(name)
            if inbox.end is not None and inbox.end.gap:
                gap = sweep.gap(name, worker, inbox.end.gap, at)
                records.append(Submission((name, n), gap))
            if inbox.end is not None and inbox.end.since:
                served = sweep.unrecorded(name, worker, inbox.end.since, at)
                records.append(Submission((name, n + len(records)), served))
            last = (name, n + len(records))
            records.append(Submission(last, sweep.ended(name, worker, at)))
        for more in (inbox.continuation, self._lost.instead(inbox)):
            n = self._ledger.next_src(more)
            if n and not self._ledger.ended(more):
                records.append(Submission((more, n), sweep.ended(more, worker, at)))
        return records

    def _is_over(self, inbox: Inbox) -> bool:
        more = inbox.continuation
        return self._ledger.ended(inbox.incarnation) and (
            self._ledger.ended(more) or not self._ledger.next_src(more)
        )

    def _keep(self, inbox: Inbox) -> None:
        assert inbox.end is not None
        self._kept[inbox.incarnation] = (
            f"Kept, because it could not be read to its end: {inbox.end.gap}. "
            "The ledger has a gap for it. The next erasure destroys its keys, if none has yet."
        )
        self._closed |= {inbox.incarnation}
        inbox.close()
