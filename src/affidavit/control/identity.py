"""Identities and the keys that prove them.

Rules: a key is 256 random bits, so a plain SHA-256 of it is stored and compared; the lookup does
the same work for a hit, a miss and a revoked key; the key itself is shown once, at creation. An
actor is a random pseudonym from the first moment on; what identifies a person stands beside it,
in fields that records keep in their ``person`` section. Not here: where identities are stored
(``store``) and what a role may see (``query.boundary``).
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from affidavit.errors import RefusedError, UnauthenticatedError, UsageError

KINDS = ("person", "service", "agent")
MONITOR = "monitor"
"""The role of a witness that replays the log: it reads leaves and links, and nothing else."""

OWNER, ADMINISTRATOR = "owner", "administrator"
READERS = (OWNER, ADMINISTRATOR, "auditor", "responder", "compliance", "member", "subject")
"""Roles whose keys open the console; a ``caller`` key opens the gateway only."""
ROLES = (*READERS, "caller", MONITOR)
REPORTERS = frozenset({OWNER, "caller"})
"""Roles whose keys may report what happened elsewhere."""
ADMINISTRATE = frozenset({OWNER, ADMINISTRATOR})
"""Roles that make and revoke keys."""
APPROVE = frozenset({OWNER, "auditor", "responder", "compliance"})
"""Roles that may be the second person of a reveal, within their own boundary."""
PRESERVE = frozenset({OWNER, "compliance"})
"""Roles that place holds, and ask for their release and for erasures."""

_BEARER = b"bearer "
_NOBODY = bytes(32)


class Identity(msgspec.Struct, frozen=True):
    """One key and whom it stands for. ``id`` is the credential id, ``actor`` a pseudonym.

    ``boundary`` names one of the configuration; ``until`` is when the right to read ends, ``""``
    for never; ``given_up`` is when an owner's key was handed over to administrators. ``labels`` and
    ``jurisdiction`` say what its records are of, for rules of retention. ``made_by``: the actor who
    made the key, ``""`` where nobody knows.
    """

    id: str
    tenant: str
    actor: str
    kind: str
    role: str
    team: str
    groups: tuple[str, ...]
    name: str
    email: str
    key_hash: bytes
    created: str
    revoked: str | None = None
    boundary: str = ""
    until: str = ""
    given_up: str = ""
    labels: tuple[str, ...] = ()
    jurisdiction: str = ""
    made_by: str = ""

    def marks(self) -> dict[str, Any]:
        """Labels and jurisdiction as the section ``who`` has them, as far as there are any."""
        found = {"labels": list(self.labels), "jurisdiction": self.jurisdiction}
        return {name: value for name, value in found.items() if value}

    def in_force(self, now: str) -> bool:
        """Whether the key is worth anything, and may read if it ever could."""
        return self.revoked is None and (not self.until or now < self.until)


class Glass(msgspec.Struct, frozen=True):
    """A broken glass: identity ``by`` reads beyond its boundary, for ``reason``, before ``until``.

    ``id`` names it in every record of a read under it.
    """

    id: str
    by: str
    actor: str
    tenant: str
    boundary: str
    reason: str
    began: str
    until: str


class Snapshot(msgspec.Struct, frozen=True):
    """All that a gateway worker or console needs to know, as of ``version``.

    ``log_vkey`` is the log's newest Ed25519 key, ``log_vkeys`` all that sign its checkpoints now.
    ``glasses`` are those that were broken and not ended; time ends them, too.
    """

    version: int
    origin: str
    identities: tuple[Identity, ...]
    recipient_day: str
    recipient_public: bytes
    receipt_seed: bytes
    receipt_vkey: str
    log_vkey: str
    pseudonym_keys: dict[str, bytes]
    config_hash: str
    log_vkeys: tuple[str, ...] = ()
    glasses: tuple[Glass, ...] = ()

    def glass(self, identity: str, now: str) -> Glass | None:
        """The glass that an identity has broken, while it is in force."""
        mine = [one for one in self.glasses if one.by == identity and now < one.until]
        return mine[-1] if mine else None

    @property
    def local(self) -> Identity | None:
        """Who the user of the local socket is: the first owner, or what is left of its rights."""
        first = next((one for one in self.identities if one.role == OWNER), None)
        if first is None or not first.given_up:
            return first
        return msgspec.structs.replace(first, role=ADMINISTRATOR, boundary="", until="")

    def pseudonym_key(self, tenant: str, team: str) -> bytes:
        """The 32-byte key under which session ids of this team become pseudonyms."""
        return self.pseudonym_keys[f"{tenant}\0{team}"]


def hash_key(token: str) -> bytes:
    """SHA-256 of a key's UTF-8 (surrogates escaped, so any header value can be hashed)."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def is_owned(identities: Iterable[Identity]) -> bool:
    """Whether there is an owner who has not given up; once there is none, none can be made."""
    return any(one.role == OWNER and not one.given_up for one in identities)


def mails_of(identities: Iterable[Identity], actor: str) -> frozenset[str]:
    """The e-mails of an actor's keys, in lower case."""
    return frozenset(one.email.casefold() for one in identities if one.actor == actor and one.email)


def check_one_person(
    identities: Iterable[Identity], actor: str, hint: str, *, named: bool = True
) -> None:
    """``UsageError`` if an actor's keys have several e-mails: they may be of several people.

    The e-mails are in the message, unless not ``named``.
    """
    mails = sorted(mails_of(identities, actor))
    if len(mails) > 1:
        which = f": {', '.join(mails)}" if named else ""
        raise UsageError(f"The keys of {actor} have several e-mails{which}.", hint=hint)


class Directory:
    """The identities a process knows; replaced whole when a newer snapshot arrives."""

    def __init__(self, identities: Iterable[Identity]) -> None:
        self._by_hash = {identity.key_hash: identity for identity in identities}

    def find(self, token: str | None) -> Identity:
        """Return the identity of a key; ``UnauthenticatedError`` if absent, unknown or revoked.

        Only who holds the very key learns that it was revoked.
        """
        digest = hash_key(token or "")
        identity = self._by_hash.get(digest)
        stored = identity.key_hash if identity is not None else _NOBODY
        same = hmac.compare_digest(stored, digest)
        if identity is None or not same or identity.revoked is not None or not token:
            said = "This key is not known here."
            if not token:
                said = "No key was presented."
            elif identity is not None and same:
                said = "This key was revoked."
            raise UnauthenticatedError(said, hint="Use a key made with: affidavit keys create")
        return identity


def check_caller(identity: Identity) -> None:
    """``RefusedError`` for a key that may not call through the gateway."""
    if identity.role == MONITOR:
        raise RefusedError("A key with the role monitor reads the log and opens nothing else.")


def check_preserves(identity: Identity) -> None:
    """``RefusedError`` for a role that does not decide about keeping and erasing."""
    if identity.role not in PRESERVE:
        raise RefusedError(
            f"The role {identity.role} decides about no holds and no erasures.",
            hint=f"The roles {' and '.join(sorted(PRESERVE))} do.",
        )


def presented_key(
    headers: Sequence[tuple[bytes, bytes]], credential: Literal["inject", "pass"]
) -> str | None:
    """The Affidavit key in a request's headers (names in lower case), or ``None``.

    ``affidavit-key`` wins. With ``inject`` the provider's own header holds our key, as its SDK
    sends it; with ``pass`` that header belongs to the provider and is not looked at.
    """
    found = dict(reversed(headers))  # the first of each name counts
    own = found.get(b"affidavit-key")
    if own is not None or credential == "pass":
        return None if own is None else _text(own)
    authorization = found.get(b"authorization", b"")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return _text(authorization[len(_BEARER) :].strip())
    for name in (b"x-api-key", b"api-key", b"x-goog-api-key"):
        if name in found:
            return _text(found[name])
    return None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
