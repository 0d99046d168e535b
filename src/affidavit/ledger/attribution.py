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


class Whole(NamedTuple):
    """All that a record joins; ``firsts``: the base dimensions whose ``.values`` are in it."""

    keys: Sequence[bytes]
    firsts: tuple[str, ...]


class _Keys(NamedTuple):
    """What a chain's name becomes: its key and those of its derived chains, if it has any."""

    key: bytes
    values: bytes | None
    missing: bytes | None


class _Named(NamedTuple):
    """What a name that a record brings stands for.

    ``keys`` is ``None`` where it joins nothing by that name: because no chain can have it, if
    ``nameless``, else because it is the ledger's to say. A name along ``type`` counts only in
    records of the type that is its value: ``type``.
    """

    keys: _Keys | None
    nameless: bool = False
    type: str | None = None


class Attribution:
    """The rules applied in one epoch; remembers what it worked out for names seen before."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._chains: dict[Chain, _Keys] = {}
        self._names: dict[Chain, _Named] = {}
        self._records: dict[tuple[str, str, tuple[Chain, ...]], tuple[Joins, Whole]] = {}
        self._needs: dict[tuple[str, str], tuple[tuple[frozenset[int], bytes], ...]] = {}
        self._merged: dict[tuple[object, ...], Whole] = {}
        self._tenants: dict[str, str] = {}
        self._values = frozenset(
            number for number, name in enumerate(epoch.dimensions) if name.endswith(VALUES)
        )
        number = epoch.number("type")
        self.type_number = -1 if number is None else number

    def keys(self, record: Record, inherited: tuple[bytes, ...]) -> tuple[Joins, Whole]:
        """What ``record`` joins by itself, and all that it joins (``merge``)."""
        joins, alone = self._alone(record)
        if not inherited:
            return joins, alone
        name = (inherited, joins.own, joins.required)
        found = self._merged.get(name)
        if found is None:
            if len(self._merged) >= _RECORDS_CACHED:
                self._merged.clear()
            found = self._merged[name] = self.whole(merge(inherited, joins))
        return joins, found

    def whole(self, keys: Sequence[bytes]) -> Whole:
        """What follows for a record that joins ``keys``."""
        values = self._values.intersection([key[0] for key in keys])
        if not values:
            return Whole(keys, ())
        names = self._epoch.dimensions
        return Whole(keys, tuple([names[n].removesuffix(VALUES) for n in sorted(values)]))

    def handed(self, keys: Sequence[bytes]) -> tuple[bytes, ...]:
        """What an answer inherits from a request that joins ``keys``: all but ``type``."""
        number = self.type_number
        return tuple([key for key in keys if key[0] != number])

    def joins(self, record: Record) -> Joins:
        """What ``record`` joins by itself, without ``.values`` and without what it inherits."""
        return self._alone(record)[0]

    def _alone(self, record: Record) -> tuple[Joins, Whole]:
        name = (record.type, record.tenant, record.chains)
        found = self._records.get(name)
        if found is None:
            if len(self._records) >= _RECORDS_CACHED:
                self._records.clear()
            joins = self._work_out(record)
            found = self._records[name] = joins, self.whole(joins.alone)
        return found

    def _work_out(self, record: Record) -> Joins:
        joined: dict[bytes, None] = {}
        values: dict[bytes, bytes] = {}
        missing: dict[bytes, bytes] = {}
        tenant = self._tenants.get(record.tenant)
        if tenant is None:
            tenant = self._tenant(record.tenant)
        nameless = record.type == "ledger.gap" or (tenant == "" and record.type not in _OWN)
        for chain in (*record.chains, Chain(tenant, "type", record.type)):
            keys, unnameable, kind = self._names.get(chain) or self._look_up(chain)
            if kind is not None and kind != record.type:
                continue
            if keys is None:
                nameless = nameless or unnameable
                continue
            joined[keys.key] = None
            if keys.values is not None and keys.missing is not None:
                values[keys.key], missing[keys.key] = keys.values, keys.missing
        if len(joined) > MAX_VALUES:
            joined = _limited(joined, missing)
        if nameless:
            joined[self._derived(Chain("", UNATTRIBUTED, "")).key] = None
        required = self._required(record.type.partition(".")[0], tenant)
        own = tuple(joined)
        return Joins(_with_required(joined, required), own, required, values, missing)

    def _look_up(self, chain: Chain) -> _Named:
        """What a name brought by a record stands for, remembered."""
        base, _, derived = chain.dimension.partition(".")
        kind = chain.value if base == "type" else None
        if derived == "values":
            named = _Named(None)
        elif base == UNATTRIBUTED:
            named = _Named(None, nameless=True)
        else:
            try:
                keys = self._keys(Chain(chain.tenant, chain.dimension, "") if derived else chain)
                named = _Named(keys, nameless=False, type=kind)
            except ParseError:
                named = _Named(None, nameless=True, type=kind)
        if len(self._names) >= _CHAINS_CACHED:
            self._names.clear()
        self._names[chain] = named
        return named

    def _tenant(self, name: str) -> str:
        """A record's tenant, or none if no chain could be named by it; remembered."""
        try:
            chain_name(Chain(name, "type", ""))
            found = name
        except ParseError:
            found = ""
        if len(self._tenants) >= _RECORDS_CACHED:
            self._tenants.clear()
        self._tenants[name] = found
        return found

    def _required(self, family: str, tenant: str) -> tuple[tuple[frozenset[int], bytes], ...]:
        needs = self._needs.get((family, tenant))
        if needs is None:
            found = []
            for dimension in REQUIRED.get(family, ()):
                number = self._epoch.number(dimension)
                if number is not None:
                    key = self._derived(Chain(tenant, dimension + MISSING, "")).key
                    found.append((frozenset((number, key[0])), key))
            if len(self._needs) >= _RECORDS_CACHED:
                self._needs.clear()
            needs = self._needs[family, tenant] = tuple(found)
        return needs

    def _keys(self, chain: Chain) -> _Keys:
        if "." not in chain.dimension and chain.dimension != UNATTRIBUTED:
            values = self._derived(Chain(chain.tenant, chain.dimension + VALUES, ""))
            missing = self._derived(Chain(chain.tenant, chain.dimension + MISSING, ""))
            return _Keys(self._epoch.key(chain), values.key, missing.key)
        return self._derived(chain)

    def _derived(self, chain: Chain) -> _Keys:
        found = self._chains.get(chain)
        if found is None:
            if len(self._chains) >= _CHAINS_CACHED:
                self._chains.clear()
            found = self._chains[chain] = _Keys(self._epoch.key(chain), None, None)
        return found


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
    if required:
        there = {key[0] for key in joined}
        for numbers, missing in required:
            if numbers.isdisjoint(there):
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
