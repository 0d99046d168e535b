"""Writes that a client may send again: the ``Idempotency-Key`` header.

Rules: the sequencer knows whether a write was done before (``control.idempotency``), so it holds
also across restarts and for writes side by side. What the sequencer does itself (``call``,
``passed``) it does once, also where its answer did not come in time; what the console does
(``once``) is kept right behind it: a crash between the two lets a repeated request do it again, and
none is lost. A repeated answer shows what the first one did, so
it is a read and is recorded as one. Not here: what the writes do.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header

from affidavit.console.access import Access, who
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.errors import UnavailableError

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
        self._locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def once(
        self,
        method: str,
        params: dict[str, Any],
        reader: Reader,
        key: str | None,
        act: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """What ``act`` gives, done here; ``replayed`` if nothing was done this time.

        ``params``: what is asked, as it is compared. Errors as ``call``, before anything is done.
        """
        return await self.passed(method, params, reader, key, lambda _: act())

    async def passed(
        self,
        method: str,
        params: dict[str, Any],
        reader: Reader,
        key: str | None,
        act: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """The same, where ``act`` has the sequencer do ``method`` with the parameters it is given.

        These are beside its own. What it adds to the answer is kept, too, if it comes so far.
        """
        if key is None:
            return await act({})
        control = self._services.control
        mine = {"account": reader.account, "key": key}
        asked = {"method": method, "params": params, "once": mine}
        lock = self._locks.setdefault((reader.account, key), asyncio.Lock())
        async with lock:
            found: dict[str, Any] | None = await control.call("once.find", asked)
            if found is not None:
                await self._recorded(method, reader)
                return found | {"replayed": True}
            done = await act({"once": mine | {"of": params}})
            if done.get("replayed"):  # its answer had not come in time
                await self._recorded(method, reader)
                return done
            with contextlib.suppress(UnavailableError):  # it is done, and that is the answer
                await control.call("once.keep", asked | {"answer": done})
            return done

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
            await self._recorded(method, reader)
        return done

    async def _recorded(self, method: str, reader: Reader) -> None:
        what = {"operation": method, "replayed": True, "rows": 1}
        await self._access.read("access.query", reader, what)
