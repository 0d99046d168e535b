"""A first start: what is made, how private it is, and that a cut one is begun again."""

import os
import stat
import sys
from pathlib import Path

import pytest

from affidavit import config, durable
from affidavit.app import first_start, opening
from affidavit.app.paths import Paths
from affidavit.app.up import up
from affidavit.clock import SystemClock
from affidavit.control.identity import Directory
from affidavit.control.store import IdentityStore
from affidavit.durable import Disk
from affidavit.errors import CheckFailedError, UnavailableError
from tests.world.fakedisk import Crash, FakeEffects, Fault, at


def _prepare(root: Path, disk: Disk | None = None) -> bool:
    return first_start.prepare(
        Paths(root), disk or Disk(), SystemClock(), demo=False, configured=False
    )


def _identities(root: Path) -> IdentityStore:
    paths = Paths(root)
    key = opening.database_key(paths, "state.db")
    return IdentityStore(durable.open_database(paths.state, key), SystemClock())


def test_everything_is_made_once_and_private(tmp_path: Path) -> None:
    """Directories 0700, keys 0600; the owner's key file opens the door; a second start keeps it."""
    root = tmp_path / "data"
    assert _prepare(root)
    paths = Paths(root)
    for path in (paths.keys, paths.run, paths.vault, paths.journal):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (paths.key_encryption_key, paths.owner_key, paths.config):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = paths.owner_key.read_text().strip()
    assert Directory(_identities(root).all()).find(token).role == "owner"
    assert not _prepare(root)
    assert paths.owner_key.read_text().strip() == token
    assert len(_identities(root).all()) == 1


def test_the_configuration_written_is_valid_and_names_no_ledger(tmp_path: Path) -> None:
    """What names the ledger is kept with the ledger."""
    _prepare(tmp_path / "d")
    assert config.load(Paths(tmp_path / "d").config, {}).log.origin == ""


def test_beside_a_configuration_of_its_own_none_is_written(tmp_path: Path) -> None:
    """With --config there is one configuration, not two."""
    paths = Paths(tmp_path / "d")
    assert first_start.prepare(paths, Disk(), SystemClock(), demo=False, configured=True)
    assert not paths.config.exists()


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    """--data FILE is one sentence, and the file stays as it is."""
    (tmp_path / "d").write_text("mine")
    with pytest.raises(UnavailableError, match="is a file"):
        _prepare(tmp_path / "d")
    assert (tmp_path / "d").read_text() == "mine"


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """Nothing is put beside what is not ours."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UnavailableError, match="other files"):
        _prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_key_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    """The key-encryption key has to be private, or nothing starts."""
    _prepare(tmp_path / "d")
    Paths(tmp_path / "d").key_encryption_key.chmod(0o644)
    with pytest.raises(UnavailableError, match="others"):
        _prepare(tmp_path / "d")


@pytest.mark.skipif(os.getuid() == 0, reason="not proven: root writes everywhere")
def test_a_read_only_place_has_its_sentence(tmp_path: Path) -> None:
    """No traceback, but what could not be done."""
    tmp_path.chmod(0o500)
    with pytest.raises(UnavailableError, match="could not be prepared"):
        _prepare(tmp_path / "d")


def test_cut_at_every_effect_the_next_start_makes_it_whole(tmp_path: Path) -> None:
    """Wherever a first start dies, the next one gives exactly one owner whose key works."""
    number = 0
    while True:
        root = tmp_path / str(number)
        fault = Fault(at(number), error=0)
        try:
            _prepare(root, Disk(FakeEffects(tmp_path, fault)))
        except Crash:
            assert fault.fired == 1
        else:
            break
        _prepare(root)
        owners = [i for i in _identities(root).all() if i.role == "owner"]
        token = Paths(root).owner_key.read_text().strip()
        assert Directory(owners).find(token) in owners
        assert len(owners) == 1
        number += 1
    assert number > 15


def test_little_space_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a gibibyte there is a sentence, above there is none."""
    assert first_start.little_space(tmp_path) is None or first_start.LOW_SPACE > 0
    monkeypatch.setattr(first_start, "LOW_SPACE", 1 << 60)
    assert "MiB are free" in (first_start.little_space(tmp_path) or "")


def test_a_lost_key_is_told_and_no_other_one_made(tmp_path: Path) -> None:
    """A second key would make everything under the first unreadable for good."""
    root = tmp_path / "d"
    _prepare(root)
    paths = Paths(root)
    paths.key_encryption_key.unlink()
    with pytest.raises(UnavailableError, match="is lost") as caught:
        _prepare(root)
    assert "proofs remain" in caught.value.hint
    assert not paths.initialised


def test_a_new_key_is_kept_as_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a passphrase, the next start needs it; another one does not open it."""
    monkeypatch.setattr("affidavit.record.kek.LOG_N", 2)
    monkeypatch.setenv("AFFIDAVIT_PASSPHRASE", "correct horse battery")
    root = tmp_path / "d"
    file = opening.key_file(Paths(root))
    assert first_start.prepare(
        Paths(root), Disk(), SystemClock(), demo=False, configured=False, file=file,
        kind="passphrase",
    )  # fmt: skip
    assert file.kind == "passphrase"
    assert not _prepare(root)
    monkeypatch.setenv("AFFIDAVIT_PASSPHRASE", "correct horse batteries")
    with pytest.raises(CheckFailedError, match="passphrase does not open"):
        _prepare(root)


def test_a_start_that_its_key_source_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without boto3 the directory is not begun, and in one that was there is no key."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    config = tmp_path / "kms.yaml"
    config.write_text("keys: {kind: aws-kms, aws_kms_key: alias/affidavit}\n")
    there = tmp_path / "there"
    there.mkdir()
    for data in (tmp_path / "new", there):
        with pytest.raises(UnavailableError, match="boto3, which is not installed"):
            up(data, config, "127.0.0.1:0", "127.0.0.1:0", 1, demo=False, as_json=True)
    assert not (tmp_path / "new").exists()
    assert not Paths(there).initialised
