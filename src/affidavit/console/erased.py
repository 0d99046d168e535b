"""The latest request that erased something of a record, as the sequencer knows; said beside it.

Rules: a read does not fail because the sequencer is away: then nothing is said. What else is gone
of the record may have expired or gone under an earlier request: only the certificate tells. Not
here: that it is erased (``query.content``).
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from affidavit.console.services import ConsoleServices
from affidavit.errors import UnavailableError
from affidavit.query.kept_records import Request, Under

_GONE = {"erased", "missing"}


async def requests(services: ConsoleServices, gone: Sequence[int]) -> dict[int, Request]:
    """The latest request that took something of each leaf, of those where one is known."""
    if not gone:
        return {}
    try:
        known = await services.control.call("erasures.under", {"indexes": [*gone]})
    except UnavailableError:
        return {}
    return {index: Request(name, what) for index, name, what in known}


async def under(services: ConsoleServices, gone: Sequence[int]) -> dict[int, str]:
    """The same, the ids alone."""
    return {index: one.id for index, one in (await requests(services, gone)).items()}


def from_thread(services: ConsoleServices) -> Under:
    """``requests`` for a reading thread; called on the event loop."""
    loop = asyncio.get_running_loop()

    def ask(gone: Sequence[int]) -> dict[int, Request]:
        return asyncio.run_coroutine_threadsafe(requests(services, gone), loop).result()

    return ask


async def say(services: ConsoleServices, lines: Sequence[dict[str, Any]]) -> None:
    """Add to the ``details`` of lines of which something was erased the latest request that did.

    What that takes is erased, and not missing, also where the vault has no word of it any more.
    """
    gone = [one for one in lines if _GONE & {one["evidence"], one["content"]}]
    known = await requests(services, [one["index"] for one in gone])
    for one in gone:
        if request := known.get(one["index"]):
            said = {"something_erased_by_request": request.id}
            one["details"] = (one.get("details") or {}) | said
            for name in ("content", *(["evidence"] if request.what == "sections" else [])):
                if one[name] == "missing":
                    one[name] = "erased"
            if "missing" not in (one["evidence"], one["content"]):
                one["details"].pop("problem", None)
