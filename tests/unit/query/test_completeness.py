"""Building answers from the live ledger: what they hold, and as of when."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.clock import add_seconds
from affidavit.errors import NotFoundError, ParseError, UnavailableError, UsageError
from affidavit.query import completeness, prover
from affidavit.query.completeness import Answer, build, unattributed
from affidavit.query.prover import LogProver, Proofs, RemoteProver, serve
from affidavit.query.question import Question
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.world import TENANT, World, by_model


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty ledger on a clock that the test moves."""
    made = World(tmp_path / "log")
    yield made
    made.close()


def time_of(world: World, index: int) -> str:
    """Ledger time of a leaf."""
    return world.reader.decoded(index).time


def run_of(answer: Answer, chain: Chain) -> list[int]:
    """The leaves of the chain that an answer shows, with the boundary ones."""
    opening = next(o for o in answer.openings if o.value == chain.value and "." not in o.dimension)
    return [index for index, link in answer.links if link[17:33] == opening.chain_id]


def test_unattributed_chains() -> None:
    """What may belong to a chain and could not be attributed: its dimension's, and nobody's."""
    nobody = Chain("", "unattributed", "")
    assert unattributed([Chain("t", "model", "a"), Chain("t", "model", "b")]) == [
        nobody,
        Chain("t", "model.unattributed", ""),
    ]
    assert unattributed([Chain("t", "tool.values", "")]) == [
        nobody,
        Chain("t", "tool.unattributed", ""),
    ]
    assert unattributed([nobody]) == []


def test_the_window_and_one_record_at_each_end(world: World) -> None:
    """The run holds the window and the neighbours that show that nothing is missing."""
    indices = [world.add(seconds=10)[0] for _ in range(6)]
    world.heads()
    question = by_model(since=time_of(world, indices[2]), until=time_of(world, indices[3]))
    answer = world.answer(question)
    assert list(answer.records) == indices[2:4]
    assert run_of(answer, Chain(TENANT, "model", "gpt-a")) == indices[1:5]
    assert answer.question.until == time_of(world, indices[3])


def test_a_window_between_two_records(world: World) -> None:
    """An empty window is shown by the two records around it."""
    first, second = world.add(seconds=10)[0], world.add(seconds=10)[0]
    world.heads()
    since = add_seconds(time_of(world, first), 1)
    answer = world.answer(by_model(since=since, until=add_seconds(since, 1)))
    assert answer.records == ()
    assert run_of(answer, Chain(TENANT, "model", "gpt-a")) == [first, second]


def test_until_now_is_until_the_newest_heads(world: World) -> None:
    """Without an end, or with one in the future, the answer reaches to just before the heads."""
    world.add()
    for until in ("", "2099-01-01T00:00:00.000000Z"):
        answer = world.answer(by_model(until=until))
        heads = max(head.index for head in answer.heads)
        assert answer.question.until == add_seconds(time_of(world, heads), -0.000_001)
        assert answer.size > heads


def test_a_window_in_the_past_takes_the_heads_there_are(world: World) -> None:
    """A window that is over needs no new heads leaf."""
    index, _ = world.add()
    world.heads()
    size = world.log.size
    question = by_model(until=time_of(world, index))
    answer = build(world.reader, LogProver(world.log), question)
    assert answer.records == (index,)
    assert world.log.size == size


def test_a_value_never_seen(world: World) -> None:
    """Of a chain that does not exist the answer is empty, and its absence shown."""
    world.add()
    answer = world.answer(by_model("never"))
    assert answer.records == ()
    assert {opening.value for opening in answer.openings} >= {"never"}


def test_halves_open_and_not_shown(world: World) -> None:
    """Responses are found in the chain; a request without one is open if it would be there."""
    pair = world.exchange()
    lonely, _ = world.add()
    answer = world.answer(by_model())
    assert answer.halves == {pair[0]: pair[1], pair[1]: pair[0]}
    assert (answer.open, answer.not_shown) == ((lonely,), ())


def test_the_response_may_lie_behind_the_window(world: World) -> None:
    """The other half is shown even if it was recorded after the window."""
    request, response = world.exchange()
    world.heads()
    answer = world.answer(by_model(until=time_of(world, request)))
    assert answer.records == (request,)
    assert answer.halves == {request: response}
    assert response in answer.leaves


def test_the_index_helps_where_the_chain_does_not(world: World) -> None:
    """In a chain that responses do not join, a hint is taken if the leaf confirms it."""
    request, response = world.exchange()
    question = Question("type", (Chain(TENANT, "type", "exchange.request"),))
    assert world.answer(question).not_shown == (request,)
    told = world.answer(question, answers=lambda index: response if index == request else None)
    assert (told.halves, told.not_shown) == ({request: response}, ())
    wrong = world.answer(question, answers=lambda index: 0)
    assert wrong.not_shown == (request,)


def test_a_half_of_which_the_asker_may_not_know_is_not_shown(world: World) -> None:
    """Proved or listed, the other half stays out where the asker may not know of it."""
    request, response = world.exchange()
    proved = Question("type", (Chain(TENANT, "type", "exchange.request"),))
    listed = Question("tokens>1", not_proved="because")

    def ask(question: Question, *, within: bool) -> Answer:
        rows = [request] if question.not_proved else []
        return world.answer(
            question, listed=rows, answers=lambda _: response, within=lambda _: within
        )

    for question in (proved, listed):
        answer = ask(question, within=False)
        assert (response in answer.leaves, answer.halves) == (False, {})
        assert answer.not_shown == (request,)
        made = world.bundle(answer.question, answer=answer)
        assert made.counts["halves_not_shown"] == 1
        assert ask(question, within=True).halves == {request: response}


def test_gaps_and_the_unattributed_are_part_of_it(world: World) -> None:
    """Records without a known model, without a tenant, and gaps are counted beside."""
    world.add()
    nameless, _ = world.add(model=None)
    stranger, _ = world.add(tenant="", model=None, actor=None, body=None)
    gap, _ = world.add("ledger.gap", tenant="", model=None, actor=None, body=None)
    answer = world.answer(by_model())
    assert answer.unattributed == (nameless, stranger)
    assert answer.gaps == (gap,)


def test_epochs(world: World) -> None:
    """An answer goes back through epochs as far as its window, and no further."""
    old, _ = world.add()
    world.reopen((*DIMENSIONS, "region"))
    new, _ = world.add()
    everything = world.answer(by_model())
    assert everything.records == (old, new)
    assert {opening.epoch for opening in everything.openings} == {0, world.log.epoch.index}
    recent = world.answer(by_model(since=time_of(world, new)))
    assert recent.records == (new,)


def test_an_epoch_without_the_dimension_is_not_proved(world: World) -> None:
    """A dimension that an epoch of the window lacks: not proved, and why."""
    index, _ = world.add()
    world.reopen((*DIMENSIONS, "region"))
    question = Question("region", (Chain(TENANT, "region", "eu"),))
    answer = world.answer(question, listed=[index])
    assert answer.question.not_proved == "an epoch of the window has no dimension region"
    assert answer.records == (index,)
    made = world.bundle(question, answer=answer)
    assert made.verdict[1].startswith("not proved: ")


def test_source_time(world: World) -> None:
    """Over source time: from five minutes before the window to the head, filtered by ``at``."""
    start = world.clock.now()
    early = add_seconds(start, -3600)
    late_news, _ = world.add(at=early)
    today, _ = world.add()
    world.heads()
    question = by_model(since=add_seconds(start, -7200), until=start, source_time=True)
    answer = world.answer(question)
    assert answer.records == (late_news,)
    made = world.bundle(question, answer=answer)
    assert "of source time, as recorded before leaf" in made.verdict[1]
    assert today in answer.leaves
    ancient = by_model(since="0001-01-01T00:00:00.000000Z", source_time=True)
    assert world.bundle(ancient).counts["records"] == 2


def test_too_large_an_answer_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a narrower window is asked for."""
    monkeypatch.setattr(completeness, "MAX_LEAVES", 5)
    for _ in range(6):
        world.add()
    with pytest.raises(UsageError) as found:
        world.answer(by_model())
    assert "Narrow" in found.value.hint


def test_only_records_are_listed(world: World) -> None:
    """A leaf of the ledger's own is no record that could be shown."""
    world.add()
    world.heads()
    question = Question("x", not_proved="because")
    with pytest.raises(NotFoundError):
        world.answer(question, listed=[0])


def test_a_prover_in_another_process(world: World) -> None:
    """What goes over the control socket is plain msgpack, and comes to the same answer."""
    world.exchange()
    world.heads()
    live = LogProver(world.log)

    def call(asked: dict[str, Any]) -> dict[str, Any]:
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(asked))
        reply: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(serve(live, sent)))
        return reply

    question = by_model(until=time_of(world, 1))
    assert build(world.reader, RemoteProver(call), question) == build(world.reader, live, question)


@pytest.mark.parametrize(
    "asked",
    [{}, {"chains": [["a", "b"]], "since": "", "after": 0}, {"chains": [], "since": 3, "after": 0},
     {"chains": "x", "since": "", "after": 0}],
)  # fmt: skip
def test_what_asks_for_no_proof(asked: dict[str, Any]) -> None:
    """A request that is malformed is refused by name."""

    class Never:
        def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
            raise AssertionError(chains)

    with pytest.raises(ParseError):
        serve(Never(), asked)


def test_a_ledger_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no heads leaf comes about in time, the asker is told to come back."""
    monkeypatch.setattr(prover, "_PATIENCE", 0.1)
    world.heads()
    with pytest.raises(UnavailableError):
        LogProver(world.log).prove([Chain(TENANT, "model", "x")], "", world.log.size + 100)


def test_without_newer_heads_the_answer_is_as_of_those_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads that wait for witnesses do not stop an answer: it says through when it is whole."""
    first, _ = world.add()
    world.heads()
    heads = world.log.size - 1
    world.add()
    world.log.publish()
    live = LogProver(world.log)

    class Waiting:
        def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
            if after > heads:
                raise UnavailableError("The ledger published no heads in time.")
            return live.prove(chains, since, after)

    answer = build(world.reader, Waiting(), by_model())
    assert answer.records == (first,)
    assert answer.question.until == add_seconds(time_of(world, heads), -0.000_001)
    made = world.bundle(by_model(), answer=answer)
    assert f"through {answer.question.until}" in made.verdict[1]


def test_answers_while_records_arrive(world: World) -> None:
    """Answers built while the ledger grows are whole: each verifies on its own."""
    world.add()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with world.log.writing:
                world.add(seconds=0.4)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            answer = build(world.reader, LogProver(world.log), by_model())
            made = world.bundle(by_model(), answer=answer)
            assert made.counts["records"] == len(answer.records)
    finally:
        stop.set()
        thread.join()
