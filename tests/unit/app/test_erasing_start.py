"""A gateway that starts while an erasure destroys the keys of journals loses nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_loop, erasure_run, purging, snapshots
from affidavit.control.link import ControlLink
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _sequencer
from tests.world.audit import audit
from tests.world.erasures import Recorder, asked, erased

_START_SECONDS = purging.START_SECONDS


def test_who_starts_under_the_key_that_goes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told the old key, and begins its journal after all others have begun theirs anew."""
    monkeypatch.setattr(purging, "START_SECONDS", _START_SECONDS)
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)
    root = _root(tmp_path, "")
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        await recorder.exchange(bot, "zanzibar", session="s1")
        await recorder.indexed()
        await recorder.close()
        old, now = await snapshots.first(link), snapshots.first
        made = await link.call("erasures.ask", asked("session", "ses_s1", owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        while (await now(link)).recipient_day == old.recipient_day:  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.6)

        async def told(*_: Any) -> Any:
            return old

        with monkeypatch.context() as patched:
            patched.setattr(snapshots, "first", told)
            late = await Recorder.open(root, link)
        kept["id"] = await late.exchange(bot, "samarkand", session="s2")
        await erased(link, made["id"])
        await late.indexed()
        assert (await link.call("status", {}))["trouble"] == {}
        await late.close()

    assert _sequencer(root, story) == 0
    assert audit(root, beside=tmp_path / "beside").requests[kept["id"]].parts
