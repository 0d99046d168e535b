"""Reads a journal back, also while it is written and after any accident.

Rules: what comes out is, in order, exactly the whole frames from the start position on; the first
frame that is not whole ends it. While its writer lives that means "not yet", so each ``poll``
looks again; once the caller holds the lease it means the end, and ``tail_state`` says which kind.
A segment is over when the next one has begun, and the next one's header says how many of its
frames count. Nothing here raises on garbage, and nothing writes. Not here: joining pieces to
bodies, what to do about damage (``ledger.intake``), removing segments (``journal``).
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CorruptError
from affidavit.record import journal_format as form
from affidavit.record.model import Frame, Opened

_CHUNK = 1 << 18
TailState = Literal["clean", "torn", "unreadable"]


class Position(NamedTuple):
    """Where the next frame begins: segment, frame number in it, offset in its file.

    What to keep to go on from here later. Offset 0 is the start of a segment, before its header.
    """

    segment: int
    frame: int
    offset: int


START = Position(0, 0, 0)


class _Segment:
    """A segment whose header and key have been read, with its file open.

    ``size`` is that of the file, which never changes once a segment has begun.
    """

    def __init__(self, fd: int, header: form.Header, cipher: AESGCM) -> None:
        self.fd = fd
        self.header = header
        self.cipher = cipher
        self.size = os.fstat(fd).st_size
        self._base = 0
        self._chunk = b""

    def refresh(self) -> None:
        """Forget what was read ahead: the writer may have written since."""
        self._chunk = b""

    def blank(self, offset: int) -> bool:
        """Whether no frame has begun at ``offset``: what a writer's waiting reader mostly finds."""
        return not os.pread(self.fd, form.PREFIX.size, offset).strip(b"\0")

    def take(self, offset: int, count: int) -> bytes:
        """``count`` bytes at ``offset``, or fewer at the end of the file."""
        start = offset - self._base
        if start < 0 or start + count > len(self._chunk):
            self._base, self._chunk = offset, os.pread(self.fd, max(_CHUNK, count), offset)
            start = 0
        return self._chunk[start : start + count]

    def sealed_at(self, frame: int, offset: int) -> bytes | None:
        """The sealed payload of a frame if it is whole."""
        prefix = self.take(offset, form.PREFIX.size)
        if len(prefix) < form.PREFIX.size:
            return None
        length, crc = form.PREFIX.unpack(prefix)
        if not 0 < length <= self.size - offset - form.PREFIX.size:
            return None
        sealed = self.take(offset + form.PREFIX.size, length)
        return sealed if form.is_whole(self.header.segment, frame, crc, sealed) else None

    def behind(self, offset: int) -> int:
        """Where the frame after the one at ``offset`` begins, if its length can be believed."""
        prefix = self.take(offset, form.PREFIX.size)
        return offset + form.PREFIX.size + int.from_bytes(prefix[:4], "big")


class JournalReader:
    """Reads the journal in ``directory``, which is named after its writer's incarnation.

    ``open_key(day, wrapped)`` opens a segment's key; any ``AffidavitError`` from it makes the
    segment unreadable until it succeeds. ``position`` is where the next frame begins;
    ``worker`` the writer's name, ``opened_at`` when it began the segment and ``serves`` whether it
    may serve unrecorded, as soon as one frame was read; ``reason`` why reading stopped, or empty,
    ``more`` whether the last ``poll`` stopped for its ``max_bytes`` alone.
    """

    def __init__(
        self,
        directory: Path,
        open_key: Callable[[str, bytes], bytes],
        start: Position = START,
    ) -> None:
        self.directory = directory
        self.incarnation = directory.name
        self.position = start
        self.worker = ""
        self.serves = False
        self.opened_at = ""
        self.reason = ""
        self.more = False
        self._open_key = open_key
        self._segment: _Segment | None = None

    def poll(self, max_bytes: int = 4 << 20) -> list[tuple[Position, Frame]]:
        """Return frames that can be read now, each with the position after it; ``[]``: none yet.

        Stops after about ``max_bytes`` of frames, so call until it returns nothing.
        """
        found: list[tuple[Position, Frame]] = []
        self.reason = ""
        self.more = False
        try:
            self._poll(max_bytes, found)
        except OSError as error:
            self.reason = f"segment {self.position.segment} does not read: {error.strerror}"
        return found

    @property
    def tail_state(self) -> TailState:
        """What stands at ``position``, after ``poll`` returned nothing.

        ``clean``: nothing was begun. ``torn``: an unfinished write, such as a sudden end leaves.
        ``unreadable``: there is or was something that does not open; frames may be missing.
        Says nothing while the writer lives.
        """
        if self.reason:
            return "unreadable"
        segment = self._segment
        if segment is None:
            return "clean"
        segment.refresh()
        try:
            if _all_zeros(segment, self.position.offset):
                return "clean"
            return "torn" if self._next_whole(segment) is None else "unreadable"
        except OSError:
            return "unreadable"

    def skip(self) -> bool:
        """Step over what does not read; ``False`` (and no step) if nothing follows it.

        To the frame behind the damaged one if that is whole, else to the next segment. Only for
        a caller that has noted the damage.
        """
        if self._segment is not None:
            with contextlib.suppress(OSError):
                behind = self._next_whole(self._segment)
                if behind is not None:
                    self.position = behind
                    return True
        later = [number for number in self._numbers() if number > self.position.segment]
        if not later:
            return False
        self._advance(Position(later[0], 0, 0))
        return True

    def segments(self) -> list[tuple[int, Path]]:
        """The segment files that are there now, with their numbers, in order."""
        return [(number, self._path(number)) for number in self._numbers()]

    def lease(self, disk: Disk, who: str) -> contextlib.AbstractContextManager[int]:
        """Hold the writer's lease while inside; ``LockedError`` at once if the writer lives."""
        return disk.locked(self.directory / form.LEASE, who)

    def close(self) -> None:
        """Close the file that is being read; ``poll`` opens it again."""
        if self._segment is not None:
            os.close(self._segment.fd)
            self._segment = None

    def _next_whole(self, segment: _Segment) -> Position | None:
        """Behind the damaged frame at ``position``, if the frame after it is whole."""
        number, frame, offset = self.position
        behind = segment.behind(offset)
        if segment.sealed_at(frame + 1, behind) is None:
            return None
        return Position(number, frame + 1, behind)

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self.directory)  # noqa: PTH208 - often, and names only
        except OSError:
            return []
        return sorted(n for n in map(form.segment_number, names) if n is not None)

    # Below: one segment after the other

    def _poll(self, max_bytes: int, found: list[tuple[Position, Frame]]) -> None:
        left = max_bytes
        while left > 0:
            segment = self._current()
            if segment is None:
                return
            limit = self._frames_that_count()  # asked before the last look at the segment
            left = self._read(segment, limit, left, found)
            self.more = left <= 0
            if self.reason:
                return
            if limit is None:
                if not found:
                    self._look_ahead()
                return
            if self.position.frame >= limit:
                self._advance(Position(self.position.segment + 1, 0, 0))
            elif left > 0:
                self.reason = (
                    f"segment {self.position.segment} ends after {self.position.frame}"
                    f" of {limit} frames"
                )
                return

    def _current(self) -> _Segment | None:
        """The segment at ``position``, opened; ``None`` if it is not there, not yet or not ever."""
        if self._segment is not None:
            return self._segment
        number = self.position.segment
        try:
            fd = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if any(other > number for other in self._numbers()):
                self.reason = f"segment {number} is missing: {error.strerror}"
            return None
        segment: _Segment | None = None
        try:
            segment = self._opened(fd, number)
        finally:
            if segment is None:
                os.close(fd)
        self._segment = segment
        return segment

    def _opened(self, fd: int, number: int) -> _Segment | None:
        raw = os.pread(fd, form.HEADER_BYTES, 0)
        header = form.Header.unpack(raw)
        if header is None:
            if raw.strip(b"\0"):
                self.reason = f"segment {number} has a damaged header"
            return None
        if header.segment != number or header.incarnation != self.incarnation:
            self.reason = f"segment {number} belongs to another journal"
            return None
        try:
            cipher = AESGCM(self._open_key(header.day, header.wrapped))
        except (AffidavitError, ValueError) as error:
            self.reason = f"the key of segment {number} does not open: {error}"
            return None
        if self.position.offset == 0:
            self.position = Position(number, 0, form.HEADER_BYTES)
        return _Segment(fd, header, cipher)

    def _frames_that_count(self) -> int | None:
        """How many frames this segment has, if the next one has begun."""
        try:
            raw = self._head(self.position.segment + 1)
        except OSError:
            return None
        header = form.Header.unpack(raw)
        return None if header is None else header.before

    def _look_ahead(self) -> None:
        """A later segment that has begun although the next one has not is damage, not an end."""
        for number in self._numbers():
            if number > self.position.segment and self._head(number).strip(b"\0"):
                self.reason = (
                    f"segment {number} has begun, but no header says"
                    f" where segment {self.position.segment} ends"
                )
                return

    def _head(self, number: int) -> bytes:
        """The first bytes of a segment, as far as they are there."""
        fd = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, form.HEADER_BYTES, 0)
        finally:
            os.close(fd)

    def _read(
        self,
        segment: _Segment,
        limit: int | None,
        left: int,
        found: list[tuple[Position, Frame]],
    ) -> int:
        """Move whole frames to ``found``; returns how many bytes may still be read."""
        number, frame, offset = self.position
        if segment.blank(offset):
            return left
        segment.refresh()
        while left > 0 and (limit is None or frame < limit):
            sealed = segment.sealed_at(frame, offset)
            if sealed is None:
                break
            try:
                content = form.open_frame(segment.cipher, frame, sealed)
                self._check_place(content, frame)
            except CorruptError as error:
                self.reason = f"segment {number}: {error.message}"
                break
            size = form.PREFIX.size + len(sealed)
            frame, offset, left = frame + 1, offset + size, left - size
            self.position = Position(number, frame, offset)
            found.append((self.position, content))
        return left

    def _check_place(self, content: Frame, frame: int) -> None:
        if isinstance(content, Opened) != (frame == 0):
            raise CorruptError(f"Frame {frame} is of another kind than its place asks for.")
        if isinstance(content, Opened):
            if (content.incarnation, content.segment) != (self.incarnation, self.position.segment):
                raise CorruptError("Frame 0 belongs to another segment.")
            self.worker = content.worker
            self.serves, self.opened_at = content.serves, content.at

    def _advance(self, position: Position) -> None:
        self.close()
        self.position = position

    def _path(self, number: int) -> Path:
        return self.directory / form.segment_name(number)


def _all_zeros(segment: _Segment, offset: int) -> bool:
    while offset < segment.size:
        chunk = segment.take(offset, min(_CHUNK, segment.size - offset))
        if chunk.strip(b"\0"):
            return False
        offset += len(chunk)
    return True
