"""A journal with something in it, for the tests of its writer, its reader and their accidents."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from affidavit import ids
from affidavit.durable import Disk
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.journal_reader import START, JournalReader, Position
from affidavit.record.model import SECTIONS, Chain, Frame, Opened, Piece, Record, Written
from affidavit.record.seal import Recipient, RecipientKey
from tests.world.clock import FakeClock

AT = "2026-11-23T12:00:00.000000Z"
MONDAY = RecipientKey.from_private("2026-11-23", bytes(range(32)))
TUESDAY = RecipientKey.from_private("2026-11-24", bytes(range(1, 33)))
_KEYS = {key.day: key for key in (MONDAY, TUESDAY)}


class Day:
    """The key of the day as a writer asks for it; a test changes ``key``."""

    def __init__(self) -> None:
        self.key = MONDAY

    def __call__(self) -> Recipient:
        """The recipient of today."""
        return self.key.recipient


def open_key(day: str, wrapped: bytes) -> bytes:
    """What the sequencer gives a reader."""
    return _KEYS[day].open(wrapped)


def record(body: bytes = b"{}", kind: str = "exchange.request", **what: Any) -> Record:
    """A small record with one part, ``body``."""
    sections: list[str | None] = [None] * len(SECTIONS)
    sections[2] = disclose("what", {"gen_ai.request.model": "demo-1", **what})
    return Record(
        ids.record_id(),
        kind,
        AT,
        "observed",
        "t",
        "default",
        tuple(sections),
        (Chain("t", "model", "demo-1"),),
        (commit_part("request.body", "application/json", body),),
    )


def ended() -> Record:
    """The last record of a writer."""
    sections = (None,) * len(SECTIONS)
    return Record(ids.record_id(), "ledger.ended", AT, "observed", "", "default", sections, ())


def open_writer(root: Path, disk: Disk, *, day: Day | None = None, **how: Any) -> JournalWriter:
    """A writer under ``root`` with small segments and a clock that stands still."""
    how = {"clock": FakeClock(), "segment_bytes": 2048, **how}
    return JournalWriter.open(disk, root, "w1", day or Day(), how.pop("clock"), **how)


def read(directory: Path, start: Position = START) -> tuple[list[Frame], JournalReader]:
    """All frames that can be read, and the reader at its end (closed)."""
    reader = JournalReader(directory, open_key, start)
    frames: list[Frame] = []
    while found := reader.poll():
        frames += [frame for _, frame in found]
    return frames, reader


def name(frame: Frame) -> str:
    """What a frame is, in a word: the id of a record, the bytes of a piece."""
    if isinstance(frame, Opened):
        return f"opened {frame.segment}"
    return frame.data.decode() if isinstance(frame, Piece) else frame.record.id


def names(frames: list[Frame]) -> list[str]:
    """The names of the records and pieces among ``frames``."""
    return [name(frame) for frame in frames if not isinstance(frame, Opened)]


def numbers(frames: list[Frame]) -> list[int]:
    """The n of the records among ``frames``."""
    return [frame.n for frame in frames if isinstance(frame, Written)]


class Script:
    """A short life of a writer; notes what it tries, in order, and what was promised when.

    Three commits at once, pieces between commits, a body larger than a segment, enough records to
    change segments several times, another day, and the end. ``tried`` are the names in the order
    of writing; ``kept(name)`` is called when a promise is made: a commit or, with ``death`` (a
    process may die, but the machine lives), a piece.
    """

    def __init__(self, kept: Callable[[str], None], *, death: bool = False) -> None:
        self.kept = kept
        self.death = death
        self.tried: list[str] = []

    async def commit(self, writer: JournalWriter, body: bytes = b"{}") -> None:
        """One record."""
        one = record(body)
        self.tried.append(one.id)
        await writer.commit(one, (body,))
        self.kept(one.id)

    def piece(self, writer: JournalWriter, data: str) -> None:
        """One piece."""
        self.tried.append(data)
        writer.piece("r", data.encode())
        if self.death:
            self.kept(data)

    async def run(self, root: Path, disk: Disk) -> None:
        """From the first segment to the last record."""
        day = Day()
        writer = open_writer(root, disk, day=day)
        await asyncio.gather(*(self.commit(writer) for _ in range(3)))
        self.piece(writer, "piece 1")
        self.piece(writer, "piece 2")
        await self.commit(writer)
        await self.commit(writer, b"b" * 3000)
        self.piece(writer, "piece 3")
        await asyncio.gather(*(self.commit(writer, b"c" * 600) for _ in range(3)))
        day.key = TUESDAY
        await self.commit(writer)
        self.piece(writer, "piece 4")
        last = ended()
        self.tried.append(last.id)
        await writer.close(last)
        self.kept(last.id)
