"""How long erasure takes, and what it does to whoever puts records meanwhile.

    python bench/erase.py [--records 100000] [--parts 1] [--bytes 600] [--whole]
        [--directory DIR] > out.json
    python bench/erase.py --data DIR --maximum DAYS > out.json

With ``--whole``, expiry and the erasure of a person from end to end through the real sequencer,
of ``--records`` records each (``erasing``). With ``--data``, expiry of what is older than so many
days in a directory that ``questions.py fill`` has filled, whose index is large. Without either, the
vault alone:

A vault of one tenant gets ``--records`` records of one person over ten days, and as many of nobody
beside them; each has seven sections and ``--parts`` parts of ``--bytes`` bytes. Then, one by one:
"hold" puts a thousandth of them under a hold, "subject" erases the person, "records" a tenth of the
first day, "content" the content of the second day, "expire" the third day, with what is held
spared, "release" ends the hold, and "expire_whole" expires the fourth day, of which none is held.
It rests as the sequencer has it (``app.pacing``). Of each: seconds, CPU seconds of its thread,
records and bytes that went. Meanwhile another thread puts ten records every 20 ms, as the
sequencer does: how long a put takes, before ("idle") and during each. Filling the vault is not
timed, except as "put".
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import erasing

from affidavit import ids
from affidavit.app.pacing import Pace
from affidavit.clock import SystemClock
from affidavit.durable import Disk
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import SECTIONS, Placed, Record
from affidavit.vault.erase import Eraser
from affidavit.vault.keyring import Keyring
from affidavit.vault.segments import Bucket
from affidavit.vault.vault import Vault

DAYS = [f"2026-11-{day:02d}" for day in range(1, 11)]
TODAY = "2026-11-20"
BATCH = 500


class Filled:
    """A vault and its keys, with records of the person at every other index."""

    def __init__(self, base: Path, parts: int, size: int) -> None:
        self.root = base / "vault"
        self.keyring = Keyring.open(
            base / "keys.db", KeyEncryptionKey(bytes(range(32))), SystemClock()
        )
        self.vault = Vault.open(Disk(), self.root, self.keyring, 0, _no_leaf)
        self.size = 0
        self._parts, self._bytes = parts, size

    def batch(self, count: int, day: str, subject: str | None) -> list[Placed]:
        """Records that come next; every other one is of nobody, if there is a subject."""
        made = []
        for _ in range(count):
            of = (subject,) if subject is not None and self.size % 2 == 0 else ()
            made.append(self._record(day, of))
            self.size += 1
        return made

    def _record(self, day: str, subjects: tuple[str, ...]) -> Placed:
        bodies = tuple(os.urandom(self._bytes // 2).hex().encode() for _ in range(self._parts))
        parts = tuple(commit_part(f"part.{n}", "text/plain", one) for n, one in enumerate(bodies))
        listed = [{"name": one.name, "digest": ids.b64u(one.digest)} for one in parts]
        sections = tuple(
            disclose(name, {"parts": listed} if name == "content" else {"is": "x" * 120})
            for name in SECTIONS
        )
        record = Record(
            id=ids.record_id(),
            type="exchange.request",
            at=f"{day}T12:00:00.000000Z",
            tier="observed",
            tenant="acme",
            retention_class="default",
            sections=sections,
            chains=(),
            parts=parts,
            subjects=subjects,
        )
        return Placed(self.size, record.at, None, ("w", self.size), record, bodies, b"", ())


class Beside(threading.Thread):
    """Puts ten records every 20 ms; ``took`` are the milliseconds of each put."""

    def __init__(self, filled: Filled) -> None:
        super().__init__()
        self._filled = filled
        self._ends = threading.Event()
        self.took: list[float] = []

    def run(self) -> None:
        """Until ``end``."""
        while not self._ends.wait(0.02):
            batch = self._filled.batch(10, TODAY, None)
            begin = time.perf_counter()
            self._filled.vault.put(batch)
            self.took.append((time.perf_counter() - begin) * 1000)

    def end(self) -> dict[str, float]:
        """Stop, and how long puts took."""
        self._ends.set()
        self.join()
        ordered = sorted(self.took) or [0.0]
        return {
            "puts": len(self.took),
            "median_ms": round(statistics.median(ordered), 2),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
            "max_ms": round(ordered[-1], 2),
        }


def _no_leaf(index: int) -> Any:
    raise AssertionError(f"an empty vault asks for leaf {index}")


def _measured(filled: Filled, what: Callable[[], Any]) -> dict[str, Any]:
    beside = Beside(filled)
    beside.start()
    wall, cpu = time.perf_counter(), time.thread_time()
    done = what()
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    out: dict[str, Any] = {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}
    out["records"] = done.records
    out["sealed_bytes"] = getattr(done, "bytes", None)
    if done.records:
        out["cpu_us_per_record"] = round(cpu / done.records * 1e6, 1)
    out["beside"] = beside.end()
    return out


def run(base: Path, records: int, parts: int, size: int) -> dict[str, Any]:
    """Fill and erase; the figures."""
    filled = Filled(base, parts, size)
    per_day = 2 * records // len(DAYS)
    putting = 0.0
    first: dict[str, int] = {}
    for day in DAYS:
        first[day] = filled.size
        for _ in range(0, per_day, BATCH):
            batch = filled.batch(BATCH, day, "sub_1")
            begin = time.thread_time()
            filled.vault.put(batch)
            putting += time.thread_time() - begin
    stored = sum(path.stat().st_size for path in filled.root.rglob("*") if path.is_file())
    out: dict[str, Any] = {
        "put": {"records": filled.size, "cpu_seconds": round(putting, 2), "stored_bytes": stored}
    }
    idle = Beside(filled)
    idle.start()
    time.sleep(3)
    out["idle"] = idle.end()

    pace = Pace()
    eraser = Eraser(Disk(), filled.root, filled.keyring, SystemClock(), pace.rest)
    buckets = [Bucket("acme", "default", day) for day in DAYS]
    held = range(0, filled.size, 2000)
    third = set(range(first[DAYS[2]], first[DAYS[3]], 2000))
    out["hold"] = _measured(filled, lambda: eraser.hold("matter", held, "acme"))
    filled.vault.retire_subject("acme", "sub_1", ["default"])
    every = range(filled.size)
    out["subject"] = _measured(filled, lambda: eraser.subject("acme", "sub_1", ["default"], every))
    tenth = range(first[DAYS[0]], first[DAYS[0]] + per_day, 10)
    out["records"] = _measured(filled, lambda: eraser.records(buckets[0], tenth, "sections"))
    out["content"] = _measured(filled, lambda: eraser.expire(buckets[1], "content"))
    out["expire"] = _measured(filled, lambda: eraser.expire(buckets[2], "sections", third))
    out["release"] = _measured(filled, lambda: eraser.release("matter"))
    out["expire_whole"] = _measured(filled, lambda: eraser.expire(buckets[3], "sections"))
    filled.vault.close()
    filled.keyring.close()
    return out


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=600)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--maximum", type=int)
    given = parser.parse_args()
    if given.data is not None:
        json.dump(erasing.oldest(given.data, given.maximum), sys.stdout, indent=1)
        print()
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as base:
        if given.whole:
            figures = erasing.whole(Path(base), given.records)
        else:
            figures = run(Path(base), given.records, given.parts, given.bytes)
    asked = {
        "records": given.records,
        "parts": given.parts,
        "bytes": given.bytes,
    }
    json.dump({"parameters": asked, **figures}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
