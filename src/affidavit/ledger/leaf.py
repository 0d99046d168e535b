"""The leaf: what the ledger stores of a record, as exact bytes.

Rules: UTF-8 JSON (ASCII in fact) without whitespace, fields in one order, at most 65,535 bytes,
nothing personal in clear. ``re`` stands in the leaves of responses and results only. The leaf
that opens an epoch and the heads leaf have seven nulls, no links and their extra fields last.
Digests are b64u of 32 bytes, links sorted as ASCII without repetition. A leaf that is read is
accepted only if writing it again gives the same bytes, so there is one spelling of each. Not
here: what the sections disclose (``record.disclose``), which links there must be (``rules``).
"""

import itertools
import re
from collections.abc import Sequence

import msgspec

from affidavit.errors import CorruptError, ParseError
from affidavit.record.model import SECTIONS, TIERS, TYPES

VERSION = 1
MAX_LEAF = 65_535
ANSWERS = frozenset({"exchange.response", "tool.result"})
"""The types whose leaf has ``re``: the index of the request they answer, or null."""

ASKS = frozenset({"exchange.request", "tool.call"})
"""The types that such a leaf may answer."""

OPENING = frozenset({"ledger.opened", "ledger.epoch"})
"""The types that open an epoch."""

HEADS = "ledger.heads"
BARE = OPENING | {HEADS}
"""The types with seven nulls and no links."""

_TIME = (
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_B64U_16 = r"[A-Za-z0-9_-]{21}[AQgw]"
_B64U_32 = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"

is_time = re.compile(_TIME).fullmatch
is_id = re.compile(_ID).fullmatch
is_incarnation = re.compile(_B64U_16).fullmatch
is_digest = re.compile(_B64U_32).fullmatch
is_dimension = re.compile(r"[a-z][a-z0-9_]*(?:\.values|\.unattributed)?").fullmatch

NO_SECTIONS: tuple[None, ...] = (None,) * len(SECTIONS)


class EpochTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an epoch leaf lays down.

    ``previous``: index of the epoch leaf before, −1 at first; ``dimensions``: all, derived ones
    included, a link names one by its place here; ``rules``: version of the attribution rules;
    ``salts``: b64u root over the 2^16 salts.
    """

    previous: int
    dimensions: tuple[str, ...]
    rules: int
    salts: str


class HeadsTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a heads leaf claims: the map over the chains of ``epoch``, as of the leaves before.

    ``epoch``: index of the epoch leaf; ``bits``: the map has 2^bits buckets; ``map``: b64u root.
    """

    epoch: int
    bits: int
    map: str


class Leaf(msgspec.Struct, frozen=True):
    """A leaf, field by field; ``opening`` and ``heads`` only in the types that have them."""

    index: int
    time: str
    at: str
    id: str
    type: str
    tier: str
    src: tuple[str, int]
    re: int | None
    sections: tuple[str | None, ...]
    links: tuple[str, ...]
    opening: EpochTerms | None = None
    heads: HeadsTerms | None = None


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    index: int
    time: str
    at: str
    id: str
    type: str
    tier: str
    src: tuple[str, int]
    sections: tuple[str | None, ...]
    links: tuple[str, ...]
    re: int | msgspec.UnsetType | None = msgspec.UNSET
    previous: int | msgspec.UnsetType = msgspec.UNSET
    dimensions: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    rules: int | msgspec.UnsetType = msgspec.UNSET
    salts: str | msgspec.UnsetType = msgspec.UNSET
    epoch: int | msgspec.UnsetType = msgspec.UNSET
    bits: int | msgspec.UnsetType = msgspec.UNSET
    map: str | msgspec.UnsetType = msgspec.UNSET


class _Written(msgspec.Struct):
    """A leaf as it is written: the fields in their order; ``re`` where it is set."""

    v: int
    index: int
    time: str
    at: str
    id: str
    type: str
    tier: str
    src: tuple[str, int]
    re: int | msgspec.UnsetType | None
    sections: Sequence[str | None]
    links: Sequence[str]


_decoder = msgspec.json.Decoder(_Wire, strict=True)
_encode = msgspec.json.Encoder().encode


def quoted(digests: Sequence[str | None]) -> str:
    """The inside of a JSON array of digests, ``null`` for an absent one."""
    return ",".join(["null" if digest is None else f'"{digest}"' for digest in digests])


def compose(
    index: int,
    time: str,
    at: str,
    record: tuple[str, str, str],
    src: tuple[str, int],
    re_index: int | None,
    sections: Sequence[str | None],
    links: Sequence[str],
    terms: EpochTerms | HeadsTerms | None = None,
) -> bytes:
    """The bytes of a leaf from parts that are known to be well-formed.

    ``record`` is (id, type, tier); ``re_index`` stands in responses and results only; ``terms``
    are the extra fields of a leaf that has them. No text here has a character that JSON escapes.
    """
    answers = re_index if record[1] in ANSWERS else msgspec.UNSET
    data = _encode(_Written(VERSION, index, time, at, *record, src, answers, sections, links))
    return data if terms is None else data[:-1] + b"," + _encode(terms)[1:]


def encode(leaf: Leaf) -> bytes:
    """The exact bytes of a leaf; ``ParseError`` if a field is not what a leaf may hold."""
    _check(leaf)
    data = compose(
        leaf.index,
        leaf.time,
        leaf.at,
        (leaf.id, leaf.type, leaf.tier),
        leaf.src,
        leaf.re,
        leaf.sections,
        leaf.links,
        leaf.opening or leaf.heads,
    )
    if len(data) > MAX_LEAF:
        raise ParseError("A leaf is at most 65,535 bytes.")
    return data


def decode(data: bytes) -> Leaf:
    """The leaf in ``data``; ``ParseError`` unless ``encode`` would give these very bytes."""
    if len(data) > MAX_LEAF:
        raise ParseError("A leaf is at most 65,535 bytes.")
    try:
        wire = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ParseError(f"This is not a leaf: {error}.") from error
    unset = msgspec.UNSET
    opening = heads = None
    if wire.type in OPENING:
        if (
            wire.previous is unset
            or wire.dimensions is unset
            or wire.rules is unset
            or wire.salts is unset
        ):
            raise ParseError("A leaf that opens an epoch lacks a field.")
        opening = EpochTerms(wire.previous, wire.dimensions, wire.rules, wire.salts)
    elif wire.type == HEADS:
        if wire.epoch is unset or wire.bits is unset or wire.map is unset:
            raise ParseError("A heads leaf lacks a field.")
        heads = HeadsTerms(wire.epoch, wire.bits, wire.map)
    leaf = Leaf(
        wire.index,
        wire.time,
        wire.at,
        wire.id,
        wire.type,
        wire.tier,
        wire.src,
        None if wire.re is unset else wire.re,
        wire.sections,
        wire.links,
        opening,
        heads,
    )
    if wire.v != VERSION or encode(leaf) != data:
        raise ParseError("A leaf has one spelling, and this is not it.")
    return leaf


def decode_at(data: bytes, index: int) -> Leaf:
    """The leaf in ``data``, which stands at ``index``; ``CorruptError`` if it is not that."""
    try:
        leaf = decode(data)
    except ParseError as error:
        raise CorruptError(f"Leaf {index}: {error.message}") from error
    if leaf.index != index:
        raise CorruptError(f"Leaf {index} says that it is leaf {leaf.index}.")
    return leaf


def _check(leaf: Leaf) -> None:
    if not (
        0 <= leaf.index < 2**63
        and is_time(leaf.time)
        and is_time(leaf.at)
        and is_id(leaf.id)
        and leaf.type in TYPES
        and leaf.tier in TIERS
        and is_incarnation(leaf.src[0])
        and 0 <= leaf.src[1] < 2**63
    ):
        raise ParseError("A field of the leaf is not what it may be.")
    if leaf.re is not None and (leaf.type not in ANSWERS or not 0 <= leaf.re < leaf.index):
        raise ParseError("Only a response or result answers, and only an earlier leaf.")
    if len(leaf.sections) != len(SECTIONS) or not all(
        digest is None or is_digest(digest) for digest in leaf.sections
    ):
        raise ParseError("A leaf has seven section digests.")
    if not all(map(is_digest, leaf.links)) or any(
        a >= b for a, b in itertools.pairwise(leaf.links)
    ):
        raise ParseError("The links of a leaf are digests in ascending order.")
    if leaf.type in BARE and (leaf.links or leaf.sections != NO_SECTIONS):
        raise ParseError("An epoch or heads leaf has no sections and no links.")
    if (leaf.opening is not None) != (leaf.type in OPENING) or (leaf.heads is not None) != (
        leaf.type == HEADS
    ):
        raise ParseError("The extra fields of the leaf do not belong to its type.")
    if leaf.opening is not None:
        _check_opening(leaf.index, leaf.type, leaf.opening)
    if leaf.heads is not None and not (
        0 <= leaf.heads.epoch < leaf.index
        and 1 <= leaf.heads.bits <= 48
        and is_digest(leaf.heads.map)
    ):
        raise ParseError("The claim of the heads leaf is malformed.")


def _check_opening(index: int, kind: str, terms: EpochTerms) -> None:
    names = terms.dimensions
    if not (
        0 < len(names) <= 256
        and len(set(names)) == len(names)
        and all(map(is_dimension, names))
        and 0 < terms.rules < 2**31
        and is_digest(terms.salts)
        and -1 <= terms.previous < index
        and (kind == "ledger.opened") == (index == 0) == (terms.previous == -1)
    ):
        raise ParseError("The terms of the epoch are malformed.")
