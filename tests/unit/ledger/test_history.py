"""Random histories of a ledger against a naive model of its chains."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.ledger import fsck
from affidavit.record.model import Chain
from tests.world.ledger import (
    World,
    Writer,
    signer,
)

names = st.sampled_from(["x", "y", "z"])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), names, names),
        st.tuples(st.just("answer"), st.integers(0, 5), names),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 3.0]), names),
        st.tuples(st.just("reopen"), names, names),
        st.tuples(st.just("die"), names, names),
    ),
    max_size=25,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions)
def test_random_histories_are_what_a_naive_model_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object, str]]
) -> None:
    """Membership, n and prev of every chain, re of every answer, after any history of restarts."""
    world = World(tmp_path_factory.mktemp("history"))
    world.open()
    writer, asked = Writer(), []
    waiting: dict[str | None, tuple[int, list[Chain]]] = {}
    expected: dict[Chain, list[int]] = {}
    answers: dict[int, int | None] = {}
    joined: dict[str, list[Chain]] = {}
    batch, planned = [], []
    for kind, first, second in [*steps, ("wait", 0.1, "x")]:
        if kind == "ask":
            one = writer.request(model=str(first), actor=second)
            asked.append(one)
            batch.append(one)
            joined[one.record.id] = list(one.record.chains)
        elif kind == "answer" and asked:
            target = asked[int(str(first)) % len(asked)]
            served = Chain("acme", "model", second)
            one = writer.response(target, served)
            batch.append(one)
            joined[one.record.id] = [served]
        else:
            plan = world.put(batch)
            planned += plan.placed
            for placed in plan.placed:
                own = joined.get(placed.record.id, [])
                if placed.record.type == "exchange.request":
                    waiting[placed.record.id] = (placed.index, own)
                elif placed.record.type == "exchange.response":
                    found = waiting.pop(placed.record.parent, None)
                    answers[placed.index] = found and found[0]
                    own = [*(found[1] if found else ()), *own]
                    if not found:
                        own.append(Chain("acme", "actor.unattributed", ""))
                for chain in dict.fromkeys(own):
                    expected.setdefault(chain, []).append(placed.index)
            batch = []
            if kind == "wait":
                world.clock.advance(float(str(first)))
            else:
                if kind == "reopen":
                    world.log.close()
                world.drop()
                world.open()
    world.log.publish()
    reader, epoch = world.reader(), world.log.epoch
    for chain, indices in expected.items():
        if indices:
            walked = [index for index, _ in reader.walk(epoch.key(chain)[1:], indices[-1])]
            assert walked[::-1] == indices
    assert {index: reader.decoded(index).re for index in answers} == answers
    report = fsck.check(world.root, signer().verifier())
    assert report.ok, report.first
    assert report.leaves == world.log.size
    world.drop()
