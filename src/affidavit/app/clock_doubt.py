"""Whether the machine's clock may be believed, before anything goes because its time has come.

Rules: time that goes on while the process runs, or is off for a day at most, is believed; so is
what is no more than a day ahead of the newest timestamp of an authority. Of a clock that is further
ahead than that nobody knows whether the machine was off or the clock was set, and what is destroyed
does not come back: nothing goes until a person has said which day it is. A clock that is behind
destroys nothing. Not here: ledger time (``ledger.log``), which others judge (``seen``).
"""

import json

import apsw

from affidavit.app import system
from affidavit.app.erasure_host import Host
from affidavit.clock import add_seconds
from affidavit.errors import UnavailableError, UsageError

_NAME = "clock"
DAY, HOUR = 86_400, 3_600


def doubted(state: apsw.Connection, now: str) -> str:
    """The newest time that is believed there, if ``now`` is in doubt after it; else ``""``."""
    before = _time(system.fact_of(state, _NAME))
    return before if before and now > add_seconds(before, DAY) else ""


class ClockDoubt:
    """For one sequencer process; on the event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def refuse(self) -> None:
        """``UnavailableError`` if the clock is in doubt; else its time is the newest believed."""
        now = self._host.clock.now()
        before = await self._believed()
        stamp = self._host.anchoring.stamping.newest()
        vouched = str((stamp or {}).get("time") or "")
        newest = max(before, vouched)
        if before and now > add_seconds(newest, DAY):
            raise UnavailableError(
                f"The clock says {now}, more than a day after {newest}, the newest time that is"
                " vouched for. Nothing is removed until somebody says which day it is.",
                hint="affidavit retention run --today YYYY-MM-DD",
            )
        if not before or now > add_seconds(before, HOUR):
            await self._believe(now)

    async def confirm(self, day: str) -> None:
        """A person says that it is this UTC day; ``UsageError`` if the clock says another one."""
        now = self._host.clock.now()
        if day != now[:10]:
            raise UsageError(
                f"The clock of the machine says {now} (UTC), not {day}.",
                hint="Set the machine's clock right, then say it again.",
            )
        await self._believe(now)

    async def _believed(self) -> str:
        return _time(await self._host.ask(lambda: system.fact_of(self._host.state, _NAME)))

    async def _believe(self, now: str) -> None:
        fact = json.dumps(now)
        await self._host.ask(lambda: system.told(self._host.state, _NAME, fact))


def _time(fact: str | None) -> str:
    return "" if fact is None else str(json.loads(fact))
