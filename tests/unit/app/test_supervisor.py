"""The supervisor: restarts what dies, drains in order, and finishes what is left."""

import asyncio
import signal
import sys
from collections.abc import Sequence

import pytest

from affidavit.app import supervisor as module
from affidavit.app.supervisor import Child, Supervisor, environment

UNBLOCK = "signal.pthread_sigmask(signal.SIG_UNBLOCK, {15})"
SERVE = (
    f"import signal,sys,time; signal.signal(15, lambda *a: sys.exit(0)); {UNBLOCK}; time.sleep(60)"
)
STUBBORN = "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"


class Script(Child):
    """A child that runs a line of Python instead of a process of ours."""

    def __init__(self, name: str, code: str) -> None:
        super().__init__(name, [code], (), environment())

    def command(self) -> list[str]:
        """The line."""
        return [sys.executable, "-c", *self.arguments]


def _supervise(children: Sequence[Script]) -> tuple[Supervisor, list[str]]:
    said: list[str] = []
    return Supervisor(said.append), said


async def _until_alive(child: Child, pid: int) -> None:
    for _ in range(1500):
        if child.process and child.process.returncode is None and child.process.pid != pid:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not started again")


def test_a_killed_child_is_started_again_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL is reported by its name and the slot is filled at once."""

    async def story() -> None:
        child = Script("gateway 1", SERVE)
        supervisor, said = _supervise([child])
        await supervisor.add(child)
        assert child.process is not None
        pid = child.process.pid
        child.send(signal.SIGKILL)
        await _until_alive(child, pid)
        assert said == ["gateway 1 ended (by SIGKILL); it is started again."]
        assert child.restarts == 1
        assert await supervisor.drain([["gateway 1"]], "none", 60)

    asyncio.run(story())


def test_who_does_not_end_in_time_is_killed_and_that_is_not_clean() -> None:
    """A drain is bounded."""

    async def story() -> None:
        child = Script("stubborn", STUBBORN)
        supervisor, said = _supervise([child])
        await supervisor.add(child)
        await asyncio.sleep(0.3)
        assert not await supervisor.drain([["stubborn"]], "none", 0.3)
        assert "was killed" in said[0]

    asyncio.run(story())


def test_the_last_one_is_started_again_to_finish_its_work() -> None:
    """A sequencer that is down when the stop comes is run once more, to sequence the rest."""

    async def story() -> None:
        child = Script("sequencer", "import time; time.sleep(60)")
        supervisor, _ = _supervise([child])
        supervisor.stopping.set()  # nobody else starts it again
        await supervisor.add(child)
        child.send(signal.SIGKILL)
        assert child.process is not None
        await child.process.wait()
        child.arguments = ["pass"]
        assert await supervisor.drain([], "sequencer", 60)
        assert child.process.returncode == 0

    asyncio.run(story())


def test_a_last_one_that_keeps_failing_is_said() -> None:
    """After three tries the next start has to go on with it."""

    async def story() -> None:
        child = Script("sequencer", "raise SystemExit(4)")
        supervisor, said = _supervise([child])
        supervisor.stopping.set()
        await supervisor.add(child)
        assert not await supervisor.drain([], "sequencer", 60)
        assert said
        assert "next start" in said[-1] or "was killed" in said[-1]

    asyncio.run(story())


def test_the_environment_can_leave_out_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that need no provider secret do not get it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    assert "OPENAI_API_KEY" in environment()
    assert "OPENAI_API_KEY" not in environment(["OPENAI_API_KEY"])


def test_pauses_grow_and_end() -> None:
    """A child that dies at every start does not spin."""
    assert list(module.PAUSES) == sorted(module.PAUSES)
    assert module.PAUSES[0] == 0
    assert module.PAUSES[-1] >= 1


def test_children_that_start_side_by_side_leave_the_stop_audible() -> None:
    """Afterwards neither SIGTERM nor Ctrl-C is blocked here, whichever was ready first."""

    async def story() -> None:
        children = [Script(f"gateway {n}", SERVE) for n in range(4)]
        supervisor, _ = _supervise(children)
        await asyncio.gather(*(supervisor.add(child) for child in children))
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGTERM, signal.SIGINT}
        assert await supervisor.drain([[child.name for child in children]], "none", 60)

    asyncio.run(story())


def test_what_never_served_is_not_tried_again() -> None:
    """A child that cannot start says why once, at the stop as well."""

    async def story() -> None:
        child = Script("sequencer", "raise SystemExit(4)")
        child.served = False
        supervisor, said = _supervise([child])
        await supervisor.add(child)
        assert child.process is not None
        await child.process.wait()
        pid = child.process.pid
        await supervisor.drain([], "sequencer", 60)
        assert (child.restarts, child.process.pid, said) == (0, pid, [])

    asyncio.run(story())
