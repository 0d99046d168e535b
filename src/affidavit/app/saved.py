"""What the sequencer process answers about saved queries; the console decides who may ask.

Rules: the change of a query is on record before it comes here (``console.saved_api``).
"""

from typing import Any

import msgspec

from affidavit.app.sequencer import Sequencer
from affidavit.control.saved import SavedQuery


async def listed(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """The queries of an actor, its team and its tenant."""
    asked = (params["tenant"], params["actor"], params["team"])
    return await sequencer.ask(lambda: sequencer.saved.seen_by(*asked))


async def put(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """Store a query."""
    query = msgspec.convert(params, SavedQuery)
    await sequencer.ask(lambda: sequencer.saved.put(query))


async def remove(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """Take a query away."""
    query = msgspec.convert(params, SavedQuery)
    await sequencer.ask(lambda: sequencer.saved.remove(query))
