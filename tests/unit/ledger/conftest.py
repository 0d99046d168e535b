from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.ledger import fsck
from affidavit.vault.keyring import Keyring
from tests.world import ledger
from tests.world.intake import Sequencer, open_keyring
from tests.world.ledger import World


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salt trees once a run, small staging files."""
    ledger.quick(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A ledger that is open; at the end everything in it is checked."""
    made = World(tmp_path)
    made.open()
    yield made
    if not made.log._failed:
        made.log.publish()
    report = fsck.check(made.root, made.vkeys())
    assert report.ok, report.first
    made.drop()


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """Keys beside the directory of the test."""
    opened = open_keyring(tmp_path / "keys")
    yield opened
    opened.close()


@pytest.fixture
def opened(tmp_path: Path, keyring: Keyring) -> Iterator[Sequencer]:
    """A sequencer with nothing in it."""
    made = Sequencer(tmp_path / "data", keyring)
    yield made
    made.close()
