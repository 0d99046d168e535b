"""Proofs of heads from a running ledger, and the map worked out ahead."""

import pytest

from affidavit.errors import (
    NotFoundError,
)
from affidavit.ids import from_b64u
from affidavit.ledger import chains, fsck, heads, prover
from affidavit.ledger.agenda import HEADS_SECONDS
from affidavit.record.model import DIMENSIONS, Chain
from tests.world.ledger import (
    World,
    Writer,
    leaves,
    links_of,
    signer,
)


def test_heads_are_true_and_proved(world: World) -> None:
    """The proof is of the newest heads leaf, whatever has come since."""
    writer = Writer()
    world.put(writer.exchange(model="x"))
    assert world.log.ensure_heads_after(2) is None  # asked within a second of the opening
    world.clock.advance(1)
    at = world.log.ensure_heads_after(2)
    assert at == 3
    world.put(writer.exchange(model="x"))
    chain, absent = Chain("acme", "model", "x"), Chain("acme", "model", "z")
    proof, claim = world.log.prove_head(chain), leaves(world)[3].heads
    assert claim is not None
    heads.verify_head(proof, claim.bits, from_b64u(claim.map))
    assert (proof.index, proof.n, proof.last) == (3, 2, 2)
    walked = list(world.reader().walk(proof.chain_id, 2))
    assert [index for index, _ in walked] == [2, 1]
    assert walked[0][1] == proof.link
    missing = world.log.prove_head(absent)
    heads.verify_head(missing, claim.bits, from_b64u(claim.map))
    assert (missing.n, missing.last, missing.link) == (0, None, None)
    opening = world.log.opening(chain)
    chains.verify_opening(opening, world.log.epoch.terms())
    assert opening.chain_id == proof.chain_id
    assert world.log.ensure_heads_after(2) == 3
    with pytest.raises(NotFoundError):
        world.log.prove_head(chain, 2)


def test_the_next_map_is_worked_out_ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread when much has changed; what changed meanwhile is in the leaf all the same."""
    monkeypatch.setattr(prover, "AHEAD", 2)
    writer = Writer()
    world.put(writer.exchange(model="x", session="1"))
    world.clock.advance(HEADS_SECONDS)
    types: list[str] = []
    while "ledger.heads" not in types:
        plan = world.put(writer.exchange(model="x", session="1"))
        types += [placed.record.type for placed in plan.placed]
    assert types[0] == "exchange.request"
    report = fsck.check(world.root, signer().verifier())
    assert report.ok, report.first


def test_what_a_thread_did_not_finish_is_worked_out_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that dies half-way costs time and no truth: the heads leaf is as without it."""
    monkeypatch.setattr(prover, "AHEAD", 2)
    monkeypatch.setattr(prover._Ahead, "_run", lambda self, _: setattr(self, "step", None))
    writer = Writer()
    world.put(writer.exchange(model="x", session="1"))
    world.clock.advance(HEADS_SECONDS)
    types: list[str] = []
    while "ledger.heads" not in types:
        plan = world.put(writer.exchange(model="x", session="1"))
        types += [placed.record.type for placed in plan.placed]
    report = fsck.check(world.root, signer().verifier())
    assert report.ok, report.first


def test_a_new_epoch_follows_new_dimensions(world: World) -> None:
    """Heads close the old one; chains count from 1 again; both epochs stay provable."""
    writer = Writer()
    asked = writer.request(model="x")
    world.put([asked])
    world.drop()
    world.open(rules=2, dimensions=(*DIMENSIONS, "region"))
    found = leaves(world)
    kinds = [one.type for one in found]
    assert kinds[1:] == ["exchange.request", "ledger.ended", "ledger.heads", "ledger.epoch"]
    terms = found[4].opening
    assert terms is not None
    assert (terms.previous, terms.rules) == (0, 2)
    assert "region.values" in terms.dimensions
    with pytest.raises(NotFoundError, match="no heads leaf yet"):
        world.log.prove_head(Chain("acme", "model", "x"))
    answer = writer.response(asked, Chain("acme", "model", "x"), Chain("acme", "region", "eu"))
    world.put([answer])
    later = leaves(world)[5]
    assert later.re == 1
    chain = Chain("acme", "model", "x")
    assert links_of(world, 5)[world.log.epoch.key(chain)].n == 1
    world.clock.advance(1)
    newest = world.log.ensure_heads_after(5)
    assert newest == 6
    assert [one.index for one in world.log.epochs()] == [0, 4]
    old, new = world.log.prove_head(chain, 3), world.log.prove_head(chain)
    assert (old.epoch, old.last, new.epoch, new.last) == (0, 1, 4, 5)
    for proof in (old, new):
        claim = leaves(world)[proof.index].heads
        assert claim is not None
        heads.verify_head(proof, claim.bits, from_b64u(claim.map))
        opening = world.log.opening(chain, proof.epoch)
        ruled = leaves(world)[proof.epoch].opening
        assert ruled is not None
        chains.verify_opening(opening, ruled)
        assert opening.chain_id == proof.chain_id
    with pytest.raises(NotFoundError, match="does not open an epoch"):
        world.log.opening(chain, 3)
    world.drop()
    world.open(rules=2, dimensions=(*DIMENSIONS, "region"))
    assert world.log.prove_head(chain).last == 5
