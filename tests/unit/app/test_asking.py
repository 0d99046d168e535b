"""Questions reach the one thread, in order, and nobody waits for a thread that is over."""

import asyncio
import functools
import threading

import pytest

from affidavit.app.asking import Asking
from affidavit.errors import NotFoundError, UnavailableError


def _serve(asking: Asking, until: threading.Event) -> threading.Thread:
    def run() -> None:
        while not until.is_set():
            asking.wait(0.01)
        asking.end()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_work_runs_on_the_answering_thread_in_order() -> None:
    """What it returns and what it raises come back to whoever asked."""
    asking, until = Asking(), threading.Event()
    thread = _serve(asking, until)
    done: list[int] = []

    def note(number: int) -> str:
        done.append(number)
        return threading.current_thread().name

    def fail() -> None:
        raise NotFoundError("not here")

    async def ask() -> set[str]:
        names = await asyncio.gather(*(asking.ask(functools.partial(note, n)) for n in range(20)))
        with pytest.raises(NotFoundError, match="not here"):
            await asking.ask(fail)
        return set(names)

    try:
        assert asyncio.run(ask()) == {thread.name}
    finally:
        until.set()
        thread.join()
    assert done == list(range(20))


def test_nobody_waits_for_a_thread_that_is_over() -> None:
    """Neither who asked before its end nor who asks after it."""
    asking = Asking()

    async def ask() -> None:
        early = asyncio.create_task(asking.ask(lambda: 1))
        gone = asyncio.create_task(asking.ask(lambda: 2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        asking.end()
        for late in (early, asking.ask(lambda: 3)):
            with pytest.raises(UnavailableError, match="stopping"):
                await late
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(ask())
