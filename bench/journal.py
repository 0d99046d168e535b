"""How fast the journal acknowledges, against a plain file with write and fdatasync.

``python bench/journal.py [--directory DIR] [--seconds S]`` prints one JSON object. Each writer
commits a record of about 2 KB, waits for the acknowledgement, and goes on. The plain file does
what a careful program without group commit does: one write and one fdatasync per record, one
after the other. Both run in turns in one process on the same directory, so they meet the same
disk. ``append_us`` is what a record costs the event loop: encode, seal, CRC, write.
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop

from affidavit import ids
from affidavit.clock import SystemClock
from affidavit.durable import Disk
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.model import SECTIONS, Chain, Record, Written
from affidavit.record.seal import RecipientKey

WRITERS = (1, 16, 64, 256)
BODY = b'{"model":"demo-1","messages":[{"role":"user","content":"' + b"a" * 240 + b'"}]}'
CLOCK = SystemClock()


def make_record() -> Record:
    """A record whose frame has about 2 KB."""
    return Record(
        ids.record_id(),
        "exchange.request",
        CLOCK.now(),
        "observed",
        "tenant",
        "default",
        tuple(disclose(name, {"field": "x" * 110}) for name in SECTIONS),
        (Chain("tenant", "model", "demo-1"), Chain("tenant", "actor", "a")),
        (commit_part("request.body", "application/json", BODY),),
    )


RECORD = make_record()
FRAME = len(msgspec.msgpack.encode(Written(0, RECORD, (BODY,))))


async def journal(root: Path, writers: int, seconds: float) -> dict[str, float]:
    """Acknowledged records a second with so many writers at once, and their waiting times."""
    recipient = RecipientKey.generate("2026-11-23").recipient
    writer = JournalWriter.open(Disk(), root, "bench", lambda: recipient, CLOCK)
    waits: list[float] = []
    end = time.perf_counter() + seconds
    cpu = time.process_time()

    async def one() -> None:
        while (begun := time.perf_counter()) < end:
            await writer.commit(RECORD, (BODY,))
            waits.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(writers)))
    elapsed = time.perf_counter() - begun
    cpu = time.process_time() - cpu
    writer.abandon()
    waits.sort()
    return {
        "writers": writers,
        "records_per_s": round(len(waits) / elapsed),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 3),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 3),
        "cpu_us_per_record": round(cpu / len(waits) * 1e6, 1),
    }


def plain(root: Path, seconds: float) -> float:
    """Records a second of one write and one fdatasync each, appended to a growing file."""
    fd = os.open(root / "plain", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    data, count = bytes(FRAME), 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        os.write(fd, data)
        os.fdatasync(fd)
        count += 1
    rate = count / (time.perf_counter() - begun)
    os.close(fd)
    return round(rate)


async def append_cost(root: Path) -> float:
    """Microseconds a record costs without its sync, the best of five rounds."""
    recipient = RecipientKey.generate("2026-11-23").recipient
    best = float("inf")
    for _ in range(5):
        writer = JournalWriter.open(
            Disk(), root, "bench", lambda: recipient, CLOCK, segment_bytes=1 << 25
        )
        frame = Written(0, RECORD, (BODY,))
        begun = time.perf_counter()
        for _ in range(4000):
            writer._append(frame)  # noqa: SLF001 - the part of commit before the wait
        best = min(best, (time.perf_counter() - begun) / 4000)
        writer.abandon()
    return round(best * 1e6, 1)


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to be measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        root = Path(name)
        rounds = []
        for writers in WRITERS:
            before = plain(root, options.seconds / 2)
            measured = uvloop.run(journal(root, writers, options.seconds))
            after = plain(root, options.seconds / 2)
            measured["plain_file_records_per_s"] = round((before + after) / 2)
            measured["times_plain_file"] = round(
                measured["records_per_s"] / measured["plain_file_records_per_s"], 1
            )
            rounds.append(measured)
        result = {
            "bench": "journal",
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "frame_bytes": FRAME,
            "append_us": asyncio.run(append_cost(root)),
            "rounds": rounds,
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
