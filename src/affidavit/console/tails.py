"""Live tails: rows as they are indexed, to readers of any speed, and their end on record.

Rules: a look takes at most ``PAGE`` rows and the next look waits until these are sent, so a slow
reader costs a page of memory and no thread, and holds up nobody. Who takes nothing for
``STALL_SECONDS`` is let go and can go on later by index. A tail ends when the reader leaves, is
no longer who it was (key revoked, boundary changed), is too slow, a look fails, or the console
stops; the end and why are recorded, whichever way it comes. A look that takes too long is made over
fewer leaves. Each row is there once, in ledger order; the index behind
the last one is where the next tail goes on. Not here: what a row is (``query``), that the beginning
was recorded (``reads``).
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from affidavit.console import problems
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.errors import AffidavitError, UsageError
from affidavit.index.reader import TIME
from affidavit.query import search
from affidavit.query.tree import Tree

PAGE = 100
"""Rows that one tail holds at a time."""
POLL_SECONDS = 0.25
QUIET_SECONDS = 15.0
"""A tail that has nothing to say says so this often, so that a dead connection is noticed."""
STALL_SECONDS = 60.0
"""How long a reader may take nothing."""
LAST_SECONDS = 1.0
"""How long the end of an answer may take to be sent."""
LEAST_SPAN = 1 << 12
"""A look over so many leaves that takes too long is not tried over fewer."""
_FEWER = 8

LEFT, REVOKED, SLOW, STOPPED = "left", "no longer allowed", "too slow", "console stopped"


class Tail:
    """The rows of one tail from index ``start`` on; ``ended`` records the end, with the reason.

    An asynchronous iterator: a row, or ``None`` when nothing came for a while. ``valid`` says
    whether the reader is still who it was.
    """

    def __init__(
        self,
        services: ConsoleServices,
        reader: Reader,
        tree: Tree,
        start: int,
        purpose: str,
        valid: Callable[[], bool],
        ended: Callable[[int, str], Awaitable[None]],
    ) -> None:
        self._services = services
        self._look = functools.partial(
            services.searcher.tail, tree, reader.boundary, limit=PAGE, reason=purpose
        )
        self._valid = valid
        self._ended: Callable[[int, str], Awaitable[None]] | None = ended
        self._rows = 0
        self._limit = contextlib.ExitStack()
        self._limit.enter_context(services.limits.tail(reader.account))
        self._pages = self._follow(start)

    def __aiter__(self) -> "Tail":
        return self

    async def __anext__(self) -> dict[str, Any] | None:
        try:
            row = await anext(self._pages)
        except StopAsyncIteration:
            await self.aclose(self.over() or LEFT)
            raise
        except AffidavitError as error:
            await self.aclose(f"failed: {error.message}")
            raise
        self._rows += row is not None
        return row

    def over(self) -> str:
        """Why it has to end now, ``""`` if it has not."""
        if self._services.closing.is_set():
            return STOPPED
        return "" if self._valid() else REVOKED

    async def aclose(self, why: str = LEFT) -> None:
        """End it, once, on record; what cannot be recorded any more ends all the same."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        self._limit.close()
        await self._pages.aclose()
        with contextlib.suppress(AffidavitError):
            await ended(self._rows, why)

    def abandon(self) -> None:
        """It never began: nothing is on record, and nothing is to be."""
        self._ended = None
        self._limit.close()

    async def _follow(self, start: int) -> AsyncGenerator[dict[str, Any] | None, None]:
        clock = self._services.clock
        quiet = clock.monotonic()
        span = search.TAIL_SPAN
        while not self.over():
            look = functools.partial(self._look, after=start, span=span)
            try:
                page = await self._services.blocking(look)
            except UsageError as error:
                if error.detail.get("reason") != TIME or span <= LEAST_SPAN:
                    raise
                span //= _FEWER
                continue
            for row in page.rows:
                if self.over():
                    return
                yield row
            start = page.next
            now = clock.monotonic()
            if page.rows or now - quiet > QUIET_SECONDS:
                quiet = now
                if not page.rows:
                    yield None
            if not page.rows and start >= page.as_of.size:  # else the look was not over
                await asyncio.sleep(POLL_SECONDS)


def event(row: dict[str, Any] | None) -> str:
    """A row as one event, whatever its values hold; a comment for ``None``."""
    if row is None:
        return ": nothing new\n\n"
    return f"id: {row['index']}\ndata: {json.dumps(row)}\n\n"


class TailResponse(StreamingResponse):
    """A tail as server-sent events, ``id`` the ledger index; a comment when it is quiet.

    Where a look fails, the last event is an ``error``, whose data is a problem (``problems``).
    """

    def __init__(self, tail: Tail) -> None:
        super().__init__((), media_type="text/event-stream")
        self._tail = tail
        self._failed = ""

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send until it ends; however it ends, that is recorded before this returns."""
        sending = asyncio.create_task(self._send(send))
        watching = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._over())]
        why = LEFT
        try:
            done, __ = await asyncio.wait({sending, *watching}, return_when=asyncio.FIRST_COMPLETED)
            why = sending.result() if sending in done else done.pop().result()
        finally:
            for task in (sending, *watching):
                task.cancel()
            await asyncio.gather(sending, *watching, return_exceptions=True)
            await asyncio.shield(self._tail.aclose(why))
        if why != LEFT:
            await self._finish(send, why)

    async def _send(self, send: Send) -> str:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        await _piece(send, "retry: 1000\n: recorded as access.tail\n\n")
        try:
            async for row in self._tail:
                async with asyncio.timeout(STALL_SECONDS):
                    await _piece(send, event(row))
        except TimeoutError:
            return SLOW
        except AffidavitError as error:
            self._failed = f"event: error\ndata: {json.dumps(problems.problem(error))}\n\n"
            return f"failed: {error.message}"
        return self._tail.over() or LEFT

    async def _over(self) -> str:
        """Return when the tail has to end although its reader takes nothing."""
        while not (why := self._tail.over()):  # noqa: ASYNC110 - a snapshot is looked at
            await asyncio.sleep(POLL_SECONDS)
        return why

    async def _finish(self, send: Send, why: str) -> None:
        """Say why, and end the answer as answers end, if the reader still takes anything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await _piece(send, self._failed or f": ended: {why}\n\n")
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _piece(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _gone(receive: Receive) -> str:
    """Return when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return LEFT
