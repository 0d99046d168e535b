"""Journals, the real ledger and the vault together, killed on the way: all fits in the end."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from affidavit.durable import Disk
from affidavit.errors import AffidavitError
from affidavit.ledger import fsck
from affidavit.ledger.intake import Intake
from affidavit.ledger.leaf import Leaf
from affidavit.record.model import Placed
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault
from tests.faults.test_intake_kill import write_journals
from tests.world import ledger
from tests.world.fakedisk import Crash, FakeEffects, Fault, at
from tests.world.intake import Journal, judge, open_keyring
from tests.world.journals import open_key


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """Keys beside the directories of the test."""
    opened = open_keyring(tmp_path / "keys")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.quick(monkeypatch)


def _run(root: Path, keyring: Keyring, disk: Disk) -> list[Placed]:
    """One life of a sequencer: opened as the real one is, until nothing is left to do."""
    world = ledger.World(root, disk)
    placed: list[Placed] = []
    with contextlib.ExitStack() as closing:
        closing.callback(world.shut)
        log = world.open()
        closing.callback(world.drop)
        log.publish()
        vault = Vault.open(disk, root / "vault", keyring, log.size, world.reader().decoded)
        closing.callback(vault.close)
        reader = VaultReader(root / "vault", keyring, world.reader().decoded)
        closing.callback(reader.close)
        intake = Intake(
            disk, root / "journal", log, vault, open_key, world.clock, placed.extend,
            leaf=world.reader().decoded, asked=reader.asked, batch_records=3,
        )  # fmt: skip
        closing.callback(intake.close)
        quiet = 0
        while quiet < 8:
            quiet = 0 if intake.step() else quiet + 1
            world.clock.advance(0.6)
        log.close()
    return placed


def _leaves(root: Path) -> list[Leaf]:
    reader = ledger.World(root).reader()
    return [reader.decoded(index) for index in range(reader.checkpoint().size)]


def _verdict(root: Path, keyring: Keyring, journals: list[Journal]) -> list[str]:
    """What the log's own check, the vault and the promises say."""
    report = fsck.check(root / "log", ledger.signer().verifier())
    reader = VaultReader(root / "vault", keyring, ledger.World(root).reader().decoded)
    with contextlib.closing(reader):
        seen: Any = SimpleNamespace(root=root, reader=reader)
        seen.log = SimpleNamespace(leaves=_leaves(root))
        return [*filter(None, [report.first]), *judge(seen, journals)]


def test_one_life_is_whole(tmp_path: Path, keyring: Keyring) -> None:
    """The log passes its check, the vault opens all of it, the index got the leaves in order."""
    journals = write_journals(tmp_path / "data")
    placed = _run(tmp_path / "data", keyring, Disk())
    assert _verdict(tmp_path / "data", keyring, journals) == []
    leaves = _leaves(tmp_path / "data")
    indexes = [item.index for item in placed]
    assert indexes == sorted(indexes)
    own = {"ledger.opened", "ledger.heads", "ledger.ended"}
    assert all(leaf.type in own for leaf in leaves if leaf.index not in indexes)


def test_killed_on_the_way_everything_fits(tmp_path: Path, keyring: Keyring) -> None:
    """A sequencer killed behind any step, then another, then one that finishes."""
    journals = write_journals(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "whole")
    effects = FakeEffects(tmp_path / "whole")
    _run(tmp_path / "whole", keyring, Disk(effects))
    assert effects.count > 150
    wrong = []
    for number in range(0, effects.count, 5):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "original", root)
        for strike in (at(number), at(number % 11)):
            killed = FakeEffects(root, Fault(strike, 0, persisted=True))
            with contextlib.suppress(Crash):
                _run(root, keyring, Disk(killed))
        try:
            _run(root, keyring, Disk())
            wrong += [f"at {number}: {what}" for what in _verdict(root, keyring, journals)]
        except (AssertionError, AffidavitError) as error:
            wrong.append(f"at {number}: {error}")
        shutil.rmtree(root)
    assert wrong == []
