"""Answers that do not come by themselves, as their journal or leaf waits for somebody.

A journal that cannot be read on, and of which it is not decided how far it goes, answers nothing
as long as it is there, and nobody answers in its place. Of a request whose leaf is damaged nobody
knows the writer. Not here: closing requests (``ledger.lost``).
"""

import asyncio
from collections.abc import Collection, Iterable

from affidavit.app.erasure_host import Host

_NAMED = 3


async def stuck(host: Host, requests: Collection[int]) -> dict[int, str]:
    """Those of these requests that nobody answers by itself, and what somebody has to see to."""
    if not requests:
        return {}

    def waiting() -> tuple[list[int], frozenset[str]]:
        waits = sorted({*host.log.open_requests().values()}.intersection(requests))
        return waits, frozenset(host.intake.trouble)

    waits, unread = await host.ask(waiting)
    return await asyncio.to_thread(host.intake.stuck, waits, unread)


def told(erasure: str, things: Iterable[str]) -> str:
    """The sentence for the status of what an erasure waits for."""
    every = sorted({*things})
    named = ", ".join(every[:_NAMED]) + (f" and {len(every) - _NAMED} more" * (len(every) > _NAMED))
    return f"{erasure} waits for answers that do not come before somebody has seen to {named}."
