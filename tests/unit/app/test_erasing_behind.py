"""What was recorded before an erasure and is ordered later: it goes, too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_loop, erasure_run, forgetting
from affidavit.control.link import ControlLink
from affidavit.ledger.intake import Intake
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_erasing_late import _said
from tests.unit.app.test_sequencer import _sequencer
from tests.world.erasures import Recorder, asked, erased

SLOW = 1.0
"""Seconds in which nothing is taken in, as there is much to do or a disk is slow."""


@pytest.mark.parametrize(
    "kind",
    ["subject", pytest.param("session", marks=pytest.mark.slow),
     pytest.param("tenant", marks=pytest.mark.slow)],
)  # fmt: skip
def test_what_waits_in_journals_goes_with_the_rest(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was acknowledged before anybody granted the erasure, and nobody had ordered it yet."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)
    step, waits = Intake._step, False

    def slow(intake: Intake) -> int:
        return 0 if waits else step(intake)

    monkeypatch.setattr(Intake, "_step", slow)
    root, anew, real = _root(tmp_path, ""), list[bool](), forgetting.leave_none

    def leave_none(*stores: Any) -> None:
        anew.append(True)
        real(*stores)

    monkeypatch.setattr(forgetting, "leave_none", leave_none)

    async def story(link: ControlLink) -> None:
        nonlocal waits
        owner, second = await _key(link, "Own", "owner"), await _key(link, "Ben", "owner")
        acme: dict[str, Any] = {"tenant": "acme", "by": _by(owner)["by"], "kind": "person"}
        ann = await _key(link, "Ann", "caller", **acme)
        recorder = await Recorder.open(root, link)
        await recorder.exchange(ann, "zanzibar", session="s1", kind="person")
        await recorder.indexed()
        target = {"subject": ann["actor"], "session": "ses_s1", "tenant": "acme"}[kind]
        made = await link.call("erasures.ask", asked(kind, target, owner))
        waits = True
        await recorder.exchange(ann, "zanzibar again", session="s1", kind="person")
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        await asyncio.sleep(SLOW)
        waits = False
        done = await erased(link, made["id"])
        ended = kind == "tenant"  # the record that her key ended is of the tenant, too
        assert done["tally"]["records"] == made["records"] + 2 + ended
        await recorder.close()

    assert _sequencer(root, story) == 0
    assert list(_said(root, "zanzibar")) == []
    assert anew == [True] * (kind != "session"), "no page has a copy of a name"
