"""The shape of a record while it travels from its writer to the ledger, the vault and the index.

Rules: a record has seven sections, each a disclosure string or ``None``; every digest is over
bytes that are kept as they are; content parts are committed by salted digest and their bytes
travel beside the record, never inside it. The frames below are what the journal holds
(msgpack, sealed); their field order is the format. Not here: how disclosures are made
(``disclose``), sealed (``seal``) or written (``journal``); ledger leaves (``ledger.leaf``).
"""

import hashlib
from typing import Any, NamedTuple

import msgspec

from affidavit.ids import b64u

SECTIONS = ("who", "person", "what", "context", "control", "outcome", "content")
TIERS = ("observed", "reported", "imported")
TYPES = frozenset(
    {
        "exchange.request", "exchange.response", "tool.call", "tool.result", "retrieval",
        "approval.requested", "approval.granted", "approval.denied",
        "change.model", "change.alias", "change.prompt", "change.policy", "change.source",
        "change.deployment", "change.config", "change.key", "change.identity",
        "change.unreported",
        "access.login", "access.denied", "access.query", "access.reveal", "access.export",
        "access.tail",
        "retention.expired", "retention.erased", "retention.completed", "retention.held",
        "retention.released",
        "kubernetes.audit", "custom",
        "ledger.opened", "ledger.epoch", "ledger.heads", "ledger.ended", "ledger.gap",
        "ledger.clock", "ledger.key",
    }
)  # fmt: skip
"""All record types; ``ledger.*`` is written by this program alone."""

OUTCOMES = (
    "complete", "truncated", "client_gone", "upstream_error", "denied", "interrupted",
)  # fmt: skip
"""Exactly one of these ends every exchange; the first cause wins."""

DIMENSIONS = (
    "model", "actor", "session", "key", "tool", "source", "prompt", "policy", "type", "subject",
)  # fmt: skip
"""The base dimensions; each also has ``<d>.values`` and ``<d>.unattributed``."""

UNATTRIBUTED = "unattributed"
"""The dimension (tenant "", value "") that gaps and records of unknown tenant join."""

MAX_VALUES = 8
"""A record joins at most this many chains per dimension; above that, also ``.unattributed``."""


class Chain(NamedTuple):
    """The name of a chain: who owns it, along which dimension, for which value."""

    tenant: str
    dimension: str
    value: str


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A content part's commitment: ``digest`` = SHA-256(``salt`` ‖ bytes), ``salt`` 16 bytes."""

    name: str
    media_type: str
    size: int
    salt: bytes
    digest: bytes


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One record as its writer committed to it.

    ``id`` UUIDv7; ``at`` source time; ``sections`` seven disclosure strings or ``None`` in the
    order of ``SECTIONS``; ``chains`` every chain the writer knows it joins, first occurrence
    order, without the ``type`` chain and the ``.values`` chains, which the ledger adds;
    ``parent`` the id of the request that a response or result answers, else ``None``;
    ``subjects`` pseudonyms of data subjects whose keys seal ``person`` and content.
    """

    id: str
    type: str
    at: str
    tier: str
    tenant: str
    retention_class: str
    sections: tuple[str | None, ...]
    chains: tuple[Chain, ...]
    parts: tuple[Part, ...] = ()
    parent: str | None = None
    subjects: tuple[str, ...] = ()

    def section_digests(self) -> tuple[str | None, ...]:
        """b64u SHA-256 of each disclosure's ASCII, ``None`` for an absent section."""
        return tuple(
            None if text is None else b64u(hashlib.sha256(text.encode("ascii")).digest())
            for text in self.sections
        )


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="opened"):
    """First frame of a segment: who writes it, and whether it may serve without a record.

    ``serves``: if this writer ends without saying so, something may have been served unrecorded.
    """

    incarnation: str
    segment: int
    worker: str
    at: str
    serves: bool = False


class Written(msgspec.Struct, frozen=True, array_like=True, tag="record"):
    """A record and the bytes of its parts; ``n`` counts the writer's records from 0 without holes.

    ``bodies`` runs beside ``record.parts``; ``None`` means "the pieces of ``record.parent``, in
    order of their frames" (the body of a streamed response).
    """

    n: int
    record: Record
    bodies: tuple[bytes | None, ...]


class Piece(msgspec.Struct, frozen=True, array_like=True, tag="piece"):
    """Bytes of a response body, written before they are sent to the client.

    ``request`` is the id of the request record they answer.
    """

    request: str
    data: bytes


Frame = Opened | Written | Piece


class Placed(msgspec.Struct, frozen=True):
    """A record with its place in the ledger and its content, as vault and index receive it.

    ``bodies`` runs beside ``record.parts`` and is whole here (pieces joined). ``leaf`` is the
    exact leaf; ``links`` its 49-byte links, in the order of the leaf's digests; ``firsts`` the
    base dimensions in which it, or the record it answers, brought a value new to its epoch.
    """

    index: int
    time: str
    re: int | None
    src: tuple[str, int]
    record: Record
    bodies: tuple[bytes, ...]
    leaf: bytes
    links: tuple[bytes, ...]
    firsts: tuple[str, ...] = ()


class View(msgspec.Struct, frozen=True):
    """A record as read back for index and query: opened sections and content by part name.

    A section or part that is withheld, erased or absent is missing from the mapping;
    ``digests`` tells absent (``None``) from not shown. ``firsts`` as in ``Placed``.
    """

    index: int
    time: str
    at: str
    id: str
    type: str
    tier: str
    re: int | None
    src: tuple[str, int]
    digests: tuple[str | None, ...]
    sections: dict[str, Any]
    parts: dict[str, bytes]
    firsts: tuple[str, ...] = ()
