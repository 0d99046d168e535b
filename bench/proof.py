"""How large a complete answer is, and how long it takes to verify, in a log of many leaves.

    python bench/proof.py [--leaves 200000] [--results 100] [--directory DIR] > out.json
    python bench/proof.py --data DIR > out.json      a directory that bench/questions.py has filled

A log of ``leaves`` leaves of traffic as in bench/ledger.py, in which one model has ``results``
records spread over all of it. Measured are the answer about that model (bytes by member, without
``verify.py``, the report and texts; nothing is disclosed, so this is proof alone), the time to make
it, and to verify it by ``verify.check`` in this process and by ``verify.py`` as a program of its
own. A second answer, about a model with many records, gives verification in records a second.
With ``--data`` nothing is filled: the rare model there has 100 records among all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import msgspec
from big import traffic
from big.place import FillClock, Place
from ledger import Traffic, open_log

from affidavit import durable
from affidavit.app import opening
from affidavit.clock import SystemClock
from affidavit.evidence import bundle, verify
from affidavit.ledger.log import Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Signer
from affidavit.ledger.plan import Submission
from affidavit.query.completeness import build
from affidavit.query.prover import LogProver
from affidavit.query.question import Question
from affidavit.record.model import Chain

GROUP = 500
RARE = Chain("tenant-0", "model", traffic.RARE)
MANY = 500_000
"""The second answer is about the records of a common model before the leaf of that index."""
PROOF = ("leaves.jsonl", "links.jsonl", "chains.jsonl", "proofs/inclusion", "checkpoint")


def fill(log: Log, leaves: int, results: int) -> None:
    """Commit that much traffic; one record in so many is about the rare model."""
    step, due, made = max(1, leaves // results), 0, 0
    traffic = Traffic()
    for group in traffic.groups(leaves, GROUP):
        batch: list[Submission] = []
        for submission in group:
            record = submission.record
            if made < results and submission.src[1] >= due and record.type == "exchange.request":
                chains = (RARE, *record.chains[1:])
                record = msgspec.structs.replace(record, tenant=RARE.tenant, chains=chains)
                made, due = made + 1, due + step
            batch.append(submission._replace(record=record))
        log.commit(log.prepare(batch))
    log.ensure_heads_after(log.size - 1)
    log.commit(log.prepare([]))
    log.publish()


def measured(log: Log, reader: LogReader, chain: Chain, until: str, place: Path) -> dict[str, Any]:
    """Make and verify the answer about one chain."""
    question = Question(f"model:{chain.value}", (chain,), until=until)
    start = time.perf_counter()
    answer = build(reader, LogProver(log), question)
    made = bundle.make(
        answer,
        lambda _: bundle.NOTHING,
        choice=bundle.Choice(),
        boundary={},
        made=SystemClock().now(),
        policy=verify.read_keys([log.vkey]),
    )
    making = time.perf_counter() - start
    start = time.perf_counter()
    verdict = verify.check(made.data, verify.read_keys([log.vkey]))
    checking = time.perf_counter() - start
    file = place / "evidence.zip"
    file.write_bytes(made.data)
    program = place / "verify.py"
    members = verify.read_zip(made.data)
    program.write_bytes(members["verify.py"])
    start = time.perf_counter()
    words = [sys.executable, "-I", str(program), str(file), "--key", log.vkey]
    subprocess.run(words, check=True, capture_output=True)
    alone = time.perf_counter() - start
    records = verdict.facts["counts"]["records"]
    sizes = {name: len(members[name]) for name in PROOF}
    sizes["heads"] = sum(len(body) for name, body in members.items() if name[:6] == "heads/")
    total = sum(sizes.values())
    return {
        "records": records,
        "proof_bytes": total,
        "proof_bytes_per_record": round(total / records),
        "bytes_by_member": sizes,
        "make_s": round(making, 3),
        "verify_in_process_s": round(checking, 4),
        "verify_py_alone_s": round(alone, 3),
        "verified_records_per_s": round(records / checking),
        "verified_records_per_s_by_verify_py": round(records / alone),
    }


def answers(log: Log, reader: LogReader, place: Path) -> dict[str, Any]:
    """Both answers of a log."""
    until = reader.decoded(min(log.size - 1, MANY)).time
    return {
        "leaves": log.size,
        "rare": measured(log, reader, RARE, "", place),
        "common": measured(log, reader, Chain("tenant-0", "model", "model-0"), until, place),
    }


def filled(data: Path) -> dict[str, Any]:
    """The answers of a directory that bench/questions.py has filled; its sequencer is not there."""
    place = Place(data)
    clock = FillClock(place, place.size())
    paths = place.paths
    with place.disk.locked(paths.sequencer_lock, "bench"):
        keyring = opening.owner(paths, place.disk, clock)
        start = time.perf_counter()
        log = Log.open(
            place.disk,
            paths.log,
            durable.open_database(paths.state, keyring.database_key("state.db")),
            Signer(place.config().log.origin, keyring.secret("log/seed")),
            lambda index: keyring.secret(f"epoch/{index}"),
            clock,
        )
        opened = time.perf_counter() - start
        clock.number = log.size
        while log.ensure_heads_after(log.size - 2) is None:
            time.sleep(0.1)
        log.publish()
        with tempfile.TemporaryDirectory() as name:
            result = {"opened_s": round(opened, 1)} | answers(log, place.log(), Path(name))
        log.close()
        keyring.close()
    return result


def main() -> None:
    """Fill, ask twice, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=200_000)
    parser.add_argument("--results", type=int, default=100)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.data is not None:
        print(json.dumps(filled(options.data), indent=1))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        place = Path(name)
        log = open_log(place)
        start = time.perf_counter()
        fill(log, options.leaves, options.results)
        took = time.perf_counter() - start
        result = {"filled_s": round(took, 1)} | answers(log, LogReader(place / "log"), place)
        log.close()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
