"""The end of the ledger in memory: the same after a restart, and bounded."""

import pytest

from affidavit.ledger.agenda import HEADS_SECONDS
from tests.world.ledger import (
    World,
    Writer,
    leaves,
    links_of,
)


def test_reopening_goes_on_where_it_was(world: World) -> None:
    """Open requests, counters, chains and heads; the sequencer that died is ended by the next."""
    writer = Writer()
    first, second = writer.request(model="x"), writer.request(model="y")
    world.put([first, second])
    world.clock.advance(HEADS_SECONDS)
    world.put([writer.response(first)])
    third = writer.request(model="x")
    world.put([third])
    tip = world.log._tip
    before = (tip.chains, tip.writers, tip.time, tip.changed(), list(tip.open))
    own, size = world.log.own, world.log.size
    world.drop()
    world.open()
    tip = world.log._tip
    found = leaves(world)[size:]
    assert [(one.type, one.src[0]) for one in found] == [("ledger.ended", own)]
    assert world.log.published == size + 1
    assert world.log.open_requests() == {second.record.id: 2, third.record.id: 5}
    assert world.log.next_src(writer.name) == 4
    ended = set(links_of(world, size))
    assert {k: v for k, v in tip.chains.items() if k not in ended} == {
        k: v for k, v in before[0].items() if k not in ended
    }
    assert tip.time >= before[2]
    assert list(tip.open) == before[4]
    world.put([writer.response(second), writer.response(third)])
    assert [one.re for one in leaves(world)[-2:]] == [2, 5]


def test_the_oldest_of_too_many_open_requests_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded; its answer says null."""
    monkeypatch.setattr("affidavit.ledger.tip.MAX_OPEN", 3)
    writer = Writer()
    asked = [writer.request() for _ in range(4)]
    world.put(asked)
    assert list(world.log.open_requests().values()) == [2, 3, 4]
    world.put([writer.response(asked[0]), writer.response(asked[1])])
    assert [one.re for one in leaves(world)[-2:]] == [None, 2]
