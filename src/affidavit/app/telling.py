"""What changed about an installation since its last start, and what a crash kept from being told.

Rules: each is put on record, then remembered as told; a crash between the two tells it again. Not
here: the records (``system``, ``approving``, ``renewing``).
"""

import functools
from typing import Protocol

from affidavit.app import approving, remembering, system
from affidavit.app.erasing import Host
from affidavit.app.renewing import Renewing
from affidavit.ledger.log import Log


class Told(Host, Protocol):
    """What is needed of the sequencer process beside what every decision needs."""

    log: Log
    renewing: Renewing
    receipt_vkey: str


async def tell(sequencer: Told) -> None:
    """Put all of it on record; once the process records."""
    identities = await sequencer.ask(sequencer.identities.all)
    log = sequencer.log
    news = await sequencer.ask(
        lambda: system.pending(
            sequencer.state,
            sequencer.clock,
            sequencer.config,
            receipt_vkey=sequencer.receipt_vkey,
            log_vkey=log.keys.terms[0].vkey,  # those that follow are told by the log
            post_quantum=log.keys.vkeys[-1] if sequencer.config.log.post_quantum else "",
            identities=identities,
        )
    )
    await sequencer.ask(functools.partial(remembering.agree, sequencer))
    news += await sequencer.ask(functools.partial(approving.untold, sequencer))
    news += await sequencer.ask(functools.partial(sequencer.renewing.untold, sequencer))
    for record, name, digest in news:
        await sequencer.record(record)
        await sequencer.ask(functools.partial(system.told, sequencer.state, name, digest))
