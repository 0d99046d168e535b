"""The commits of one exchange: how long somebody waits for each, and what lands later than that.

Rules: one commit at a time. With ``patience`` the waiting ends after so many seconds as if the
journal had refused, and the commit goes on by itself (``pending``): the record may be durable in
the end, which ``land`` finds out. Without it, whoever watches says when it has taken too long, and
the commit is waited for all the same. Not here: what is committed, and what a refusal means.
"""

import asyncio
from collections.abc import Sequence

from affidavit.capture.gaps import STUCK
from affidavit.errors import CannotRecordError
from affidavit.record.journal import JournalWriter
from affidavit.record.model import Record


def took_too_long(seconds: float) -> CannotRecordError:
    """The journal did not answer in time."""
    return CannotRecordError(
        f"The journal did not take a record within {seconds:g} seconds.", cause=STUCK
    )


class Commits:
    """Commits to ``journal``; ``patience`` in seconds, ``None`` to wait as long as it takes."""

    def __init__(self, journal: JournalWriter, patience: float | None) -> None:
        self.pending: asyncio.Future[int] | None = None
        self._journal = journal
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._given_up = False

    async def commit(
        self,
        record: Record,
        bodies: Sequence[bytes | None],
        hopeless: CannotRecordError | None = None,
    ) -> None:
        """Commit; ``CannotRecordError`` if it is refused, or takes longer than is waited for.

        ``hopeless`` is raised without trying.
        """
        if hopeless is not None:
            raise hopeless
        if self._patience is not None:
            await self._with_patience(self._patience, record, bodies)
            return
        self._since = self._loop.time()
        try:
            await self._journal.commit(record, bodies)
        finally:
            self._since = 0.0

    async def _with_patience(
        self, seconds: float, record: Record, bodies: Sequence[bytes | None]
    ) -> None:
        commit = asyncio.ensure_future(self._journal.commit(record, bodies))
        done, _ = await asyncio.wait({commit}, timeout=seconds)
        if not done:
            self.pending = commit
            raise took_too_long(seconds)
        commit.result()

    def overdue(self, now: float, limit: float) -> bool:
        """Whether a commit is waited for that runs, at this time of the loop, for too long."""
        return not self._given_up and 0.0 < self._since < now - limit

    def give_up(self) -> bool:
        """Say that the running commit has taken too long; ``False`` if none runs, or once said."""
        if not self._since or self._given_up:
            return False
        self._given_up = True
        return True

    async def land(self) -> bool:
        """Wait for the pending commit; whether its record is durable."""
        assert self.pending is not None
        try:
            await self.pending
        except CannotRecordError:
            return False
        finally:
            self.pending = None
        return True
