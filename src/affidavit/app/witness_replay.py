"""Replaying beside answering: a monitor works in a thread of its own, and requests wait a little.

Rules: one checkpoint is replayed at a time; a request waits at most ``ANSWER_SECONDS`` for it and
is then told to come again, while the replay goes on; the next request finds it further on or done.
Not here: what is replayed and how (``ledger.monitor``).
"""

import asyncio
import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from affidavit.errors import AffidavitError, CheckFailedError
from affidavit.ledger import note, witness
from affidavit.ledger.monitor import BrokenRuleError, Monitor
from affidavit.ledger.witness import Answer

ANSWER_SECONDS = 2.0


class Follower:
    """A monitor and its thread; for one event loop. ``close`` saves what was replayed."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._thread = ThreadPoolExecutor(1, "replay")
        self._stop = threading.Event()
        self._running: asyncio.Future[None] | None = None

    async def reach(self, checkpoint: note.Checkpoint) -> Answer | None:
        """Replay up to a checkpoint: ``None`` when that is done, or why there is no cosignature.

        422 names the rule that is broken and the leaf, or says that the log has forked; 503 that
        the replay is not there yet, or what the log does not serve.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER_SECONDS
        ours: asyncio.Future[None] | None = None
        while not self._monitor.vouches(checkpoint):
            if ours is not None and ours.done():
                return _told(ours.exception())
            if self._running is None or self._running.done():
                ours = self._running = loop.run_in_executor(
                    self._thread, self._monitor.replay, checkpoint, self._go_on
                )
                ours.add_done_callback(_note)
            await asyncio.wait([self._running], timeout=max(0.0, deadline - loop.time()))
            if not self._running.done():
                return witness.refusal(
                    503,
                    f"{self._monitor.size} of {checkpoint.size} leaves are replayed.",
                    retry=True,
                )
        return None

    def cosigned(self, size: int, moment: str) -> None:
        """See ``Monitor.cosigned``; returns at once."""
        self._thread.submit(self._monitor.cosigned, size, moment)

    def _go_on(self) -> bool:
        return not self._stop.is_set()

    async def close(self) -> None:
        """Stop replaying at the next bundle, save, and close."""
        self._stop.set()
        if self._running is not None:
            await asyncio.wait([self._running])
        self._thread.shutdown()
        with contextlib.suppress(AffidavitError):  # what is not saved is replayed again
            self._monitor.close()


def _note(ended: asyncio.Future[None]) -> None:
    """Who asked may have been answered before this ended: the next is told."""
    error = ended.exception()
    if error is not None and not isinstance(error, AffidavitError):
        sys.stderr.write(f"witness: the replay failed: {type(error).__name__}\n")


def _told(error: BaseException | None) -> Answer:
    if error is None:
        return witness.refusal(503, "This witness is stopping.", retry=True)
    if isinstance(error, BrokenRuleError):
        return witness.refusal(422, witness.BROKEN_RULE + error.message)
    if isinstance(error, CheckFailedError):
        return witness.refusal(422, error.message)
    sentence = error.message if isinstance(error, AffidavitError) else "The monitor has failed."
    return witness.refusal(503, sentence, retry=True)
