"""What limits a key that is made: its role, its boundary, when its right to read ends.

Rules: whoever administrates without owning makes no owner, or giving up would mean nothing; a
boundary is one of the configuration; a right to read that is over already is a mistake. Not here:
what a boundary is (``query.named``).
"""

from typing import Any, Protocol

from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.control.identity import OWNER, READERS
from affidavit.errors import RefusedError, UsageError
from affidavit.query import named
from affidavit.query.standing import parse_moment


class KeyLimits(Protocol):
    """What is asked for: ``until`` is a time, or ``30d`` from now; both may be empty."""

    role: str
    boundary: str
    until: str


def limited(asked: KeyLimits, reader: Reader, services: ConsoleServices) -> dict[str, Any]:
    """What the console adds to a key that is asked for; ``UsageError``, ``RefusedError``."""
    if asked.role == OWNER and reader.identity.role != OWNER:
        raise RefusedError("A key with the role owner is made by an owner alone.")
    if asked.boundary:
        named.check_name(services.config, asked.role, asked.boundary)
    until, now = asked.until, services.clock.now()
    if until:
        until = parse_moment(until, now)
        if asked.role not in READERS or until <= now:
            why = "is over already" if asked.role in READERS else "limits who reads, not a caller"
            raise UsageError(f"{asked.until!r} {why}.", hint="--until 2027-01-31, or 30d from now")
    return {"tenant": reader.identity.tenant, "until": until}
