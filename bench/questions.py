"""Ten million records through the real sequencer, and how fast they are found; JSON on stdout.

    python bench/questions.py fill --records 10000000 --data DIR [--days 90]
    python bench/questions.py ask --data DIR [--times 200] [--live RATE] [--duckdb]
    python bench/questions.py                 both on 100,000 records, in a temporary directory

``fill``: invented traffic (``big/traffic.py``) is written by one process into a journal and taken
in by another, the sequencer as ``affidavit up`` runs it, so that both cores are used; ledger time
spreads over 90 days, or so many as are asked for. Every minute it says on stderr how fast it goes,
what the disk holds and what it will hold. SIGTERM ends it cleanly; the same command goes on where
it was. ``ask``: p50 and p95 of each question, alone and, with ``--live``, while so many records a
second arrive; then also how long after its acknowledgement a record is found. ``--duckdb``
(``pip install duckdb``) loads the rows of the index and the same texts into DuckDB and asks it the
same.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from big import ask, sequence, write
from big.place import Place

START_SECONDS = 900.0
"""How long a sequencer may take to open a full directory."""


def start(what: str, *words: str) -> subprocess.Popen[str]:
    """One of the two processes of a run."""
    command = [sys.executable, __file__, what, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it printed, once it has ended: cleanly, or this bench does not."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"A process of the run ended with {process.returncode}.")
    found: dict[str, Any] = json.loads(out)
    return found


def serving(place: Place, sequencer: subprocess.Popen[str]) -> None:
    """Wait until the sequencer answers."""
    until = time.monotonic() + START_SECONDS
    while not place.paths.control_socket.exists():
        if sequencer.poll() is not None or time.monotonic() > until:
            raise SystemExit("The sequencer did not start.")
        time.sleep(0.1)


def fill(data: Path, records: int | None, days: int | None) -> dict[str, Any]:
    """Fill a directory, or go on with it."""
    place = Place(data, records, days)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(1))
    place.paths.control_socket.unlink(missing_ok=True)
    began = time.monotonic()
    sequencer = start("_sequence", "--data", str(data))
    serving(place, sequencer)
    writer = start("_write", "--data", str(data))
    while not stopping and writer.poll() is None and sequencer.poll() is None:
        time.sleep(0.2)
    writer.terminate()
    if sequencer.poll() is None:
        while writer.poll() is None:
            time.sleep(0.1)
    sequencer.terminate()
    wrote, took = end(writer), end(sequencer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    size = place.size()
    return {
        "leaves": size,
        "of": place.records,
        "this_time_s": round(time.monotonic() - began, 1),
        "disk_bytes_per_record": round(took["disk_bytes"] / size),
        "writer": wrote,
        "sequencer": took,
    }


def live(place: Place, rate: float, times: int) -> dict[str, Any]:
    """Ask while records arrive."""
    since, began = ask.latest(place), time.monotonic()
    words = ["--data", str(place.paths.root), "--live", since, "--began", str(began)]
    place.paths.control_socket.unlink(missing_ok=True)
    sequencer = start("_sequence", *words)
    try:
        serving(place, sequencer)
        writer = start("_write", *words, "--rate", str(rate))
        try:
            time.sleep(5)
            answers = ask.run(place, times)
        finally:
            writer.terminate()
        arrived = end(writer)
    finally:
        sequencer.terminate()
    return {"arriving": arrived, "sequencer": end(sequencer), "questions": answers}


def questions(data: Path, times: int, rate: float | None, *, duckdb: bool) -> dict[str, Any]:
    """Ask everything that was asked for."""
    place = Place(data)
    result: dict[str, Any] = {"leaves": place.size(), "machine": ask.machine()}
    result["alone"] = ask.run(place, times)
    if duckdb:
        from big import duck

        result["duckdb"] = duck.run(place, times)
    if rate is not None:
        result["live"] = live(place, rate, times)
    return result


def main() -> int:
    """Do what the words say, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("verb", nargs="?", default="both",
                        choices=["fill", "ask", "both", "_sequence", "_write"])  # fmt: skip
    parser.add_argument("--data", type=Path)
    parser.add_argument("--records", type=int)
    parser.add_argument("--days", type=int)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--live", default="")
    parser.add_argument("--began", type=float, default=0.0)
    parser.add_argument("--duckdb", action="store_true")
    given = parser.parse_args()
    if given.verb == "both":
        with tempfile.TemporaryDirectory(dir=given.data) as name:
            result = {"fill": fill(Path(name), given.records or 100_000, given.days)}
            result |= questions(Path(name), given.times, 1_000.0, duckdb=given.duckdb)
            print(json.dumps(result, indent=1))
        return 0
    if given.data is None:
        parser.error("--data is needed")
    if given.verb == "_sequence":
        return sequence.run(Place(given.data), live=given.live, began=given.began)
    if given.verb == "_write":
        place = Place(given.data)
        return write.run(place, live=given.live, began=given.began, rate=given.rate)
    if given.verb == "fill":
        result = fill(given.data, given.records, given.days)
    else:
        rate = float(given.live) if given.live else None
        result = questions(given.data, given.times, rate, duckdb=given.duckdb)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
