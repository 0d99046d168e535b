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
from affidavit.vault import wraps
from affidavit.vault.erase import Eraser
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer
from tests.world.audit import audit
from tests.world.erasures import Recorder, asked, erased

NOW = "2026-11-23T12:00:00.000000Z"
SHORT = "retention: {classes: {short: {maximum: 2d}}}\n"


async def expired(link: ControlLink) -> dict[str, Any]:
    """Wait until something has expired; what is told of it."""
    for _ in range(600):
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


def _fails(*_: object, **__: object) -> None:
    raise OSError("the disk")


def _kept_longer(root: Path) -> None:
    text = (root / "config.yaml").read_text()
    assert "short: {maximum: 2d}" in text
    text = text.replace("short: {maximum: 2d}", "short: {minimum: 10d}")
    (root / "config.yaml").write_text(text)


@pytest.mark.slow
def test_what_was_begun_is_not_gone_on_with_against_the_rules_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expiry on record and cut short by the disk; then the class has to be kept for longer."""
    root = _root(tmp_path, SHORT)
    kept: dict[str, Any] = {}

    async def early(link: ControlLink) -> None:
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        kept["one"] = await recorder.exchange(bot, "x", session="s1", retention_class="short")
        await recorder.indexed()
        await recorder.close()

    async def wait(link: ControlLink) -> None:
        found = await link.call("retention.run", {"begin": True})
        while found["running"]:
            await asyncio.sleep(0.05)
            found = await link.call("retention.run", {})
        kept["problem"] = found["problem"]

    assert _sequencer(root, early) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Eraser, "_write_down", _fails)
        assert _sequencer(root, wait, _Later(4)) == 0
    _kept_longer(root)
    assert _sequencer(root, wait, _Later(4)) == 0
    assert kept["problem"] is None
    found = audit(root, beside=tmp_path / "beside")
    assert found.types["retention.expired"]
    assert found.requests[kept["one"]].parts


@pytest.mark.slow
def test_an_erasure_under_way_waits_for_a_minimum_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen and cut short by the disk; by the next start the class has a minimum."""
    root = _root(tmp_path, SHORT)
    kept: dict[str, Any] = {}

    async def first(link: ControlLink) -> None:
        owner, second = await _key(link, "Ann", "owner"), await _key(link, "Ben", "auditor")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        kept["one"] = await recorder.exchange(bot, "x", session="s1", retention_class="short")
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("session", "ses_s1", owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        for _ in range(1500):
            if (await link.call("status", {}))["erasing_problem"]:
                break
            await asyncio.sleep(0.02)
        kept["id"] = made["id"]
        await recorder.close()

    async def later(link: ControlLink) -> None:
        done = await erased(link, kept["id"], "waiting")
        assert done["tally"]["records"] == 0
        assert [one["records"] for one in done["later"]] == [2]

    with monkeypatch.context() as patch:
        patch.setattr(Eraser, "_write_down", _fails)
        assert _sequencer(root, first) == 0
    _kept_longer(root)
    assert _sequencer(root, later) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert found.requests[kept["one"]].parts


def _damage(root: Path, retention_class: str) -> tuple[Path, bytes]:
    """The second of several entries; the file, and what was in it."""
    (path,) = (root / "vault").glob(f"*/{retention_class}/*/*.wraps")
    whole = path.read_bytes()
    begin = list(wraps.scan(whole[wraps.HEADER_BYTES :]))[1][1]
    data = bytearray(whole)
    data[wraps.HEADER_BYTES + begin + 20] ^= 1
    path.write_bytes(data)
    return path, whole


def test_a_damaged_bucket_keeps_nothing_else_from_going(tmp_path: Path) -> None:
    """Neither another one that is over its maximum nor what was granted.

    It is on record once, and goes when the file is whole again.
    """
    classes = "{short: {maximum: 1d}, brief: {maximum: 2d}}"
    root = _root(tmp_path, f"retention: {{classes: {classes}}}\n")
    kept: dict[str, Any] = {}

    async def early(link: ControlLink) -> None:
        kept.update(own=await _key(link, "Ann", "owner"), ben=await _key(link, "Ben", "owner"))
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        for name in ("brief", "default", "short", "short"):
            made = await recorder.exchange(bot, "x", session=name, retention_class=name)
            kept[name] = made
        await recorder.indexed()
        await recorder.close()

    async def expire(link: ControlLink) -> Any:
        found = await link.call("retention.run", {"begin": True})
        while found["running"]:
            await asyncio.sleep(0.05)
            found = await link.call("retention.run", {})
        return found["problem"]

    async def late(link: ControlLink) -> None:
        for _ in range(2):
            assert "damaged at byte" in await expire(link)
        made = await link.call("erasures.ask", asked("session", "ses_default", kept["own"]))
        answer = {"id": made["asked"], "grant": True, **_by(kept["ben"])}
        await link.call("approvals.decide", answer)
        await erased(link, made["id"])
        assert "damaged at byte" in (await link.call("status", {}))["erasing_problem"]

    async def mended(link: ControlLink) -> None:
        assert await expire(link) is None

    assert _sequencer(root, early) == 0
    path, whole = _damage(root, "short")
    assert _sequencer(root, late, _Later(4)) == 0
    path.write_bytes(whole)
    assert _sequencer(root, mended, _Later(4)) == 0
    found = audit(root, beside=tmp_path / "beside")
    assert [found.requests[kept[name]].parts for name in ("brief", "default", "short")] == [{}] * 3
    assert found.types["retention.expired"] == 2
