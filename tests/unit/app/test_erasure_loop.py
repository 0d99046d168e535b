"""Rounds of the one that erases: what fails keeps nothing else."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from affidavit.app.erasure_loop import Erasing
from affidavit.durable import Disk
from affidavit.errors import CorruptError, RefusedError, UnavailableError
from tests.world.clock import FakeClock


class _Rounds:
    """An ``Erasing`` whose steps fail if they are among ``fails``, and else are ``done``."""

    def __init__(self, tmp_path: Path, *running: str) -> None:
        self.fails: dict[str, Exception] = {}
        self.done: list[str] = []
        self.clock = FakeClock()
        found = {"waiting": ["waits", "w2"], "running": list(running)}

        async def ask(work: Callable[[], Any]) -> Any:
            return work()

        unused: Any = None
        host: Any = SimpleNamespace(
            clock=self.clock, keyring=None, holds=SimpleNamespace(gate=SimpleNamespace()), ask=ask,
            erasures=SimpleNamespace(all=found.get),
        )  # fmt: skip
        signer: Any = SimpleNamespace(vkey="")
        self.erasing = cast(Any, Erasing(host, Disk(), tmp_path, unused, signer))
        for name in ("agree", "keep", "sweep"):
            setattr(self.erasing._keeping, name, self._step(name))
        self.erasing._nothing_lost = self._step("lost")
        self.erasing.clock.refuse = self._step("clock")
        self.erasing.expiring.run = self._step("expire")
        self.erasing._woken = SimpleNamespace(clear=list, set=list, wait=self._stop)
        self.erasing._forget_lapsed = self._step("forget")
        self.erasing._tell_stuck = lambda _: self._step("stuck")()
        self.erasing._purging.forgotten = self._emptied
        self.erasing._runs = SimpleNamespace(
            again=lambda one, **_: self._step(one)(), carry_out=lambda one: self._step(one)()
        )

    async def _emptied(self) -> bool:
        return True

    async def _stop(self) -> None:
        self.erasing._worker.stop()

    def _step(self, name: str) -> Callable[[], Any]:
        async def step() -> None:
            if name in self.fails:
                raise self.fails[name]
            self.done.append(name)

        return step

    def round(self) -> tuple[list[str], str | None]:
        """One round; what it did of requests and expiry, and what it says."""
        self.done = []
        self.erasing._worker._stop.clear()
        asyncio.run(self.erasing._run())
        each = ("agree", "keep", "lost", "clock", "stuck")
        rest = [name for name in self.done if name not in each]
        return rest, self.erasing.problem


def test_what_is_damaged_keeps_nothing_else(tmp_path: Path) -> None:
    """It is told as long as it is so; expiry is tried again on the next day, or when asked."""
    rounds = _Rounds(tmp_path, "bad", "odd", "good")
    rounds.fails = {
        "expire": CorruptError("A bucket."), "bad": CorruptError("A file."),
        "odd": ValueError("x"), "waits": RefusedError("The last owner."),
    }  # fmt: skip
    told = "The last owner. A bucket. A file. An erasure failed: ValueError."
    assert rounds.round() == (["sweep", "w2", "forget", "good"], told)
    del rounds.fails["waits"]  # which was no damage: all that is of a day is tried again
    told = "A bucket. A file. An erasure failed: ValueError."
    assert rounds.round() == (["sweep", "waits", "w2", "forget", "good"], told)
    told = "A bucket. A file. An erasure failed: ValueError."
    assert rounds.round() == (["sweep", "waits", "w2", "good"], told)
    rounds.fails = {"bad": CorruptError("A file.")}
    assert rounds.round() == (["sweep", "waits", "w2", "odd", "good"], "A bucket. A file.")
    rounds.erasing.expire()
    every = ["sweep", "waits", "w2", "expire", "forget", "odd", "good"]
    assert rounds.round() == (every, "A file.")
    rounds.clock.advance(86_400)
    assert rounds.round() == (every, "A file.")
    assert rounds.round() == (["sweep", "waits", "w2", "odd", "good"], "A file.")


def test_what_all_need_ends_a_round(tmp_path: Path) -> None:
    """Where the index is behind each would wait a minute for it; the next round begins anew."""
    rounds = _Rounds(tmp_path, "one", "two")
    rounds.fails = dict.fromkeys(("expire", "one"), UnavailableError("The index is behind."))
    assert rounds.round() == (["sweep", "waits", "w2"], "The index is behind.")
    rounds.fails = {"keep": CorruptError("A hold.")}
    assert rounds.round() == ([], "A hold.")
    rounds.fails = {"one": OSError("the disk")}
    every = ["sweep", "waits", "w2", "expire", "forget", "two"]
    assert rounds.round() == (every, "An erasure waits: the disk.")


def test_what_waits_for_a_hold_is_looked_at_until_that_succeeds(tmp_path: Path) -> None:
    """The release is swept once; the index was behind then, and nobody waits for the next day."""
    rounds, asked = _Rounds(tmp_path), list[bool]()
    releases = iter([False, True, False, False])

    async def again(one: str, *, every: bool) -> None:
        asked.append(every)
        await rounds._step(one)()

    async def swept() -> bool:
        return next(releases)

    rounds.erasing._runs.again = again
    rounds.erasing._keeping.sweep = swept
    assert rounds.round() == (["waits", "w2", "expire", "forget"], None)
    rounds.fails["waits"] = UnavailableError("The index is behind.")
    assert rounds.round() == ([], "The index is behind.")
    rounds.fails.clear()
    rounds.round()
    rounds.round()
    assert asked == [True, True, True, True, True, False, False]


def test_a_damaged_file_of_a_released_hold_keeps_nothing_else(tmp_path: Path) -> None:
    """It is told as long as it is so."""
    rounds = _Rounds(tmp_path)
    rounds.erasing._keeping.damaged = [CorruptError("A hold's file.")]
    done = ["sweep", "waits", "w2", "expire", "forget"]
    assert rounds.round() == (done, "A hold's file.")
