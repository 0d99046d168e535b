"""The one writer of the index: takes batches in ledger order, rows at once, text in a thread.

Rules: rows are committed before ``apply`` returns; text follows in its own file, connection and
thread, a few batches behind at most (``apply`` waits when it falls further back). Each file knows
the ledger size and root it stands for, so a batch that came before is skipped and a batch that
leaves a hole is refused. A second thread moves the write-ahead logs into their files every
three seconds, never waiting for readers. While somebody always writes it never has all of a log,
which would grow without end: of a long one it moves the rest while nobody writes, and the log
begins anew. While somebody always reads it cannot: for one that is many times as long, and for an
erasure, it has who begins to read stand aside (``aside``) until those of before are through;
writing goes on. So no log is longer than ``_TOO_LONG`` times ``LONG_LOG`` and what is written
within about 45 seconds: until it is seen, for the first try, until the second one and for that,
which lasts as long as anybody may ask as of one moment. Only a process that stands still within a
question keeps its log for longer, and is waited for seldom. Not here: reading the ledger and the
vault (``rebuild``), questions (``query``).
"""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from affidavit.errors import UnavailableError
from affidavit.index import spared
from affidavit.index.aside import MOST_SECONDS
from affidavit.index.checkpoints import LONG_LOG, Checkpointer
from affidavit.index.messages import said
from affidavit.index.project import Entry, answered, project, viewed
from affidavit.index.schema import Row
from affidavit.index.spared import Left
from affidavit.index.sqlite import INDEX_FILE, TEXT_FILE, Built, RowStore
from affidavit.index.text import Speech, TextStore
from affidavit.record.model import Placed, View

_TEXT_BATCHES = 8
_CHECKPOINT_SECONDS = 3.0
_FIND_SECONDS = 0.1
_TOO_LONG = 8
"""How many times ``LONG_LOG`` a log has to be for readers to stand aside."""
_ROUNDS = ((1.5, 15.0), (MOST_SECONDS, 300.0))
"""So many seconds those of before have to come to their end, and so many until it is tried again
where somebody read for longer: then for as long as any question takes, and from then on seldom."""
_OVER = object()


class _Batch(NamedTuple):
    """Text work: the views of one batch, each with its row."""

    pairs: list[tuple[View, Row]]
    built: Built


class Indexer:
    """The writer of ``index.db`` and ``text.db`` in ``directory``; one thread applies.

    ``key`` is 32 bytes and opens both files. ``start`` before the first batch. ``UnavailableError``
    if the files are of another version or do not open, and from any call after writing has failed
    (a full disk): what was committed stays, and the rest comes from the ledger at the next start.
    """

    def __init__(self, directory: Path, key: bytes) -> None:
        self._rows = RowStore(directory / INDEX_FILE, key)
        self._text = TextStore(directory / TEXT_FILE, key)
        self._checkpointer = Checkpointer((directory / INDEX_FILE, directory / TEXT_FILE), key)
        self._built = self._rows.built()
        self._text_size = self._text.built().size
        self._taken = self.size
        self._writing = threading.Lock()
        self._speaking = threading.Lock()
        self._work: queue.Queue[_Batch | None] = queue.Queue(_TEXT_BATCHES)
        self._wanted: set[threading.Event] = set()
        self._failure: UnavailableError | None = None
        self._closing = threading.Event()
        self._rest = 0.0
        self._threads = [
            threading.Thread(target=self._write_text, name="index-text", daemon=True),
            threading.Thread(target=self._checkpoint, name="index-checkpoint", daemon=True),
        ]

    def start(self, *, rest: float = 0.0) -> None:
        """Start the text writer and, after ``rest`` seconds, the checkpoints."""
        self._rest = rest
        for thread in self._threads:
            thread.start()

    @property
    def size(self) -> int:
        """The ledger size up to which rows and text are both committed."""
        return min(self._built.size, self._text_size)

    @property
    def built(self) -> Built:
        """What the rows stand for; text may be behind."""
        return self._built

    def find(self, record_id: str) -> list[int] | None:
        """Indexes of a record and, of a request, its response; any thread may ask.

        ``None``, too, where writing takes its time.
        """
        if not self._writing.acquire(timeout=_FIND_SECONDS):
            return None
        try:
            return self._rows.find(record_id)
        finally:
            self._writing.release()

    def apply(self, placed: Sequence[Placed], size: int, root: bytes) -> None:
        """Index a batch that the ledger has committed; ``size`` and ``root`` are the ledger's then.

        In ledger order and without holes; what was applied before is skipped. Rows are committed
        on return. If the ledger has gone on since, no root is kept beside these rows until the
        next batch brings one.
        """
        self.apply_views([viewed(item) for item in placed if item.index >= self._taken], size, root)

    def apply_views(
        self, views: Sequence[View], size: int, root: bytes, begin: int | None = None
    ) -> None:
        """The same for records read back from ledger and vault.

        ``begin``: these are all that the ledger still has from that index on; others were pruned.
        """
        self._check()
        views = [view for view in views if view.index >= self._taken]
        if not views:
            return
        self._check_order(views, size, begin)
        if size > views[-1].index + 1:  # the ledger went on: its root is not that of these records
            size, root = views[-1].index + 1, b""
        fresh: dict[int, Entry] = {}
        changed: dict[int, tuple[Entry, Entry]] = {}
        pairs: list[tuple[View, Row]] = []
        for view in views:
            if view.index < self._built.size:  # its row is there, its text is not
                entry = self._rows.entry(view.index)
            else:
                entry = self._enter(view, fresh, changed)
            if entry is not None:
                pairs.append((view, entry.row))
        built = Built(size, root, views[-1].time)
        if size > self._built.size:
            self._commit(fresh, changed, {}, built)
            self._built = built
        self._taken = size
        self._work.put(_Batch(pairs, built))

    def refresh(
        self, indexes: Sequence[int], view: Callable[[int], View], left: Left | None = None
    ) -> None:
        """Derive anew what these records gave to the index: after an erasure, from what is left.

        What ``left`` says of a record spares its view, where nothing of it or all but its content
        is left.

        Reaches the other half of each exchange, and for text all records of each session, so
        that afterwards the index equals a rebuild. Text first, then rows, which say what session
        there was: until this has returned the erasure is not done, and after a crash it is
        repeated. What is left in the files goes with ``purged``.
        """
        self.settle()
        old: dict[int, Entry] = {}
        wanted = list(indexes)
        while wanted:
            idx = wanted.pop()
            entry = None if idx in old else self._rows.entry(idx)
            if entry is not None:
                old[idx] = entry
                wanted += [half for half in (entry.row.re, entry.row.answered) if half is not None]
        spoken = {(e.row.tenant, e.row.session) for e in old.values() if e.row.session}
        beside = {
            idx
            for tenant, session in spoken
            for idx in self._rows.in_session(tenant, session or "")
        }
        every = sorted(beside | old.keys())
        entries = {idx: old.get(idx) or self._rows.entry(idx) for idx in every}
        named = {idx: entry.row.id for idx, entry in entries.items() if entry is not None}
        known = left(named) if left is not None else {}
        less = spared.without_content(old, known)
        for idx in less:
            del old[idx]
        views: dict[int, View] = {}
        for idx in every:
            entry = old.get(idx)
            if entry is not None and known.get(idx) == 0:
                views[idx] = spared.bare(entry.row)
            elif entry is not None or known.get(idx, spared.SPOKEN) & spared.SPOKEN:
                views[idx] = view(idx)
        for idx, entry in old.items():
            views[idx] = msgspec.structs.replace(views[idx], firsts=entry.row.firsts)
        fresh: dict[int, Entry] = {}
        for idx in sorted(old):
            self._enter(views[idx], fresh, {})
        speaking = {idx: fresh.get(idx) or entries[idx] for idx in views}
        speeches = [_speech(views[i], entry.row) for i, entry in speaking.items() if entry]
        sessions = [(tenant or "", name or "") for tenant, name in spoken]
        try:
            with self._speaking:
                self._text.replace(every, sessions, speeches)
        except apsw.Error as error:
            raise self._fail(error) from error
        self._commit(fresh, {}, old, self._built, less)

    def reach(self, indexes: Sequence[int]) -> int:
        """How many records ``refresh`` would read again for these, about."""
        entries = [entry for entry in map(self._rows.entry, indexes) if entry is not None]
        spoken = {(one.row.tenant, one.row.session) for one in entries if one.row.session}
        beside = sum(len(self._rows.in_session(tenant, name or "")) for tenant, name in spoken)
        return max(beside, len(indexes))

    def purged(self) -> Iterator[None]:
        """Have what was taken out leave the files, step by step; done when it ends.

        Between two steps batches may be applied. Readers may keep the logs from being emptied; then
        a step is only a wait, and new ones soon wait for those of before to come to their end.
        """
        steps, emptied = self._text.purged(), threading.Event()
        try:
            while True:
                self.settle()
                try:
                    with self._speaking:
                        over = next(steps, _OVER) is _OVER
                    if over and (emptied.is_set() or self._checkpointer.truncate()):
                        return
                except apsw.Error as error:
                    raise self._fail(error) from error
                if over:
                    self._wanted.add(emptied)
                yield
        finally:
            self._wanted.discard(emptied)

    def settle(self) -> None:
        """Wait until the text of everything applied so far is committed."""
        self._work.join()
        self._check()

    def close(self) -> None:
        """Finish the text that waits, move the logs into the files and close them."""
        self._work.put(None)
        self._closing.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._checkpointer.close()
        self._rows.close()
        self._text.close()

    def _check_order(self, views: Sequence[View], size: int, begin: int | None) -> None:
        first, last = views[0].index, views[-1].index
        whole = begin is not None or all(
            after.index == view.index + 1 for view, after in itertools.pairwise(views)
        )
        if (first if begin is None else begin) > self._taken or not whole or last >= size:
            raise UnavailableError(
                f"The index is at {self._taken} and was given records {first} to {last} of {size}.",
                hint="Let it catch up from the ledger first.",
            )

    def _enter(
        self,
        view: View,
        fresh: dict[int, Entry],
        changed: dict[int, tuple[Entry, Entry]],
    ) -> Entry | None:
        """Make the entry of a view, in ``fresh``; its request, if it answers one, learns of it.

        A request is answered at most once, so ``changed`` (old, new) is written once for each.
        """
        request = None
        if view.re is not None:
            request = fresh.get(view.re) or self._rows.entry(view.re)
        entry = project(view, request)
        if entry is None:
            return None
        fresh[view.index] = entry
        if request is not None and view.re is not None:
            known = Entry(answered(request.row, entry.row), request.person)
            if view.re in fresh:
                fresh[view.re] = known
            else:
                changed[view.re] = (request, known)
        return entry

    def _commit(
        self,
        fresh: dict[int, Entry],
        changed: dict[int, tuple[Entry, Entry]],
        removed: dict[int, Entry],
        built: Built,
        less: Mapping[int, Entry] | None = None,
    ) -> None:
        try:
            with self._writing:
                self._rows.write(fresh, changed, removed, built, less or {})
        except apsw.Error as error:
            raise self._fail(error) from error

    def _write_text(self) -> None:
        while (batch := self._work.get()) is not None:
            try:
                if self._failure is None and batch.built.size > self._text_size:
                    known = self._text_size
                    speeches = [_speech(v, row) for v, row in batch.pairs if v.index >= known]
                    with self._speaking:
                        self._text.write(speeches, batch.built)
                    self._text_size = batch.built.size
            except Exception as error:  # noqa: BLE001 - whatever it is, ``apply`` must hear of it
                self._fail(error)
            finally:
                self._work.task_done()
        self._work.task_done()

    def _checkpoint(self) -> None:
        again, failed = 0.0, 0
        self._closing.wait(self._rest)
        while not self._closing.wait(_CHECKPOINT_SECONDS):
            try:
                if (pages := self._checkpointer.run()) >= LONG_LOG:
                    with self._writing, self._speaking:
                        pages = self._checkpointer.run()
                wanted = list(self._wanted)
                if (wanted or pages >= _TOO_LONG * LONG_LOG) and time.monotonic() >= again:
                    seconds, later = _ROUNDS[min(failed, len(_ROUNDS) - 1)]
                    writing = (self._writing, self._speaking)
                    if self._checkpointer.anew(seconds, writing, self._closing):
                        again, failed = 0.0, 0
                        for emptied in wanted:
                            emptied.set()
                    else:
                        again, failed = time.monotonic() + later, failed + 1
            except apsw.Error as error:
                self._fail(error)

    def _fail(self, error: Exception) -> UnavailableError:
        if self._failure is None:
            self._failure = UnavailableError(
                f"The index was not written: {error}.",
                kept="Ledger and vault have every record; the index follows at the next start.",
                hint="Free disk space and restart the sequencer, or run: affidavit index rebuild",
            )
        return self._failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


def _speech(view: View, row: Row) -> Speech:
    return Speech(view.index, row.tenant or "", row.session, said(view, row))
