"""The thread on which erasing works: what it waits for, and for how long."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from affidavit.app import erasure_host
from affidavit.app.erasure_host import Worker
from affidavit.errors import NotFoundError, UnavailableError
from tests.world.clock import FakeClock

T = TypeVar("T")


class _Growing:
    """An index, or a log, that has one leaf more each time it is looked at, up to ``most``."""

    def __init__(self, clock: FakeClock, most: int) -> None:
        self._clock = clock
        self._most = most
        self.seen = 0

    @property
    def size(self) -> int:
        """How many leaves there are."""
        self._clock.advance(1.0)
        self.seen = min(self.seen + 1, self._most)
        return self.seen

    def close(self) -> None:
        """Nothing is open."""

    def leaf(self) -> str:
        """Leaf 2, once it is published."""
        if self.size < 3:
            raise NotFoundError("The published log is short.", published=self.seen)
        return "leaf"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is that of the clock alone."""
    monkeypatch.setattr(erasure_host, "LOOK", 0.0)


def _run(most: int, work: Callable[[Worker, Any], Coroutine[Any, Any, T]]) -> T:
    clock = FakeClock()
    grows: Any = _Growing(clock, most)
    worker = Worker(lambda: grows, clock)
    try:
        return asyncio.run(work(worker, grows))
    finally:
        worker.close()


def test_what_was_just_recorded_is_waited_for() -> None:
    """The index until it has it, the leaf until it is published."""

    async def both(worker: Worker, grows: Any) -> tuple[int, str]:
        await worker.indexed(2, asked=True)
        return grows.seen, await worker.published(grows.leaf)

    assert _run(9, both) == (2, "leaf")


def test_who_asked_does_not_wait_for_long() -> None:
    """Ten seconds, and what stays behind is named; what is missing for good, at once."""
    with pytest.raises(UnavailableError, match="behind the ledger") as behind:
        _run(1, lambda worker, _: worker.indexed(2, asked=True))
    assert "Ask again" in behind.value.hint
    with pytest.raises(UnavailableError, match="published checkpoint"):
        _run(2, lambda worker, grows: worker.published(grows.leaf))

    async def seconds(worker: Worker, grows: Any) -> float:
        begun = worker._clock.monotonic()
        with pytest.raises(UnavailableError, match="behind the ledger") as slow:
            await worker.indexed(2)
        assert "tried again by itself" in slow.value.hint
        return worker._clock.monotonic() - begun

    assert 60.0 < _run(1, seconds) < 63.0

    def gone() -> str:
        raise NotFoundError("There is no such key.")

    with pytest.raises(NotFoundError, match="no such key"):
        _run(1, lambda worker, _: worker.published(gone))
