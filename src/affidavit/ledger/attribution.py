"""Which chains a record joins, beyond what its writer said: the attribution rules, version 1.

Rules: a record joins a chain once and at most 8 values of a dimension, in order of occurrence;
with more it also joins ``<d>.unattributed``. It joins its ``type`` chain. An ``exchange.*`` has a
model and an actor, a ``tool.*`` a tool and an actor, or that dimension's ``.unattributed``. A
response or result joins the chains of the leaf it answers, except ``type``, before its own. Gaps,
records of unknown tenant, and records with a chain that cannot be named join (``""``,
``unattributed``, ``""``). Nothing here refuses a record: what cannot be attributed says so. Not
here: the first record of a new value (``plan``, which knows what is new).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from affidavit.errors import ParseError
from affidavit.ledger.chains import MISSING, VALUES, Epoch, chain_name
from affidavit.record.model import MAX_VALUES, UNATTRIBUTED, Chain, Record

REQUIRED = {"exchange": ("model", "actor"), "tool": ("tool", "actor")}
"""Dimensions that every record of a family of types has, or is unattributed in."""

_CHAINS_CACHED = 200_000
_RECORDS_CACHED = 10_000
_OWN = frozenset({"ledger.ended", "ledger.clock", "ledger.key"})
"""Records of the ledger itself: without a tenant, and not of an unknown one."""


class Joins(NamedTuple):
    """What a record joins by itself, as 17-byte keys.

    ``alone``: all of it for a record that inherits nothing. ``own``: without what ``required``
    adds, each of which is (numbers of a dimension and of its ``.unattributed``, the latter's key).
    ``values`` and ``missing``: for each key of a base dimension those of its derived chains.
    """

    alone: tuple[bytes, ...]
    own: tuple[bytes, ...]
    required: tuple[tuple[frozenset[int], bytes], ...]
    values: dict[bytes, bytes]
    missing: dict[bytes, bytes]


class _Keys(NamedTuple):
    key: bytes
    values: bytes | None
    missing: bytes | None


class Attribution:
    """The rules applied in one epoch; remembers what it worked out for names seen before."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._chains: dict[Chain, _Keys] = {}
        self._records: dict[tuple[str, str, tuple[Chain, ...]], Joins] = {}
        self._needs: dict[tuple[str, str], tuple[tuple[frozenset[int], bytes], ...]] = {}
        self._merged: dict[tuple[object, ...], Sequence[bytes]] = {}
        number = epoch.number("type")
        self.type_number = -1 if number is None else number

    def keys(self, record: Record, inherited: tuple[bytes, ...]) -> tuple[Joins, Sequence[bytes]]:
        """What ``record`` joins by itself, and all that it joins (``merge``)."""
        joins = self.joins(record)
        if not inherited:
            return joins, joins.alone
        name = (inherited, joins.own, joins.required)
        found = self._merged.get(name)
        if found is None:
            if len(self._merged) >= _RECORDS_CACHED:
                self._merged.clear()
            found = self._merged[name] = merge(inherited, joins)
        return joins, found

    def joins(self, record: Record) -> Joins:
        """What ``record`` joins by itself, without ``.values`` and without what it inherits."""
        name = (record.type, record.tenant, record.chains)
        found = self._records.get(name)
        if found is None:
            if len(self._records) >= _RECORDS_CACHED:
                self._records.clear()
            found = self._records[name] = self._work_out(record)
        return found

    def _work_out(self, record: Record) -> Joins:
        joined: dict[bytes, None] = {}
        values: dict[bytes, bytes] = {}
        missing: dict[bytes, bytes] = {}
        counts: dict[str, int] = {}
        tenant = _tenant(record)
        nameless = record.type == "ledger.gap" or (tenant == "" and record.type not in _OWN)
        for chain in (*record.chains, Chain(tenant, "type", record.type)):
            base, _, derived = chain.dimension.partition(".")
            if derived == "values" or (base == "type" and chain.value != record.type):
                continue  # these are the ledger's to say
            if derived:
                chain = Chain(chain.tenant, chain.dimension, "")  # noqa: PLW2901
            try:
                keys = self._keys(chain)
            except ParseError:
                nameless = True
                continue
            if base == UNATTRIBUTED or keys.key in joined:
                nameless = nameless or base == UNATTRIBUTED
                continue
            counts[chain.dimension] = counts.get(chain.dimension, 0) + 1
            if keys.values is not None and keys.missing is not None:
                values[keys.key], missing[keys.key] = keys.values, keys.missing
                if counts[chain.dimension] > MAX_VALUES:
                    joined[keys.missing] = None
                    continue
            joined[keys.key] = None
        if nameless:
            joined[self._keys(Chain("", UNATTRIBUTED, "")).key] = None
        required = self._required(record.type.partition(".")[0], tenant)
        own = tuple(joined)
        return Joins(_with_required(joined, required), own, required, values, missing)

    def _required(self, family: str, tenant: str) -> tuple[tuple[frozenset[int], bytes], ...]:
        needs = self._needs.get((family, tenant))
        if needs is None:
            found = []
            for dimension in REQUIRED.get(family, ()):
                number = self._epoch.number(dimension)
                if number is not None:
                    key = self._keys(Chain(tenant, dimension + MISSING, "")).key
                    found.append((frozenset((number, key[0])), key))
            if len(self._needs) >= _RECORDS_CACHED:
                self._needs.clear()
            needs = self._needs[family, tenant] = tuple(found)
        return needs

    def _keys(self, chain: Chain) -> _Keys:
        found = self._chains.get(chain)
        if found is None:
            key = self._epoch.key(chain)
            values = missing = None
            if "." not in chain.dimension and chain.dimension != UNATTRIBUTED:
                values = self._keys(Chain(chain.tenant, chain.dimension + VALUES, "")).key
                missing = self._keys(Chain(chain.tenant, chain.dimension + MISSING, "")).key
            if len(self._chains) >= _CHAINS_CACHED:
                self._chains.clear()
            found = self._chains[chain] = _Keys(key, values, missing)
        return found


def _tenant(record: Record) -> str:
    """The record's tenant, or none if no chain could be named by it."""
    try:
        chain_name(Chain(record.tenant, "type", ""))
    except ParseError:
        return ""
    return record.tenant


def merge(inherited: Sequence[bytes], joins: Joins) -> Sequence[bytes]:
    """All that a record joins, each once: what it inherits first, then its own.

    Keeps the limit of 8 values a dimension over both, and the required dimensions.
    """
    if not inherited:
        return joins.alone
    joined = dict.fromkeys(inherited)
    joined.update(dict.fromkeys(joins.own))
    if len(joined) > MAX_VALUES:
        joined = _limited(joined, joins.missing)
    return _with_required(joined, joins.required)


def _with_required(
    joined: dict[bytes, None], required: Sequence[tuple[frozenset[int], bytes]]
) -> tuple[bytes, ...]:
    for numbers, missing in required:
        if not any(key[0] in numbers for key in joined):
            joined[missing] = None
    return tuple(joined)


def _limited(joined: Iterable[bytes], missing: dict[bytes, bytes]) -> dict[bytes, None]:
    kept: dict[bytes, None] = {}
    counts: dict[int, int] = {}
    for key in joined:
        counts[key[0]] = counts.get(key[0], 0) + 1
        over = counts[key[0]] > MAX_VALUES and key in missing
        kept[missing[key] if over else key] = None
    return kept
