"""Nobody waits for an erasure that takes long: neither who decides nor who only looks."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.control.link import ControlLink
from affidavit.query import language
from affidavit.vault.erase import Eraser
from tests.faults import pruning_story
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer
from tests.world.erasures import NOW, Recorder, asked, erased

PATIENCE = 20.0
"""Seconds of a machine that has much else to do; the erasure beside it goes on for longer."""


class _Long:
    """The vault's part of an erasure goes on until ``let`` is set; ``begun`` says that it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.let = threading.Event(), threading.Event()
        records = Eraser.records

        def slow(engine: Eraser, *args: Any) -> Any:
            self.begun.set()
            assert self.let.wait(10 * PATIENCE)
            return records(engine, *args)

        monkeypatch.setattr(Eraser, "records", slow)


async def _ask(link: ControlLink, method: str, **params: Any) -> Any:
    return await link.call(method, params, within=PATIENCE)


async def _granted(link: ControlLink, session: str, me: Any, second: Any, **more: Any) -> str:
    made = await _ask(link, "erasures.ask", **asked("session", session, me, **more))
    await _ask(link, "approvals.decide", id=made["asked"], grant=True, **_by(second))
    return str(made["id"])


async def _hold(link: ControlLink, who: Any, expression: str) -> dict[str, Any]:
    tree = msgspec.json.encode(language.parse(expression, NOW)).decode()
    words = {"expression": expression, "recorded": expression, "tree": tree}
    placed: dict[str, Any] = await _ask(
        link, "holds.place", matter="Doe", owner="o", reason="r", **words, **_by(who)
    )
    return placed


def test_people_are_answered_while_an_erasure_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would go, what is left and why, certificates, holds, grants and keys."""
    root = _root(tmp_path, "")

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        bot, recorder = await _key(link, "bot", "caller"), await Recorder.open(root, link)
        for name in ("waits", "long", "next"):
            await recorder.exchange(bot, name, session=name)
        await recorder.indexed()
        hold = await _hold(link, me, "session:ses_waits type:exchange.request")
        waits = await _granted(link, "ses_waits", me, second, when_due=True)
        await erased(link, waits, "waiting")
        long = _Long(monkeypatch)
        try:
            goes = await _granted(link, "ses_long", me, second)
            assert await asyncio.to_thread(long.begun.wait, PATIENCE)
            plan = await _ask(link, "erasures.ask", **asked("session", "ses_next", me, dry=True))
            assert plan["now"] == 2
            left = await _ask(link, "erasures.show", id=waits)
            assert [one["why"] for one in left["later"]] == [f"legal hold {hold['id']}"]
            assert (await _ask(link, "erasures.show", id=goes))["state"] == "running"
            await _granted(link, "ses_next", me, second)
            await _hold(link, me, "session:ses_next")
            over = await _ask(link, "holds.release", id=hold["id"], reason="settled", **_by(me))
            await _ask(link, "approvals.decide", id=over["asked"], grant=True, **_by(second))
            await _ask(link, "keys.create", name="another", role="caller")
            listed = await _ask(link, "erasures.list")
            assert [one["state"] for one in listed] == ["waiting", "running", "running"]
        finally:
            long.let.set()
        await erased(link, goes)
        await erased(link, waits)
        await recorder.close()

    assert _sequencer(root, story) == 0


def test_the_log_is_pruned_while_an_erasure_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a hold is placed meanwhile, which the erasure then spares."""
    pruning_story.small(monkeypatch)
    root = _root(tmp_path, "retention: {prune_after_days: 30}\n")
    kept: dict[str, Any] = {}

    async def early(link: ControlLink) -> None:
        kept.update(me=await _key(link, "Ann", "compliance"), second=await _key(link, "B", "owner"))
        bot, recorder = await _key(link, "bot", "caller"), await Recorder.open(root, link)
        await recorder.exchange(bot, "one", session="long")
        await recorder.indexed()
        await recorder.close()

    async def late(link: ControlLink) -> None:
        me, long = kept["me"], _Long(monkeypatch)
        try:
            goes = await _granted(link, "ses_long", me, kept["second"])
            assert await asyncio.to_thread(long.begun.wait, PATIENCE)
            found = await _ask(link, "log.prune", before="4", really=True)
            hold = await _hold(link, me, "session:ses_long")
            while found["stage"]:
                await asyncio.sleep(0.05)
                found = await _ask(link, "log.prune")
            assert (found["error"], found["minimum"]) == (None, 4)
        finally:
            long.let.set()
        left = await erased(link, goes, "waiting")
        assert [one["why"] for one in left["later"]] == [f"legal hold {hold['id']}"]

    assert _sequencer(root, early) == 0
    assert _sequencer(root, late, _Later(40)) == 0
