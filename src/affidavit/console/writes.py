"""Writes that a client may send again: the ``Idempotency-Key`` header.

Rules: the sequencer decides whether a write was done before (``control.idempotency``), so it holds
also across restarts and for writes side by side. A repeated answer shows what the first one did, so
it is a read and is recorded as one. Not here: what the writes do.
"""

from typing import Annotated, Any

from fastapi import Header

from affidavit.console.access import Access, who
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices

NOTE = (
    "This key was made before, by a request of the same Idempotency-Key. The token was shown then "
    "and is not kept; without it, revoke this key and make another under a new Idempotency-Key."
)
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Up to 255 printable ASCII characters of your choosing. The same request sent "
        "again with the same key within 24 hours is answered the same and done once.",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
    ),
]


class Writes:
    """Asks the sequencer to do something, once for each idempotency key."""

    def __init__(self, services: ConsoleServices, access: Access) -> None:
        self._services = services
        self._access = access

    async def call(
        self, method: str, params: dict[str, Any], reader: Reader, key: str | None
    ) -> dict[str, Any]:
        """What the sequencer answers, ``replayed`` if nothing was done this time.

        ``KeyReusedError`` if ``key`` came with another request before.
        """
        asked = {**params, "by": who(reader)}
        if key is not None:
            asked["once"] = {"account": reader.account, "key": key}
        done: dict[str, Any] = await self._services.control.call(method, asked)
        if done.get("replayed"):
            what = {"operation": method, "replayed": True, "rows": 1}
            await self._access.read("access.query", reader, what)
        return done
