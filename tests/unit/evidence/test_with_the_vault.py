"""Evidence from a real vault: what it gives back is what the bundle shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.evidence import bundle, verify
from affidavit.evidence.bundle import Bundle, Choice, Shown
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault
from tests.attacks.world import World, by_model, members


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A ledger of its own."""
    made = World(tmp_path / "log")
    yield made
    made.close()


def test_a_bundle_from_the_vault(tmp_path: Path, world: World) -> None:
    """Sealed, read back, exported and verified: prompts and outputs are in the bundle."""
    for number in range(3):
        body = b'{"messages":[{"role":"user","content":"question %d"}]}' % number
        world.exchange(body=body, person={"email": f"p{number}@example.com"})
    world.heads()
    keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(range(32))), world.clock)
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, world.reader.decoded)
    vault.put(sorted({p.index: p for p in world.placed}.values(), key=lambda p: p.index))
    reader = VaultReader(tmp_path / "vault", keyring, world.reader.decoded)

    def show(index: int) -> Shown:
        return Shown(reader.disclosures(index), reader.salted_parts(index))

    answer = world.answer(by_model())
    made: Bundle = bundle.make(
        answer,
        show,
        choice=Choice(withhold=("person",), content="full"),
        boundary={},
        made=world.clock.now(),
        policy=verify.read_keys([world.vkey]),
    )
    verdict = verify.check(made.data, verify.read_keys([world.vkey]))
    assert verdict.facts["counts"]["records"] == 6
    files = members(made.data)
    for number, (request, _) in enumerate(world.pairs):
        assert b"question %d" % number in files[f"content/{request}-0"]
        assert f"question {number}".encode() in files["report.html"]
    assert b"example.com" not in made.data.replace(b"ledger.example/test", b"")
    reader.close()
    vault.close()
    keyring.close()
