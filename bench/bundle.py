"""A bundle of very many records: time and memory to make and to verify it, and its size.

    python bench/bundle.py [--records 100000] [--directory DIR] > out.json

A log of ``--records`` records as in bench/ledger.py, all of one model, each with five or six
sections, which are all shown (content as digests). Made is the bundle of all of them, report and
the check before it is handed out included, in a process of its own; then it is verified by
``verify.py`` as a program. Told are CPU seconds (of this machine, whatever else runs), seconds by
the clock, and the largest resident size of each process. ``filling`` is no part of it. Sections
lie in memory while the bundle is made, so ``base_mb`` is what there was before it began.
"""

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import msgspec
from ledger import Traffic

from affidavit.clock import SystemClock
from affidavit.durable import Disk, open_database
from affidavit.evidence import bundle, verify
from affidavit.ledger.log import Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Signer
from affidavit.query.completeness import build
from affidavit.query.prover import LogProver
from affidavit.query.question import Question
from affidavit.record.model import Chain

GROUP = 500
CHAIN = Chain("tenant-0", "model", "model-x")
SHOWN = "shown.pickle"


def opened(place: Path) -> Log:
    """The ledger in ``place``, made where it is not; its keys are no secret."""
    connection = open_database(place / "state.db", bytes(32))
    signer = Signer("bench.example/log", bytes(32))
    return Log.open(Disk(), place / "log", connection, signer, lambda _: bytes(32), SystemClock())


def fill(place: Path, records: int) -> None:
    """Commit the records and keep their disclosures beside the log."""
    log = opened(place)
    shown: dict[int, tuple[str | None, ...]] = {}
    traffic = Traffic()
    for group in traffic.groups(records, GROUP):
        batch = [
            one._replace(
                record=msgspec.structs.replace(
                    one.record, tenant=CHAIN.tenant, chains=(CHAIN, *one.record.chains[1:])
                )
            )
            for one in group
        ]
        plan = log.prepare(batch)
        log.commit(plan)
        for placed in plan.placed:
            shown[placed.index] = placed.record.sections
    log.ensure_heads_after(log.size - 1)
    log.commit(log.prepare([]))
    log.publish()
    log.close()
    (place / SHOWN).write_bytes(pickle.dumps(shown))


def megabytes() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def make(place: Path) -> dict[str, Any]:
    """Make the bundle; in a process of its own."""
    shown = pickle.loads((place / SHOWN).read_bytes())
    log = opened(place)
    reader = LogReader(place / "log")
    base, cpu, clock = megabytes(), time.process_time(), time.perf_counter()
    answer = build(reader, LogProver(log), Question(f"model:{CHAIN.value}", (CHAIN,)))
    built = time.process_time() - cpu
    made = bundle.make(
        answer,
        lambda index: bundle.Shown(shown.get(index, bundle.NOTHING.disclosures)),
        choice=bundle.Choice(),
        boundary={},
        made=SystemClock().now(),
        policy=verify.read_keys([log.vkey]),
    )
    bundle.write(Disk(), place / "evidence.zip", made)
    told = {
        "records": made.counts["records"],
        "answer_cpu_s": round(built, 1),
        "make_cpu_s": round(time.process_time() - cpu, 1),
        "make_s": round(time.perf_counter() - clock, 1),
        "base_mb": base,
        "peak_mb": megabytes(),
        "vkey": log.vkey,
        "completeness": made.verdict[1],
    }
    log.close()
    return told


def check(place: Path, vkey: str) -> dict[str, Any]:
    """Verify it by the program that is in it."""
    file, program = place / "evidence.zip", place / "verify.py"
    members = verify.read_zip(file.read_bytes())
    program.write_bytes(members["verify.py"])
    sizes = {name: len(body) for name, body in members.items() if len(body) > 100_000}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, "-I", str(program), str(file), "--key", vkey, "--json"]
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "size_mb": round(file.stat().st_size / 1e6, 1),
        "bytes_by_member": sizes,
        "verify_cpu_s": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        "verify_s": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Fill, make, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--check", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--vkey", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make is not None:
        print(json.dumps(make(options.make)))
        return
    if options.check is not None:
        told = check(options.check, options.vkey)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        print(json.dumps({**told, "verify_peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        place = Path(name)
        start = time.perf_counter()
        fill(place, options.records)
        result: dict[str, Any] = {"filling_s": round(time.perf_counter() - start, 1)}
        for step in ("--make", "--check"):
            words = [sys.executable, __file__, step, str(place), "--vkey", result.get("vkey", "")]
            result |= json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
