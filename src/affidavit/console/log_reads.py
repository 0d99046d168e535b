"""The record of who reads leaves and links, which group records although they name nothing.

Rules: an owner's read of a file is a record each. A monitor reads whenever the log grows, and each
record makes it grow, so a monitor's record speaks for a while: it says from which leaf on it may
read, and for how long, is durable before the first byte, and says what was read under the record
before. A read from further ahead, or later, needs another one. Not here: who may read (``auth``).
"""

import asyncio
from typing import Any, NamedTuple

from affidavit.console.access import Access
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.control.identity import MONITOR
from affidavit.ledger import tiles

SECONDS = 600.0
"""So long one record speaks for the reads of a monitor."""

_KEPT = 1000


class _Grant(NamedTuple):
    """What a record speaks for, and what was read under it: files, leaves before ``end``."""

    first: int
    until: float
    files: int = 0
    end: int = 0


class LogReads:
    """Records reads of entry bundles and links; one for each application."""

    def __init__(self, services: ConsoleServices, access: Access) -> None:
        self._services = services
        self._access = access
        self._grants: dict[str, _Grant] = {}
        self._one = asyncio.Lock()

    async def record(self, reader: Reader, path: tiles.TilePath) -> None:
        """See that a read is on record before it happens; ``CannotRecordError``: show nothing."""
        what: dict[str, Any] = {"operation": "log.entries"}
        if reader.identity.role != MONITOR:
            await self._access.read(
                "access.query", reader, what | {"url.path": f"/log/{path.text()}"}
            )
            return
        async with self._one:  # of reads side by side none is forgotten
            await self._monitor(reader, path, what)

    async def _monitor(self, reader: Reader, path: tiles.TilePath, what: dict[str, Any]) -> None:
        first = path.number * tiles.WIDTH
        name, now = reader.identity.id, self._services.clock.monotonic()
        grant = self._grants.get(name)
        if grant is None or now >= grant.until or first < grant.first:
            what |= {"leaves_from": first, "seconds": SECONDS}
            if grant is not None:
                what["before"] = {
                    "leaves_from": grant.first,
                    "leaves_before": grant.end,
                    "files": grant.files,
                }
            await self._access.read("access.query", reader, what)
            if len(self._grants) >= _KEPT:  # more keys than anybody makes: each is asked anew
                self._grants.clear()
            grant = _Grant(first, now + SECONDS)
        end = max(grant.end, first + path.width)
        self._grants[name] = grant._replace(files=grant.files + 1, end=end)
