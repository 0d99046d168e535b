"""Under which request something was erased, as the sequencer knows; said beside what is left.

Rules: a read does not fail because the sequencer is away: then nothing is said. Not here: that it
is erased (``query.content``).
"""

from collections.abc import Sequence
from typing import Any

from affidavit.console.services import ConsoleServices
from affidavit.errors import UnavailableError


async def under(services: ConsoleServices, gone: Sequence[int]) -> dict[int, str]:
    """The request under which each leaf was erased, of those where one is known."""
    if not gone:
        return {}
    try:
        return dict(await services.control.call("erasures.under", {"indexes": [*gone]}))
    except UnavailableError:
        return {}


async def say(services: ConsoleServices, lines: Sequence[dict[str, Any]]) -> None:
    """Add to the lines about what was erased under which certificate, among their ``details``."""
    gone = [one for one in lines if "erased" in (one["evidence"], one["content"])]
    known = await under(services, [one["index"] for one in gone])
    for one in gone:
        if one["index"] in known:
            said = {"erased_under_certificate": known[one["index"]]}
            one["details"] = (one.get("details") or {}) | said
