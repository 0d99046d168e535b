"""A key of a person that is made or revoked while the person is forgotten brings no name back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_loop, erasure_run, opening
from affidavit.app.erasure_run import Runs
from affidavit.app.paths import Paths
from affidavit.app.sequencer import Sequencer
from affidavit.clock import SystemClock
from affidavit.control.erasures import Erasure
from affidavit.control.link import ControlLink
from affidavit.ledger.log_reader import LogReader
from affidavit.record.model import Record
from affidavit.vault.reader import VaultReader
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _sequencer
from tests.world.erasures import Recorder, asked, erased


def _named(root: Path) -> set[str]:
    """The names in section ``person`` of all records, as far as they open."""
    paths = Paths(root)
    keyring, log = opening.keyring(paths, SystemClock()), LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, log.decoded)
    people = [vault.sections(i).get("person", {}) for i in range(log.checkpoint().size)]
    vault.close()
    keyring.close()
    return {one["name"] for one in people if "name" in one}


@pytest.mark.parametrize("change", ["created", "revoked"])
def test_a_key_that_changes_meanwhile_brings_no_name_back(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose key it is was read before, and is stored, or put on record, after."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)
    root = _root(tmp_path, "")
    names, record = Runs._names, Sequencer.record
    slow = False

    async def story(link: ControlLink) -> None:
        nonlocal slow
        begins, reached, goes = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def late(runs: Runs, erasure: Erasure) -> Erasure:
            await begins.wait()
            return await names(runs, erasure)

        async def slowly(sequencer: Sequencer, made: Record) -> None:
            if slow and made.type == "change.key":
                reached.set()
                await goes.wait()
            await record(sequencer, made)

        monkeypatch.setattr(Runs, "_names", late)
        monkeypatch.setattr(Sequencer, "record", slowly)
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        person: dict[str, Any] = {"by": _by(owner)["by"], "kind": "person"}
        ann = await _key(link, "Ann", "caller", **person)
        recorder = await Recorder.open(root, link)
        await recorder.exchange(ann, "zanzibar", session="s1", kind="person")
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("subject", ann["actor"], owner))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        slow = True
        wanted = {"name": "Ann", "role": "caller", **person} if change == "created" else ann
        method = "keys.create" if change == "created" else "keys.revoke"
        task = asyncio.create_task(link.call(method, wanted))
        await reached.wait()
        slow = False
        begins.set()
        await asyncio.sleep(0.5)
        goes.set()
        await task
        await erased(link, made["id"])
        every = await link.call("keys.list", {})
        theirs = [one for one in every if one["actor"] == ann["actor"]]
        assert [(one["name"], one["revoked"] is None) for one in theirs] == [
            ("", False) for _ in theirs
        ]
        await recorder.close()

    assert _sequencer(root, story) == 0
    assert "Own" in _named(root)
    assert "Ann" not in _named(root)
