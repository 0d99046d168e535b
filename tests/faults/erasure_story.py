"""An erasure that is granted and not begun, and its carrying out in a process that dies at a step.

A step is anything that the erasing task asks the sequencing thread, its own thread or the journal
for, and each effect on the disk of its own thread.
"""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from affidavit.app.erasure_host import Worker
from affidavit.app.erasure_loop import Erasing
from affidavit.app.sequencer import Sequencer
from affidavit.control.link import ControlLink
from affidavit.durable import Effects
from tests.unit.app.test_approving import _by, _key
from tests.unit.app.test_sequencer import _sequencer
from tests.world.erasures import Recorder, asked, erased
from tests.world.zygote import Report, die

MAIL, PHRASE, NAME = "canary.alice@example.com", "zanzibarcanary", "Alice Canary"
_EFFECTS = ("pwrite", "truncate", "fdatasync", "fsync", "rename", "unlink", "fsync_dir")


def prepared(root: Path) -> dict[str, Any]:
    """A person with six exchanges, others beside, and the granted erasure of that person."""
    kept: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        alice = await _key(link, NAME, "caller", kind="person", email=MAIL)
        bot = await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)
        for n in range(6):
            await recorder.exchange(alice, f"{PHRASE} {n}", kind="person", session="s1", email=MAIL)
            await recorder.exchange(bot, f"other {n}", session="s2")
        await recorder.exchange(bot, f"{PHRASE} by a bot", end_user=MAIL)
        await recorder.indexed()
        made = await link.call("erasures.ask", asked("subject", MAIL, me, recorded="hmac:x"))
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        kept.update(id=made["id"], records=made["records"])
        await recorder.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Erasing, "wake", lambda _: None)
        patch.setattr(Erasing, "_round", _search_only)
        assert _sequencer(root, story) == 0
    return kept


async def _search_only(_: Erasing) -> None:
    """A round in which nothing is carried out."""


class _Steps:
    """Counts, and dies before step ``last``; each is reported by name when there is none."""

    def __init__(self, report: Report, last: int) -> None:
        self._report = report
        self._last = last
        self._lock = threading.Lock()
        self.count = 0

    def step(self, name: str) -> None:
        with self._lock:
            if self.count == self._last:
                die()
            self.count += 1


def carry_out(report: Report, root: str, erasure: str, last: int) -> None:
    """Carry the erasure out and die before step ``last`` (-1: not at all); how many there were."""
    steps = _Steps(report, last)
    task: list[Any] = []

    def mine() -> bool:
        if threading.current_thread().name.startswith("erasing"):
            return True
        return bool(task) and asyncio.current_task() is task[0]

    def wrapped(owner: type, name: str) -> None:
        before = getattr(owner, name)

        async def after(self: Any, *given: Any, **more: Any) -> Any:
            if mine():
                steps.step(name)
            return await before(self, *given, **more)

        setattr(owner, name, after)

    def counted(name: str) -> None:
        before = getattr(Effects, name)

        def after(self: Any, *given: Any) -> Any:
            if threading.current_thread().name.startswith("erasing"):
                steps.step(name)
            return before(self, *given)

        setattr(Effects, name, after)

    run = Erasing._run

    async def noted(self: Erasing) -> None:
        task.append(asyncio.current_task())
        await run(self)

    Erasing._run = noted  # type: ignore[method-assign] # in a process of its own
    wrapped(Worker, "do")
    wrapped(Sequencer, "ask")
    wrapped(Sequencer, "record")
    for name in _EFFECTS:
        counted(name)

    async def story(link: ControlLink) -> None:
        await erased(link, erasure, within=60.0)

    assert _sequencer(Path(root), story) == 0
    report(steps.count)
