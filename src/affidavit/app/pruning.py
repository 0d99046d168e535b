"""Pruning the log in the sequencer's process: whether it may be, its record, and the work.

Rules: nothing is pruned unless the configuration says how long leaves are kept (C2SP tlog-tiles
asks for a retention policy), and no leaf that is younger; none that a hold matches, that is below
its class's minimum or of a class that the configuration does not name, nor the request of an answer
of which that is so, wherever the answer stands; nothing that a witness has not seen yet, which
would get no proof any more; before it happens it is on record as ``retention.expired``. It is
looked for what keeps a leaf while others decide; once a hold was placed since, it is looked again.
One pruning at a time, in a thread that rests more than it works; what was begun and not finished,
by a crash or an error, goes on at the next start, if the configuration that is in force then lets
it.
Not here: which files go (``ledger.prune``); the vault, whose content goes with its keys.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from affidavit.clock import Clock, add_seconds
from affidavit.config_retention import Retention
from affidavit.control.holds import HoldStore
from affidavit.durable import Disk, disk_trouble
from affidavit.errors import AffidavitError, RefusedError, UnavailableError, UsageError
from affidavit.ledger import prune, tiles
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import read_snapshot
from affidavit.query import language
from affidavit.query.tree import window

HEADS_PAUSE = 0.1
"""Seconds between two looks whether there are heads behind what goes."""

DAY = 86_400
_DIGITS = 19


class Host(Protocol):
    """What is needed of the sequencer."""

    log_reader: LogReader
    deciding: asyncio.Lock
    holds: HoldStore

    async def keeps(self, low: int, high: int, asked: Sequence[int] = ()) -> tuple[int, str] | None:
        """A leaf of ``low`` ≤ index < ``high`` that has to stay, and why; ``None`` if none has.

        ``asked``: requests among these that are answered at ``high`` or later.
        """

    async def heads_after(self, index: int) -> bool:
        """Whether a published heads leaf is behind leaf ``index``; one is appended if not."""

    def cosigners(self) -> dict[str, int]:
        """Each witness that is asked, and how many leaves the newest note has that it cosigned."""

    async def expired(self, what: prune.Expired, days: int) -> None:
        """Put on record that these leaves go; durable on return."""


class _StoppedError(Exception):
    """The process ends."""


class Pruning:
    """The pruning of one log; used on the event loop."""

    def __init__(
        self,
        root: Path,
        retention: Retention,
        host: Host,
        indexed: Callable[[], int],
        disk: Disk,
        clock: Clock,
    ) -> None:
        self._root = root
        self._days = retention.prune_after_days
        self._host = host
        self._indexed = indexed
        self._disk = disk
        self._clock = clock
        self._stop = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._before: int | None = None
        self._stage = ""
        self._done = self._of = 0
        self._error: AffidavitError | None = None

    # asking

    def plan(self, before: str) -> dict[str, Any]:
        """What would go, in whole bundles, if all before ``before`` (an index or a time) went.

        ``RefusedError`` if it may not go; ``UsageError`` if nothing would; ``UnavailableError`` if
        the index or a witness has not seen it yet.
        """
        reader = self._host.log_reader
        size, first = reader.checkpoint().size, reader.minimum()
        self._allowed(0)
        number = before.isdecimal() and len(before) < _DIGITS
        end = int(before) if number else self._first_since(before, first, size)
        end = min(end, size) // tiles.WIDTH * tiles.WIDTH
        if end <= first:
            raise UsageError(
                f"No bundle of {tiles.WIDTH} leaves ends before {before}, that is not pruned yet.",
                hint=f"The log has leaves {first} to {size - 1}.",
            )
        self._allowed(end)
        if end > self._indexed():
            raise UnavailableError("The index has not come as far yet.", hint="affidavit doctor")
        for name, seen in self._host.cosigners().items():
            if seen < end:
                raise UnavailableError(
                    f"The witness {name} has cosigned {seen} leaves so far, and could not go on.",
                    hint="Wait for it, or take it out of witnesses.policy for good.",
                )
        until = reader.decoded(end - 1).time
        return {"first": first, "before": end, "until": until, "size": size}

    async def free(self, end: int, asked: Sequence[int] = ()) -> None:
        """``RefusedError`` if a hold, a minimum or a class that is not known keeps a leaf below.

        ``asked``: requests below that were not answered below, and stay with their answers.
        """
        kept = await self._host.keeps(self._host.log_reader.minimum(), end, asked)
        if kept is not None:
            index, why = kept
            raise RefusedError(f"Leaf {index} is {why}.", hint=f"--before {index}")

    def _allowed(self, end: int) -> int:
        """After how many days leaves may go, if those below ``end`` may; else ``RefusedError``."""
        if self._days is None:
            raise RefusedError(
                "The configuration does not say after how long leaves may go, so all are kept.",
                hint="retention: {prune_after_days: N}",
            )
        until = self._host.log_reader.decoded(end - 1).time if end else ""
        if until > add_seconds(self._clock.now(), -self._days * DAY):
            raise RefusedError(
                f"Leaf {end - 1} is of {until}, and leaves are kept for {self._days} days.",
                hint="--before an earlier time",
            )
        return self._days

    def _meant(self) -> int:
        """What an earlier attempt meant to prune, if that may go now; else 0."""
        found = prune.meant(self._root) or 0
        if found <= self._host.log_reader.minimum():
            return 0
        with contextlib.suppress(AffidavitError):
            return self._allowed(found) and found
        return 0

    def _first_since(self, text: str, begin: int, end: int) -> int:
        """The first leaf that is not before a time, as a question gives it."""
        moment, _ = window(language.parse(f"since:{text}", self._clock.now()))
        assert moment is not None
        while begin < end:
            middle = (begin + end) // 2
            if self._host.log_reader.decoded(middle).time < moment:
                begin = middle + 1
            else:
                end = middle
        return begin

    def begin(self, before: str) -> None:
        """Begin to prune; ``status`` tells how it goes. Errors as of ``plan``.

        What was meant earlier, and may be on record, is pruned as well, if that is more and may go
        now. ``UnavailableError`` if another one is under way.
        """
        if self._task is not None and not self._task.done():
            raise UnavailableError("The log is being pruned.", hint="Wait for it, then ask again.")
        asked = self.plan(before)["before"]
        self._start(max(asked, self._meant()), asked)

    def status(self) -> dict[str, Any]:
        """How it goes: ``stage`` is ``""`` when nothing is under way."""
        running = self._task is not None and not self._task.done()
        return {
            "minimum": self._host.log_reader.minimum(),
            "before": self._before,
            "stage": self._stage if running else "",
            "done": self._done,
            "of": self._of,
            "error": None if self._error is None else self._error.as_json()["error"],
        }

    @property
    def problem(self) -> str | None:
        """Why the last one, or what an earlier process had begun, did not come to its end."""
        return None if self._error is None else self._error.message

    # life

    def start(self) -> None:
        """Finish what an earlier process began, unless something was begun in this one."""
        if self._task is None:
            self._start(prune.meant(self._root))

    async def stop(self) -> None:
        """Leave off; what is not finished goes on at the next start."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self, before: int | None, asked: int = 0) -> None:
        self._before, self._error, self._stage = before, None, "starting"
        self._task = asyncio.create_task(self._run(before, asked))

    async def _run(self, before: int | None, asked: int) -> None:
        await self._try(self._prune(before or 0, asked))
        self._stage = "removing"
        await self._try(asyncio.to_thread(self._remove))

    async def _try(self, work: Awaitable[None]) -> None:
        """Do it, or remember the first thing that went wrong."""
        try:
            await work
        except _StoppedError:
            pass
        except AffidavitError as error:
            self._error = self._error or error
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the end
            what = f"The disk does not allow it: {disk_trouble(error)}."
            if disk_trouble(error) is None:
                what = f"It failed: {type(error).__name__}: {error}."
            found = UnavailableError(what, kept="It goes on at a start.")
            self._error = self._error or found

    async def _prune(self, before: int, asked: int) -> None:
        """``asked``: less than what was meant earlier, for the case that this has to stay."""
        if before <= self._host.log_reader.minimum():
            return
        days = self._allowed(before)
        self._stage = "waiting"
        # An index that is made anew after a start reads what an earlier process was about to prune.
        while self._indexed() < before or not await self._host.heads_after(before - 1):
            await asyncio.sleep(HEADS_PAUSE)
            self._look()
        try:
            await self._commit(before, days)
        except RefusedError:
            if not 0 < asked < before:
                raise
            self._before = asked
            await self._commit(asked, days)

    async def _commit(self, before: int, days: int) -> None:
        await self.free(before)
        self._stage = "checking"
        expired = await asyncio.to_thread(prune.prepare, self._disk, self._root, before, self._told)
        asked = await asyncio.to_thread(lambda: read_snapshot(self._root, before).open)
        while True:
            holds = self._host.holds.gate.version  # first: a look can take long, and holds come
            await self.free(before, asked)
            async with self._host.deciding:  # none is placed between here and the end
                if self._host.holds.gate.version == holds:
                    await asyncio.to_thread(prune.mean, self._disk, self._root, before)
                    await self._host.expired(expired, days)
                    await asyncio.to_thread(prune.commit, self._disk, self._root, before)
                    return
            self._look()

    def _remove(self) -> None:
        for _ in prune.remove(self._disk, self._root):
            self._look()

    def _told(self, done: int, of: int) -> None:
        self._done, self._of = done, of
        self._look()

    def _look(self) -> None:
        if self._stop.is_set():
            raise _StoppedError
