from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.ledger import fsck
from tests.world import ledger
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
