"""Chains and links: the names of chains, the salts that hide them, and the links of records.

Rules: a chain is (tenant, dimension, value) and has one id in an epoch; the id is salted with one
of 2^16 salts that follow from the epoch's secret and are committed to in the epoch's first leaf,
so that whoever is told one salt (with 16 hashes) can check one chain and can guess no other. A
link is 49 bytes: salt ‖ dimension ‖ chain id ‖ n ‖ prev; the leaf holds its SHA-256. Inside the
program a chain is known by its 17-byte key: dimension ‖ chain id, as they stand in a link. Not
here: which chains a record joins (``attribution``), the map of heads (``heads``).
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from affidavit.errors import CheckFailedError, ParseError
from affidavit.ids import b64u, from_b64u
from affidavit.ledger import merkle
from affidavit.ledger.leaf import EpochTerms
from affidavit.record.model import UNATTRIBUTED, Chain

LINK_BYTES = 49
KEY_BYTES = 17
CHAIN_ID_BYTES = 16
SALT_BYTES = 16
SLOT_BITS = 16
NO_PREVIOUS = 2**64 - 1
"""``prev`` of the first link of a chain."""

VALUES = ".values"
MISSING = ".unattributed"
RULES = 1
"""Version of the attribution rules of this program (``attribution``)."""

_SLOT = b"affidavit/slot/v1\x00"
_CHAIN = b"affidavit/chain/v1\x00"


class Link(NamedTuple):
    """A link, field by field; ``prev`` is ``None`` in the first of a chain."""

    salt: bytes
    dimension: int
    chain_id: bytes
    n: int
    prev: int | None


class Opening(msgspec.Struct, frozen=True):
    """What shows that a chain has this id in an epoch: its names, its salt and 16 hashes.

    ``epoch`` is the index of the epoch leaf, ``number`` the place of the dimension in its list,
    ``path`` the inclusion path of salt ``slot`` under its ``salts``, leaf sibling first.
    """

    epoch: int
    tenant: str
    dimension: str
    value: str
    number: int
    chain_id: bytes
    slot: int
    salt: bytes
    path: tuple[bytes, ...]


def all_dimensions(base: Sequence[str]) -> tuple[str, ...]:
    """Every dimension of an epoch: each base one with its two derived ones, then unattributed."""
    names: list[str] = []
    for name in base:
        names += [name, name + VALUES, name + MISSING]
    return (*names, UNATTRIBUTED)


def chain_name(chain: Chain) -> bytes:
    """Tenant ‖ 00 ‖ dimension ‖ 00 ‖ value, as both hashes take it.

    ``ParseError`` if tenant or dimension contain NUL, or a part is not valid text.
    """
    if "\x00" in chain.tenant or "\x00" in chain.dimension:
        raise ParseError("The tenant and the dimension of a chain contain no NUL.")
    try:
        return "\x00".join(chain).encode()
    except UnicodeEncodeError as error:
        raise ParseError("The name of a chain is not valid text.") from error


def slot_of(name: bytes) -> int:
    """The slot of a chain with that name: the first 16 bits of the slot hash."""
    return int.from_bytes(hashlib.sha256(_SLOT + name).digest()[:2], "big")


def chain_id(epoch: int, salt: bytes, name: bytes) -> bytes:
    """The 16-byte id of a chain with that name and salt, in the epoch opened by leaf ``epoch``."""
    return hashlib.sha256(_CHAIN + epoch.to_bytes(8, "big") + salt + name).digest()[:16]


def make_link(salt: bytes, key: bytes, n: int, prev: int) -> bytes:
    """The 49 bytes of a link; ``prev`` is ``NO_PREVIOUS`` for none."""
    return salt + key + n.to_bytes(8, "big") + prev.to_bytes(8, "big")


def parse_link(data: bytes) -> Link:
    """Take a link apart; ``ParseError`` unless it is 49 bytes with n ≥ 1 and prev to match."""
    if len(data) != LINK_BYTES:
        raise ParseError("A link is 49 bytes long.")
    n, prev = int.from_bytes(data[33:41], "big"), int.from_bytes(data[41:], "big")
    if n == 0 or (n == 1) != (prev == NO_PREVIOUS):
        raise ParseError("The first link of a chain has no previous one, and every other has.")
    return Link(data[:16], data[16], data[17:33], n, None if n == 1 else prev)


def split_links(data: bytes) -> tuple[bytes, ...]:
    """The links of one record from its entry in a links bundle; ``ParseError`` if not whole."""
    if len(data) % LINK_BYTES:
        raise ParseError("The links of a record are 49 bytes each.")
    return tuple(data[at : at + LINK_BYTES] for at in range(0, len(data), LINK_BYTES))


def link_digest(link: bytes) -> str:
    """b64u SHA-256 of a link, as the leaf holds it."""
    return b64u(hashlib.sha256(link).digest())


def salt_tree(secret: bytes) -> tuple[list[bytes], list[bytearray]]:
    """The 2^16 salts of an epoch's secret and all levels of the tree over them."""
    salts = [
        hmac.digest(secret, slot.to_bytes(4, "big"), "sha256")[:SALT_BYTES]
        for slot in range(1 << SLOT_BITS)
    ]
    return salts, merkle.perfect_levels([merkle.leaf_hash(salt) for salt in salts])


class Epoch:
    """An epoch with its secret: gives chain ids and openings.

    Building one computes 2^16 salts and their tree (about 0.2 s and 6 MB); do it once.
    """

    def __init__(
        self, index: int, previous: int, dimensions: Sequence[str], rules: int, secret: bytes
    ) -> None:
        self.index = index
        self.previous = previous
        self.dimensions = tuple(dimensions)
        self.rules = rules
        self._numbers = {name: number for number, name in enumerate(self.dimensions)}
        self._salts, self._levels = salt_tree(secret)

    @property
    def salts_root(self) -> str:
        """b64u RFC 6962 root over the salts."""
        return b64u(bytes(self._levels[-1]))

    def terms(self) -> EpochTerms:
        """What the leaf that opens this epoch says."""
        return EpochTerms(self.previous, self.dimensions, self.rules, self.salts_root)

    def number(self, dimension: str) -> int | None:
        """The place of a dimension in this epoch's list, ``None`` if the epoch lacks it."""
        return self._numbers.get(dimension)

    def key(self, chain: Chain) -> bytes:
        """Dimension ‖ chain id, 17 bytes; ``ParseError`` for a chain this epoch cannot name."""
        number = self._numbers.get(chain.dimension)
        if number is None:
            raise ParseError(f"The epoch has no dimension {chain.dimension!r}.")
        name = chain_name(chain)
        return bytes([number]) + chain_id(self.index, self._salts[slot_of(name)], name)

    def opening(self, chain: Chain) -> Opening:
        """What shows the id of a chain to a verifier; ``ParseError`` as ``key``."""
        key, slot = self.key(chain), slot_of(chain_name(chain))
        path = merkle.perfect_path(self._levels, slot)
        return Opening(self.index, *chain, key[0], key[1:], slot, self._salts[slot], path)


def verify_opening(opening: Opening, terms: EpochTerms) -> None:
    """Check an opening against the terms of its epoch; ``CheckFailedError`` if it does not hold."""
    name = chain_name(Chain(opening.tenant, opening.dimension, opening.value))
    if terms.dimensions[opening.number : opening.number + 1] != (opening.dimension,):
        raise CheckFailedError("The dimension of the chain is not the epoch's.")
    if slot_of(name) != opening.slot or len(opening.salt) != SALT_BYTES:
        raise CheckFailedError("The salt is not the one of the chain's slot.")
    merkle.verify_inclusion(
        opening.slot,
        1 << SLOT_BITS,
        merkle.leaf_hash(opening.salt),
        opening.path,
        from_b64u(terms.salts),
    )
    if chain_id(opening.epoch, opening.salt, name) != opening.chain_id:
        raise CheckFailedError("The chain id does not follow from the chain's name.")
