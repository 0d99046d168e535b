"""Search and proof, two readings of one question, find the same records."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.evidence import verify
from affidavit.evidence.bundle import Choice
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary
from affidavit.query.language import parse
from affidavit.query.question import question
from affidavit.query.search import Searcher
from tests.attacks.world import TENANT, World, members

KEY = bytes(32)

QUESTIONS = [
    "model:gpt-a",
    "model:gpt-b",
    "model:gpt-a actor:act_bob",
    "actor:act_alice model:gpt-a",
    "actor:act_alice model:gpt-served",
    "actor:act_bob model:gpt*",
    "model:gpt-a type:exchange.response",
    "model:gpt-a -type:exchange.response",
    "model:gpt-a role:admin",
    "model:gpt-a -role:admin",
    "model:gpt-a group:oncall",
    "model:gpt-a decision:deny",
    "model:gpt-a (decision:deny OR role:admin)",
    "model:gpt-a tokens_out>5",
    "model:gpt-a tokens_out<=5",
    "model:gpt-a http=200",
    "model:gpt-a status:client_gone",
    "model:gpt-a -status:complete",
    "model:gpt-a finish:length",
    "model:gpt-a duration>1",
    "model:gpt-a purpose:support",
    "model:gpt-a has:purpose",
    "model:gpt-a -has:purpose",
    "model:gpt-a tier:observed index>=4",
    "model:gpt-a since:10s",
    "model:gpt-a until:2026-11-23T12:00:05Z",
    "model:gpt-a OR actor:act_bob",
    "model:gpt-b OR (actor:act_bob role:admin)",
    "type:change.*",
    "type:exchange.request -model:gpt-a",
    "actor:act_carol model:gpt-a",
    "model:never",
    "values:model",
    "values:actor",
    "values:type",
    "values:model OR values:actor",
    "values:model -model:gpt-b",
    "values:session",
    "values:tool",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Exchanges, denials, changes and unfinished requests, in one tenant."""
    made = World(tmp_path_factory.mktemp("agree") / "log")

    def who(actor: str, **more: object) -> dict[str, object]:
        return {"tenant": TENANT, "actor": actor, **more}

    made.exchange(who=who("act_alice", role="admin", groups=["oncall", "x"], purpose="support"))
    made.exchange(served="gpt-served", who=who("act_alice"))
    made.exchange(actor="act_bob", who=who("act_bob", role="admin"))
    made.exchange(actor="act_bob", model="gpt-b", who=who("act_bob"))
    _, name = made.add(control={"decision": "deny", "reasons": ["budget"]})
    made.add(
        "exchange.response",
        parent=name,
        actor=None,
        who=None,
        what={"parent": name},
        outcome={
            "outcome": "client_gone", "http.response.status_code": 200, "duration": 2.5,
            "gen_ai.response.finish_reasons": ["length"], "gen_ai.usage.output_tokens": 3,
        },
    )  # fmt: skip
    made.add(
        "change.model",
        actor="act_carol",
        who=who("act_carol"),
        what={"target": {"kind": "model", "name": "gpt-a"}, "before": 1, "after": 2},
        body=None,
    )
    made.add()
    yield made
    made.close()


@pytest.fixture(scope="module")
def searcher(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """An index of the same ledger."""
    world.heads()
    directory: Path = tmp_path_factory.mktemp("index")
    indexer = Indexer(directory, KEY)
    indexer.start()
    indexer.apply(sorted({p.index: p for p in world.placed}.values(), key=lambda p: p.index),
                  world.log.size, world.log.root)  # fmt: skip
    indexer.settle()
    reader = Reader(directory, KEY)
    yield Searcher(reader, None)
    reader.close()
    indexer.close()


@pytest.mark.parametrize("text", QUESTIONS)
def test_search_and_proof_find_the_same(world: World, searcher: Searcher, text: str) -> None:
    """The rows of a search are exactly the records of the bundle that meet the conditions."""
    tree = parse(text, world.clock.now())
    page = searcher.run(tree, boundary.owner("act_owner"), limit=1000)
    asked = question(tree, [TENANT])
    assert asked.not_proved == ""

    def answer_to(request: int) -> int | None:
        row = searcher.reader.row(request)
        return row.answered if row is not None else None

    proof = world.answer(asked, answers=answer_to)
    made = world.bundle(asked, Choice(content="none"), proof)
    files = members(made.data)
    verdict = verify.check(made.data, verify.read_keys([world.vkey]))
    answer = verify.Answer(files, verdict.facts["question"])
    shown = verify.read_disclosures(files["disclosures.jsonl"], answer)
    conditions = ["and", *verdict.facts["question"]["conditions"]]
    meeting = [i for i in answer.records if verify.holds(conditions, i, answer, shown) is True]
    assert meeting == sorted(row["index"] for row in page.rows)
    assert made.counts["undetermined"] == 0
    assert made.counts["matching"] == page.count
