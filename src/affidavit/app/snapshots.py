"""Keeping a process's view of identities and keys current to within a second."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from affidavit.control.identity import Snapshot
from affidavit.control.link import ControlLink
from affidavit.errors import AffidavitError, UnavailableError

EVERY = 0.5
"""Seconds between two looks; an answer of "nothing new" costs the sequencer microseconds."""


async def first(link: ControlLink, within: float = 60.0) -> Snapshot:
    """Wait for the sequencer and return its snapshot; ``UnavailableError`` after ``within`` s."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while True:
        with contextlib.suppress(UnavailableError):
            return msgspec.convert(await link.call("snapshot", {}), Snapshot)
        if loop.time() > until:
            raise UnavailableError(
                "The sequencer did not answer.", hint="Start it: affidavit sequencer"
            )
        await asyncio.sleep(0.05)


async def follow(link: ControlLink, current: Snapshot, changed: Callable[[Snapshot], None]) -> None:
    """Call ``changed`` with each newer snapshot, for ever; the last one stands meanwhile."""
    version = current.version
    while True:
        await asyncio.sleep(EVERY)
        with contextlib.suppress(AffidavitError):
            answer = await link.call("snapshot", {"version": version})
            if answer is not None:
                snapshot = msgspec.convert(answer, Snapshot)
                version = snapshot.version
                changed(snapshot)
