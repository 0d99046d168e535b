"""Requests that no journal answers any more, and writers whose journal is missing.

Rules:

1. A request that the ledger has, that nobody has answered, and that no journal on disk has, gets
   its outcome from here, without a body: nobody knows what was delivered. Nothing else is looked
   for than what the ledger waits for, so it costs no more however long the ledger is.
2. Of a writer whose journal is there, but not all of it can be read, these outcomes come once
   that was read to its end, and before the writer's gap and end are written (``unread``).
3. A writer whose journal is missing has its requests closed first; then its gap, its end and the
   end of what was written in its place come in one commit (``step``). Of those that had ended
   before, nothing is missing but outcomes: they come in one commit with the end of what is written
   in their place, batch by batch, and there is no gap. ``sweep`` says under which incarnation.
4. All of it follows from what the ledger has. Killed anywhere, another run goes on where it was,
   as a request that has its outcome is not open any more.

Of a request whose leaf is damaged, or cannot be read off its disk, nobody knows the writer; it
stays as it is, and ``fsck`` tells. Once that is repaired, it is closed at the next start. Whatever
is wrong with what is read here, the records of writers that are there do not wait for it.
Not here: committing, and journals that can be read (``intake``).
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Protocol

from affidavit.clock import Clock
from affidavit.errors import CorruptError, NotFoundError, PrunedError, UnavailableError
from affidavit.ledger import sweep
from affidavit.ledger.inbox import Inbox
from affidavit.ledger.leaf import Leaf
from affidavit.ledger.plan import Submission
from affidavit.record.model import Record


class Writers(Protocol):
    """What is asked of the log: who writes to it, and what waits in it."""

    def next_src(self, incarnation: str) -> int:
        """How many records of that writer are in the ledger."""

    def ended(self, incarnation: str) -> bool:
        """Whether the writer's last record is in the ledger."""

    def writers(self) -> Mapping[str, int]:
        """Writers that have not ended, without the ledger itself."""

    def open_requests(self) -> Mapping[str, int]:
        """Ids of requests without an outcome, with their index."""


class Lost:
    """Makes the records, in batches of about ``most``; whoever asks commits them at once.

    ``leaf`` reads a published leaf; ``asked`` makes the record of a request from what is kept of
    it. ``UnavailableError`` of either means: later.
    """

    def __init__(
        self,
        ledger: Writers,
        leaf: Callable[[int], Leaf],
        asked: Callable[[Leaf], Record],
        clock: Clock,
        most: int,
    ) -> None:
        self._ledger = ledger
        self._leaf = leaf
        self._asked = asked
        self._clock = clock
        self._most = most
        self._looked: Collection[str] | None = None

    def under(self, inbox: Inbox) -> str:
        """The incarnation for outcomes of a writer that is gone: its own, or one behind its end."""
        for name in (inbox.incarnation, inbox.continuation):
            if not self._ledger.ended(name):
                return name
        return self.instead(inbox)

    def instead(self, inbox: Inbox) -> str:
        """The incarnation behind the end of both, which is ended with the journal."""
        return self._instead(inbox.incarnation)

    def unread(self, inbox: Inbox, inboxes: Mapping[str, Inbox]) -> list[Submission] | None:
        """Outcomes for requests of that writer which its journal does not have; none: no more.

        ``None``: to be asked again, a little later.
        """
        own = (inbox.incarnation, inbox.continuation)
        found = self._outcomes(inboxes, own.__contains__)
        if found is None:
            return None
        under = self.under(inbox)
        return self._counted((under, one) for _, one in found)

    def step(self, inboxes: Mapping[str, Inbox], kept: Collection[str]) -> list[Submission]:
        """What comes next for writers without a journal; none: nothing, or nothing yet.

        ``inboxes``, ``kept``: those that have one. Requests of writers that had ended are looked
        for at first, and then when a journal has gone.
        """
        names = inboxes.keys() | kept
        strange = self._ledger.writers().keys() - names
        looked = self._looked is not None and names.issuperset(self._looked)
        if looked and not strange:
            self._looked = names
            return []
        there = names | {sweep.continuation(name) for name in names}
        missing = strange - there
        missing -= {self._instead(name) for name in (*missing, *inboxes)}  # not over yet
        if looked and not missing:
            return []
        found = self._outcomes(inboxes, lambda writer: writer not in there)
        if found is None:
            return []
        if found:
            closed = [(self._instead(writer), one) for writer, one in found]
            over = sorted({writer for writer, _ in found} - missing)
            return self._counted([*closed, *map(self._end, map(self._instead, over))])
        self._looked = names
        instead = {self._instead(name) for name in kept}
        words = [
            [self._end(name)] if name in instead else self._last_words(name)
            for name in sorted(missing)
        ]
        return self._counted(one for of in words for one in of)

    def stuck(self, requests: Iterable[int], unread: Container[str]) -> dict[int, str]:
        """Which of these leaves nothing here closes, and why: any thread may ask.

        ``unread``: writers whose journals cannot be read and are there.
        """
        found: dict[int, str] = {}
        for index in requests:
            try:
                writer = self._leaf(index).src[0]
            except (CorruptError, OSError):
                found[index] = f"leaf {index} of the log"
            except (NotFoundError, UnavailableError):
                continue
            else:
                if writer in unread:
                    found[index] = f"journal {writer}"
        return found

    def _outcomes(
        self, inboxes: Mapping[str, Inbox], gone: Callable[[str], bool]
    ) -> list[tuple[str, Record]] | None:
        """For requests of writers that are ``gone``: who asked, and the outcome.

        ``None`` if one may be among those that are not published yet, or not to be had just now.
        """
        read: set[str] = set().union(*(inbox.asked for inbox in inboxes.values()))
        waiting = self._ledger.open_requests()
        found: list[tuple[str, Record]] = []
        for index in sorted(index for name, index in waiting.items() if name not in read):
            try:
                leaf = self._leaf(index)
                writer = leaf.src[0]
                if not gone(writer):
                    continue
                made, _ = sweep.interrupted(self._asked(leaf), None, self._clock.now())
            except (PrunedError, CorruptError, OSError):
                continue
            except (NotFoundError, UnavailableError):
                return found or None
            found.append((writer, made))
            if len(found) >= self._most:
                break
        return found

    def _last_words(self, name: str) -> list[tuple[str, Record]]:
        instead = self._instead(name)
        gap = sweep.gap(name, "", "its journal is not there", self._clock.now())
        return [(instead, gap), self._end(name), self._end(instead)]

    def _end(self, name: str) -> tuple[str, Record]:
        return name, sweep.ended(name, "", self._clock.now())

    def _instead(self, name: str) -> str:
        """What is written in a writer's place goes under this; a second time, under another."""
        found = sweep.in_place_of(name)
        while self._ledger.ended(found):
            found = sweep.in_place_of(found)
        return found

    def _counted(self, records: Iterable[tuple[str, Record]]) -> list[Submission]:
        """Each with the counter that follows for its incarnation."""
        following: dict[str, int] = {}
        made = []
        for name, record in records:
            n = following.get(name, self._ledger.next_src(name))
            following[name] = n + 1
            made.append(Submission((name, n), record))
        return made
