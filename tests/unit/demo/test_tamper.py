"""What the demonstration forges is made with care, and refused for the one thing that is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.demo import tamper
from affidavit.ledger import note
from tests.attacks.world import ORIGIN, SEED, World, by_model, refused


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A ledger whose files the forger has."""
    made = World(tmp_path / "log")
    yield made
    made.close()


def test_a_record_left_out_is_refused_for_that_alone(world: World) -> None:
    """Digests, counts and proof fit: what is left is the missing number."""
    found = [world.exchange() for _ in range(3)]
    data = world.bundle(by_model()).data
    assert refused(data, world.vkey) == ""
    for leaf in found[1]:
        assert refused(tamper.without(data, world.reader, leaf), world.vkey) == "omitted-record"


def test_a_flipped_bit_is_one_bit() -> None:
    """And flipping it again gives the original."""
    data = bytes(range(256))
    once = tamper.flipped(data, 7)
    assert [i for i in range(256) if data[i] != once[i]] == [7]
    assert tamper.flipped(once, 7) == data


def test_a_forged_head_is_signed_with_the_logs_own_key() -> None:
    """So that nobody who has that key alone can tell."""
    signer = note.Signer(ORIGIN, SEED)
    forged = tamper.head(ORIGIN, SEED, 5, bytes(32))
    assert note.open_checkpoint(forged, signer.verifier()).size == 5
    asked = tamper.submission(4, [b"\1" * 32], forged)
    assert asked.startswith(b"old 4\nAQEB")
    assert asked.endswith(b"\n\n" + forged)
