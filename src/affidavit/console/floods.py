"""Reads and refusals that come in floods: one on record, those after it as their number.

Rules: within ``FLOOD_SECONDS`` of one that is durably on record those of its kind are counted into
the next. The window begins when the record is durable: while it is being written the others of its
kind wait, and where it cannot be written they fail with it and the next one that comes is tried
again, so nothing is answered of which there is neither record nor count, and a journal that hangs
keeps all of them for as long as one. What is only counted when the process stops is written then.
Not here: what is of one kind, and what the records say (``access``).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from affidavit.clock import Clock
from affidavit.errors import CannotRecordError

FLOOD_SECONDS = 60.0
"""What is of one kind within this time after a recorded one is counted into the next."""

Kind = tuple[str, str, str]
Write = Callable[[int], Awaitable[object]]
"""Writes a record that says how many of its kind were only counted before it."""


@dataclass
class _Flood:
    """When the latest record of a kind was durable, the latest counted since, and what failed."""

    since: float = float("-inf")
    counted: int = 0
    latest: Write | None = None
    failures: int = 0
    failure: CannotRecordError | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Floods:
    """What is counted; one for all applications of the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: dict[Kind, _Flood] = {}

    async def tell(self, kind: Kind, write: Write) -> None:
        """Record one of a kind, or count it where one has just been recorded.

        ``CannotRecordError`` (and whatever ``write`` raises): it is neither recorded nor counted.
        The former also where the record that this one waited for could not be written.
        """
        flood = self._kinds.setdefault(kind, _Flood())
        before = flood.failures
        async with flood.turn:
            if (shared := flood.failure) is not None and flood.failures > before:
                raise CannotRecordError(
                    shared.message, hint=shared.hint, kept=shared.kept, **shared.detail
                )
            now = self._clock.monotonic()
            if now - flood.since < FLOOD_SECONDS:
                flood.counted += 1
                flood.latest = write
                return
            try:
                await write(flood.counted)
            except CannotRecordError as error:
                flood.failures, flood.failure = flood.failures + 1, error
                raise
            flood.since, flood.counted, flood.latest = now, 0, None

    async def flush(self) -> None:
        """Record the latest of each kind that was only counted, with how many were before it.

        Called once nothing is answered any more; what the journal does not take stays counted.
        """
        for flood in self._kinds.values():
            if flood.latest is None:
                continue
            with contextlib.suppress(CannotRecordError):
                await flood.latest(flood.counted - 1)
                flood.counted, flood.latest = 0, None
