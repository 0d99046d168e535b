"""What a request knew of a person, once it was denied or nobody answered it: nowhere on disk."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_loop, opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.record.keys import KeyEncryptionKey
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer
from tests.world import rawscan
from tests.world.erasures import Recorder, asked

MAIL = "quendolyn@example.org"


def test_what_was_denied_is_gone_from_keys_and_state_when_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they lie while all runs, logs and free pages too; so of what has lapsed."""
    monkeypatch.setattr(erasure_loop, "PAUSE", 60.0)  # no round comes to help
    root = _root(tmp_path, "")

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        await recorder.exchange(bot, "hello", email=MAIL)
        await recorder.indexed()
        ask = asked("subject", MAIL, me, recorded="hmac:x")
        made = await link.call("erasures.ask", ask)
        assert _told(root) == {"keys.db", "state.db"}
        await link.call("approvals.decide", {"id": made["asked"], "grant": False, **_by(second)})
        assert _told(root) == set()
        await link.call("erasures.ask", ask)
        assert _told(root) == {"keys.db", "state.db"}
        await recorder.close()

    async def later(link: ControlLink) -> None:
        for _ in range(600):
            if not _told(root):
                break
            await asyncio.sleep(0.05)
        assert _told(root) == set()
        assert await link.call("erasures.list", {}) == []

    assert _sequencer(root, story) == 0
    assert _sequencer(root, later, _Later(31)) == 0


def test_what_is_being_read_meanwhile_goes_with_a_later_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The denial is answered all the same, and nobody who records waits for whoever reads."""
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.1)
    root = _root(tmp_path, "")

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        await recorder.exchange(bot, "hello", email=MAIL)
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("subject", MAIL, me, recorded="hmac:x"))
        reader = opening.keyring(Paths(root), SystemClock())
        with reader.alone() as (keys, _):
            rows = keys.execute(
                "SELECT id FROM erasures_known UNION ALL SELECT id FROM bucket_keys"
            )
            next(rows)
            denial: dict[str, Any] = {"id": made["asked"], "grant": False, **_by(second)}
            assert (await link.call("approvals.decide", denial))["state"] == "denied"
            await asyncio.sleep(0.3)
            assert _told(root) == {"keys.db"}, "it is being read"
            rows.close()
        reader.close()
        for _ in range(600):
            if not _told(root):
                break
            await asyncio.sleep(0.05)
        assert _told(root) == set()
        await recorder.close()

    assert _sequencer(root, story) == 0


def _told(root: Path) -> set[str]:
    """The databases of which some byte on disk still says the address, opened with their keys."""
    paths = Paths(root)
    kek = KeyEncryptionKey.load(paths.key_encryption_key)
    keyring = opening.keyring(paths, SystemClock())
    keys = {paths.key_database: kek.derive("keys.db")}
    keys[paths.state] = keyring.database_key("state.db")
    keyring.close()
    wanted = MAIL.encode()
    return {
        path.name
        for path, key in keys.items()
        if any(wanted in pages for pages in rawscan.states(path, key))
    }
