"""Writes that may be sent again: each is done once, however often it is sent and by which way.

Rules: what is sent with ``once`` (``account`` and ``key``; ``of``: what was asked of the sender, by
which it is known again, if that is something else than the parameters) is found before it is done,
or its answer is kept in the transaction that does it. The same that comes while it is under way
waits for it; others do not. So who did not hear the answer in time sends it again, and hears that.
Not here: what is kept (``control.idempotency``).
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from affidavit.app.deciding import Keep, unkept
from affidavit.control import idempotency
from affidavit.control.idempotency import Answered

T = TypeVar("T")


class Turns:
    """A lock for each name that is in somebody's hands."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[bytes, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    def of(self, name: bytes) -> asyncio.Lock:
        """The lock of that name."""
        return self._locks.setdefault(name, asyncio.Lock())


class Host(Protocol):
    """What is needed of the sequencer process."""

    answered: Answered
    writing: Turns

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` where the state may be touched."""


def once(
    name: str, method: Callable[[Any, dict[str, Any], Keep], Awaitable[Any]]
) -> Callable[[Host, dict[str, Any]], Awaitable[Any]]:
    """The write ``method``, which acts once for each ``once`` that its parameters bring.

    A repeated answer is ``replayed``. ``KeyReusedError`` if it came with another request before.
    """

    async def answer(host: Host, params: dict[str, Any]) -> Any:
        params = dict(params)
        given = params.pop("once", None)
        if given is None:
            return await method(host, params, unkept)
        of = given.get("of", params)
        asked = idempotency.once(name, of, account=given["account"], key=given["key"])
        answered = host.answered
        async with host.writing.of(asked.name):
            found = await host.ask(lambda: answered.find(asked))
            if found is not None:
                return found | {"replayed": True}
            return await method(host, params, lambda made: answered.keep(asked, made))

    return answer
