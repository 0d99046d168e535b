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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from affidavit.clock import add_seconds
from affidavit.errors import CorruptError, ParseError
from affidavit.ids import b64u
from affidavit.ledger.chains import MISSING, VALUES, Link, all_dimensions, link_digest, parse_link
from affidavit.ledger.heads import HeadsMap, bits_for, head_hash
from affidavit.ledger.leaf import ANSWERS, ASKS, BARE, EpochTerms, HeadsTerms, Leaf
from affidavit.record.model import UNATTRIBUTED

AHEAD_SECONDS = 300
"""A source time may be so far in front of ledger time."""

ROW_BYTES = 65
"""A chain as a replay is handed on: id (16) ‖ head hash (32) ‖ last index ‖ n ‖ dimension."""

_NEEDS = {"exchange": ("model", "actor"), "tool": ("tool", "actor")}
_ID_BYTES = 16
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
        self._dimensions: tuple[str, ...] = ()
        self._numbers: dict[str, int] = {}
        self._chains: dict[bytes, bytes] = {}  # id → u64be last index ‖ u64be n ‖ dimension
        self._changed: dict[bytes, bytes] = {}  # id → u64be last index ‖ last link, not yet mapped
        self._map = HeadsMap()
        self._after_heads = False

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
            made._chains.update((row[:16], row[48:]) for row in some)
            made._map.adopt(made._map.enter((row[:16], row[16:48]) for row in some))
        return made

    def rows(self) -> Iterator[bytes]:
        """Every chain of the epoch, for ``resume``."""
        self._fold()
        for entry in self._map.entries():
            yield entry + self._chains[entry[:16]]

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
        if leaf.time < self._time:
            raise broken(leaf, "has an earlier time than the leaf before it")
        if leaf.at > leaf.time and leaf.at > add_seconds(leaf.time, AHEAD_SECONDS):
            raise broken(leaf, "has a source time more than 5 minutes ahead of its time")
        if tuple(link_digest(link) for link in links) != leaf.links:
            raise broken(leaf, "has other links than those that are stored for it")
        self._source(leaf)
        if leaf.opening is not None:
            self._open_epoch(leaf, leaf.opening)
        elif self.size == 0:
            raise broken(leaf, "is the first and does not open the ledger")
        elif leaf.heads is not None:
            self._heads(leaf, leaf.heads)
        if leaf.type not in BARE:
            self._links(leaf, links)
        self._after_heads = leaf.heads is not None
        self._time = leaf.time
        self.size += 1

    def _source(self, leaf: Leaf) -> None:
        name, n = leaf.src
        expected = self.writers.get(name, 0)
        if expected is None:
            raise broken(leaf, "is by a writer that had ended")
        if n != expected:
            raise broken(leaf, f"is record {n} of its writer and should be {expected}")
        self.writers[name] = None if leaf.type == "ledger.ended" else n + 1

    def _open_epoch(self, leaf: Leaf, terms: EpochTerms) -> None:
        base = [name for name in terms.dimensions if "." not in name and name != UNATTRIBUTED]
        if (leaf.index == 0) != (leaf.type == "ledger.opened") or terms.previous != self._epoch:
            raise broken(leaf, "does not follow the epoch before it")
        if set(terms.dimensions) != set(all_dimensions(base)):
            raise broken(leaf, "lacks a derived dimension")
        if leaf.index and not self._after_heads:
            raise broken(leaf, "opens an epoch and no heads leaf closes the one before")
        self._epoch = leaf.index
        self._enter(terms.dimensions)
        self.open = dict.fromkeys(self.open, b"")

    def _enter(self, dimensions: tuple[str, ...]) -> None:
        self._dimensions = dimensions
        self._numbers = {name: number for number, name in enumerate(dimensions)}
        self._chains, self._changed, self._map = {}, {}, HeadsMap()

    def _heads(self, leaf: Leaf, claim: HeadsTerms) -> None:
        needed = bits_for(len(self._chains))
        if claim.epoch != self._epoch:
            raise broken(leaf, "claims the heads of another epoch")
        if claim.bits > needed + 1:
            raise broken(leaf, "claims a map with more buckets than its chains need")
        if claim.bits < max(bits_for(0), needed - 1):
            raise broken(leaf, "claims a map with fewer buckets than its chains need")
        self._fold()
        if claim.bits != self._map.bits:
            self._map = self._map.resized(claim.bits)
        if b64u(self._map.root) != claim.map:
            raise broken(leaf, "claims heads that do not follow from the links before it")

    def _fold(self) -> None:
        """Work what has changed into the map."""
        entries = ((name, head_hash(value)) for name, value in self._changed.items())
        self._map.adopt(self._map.enter(entries))
        self._changed = {}

    def _links(self, leaf: Leaf, links: Sequence[bytes]) -> None:
        parsed = []
        for data in links:
            try:
                parsed.append(parse_link(data))
            except ParseError as error:
                raise broken(leaf, f"has a malformed link: {error.message}") from error
        names = {link.chain_id for link in parsed}
        joined = {link.dimension for link in parsed}
        if len(names) != len(parsed):
            raise broken(leaf, "is in one chain twice")
        if any(number >= len(self._dimensions) for number in joined):
            raise broken(leaf, "is in a chain of a dimension that the epoch lacks")
        self._has_dimensions(leaf, joined)
        self._answers(leaf, names)
        for link, data in zip(parsed, links, strict=True):
            self._continue(leaf, link, data, joined)
        if leaf.type in ASKS:
            number = self._numbers.get("type")
            others = [link.chain_id for link in parsed if link.dimension != number]
            self.open[leaf.index] = b"".join(others)

    def _has_dimensions(self, leaf: Leaf, joined: set[int]) -> None:
        if self._numbers.get("type", -1) not in joined and "type" in self._numbers:
            raise broken(leaf, "is in no type chain")
        for name in _NEEDS.get(leaf.type.partition(".")[0], ()):
            either = {self._numbers.get(name), self._numbers.get(name + MISSING)}
            if name in self._numbers and not either & joined:
                raise broken(leaf, f"names no {name} and does not say so")
        if leaf.type == "ledger.gap" and self._numbers[UNATTRIBUTED] not in joined:
            raise broken(leaf, "is a gap and not in the chain of what is unattributed")

    def _answers(self, leaf: Leaf, names: set[bytes]) -> None:
        if leaf.type not in ANSWERS or leaf.re is None:
            return
        inherited = self.open.pop(leaf.re, None)
        if inherited is None:
            raise broken(leaf, f"answers leaf {leaf.re}, which waits for no answer")
        if any(
            inherited[at : at + _ID_BYTES] not in names
            for at in range(0, len(inherited), _ID_BYTES)
        ):
            raise broken(leaf, f"is not in all chains of leaf {leaf.re}, which it answers")

    def _continue(self, leaf: Leaf, link: Link, data: bytes, joined: set[int]) -> None:
        before = self._chains.get(link.chain_id)
        if before is None:
            if link.n != 1:
                raise broken(leaf, f"begins a chain with n = {link.n}")
            values = self._numbers.get(self._dimensions[link.dimension] + VALUES)
            if values is not None and values not in joined:
                raise broken(leaf, "begins a chain and is not in the chain of new values")
        else:
            last, n = int.from_bytes(before[:8], "big"), int.from_bytes(before[8:16], "big")
            if link.n != n + 1 or link.prev != last or link.dimension != before[16]:
                raise broken(leaf, f"does not continue its chain behind leaf {last}")
        self._take(link.chain_id, leaf.index.to_bytes(8, "big") + data)

    def _take(self, name: bytes, value: bytes) -> None:
        """Let ``value`` (u64be index ‖ link) be the end of the chain ``name``."""
        self._chains[name] = _state_of(value)
        self._changed[name] = value
        if len(self._changed) >= _UNMAPPED:
            self._fold()


def chain_row(value: bytes) -> bytes:
    """The row of a chain that ends so; ``value`` is u64be index ‖ link."""
    return value[25:41] + head_hash(value) + _state_of(value)


def _state_of(value: bytes) -> bytes:
    return value[:8] + value[41:49] + value[24:25]


def broken(leaf: Leaf, what: str) -> CorruptError:
    """The error that names the leaf and the rule it breaks."""
    return CorruptError(f"Leaf {leaf.index} {what}.", leaf=leaf.index)
