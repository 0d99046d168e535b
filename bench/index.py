"""What the index takes and how fast it answers; one JSON object on stdout.

    python bench/index.py [--records 100000] [--batch 100] [--directory DIR]

Records are invented: exchanges in sessions of ten, 40 models and a rare one, 500 people, four
tenants, 60 words of text a side, two tool calls in ten. Rates are at full speed, where ``apply``
waits for the text writer; ``apply_unhurried`` is one batch when it has not to wait. Latencies are
of ``Searcher.run`` while nothing is written, over 90 days of ledger time, p50 and p95 of 200
questions each, in milliseconds.
"""

import argparse
import hashlib
import itertools
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

from affidavit.clock import from_unix_us
from affidavit.ids import record_id
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary
from affidavit.query.fields import FIELDS
from affidavit.query.known import KnownValues
from affidavit.query.language import parse
from affidavit.query.search import Searcher
from affidavit.query.sums import wanted
from affidavit.record.disclose import disclose
from affidavit.record.model import SECTIONS, Part, Placed, Record

DAYS = 90
KEY = hashlib.sha256(b"bench").digest()
WORDS = [f"word{number}" for number in range(5_000)]
draw = random.Random(7)


def sentence() -> str:
    """Sixty words, the common ones more often; one in 50,000 texts holds the rare phrase."""
    words = [WORDS[min(int(draw.expovariate(0.002)), 4_999)] for _ in range(60)]
    if draw.random() < 1 / 50_000:
        words[10:12] = ["quokka", "manifesto"]
    return " ".join(words)


def made(count: int) -> Iterator[Placed]:
    """Requests, each followed by its response, over 90 days up to now."""
    step = DAYS * 86_400_000_000 // count
    start = 1_795_000_000_000_000 - DAYS * 86_400_000_000
    history: dict[str, list[dict[str, str]]] = {}
    for index in range(0, count, 2):
        person = draw.randrange(500)
        session = f"ses_{index // 20:09d}"
        model = "rare-model" if draw.random() < 0.0005 else f"model-{draw.randrange(40)}"
        turns = history.setdefault(session, [])
        turns.append({"role": "user", "content": sentence()})
        who = {
            "tenant": f"tenant-{person % 4}", "actor": f"act_{person:05d}", "kind": "person",
            "role": "caller", "groups": [], "team": f"team-{person % 20}",
            "credential": f"key_{person:05d}", "authenticated_by": "key", "assurance": "key",
            "session": session, "session_source": "header",
        }  # fmt: skip
        headers = [["content-type", "application/json"], ["user-agent", "bench"]]
        what = {
            "provider": "openai", "dialect": "openai", "api": "chat.completions",
            "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
            "http.request.method": "POST", "url.path": "/v1/chat/completions",
            "http.request.headers": headers, "parsed": "yes",
        }  # fmt: skip
        body = msgspec.json.encode({"model": model, "messages": turns})
        people = {"email": f"person{person}@example.com", "name": f"Person {person}"}
        yield placed(
            index, start + index * step, "exchange.request",
            {"who": who, "person": people, "what": what, "context": {"gateway": {}},
             "control": {"decision": "allow", "reasons": [], "policy": "none"}},
            ("request.body", body), None,
        )  # fmt: skip
        said = sentence()
        turns.append({"role": "assistant", "content": said})
        tools = ["search"] if draw.random() < 0.2 else []
        served = {"gen_ai.response.model": f"{model}-2026-08", "tools_called": tools,
                  "http.response.headers": headers}  # fmt: skip
        outcome = {
            "outcome": "complete" if draw.random() < 0.98 else "client_gone",
            "http.response.status_code": 200, "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": draw.randrange(9_000),
            "gen_ai.usage.output_tokens": draw.randrange(900), "duration": draw.random() * 9,
        }  # fmt: skip
        answer = msgspec.json.encode({
            "id": "c", "object": "chat.completion", "model": f"{model}-2026-08",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": said}}],
        })  # fmt: skip
        yield placed(
            index + 1, start + (index + 1) * step, "exchange.response",
            {"what": served, "outcome": outcome}, ("response.body", answer), index,
        )  # fmt: skip


def placed(
    index: int, when: int, kind: str, sections: dict[str, object], body: tuple[str, bytes],
    re: int | None,
) -> Placed:  # fmt: skip
    """A placed record; its digests are not looked at here."""
    time_text = from_unix_us(when)
    record = Record(
        id=record_id(), type=kind, at=time_text, tier="observed", tenant="t",
        retention_class="default",
        sections=tuple(
            disclose(name, sections[name]) if name in sections else None for name in SECTIONS
        ),
        chains=(), parts=(Part(body[0], "application/json", len(body[1]), b"", b""),),
    )  # fmt: skip
    digests = [None if text is None else "x" * 43 for text in record.sections]
    leaf = msgspec.json.encode({"sections": digests})
    return Placed(
        index=index, time=time_text, re=re, src=("b" * 22, index), record=record,
        bodies=(body[1],), leaf=leaf, links=(),
    )  # fmt: skip


def timed(ask: Callable[[], object], times: int = 200) -> dict[str, float]:
    """p50 and p95 of one question, in milliseconds."""
    ask()
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        ask()
        spent.append((time.perf_counter() - begin) * 1_000)
    spent.sort()
    return {"p50_ms": round(spent[times // 2], 3), "p95_ms": round(spent[times * 95 // 100], 3)}


QUESTIONS = {
    "headline: rare model in 90 days": "model:rare-model since:90d",
    "common model in 90 days": "model:model-7 since:90d",
    "a person's refused or broken exchanges": "actor:person42@example.com -status:complete",
    "rare outcome": "status:client_gone since:30d",
    "rare phrase": '"quokka manifesto"',
    "common words": '"word3"',
    "a session": "session:ses_000000100",
    "two models or a tool": "(model:model-3 OR model:rare-model) tool:search",
    "condition without an index": "tokens>9800",
    "nothing but newest": "",
}


def main() -> None:
    """Index, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as name:
        directory = Path(name)
        indexer = Indexer(directory, KEY)
        indexer.start()
        unhurried: list[float] = []
        cpu: list[float] = []
        size, working, used = 0, 0.0, time.process_time()
        making = 0.0
        source = made(given.records)
        while True:
            begin = time.process_time()
            batch = list(itertools.islice(source, given.batch))
            making += time.process_time() - begin
            if not batch:
                break
            size += len(batch)
            alone = size // given.batch % 20 == 0
            if alone:
                indexer.settle()
            begin, own = time.perf_counter(), time.thread_time()
            indexer.apply(batch, size, b"root")
            spent = time.perf_counter() - begin
            if alone:
                unhurried.append(spent)
                cpu.append(time.thread_time() - own)
            else:
                working += spent
        indexer.settle()
        used = time.process_time() - used - making
        indexer.close()
        unhurried.sort()
        cpu.sort()
        searcher = Searcher(Reader(directory, KEY), None)
        owner = boundary.owner("bench")
        now = from_unix_us(1_795_000_000_000_000)
        answers = {}
        for what, text in QUESTIONS.items():
            tree = parse(text, now)
            page = searcher.run(tree, owner)
            ask = lambda tree=tree: searcher.run(tree, owner)  # noqa: E731
            answers[what] = {
                "expression": text, "rows": len(page.rows), "count": page.count, **timed(ask),
            }  # fmt: skip
        offered = timed(
            lambda: KnownValues(searcher.reader, time.monotonic).of(FIELDS["model"], owner), 20
        )
        sums = {
            " ".join([*by, "with percentiles" * latency]): timed(
                lambda by=by, latency=latency: searcher.aggregate(
                    parse("since:90d", now), owner, wanted(by, latency=latency)
                ),
                20,
            )
            for by in ((), ("model",), ("day", "model"), ("actor",), ("hour",))
            for latency in (False, True)
        }
        sizes = {file: (directory / file).stat().st_size for file in ("index.db", "text.db")}
    result = {
        "records": given.records,
        "batch": given.batch,
        "rows_and_text_per_s": round(given.records * 19 / 20 / working),
        "cpu_us_per_record": round(used / given.records * 1_000_000),
        "apply_unhurried_cpu_p50_ms": round(cpu[len(cpu) // 2] * 1_000, 2),
        "apply_unhurried_p50_ms": round(unhurried[len(unhurried) // 2] * 1_000, 2),
        "apply_unhurried_p95_ms": round(unhurried[len(unhurried) * 95 // 100] * 1_000, 2),
        "questions": answers,
        "completion, one look at recent records": offered,
        "sums by": sums,
        "bytes_per_record": {k: round(v / given.records) for k, v in sizes.items()},
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(),
                    "load": os.getloadavg()},
    }  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
