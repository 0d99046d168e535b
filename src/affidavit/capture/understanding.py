"""Reading a request by its dialect without holding up the other calls, and telling of faults.

Rules: small bodies are read at once; large and compressed ones in a thread, one at a time, because
what was read may take many times their memory; the decoded form is let go. A fault of ours is
logged by its place alone, never with its message, which may hold content (G8). Not here: what a
dialect understands (``providers``).
"""

import asyncio
import logging
import traceback
from pathlib import Path

from msgspec import structs

from affidavit.capture.sections import Headers
from affidavit.providers.dialect import Dialect
from affidavit.providers.facts import RequestFacts

THREAD_BYTES = 1 << 20
"""Larger bodies, and compressed ones, are read in a thread, so that other calls go on meanwhile."""

_log = logging.getLogger("affidavit.gateway")


class Understanding:
    """Reads the requests of one worker."""

    def __init__(self) -> None:
        self._reading = asyncio.Lock()

    async def read(
        self, dialect: Dialect, method: str, target: str, headers: Headers, body: bytes
    ) -> RequestFacts:
        """What the request says, without its decoded form."""

        def read() -> RequestFacts:
            return structs.replace(dialect.request(method, target, headers, body), document=None)

        if len(body) <= THREAD_BYTES and b"content-encoding" not in dict(headers):
            return read()
        async with self._reading:
            return await asyncio.to_thread(read)


def report(fault: Exception, record_id: str) -> None:
    """Log where a fault of ours was."""
    frames = traceback.extract_tb(fault.__traceback__)[-3:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    _log.error("%s at %s while handling %s", type(fault).__name__, where, record_id)
