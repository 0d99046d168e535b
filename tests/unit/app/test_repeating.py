"""Decisions that are sent again, because their answer did not come: each is made once."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from affidavit.app import repeating
from affidavit.app.deciding import Keep
from affidavit.control.idempotency import Answered
from affidavit.control.link import ControlLink
from affidavit.durable import open_database
from affidavit.errors import KeyReusedError
from affidavit.query import language
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _sequencer, _types
from tests.world.clock import FakeClock
from tests.world.erasures import NOW, Recorder, asked

PATIENCE = 20.0
"""Seconds of a machine that has much else to do."""


def test_what_takes_long_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """The same request waits for its first answer; another one, and one without a key, does not."""
    state = open_database(tmp_path / "s.db", bytes(32))
    done: list[str] = []

    async def ask(work: Any) -> Any:
        return work()

    async def story() -> None:
        let = asyncio.Event()

        async def method(_: Any, params: dict[str, Any], keep: Keep) -> Any:
            assert "once" not in params
            if params["name"] == "long":
                await let.wait()
            done.append(params["name"])
            keep({"n": len(done)})
            return {"n": len(done)}

        host: Any = SimpleNamespace(
            answered=Answered(state, FakeClock()), writing=repeating.Turns(), ask=ask
        )
        write = repeating.once("a.test", method)

        async def sent(name: str, key: str = "", **more: Any) -> Any:
            given = {"once": {"account": "a", "key": key, **more}} if key else {}
            return await write(host, {"name": name, **given})

        longs = [asyncio.create_task(sent("long", "k1")) for _ in range(3)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(sent("short", "k2"), PATIENCE) == {"n": 1}
        assert await asyncio.wait_for(sent("short"), PATIENCE) == {"n": 2}
        let.set()
        first, *again = await asyncio.gather(*longs)
        assert (first, again) == ({"n": 3}, [{"n": 3, "replayed": True}] * 2)
        with pytest.raises(KeyReusedError):
            await sent("other", "k1")
        # What was asked of the sender says whether it is the same, whatever became of it by now.
        assert await sent("as of one", "k3", of={"words": "since:1d"}) == {"n": 4}
        again = await sent("as of two", "k3", of={"words": "since:1d"})
        assert again == {"n": 4, "replayed": True}

    asyncio.run(story())
    assert done == ["short", "short", "long", "as of one"]
    state.close()


def test_a_decision_that_is_sent_again_is_made_once(tmp_path: Path) -> None:
    """Side by side, later, and after a restart: one hold, one release, one erasure, one grant."""
    root = _root(tmp_path, "")
    tree = msgspec.json.encode(language.parse("session:ses_x", NOW)).decode()
    sent: list[tuple[str, dict[str, Any]]] = []
    answers: list[dict[str, Any]] = []

    async def twice(link: ControlLink, method: str, params: dict[str, Any]) -> dict[str, Any]:
        params |= {"once": {"account": "a", "key": f"{method} {len(sent)}"}}
        calls = (link.call(method, params, within=PATIENCE) for _ in range(3))
        every = await asyncio.gather(*calls)
        first: dict[str, Any] = next(one for one in every if "replayed" not in one)
        assert sorted(map(repr, every)) == sorted(map(repr, [
            first, *[first | {"replayed": True}] * 2
        ]))  # fmt: skip
        sent.append((method, params))
        answers.append(first)
        return first

    async def early(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "owner")
        bot, recorder = await _key(link, "bot", "caller"), await Recorder.open(root, link)
        await recorder.exchange(bot, "one", session="s1")
        await recorder.indexed()
        held = await twice(link, "holds.place", {
            "expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
            "reason": "r", **_by(me)})  # fmt: skip
        over = await twice(link, "holds.release", {"id": held["id"], "reason": "r", **_by(me)})
        await twice(link, "approvals.decide", {"id": over["asked"], "grant": True, **_by(second)})
        made = await twice(link, "erasures.ask", asked("session", "ses_s1", me))
        await twice(link, "approvals.decide", {"id": made["asked"], "grant": False, **_by(second)})
        await recorder.close()

    async def late(link: ControlLink) -> None:
        for (method, params), first in zip(sent, answers, strict=True):
            again = await link.call(method, params, within=PATIENCE)
            assert again == first | {"replayed": True}
        assert len(await link.call("holds.list", {})) == 1

    assert _sequencer(root, early) == 0
    assert _sequencer(root, late) == 0
    types = _types(root)
    found = [types.count(f"retention.{kind}") for kind in ("held", "released")]
    assert found == [1, 1]
    found = [types.count(f"approval.{kind}") for kind in ("requested", "granted", "denied")]
    assert found == [2, 1, 1]
