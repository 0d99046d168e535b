"""The monitor's rules, replayed over leaves and links from leaf 0 without any content.

Rules: in each chain n goes up by one and prev is the leaf with n − 1; n = 1 of a base dimension
comes with that dimension's ``.values`` link; every ``exchange.*`` has a model and an actor link or
that dimension's ``.unattributed``, every ``tool.*`` a tool and an actor link or theirs, every leaf
but ``ledger.{opened,epoch,heads}`` a type link; a leaf with ``re`` has the chains of the leaf it
points to, except ``type``, if both are of one epoch; ``re`` points to a request or call and is
answered once; ``src`` has no holes and nothing after its end; time does not decrease; a heads leaf
directly precedes an epoch leaf; every heads leaf is true. This is independent of how the leaves
were made: it shares only formats with ``plan``. Not here: the tree (``fsck``), and whether live
leaves are near the monitor's clock.
"""

from collections.abc import Sequence

from affidavit.errors import CorruptError, ParseError
from affidavit.ids import b64u
from affidavit.ledger.chains import MISSING, VALUES, Link, all_dimensions, link_digest, parse_link
from affidavit.ledger.heads import HeadsMap, bits_for
from affidavit.ledger.leaf import ANSWERS, ASKS, BARE, EpochTerms, HeadsTerms, Leaf
from affidavit.record.model import UNATTRIBUTED

_NEEDS = {"exchange": ("model", "actor"), "tool": ("tool", "actor")}


class Replay:
    """The rules' state behind the leaves fed so far; memory grows with chains and open requests.

    ``size`` is the number of leaves that were found to obey.
    """

    def __init__(self) -> None:
        self.size = 0
        self.writers: dict[str, int | None] = {}
        self._time = ""
        self._open: dict[int, frozenset[bytes]] = {}
        self._epoch = -1
        self._dimensions: tuple[str, ...] = ()
        self._numbers: dict[str, int] = {}
        self._chains: dict[bytes, bytes] = {}
        self._changed: dict[bytes, None] = {}
        self._map = HeadsMap()
        self._after_heads = False

    def feed(self, leaf: Leaf, links: Sequence[bytes]) -> None:
        """Take the next leaf with its 49-byte links; ``CorruptError`` says which rule it breaks.

        After an error the replay is over: the state is that of the leaves before.
        """
        if leaf.index != self.size:
            raise CorruptError(f"Leaf {self.size} says that it is leaf {leaf.index}.")
        if leaf.time < self._time:
            raise self._broken(leaf, "has an earlier time than the leaf before it")
        if tuple(link_digest(link) for link in links) != leaf.links:
            raise self._broken(leaf, "has other links than those that are stored for it")
        self._source(leaf)
        if leaf.opening is not None:
            self._open_epoch(leaf, leaf.opening)
        elif self.size == 0:
            raise self._broken(leaf, "is the first and does not open the ledger")
        elif leaf.heads is not None:
            self._heads(leaf, leaf.heads)
        if leaf.type not in BARE:
            self._links(leaf, links)
        self._after_heads = leaf.heads is not None
        self._time = leaf.time
        self.size += 1

    def _broken(self, leaf: Leaf, what: str) -> CorruptError:
        return CorruptError(f"Leaf {leaf.index} {what}.", leaf=leaf.index)

    def _source(self, leaf: Leaf) -> None:
        name, n = leaf.src
        expected = self.writers.get(name, 0)
        if expected is None:
            raise self._broken(leaf, "is by a writer that had ended")
        if n != expected:
            raise self._broken(leaf, f"is record {n} of its writer and should be {expected}")
        self.writers[name] = None if leaf.type == "ledger.ended" else n + 1

    def _open_epoch(self, leaf: Leaf, terms: EpochTerms) -> None:
        base = [name for name in terms.dimensions if "." not in name and name != UNATTRIBUTED]
        if (leaf.index == 0) != (leaf.type == "ledger.opened") or terms.previous != self._epoch:
            raise self._broken(leaf, "does not follow the epoch before it")
        if set(terms.dimensions) != set(all_dimensions(base)):
            raise self._broken(leaf, "lacks a derived dimension")
        if leaf.index and not self._after_heads:
            raise self._broken(leaf, "opens an epoch and no heads leaf closes the one before")
        self._epoch = leaf.index
        self._dimensions = terms.dimensions
        self._numbers = {name: number for number, name in enumerate(terms.dimensions)}
        self._chains, self._changed, self._map = {}, {}, HeadsMap()
        self._open = dict.fromkeys(self._open, frozenset())

    def _heads(self, leaf: Leaf, claim: HeadsTerms) -> None:
        if claim.epoch != self._epoch:
            raise self._broken(leaf, "claims the heads of another epoch")
        if claim.bits > bits_for(len(self._chains)) + 1:
            raise self._broken(leaf, "claims a map with more buckets than its chains need")
        values = ((b"\x00" + name, self._chains[name]) for name in self._changed)
        self._map.adopt(self._map.advance(values))
        self._changed = {}
        if claim.bits != self._map.bits:
            every = {b"\x00" + name: value for name, value in self._chains.items()}
            self._map = HeadsMap.build(every, claim.bits)
        if b64u(self._map.root) != claim.map:
            raise self._broken(leaf, "claims heads that do not follow from the links before it")

    def _links(self, leaf: Leaf, links: Sequence[bytes]) -> None:
        parsed = []
        for data in links:
            try:
                parsed.append(parse_link(data))
            except ParseError as error:
                raise self._broken(leaf, f"has a malformed link: {error.message}") from error
        names = {link.chain_id for link in parsed}
        joined = {link.dimension for link in parsed}
        if len(names) != len(parsed):
            raise self._broken(leaf, "is in one chain twice")
        if any(number >= len(self._dimensions) for number in joined):
            raise self._broken(leaf, "is in a chain of a dimension that the epoch lacks")
        self._has_dimensions(leaf, joined)
        self._answers(leaf, names)
        for link, data in zip(parsed, links, strict=True):
            self._continue(leaf, link, data, joined)
        if leaf.type in ASKS:
            number = self._numbers.get("type")
            others = frozenset(link.chain_id for link in parsed if link.dimension != number)
            self._open[leaf.index] = others

    def _has_dimensions(self, leaf: Leaf, joined: set[int]) -> None:
        if self._numbers.get("type", -1) not in joined and "type" in self._numbers:
            raise self._broken(leaf, "is in no type chain")
        for name in _NEEDS.get(leaf.type.partition(".")[0], ()):
            either = {self._numbers.get(name), self._numbers.get(name + MISSING)}
            if name in self._numbers and not either & joined:
                raise self._broken(leaf, f"names no {name} and does not say so")
        if leaf.type == "ledger.gap" and self._numbers[UNATTRIBUTED] not in joined:
            raise self._broken(leaf, "is a gap and not in the chain of what is unattributed")

    def _answers(self, leaf: Leaf, names: set[bytes]) -> None:
        if leaf.type not in ANSWERS or leaf.re is None:
            return
        inherited = self._open.pop(leaf.re, None)
        if inherited is None:
            raise self._broken(leaf, f"answers leaf {leaf.re}, which waits for no answer")
        if not inherited <= names:
            raise self._broken(leaf, f"is not in all chains of leaf {leaf.re}, which it answers")

    def _continue(self, leaf: Leaf, link: Link, data: bytes, joined: set[int]) -> None:
        before = self._chains.get(link.chain_id)
        if before is None:
            if link.n != 1:
                raise self._broken(leaf, f"begins a chain with n = {link.n}")
            values = self._numbers.get(self._dimensions[link.dimension] + VALUES)
            if values is not None and values not in joined:
                raise self._broken(leaf, "begins a chain and is not in the chain of new values")
        else:
            last, n = int.from_bytes(before[:8], "big"), int.from_bytes(before[41:49], "big")
            if link.n != n + 1 or link.prev != last or link.dimension != before[24]:
                raise self._broken(leaf, f"does not continue its chain behind leaf {last}")
        self._chains[link.chain_id] = leaf.index.to_bytes(8, "big") + data
        self._changed[link.chain_id] = None
