"""Timestamps over what is published, and copies of it, every so many seconds while the log grows.

Rules: an authority stamps the newest cosigned note, or the published one where that has more leaves
than the last one stamped; its answer is checked before it is kept (``ledger.timestamp``), as a
verifier with nothing but the standard library will read it, too, and its time (``seen``): what is
kept once goes with every answer. The same
notes are copied and stay; each cosigned note in between replaces the newest copy. An authority or a
place for copies that fails rests, and nothing else waits for it. Not here: the formats.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from affidavit.app import seen
from affidavit.app.outbound import Answer, Post
from affidavit.app.trouble import Trouble
from affidavit.clock import Clock, to_unix_us
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CheckFailedError, ConfigError, UpstreamError
from affidavit.evidence import verify
from affidavit.ledger import copies, note, publish, timestamp
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.policy import Policy

STAMP_SECONDS = 20.0
"""How long an authority may take."""


class Stamping:
    """For the log below ``root``; ``stamped`` keeps a note of so many leaves and its timestamp."""

    def __init__(
        self,
        root: Path,
        config: Config,
        anchors: list[bytes],
        post: Post,
        stamped: Callable[[int, bytes, bytes], Awaitable[None]],
        disk: Disk,
        clock: Clock,
    ) -> None:
        self._root = root
        self._url = config.timestamps.url
        self._every = config.timestamps.every
        self._directory = config.anchors.copy_to
        self._anchors = anchors
        self._post = post
        self._stamped = stamped
        self._disk = disk
        self._clock = clock
        self._authority = Trouble(clock, "Timestamps")
        self._copies = Trouble(clock, "Copies of checkpoints")
        self._size = self._copied = self._stays = 0
        self._time: str | None = None
        self._due = clock.monotonic()
        self._remember()

    def _remember(self) -> None:
        """What is on disk from before this process."""
        with contextlib.suppress(AffidavitError, OSError):
            for stored in timestamp.stored(self._root)[-1:]:
                self._size = stored.size
                answer, data = stored.answer.read_bytes(), stored.checkpoint.read_bytes()
                self._time = timestamp.verify(answer, data, self._anchors)
                age = (to_unix_us(self._clock.now()) - to_unix_us(self._time)) / 1e6
                self._due += max(0.0, self._every - age)
        with contextlib.suppress(AffidavitError):
            origin = LogReader(self._root).checkpoint().origin
            if self._directory is not None and (found := copies.newest(self._directory, origin)):
                self._copied = self._stays = found[1].size

    def newest(self) -> dict[str, Any] | None:
        """The newest timestamp: leaves, time (``None`` if it is no longer good), last error."""
        if self._url is None and not self._size:
            return None
        return {"size": self._size, "time": self._time, "error": self._authority.error}

    def newest_copy(self) -> dict[str, Any] | None:
        """The newest copy: leaves, last error."""
        if self._directory is None:
            return None
        return {"size": self._copied, "error": self._copies.error}

    async def round(self) -> None:
        """Stamp and copy what is published, if it is time and the log has grown."""
        if self._clock.monotonic() < self._due or self._authority.rests or self._copies.rests:
            return
        found = self._next()
        if found is None:
            return
        size, data = found
        if self._url is not None and size > self._size:
            await self._stamp(size, data)
        if self._directory is not None and size > self._stays:
            await self.copy(data, stays=True)
        if not self._authority.error and not self._copies.error:
            self._due = self._clock.monotonic() + self._every

    def _next(self) -> tuple[int, bytes] | None:
        """The note to stamp and copy now; ``None`` if nothing is new, or wanted."""
        done = [self._size] if self._url is not None else []
        done += [self._stays] if self._directory is not None else []
        for name in (publish.COSIGNED, publish.CHECKPOINT) if done else ():
            with contextlib.suppress(AffidavitError):
                data = LogReader(self._root, None, (name,)).checkpoint_bytes()
                size = note.open_checkpoint(data, None).size
                if size > min(done):
                    return size, data
        return None

    async def _stamp(self, size: int, data: bytes) -> None:
        assert self._url is not None
        query = timestamp.query(data)
        try:
            answer = await self._post(self._url, timestamp.CONTENT_TYPE, query.der, STAMP_SECONDS)
            time = self._checked(answer, data, query)
            reader = LogReader(self._root)
            await asyncio.to_thread(seen.check, reader, size, time, "The authority's clock")
        except Exception as error:  # noqa: BLE001 - nothing an authority sends ends the sequencer
            self._authority.failed(error)
            return
        await self._stamped(size, data, answer.body)
        self._size, self._time = size, time
        self._authority.over()

    def _checked(self, answer: Answer, data: bytes, query: timestamp.Query) -> str:
        if answer.status != 200:
            raise UpstreamError(f"{self._url} answered with HTTP status {answer.status}.")
        time = timestamp.verify(answer.body, data, self._anchors, query.nonce)
        try:
            _, read = verify.read_token(answer.body)
        except verify.Refused as refused:
            raise CheckFailedError(refused.sentence, reason="form") from refused
        if read != time:
            raise CheckFailedError("The time of the timestamp is read in two ways.", reason="form")
        return time

    async def copy(self, data: bytes, *, stays: bool = False) -> None:
        """Copy a note, as the newest one and, if it ``stays``, under its size, too."""
        if self._directory is None or self._copies.rests:
            return
        keep = copies.keep
        try:
            size = await asyncio.to_thread(keep, self._disk, self._directory, data, stays=stays)
        except AffidavitError as error:
            self._copies.failed(error)
            return
        self._copied = max(self._copied, size)
        self._stays = size if stays else self._stays
        self._copies.over()


def trust_anchors(config: Config, policy: Policy | None) -> list[bytes]:
    """The certificates (DER) that timestamps have to lead to; ``ConfigError`` if unreadable."""
    found = [] if policy is None else [der for _, der in policy.timestamps]
    path = config.timestamps.ca_file
    if path is not None:
        try:
            found += timestamp.read_anchors(path.read_bytes())
        except (OSError, AffidavitError) as error:
            raise ConfigError(f"timestamps.ca_file: {path} holds no certificates.") from error
    return found
