"""One writer's journal on its way into the ledger: read, wait, be removed.

Rules: an inbox can be dropped at any time and made again; it then reads from the oldest segment
and knows from the ledger what is done. While the writer lives, finished segments are removed as
soon as nothing in them is needed. A writer that is gone is wound up under its lease (``sweep``
has the rules); a journal that is wholly in the ledger is then removed, one that could not be read
to the end is kept for a person to look at. Not here: batches, the ledger itself (``intake``).
"""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Container
from pathlib import Path

import msgspec

from affidavit.durable import Disk
from affidavit.errors import CorruptError, LockedError
from affidavit.ledger import sweep
from affidavit.ledger.assemble import Assembler, Ready, Recall
from affidavit.ledger.plan import Submission
from affidavit.record.disclose import check_part
from affidavit.record.journal import destroy_segment
from affidavit.record.journal_format import HEADER_BYTES, LEASE, MAGIC, WRAPPED_OFFSET, Header
from affidavit.record.journal_reader import JournalReader, Position
from affidavit.record.model import Piece, Written
from affidavit.record.seal import WRAPPED_BYTES

OpenKey = Callable[[str, bytes], bytes]
_SURE = 16
"""So many zeros at either end of a wrapped key are no chance: it was destroyed, maybe half."""


class Inbox:
    """What was read of the journal in ``directory`` and is not in the ledger yet (``pending``).

    ``next_src`` tells how many records of an incarnation the ledger has. ``begin`` comes before
    everything else. ``end`` is the fixed end of a writer that is gone, once there is one.
    """

    def __init__(
        self, disk: Disk, directory: Path, open_key: OpenKey, next_src: Callable[[str], int]
    ) -> None:
        self.directory = directory
        self.incarnation = directory.name
        self.continuation = sweep.continuation(self.incarnation)
        self.pending: deque[Ready] = deque()
        self.end: sweep.End | None = None
        self._disk = disk
        self._open_key = open_key
        self._next_src = next_src
        self._unsynced: set[int] = set()
        self._oldest = 0
        self._last_at = ""
        self._lease: contextlib.ExitStack | None = None
        self._to_end = False
        self._taken_in = -math.inf
        self._reader = JournalReader(directory, open_key)

    def begin(self, unanswered: Container[str], *, over: bool) -> None:
        """Read from the oldest segment on, again or for the first time.

        ``unanswered``: ids of the requests that the ledger waits for; ``over``: the writer's
        ``ledger.ended`` is in the ledger. ``CorruptError`` if the fixed end cannot be read.
        """
        self._reader.close()
        self.end = sweep.fixed_end(self.directory)
        self._clear_destroyed(over=over or self.end is not None)
        self._reader = JournalReader(self.directory, self._open_key, self._start())
        self.pending.clear()
        self._to_end = False
        self.assembler = Assembler(
            self.incarnation,
            self._next_src(self.incarnation),
            unanswered.__contains__,
            records=None if self.end is None else self.end.records,
            continuation=self.continuation,
            continued=self._next_src(self.continuation),
            over=over,
        )

    @property
    def worker(self) -> str:
        """The writer's name, empty until it is known."""
        return self._reader.worker

    @property
    def waiting(self) -> int:
        """Bytes of content in ``pending``."""
        return sum(ready.size for ready in self.pending)

    @property
    def asked(self) -> set[str]:
        """Ids of the requests that it answers: those open in it, those answered in ``pending``."""
        answered = [ready.record.parent for ready in self.pending]
        return {*self.assembler.exchanges, *filter(None, answered)}

    @property
    def leased(self) -> bool:
        """Whether the writer is gone and its lease is ours."""
        return self._lease is not None

    @property
    def damaged(self) -> bool:
        """Whether it was decided that something in it cannot be read."""
        return self.end is not None and bool(self.end.gap)

    @property
    def returned(self) -> bool:
        """Whether it came back after its writer was ended, and cannot be read to its end."""
        return self.assembler.cut and bool(self._reader.segments() and self.damage())

    def read(self, max_bytes: int) -> bool:
        """Read on, about so many bytes; whether there was anything."""
        if self.assembler.hole:
            return False
        frames = self._reader.poll(max_bytes)
        while not frames and self.damaged and self._reader.skip():
            frames = self._reader.poll(max_bytes)
        self._unsynced.update(position.segment for position, _ in frames)
        times = [frame.record.at for _, frame in frames if isinstance(frame, Written)]
        self._last_at = max([self._last_at, self._reader.opened_at, *times])
        self.pending.extend(self.assembler.feed(frames))
        self._to_end = not (self._reader.more or self.trouble())
        return bool(frames)

    def passed(self, began: float) -> float:
        """Of which time all that its writer had recorded is in the ledger, in a pass of ``began``.

        ``inf`` where a writer lives whose journal cannot be read on: nobody waits for that.
        """
        if self._to_end and not self.pending:
            self._taken_in = began
        self._to_end = False
        return math.inf if self.trouble() and not self.leased else self._taken_in

    @property
    def more(self) -> bool:
        """Whether there is more to do at once: ``read`` was cut short, or some of it is pending."""
        return bool(self.pending) or (self._reader.more and not self.assembler.hole)

    def trouble(self) -> str:
        """Why the journal cannot be read on, or empty."""
        return self.assembler.hole or self._reader.reason

    def sync(self) -> None:
        """Make durable what was read: the ledger must not know more than a restart will find."""
        for number, path in self._reader.segments():
            if number in self._unsynced:
                self._disk.sync_file(path)
        self._unsynced.clear()

    def recall(self, recall: Recall) -> bytes:
        """Read pieces again that were let go; ``CorruptError`` if they cannot be read any more.

        Of a journal with damage, what can be read.
        """
        reader = JournalReader(self.directory, self._open_key, recall.begin or self._start())
        pieces: list[bytes] = []
        try:
            while reader.position < recall.end:
                frames = reader.poll()
                if not frames and not (self.damaged and reader.skip()):
                    raise CorruptError(f"Journal {self.incarnation}: {reader.reason or 'cut'}.")
                pieces += [
                    frame.data
                    for position, frame in frames
                    if isinstance(frame, Piece)
                    and frame.request == recall.request
                    and position <= recall.end
                ]
        finally:
            reader.close()
        return b"".join(pieces)

    def submission(self, ready: Ready) -> Submission:
        """One of ``pending`` with its bodies, for the ledger; ``CorruptError`` as ``recall``.

        Of a damaged journal, a body that is not what was committed to is left out: the content
        section still says what it was, and the gap why it is not there.
        """
        recalled = b"" if ready.recall is None else self.recall(ready.recall)
        bodies = [recalled if body is None else body for body in ready.bodies]
        record = ready.record
        if self.damaged:
            whole = [
                (part, body)
                for part, body in zip(record.parts, bodies, strict=True)
                if check_part(part, body)
            ]
            record = msgspec.structs.replace(record, parts=tuple(part for part, _ in whole))
            bodies = [body for _, body in whole]
        return Submission(ready.src, record, tuple(bodies))

    def shorten(self) -> None:
        """Remove segments that hold nothing that is not in the ledger; their keys first.

        None of a writer that is gone: its journal is removed as a whole, or kept.
        """
        if self.end is not None:
            return
        floor = min([self.assembler.floor(), *(ready.since for ready in self.pending)])
        if floor <= self._oldest:
            return
        for number, path in self._reader.segments():
            if number < floor:
                destroy_segment(self._disk, path)
        self._oldest = floor

    def take_lease(self) -> bool:
        """Take the writer's lease; ``False`` while it lives, or is only just starting."""
        if self._lease is not None:
            return True
        if not self._reader.segments() and self._next_src(self.incarnation) == 0:
            return False
        lease = contextlib.ExitStack()
        try:
            lease.enter_context(self._reader.lease(self._disk, "sequencer"))
        except LockedError:
            return False
        self._lease = lease
        return True

    def damage(self) -> str:
        """Why records may be missing at the end of a journal that was read to its end, or empty."""
        if self.assembler.hole:
            return self.assembler.hole
        if not self._reader.segments():
            return "no segment of its journal is there"
        if self._reader.tail_state == "unreadable":
            return self._reader.reason or "its last frames cannot be read"
        return ""

    def fix_end(self, records: int, reason: str) -> None:
        """Decide what counts as the writer's own, durably; ``begin`` follows.

        With it stands since when a writer that may serve unrecorded has not said what it did.
        """
        since = self._last_at if self._reader.serves else ""
        sweep.fix_end(self._disk, self.directory, sweep.End(records, reason, since))

    def remove(self) -> None:
        """Remove a journal that is wholly in the ledger; give the lease back."""
        for _, path in self._reader.segments():
            destroy_segment(self._disk, path)
        self._disk.remove(self.directory / sweep.END)
        self._disk.remove(self.directory / LEASE)
        self._disk.remove_dir(self.directory)
        self.close()

    def close(self) -> None:
        """Close what is open and give the lease back, if it was taken."""
        self._reader.close()
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def _clear_destroyed(self, *, over: bool) -> None:
        """Remove segments whose key is destroyed already: a crash came before their removal.

        They are the oldest ones, because segments are removed in order, and another one has begun
        behind each, unless the writer is ``over``. So nothing that is just beginning is touched.
        """
        headers = [(path, _header(path)) for _, path in self._reader.segments()]
        behind_each = [*(raw for _, raw in headers[1:]), b""]
        for (path, raw), behind in zip(headers, behind_each, strict=False):
            if not _is_destroyed(raw) or not (over or behind.startswith(MAGIC)):
                return
            destroy_segment(self._disk, path)

    def _start(self) -> Position:
        numbers = [number for number, _ in self._reader.segments()]
        return Position(min(numbers, default=0), 0, 0)


def segment_days(directory: Path) -> set[str]:
    """The days whose key the segments in ``directory`` need; ``""`` for one that does not say.

    A segment that was made ahead and is still empty needs none.
    """
    days = set()
    for path in directory.glob("*.seg"):
        raw = _header(path)
        header = Header.unpack(raw)
        if header is not None:
            days.add(header.day)
        elif raw.strip(b"\0"):
            days.add("")
    return days


def _header(path: Path) -> bytes:
    """The first bytes of a segment; none if it was removed in between."""
    try:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except FileNotFoundError:
        return b""


def _is_destroyed(header: bytes) -> bool:
    wrapped = header[WRAPPED_OFFSET : WRAPPED_OFFSET + WRAPPED_BYTES]
    if not header.startswith(MAGIC) or len(wrapped) < WRAPPED_BYTES:
        return False
    return not (any(wrapped[:_SURE]) and any(wrapped[-_SURE:]))
