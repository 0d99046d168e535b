"""The end of the ledger as the sequencer holds it in memory.

Rules: what is here follows from the committed leaves and links alone; ``extend`` and
``learn`` move it by a plan that was just committed, and ``gather`` reads from leaves that exist
what such a plan says.
Requests that wait for an answer are bounded: beyond a million the oldest are forgotten, and an
answer to one of them says that it answers nothing known. Not here: disk, state.db, signing.
"""

from collections.abc import Iterable, Sequence

from affidavit.ledger import merkle, tiles
from affidavit.ledger.attribution import Attribution
from affidavit.ledger.chains import Epoch
from affidavit.ledger.leaf import ASKS, Leaf
from affidavit.ledger.state import Open, Turn

MAX_OPEN = 1_000_000


class Facts:
    """What a run of leaves changes besides the tree; see the attributes of ``Tip``.

    ``opened``: a request that waits, or ``None`` where it was answered; ``names``: record id by
    index of the requests in this run.
    """

    def __init__(self, time: str = "") -> None:
        self.time = time
        self.chains: dict[bytes, bytes] = {}
        self.opened: dict[str, Open | None] = {}
        self.names: dict[int, str] = {}
        self.writers: dict[str, tuple[int, bool]] = {}


class Tip:
    """Tree, unfinished tiles, chains, open requests and writers, as of ``tree.size`` leaves.

    ``chains``: 17-byte key → u64be index ‖ last link. ``open``: record id → request. ``writers``:
    incarnation → (next counter, ended). ``time``: ledger time of the last leaf.
    """

    def __init__(self, epoch: Epoch) -> None:
        self.tree = merkle.Tree()
        self.frontier = tiles.Frontier()
        self.time = ""
        self.writers: dict[str, tuple[int, bool]] = {}
        self.open: dict[str, Open] = {}
        self._names: dict[int, str] = {}
        self._touched: dict[str, None] = {}
        self.enter(epoch)

    def enter(self, epoch: Epoch) -> None:
        """Begin an epoch: chains count from 1 again, and answers inherit nothing across it."""
        self.epoch = epoch
        self.attribution = Attribution(epoch)
        self.chains: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes | None] = {}
        self._changed: dict[bytes, bytes] | None = None
        self._earlier: dict[bytes, bytes | None] = {}
        self.open = {name: Open(request.position, ()) for name, request in self.open.items()}

    def extend(
        self,
        tree: merkle.Tree,
        hashes: list[bytes],
        risen: Sequence[tuple[int, bytes]],
        entries: list[bytes],
        links: list[bytes],
    ) -> None:
        """Move tree and unfinished tiles on; entries and links are framed."""
        self.tree = tree
        self.frontier.extend(tiles.hash_row(0), hashes)
        self.frontier.extend(tiles.ENTRIES, entries)
        self.frontier.extend(tiles.LINKS, links)
        for level, node in risen:
            self.frontier.extend(tiles.hash_row(level), [node])

    def learn(self, facts: Facts) -> None:
        """Move time, chains, open requests and writers on."""
        self.time = facts.time or self.time
        self._changed = None
        for key in facts.chains.keys() - self._before.keys():
            self._before[key] = self.chains.get(key)
        self.chains.update(facts.chains)
        for name, request in facts.opened.items():
            self._ask(name, request)
        self.writers.update(facts.writers)

    def gather(self, leaf: Leaf, links: Sequence[bytes], facts: Facts) -> None:
        """Add to ``facts`` what a leaf that already exists, with its links, says."""
        facts.time = leaf.time
        name, n = leaf.src
        facts.writers[name] = (n + 1, leaf.type == "ledger.ended")
        stamp = leaf.index.to_bytes(8, "big")
        for link in links:
            facts.chains[link[16:33]] = stamp + link
        if leaf.re is not None:
            request = self._names.get(leaf.re) or facts.names.get(leaf.re)
            if request is not None:
                facts.opened[request] = None
        elif leaf.type in ASKS:
            number = self.attribution.type_number
            keys = tuple(link[16:33] for link in links if link[16] != number)
            facts.opened[leaf.id] = Open(leaf.index, keys)
            facts.names[leaf.index] = leaf.id

    def _ask(self, name: str, request: Open | None) -> None:
        self._touched[name] = None
        if request is None:
            known = self.open.pop(name, None)
            if known is not None:
                self._names.pop(known.position, None)
            return
        self.open[name] = request
        self._names[request.position] = name
        if len(self.open) > MAX_OPEN:
            self._ask(next(iter(self.open)), None)

    def restore_open(self, requests: Iterable[tuple[str, Open]]) -> None:
        """Take over the requests that were open at the last heads leaf."""
        self.open = dict(requests)
        self._names = {request.position: name for name, request in self.open.items()}

    def changed(self) -> dict[bytes, bytes]:
        """Heads that changed since the last heads leaf; not to be changed."""
        if self._changed is None:
            self._changed = {key: self.chains[key] for key in self._before}
        return self._changed

    def changes(self) -> int:
        """How many heads changed since the last heads leaf."""
        return len(self._before)

    def head_then(self, key: bytes) -> bytes | None:
        """The head of a chain as of the last heads leaf that is published."""
        for before in (self._earlier, self._before):
            if key in before:
                return before[key]
        return self.chains.get(key)

    def turn(self, *, reset: bool) -> Turn:
        """What a heads leaf at this size commits to state.db."""
        requests = {name: self.open.get(name) for name in self._touched}
        return Turn(self.changed(), self.chains, requests, reset)

    def turned(self) -> None:
        """A heads leaf at this size was committed: changes count from here."""
        self._earlier = {**self._before, **self._earlier} if self._earlier else self._before
        self._before = {}
        self._changed = None
        self._touched = {}

    def heads_published(self) -> None:
        """The last heads leaf is published: nobody asks for heads as of the one before it."""
        self._earlier = {}
