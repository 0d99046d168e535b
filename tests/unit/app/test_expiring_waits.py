"""What expires by itself waits for whatever could say that it is held."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app import indexing
from affidavit.control.link import ControlLink
from affidavit.query import language
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer
from tests.world.audit import audit
from tests.world.erasures import Recorder

NOW = "2026-11-23T12:00:00.000000Z"
SHORT = "retention: {classes: {short: {maximum: 2d}}}\n"


async def expired(link: ControlLink) -> dict[str, Any]:
    """Wait until something has expired; what is told of it."""
    for _ in range(400):
        found: dict[str, Any] = await link.call("retention.run", {})
        if found["buckets"] and not found["running"]:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


@pytest.mark.slow
def test_a_hold_counts_while_the_index_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is lost, and the process ended before the vault's hold had anything."""
    root = _root(tmp_path, SHORT)
    kept: dict[str, Any] = {}

    async def early(link: ControlLink) -> None:
        owner, bot = await _key(link, "Ann", "owner"), await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        for name in ("held", "goes"):
            made = await recorder.exchange(bot, name, session=name, retention_class="short")
            kept[name] = made
        await recorder.indexed()
        monkeypatch.setattr("affidavit.app.keeping.Keeping.keep", _nothing)
        tree = msgspec.json.encode(language.parse("session:ses_held", NOW)).decode()
        await link.call("holds.place", {
            "expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
            "reason": "r", **_by(owner)})  # fmt: skip
        await recorder.close()

    assert _sequencer(root, early) == 0
    monkeypatch.undo()
    assert not list((root / "vault").rglob("*.hold"))
    for name in ("index.db", "text.db"):
        for end in ("", "-wal", "-shm"):
            (root / (name + end)).unlink(missing_ok=True)
    monkeypatch.setattr(indexing, "NEAR", 3)
    original = indexing.Indexing._caught_up

    def slow(self: indexing.Indexing) -> bool:
        time.sleep(1.5)  # as of a large ledger
        return original(self)

    monkeypatch.setattr(indexing.Indexing, "_caught_up", slow)

    async def late(link: ControlLink) -> None:
        assert (await expired(link))["records"] == 2

    assert _sequencer(root, late, _Later(5)) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["held"]].parts
    assert found.requests[kept["goes"]].parts == {}


async def _nothing(_: object) -> None:
    """A round that does not come so far."""
