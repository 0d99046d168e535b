"""Starting from what a sequencer left: the batch that was staged and not committed."""

from pathlib import Path
from typing import Any

import pytest

from affidavit.errors import CorruptError, UnavailableError
from affidavit.ledger import fsck, staging
from affidavit.ledger.state import LedgerState
from affidavit.record.model import DIMENSIONS, Chain
from tests.world.ledger import World, Writer, leaves, signer


def _never_committed(patch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise UnavailableError("injected")

    patch.setattr(LedgerState, "swap", fail)


def test_a_staged_batch_is_taken_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its heads leaf, its answers and its counters, as if it had been committed."""
    writer = Writer()
    asked = writer.request(model="x")
    world.put([asked])
    world.clock.advance(3)
    with monkeypatch.context() as patch:
        _never_committed(patch)
        with pytest.raises(UnavailableError, match="injected"):
            world.put([writer.response(asked), writer.request(model="y")])
    world.drop()
    world.open()
    found = leaves(world)
    assert [one.type for one in found[1:5]] == [
        "exchange.request",
        "ledger.heads",
        "exchange.response",
        "exchange.request",
    ]
    assert found[3].re == 1
    assert world.log.next_src(writer.name) == 3
    assert list(world.log.open_requests().values()) == [4]
    proof = world.log.prove_head(Chain("acme", "model", "x"))
    assert (proof.index, proof.last) == (2, 1)
    world.drop()
    world.open()
    assert world.log.prove_head(Chain("acme", "model", "x")).last == 1


def test_a_staged_epoch_is_taken_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads and epoch leaf are one batch: both are there or neither."""
    world.put(Writer().exchange(model="x"))
    world.drop()
    new = {"dimensions": (*DIMENSIONS, "region"), "rules": 2}
    with monkeypatch.context() as patch:
        swap, calls = LedgerState.swap, []

        def fail_second(self: LedgerState, *args: Any) -> None:
            calls.append(1)
            if len(calls) == 2:  # the first is the end of the sequencer before
                raise UnavailableError("injected")
            swap(self, *args)

        patch.setattr(LedgerState, "swap", fail_second)
        with pytest.raises(UnavailableError, match="injected"):
            world.open(**new)
        world.shut()
    world.open(**new)
    found = leaves(world)
    assert [one.type for one in found[3:6]] == ["ledger.ended", "ledger.heads", "ledger.epoch"]
    assert world.log.epoch.index == 5
    assert len([one for one in found if one.opening]) == 2
    world.put(Writer().exchange(model="x"))


def test_a_staged_batch_is_not_taken_in_blindly(world: World) -> None:
    """Links that are not the leaf's, or a leaf that is none, refuse the start."""
    root = Path(world.root)
    world.drop()
    for entry, links in ((b"{}", b""), (world.reader().leaf(0), b"")):
        stage = staging.Staging(world.disk, root, 1, world.reader().checkpoint().size)
        stage.append(1, [len(entry).to_bytes(2, "big") + entry], [b"\x00\x00" + links])
        stage.close()
        with pytest.raises(CorruptError, match="Leaf 1"):
            world.open()
        world.shut()
        for _, path in staging.files(root):
            path.unlink()
    world.open()


def test_a_torn_batch_is_forgotten(world: World) -> None:
    """What did not reach the disk whole was never acknowledged."""
    writer = Writer()
    world.put(writer.exchange())
    world.log._staging.append(3, [b"\x00\x04leaf"], [b"\x00\x00"])
    path = world.log._staging._file.path
    size = world.log._staging._file.size
    world.drop()
    data = path.read_bytes()
    path.write_bytes(data[: size - 1] + b"\x7f" + data[size:])
    world.open()
    assert world.log.next_src(writer.name) == 2
    assert fsck.check(world.root, signer().verifier()).ok
