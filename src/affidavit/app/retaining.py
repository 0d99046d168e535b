"""What is kept too long, for status and metrics: counted again and again, beside everything else.

Rules: only buckets that are over their maximum, or of a class that the configuration does not name,
are looked into; on a thread of its own that rests between files, so that nobody waits; what was
counted is told with its time, and why it could not be counted, if so. Not here: taking it away.
"""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import apsw

from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.errors import AffidavitError
from affidavit.vault.retention import late, plan
from affidavit.vault.stocktaking import Buckets, Stocktaking

EVERY_SECONDS = 60.0
"""From the end of one count to the next, if anybody asks."""
REST_SECONDS = 0.1
"""Between two files."""
FIRST_SECONDS = 1.0
"""Who asks before anything was counted waits so long at most."""


class Retaining:
    """Counts what is late in the vault under ``root``; one for each sequencer process."""

    def __init__(self, root: Path, keyring: Buckets, config: Config, clock: Clock) -> None:
        self._stocks = Stocktaking(root, keyring, lambda: time.sleep(REST_SECONDS))
        self._config = config
        self._clock = clock
        self._counting: threading.Thread | None = None
        self._counted: float | None = None
        self._status: dict[str, Any] = {}

    async def status(self) -> dict[str, Any]:
        """``retention``: the newest count, ``as_of`` a time, and ``problem``.

        Nothing before there is one. A new count begins if the last one is old.
        """
        self._begin()
        until = self._clock.monotonic() + FIRST_SECONDS
        while not self._status and self._clock.monotonic() < until:
            if self._counting is None or not self._counting.is_alive():
                break
            await asyncio.sleep(0.01)
        return {"retention": dict(self._status)} if self._status else {}

    def _begin(self) -> None:
        if self._counting is not None and self._counting.is_alive():
            return
        now = self._clock.monotonic()
        if self._counted is None or now - self._counted >= EVERY_SECONDS:
            # A daemon: a count that goes on does not hold up the end of the process.
            self._counting = threading.Thread(target=self._count, name="retention", daemon=True)
            self._counting.start()

    def _count(self) -> None:
        now = self._clock.now()
        try:
            found = late(plan(self._stocks, self._config, now, due_only=True))._asdict()
            self._status = {"as_of": now, "problem": "", **found}
        except (AffidavitError, OSError, apsw.Error) as error:
            self._status = {**self._status, "as_of": now, "problem": str(error)}
        self._counted = self._clock.monotonic()
