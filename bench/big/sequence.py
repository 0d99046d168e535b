"""The sequencer's process of a run: the real one, with another clock; says what it costs."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from affidavit.app import questions
from affidavit.app.sequencer import Sequencer
from affidavit.clock import Clock
from big.place import FillClock, LiveClock, Place

TICKS = os.sysconf("SC_CLK_TCK")


class _Filled(FillClock):
    """Follows the size of the ledger; until that is open, of its checkpoint."""

    sequencer: Sequencer | None = None

    def now(self) -> str:
        if self.sequencer is not None:
            self.number = self.sequencer.log.size
        return super().now()


class Costs(threading.Thread):
    """Looks every second at the CPU that each thread has used, and says so every minute."""

    def __init__(self, place: Place, sequencer: Sequencer, *, quiet: bool) -> None:
        super().__init__(name="costs", daemon=True)
        self.place = place
        self.sequencer = sequencer
        self.quiet = quiet
        self.seconds: dict[str, float] = {}
        self.first = sequencer.log.size
        self.began = time.monotonic()

    def run(self) -> None:
        said, size = self.began, self.first
        while True:
            time.sleep(1)
            self.look()
            now = time.monotonic()
            if now - said >= 60 and not self.quiet:
                reached = self.sequencer.log.size
                self.say((reached - size) / (now - said), reached)
                said, size = now, reached

    def look(self) -> None:
        """Read what each thread has used so far; what has ended keeps its last figure."""
        for thread in threading.enumerate():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="ascii")
                fields = stat.rpartition(")")[2].split()
                self.seconds[thread.name] = (int(fields[11]) + int(fields[12])) / TICKS

    def report(self) -> dict[str, Any]:
        """What a record has cost so far in this process, by thread."""
        count = max(1, self.sequencer.log.size - self.first)
        took = time.monotonic() - self.began
        return {
            "leaves": count,
            "seconds": round(took, 1),
            "records_per_s": round(count / took),
            "cpu_us_per_record": {
                "process": round(time.process_time() / count * 1e6, 1),
                **{name: round(used / count * 1e6, 1) for name, used in self.seconds.items()
                   if used > 0.05},
            },
        }  # fmt: skip

    def say(self, rate: float, reached: int) -> None:
        """One line for whoever watches."""
        used = disk_used(self.place)
        left = max(0, self.place.records - reached)
        line = {
            "leaves": reached,
            "indexed": self.sequencer.indexing.size,
            "records_per_s": round(rate),
            "disk_gb": round(used / 1e9, 2),
            "disk_bytes_per_record": round(used / max(1, reached)),
            "disk_gb_at_end": round(used / max(1, reached) * self.place.records / 1e9, 1),
            "minutes_left": round(left / rate / 60) if rate else None,
            "cpu_us_per_record": self.report()["cpu_us_per_record"],
        }
        print(json.dumps(line), file=sys.stderr, flush=True)


def disk_used(place: Place) -> int:
    """Bytes on disk of the data directory, what the bench keeps beside it left out."""
    words = ["du", "-s", "--block-size=1", "--exclude=./bench", "."]
    done = subprocess.run(words, cwd=place.paths.root, capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0])


def run(place: Place, *, live: str, began: float) -> int:
    """Sequence until SIGTERM; prints what it cost. ``live``: the time it is, at ``began``."""
    clock: Clock = LiveClock(live, began) if live else _Filled(place, place.size())
    with place.disk.locked(place.paths.sequencer_lock, "bench"):
        sequencer = Sequencer(place.paths, place.config(), place.disk, clock)
        if isinstance(clock, _Filled):
            clock.sequencer = sequencer
        costs = Costs(place, sequencer, quiet=bool(live))
        costs.start()
        code = asyncio.run(sequencer.run(questions.handlers(sequencer), lambda: None))
        costs.look()
    print(json.dumps(costs.report() | {"disk_bytes": disk_used(place)}), flush=True)
    return code
