"""The key-encryption key is renewed while a sequencer runs, and that is on record, once."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import opening
from affidavit.app.passphrase import VARIABLE, VARIABLES
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.durable import Disk, open_database
from affidavit.errors import UnavailableError, UsageError
from affidavit.ledger.log_reader import LogReader
from affidavit.query import wording
from affidavit.record.model import View
from affidavit.vault.reader import VaultReader
from affidavit.vault.renewal import Renewal
from tests.unit.app.test_sequencer import _sequencer
from tests.world.audit import audit

BY = {"tenant": "default", "actor": "act_x", "kind": "person", "role": "administrator"}


def _changes(root: Path) -> list[View]:
    """The records of renewals, oldest first."""
    paths = Paths(root)
    keyring = opening.keyring(paths, SystemClock())
    reader = LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    try:
        found = [vault.view(index) for index in range(reader.checkpoint().size)]
    finally:
        vault.close()
        keyring.close()
    return [view for view in found if (view.sections.get("what") or {}).get("change") == "renewed"]


def test_a_renewal_is_on_record_by_whom_and_why(tmp_path: Path) -> None:
    """Before and after by name and kind; one after another; the rest stays what it was."""
    root = tmp_path / "d"
    answers: list[dict[str, Any]] = []

    async def story(link: ControlLink) -> None:
        await link.call("keys.create", {"name": "bot", "tenant": "default", "team": "t"})
        reader = opening.keyring(Paths(root), SystemClock())
        asked = {"by": BY, "kind": None, "reason": "once a year"}
        answers.extend(
            await asyncio.gather(*(link.call("keys.rotate", asked, within=30) for _ in range(2)))
        )
        assert reader.has_secret("log/seed")
        reader.close()
        await link.call("keys.create", {"name": "bot 2", "tenant": "default", "team": "t"})
        with pytest.raises(UsageError, match="of kind stone"):
            await link.call("keys.rotate", asked | {"kind": "stone"})

    assert _sequencer(root, story) == 0
    changes = _changes(root)
    assert [view.sections["who"] for view in changes] == [BY, BY]
    assert [view.sections["what"] for view in changes] == [
        one | {"reason": "once a year"} for one in answers
    ]
    first, second = answers
    assert first["after"] == second["before"]
    assert first["before"]["id"] != first["after"]["id"] != second["after"]["id"]
    assert {first["before"]["kind"], second["after"]["kind"]} == {"file"}
    what = changes[0].sections["what"]
    assert wording._of_key(what, what) == "Renewed the key-encryption key"
    audit(root, beside=tmp_path / "beside")


def test_a_passphrase_is_the_running_installations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None, or one too short: nothing is renewed, and it is said whose environment is meant."""
    asked = {"by": BY, "kind": "passphrase", "reason": ""}
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    async def none(link: ControlLink) -> None:
        with pytest.raises(UsageError, match="needs its passphrase") as caught:
            await link.call("keys.rotate", asked)
        assert "environment of affidavit up" in caught.value.hint

    async def short(link: ControlLink) -> None:
        with pytest.raises(UsageError, match="too short: it takes at least 12") as caught:
            await link.call("keys.rotate", asked)
        assert "environment of affidavit up" in caught.value.hint

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "d"
    assert _sequencer(root, none) == 0
    monkeypatch.setenv(VARIABLE, "too short")
    assert _sequencer(root, short) == 0
    assert _changes(root) == []


def test_a_copy_of_the_keys_from_before_opens_nothing_afterwards(tmp_path: Path) -> None:
    """Neither with what the directory has now, nor with anything that is left in it.

    Nor is a copy left that a backup asked for and nobody fetched.
    """
    root, copy = tmp_path / "d", tmp_path / "copy"

    async def story(link: ControlLink) -> None:
        copy.mkdir()
        for path in root.glob("keys.db*"):
            shutil.copy(path, copy)
        cut = await link.call("backup.cut", {"keys": True}, within=30)
        assert (Path(cut["place"]) / "kek").exists()
        await link.call("keys.rotate", {"by": BY}, within=30)
        assert not [path for path in Paths(root).key_copies if path.exists()]

    assert _sequencer(root, story) == 0
    shutil.copytree(root / "keys", copy / "keys")
    with pytest.raises(UnavailableError, match="not a database"):
        opening.keyring(Paths(copy), SystemClock())


@pytest.mark.slow
def test_a_renewal_that_a_crash_kept_from_record_is_told_once(tmp_path: Path) -> None:
    """The key was new and the process gone: the next start says so, the one after it does not."""
    root = tmp_path / "d"

    async def nothing(_: ControlLink) -> None:
        return

    assert _sequencer(root, nothing) == 0
    paths, disk = Paths(root), Disk()
    file = opening.key_file(paths)
    keyring = opening.owner(paths, disk, SystemClock(), file)
    Renewal(disk, paths.key_database, file, keyring).run()
    keyring.close()
    for _ in range(2):
        assert _sequencer(root, nothing) == 0
    (told,) = _changes(root)
    assert told.sections["who"] == {"kind": "service", "role": "owner"}
    assert told.sections["what"]["after"]["kind"] == "file"


@pytest.mark.slow
def test_a_renewal_that_cannot_be_leaves_the_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker hears why; recording goes on, and nothing is on record of it."""
    root = tmp_path / "d"

    def busy(_: object) -> None:
        raise UnavailableError("keys.db is being read for too long.")

    async def story(link: ControlLink) -> None:
        monkeypatch.setattr("affidavit.vault.renewal._empty_log", busy)
        with pytest.raises(UnavailableError, match="too long"):
            await link.call("keys.rotate", {"by": BY}, within=30)
        await link.call("keys.create", {"name": "bot", "tenant": "default", "team": "t"})

    assert _sequencer(root, story) == 0
    assert _changes(root) == []
    key = next(opening.key_file(Paths(root)).candidates()).derive("keys.db")
    open_database(root / "keys.db", key, read_only=True).close()
