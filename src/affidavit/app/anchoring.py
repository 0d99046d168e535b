"""Outside trust at work: what the sequencer process does so that others can vouch for its log.

Rules: nothing here is waited for by whoever records; it runs on the event loop of the sequencer
process, and only what is written goes to the sequencing thread, between two batches. Not here:
asking witnesses (``cosigning``), timestamps and copies (``stamping``), whether a start is refused
(``starting``).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from affidavit.app.cosigning import Cosigning
from affidavit.app.outbound import Post
from affidavit.app.stamping import Stamping, trust_anchors
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.errors import AffidavitError
from affidavit.ledger import publish
from affidavit.ledger.policy import Policy

ADVICE = (
    "Nobody outside vouches for this log, so every verdict says: own key only. Configure witnesses,"
    " timestamps or anchors (docs/operations.md, Anchors)."
)


class Writing(Protocol):
    """What is done on the sequencing thread."""

    async def cosigned(self, data: bytes) -> None:
        """``Log.cosigned``."""

    async def stamped(self, size: int, data: bytes, answer: bytes) -> None:
        """``Log.stamped``."""


class Anchoring:
    """Keeps the log below ``root`` anchored as ``config`` and ``policy`` say, until cancelled."""

    def __init__(
        self,
        root: Path,
        config: Config,
        policy: Policy | None,
        post: Post,
        writing: Writing,
        disk: Disk,
        clock: Clock,
    ) -> None:
        self._root = root
        self._config = config
        self._writing = writing
        anchors = trust_anchors(config, policy)
        self.stamping = Stamping(root, config, anchors, post, writing.stamped, disk, clock)
        self.cosigning = Cosigning(
            root, policy, post, self._cosigned, clock, require=config.witnesses.require
        )

    async def _cosigned(self, data: bytes) -> None:
        await self._writing.cosigned(data)
        await self.stamping.copy(data)

    async def run(self) -> None:
        """Ask, stamp and copy until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_again(self._config.witnesses.every, self.cosigning.round))
            tasks.create_task(_again(1.0, self.stamping.round))

    def status(self) -> dict[str, Any]:
        """Who vouches for what, for status pages.

        ``anchored``: somebody or something outside holds a checkpoint of this log.
        """
        stamp, copied = self.stamping.newest(), self.stamping.newest_copy()
        anchored = publish.size_of(self._root, publish.COSIGNED) > 0
        anchored |= any(one is not None and one["size"] > 0 for one in (stamp, copied))
        return {
            "anchored": anchored,
            "anchor_advice": "" if anchored or self._config.anchored else ADVICE,
            "witnesses_required": self._config.witnesses.require,
            "witnesses": self.cosigning.status(),
            "timestamp": stamp,
            "copies": copied,
        }


async def _again(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it now and again after each pause; what the log refuses, its own thread ends with."""
    while True:
        with contextlib.suppress(AffidavitError):
            await work()
        await asyncio.sleep(seconds)
