"""Pruning beside holds and classes: what any of them keeps, keeps its leaves."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app.clock_doubt import ClockDoubt
from affidavit.app.erasure_loop import Erasing
from affidavit.control.link import ControlLink
from affidavit.errors import RefusedError, UnavailableError
from affidavit.ledger.log_reader import LogReader
from affidavit.query import language
from tests.faults import pruning_story
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer
from tests.world.erasures import NOW, Recorder


async def _lost(_: Erasing) -> list[str]:
    return ["0199"]


async def _doubted(_: ClockDoubt) -> None:
    raise UnavailableError("Nothing is removed until somebody says which day it is.")


DOUBTS: dict[str, tuple[type, str, Any]] = {
    "lost": (Erasing, "lost", _lost), "clock": (ClockDoubt, "refuse", _doubted)
}  # fmt: skip
CLASSES = "retention: {classes: {logs: {regimes: [sox-7y], expires: leaves}}}\n"


def test_holds_and_minimums_keep_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that was taken out of the configuration keeps them for ever, a hold till its end.

    An answer that has to stay keeps its request, which is in an earlier bundle. Nothing goes while
    a hold is lost or the day in doubt.
    """
    pruning_story.small(monkeypatch)
    root = _root(tmp_path, CLASSES)
    kept: dict[str, str] = {}

    async def early(link: ControlLink) -> None:
        owner, bot = await _key(link, "Ann", "owner"), await _key(link, "bot", "caller")
        recorder = await Recorder.open(root, link)

        async def late(name: str, **more: Any) -> None:
            """An exchange whose answer stands two bundles behind its request."""
            answered = asyncio.Event()
            task = asyncio.create_task(recorder.exchange(bot, name, answer_at=answered, **more))
            await asyncio.sleep(0)
            for number in range(4):
                await recorder.exchange(bot, f"beside {name} {number}")
            answered.set()
            kept[name] = await task

        await recorder.exchange(bot, "before")
        await late("held", session="s2")
        await late("seven", answer_class="logs")
        for number in range(3):
            await recorder.exchange(bot, f"after {number}")
        await recorder.indexed()
        words = "session:ses_s2 type:exchange.response"
        tree = msgspec.json.encode(language.parse(words, NOW)).decode()
        await link.call("holds.place", {
            "expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
            "reason": "r", **_by(owner)})  # fmt: skip
        await recorder.close()

    assert _sequencer(root, early) == 0
    reader = LogReader(root / "log")
    size = reader.checkpoint().size
    at = {reader.decoded(index).id: index for index in range(size)}
    answers = {reader.decoded(index).re: index for index in range(size)}
    held, seven = at[kept["held"]], at[kept["seven"]]
    answer, last = answers[held], answers[seven]
    assert 0 < held // 4 < answer // 4 <= seven // 4 < last // 4 < (size - 4) // 4

    async def pruned(link: ControlLink, before: int) -> dict[str, Any]:
        found: dict[str, Any] = await link.call(
            "log.prune", {"before": str(before), "really": True}
        )
        while found["stage"]:
            await asyncio.sleep(0.02)
            found = await link.call("log.prune", {})
        return found

    async def late(link: ControlLink) -> None:
        (hold,) = await link.call("holds.list", {})
        for name, why in (("lost", "placed again"), ("clock", "which day")):
            with monkeypatch.context() as patch:
                patch.setattr(*DOUBTS[name])
                with pytest.raises(UnavailableError, match=why):
                    await link.call("log.prune", {"before": str(size), "really": True})
        for really in (False, True):
            with pytest.raises(RefusedError, match=f"Leaf {held} is under a legal hold"):
                await link.call("log.prune", {"before": str(size), "really": really})
        none = await pruned(link, answer)
        told = f"Leaf {held} is the request of leaf {answer}, which is under a legal hold."
        assert (none["error"]["message"], none["minimum"]) == (told, 0)
        less = await pruned(link, held)
        assert (less["error"], less["minimum"]) == (None, held // 4 * 4)
        ask = {"id": hold["id"], "reason": "settled"}
        owner, second = hold["by"], (await _key(link, "Ben", "owner"))
        asked = await link.call(
            "holds.release",
            ask | {"identity": owner, "by": {"tenant": "default", "actor": hold["actor"]}},
        )
        await link.call("approvals.decide", {"id": asked["asked"], "grant": True, **_by(second)})
        with pytest.raises(RefusedError, match=f"Leaf {last} is of .*logs is not in the config"):
            await link.call("log.prune", {"before": str(size), "really": True})
        none = await pruned(link, last)
        told = f"Leaf {seven} is the request of leaf {last}, of "
        assert none["error"]["message"].startswith(told)
        assert none["minimum"] == held // 4 * 4
        more = await pruned(link, seven)
        assert (more["error"], more["minimum"]) == (None, seven // 4 * 4)

    config = root / "config.yaml"
    config.write_text(config.read_text().replace(CLASSES, "retention: {prune_after_days: 30}\n"))
    assert _sequencer(root, late, _Later(40)) == 0
