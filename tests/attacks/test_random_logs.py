"""G14 at random: no answer with an omission verifies, and every honest one does.

Each log is drawn from a seed: several epochs, equal times, hours of silence, gaps, records that
nobody could attribute, late and missing answers, source times that lag. Each question is drawn,
too: chains alone and together, of values, of types; windows by either clock with their edges on
records; records or a count. What the answer has to hold is said by a reader of everything who
knows nothing of chains. The one who leaves out has the log's files, and all digests, counts and
proofs fit what is left.
"""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.clock import add_seconds
from affidavit.evidence import bundle, verify
from affidavit.ids import b64u
from affidavit.query.completeness import Answer, batch_proof, build
from affidavit.query.prover import LogProver
from affidavit.query.question import Question
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.world import TENANT, World

MODELS = ["m1", "m2", "m3"]
ACTORS = ["act_a", "act_b"]
QUESTIONS = 4
"""Questions asked of each log."""


class Written:
    """A log drawn from a seed, and what a reader of everything knows of it."""

    def __init__(self, root: Path, draw: random.Random) -> None:
        self.world = World(root)
        self.draw = draw
        self.joined: dict[Chain, set[int]] = {}
        self.seen: set[Chain] = set()
        self.waiting: list[tuple[int, str, set[Chain]]] = []
        turn = draw.randrange(3, 30)
        for number in range(draw.randrange(4, 34)):
            if number == turn:
                self._settle()
                self.world.reopen((*DIMENSIONS, "region"))
                self.seen.clear()
                self.waiting = [(index, name, set()) for index, name, _ in self.waiting]
            self._step()
        self._settle()
        reader = self.world.reader
        self.leaves = [reader.decoded(index) for index in range(self.world.log.published)]

    def _settle(self) -> None:
        self.world.heads()
        self.world.clock.advance(2.0)

    def _step(self) -> None:
        draw, world = self.draw, self.world
        seconds = draw.choice([0.0, 0.0, 0.5, 4.0, 700.0])
        at = add_seconds(world.clock.now(), -draw.choice([0.0, 0.0, 200.0, 7000.0]))
        kind = draw.random()
        if kind < 0.45:
            model, actor = draw.choice([*MODELS, None]), draw.choice([*ACTORS, None])
            index, name = world.add(model=model, actor=actor, seconds=seconds, at=at, body=None)
            own = {Chain(TENANT, "type", "exchange.request")}
            own |= {Chain(TENANT, "model", model)} if model else set()
            own |= {Chain(TENANT, "actor", actor)} if actor else set()
            self._join(index, own, set())
            inherited = {c for c, members in self.joined.items() if index in members}
            self.waiting.append((index, name, {c for c in inherited if c.dimension != "type"}))
        elif kind < 0.75 and self.waiting:
            _, name, inherited = self.waiting.pop(draw.randrange(len(self.waiting)))
            model = draw.choice([*MODELS, None])
            index, _ = world.add(
                "exchange.response", model=model, actor=None, parent=name, seconds=seconds, at=at,
                body=None,
            )  # fmt: skip
            own = {Chain(TENANT, "type", "exchange.response")}
            own |= {Chain(TENANT, "model", model)} if model else set()
            self._join(index, own, inherited)
        elif kind < 0.85:
            world.add(
                "ledger.gap", model=None, actor=None, tenant="", body=None, who=None,
                seconds=seconds,
            )  # fmt: skip
        else:
            world.heads()

    def _join(self, index: int, own: set[Chain], inherited: set[Chain]) -> None:
        fresh = {Chain(c.tenant, f"{c.dimension}.values", "") for c in own - self.seen}
        self.seen |= own
        for chain in own | inherited | fresh:
            self.joined.setdefault(chain, set()).add(index)

    def question(self) -> Question:
        """One question, its window's edges on records or a microsecond beside them."""
        draw = self.draw
        every = [
            *(Chain(TENANT, "model", name) for name in [*MODELS, "never"]),
            *(Chain(TENANT, "actor", name) for name in ACTORS),
            Chain(TENANT, "model.values", ""), Chain(TENANT, "actor.values", ""),
            Chain(TENANT, "type", "exchange.request"), Chain(TENANT, "type", "exchange.response"),
        ]  # fmt: skip
        chains = tuple(sorted(draw.sample(every, draw.choice([1, 1, 1, 2, 3]))))
        source = draw.random() < 0.25
        times = [leaf.at if source else leaf.time for leaf in self.leaves]
        edges = sorted({add_seconds(t, d) for t in times for d in (-1e-6, 0.0, 1e-6)})
        since, until = sorted(draw.sample(edges, 2))
        since, until = draw.choice([since, since, ""]), draw.choice([until, until, ""])
        count = not source and draw.random() < 0.3
        return Question("x", chains, since, until, source_time=source, count=count)

    def expected(self, chain: Chain, asked: Question) -> set[int]:
        """What the answer to ``asked`` has to hold of a chain."""
        clock = "at" if asked.source_time else "time"
        return {
            index
            for index in self.joined.get(chain, ())
            if asked.since <= getattr(self.leaves[index], clock)
            and (not asked.until or getattr(self.leaves[index], clock) <= asked.until)
        }


def files_of(answer: Answer) -> dict[str, bytes]:
    """All members that a proof needs; nothing is disclosed."""
    return {**bundle._proof_members(answer), "disclosures.jsonl": b""}


def judge(files: dict[str, bytes], question: dict[str, Any], world: World | None) -> dict[str, Any]:
    """What the verifier finds in these members; ``Refused``. Without a world, unsigned."""
    answer = verify.Answer(files, question)
    counts = verify.count(answer, {}, [])
    size = int(files["checkpoint"].split(b"\n")[1])
    origin = files["checkpoint"].split(b"\n")[0].decode()
    manifest = {
        "origin": origin, "size": size, "question": question, "counts": counts, "made": "",
        "boundary": {}, "disclosed": {}, "sampling": None,
    }  # fmt: skip
    views = {name: memoryview(body) for name, body in files.items()}
    trust = verify.read_keys([world.vkey] if world else [])
    facts: dict[str, Any] = verify.judge(views, manifest, trust, verify.NO_TOOLS)[0].facts
    return facts


def leave_out(
    files: dict[str, bytes], answer: Answer, world: World, draw: random.Random
) -> dict[str, bytes]:
    """The members without some of what they show, all else made to fit."""
    left = dict(files)
    shown = sorted({index for index, _ in answer.links})
    what = draw.random()
    if what < 0.7 or not shown:
        gone = set(draw.sample(shown, draw.randint(1, min(3, len(shown))))) if shown else set()
        left["leaves.jsonl"] = _kept(files["leaves.jsonl"], "index", gone)
        left["links.jsonl"] = _kept(files["links.jsonl"], "leaf", gone)
    elif what < 0.85:
        lines = files["links.jsonl"].splitlines(keepends=True)
        lines.pop(draw.randrange(len(lines)))
        left["links.jsonl"] = b"".join(lines)
    else:
        del left[draw.choice([name for name in files if name.startswith("heads/")])]
    size = int(files["checkpoint"].split(b"\n")[1])
    kept = [json.loads(line)["index"] for line in left["leaves.jsonl"].splitlines()]
    proof = batch_proof(world.reader, kept, size)
    left["proofs/inclusion"] = b"".join(b64u(node).encode() + b"\n" for node in proof)
    return left


def _kept(data: bytes, field: str, gone: set[int]) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(line for line in lines if json.loads(line)[field] not in gone)


def one_log(place: Path, seed: int) -> Iterator[tuple[bool, int]]:
    """Ask one log all its questions: whether an omission was tried, and how much it omitted."""
    draw = random.Random(seed)
    written = Written(place / "log", draw)
    world = written.world
    try:
        for _ in range(QUESTIONS):
            asked = written.question()
            world.clock.advance(2.0)
            answer = build(world.reader, LogProver(world.log), asked)
            question = bundle._question(answer)
            files = files_of(answer)
            facts = judge(files, question, world)
            each = [written.expected(chain, answer.question) for chain in asked.chains]
            counted = [[*chain, len(e)] for chain, e in zip(asked.chains, each, strict=True)]
            assert facts["counted"] == counted, (seed, asked)
            whole = [] if asked.count else sorted(set().union(*each))
            assert facts["records"] == whole, (seed, asked)
            changed = leave_out(files, answer, world, draw)
            if changed == files:
                yield False, 0
                continue
            with pytest.raises(verify.Refused):
                judge(changed, question, None)
            yield True, len(answer.links)
    finally:
        world.close()


def many(tmp_path: Path, logs: int, first: int) -> tuple[int, int]:
    """Ask ``logs`` logs; returns how many questions were asked and how many omissions refused."""
    asked = omitted = 0
    for seed in range(first, first + logs):
        place = tmp_path / str(seed)
        place.mkdir()
        for tried, _ in one_log(place, seed):
            asked += 1
            omitted += tried
        shutil.rmtree(place)
    return asked, omitted


def test_some_random_logs(tmp_path: Path) -> None:
    """A few, in every run of the tests."""
    asked, omitted = many(tmp_path, 12, 1)
    assert asked == 12 * QUESTIONS
    assert omitted > asked // 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_random_logs_and_questions(tmp_path: Path) -> None:
    """2,500 logs with four questions each."""
    asked, omitted = many(tmp_path, 2500, 1000)
    print(f"{asked} questions to 2500 random logs; {omitted} answers with an omission refused")
    assert asked == 10_000
    assert omitted > 9_000
