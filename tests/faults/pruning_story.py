"""Lives of ledgers that are pruned, and what must be true of them afterwards."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import PrunedError
from affidavit.ids import from_b64u
from affidavit.ledger import chains, fsck, heads, merkle, prune, tiles
from affidavit.ledger.agenda import HEADS_SECONDS
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import PRUNABLE
from affidavit.record.model import DIMENSIONS, Chain
from tests.faults import ledger_story
from tests.world import ledger
from tests.world.ledger import World, Writer, leaves

ACTS = ("exchange", "open", "answer", "heads", "epoch", "end")
SEEN = ("m0", "m1", "m2")
LIVED: list[tuple[str, int]] = [
    ("exchange", 0), ("open", 1), ("exchange", 2), ("heads", 0), ("epoch", 0), ("exchange", 3),
    ("open", 4), ("exchange", 1), ("end", 0), ("exchange", 2), ("heads", 0), ("answer", 0),
    ("exchange", 4), ("exchange", 5), ("answer", 0), ("exchange", 6),
]  # fmt: skip


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4, no rest between bundles, two trees of salts a run."""
    ledger_story.small(monkeypatch)
    monkeypatch.setattr(prune, "REST", 0.0)
    monkeypatch.setattr(ledger, "secret", lambda index: min(index, 1).to_bytes(32, "big"))


def lived(life: "Life") -> int:
    """A life with one of everything; how many leaves may go."""
    for act, number in LIVED:
        life.do(act, number)
    return life.ready()


def pruned_to(root: Path, before: int) -> prune.Expired:
    """All steps."""
    expired = prune.prepare(Disk(), root, before, lambda *_: None)
    prune.mean(Disk(), root, before)
    prune.commit(Disk(), root, before)
    list(prune.remove(Disk(), root))
    return expired


class Life:
    """A ledger that does what a list of (act, number) says."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.world.open()
        self.writer = Writer()
        self.waiting: list[str] = []
        self.epochs = 0

    def do(self, act: str, number: int) -> None:
        """One act; ``number`` chooses model, session and whom to answer."""
        world, writer = self.world, self.writer
        names = {"model": SEEN[number % 3], "session": f"s{number % 5}", "actor": f"a{number % 2}"}
        if act == "exchange":
            world.put(writer.exchange(**names))
        elif act == "open":
            asked = writer.request(**names)
            self.waiting.append(asked.record.id)
            world.put([asked])
        elif act == "answer" and self.waiting:
            world.put([writer.response(self.waiting.pop(number % len(self.waiting)))])
        elif act == "heads":
            world.clock.advance(HEADS_SECONDS)
            world.log.ensure_heads_after(world.log.size - 1)
        elif act == "epoch":
            world.drop()
            self.epochs += 1
            world.open(dimensions=DIMENSIONS[: 9 + self.epochs % 2])
        elif act == "end":
            world.put([writer.ended()])
            self.writer = Writer()
        world.clock.advance(1)
        world.log.publish()

    def ready(self) -> int:
        """Let heads be behind all leaves; returns how many leaves may go at most."""
        self.world.clock.advance(HEADS_SECONDS)
        newest = self.world.log.ensure_heads_after(self.world.log.size - 1)
        assert newest is not None
        self.world.log.publish()
        return newest // tiles.WIDTH * tiles.WIDTH


class Truth:
    """What a log was before it was pruned."""

    def __init__(self, world: World) -> None:
        reader = world.reader()
        self.size = world.log.published
        self.leaves = leaves(world)
        self.links = [reader.links(index) for index in range(self.size)]
        self.bytes = [reader.leaf(index) for index in range(self.size)]
        self.roots = [reader.root(size) for size in range(self.size + 1)]

    def needed(self, before: int) -> set[int]:
        """Leaves below ``before`` that later proofs need, worked out naively."""
        epochs = [leaf.index for leaf in self.leaves[:before] if leaf.opening is not None]
        found = set(epochs) | {index - 1 for index in epochs if index}
        found |= {before - 1} if self.leaves[before - 1].heads is not None else set()
        last: dict[bytes, int] = {}
        asked: set[int] = set()
        for leaf in self.leaves[:before]:
            if leaf.index > epochs[-1]:
                last.update({link[17:33]: leaf.index for link in self.links[leaf.index]})
            if leaf.type in ("exchange.request", "tool.call"):
                asked.add(leaf.index)
            asked.discard(-1 if leaf.re is None else leaf.re)
        return found | set(last.values()) | asked


def compare(root: Path, world: World, truth: Truth, before: int) -> None:
    """Every proof that the log owes is there and right, and what may go has gone."""
    reader = LogReader(root, world.vkeys())
    compare_files(reader, truth, before)
    _walk(reader, world, truth, before)
    report = fsck.check(root, world.vkeys())
    assert report.ok, report.first
    assert report.leaves == truth.size


def compare_files(reader: LogReader, truth: Truth, before: int) -> None:
    """The same of all that files show without the sequencer."""
    root, needed = reader.root_path, truth.needed(before)
    assert reader.minimum() == before
    left = [*sorted(needed), *range(before, truth.size)]
    assert list(reader.pruned().present(0, truth.size)) == left
    for index in range(truth.size):
        if index < before and index not in needed:
            with pytest.raises(PrunedError):
                reader.leaf(index)
            with pytest.raises(PrunedError):
                reader.links(index)
            continue
        assert reader.leaf(index) == truth.bytes[index]
        assert reader.links(index) == truth.links[index]
        for size in range(max(index + 1, before), truth.size + 1):
            path = reader.inclusion(index, size)
            leaf = merkle.leaf_hash(truth.bytes[index])
            merkle.verify_inclusion(index, size, leaf, path, truth.roots[size])
    for older in range(max(before, 1), truth.size + 1):
        path = reader.consistency(older, truth.size)
        merkle.verify_consistency(
            older, truth.size, truth.roots[older], truth.roots[truth.size], path
        )
    for row in PRUNABLE:
        for number in range(before // tiles.WIDTH):
            held = any(index // tiles.WIDTH == number for index in needed)
            name = tiles.TilePath(row, number, tiles.WIDTH).text()
            assert (root / name).exists() == (row == tiles.hash_row(0) and held), name
            assert not (root / f"{name}.p").exists()


def _walk(reader: LogReader, world: World, truth: Truth, before: int) -> None:
    """Each chain of each epoch that did not close before: its head, and the way back to below."""
    closed = None
    for epoch in reversed(world.log.epochs()):
        if closed is not None and closed < before:
            with pytest.raises(PrunedError):
                world.log.prove_head(Chain("acme", "model", "m0"), closed)
            break
        for value in SEEN:
            chain = Chain("acme", "model", value)
            proof = world.log.prove_head(chain, closed)
            claim = reader.decoded(proof.index).heads
            assert claim is not None
            heads.verify_head(proof, claim.bits, from_b64u(claim.map))
            opening = world.log.opening(chain, epoch.index)
            assert epoch.opening is not None
            chains.verify_opening(opening, epoch.opening)
            indices = []
            steps = reader.walk(proof.chain_id, proof.last) if proof.last is not None else iter(())
            for index, _ in steps:
                indices.append(index)
                if index < before:
                    break
            end = truth.size if closed is None else closed
            every = [
                index
                for index in range(epoch.index, end)
                if any(link[17:33] == proof.chain_id for link in truth.links[index])
            ]
            earlier = [index for index in every if index < before][-1:]
            assert indices[::-1] == earlier + [index for index in every if index >= before]
        closed = epoch.index - 1
