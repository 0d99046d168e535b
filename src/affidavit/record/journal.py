"""The journal's writer: what it has acknowledged is on disk; what it has not may be.

Rules:

1. ``commit`` returns after an fdatasync that began after its frame was written. One fdatasync
   runs at a time, in a thread; the next starts when it returns and covers all who wait; no timer.
2. ``piece`` returns after its frame was written; it is synced with the next commit.
3. A segment is preallocated, so a full disk shows when the next segment is made, where nothing
   is lost: it then refuses, tries again at most once a second (``retry``), and goes on by itself.
4. If a frame does not fit on the disk nevertheless, its first bytes are blanked, the segment is
   left as it stands, and the next segment's header says how many frames of it count.
5. After any other failed write, and after a failed fdatasync, the writer has failed for good:
   what the kernel still holds is unknown. The process exits and is replaced.
6. Segments are synced in order, so what is acknowledged is a prefix of what was written.
7. Everything here runs on one event loop; only the sync and the making of spares do not.

Layout: ``<root>/<incarnation>/`` holds ``lease`` and the segments (``journal_format``). Not here:
who reads and removes segments (``journal_reader``, ``ledger.intake``), and pieces' assembly.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from affidavit import ids
from affidavit.clock import Clock
from affidavit.durable import AppendFile, Disk, is_no_space
from affidavit.errors import AffidavitError, CannotRecordError
from affidavit.record import journal_format as form
from affidavit.record.journal_sync import SyncThread
from affidavit.record.model import Frame, Opened, Piece, Record, Written
from affidavit.record.seal import WRAPPED_BYTES, Recipient

SEGMENT_BYTES = 16 << 20
_CAUSES = {errno.EROFS: "read-only"}
RETRY_SECONDS = 1.0


class _Segment:
    """The segment that is being written: ``frames`` written so far, ``size`` of its file."""

    def __init__(self, number: int, day: str, file: AppendFile, key: bytes, size: int) -> None:
        self.number = number
        self.day = day
        self.file = file
        self.cipher = AESGCM(key)
        self.frames = 1  # Opened, written with the header
        self.size = size

    def append(self, payload: bytes) -> None:
        """Seal and write one frame; ``OSError`` if it was not written whole."""
        self.file.write_buffered(form.seal_frame(self.cipher, self.number, self.frames, payload))
        self.frames += 1

    def fits(self, payload: int) -> bool:
        """Whether a payload of so many bytes still has room."""
        return self.file.size + form.OVERHEAD + payload <= self.size


class JournalWriter:
    """Writes one journal; made by ``open``, ended by ``close`` or, without a word, ``abandon``.

    ``incarnation`` names the writer and its directory: 22 characters, b64u of 16 random bytes.
    ``failure`` is set for good by a failed write or sync: exit and be replaced. ``refusing`` says
    why the latest attempt was refused, also when that may pass (a full disk), and stays until
    another segment could be made; smaller records may be taken meanwhile.
    """

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        worker: str,
        recipient: Callable[[], Recipient],
        clock: Clock,
        *,
        segment_bytes: int,
        serves: bool = False,
    ) -> None:
        self.incarnation = directory.name
        self.failure: CannotRecordError | None = None
        self.refusing: CannotRecordError | None = None
        self._disk = disk
        self._directory = directory
        self._worker = worker
        self._serves = serves
        self._recipient = recipient
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._next = 0  # the n of the next record
        self._segment: _Segment | None = None
        self._number = -1  # of the latest segment that was begun
        self._before = 0  # frames that count in it, once it is left
        self._left: list[AppendFile] = []  # left, not yet synced, oldest first
        self._spare: Future[AppendFile] | None = None  # the file of segment _number + 1
        self._retry_at = 0.0
        self._waiters: list[asyncio.Future[None]] = []
        self._syncing = False
        self._placed = False
        self._closed = False
        self._syncs = SyncThread()
        self._spares = ThreadPoolExecutor(1, thread_name_prefix="journal-spare")
        self._lease = contextlib.ExitStack()

    @classmethod
    def open(
        cls,
        disk: Disk,
        root: Path,
        worker: str,
        recipient: Callable[[], Recipient],
        clock: Clock,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        serves: bool = False,
        late: bool = False,
    ) -> "JournalWriter":
        """Begin a journal of its own under ``root`` and take its lease.

        ``serves``: this writer may serve calls that it cannot record, which each segment says.
        ``recipient`` gives the key of the day and is asked before each frame; another day begins
        another segment. ``CannotRecordError`` if the directory or first segment did not come
        into being; with ``late`` the writer refuses until they do.
        """
        directory = root / ids.b64u(ids.random_bytes(16))
        writer = cls(
            disk, directory, worker, recipient, clock, segment_bytes=segment_bytes, serves=serves
        )
        try:
            writer._begin_segment(recipient(), 0)
        except AffidavitError:
            if not late or writer.failure is not None:
                writer.abandon()
                raise
        return writer

    async def commit(self, record: Record, bodies: Sequence[bytes | None]) -> int:
        """Record durably; returns the record's n, its place among this writer's records.

        ``bodies`` runs beside ``record.parts``; ``None`` stands for the pieces of
        ``record.parent``. ``CannotRecordError``: it is not acknowledged, so do not do the work.
        If the caller is cancelled while it waits, the record is in the journal all the same.
        """
        n, durable = self._record(record, tuple(bodies))
        await durable
        return n

    def piece(self, request_id: str, data: bytes) -> None:
        """Write bytes that answer ``request_id``; on return the death of this process keeps them.

        ``CannotRecordError``: they are not recorded, so do not send them.
        """
        self._append(Piece(request_id, data))

    def retry(self) -> None:
        """After a refusal that may have passed, make room again if there is some now.

        And leave a segment that is sealed to a key before the one in use, so that it can go. Call
        it now and then; it asks the disk at most once a second and takes milliseconds.
        """
        if self.failure is not None or self._closed:
            return
        recipient, segment = self._recipient(), self._segment
        waiting = self.refusing is not None and self._clock.monotonic() >= self._retry_at
        old = self.refusing is None and segment is not None and segment.day != recipient.day
        if waiting or old:
            with contextlib.suppress(CannotRecordError):
                self._begin_segment(recipient, 0)

    async def close(self, ended: Record) -> None:
        """Commit the last record (``ledger.ended``), sync, and give the lease back.

        ``CannotRecordError`` if that record was not taken; the lease is given back all the same
        and the sweep ends the journal.
        """
        try:
            _, durable = self._record(ended, ())
            self._closed = True
            await durable
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stop without a last record: waits for a running sync, closes, gives the lease back.

        Who still waits for a commit is told that it is not acknowledged.
        """
        self._closed = True
        self._syncs.close()
        self._spares.shutdown(wait=True)
        self._release(CannotRecordError("The journal was closed."), self._waiters)
        files = list(self._left)
        if self._segment is not None:
            files.append(self._segment.file)
        if self._spare is not None and self._spare.exception() is None:
            spare = self._spare.result()
            files.append(spare)
            with contextlib.suppress(OSError):
                self._disk.remove(spare.path)
        for file in files:
            file.close()
        self._lease.close()
        if self._number < 0:
            self._clear()

    def _take_place(self) -> None:
        """Make the directory and take the lease, once.

        The lease stands before the first segment: a sweep looks only at what has segments.
        """
        if not self._placed:
            self._disk.make_dir(self._directory)
            lease = self._disk.locked(self._directory / form.LEASE, self._worker)
            self._lease.enter_context(lease)
            self._placed = True

    def _clear(self) -> None:
        """Leave nothing of a journal that did not begin, as far as the disk lets us."""
        with contextlib.suppress(OSError):
            segment = self._directory / form.segment_name(0)
            self._disk.remove(segment, self._directory / form.LEASE)
            self._disk.remove_dir(self._directory)

    # Writing: nothing below awaits, so frames and n are in one order.

    def _record(
        self, record: Record, bodies: tuple[bytes | None, ...]
    ) -> tuple[int, asyncio.Future[None]]:
        loop = asyncio.get_running_loop()
        n = self._next
        self._append(Written(n, record, bodies))
        self._next = n + 1
        durable = loop.create_future()
        self._waiters.append(durable)
        if len(self._waiters) == 1 and not self._syncing:
            loop.call_soon(self._sync, loop)  # others of this turn of the loop come along
        return n, durable

    def _append(self, frame: Frame) -> None:
        payload = form.encode(frame)
        segment = self._room(len(payload))
        try:
            segment.append(payload)
        except OSError as error:
            self._leave(segment)
            raise self._torn(segment.file, error) from error
        if self._spare is None and segment.file.size * 2 > segment.size:
            path = self._directory / form.segment_name(self._number + 1)
            self._spare = self._spares.submit(self._create, path, self._segment_bytes)

    def _room(self, payload: int) -> _Segment:
        """The segment for a payload of so many bytes; ``CannotRecordError`` if there is none."""
        if self._closed:
            raise CannotRecordError("The journal is closed.", hint="Try again: a worker drains.")
        if self.failure is not None:
            raise _again(self.failure)
        if payload > form.MAX_PAYLOAD:
            raise CannotRecordError(f"A record of {payload} bytes is more than a journal takes.")
        recipient = self._recipient()
        segment = self._segment
        if segment is not None and segment.day == recipient.day and segment.fits(payload):
            return segment
        if self.refusing is not None and self._clock.monotonic() < self._retry_at:
            raise _again(self.refusing)
        return self._begin_segment(recipient, payload)

    def _begin_segment(self, recipient: Recipient, payload: int) -> _Segment:
        """Make the next segment, with room for ``payload``, and leave the one before."""
        number = self._number + 1
        before = self._before if self._segment is None else self._segment.frames
        key = ids.key()
        header = form.Header(
            self.incarnation, number, before, recipient.day, recipient.wrap(key)
        ).pack()
        at = self._clock.now()
        opened = form.encode(Opened(self.incarnation, number, self._worker, at, self._serves))
        first = form.seal_frame(AESGCM(key), number, 0, opened)
        size = max(self._segment_bytes, len(header) + len(first) + form.OVERHEAD + payload)
        try:
            self._take_place()
            file = self._new_file(number, size)
        except OSError as error:
            raise self._refuse(error) from error
        if self._segment is not None:
            self._leave(self._segment)  # before a reader can see the next one
        try:
            file.write_buffered(header + first)
        except OSError as error:
            torn = self._torn(file, error)
            file.close()
            raise torn from error
        self._number = number
        self.refusing = None
        self._segment = _Segment(number, recipient.day, file, key, size)
        return self._segment

    def _new_file(self, number: int, size: int) -> AppendFile:
        path = self._directory / form.segment_name(number)
        spare, self._spare = self._spare, None
        if spare is not None and spare.exception() is None:
            file = spare.result()
            if size <= self._segment_bytes:
                return file
            file.close()
        if path.exists():  # a spare that is too small, or one whose header did not fit on the disk
            self._disk.remove(path)
        return self._create(path, size)

    def _create(self, path: Path, size: int) -> AppendFile:
        return self._disk.create_append(path, preallocate=size)

    def _leave(self, segment: _Segment) -> None:
        self._before = segment.frames
        self._left.append(segment.file)
        self._segment = None

    # Syncing

    def _sync(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._syncing or not self._waiters:
            return
        self._syncing = True
        waiters, self._waiters = self._waiters, []
        left, self._left = self._left, []
        files = list(left)
        if self._segment is not None:
            files.append(self._segment.file)

        def finish(error: BaseException | None) -> None:
            self._syncing = False
            if error is not None:
                self._release(self._fail(error), waiters)
                self._release(self._fail(error), self._waiters)
                return
            for file in left:
                file.close()
            for waiter in waiters:
                if not waiter.done():  # whoever was cancelled has left
                    waiter.set_result(None)
            self._sync(loop)

        self._syncs.sync(files, loop, finish)

    # Refusing

    def _torn(self, file: AppendFile, error: OSError) -> CannotRecordError:
        """A write failed: for want of room, blank what it left and refuse; else fail for good."""
        if not is_no_space(error):
            return self._fail(error)
        try:
            file.blank(form.PREFIX.size)
        except OSError as worse:
            return self._fail(worse)
        return self._refuse(error)

    def _refuse(self, error: OSError) -> CannotRecordError:
        self.refusing = _cannot(error)
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        return _again(self.refusing)

    def _fail(self, error: BaseException) -> CannotRecordError:
        if self.failure is None:
            self.failure = _cannot(error, hint="This worker stops and is replaced.")
            self.refusing = self.failure
        return _again(self.failure)

    def _release(self, error: CannotRecordError, waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(_again(error))
        waiters.clear()


def destroy_segment(disk: Disk, path: Path) -> None:
    """Overwrite the wrapped key of a segment, durably, then remove it; its frames stay sealed."""
    if path.exists() and path.stat().st_size >= form.HEADER_BYTES:
        disk.overwrite(path, form.WRAPPED_OFFSET, bytes(WRAPPED_BYTES))
    disk.remove(path)


def _cannot(error: BaseException, hint: str = "") -> CannotRecordError:
    reason = error.strerror if isinstance(error, OSError) else type(error).__name__
    message = f"The journal does not take the record: {reason}."
    return CannotRecordError(message, hint=hint, cause=_cause(error))


def _cause(error: BaseException) -> str:
    """The cause as a gap names it."""
    if not isinstance(error, OSError):
        return "disk failed"
    return "disk full" if is_no_space(error) else _CAUSES.get(error.errno or 0, "disk failed")


def _again(error: CannotRecordError) -> CannotRecordError:
    return CannotRecordError(error.message, hint=error.hint, **error.detail)
