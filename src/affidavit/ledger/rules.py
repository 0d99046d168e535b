"""The monitor's rules, replayed over leaves and links from leaf 0 without any content.

Rules: in each chain n goes up by one and prev is the leaf with n − 1; n = 1 of a base dimension
comes with that dimension's ``.values`` link; every ``exchange.*`` has a model and an actor link or
that dimension's ``.unattributed``, every ``tool.*`` a tool and an actor link or theirs, every leaf
but ``ledger.{opened,epoch,heads}`` a type link; a leaf with ``re`` has the chains of the leaf it
points to, except ``type``, if both are of one epoch; ``re`` points to a request or call and is
answered once; ``src`` has no holes and nothing after its end; time does not decrease, and source
time is at most five minutes ahead of it; a heads leaf directly precedes an epoch leaf; every heads
leaf is true, and its map has about as many buckets as its chains need. This is independent of how
the leaves were made: it shares only formats with ``plan``. Not here: the tree (``fsck``,
``monitor_tiles``), and whether live leaves are near the monitor's clock (``monitor``).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NoReturn

import msgspec

from affidavit.clock import add_seconds
from affidavit.errors import CorruptError, ParseError
from affidavit.ids import b64u
from affidavit.ledger.chains import (
    CHAIN_ID_BYTES,
    LINK_BYTES,
    MISSING,
    NO_PREVIOUS,
    VALUES,
    Link,
    all_dimensions,
    link_digest,
    parse_link,
)
from affidavit.ledger.findings import damaged
from affidavit.ledger.heads import HeadsMap, bits_for, head_hash
from affidavit.ledger.leaf import ANSWERS, ASKS, EpochTerms, HeadsTerms, Leaf
from affidavit.ledger.scan import Row, row_of
from affidavit.record.model import UNATTRIBUTED

AHEAD_SECONDS = 300
"""A source time may be so far in front of ledger time."""

ROW_BYTES = 65
"""A chain as a replay is handed on: id (16) ‖ head hash (32) ‖ last index ‖ n ‖ dimension."""

_NEEDS = {"exchange": ("model", "actor"), "tool": ("tool", "actor")}
_LINKS = struct.Struct(">16xB16sQQ")
_UNMAPPED = 100_000


class Standing(msgspec.Struct, frozen=True):
    """Where a replay stands, apart from chains, writers and open requests.

    ``size``: leaves that obeyed; ``time``: of the last; ``epoch``: index of the newest epoch leaf,
    whose dimensions are ``dimensions``; ``after_heads``: whether the last leaf was a heads leaf.
    """

    size: int = 0
    time: str = ""
    epoch: int = -1
    dimensions: tuple[str, ...] = ()
    after_heads: bool = False


class Replay:
    """The rules' state behind the leaves fed so far; memory grows with chains and open requests.

    ``size`` is the number of leaves that were found to obey. ``writers``: incarnation → its next
    counter, ``None`` once it has ended. ``open``: index of a request that waits for its answer →
    the ids of the chains that the answer inherits, one after another.
    """

    def __init__(self) -> None:
        self.size = 0
        self.writers: dict[str, int | None] = {}
        self.open: dict[int, bytes] = {}
        self._time = ""
        self._epoch = -1
        self._after_heads = False
        self._enter(())

    def standing(self) -> Standing:
        """What ``resume`` needs besides chains, writers and open requests."""
        return Standing(
            self.size, self._time, self._epoch, self._dimensions, after_heads=self._after_heads
        )

    @classmethod
    def resume(
        cls,
        standing: Standing,
        writers: Mapping[str, int | None],
        waiting: Mapping[int, bytes],
        rows: Iterable[bytes],
    ) -> "Replay":
        """A replay that goes on where another stood; ``waiting`` is its ``open``.

        ``rows``: its chains (``chain_row``); of two for one chain the later counts.
        """
        made = cls()
        made.size, made._time, made._epoch = standing.size, standing.time, standing.epoch
        made._after_heads = standing.after_heads
        made._enter(standing.dimensions)
        made.writers, made.open = dict(writers), dict(waiting)
        rest = iter(rows)
        while some := list(islice(rest, _UNMAPPED)):
            made._chains.update((row[:16], int.from_bytes(row[48:], "big")) for row in some)
            made._map.adopt(made._map.enter((row[:16], row[16:48]) for row in some))
        return made

    def rows(self) -> Iterator[bytes]:
        """Every chain of the epoch, for ``resume``."""
        self._fold()
        for entry in self._map.entries():
            yield entry + self._chains[entry[:16]].to_bytes(17, "big")

    def last(self) -> set[int]:
        """The last leaf of each chain of the epoch."""
        return {known >> 72 for known in self._chains.values()}

    @property
    def chain_count(self) -> int:
        """How many chains the epoch has."""
        return len(self._chains)

    def feed(self, leaf: Leaf, links: Sequence[bytes]) -> None:
        """Take the next leaf with its 49-byte links; ``CorruptError`` says which rule it breaks.

        After an error the replay is over: the state is that of the leaves before.
        """
        if leaf.index != self.size:
            raise CorruptError(f"Leaf {self.size} says that it is leaf {leaf.index}.")
        if tuple(link_digest(link) for link in links) != leaf.links:
            raise broken(leaf.index, "has other links than those that are stored for it")
        self.take(row_of(leaf, links))

    def take(self, row: Row) -> None:
        """As ``feed``, with a leaf whose index and links are known to be right."""
        index = row.position
        if row.time < self._time:
            raise broken(index, "has an earlier time than the leaf before it")
        if row.at > row.time and row.at > _latest(row):
            raise broken(index, "has a source time more than 5 minutes ahead of its time")
        name, n = row.src
        if self.writers.get(name, 0) != n:
            self._wrong_source(row)
        if row.bare is not None and row.bare.opening is not None:
            self._open_epoch(row.bare, row.bare.opening)
        elif self._epoch < 0:
            raise broken(index, "is the first and does not open the ledger")
        elif row.bare is not None and row.bare.heads is not None:
            self._heads(index, row.bare.heads)
        else:
            self._links(row)
        self.writers[name] = None if row.type == "ledger.ended" else n + 1
        self._time = row.time
        self._after_heads = row.bare is not None and row.bare.heads is not None
        self.size += 1

    def _wrong_source(self, row: Row) -> NoReturn:
        expected = self.writers.get(row.src[0], 0)
        if expected is None:
            raise broken(row.position, "is by a writer that had ended")
        raise broken(row.position, f"is record {row.src[1]} of its writer and should be {expected}")

    # epochs and heads

    def _open_epoch(self, leaf: Leaf, terms: EpochTerms) -> None:
        base = [name for name in terms.dimensions if "." not in name and name != UNATTRIBUTED]
        if (leaf.index == 0) != (leaf.type == "ledger.opened") or terms.previous != self._epoch:
            raise broken(leaf.index, "does not follow the epoch before it")
        if set(terms.dimensions) != set(all_dimensions(base)):
            raise broken(leaf.index, "lacks a derived dimension")
        if leaf.index and not self._after_heads:
            raise broken(leaf.index, "opens an epoch and no heads leaf closes the one before")
        self._epoch = leaf.index
        self._enter(terms.dimensions)
        self.open = dict.fromkeys(self.open, b"")

    def _enter(self, dimensions: tuple[str, ...]) -> None:
        self._dimensions = dimensions
        self._numbers = {name: number for number, name in enumerate(dimensions)}
        self._values = [self._numbers.get(name + VALUES) for name in dimensions]
        self._needs: dict[str, tuple[tuple[frozenset[int], str], ...]] = {}
        self._chains: dict[bytes, int] = {}  # id → last index · 2^72 + n · 2^8 + dimension
        self._changed: dict[bytes, bytes] = {}  # id → last link, not yet mapped
        self._map = HeadsMap()

    def _heads(self, index: int, claim: HeadsTerms) -> None:
        needed = bits_for(len(self._chains))
        if claim.epoch != self._epoch:
            raise broken(index, "claims the heads of another epoch")
        if claim.bits > needed + 1:
            raise broken(index, "claims a map with more buckets than its chains need")
        if claim.bits < max(bits_for(0), needed - 1):
            raise broken(index, "claims a map with fewer buckets than its chains need")
        self._fold()
        if claim.bits != self._map.bits:
            self._map = self._map.resized(claim.bits)
        if b64u(self._map.root) != claim.map:
            raise broken(index, "claims heads that do not follow from the links before it")

    def _fold(self) -> None:
        """Work what has changed into the map."""
        chains = self._chains
        entries = (
            (name, head_hash((chains[name] >> 72).to_bytes(8, "big") + link))
            for name, link in self._changed.items()
        )
        self._map.adopt(self._map.enter(entries))
        self._changed = {}

    # links

    def _links(self, row: Row) -> None:
        """The fast way, which takes nothing that ``_explain`` would refuse."""
        if len(row.joined) != LINK_BYTES * len(row.links):
            self._explain(row)
        parsed = [*_LINKS.iter_unpack(row.joined)]
        names = [name for _, name, _, _ in parsed]
        dimensions = row.joined[16::LINK_BYTES]
        joined = set(dimensions)
        before = [prev << 72 | (n - 1) << 8 | dimension for dimension, _, n, prev in parsed]
        for known, needed, link in zip(map(self._chains.get, names), before, parsed, strict=True):
            if known != needed and (known is not None or not self._begins(link, joined)):
                self._explain(row)
        distinct = set(names)
        if len(distinct) != len(names):
            self._explain(row)
        for either, _ in self._needs.get(row.type) or self._work_out(row.type):
            if either.isdisjoint(joined):
                self._explain(row)
        if row.re is not None:
            inherited = self.open.get(row.re)
            if inherited is None or not distinct.issuperset(_ids(inherited)):
                self._explain(row)
            del self.open[row.re]
        elif row.type in ASKS:
            number = self._numbers.get("type")
            others = [name for name, d in zip(names, dimensions, strict=True) if d != number]
            self.open[row.position] = b"".join(others)
        stamp = row.position << 72
        self._chains.update(
            zip(names, [stamp | n << 8 | number for number, _, n, _ in parsed], strict=True)
        )
        self._changed.update(zip(names, row.links, strict=True))
        if len(self._changed) >= _UNMAPPED:
            self._fold()

    def _begins(self, link: tuple[int, bytes, int, int], joined: set[int]) -> bool:
        """Whether a link may begin a chain in this leaf."""
        dimension, _, n, prev = link
        if n != 1 or prev != NO_PREVIOUS or dimension >= len(self._values):
            return False
        values = self._values[dimension]
        return values is None or values in joined

    def _work_out(self, kind: str) -> tuple[tuple[frozenset[int], str], ...]:
        """Of each of these pairs of dimensions a leaf of that type is in one, or breaks a rule."""
        needs: list[tuple[frozenset[int], str]] = []
        if "type" in self._numbers:
            needs.append((frozenset({self._numbers["type"]}), "is in no type chain"))
        for name in _NEEDS.get(kind.partition(".")[0], ()):
            if name in self._numbers:
                either = frozenset({self._numbers[name], self._numbers[name + MISSING]})
                needs.append((either, f"names no {name} and does not say so"))
        if kind == "ledger.gap":
            unattributed = frozenset({self._numbers[UNATTRIBUTED]})
            needs.append((unattributed, "is a gap and not in the chain of what is unattributed"))
        self._needs[kind] = tuple(needs)
        return self._needs[kind]

    def _explain(self, row: Row) -> NoReturn:
        """Name the first rule that the links of this leaf break: there is one."""
        index, parsed = row.position, []
        for data in row.links:
            try:
                parsed.append(parse_link(data))
            except ParseError as error:
                raise broken(index, f"has a malformed link: {error.message}") from error
        names = {link.chain_id for link in parsed}
        joined = {link.dimension for link in parsed}
        if len(names) != len(parsed):
            raise broken(index, "is in one chain twice")
        if any(number >= len(self._dimensions) for number in joined):
            raise broken(index, "is in a chain of a dimension that the epoch lacks")
        for either, what in self._work_out(row.type):
            if either.isdisjoint(joined):
                raise broken(index, what)
        if row.type in ANSWERS and row.re is not None:
            if row.re not in self.open:
                raise broken(index, f"answers leaf {row.re}, which waits for no answer")
            if not names.issuperset(_ids(self.open[row.re])):
                raise broken(index, f"is not in all chains of leaf {row.re}, which it answers")
        for link in parsed:
            self._continues(index, link, joined)
        raise AssertionError("every rule is kept")

    def _continues(self, index: int, link: Link, joined: set[int]) -> None:
        known = self._chains.get(link.chain_id)
        if known is None:
            if link.n != 1:
                raise broken(index, f"begins a chain with n = {link.n}")
            values = self._values[link.dimension]
            if values is not None and values not in joined:
                raise broken(index, "begins a chain and is not in the chain of new values")
            return
        last, n = known >> 72, known >> 8 & NO_PREVIOUS
        if link.dimension != known & 0xFF or link.n != n + 1 or link.prev != last:
            raise broken(index, f"does not continue its chain behind leaf {last}")


def chain_row(value: bytes) -> bytes:
    """The row of a chain that ends so; ``value`` is u64be index ‖ link."""
    return value[25:41] + head_hash(value) + value[:8] + value[41:49] + value[24:25]


def broken(index: int, what: str) -> CorruptError:
    """The error that names the leaf and the rule it breaks."""
    return damaged(f"leaf {index}", f"Leaf {index} {what}.")


def _latest(row: Row) -> str:
    """The latest source time that a leaf may have."""
    try:
        return add_seconds(row.time, AHEAD_SECONDS)
    except (ValueError, OverflowError) as error:
        raise broken(row.position, "has a time that no clock shows") from error


def _ids(joined: bytes) -> list[bytes]:
    return [joined[at : at + CHAIN_ID_BYTES] for at in range(0, len(joined), CHAIN_ID_BYTES)]
