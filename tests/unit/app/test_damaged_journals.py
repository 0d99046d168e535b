"""What went is not left in a journal that is kept because it is damaged."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_choice, erasure_loop, erasure_run, opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.evidence import certificate
from affidavit.ledger import intake
from affidavit.record.journal_format import HEADER_BYTES, PREFIX
from affidavit.record.journal_reader import JournalReader
from affidavit.record.model import Written
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer, _types
from tests.world.erasures import Recorder, asked, erased


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage is believed at once, and answers take longer than an erasure waits for them."""
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(erasure_choice, "WAIT", 0.1)
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)


def _died(root: Path, *, open_: bool = False) -> dict[str, Any]:
    """A gateway that dies with the sequencer: its journal is there. Two keys of owners."""
    kept: dict[str, Any] = {}

    async def early(link: ControlLink) -> None:
        kept.update(owner=await _key(link, "Own", "owner"), ben=await _key(link, "Ben", "owner"))
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        for session in ("s1", "s2"):
            await recorder.exchange(bot, "zanzibar", session=session, retention_class="short")
        if open_:
            never = recorder.exchange(bot, "samarkand", session="s3", answer_at=asyncio.Event())
            task = asyncio.create_task(never)
            await recorder.indexed()
            task.cancel()
        await recorder.indexed()
        assert recorder._following is not None
        recorder._following.cancel()
        kept["journal"] = recorder.journal

    assert _sequencer(root, early) == 0
    kept["journal"].abandon()
    return kept


def _segment(root: Path, kept: dict[str, Any]) -> Path:
    name: str = kept["journal"].incarnation
    return Paths(root).journal / name / "00000000.seg"


def _damage(root: Path, kept: dict[str, Any]) -> None:
    """Change a byte of a frame behind which another one is whole."""
    path = _segment(root, kept)
    data, at, frames = bytearray(path.read_bytes()), HEADER_BYTES, list[int]()
    while length := PREFIX.unpack_from(data, at)[0]:
        frames.append(at)
        at += PREFIX.size + length
    data[frames[3] + PREFIX.size + 20] ^= 1
    path.write_bytes(data)


def _opens(root: Path, kept: dict[str, Any]) -> bool:
    """Whether some prompt can be read in the journal, by the keys there are."""
    keyring = opening.keyring(Paths(root), SystemClock())
    try:
        reader = JournalReader(_segment(root, kept).parent, keyring.open_segment_key)
        frames = [frame for _, frame in reader.poll() if isinstance(frame, Written)]
        reader.close()
        return any(b"zanzibar" in body for one in frames for body in one.bodies if body)
    finally:
        keyring.close()


async def _kept(link: ControlLink) -> None:
    """Wait until the journal is kept."""
    for _ in range(600):
        trouble = (await link.call("status", {}))["trouble"]
        if any(why.startswith("Kept") for why in trouble.values()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(trouble)


async def _erase(link: ControlLink, kept: dict[str, Any], session: str) -> list[str]:
    """Erase a session; what remains by the certificate."""
    made = await link.call("erasures.ask", asked("session", f"ses_{session}", kept["owner"]))
    await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(kept["ben"])})
    done = await erased(link, made["id"])
    lines = certificate.check(done["certificates"][-1].encode(), []).lines
    return [value for name, value in lines if name == "remains"]


SHORT = "retention: {classes: {short: {maximum: 2d}}}\n"
LOCKED = ["the unread rest of 1 damaged journal, without a key"]


def test_what_was_erased_opens_in_no_journal_that_is_kept(tmp_path: Path) -> None:
    """Looked at as long as nothing is erased; then its keys go, for every later certificate."""
    root = _root(tmp_path, SHORT)
    kept = _died(root)
    _damage(root, kept)

    async def damaged(link: ControlLink) -> None:
        await _kept(link)

    async def erases(link: ControlLink) -> None:
        await _kept(link)
        assert await _erase(link, kept, "s1") == LOCKED

    async def again(link: ControlLink) -> None:
        await _kept(link)
        assert await _erase(link, kept, "s2") == LOCKED

    assert _sequencer(root, damaged) == 0
    assert _opens(root, kept)
    assert _sequencer(root, erases) == 0
    assert not _opens(root, kept)
    assert _sequencer(root, again) == 0
    assert _types(root).count("ledger.gap") == 1


@pytest.mark.slow
def test_what_expired_opens_in_no_journal_that_is_kept(tmp_path: Path) -> None:
    """The journal is of its day."""
    root = _root(tmp_path, SHORT)
    kept = _died(root)
    _damage(root, kept)

    async def expires(link: ControlLink) -> None:
        await _kept(link)
        await _over(link)

    assert _sequencer(root, expires, _Later(1)) == 0
    assert _opens(root, kept)
    assert _sequencer(root, expires, _Later(4)) == 0
    assert not _opens(root, kept)
    assert _types(root).count("retention.expired") == 1


async def _over(link: ControlLink) -> None:
    """Have expire what is due, and wait for it."""
    found = await link.call("retention.run", {"begin": True})
    while found["running"]:
        await asyncio.sleep(0.05)
        found = await link.call("retention.run", {})
