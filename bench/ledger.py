"""The ledger beside plainer ways to keep the same bytes, in one run; and what heads cost it.

    python bench/ledger.py [--records 60000] [--group 500] [--directory DIR] [--chains 1000000]
        > out.json

Records are exchanges of sessions of eight turns with a model, an actor, a key, a tool and a
source each, so about 7.7 links a record and leaves of about 900 bytes. "ledger" is prepare and
commit of one group after the other: staged and synced, state.db (encrypted, synchronous=FULL)
moved, tiles and checkpoint published five times a second, heads every three. The very same bytes
of leaves and links go, group by group between those of the ledger, to "file", one fdatasync a
group; to "sqlite", one encrypted database, synchronous=FULL, one transaction a group; and to
"pymerkle" (its SQLite tree, bulk append, if it is installed). Making the records is not timed.
"alone" is prepare without any disk. "heads" works out a map of ``--chains`` chains and 20,000
changes to it; "stall" fills a ledger with as many, then commits groups of records that touch
chains at random, and says how long they took, those with a heads leaf apart. The directory
decides which disk is measured; figures are ratios within this run and nothing more.
"""

import argparse
import gc
import hashlib
import importlib.util
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from affidavit import ids
from affidavit.app.ready import settle
from affidavit.clock import SystemClock
from affidavit.durable import Disk, open_database
from affidavit.ledger import fsck
from affidavit.ledger.chains import NO_PREVIOUS, make_link
from affidavit.ledger.heads import HeadsMap
from affidavit.ledger.log import Log
from affidavit.ledger.note import Signer, Verifier
from affidavit.ledger.plan import Plan, Submission
from affidavit.record.disclose import disclose
from affidavit.record.model import Chain, Record

TURNS = 8
EVERY = ("model", "actor", "session", "key", "tool", "source", "prompt", "subject")
"""The dimensions along which "stall" makes its chains, eight values a record in each."""

STALL_GROUP = 200
STALL_HEADS = 4
"""How many heads leaves "stall" waits for."""


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


Beside = Callable[[Plan], None]
"""Keeps the bytes of a batch in another way; durable on return."""


def beside_ledger(directory: Path) -> dict[str, Beside]:
    """The other ways there are on this machine, by name."""
    plain = Disk().create_append(directory / "plain")
    database = open_database(directory / "beside.db", ids.key())
    database.execute("CREATE TABLE leaf (idx INTEGER PRIMARY KEY, entry BLOB, links BLOB)")

    def file(plan: Plan) -> None:
        plain.write_buffered(b"".join(plan.entries) + b"".join(plan.links))
        plain.sync()

    def sqlite(plan: Plan) -> None:
        rows = zip(range(plan.base, plan.tree.size), plan.entries, plan.links, strict=True)
        with database:
            database.executemany("INSERT INTO leaf VALUES (?, ?, ?)", rows)

    found: dict[str, Beside] = {"file": file, "sqlite": sqlite}
    if importlib.util.find_spec("pymerkle"):
        tree = importlib.import_module("pymerkle").SqliteTree(str(directory / "pymerkle.db"))
        tree.con.execute("PRAGMA journal_mode = WAL")
        tree.con.execute("PRAGMA synchronous = FULL")
        found["pymerkle"] = lambda plan: tree.append_entries(
            [entry + links for entry, links in zip(plan.entries, plan.links, strict=True)]
        )
    return found


def open_log(directory: Path) -> Log:
    """A new ledger in ``directory``, its state.db beside it."""
    connection = open_database(directory / "state.db", ids.key())
    secret = ids.key()
    signer = Signer("bench.example/log", ids.key())
    return Log.open(Disk(), directory / "log", connection, signer, lambda _: secret, SystemClock())


def size_of(directory: Path) -> int:
    """Bytes that all files below ``directory`` take up on disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def resident() -> int:
    """Bytes of memory that this process has just now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def bench_ledger(directory: Path, records: int, group: int) -> dict[str, Any]:
    """Prepare and commit all groups; the other ways take the same bytes."""
    start = time.perf_counter()
    log = open_log(directory)
    opened = time.perf_counter() - start
    others = beside_ledger(directory)
    took = dict.fromkeys(others, 0.0)
    prepared = committed = cpu = 0.0
    slowest = 0.0
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
        for name, keep in others.items():
            started = time.perf_counter()
            keep(plan)
            took[name] += time.perf_counter() - started
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
    start = time.perf_counter()
    report = fsck.check(directory / "log", Verifier.from_vkey(log.vkey))
    checking = time.perf_counter() - start
    assert report.ok, report.first
    total = prepared + committed
    return {
        "records": count,
        "group": group,
        "links_per_record": round(links / count, 2),
        "leaf_bytes": round(leaves / count),
        "disk_bytes_per_leaf": {
            "log": round(size_of(directory / "log") / size),
            "state": round(sum(p.stat().st_size for p in directory.glob("state.db*")) / size),
        },
        "ledger_records_per_s": round(count / total),
        "beside_records_per_s": {
            name: round(count / took[name]) if name in took else "not measured: not installed"
            for name in ("file", "sqlite", "pymerkle")
        },
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


def bench_stall(directory: Path, chains: int) -> dict[str, Any]:
    """How long commits take at that many chains while heads are committed, and without."""
    log = open_log(directory)
    writer, n = ids.b64u(ids.salt()), 0
    sections = (disclose("who", {"actor": "somebody"}), *[None] * 6)
    draw = random.Random(7)

    def commit(values: list[list[int]]) -> tuple[float, bool]:
        nonlocal n
        batch = []
        for row in values:
            named = tuple(Chain("t", name, f"v{value}") for name in EVERY for value in row)
            record = Record(
                ids.record_id(), "custom", SystemClock().now(), "observed", "t", "default",
                sections, named,
            )  # fmt: skip
            batch.append(Submission((writer, n), record))
            n += 1
        start = time.perf_counter()
        plan = log.prepare(batch)
        log.commit(plan)
        return time.perf_counter() - start, plan.heads

    before = resident()
    rows = chains // (8 * len(EVERY))
    for first in range(0, rows, 100):
        commit([list(range(8 * row, 8 * row + 8)) for row in range(first, min(rows, first + 100))])
    memory = resident() - before
    settle()
    spent: list[tuple[float, bool]] = []
    while sum(heads for _, heads in spent[1:]) < STALL_HEADS:
        spent.append(commit([[draw.randrange(8 * rows)] for _ in range(STALL_GROUP)]))
    usual = sorted(seconds for seconds, heads in spent if not heads)
    with_heads = sorted(seconds for seconds, heads in spent[1:] if heads)
    log.close()
    return {
        "chains": 8 * rows * len(EVERY),
        "memory_bytes_per_chain": round(memory / (8 * rows * len(EVERY))),
        "group": STALL_GROUP,
        "groups": len(spent),
        "usual_p50_ms": round(statistics.median(usual) * 1e3, 1),
        "usual_p99_ms": round(usual[len(usual) * 99 // 100] * 1e3, 1),
        "usual_max_ms": round(usual[-1] * 1e3, 1),
        "with_heads_ms": [round(seconds * 1e3, 1) for seconds in with_heads],
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--group", type=int, default=500)
    parser.add_argument("--chains", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-ledger-") as place:
        print(f"on {options.directory}", file=sys.stderr)
        result = {
            "ledger": bench_ledger(Path(place), options.records, options.group),
            "heads": bench_heads(options.chains, min(options.chains, 20_000)),
        }
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-ledger-") as place:
        result["stall"] = bench_stall(Path(place), options.chains)
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
