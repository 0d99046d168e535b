"""What a log takes on disk: with partial tiles, when they are collected, when it is pruned; fsck.

    python bench/size.py [--leaves 10000] [--each 5] [--directory DIR] > out.json

A log of traffic as in bench/ledger.py, of which every ``each`` leaves are published by a checkpoint
of their own, as at a low rate of records; nothing is cleared away while it grows. Then the partial
tiles of full ones are collected (``ledger.collect``), as the sequencer does at its start and every
hour. Bytes are what files take up on this disk, in blocks. "fsck" checks the same log afterwards:
leaves a second by time and by CPU, and the memory it took at most. Last, nine tenths of it are
pruned (``ledger.prune``), without the rests in between.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ledger import Traffic, open_log, size_of

from affidavit.durable import Disk
from affidavit.ledger import fsck, prune, tiles
from affidavit.ledger.collect import collect
from affidavit.ledger.note import Verifier
from affidavit.ledger.publish import Publisher

ROWS = ("tile/entries", "links", "tile/0", "tile/1", "kept", "pruned")
PLACES = ("tile", "links", "kept", "pruned")


def measure(root: Path, size: int) -> dict[str, Any]:
    """Files, and bytes per leaf in all and by row."""
    return {
        "files": sum(1 for path in root.rglob("*") if path.is_file()),
        "bytes_per_leaf": round(sum(size_of(root / row) for row in PLACES) / size, 1),
        "by_row": {row: round(size_of(root / row) / size, 1) for row in ROWS},
    }


def bench_tiles(directory: Path, leaves: int, each: int) -> dict[str, Any]:
    """Publish often, clear nothing away, then collect."""
    log = open_log(directory)
    with patch.object(Publisher, "_clean"):
        for batch in Traffic().groups(leaves, each):
            log.commit(log.prepare(batch))
            log.publish()
    size, root = log.size, directory / "log"
    before = measure(root, size)
    started = time.perf_counter()
    removed = sum(collect(Disk(), root, size))
    took = time.perf_counter() - started
    after = measure(root, size)
    keys = Verifier.from_vkey(log.vkey)
    log.close()
    started, spent = time.perf_counter(), time.process_time()
    report = fsck.check(root, keys)
    took_fsck, cpu = time.perf_counter() - started, time.process_time() - spent
    assert report.ok, report.first
    pruned = bench_prune(root, size)
    return {
        "leaves": size,
        "checkpoints": leaves // each,
        "uncollected": before,
        "collected": after,
        "removed_files": removed,
        "collecting_s": round(took, 2),
        "fsck": {
            "leaves_per_s": round(report.size / took_fsck),
            "leaves_per_cpu_s": round(report.size / cpu),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        },
        "pruned": pruned,
    }


def bench_prune(root: Path, size: int) -> dict[str, Any]:
    """Prune nine tenths; what is left, and how long the preparation and the removal took."""
    before = size * 9 // 10 // tiles.WIDTH * tiles.WIDTH
    with patch.object(prune, "REST", 0.0):
        started = time.perf_counter()
        expired = prune.prepare(Disk(), root, before, lambda *_: None)
        prepared = time.perf_counter() - started
    prune.commit(Disk(), root, before)
    removed = sum(prune.remove(Disk(), root))
    took = time.perf_counter() - started - prepared
    report = fsck.check(root, None)
    assert report.ok, report.first
    return {
        "minimum": before,
        "kept_leaves": expired.kept,
        "preparing_leaves_per_s": round(before / prepared),
        "removed_files": removed,
        "removing_s": round(took, 2),
        **measure(root, size),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--leaves", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-size-") as place:
        print(f"on {options.directory}", file=sys.stderr)
        result = bench_tiles(Path(place), options.leaves, options.each)
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
