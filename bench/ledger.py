"""The ledger beside a plain file, in one run: durable records a second, heads, fsck.

    python bench/ledger.py [--records 60000] [--group 500] [--directory DIR] [--chains 200000]
        > out.json

Records are exchanges of sessions of eight turns with a model, an actor, a key, a tool and a
source each, so about 7.7 links a record and leaves of about 900 bytes. "ledger" is prepare and
commit of one group after the other: staged and synced, state.db (encrypted, synchronous=FULL)
moved, tiles and checkpoint published five times a second, heads every three. "file" appends the
very same bytes of leaves and links to a file, one fdatasync a group. Making the records is not
timed. "alone" is prepare without any disk. The directory decides which disk is measured; figures
are ratios within this run and nothing more.
"""

import argparse
import gc
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affidavit import ids
from affidavit.clock import SystemClock
from affidavit.durable import Disk, open_database
from affidavit.ledger import fsck
from affidavit.ledger.chains import NO_PREVIOUS, make_link
from affidavit.ledger.heads import HeadsMap
from affidavit.ledger.log import Log
from affidavit.ledger.note import Signer
from affidavit.ledger.plan import Plan, Submission
from affidavit.record.disclose import disclose
from affidavit.record.model import Chain, Record

TURNS = 8


class Traffic:
    """Sessions that go on for eight exchanges; 200 actors, 40 keys, 6 models, 12 tools."""

    def __init__(self) -> None:
        self.writer = ids.b64u(ids.salt())
        self.n = 0
        self.sessions = 0

    def groups(self, records: int, size: int) -> Iterator[list[Submission]]:
        """Groups of requests and responses, as journals give them."""
        made: list[Submission] = []
        while self.n < records:
            self.sessions += 1
            for turn in range(TURNS):
                made += self._exchange(self.sessions, turn)
                if len(made) >= size:
                    yield made[:size]
                    made = made[size:]

    def _exchange(self, session: int, turn: int) -> list[Submission]:
        tenant = f"tenant-{session % 3}"
        chains = (
            Chain(tenant, "model", f"model-{session % 6}"),
            Chain(tenant, "actor", f"actor-{session % 200}"),
            Chain(tenant, "session", f"session-{session}"),
            Chain(tenant, "key", f"key-{session % 40}"),
            Chain(tenant, "source", f"source-{session % 5}"),
            Chain(tenant, "prompt", f"prompt-{session % 9}"),
        )
        asked = self._record("exchange.request", tenant, chains, turn, None)
        served = (*chains, Chain(tenant, "tool", f"tool-{session % 12}"))
        answer = self._record("exchange.response", tenant, served, turn, asked.record.id)
        return [asked, answer]

    def _record(
        self, kind: str, tenant: str, chains: tuple[Chain, ...], turn: int, parent: str | None
    ) -> Submission:
        sections = (
            disclose("who", {"tenant": tenant, "actor": chains[1].value, "turn": turn}),
            None,
            disclose("what", {"gen_ai.request.model": chains[0].value, "x": "y" * 300}),
            disclose("context", {"gateway": "bench" * 10}),
            disclose("control", {"decision": "allow"}),
            disclose("outcome", {"outcome": "complete"}) if parent else None,
            disclose("content", {"parts": [{"digest": "d" * 43}]}),
        )
        self.n += 1
        record = Record(
            ids.record_id(), kind, SystemClock().now(), "observed", tenant, "default",
            sections, chains, (), parent,
        )  # fmt: skip
        return Submission((self.writer, self.n - 1), record)


def bench_ledger(directory: Path, records: int, group: int) -> dict[str, Any]:
    """Prepare and commit all groups; the plain file takes the same bytes."""
    connection = open_database(directory / "state.db", ids.key())
    signer = Signer("bench.example/log", ids.key())
    secret = ids.key()
    start = time.perf_counter()
    log = Log.open(Disk(), directory / "log", connection, signer, lambda _: secret, SystemClock())
    opened = time.perf_counter() - start
    plain = Disk().create_append(directory / "plain")
    prepared = committed = cpu = 0.0
    slowest = filed = 0.0
    leaves = links = count = size = 0
    gc.collect()
    gc.freeze()
    gc.disable()  # the sequencer collects between groups, not within one
    for batch in Traffic().groups(records, group):
        spent = time.process_time()
        started = time.perf_counter()
        plan: Plan = log.prepare(batch)
        middle = time.perf_counter()
        log.commit(plan)
        ended = time.perf_counter()
        cpu += time.process_time() - spent
        prepared += middle - started
        committed += ended - middle
        slowest = max(slowest, ended - started)
        data = b"".join(plan.entries) + b"".join(plan.links)
        started = time.perf_counter()
        plain.write_buffered(data)
        plain.sync()
        filed += time.perf_counter() - started
        count += len(plan.placed)
        leaves += sum(len(placed.leaf) for placed in plan.placed)
        links += sum(len(placed.links) for placed in plan.placed)
        size = log.size
        gc.collect(0)
    gc.enable()
    start = time.perf_counter()
    log.publish()
    log.close()
    closing = time.perf_counter() - start
    connection.close()
    start = time.perf_counter()
    report = fsck.check(directory / "log", signer.verifier())
    checking = time.perf_counter() - start
    assert report.ok, report.first
    total = prepared + committed
    return {
        "records": count,
        "group": group,
        "links_per_record": round(links / count, 2),
        "leaf_bytes": round(leaves / count),
        "ledger_records_per_s": round(count / total),
        "file_records_per_s": round(count / filed),
        "alone_records_per_s": round(count / prepared),
        "prepare_us_per_record": round(prepared / count * 1e6, 1),
        "commit_us_per_record": round(committed / count * 1e6, 1),
        "cpu_us_per_record": round(cpu / count * 1e6, 1),
        "records_per_cpu_s": round(count / cpu),
        "slowest_group_ms": round(slowest * 1e3, 1),
        "open_s": round(opened, 3),
        "close_s": round(closing, 3),
        "fsck_leaves_per_s": round(size / checking),
    }


def bench_heads(chains: int, touched: int) -> dict[str, Any]:
    """A map of many chains: built at once, and with some of them changed."""
    values = {}
    for number in range(chains):
        key = b"\x00" + hashlib.sha256(number.to_bytes(8, "big")).digest()[:16]
        values[key] = number.to_bytes(8, "big") + make_link(bytes(16), key, 1, NO_PREVIOUS)
    gc.collect()
    gc.freeze()
    gc.disable()
    start = time.perf_counter()
    made = HeadsMap.build(values)
    built = time.perf_counter() - start
    changes = [
        (key, (chains + 1).to_bytes(8, "big") + value[8:])
        for key, value in list(values.items())[:touched]
    ]
    start = time.perf_counter()
    made.adopt(made.advance(changes))
    changed = time.perf_counter() - start
    gc.enable()
    return {
        "chains": chains,
        "touched": touched,
        "build_s": round(built, 2),
        "touched_s": round(changed, 3),
        "bits": made.bits,
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--group", type=int, default=500)
    parser.add_argument("--chains", type=int, default=200_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-ledger-") as place:
        print(f"on {options.directory}", file=sys.stderr)
        result = {
            "ledger": bench_ledger(Path(place), options.records, options.group),
            "heads": bench_heads(options.chains, 20_000),
        }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
