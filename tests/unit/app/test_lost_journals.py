"""A journal is missing: its requests are closed, and an erasure that waited for answers is done."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_choice, erasure_loop, erasure_run, purging, sequencer
from affidavit.app.backup import Copying, stopped
from affidavit.app.paths import Paths
from affidavit.app.restoring import Restoring
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.record.model import View
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_erasing_late import UNDER_WAY
from tests.unit.app.test_restored_erasures import _keys_of_now
from tests.unit.app.test_sequencer import _sequencer
from tests.world.audit import audit
from tests.world.erasures import Recorder, asked, erased
from tests.world.intake import UNKNOWN

Kept = dict[str, Any]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers take longer than an erasure, or the end of a process, waits for them."""
    monkeypatch.setattr(erasure_choice, "WAIT", 0.1)
    monkeypatch.setattr(purging, "WAIT", 0.1)
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)
    monkeypatch.setattr(sequencer, "FINISH_SECONDS", 0.1)


async def _under_way(link: ControlLink, root: Path, kept: Kept) -> None:
    """Two exchanges without an answer; the session of one is erased, which waits for it."""
    owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
    bot = await _key(link, "bot", "caller")
    kept["recorder"] = recorder = await Recorder.open(root, link)
    never = asyncio.Event()
    kept["calls"] = [
        asyncio.create_task(recorder.exchange(bot, word, session=name, answer_at=never))
        for name, word in (("s1", "zanzibar"), ("s2", "samarkand"))
    ]
    await recorder.indexed()
    made = await link.call("erasures.ask", asked("session", "ses_s1", owner))
    await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
    waits = await erased(link, made["id"], "waiting")
    assert waits["later"] == [{"records": 1, "until": "", "why": UNDER_WAY}]
    kept["id"] = made["id"]


async def _problem(link: ControlLink, *, there: bool) -> str | None:
    """What the status says of erasing, once it says something, or nothing any more."""
    for _ in range(600):
        problem: str | None = (await link.call("status", {}))["erasing_problem"]
        if (problem is not None) == there:
            break
        await asyncio.sleep(0.05)
    return problem


async def _end(kept: Kept) -> None:
    for call in kept["calls"]:
        call.cancel()
    await asyncio.gather(*kept["calls"], return_exceptions=True)
    await kept["recorder"].close()


def _judge(root: Path, beside: Path, kept: Kept) -> list[View]:
    """The outcomes of both, of one of which nothing is left to read; the other one's request."""
    assert kept["done"]["certified"] == 2
    assert kept["done"]["tally"]["records"] == 1
    found = audit(root, beside=beside)
    (stays,) = (view for view in found.requests.values() if view.parts)
    answer = found.outcomes[stays.id].sections
    (gone,) = (one for name, one in found.outcomes.items() if name != stays.id)
    assert gone.sections == {}
    assert answer["who"] == stays.sections["who"]
    assert answer["what"]["gen_ai.request.model"] == "m"
    assert answer["outcome"]["outcome"] == "interrupted"
    assert UNKNOWN in answer["outcome"]["error"]["message"]
    assert len(found.gaps) == 1
    return [stays, gone]


def test_an_erasure_waits_for_what_a_missing_journal_cannot_answer(tmp_path: Path) -> None:
    """The journal is removed while the sequencer runs: the outcome comes, and goes."""
    root = _root(tmp_path, "")
    kept: Kept = {}

    async def story(link: ControlLink) -> None:
        await _under_way(link, root, kept)
        await _end(kept)
        shutil.rmtree(Paths(root).journal / kept["recorder"].journal.incarnation)
        kept["done"] = await erased(link, kept["id"])

    assert _sequencer(root, story) == 0
    _judge(root, tmp_path / "beside", kept)


def test_an_erasure_says_that_it_waits_for_a_damaged_journal(tmp_path: Path) -> None:
    """Of a journal whose end is damaged no answer comes: request and status say so, by its name."""
    root = _root(tmp_path, "")
    kept: Kept = {}

    async def story(link: ControlLink) -> None:
        await _under_way(link, root, kept)
        assert (await link.call("status", {}))["erasing_problem"] is None

    async def later(link: ControlLink) -> None:
        problem = await _problem(link, there=True)
        named = f"journal {kept['recorder'].journal.incarnation}"
        assert problem == (
            f"{kept['id']} waits for answers that do not come before somebody has seen to {named}."
        )
        waits = await link.call("erasures.show", {"id": kept["id"]})
        why = "answers that wait for what is damaged, and somebody has to see to"
        assert waits["later"] == [{"records": 1, "until": "", "why": why}]
        shutil.rmtree(Paths(root).journal / kept["recorder"].journal.incarnation)
        kept["done"] = await erased(link, kept["id"])
        assert await _problem(link, there=False) is None

    assert _sequencer(root, story) == 0
    kept["recorder"].journal.abandon()
    (Paths(root).journal / kept["recorder"].journal.incarnation / "end").write_bytes(b"{")
    assert _sequencer(root, later) == 0
    _judge(root, tmp_path / "beside", kept)


@pytest.mark.slow
def test_after_a_restore_requests_of_then_are_closed(tmp_path: Path) -> None:
    """No journal is in a backup: what was under way has its outcome, and the erasure sees it."""
    root = _root(tmp_path, "")
    kept: Kept = {}
    assert _sequencer(root, lambda link: _under_way(link, root, kept)) == 0
    paths, disk = Paths(root), Disk()
    cut = stopped(paths, disk, SystemClock(), keys=False)
    Copying(paths, cut, tmp_path / "backup", disk, lambda *_: None).run()
    kept["recorder"].journal.abandon()
    keys, new = tmp_path / "keys", tmp_path / "new"
    _keys_of_now(root, tmp_path / "backup", keys)
    Restoring(tmp_path / "backup", new, keys, disk, SystemClock(), {}).run()

    async def later(link: ControlLink) -> None:
        kept["done"] = await erased(link, kept["id"])

    assert _sequencer(new, later) == 0
    _judge(new, tmp_path / "beside", kept)
