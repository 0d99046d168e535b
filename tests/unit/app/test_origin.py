"""The ledger's name: made once, its own, and never changed by a configuration."""

from pathlib import Path

import pytest

from affidavit.app import origin
from affidavit.app.paths import Paths
from affidavit.durable import Disk
from affidavit.errors import ConfigError
from affidavit.ledger.note import Signer

FILE = Path("config.yaml")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A data directory without a ledger."""
    found = Paths(tmp_path)
    found.create(Disk())
    return found


def test_two_ledgers_have_two_names_and_keep_them(tmp_path: Path) -> None:
    """Whatever the configuration, which says nothing about it."""
    names = []
    for name in ("a", "b"):
        paths = Paths(tmp_path / name)
        paths.create(Disk())
        names.append(origin.settled(paths, Disk(), "", FILE))
        assert origin.settled(paths, Disk(), "", FILE) == names[-1]
    assert len(set(names)) == 2
    assert all(name.startswith("affidavit/") for name in names)


def test_a_configuration_chooses_the_name_at_the_first_start_only(paths: Paths) -> None:
    """Afterwards it may repeat it or say nothing; another one is refused in a sentence."""
    assert origin.settled(paths, Disk(), "acme.example/log", FILE) == "acme.example/log"
    assert origin.settled(paths, Disk(), "", FILE) == "acme.example/log"
    with pytest.raises(ConfigError) as caught:
        origin.settled(paths, Disk(), "other.example/log", FILE)
    for word in ("acme.example/log", "other.example/log", "config.yaml"):
        assert word in caught.value.message
    assert "--config" in caught.value.hint


def test_a_ledger_from_before_is_known_by_its_key(paths: Paths) -> None:
    """``log.vkey`` names the ledger where nothing else does."""
    (paths.log / "log.vkey").write_text(Signer("old.example/log", bytes(32)).vkey + "\n")
    assert origin.settled(paths, Disk(), "", FILE) == "old.example/log"
    with pytest.raises(ConfigError, match=r"old\.example/log"):
        origin.settled(paths, Disk(), "new.example/log", FILE)
