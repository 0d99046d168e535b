"""Rests are a share of the work before them, and only where somebody else wants the processor."""

import pytest

from affidavit.app import pacing


class _Time:
    """A clock that goes on as it is told; ``slept`` are the seconds of each rest."""

    def __init__(self) -> None:
        self.wall = self.busy = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.wall

    def thread_time(self) -> float:
        return self.busy

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.wall += seconds

    def work(self, busy: float, waited: float = 0.0) -> None:
        self.wall, self.busy = self.wall + busy + waited, self.busy + busy


def test_rests_follow_the_work_and_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """None for a little work or alone; as long as the work beside others, of two threads, too."""
    time = _Time()
    monkeypatch.setattr(pacing, "time", time)
    pace = pacing.Pace()
    for _ in range(3):
        time.work(0.002, 0.01)
        pace.rest()
    assert time.slept == [0.006], "after enough of it, and for all of it"
    time.work(0.5)
    pace.rest()
    assert time.slept[1:] == [], "nobody else wanted the processor"
    time.work(0.01, 0.01)
    pace.rest()
    time.work(0.0, 0.08)
    pace.rest(0.02)
    time.work(2.0, 2.0)
    pace.rest()
    assert time.slept[1:] == [0.01, 0.02, pacing.MOST]
