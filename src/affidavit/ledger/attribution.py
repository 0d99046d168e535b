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
from affidavit.ledger.chains import MISSING, VALUES, Epoch
from affidavit.record.model import MAX_VALUES, UNATTRIBUTED, Chain, Record

REQUIRED = {"exchange": ("model", "actor"), "tool": ("tool", "actor")}
"""Dimensions that every record of a family of types has, or is unattributed in."""

_CHAINS_CACHED = 200_000
_RECORDS_CACHED = 50_000
_OWN = frozenset({"ledger.ended", "ledger.clock", "ledger.key"})
"""Records of the ledger itself: without a tenant, and not of an unknown one."""


class Join(NamedTuple):
    """A chain to join: its 17-byte key, and for a base dimension those of its derived ones."""

    key: bytes
    values: bytes | None = None
    missing: bytes | None = None


class Joins(NamedTuple):
    """What a record joins by itself; ``required`` must be met after inheriting as well.

    Each of ``required`` is (numbers of the dimension and its ``.unattributed``, the latter's key).
    """

    own: tuple[Join, ...]
    required: tuple[tuple[frozenset[int], Join], ...]


class Attribution:
    """The rules applied in one epoch; remembers what it worked out for names seen before."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._chains: dict[Chain, Join] = {}
        self._records: dict[tuple[str, str, tuple[Chain, ...]], Joins] = {}
        number = epoch.number("type")
        self.type_number = -1 if number is None else number

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
        joined: dict[bytes, Join] = {}
        counts: dict[str, int] = {}
        nameless = record.type == "ledger.gap" or (record.tenant == "" and record.type not in _OWN)
        for chain in (*record.chains, Chain(record.tenant, "type", record.type)):
            base, _, derived = chain.dimension.partition(".")
            if base == UNATTRIBUTED:
                nameless = True
                continue
            if derived == "values" or (base == "type" and chain.value != record.type):
                continue  # these are the ledger's to say
            if derived:
                chain = Chain(chain.tenant, chain.dimension, "")  # noqa: PLW2901
            try:
                join = self._join(chain)
            except ParseError:
                nameless = True
                continue
            if join.key in joined:
                continue
            counts[chain.dimension] = counts.get(chain.dimension, 0) + 1
            if counts[chain.dimension] > MAX_VALUES and join.missing is not None:
                join = Join(join.missing)
            joined[join.key] = join
        if nameless:
            join = self._join(Chain("", UNATTRIBUTED, ""))
            joined[join.key] = join
        return Joins(tuple(joined.values()), self._required(record))

    def _required(self, record: Record) -> tuple[tuple[frozenset[int], Join], ...]:
        needs = []
        for dimension in REQUIRED.get(record.type.partition(".")[0], ()):
            number = self._epoch.number(dimension)
            if number is not None:
                missing = self._join(Chain(record.tenant, dimension + MISSING, ""))
                needs.append((frozenset((number, missing.key[0])), missing))
        return tuple(needs)

    def _join(self, chain: Chain) -> Join:
        found = self._chains.get(chain)
        if found is None:
            key = self._epoch.key(chain)
            values = missing = None
            if "." not in chain.dimension and chain.dimension != UNATTRIBUTED:
                values = self._epoch.key(Chain(chain.tenant, chain.dimension + VALUES, ""))
                missing = self._epoch.key(Chain(chain.tenant, chain.dimension + MISSING, ""))
            if len(self._chains) >= _CHAINS_CACHED:
                self._chains.clear()
            found = self._chains[chain] = Join(key, values, missing)
        return found


def merge(inherited: Sequence[bytes], joins: Joins) -> list[Join]:
    """All that a record joins, each once: what it inherits first, then its own.

    Keeps the limit of 8 values a dimension over both, and the required dimensions.
    """
    joined: dict[bytes, Join] = {key: Join(key) for key in inherited}
    for join in joins.own:
        joined.setdefault(join.key, join)
    if inherited and len(joined) > MAX_VALUES:
        joined = _limited(joined.values())
    for numbers, missing in joins.required:
        if not any(key[0] in numbers for key in joined):
            joined[missing.key] = missing
    return list(joined.values())


def _limited(joins: Iterable[Join]) -> dict[bytes, Join]:
    kept: dict[bytes, Join] = {}
    counts: dict[int, int] = {}
    for join in joins:
        number = join.key[0]
        counts[number] = counts.get(number, 0) + 1
        if counts[number] > MAX_VALUES and join.missing is not None:
            kept[join.missing] = Join(join.missing)
        else:
            kept[join.key] = join
    return kept
