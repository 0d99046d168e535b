"""What the sequencing thread does beside sequencing: a little after each pass, most of it hourly.

Rules: nobody waits for a chore, and one that the disk does not allow is left for the next hour. A
day's key goes when no journal needs it any more; the last two days stay. What publication left
behind is collected one directory a pass (``ledger.collect``).
"""

import contextlib
from collections.abc import Iterator

from affidavit import clock as clock_module
from affidavit.app.paths import Paths
from affidavit.clock import Clock
from affidavit.durable import Disk
from affidavit.ledger.collect import collect
from affidavit.ledger.intake import Intake
from affidavit.ledger.log import Log
from affidavit.vault import recipients
from affidavit.vault.keyring import Keyring

HOUR = 3600.0
"""Seconds between two rounds; the first is at the start."""


class Chores:
    """The chores of one sequencer; used on the sequencing thread."""

    def __init__(
        self, disk: Disk, paths: Paths, log: Log, intake: Intake, keyring: Keyring, clock: Clock
    ) -> None:
        self._disk = disk
        self._paths = paths
        self._log = log
        self._intake = intake
        self._keyring = keyring
        self._clock = clock
        self._last = clock.monotonic() - HOUR
        self._collecting: Iterator[int] = iter(())

    def step(self) -> None:
        """Do the next little thing, if there is one."""
        if self._clock.monotonic() - self._last > HOUR:
            self._last = self._clock.monotonic()
            self._destroy_old_day_keys()
            self._collecting = collect(self._disk, self._paths.log, self._log.published)
        with contextlib.suppress(OSError):
            next(self._collecting, None)

    def _destroy_old_day_keys(self) -> None:
        yesterday = clock_module.add_seconds(self._clock.now(), -86_400)[:10]
        oldest = self._intake.oldest_day()
        if oldest != "":
            recipients.destroy(self._keyring, min(oldest or yesterday, yesterday))
