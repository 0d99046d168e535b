"""From journal frames to records with their bodies whole; nothing here reads or writes.

Rules:

1. Frames of one journal go in, in order, each with its position. Records that the ledger does not
   have yet come out, in the order of their counter.
2. After a restart the journal is fed again from its oldest segment. Records the ledger has
   (``expected`` says how many) come out no more; those among them that ask and are not answered
   are taken up again, with the pieces that answer them.
3. The pieces of an exchange are kept until its outcome. Over a limit that the caller watches
   (``held``), the largest body is let go (``let_go``); the outcome then says from where on its
   pieces are to be read again. So memory per journal is bounded by what the caller allows, the
   record of each open exchange, and the one body that is being handed over.
4. The journal may be shortened up to ``floor``: the oldest segment that holds something not yet
   in the ledger, an open exchange's request, or its pieces.
5. Once a writer is gone, ``records`` says how many of its records count as its own. Those behind
   (after a hole, or from a writer that lost its lease) come out under ``continuation``. So do
   those of a journal that was missing when its writer was ended, and came back.

Not here: reading (``intake``), what closes the exchanges of a writer that is gone (``sweep``).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from affidavit.ledger.leaf import ASKS
from affidavit.record.journal_reader import Position
from affidavit.record.model import Frame, Piece, Record, Written


class Recall(NamedTuple):
    """Pieces of ``request`` to be read again: those in frames from ``begin`` up to ``end``.

    ``begin`` is ``None`` for an outcome that came after its exchange was closed, whose pieces
    may stand anywhere before it.
    """

    request: str
    begin: Position | None
    end: Position


class Ready(NamedTuple):
    """A record that the ledger does not have yet.

    ``bodies`` beside its parts, ``None`` where ``recall`` says what to read; ``size`` bytes of
    body in all; ``since`` is the oldest segment that holds anything of it.
    """

    src: tuple[str, int]
    record: Record
    bodies: tuple[bytes | None, ...]
    recall: Recall | None
    size: int
    since: int


class Exchange:
    """A request without an outcome so far: its record, and the pieces that answered it."""

    def __init__(self, request: Record, segment: int) -> None:
        self.request = request
        self.segment = segment
        self.size = 0
        self._pieces: list[bytes] = []
        self._begin: Position | None = None
        self._end: Position | None = None
        self._gone = False

    @property
    def held(self) -> int:
        """Bytes of pieces in memory."""
        return 0 if self._gone else self.size

    @property
    def recall(self) -> Recall | None:
        """What to read again, if the pieces were let go."""
        if not self._gone or self._begin is None or self._end is None:
            return None
        return Recall(self.request.id, self._begin, self._end)

    def add(self, data: bytes, before: Position, after: Position) -> None:
        """Take the next piece, which stands between these positions."""
        self._begin = self._begin or before
        self._end = after
        self.size += len(data)
        if not self._gone:
            self._pieces.append(data)

    def body(self) -> bytes | None:
        """All pieces joined, ``None`` if they were let go."""
        return None if self._gone else b"".join(self._pieces)

    def let_go(self) -> None:
        """Keep only where the pieces stand."""
        self._gone = True
        self._pieces.clear()


class Assembler:
    """What was read of one journal and is not in the ledger yet.

    ``incarnation`` names the writer; ``expected`` is how many of its records the ledger has;
    ``unanswered`` tells of a request's id whether the ledger still waits for its answer.
    ``records``, ``continuation`` and ``continued`` are for a writer that is gone: where its own
    records end, under which name later ones go, and how many of those the ledger has. ``over``: the
    last of those that the ledger has is its end, by its own word or, if its journal has another
    record there, by the sweep's.
    """

    def __init__(
        self,
        incarnation: str,
        expected: int,
        unanswered: Callable[[str], bool],
        *,
        records: int | None = None,
        continuation: str = "",
        continued: int = 0,
        over: bool = False,
    ) -> None:
        self.incarnation = incarnation
        self.expected = expected
        self.exchanges: dict[str, Exchange] = {}
        self.hole = ""
        self.held = 0
        self._unanswered = unanswered
        self._over = over and records is None
        self._records = expected - 1 if self._over else records
        self._continuation = continuation
        self._continued = continued
        self._behind = 0
        self._before = Position(0, 0, 0)

    def feed(self, frames: Sequence[tuple[Position, Frame]]) -> Iterator[Ready]:
        """Take the next frames, each with the position after it; gives what became ready.

        Stops at a hole in the writer's counter, which ``hole`` then describes: a record that was
        acknowledged cannot be read, and what follows it waits until that is dealt with.
        """
        for after, frame in frames:
            if self.hole:
                return
            if isinstance(frame, Piece):
                self._piece(frame, after)
            elif isinstance(frame, Written):
                yield from self._written(frame, after)
            self._before = after

    def floor(self) -> int:
        """The oldest segment that an open exchange needs, or the one being read."""
        open_ones = [exchange.segment for exchange in self.exchanges.values()]
        return min([self._before.segment, *open_ones])

    @property
    def cut(self) -> bool:
        """Whether the ledger has an end of the writer, and nothing was read here that is that."""
        return self._over and self._records == self.expected - 1

    def let_go(self) -> bool:
        """Let go of the largest body in memory; ``False`` if there is none."""
        largest = max(self.exchanges.values(), key=lambda one: one.held, default=None)
        if largest is None or not largest.held:
            return False
        self.held -= largest.held
        largest.let_go()
        return True

    def close(self, request: str) -> Exchange:
        """Take out the open exchange of that request: its outcome is made elsewhere."""
        exchange = self.exchanges.pop(request)
        self.held -= exchange.held
        return exchange

    def _piece(self, piece: Piece, after: Position) -> None:
        exchange = self.exchanges.get(piece.request)
        if exchange is not None:
            self.held -= exchange.held
            exchange.add(piece.data, self._before, after)
            self.held += exchange.held

    def _written(self, frame: Written, after: Position) -> Iterator[Ready]:
        record = frame.record
        if self._over and frame.n == self._records and record.type == "ledger.ended":
            self._records = frame.n + 1
        src = self._place(frame.n)
        if self.hole:
            return
        answered = None
        if record.parent is not None and record.parent in self.exchanges:
            answered = self.close(record.parent)
        if record.type in ASKS and (src is not None or self._unanswered(record.id)):
            self.exchanges[record.id] = Exchange(record, after.segment)
        if record.type == "ledger.ended":
            self._ends(frame.n)
        if src is not None:
            yield _ready(src, frame, answered, after)

    def _place(self, n: int) -> tuple[str, int] | None:
        """Where a record goes; ``None`` if the ledger has it already."""
        if self._records is not None and n >= self._records:
            self._behind += 1
            place = self._behind - 1
            return None if place < self._continued else (self._continuation, place)
        if n < self.expected:
            return None
        if n > self.expected:
            self.hole = f"record {self.expected} of the writer is missing, {n} is there"
            return None
        self.expected += 1
        return self.incarnation, n

    def _ends(self, n: int) -> None:
        """The writer's own last record: whatever its journal holds behind it goes elsewhere."""
        if self._records is None:
            self._records = n + 1


def _ready(
    src: tuple[str, int], frame: Written, answered: Exchange | None, after: Position
) -> Ready:
    record, bodies, recall = frame.record, frame.bodies, None
    since = after.segment
    if answered is not None:
        since = min(since, answered.segment)
    if None in bodies:
        streamed = None if answered is None else answered.body()
        if streamed is None and answered is not None:
            recall = answered.recall
        elif streamed is None and record.parent is not None:
            recall = Recall(record.parent, None, after)
        bodies = tuple(streamed if body is None else body for body in bodies)
    return Ready(src, record, bodies, recall, sum(part.size for part in record.parts), since)
