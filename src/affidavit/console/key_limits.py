"""What limits a key that is made: its names, role, boundary, and when its right to read ends.

Rules: a key is of the tenant of whoever makes it, or, made by an owner, of any that is named: with
its first key a tenant begins. Whoever administrates without owning makes no owner, or giving up
would mean nothing, and makes and knows of the keys of the own tenant alone; names have no
characters that are not seen, by which two would look alike; a boundary is one of the configuration;
a right to read that is over already is a mistake. Not here: what a boundary is (``query.named``).
"""

from typing import Any, Protocol

from affidavit.config import Config
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.visible import visible
from affidavit.control.identity import OWNER, READERS, Identity
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.query import named
from affidavit.query.standing import parse_moment


class KeyLimits(Protocol):
    """What is asked for: ``until`` is a time, or ``30d`` from now; all but a name may be empty.

    ``tenant``: ``""`` is that of whoever makes it.
    """

    name: str
    tenant: str
    email: str
    team: str
    groups: list[str]
    role: str
    boundary: str
    until: str
    labels: list[str]
    jurisdiction: str


def limited(asked: KeyLimits, reader: Reader, services: ConsoleServices) -> dict[str, Any]:
    """What the console adds to a key that is asked for; ``UsageError``, ``RefusedError``."""
    if asked.role == OWNER and reader.identity.role != OWNER:
        raise RefusedError("A key with the role owner is made by an owner alone.")
    tenant = asked.tenant or reader.identity.tenant
    if tenant != reader.identity.tenant and reader.identity.role != OWNER:
        raise RefusedError("Keys of another tenant are made by an owner alone.")
    for text in _texts(asked):
        if visible(text) != text:
            raise UsageError(
                f"A name has characters that are not seen: {visible(text)}.",
                hint="Write names, tenants, teams, groups, labels and addresses without them.",
            )
    if asked.boundary:
        named.check_name(services.config, asked.role, asked.boundary)
    until, now = asked.until, services.clock.now()
    if until:
        until = parse_moment(until, now)
        if asked.role not in READERS or until <= now:
            why = "is over already" if asked.role in READERS else "limits who reads, not a caller"
            raise UsageError(f"{asked.until!r} {why}.", hint="--until 2027-01-31, or 30d from now")
    return {"tenant": tenant, "until": until}


def limits_of(identity: Identity, config: Config) -> dict[str, str]:
    """The name of the boundary that applies, ``""`` for the role's, and ``through`` which group."""
    name = named.name_of(identity, config)
    given = config.boundaries.get(name)
    if identity.boundary or given is None:
        return {"applies": name, "through": ""}
    return {"applies": name, "through": next(g for g in identity.groups if g in given.groups)}


def _texts(asked: KeyLimits) -> list[str]:
    alone = [asked.name, asked.tenant, asked.email, asked.team, asked.jurisdiction]
    return [*alone, *asked.groups, *asked.labels]


def known(reader: Reader, services: ConsoleServices) -> list[Identity]:
    """The keys that whoever administrates may know of: an owner all, else the own tenant's."""
    who = reader.identity
    every = services.snapshot().identities
    return [one for one in every if who.role == OWNER or one.tenant == who.tenant]


def check_known(key: str, reader: Reader, services: ConsoleServices) -> None:
    """``NotFoundError`` for another tenant's key, as for one that is not there.

    A key made a moment ago may not be in the snapshot yet; nobody else knows its id either.
    """
    mine = {one.id for one in known(reader, services)}
    if any(one.id == key and one.id not in mine for one in services.snapshot().identities):
        raise NotFoundError(f"No key has the id {key}.", hint="affidavit keys list")
