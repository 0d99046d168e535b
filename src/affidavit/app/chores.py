"""What the sequencing thread does beside sequencing: a little after each pass, most of it hourly.

Rules: nobody waits for a chore, and one that the disk does not allow is left for the next hour. A
day's key goes when no journal needs it any more; the last two days stay, and what opens a journal
that is kept because it is damaged, until something of its time is erased (``purging``). What
publication left behind is collected one directory a pass (``ledger.collect``).
"""

import contextlib
from collections.abc import Iterator

from affidavit import clock as clock_module
from affidavit.app import system
from affidavit.app.erasure_host import Host
from affidavit.app.purging import SEALED
from affidavit.durable import Disk
from affidavit.ledger.collect import collect
from affidavit.vault import recipients

HOUR = 3600.0
"""Seconds between two rounds; the first is at the start."""


class Chores:
    """The chores of one sequencer; used on the sequencing thread."""

    def __init__(self, disk: Disk, host: Host) -> None:
        self._disk = disk
        self._host = host
        self._last = host.clock.monotonic() - HOUR
        self._collecting: Iterator[int] = iter(())

    def step(self) -> None:
        """Do the next little thing, if there is one."""
        host, now = self._host, self._host.clock.monotonic()
        if now - self._last > HOUR:
            self._last = now
            self._destroy_old_day_keys()
            self._collecting = collect(self._disk, host.paths.log, host.log.published)
        with contextlib.suppress(OSError):
            next(self._collecting, None)

    def _destroy_old_day_keys(self) -> None:
        host = self._host
        yesterday = clock_module.add_seconds(host.clock.now(), -86_400)[:10]
        oldest = host.intake.oldest_day()
        if oldest == "":
            return
        kept = set[str]().union(*host.intake.closed_days())
        recipients.destroy(host.keyring, min(oldest or yesterday, yesterday), kept)
        for name in system.names_told(host.state, SEALED):
            day = name.removeprefix(SEALED)
            if oldest is None or oldest >= day:
                recipients.destroy(host.keyring, day)
                system.untell(host.state, name)
