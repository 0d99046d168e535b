"""How a monitor reads a log elsewhere: GET, one file at a time, from the one URL it was given.

Rules: the key goes with entries and links alone, and to that URL alone; redirects are not
followed; sizes and times are limited. Not here: whether what came is right (``monitor_tiles``).
"""

import asyncio
from concurrent.futures import CancelledError
from pathlib import Path

from affidavit.capture.egress import Origin, tls_context
from affidavit.capture.upstream import Limits, Request, Upstream
from affidavit.errors import UnavailableError
from affidavit.ledger import tiles

MAX_BYTES = tiles.WIDTH * (tiles.MAX_ENTRY + 2)
"""The largest bundle there can be."""

SECONDS = 60.0
_LIMITS = Limits(connect=5.0, first_byte=20.0, idle=20.0)
_GUARDED = (tiles.ENTRIES, tiles.LINKS)


class Remote:
    """The log below ``url``, read with ``key``; for the event loop that makes it.

    ``get`` may be called in one thread, which is not that of the loop.
    """

    def __init__(self, url: str, key: str, ca_file: Path | None) -> None:
        self._origin = Origin.parse(url)
        self._key = key.encode()
        self._upstream = Upstream(self._origin, _LIMITS, tls_context(ca_file))
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Task[bytes | None] | None = None
        self._stopped = False

    def get(self, path: str) -> bytes | None:
        """The file at ``path`` below the log, ``None`` if it is not there (404).

        ``UpstreamError`` if the log does not answer; ``UnavailableError`` if it answers otherwise.
        """
        try:
            return asyncio.run_coroutine_threadsafe(self._get(path), self._loop).result()
        except CancelledError as error:
            raise UnavailableError("This monitor is stopping.") from error

    async def _get(self, path: str) -> bytes | None:
        if self._stopped:
            raise UnavailableError("This monitor is stopping.")
        self._running = asyncio.current_task()
        headers = [(b"accept", b"*/*"), (b"user-agent", b"affidavit-monitor")]
        if path.startswith(_GUARDED):
            headers.append((b"authorization", b"Bearer " + self._key))
        target = self._origin.prefix + b"/" + path.encode()
        call = self._upstream.call(Request(b"GET", target, headers, None))
        try:
            async with asyncio.timeout(SECONDS):
                await call.start()
                body = bytearray()
                while piece := await call.next():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise UnavailableError(f"The log serves more than {path} can hold.")
        except TimeoutError as error:
            raise UnavailableError(f"The log did not serve {path} in time.") from error
        finally:
            call.close()
        if call.status == 404:
            return None
        if call.status == 410:
            raise UnavailableError(
                f"The log was pruned: {path} is gone, and this monitor had not replayed it.",
                hint="It vouches for nothing behind that; begin a witness without --monitor.",
            )
        if call.status in {401, 403}:
            raise UnavailableError(
                f"The log does not let this monitor read {path} ({call.status}).",
                hint="affidavit keys create NAME --role monitor",
            )
        if call.status != 200:
            raise UnavailableError(f"The log answered {call.status} for {path}.")
        return bytes(body)

    def stop(self) -> None:
        """Read no more; whoever waits for a file hears of it."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    def close(self) -> None:
        """Drop the unused connections."""
        self._upstream.close()
