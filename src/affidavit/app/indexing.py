"""The index as the sequencer keeps it: live, or first made anew or far behind.

Rules: recording and ordering never wait for it: an index that is far behind the ledger, or new,
catches up while the rest works. An index of another version stays where it is and untouched until
the new one, made beside it from ledger and vault, has come up with the ledger; then the new files
take its place, in steps that a start finishes if a crash left them half done. A new index that was
not finished is gone on with. Meanwhile questions are answered from the new one, as of what it has
taken in (``index.reader``), and the status says so. Not here: an index that is damaged,
which somebody has to decide about (``affidavit index rebuild``).
"""

import concurrent.futures
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import apsw

from affidavit.app.paths import Paths
from affidavit.app.rebuild import FILES, put_in_place
from affidavit.app.trouble import say
from affidavit.durable import Disk, open_database
from affidavit.errors import AffidavitError, CorruptError, UnavailableError
from affidavit.index.indexer import Indexer
from affidavit.index.reader import BESIDE
from affidavit.index.rebuild import Ledger, catch_up
from affidavit.index.spared import Left
from affidavit.record.model import Placed, View

BATCHES = 256
"""So many batches may wait for the index before ordering waits, too."""
AT_ONCE = 2_000
"""When it is behind, batches are applied together until they have so many records: a page that
several of them change is written once."""
LONG = 1_000
"""Work on more records than that is long: ordering goes on without the index meanwhile."""
NEAR = 2_000
"""An index that is so many leaves behind the ledger is taken along; further back, it catches up."""
LOOK_SECONDS = 0.05
REST_SECONDS = 15.0
"""So long no page of the new files is written where they are now, for a reader that has them open
by their old name and may take ten seconds more (``index.reader``)."""
_OVER = object()
WHOLE = "whole"
"""The file that says that the new index is whole, and is being put in place."""

Item = tuple[Sequence[Placed], int, bytes]
T = TypeVar("T")


class _Work(NamedTuple):
    """Something to be done between two batches; ``done`` gets what it gives."""

    work: Callable[[Indexer], Any]
    done: concurrent.futures.Future[Any]
    long: bool = False


class Indexing:
    """The index of a data directory, opened; ``run`` on a thread of its own until ``end``.

    ``size`` and ``find`` are those of the index that is written now; ``rebuilding``: it is a new
    one beside one of another version. ``ledger``, ``view`` and ``left`` are used on that thread,
    too. Errors as ``Indexer`` and ``catch_up``.
    """

    def __init__(
        self,
        paths: Paths,
        key: bytes,
        disk: Disk,
        ledger: Ledger,
        view: Callable[[int], View],
        left: Left | None = None,
    ) -> None:
        self._root = paths.root
        self._beside = paths.root / BESIDE
        self._key = key
        self._disk = disk
        self._ledger = ledger
        self._view = view
        self._left = left
        self._items: queue.Queue[Item | _Work | None] = queue.Queue(BATCHES)
        self._files = threading.Lock()
        self._order = threading.Lock()
        self._stopping = False
        self._over = threading.Event()
        self._passed = 0
        if (self._beside / WHOLE).exists():
            self._put_in_place()
        try:
            self._indexer = Indexer(self._root, key)
        except UnavailableError as error:
            if error.detail.get("reason") != "version":
                raise
            say(f"{error.message} A new index is made; searches are as of what it has taken in.")
            self.rebuilding = True
            self._indexer = self._begun()
        else:
            self.rebuilding = False
            self._drop()
            self._indexer.start()
            catch_up(self._indexer, ledger, view, self._is_far)
        self._passing = self.rebuilding or self._is_far()
        self._live = not self._passing

    def _begun(self) -> Indexer:
        """The new index, started: the one that was begun before, if it is of this ledger."""
        self._disk.make_dir(self._beside)
        try:
            indexer = Indexer(self._beside, self._key)
            indexer.start()
            try:
                catch_up(indexer, self._ledger, self._view, lambda: True)
            except CorruptError:
                indexer.close()
                raise
        except (UnavailableError, CorruptError):
            self._drop()
            self._disk.make_dir(self._beside)
            indexer = Indexer(self._beside, self._key)
            indexer.start()
        return indexer

    @property
    def size(self) -> int:
        """The ledger size up to which rows and text are both committed."""
        return self._indexer.size

    def find(self, record_id: str) -> list[int] | None:
        """``Indexer.find``; ``None``, too, while the files change places."""
        if not self._files.acquire(timeout=0.1):
            return None
        try:
            return self._indexer.find(record_id)
        finally:
            self._files.release()

    def put(self, placed: Sequence[Placed], size: int, root: bytes) -> None:
        """Take what was placed, in order; a new index reads it from the ledger until it is near."""
        with self._order:
            if self._passing:
                self._passed = size
                return
        self._items.put((placed, size, root))

    def do(self, work: Callable[[Indexer], T], *, long: bool = False) -> T:
        """Run ``work`` on the index's thread, between two batches; from a thread that may wait.

        ``long``: ordering does not wait for it: what is placed meanwhile is read from the ledger.
        ``UnavailableError`` if the index is not there, or not any more.
        """
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._items.put(_Work(work, done, long))
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                return done.result(LOOK_SECONDS)
        raise UnavailableError("The index is not there just now.", hint="affidavit doctor")

    def refresh(self, indexes: Sequence[int]) -> float:
        """Derive anew what these records gave to the index (``Indexer.refresh``); from a thread.

        How many seconds the index's thread was at it, on the processor.
        """
        long = self.do(lambda indexer: indexer.reach(indexes)) > LONG

        def refresh(indexer: Indexer) -> float:
            began = time.thread_time()
            indexer.refresh(indexes, self._view, self._left)
            return time.thread_time() - began

        return self.do(refresh, long=long)

    def purge(self) -> Iterator[float]:
        """Have what was taken out leave the files, step by step; from a thread.

        Of each step the seconds on the processor, as ``refresh`` gives them.
        """
        steps = self.do(lambda indexer: indexer.purged())

        def step(_: Indexer) -> float | None:
            began = time.thread_time()
            return None if next(steps, _OVER) is _OVER else time.thread_time() - began

        while (took := self.do(step)) is not None:
            yield took

    def run(self) -> None:
        """Catch up, and change places if the index is a new one; then apply what is put."""
        if not self._live:
            self._live = self._caught_up() and (not self.rebuilding or self._rebuilt())
        if not self._live:
            self.drain()
            return
        while (item := self._items.get()) is not None:
            if isinstance(item, _Work):
                if not self._work(item):
                    self.drain()
                    return
                continue
            left: object = _OVER
            placed, size, root = list(item[0]), item[1], item[2]
            while len(placed) < AT_ONCE and not self._items.empty():
                more = self._items.get()
                if more is None or isinstance(more, _Work):
                    left = more
                    break
                placed += more[0]
                size, root = more[1:]
            self._indexer.apply(placed, size, root)
            if isinstance(left, _Work) and not self._work(left):
                self.drain()
                return
            if left is None:
                return

    def _work(self, item: _Work) -> bool:
        """Do it; what was passed over meanwhile is caught up with. False if it is all to stop."""
        if item.long:
            with self._order:
                self._passing = True
        try:
            item.done.set_result(item.work(self._indexer))
        except AffidavitError as error:
            item.done.set_exception(error)
        if item.long:
            self._live = self._caught_up()
            return self._live
        return True

    def drain(self) -> None:
        """Throw away what is put, until ``end``, so that nobody waits."""
        self._over.set()
        while self._items.get() is not None:
            pass

    def stop(self) -> None:
        """Break off making it anew; what there is of the new index stays for the next start."""
        self._stopping = True

    def end(self) -> None:
        """Nothing more is put."""
        self._over.set()
        self._items.put(None)

    def close(self, own: Sequence[Placed], size: int, root: bytes) -> None:
        """Take the ledger's last leaves, unless they are read from it later, and close."""
        if self._live:
            self._indexer.apply(own, size, root)
        self._indexer.settle()
        self._indexer.close()

    def _is_far(self) -> bool:
        return self._ledger.checkpoint().size - self._indexer.size > NEAR

    def _caught_up(self) -> bool:
        """Catch up with the ledger and take over what is put from then on; False if stopped."""
        while self._passing and not self._stopping:
            count = catch_up(self._indexer, self._ledger, self._view, lambda: self._stopping)
            if count < NEAR and not self._stopping:
                with self._order:
                    self._passing = False
        while not self._stopping and self._indexer.size < self._passed:
            time.sleep(LOOK_SECONDS)  # for the checkpoint that has what was placed last
            catch_up(self._indexer, self._ledger, self._view, lambda: self._stopping)
        return not self._stopping

    def _rebuilt(self) -> bool:
        """Put the new files in the place of the old ones; False if stopped."""
        with self._files:
            if self._stopping or not self._settled():
                return False
            self._put_in_place()
            self._indexer = Indexer(self._root, self._key)
            self._indexer.start(rest=REST_SECONDS)
        self.rebuilding = False
        say(f"The new index is made and in place: {self._indexer.size} leaves.")
        return True

    def _settled(self) -> bool:
        """Close the new files with nothing left beside them; False if stopped while waiting."""
        self._indexer.close()
        for name in FILES:
            connection = open_database(self._beside / name, self._key)
            try:
                while not self._stopping and not _moved(connection):
                    time.sleep(LOOK_SECONDS)  # somebody is reading; nobody reads for long
            finally:
                connection.close()
        if self._stopping:
            self._indexer = Indexer(self._beside, self._key)
            return False
        self._disk.write_file(self._beside / WHOLE, b"")
        return True

    def _put_in_place(self) -> None:
        put_in_place(self._disk, self._beside, self._root)
        self._drop()

    def _drop(self) -> None:
        """Nothing of a new index is left; what says that it is whole goes last."""
        if self._beside.is_dir():
            files = sorted(self._beside.iterdir(), key=lambda path: path.name == WHOLE)
            self._disk.remove(*files)
            self._disk.remove_dir(self._beside)


def _moved(connection: apsw.Connection) -> bool:
    """Whether all of a write-ahead log is in its file now."""
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    return True
