"""Keeping a process's view of identities and keys current.

The sequencer holds a question until something is new, or a second has passed, so a change is in
force everywhere within milliseconds.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from affidavit.control.identity import Snapshot
from affidavit.control.link import ControlLink
from affidavit.errors import AffidavitError, UnavailableError

AGAIN = 0.1
"""Seconds before the sequencer is asked again after it did not answer."""


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
        try:
            answer = await link.call("snapshot", {"version": version})
        except AffidavitError:
            await asyncio.sleep(AGAIN)
            continue
        if answer is not None:
            snapshot = msgspec.convert(answer, Snapshot)
            version = snapshot.version
            changed(snapshot)
