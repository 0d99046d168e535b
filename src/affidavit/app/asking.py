"""Questions from the event loop to the one thread that may answer them.

Rules: what is asked runs on the answering thread, in the order in which it was asked, between two
of that thread's own steps; once the thread has ended, whoever asks, or has asked, is told so. Not
here: which thread that is and what its steps are (``sequencer``).
"""

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from affidavit.errors import UnavailableError

T = TypeVar("T")


class Asking:
    """A queue of questions; ``ask`` on an event loop, the other methods on the thread."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over = threading.Event()

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the answering thread and return what it gives, or raise what it raises.

        ``UnavailableError`` if that thread has ended, or ends before it gets there.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return  # whoever asked has gone
            if self._over.is_set():
                future.set_exception(UnavailableError("The sequencer is stopping."))
                return
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever asked
                future.set_exception(error)

        self._asked.put(run)
        if self._over.is_set():
            self.answer()
        return await asyncio.wrap_future(future)

    def answer(self) -> None:
        """Do what was asked so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._asked.get_nowait()()

    def wait(self, seconds: float) -> None:
        """Wait that long for a question and answer it."""
        with contextlib.suppress(queue.Empty):
            self._asked.get(timeout=seconds)()

    def end(self) -> None:
        """The thread is over: whoever asks from now on, or waits, is told so."""
        self._over.set()
        self.answer()
