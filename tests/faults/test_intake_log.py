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
from affidavit.ledger.leaf import Leaf, decode_at
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


class _Life:
    """One life of a sequencer: opened as the real one is; what ends it also lets go of all."""

    def __init__(self, root: Path, keyring: Keyring, disk: Disk, batch_records: int) -> None:
        self.world = world = ledger.World(root, disk)
        self.placed: list[Placed] = []
        with contextlib.ExitStack() as closing:
            closing.callback(world.shut)
            self.log = log = world.open()
            closing.callback(world.drop)
            log.publish()
            vault = Vault.open(disk, root / "vault", keyring, log.size, world.reader().decoded)
            closing.callback(vault.close)
            reader = VaultReader(root / "vault", keyring, world.reader().decoded)
            closing.callback(reader.close)
            self.intake = Intake(
                disk, root / "journal", log, vault, open_key, world.clock, self.placed.extend,
                leaf=world.reader().decoded, asked=reader.asked, batch_records=batch_records,
            )  # fmt: skip
            closing.callback(self.intake.close)
            self.close = closing.pop_all().close

    def drain(self) -> None:
        """Step until nothing is left to do."""
        quiet = 0
        while quiet < 8:
            quiet = 0 if self.intake.step() else quiet + 1
            self.world.clock.advance(0.6)


def _run(root: Path, keyring: Keyring, disk: Disk) -> list[Placed]:
    """A whole life, with an orderly end."""
    with contextlib.closing(_Life(root, keyring, disk, 3)) as life:
        life.drain()
        life.log.close()
    return life.placed


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


def _kill(tmp_path: Path, keyring: Keyring, journals: list[Journal], least: int) -> Iterator[str]:
    """What is wrong after two kills and a whole run; ``least``: effects that a whole run has."""
    shutil.copytree(tmp_path / "original", tmp_path / "whole")
    effects = FakeEffects(tmp_path / "whole")
    _run(tmp_path / "whole", keyring, Disk(effects))
    assert effects.count > least
    for number in range(0, effects.count, 5):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "original", root)
        for strike in (at(number), at(number % 11)):
            killed = FakeEffects(root, Fault(strike, 0, persisted=True))
            with contextlib.suppress(Crash):
                _run(root, keyring, Disk(killed))
        try:
            _run(root, keyring, Disk())
            yield from (f"at {number}: {what}" for what in _verdict(root, keyring, journals))
        except (AssertionError, AffidavitError) as error:
            yield f"at {number}: {error}"
        shutil.rmtree(root)


def test_killed_on_the_way_everything_fits(tmp_path: Path, keyring: Keyring) -> None:
    """A sequencer killed behind any step, then another, then one that finishes."""
    journals = write_journals(tmp_path / "original")
    assert list(_kill(tmp_path, keyring, journals, 150)) == []


def _lose(root: Path, life: _Life, journals: list[Journal]) -> None:
    """Take all in, and remove the journals of two that died, with three requests open."""
    assert life.intake.step() > 5
    assert len(life.log.open_requests()) == 3
    leaves = [decode_at(item.leaf, item.index) for item in life.placed]
    for journal in (journals[0], journals[2]):
        journal.lose(root, leaves)


def test_killed_on_the_way_without_its_journals(tmp_path: Path, keyring: Keyring) -> None:
    """The same, where two of three journals are missing since the sequencer was killed."""
    root = tmp_path / "original"
    journals = write_journals(root)
    with contextlib.closing(_Life(root, keyring, Disk(), 500)) as life:
        _lose(root, life, journals)
    assert list(_kill(tmp_path, keyring, journals, 100)) == []


def test_a_request_is_closed_once_it_is_published(tmp_path: Path, keyring: Keyring) -> None:
    """A journal that goes right after the commit: what it asked is read in the log, a bit later."""
    root = tmp_path / "data"
    journals = write_journals(root)
    with contextlib.closing(_Life(root, keyring, Disk(), 500)) as life:
        _lose(root, life, journals)
        assert life.log.published < life.log.size
        life.intake.step()
        assert len(life.log.open_requests()) == 3
        life.drain()
        life.log.close()
    assert _verdict(root, keyring, journals) == []
