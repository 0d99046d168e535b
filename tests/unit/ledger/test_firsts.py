"""Which records brought a new value: as the plan says, and as the links say afterwards."""

from pathlib import Path

import pytest

from affidavit.ledger.firsts import Firsts
from affidavit.record.model import DIMENSIONS, Chain, Placed
from tests.world import ledger


def test_the_links_say_what_the_plan_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First of a model, an actor, a session, a type; nothing new; again new in the next epoch."""
    ledger.quick(monkeypatch)
    world = ledger.World(tmp_path)
    world.open()
    writer = ledger.Writer()
    placed: list[Placed] = []
    asked = writer.request(model="a", actor="x", session="s")
    placed += world.put([asked]).placed
    placed += world.put([writer.response(asked, Chain("acme", "model", "b"))]).placed
    placed += world.put(writer.exchange(model="a", actor="y", session="s")).placed
    world.log.publish()
    world.clock.advance(5.0)
    placed += world.put(writer.exchange(model="a", actor="y", session="s")).placed
    world.log.close()
    world.shut()
    world.open(dimensions=(*DIMENSIONS, "region"))
    placed += world.put(writer.exchange(model="a", actor="y", session="s")).placed
    world.log.publish()
    reader = world.reader()
    said = {item.index: item.firsts for item in placed}
    in_order = Firsts(reader)
    for index in range(world.log.size):
        assert in_order.of(index) == said.get(index, in_order.of(index)), index
    assert {index: Firsts(reader).of(index) for index in reversed(said)} == said
    assert list(said.values())[:4] == [
        ("model", "actor", "session", "type"), ("model", "actor", "session", "type"),
        ("actor",), ("actor",),
    ]  # fmt: skip
    assert [index for index, firsts in said.items() if "session" in firsts] == [1, 2, 12, 13]
    assert list(said.values())[4:6] == [(), ()]
    world.drop()
