"""Proofs of heads and openings from what the sequencer holds in memory, in any thread.

Rules: a head is proved against the newest published heads leaf, whose map stands still until the
next one is published, or against the closing one of an epoch that is over, whose map is rebuilt
from the links when somebody asks, unless it was pruned. The next map is worked out ahead in a
thread when much has changed, in rounds, so that the sequencer waits only for what changed since the
last one. Not here: when a heads leaf is due (``agenda``).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from affidavit.errors import CorruptError, NotFoundError, PrunedError
from affidavit.ids import b64u
from affidavit.ledger.chains import Epoch, Opening
from affidavit.ledger.heads import HeadProof, HeadsMap, Step
from affidavit.ledger.leaf import Leaf
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.recover import epoch_of
from affidavit.ledger.tip import Tip
from affidavit.record.model import Chain

AHEAD = 4000
"""With more changed chains than this, the next map is first worked out in a thread."""

ROUNDS = 4
"""How often that thread may start again for what changed meanwhile; less is left each time."""


class _Ahead:
    """The next map as far as it follows from the changes that were known to ``begin``."""

    def __init__(self, base: HeadsMap) -> None:
        self.base = base
        self.step: Step | None = None
        self.rounds = 0
        self._known: dict[bytes, bytes] = {}

    def begin(self, changes: dict[bytes, bytes]) -> None:
        """Work ``changes`` in, in a thread, on top of what was worked out before."""
        self.rounds += 1
        self._known.update(changes)
        self.thread = threading.Thread(target=self._run, args=(changes,), name="heads", daemon=True)
        self.thread.start()

    def _run(self, changes: dict[bytes, bytes]) -> None:
        on, self.step = self.step, None  # a step that fails half-way is of no use
        self.base = self.base.grown()
        self.step = self.base.advance(changes.items(), on)

    def rest(self, changes: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Those of ``changes`` that are not worked in yet."""
        known = {} if self.step is None else self._known
        return {key: value for key, value in changes.items() if known.get(key) != value}


class Prover:
    """Answers for the ledger whose end is ``tip``.

    ``newest`` is the index of the newest published heads leaf of the newest epoch, or ``None``.
    """

    def __init__(
        self,
        root: Path,
        tip: Tip,
        heads: HeadsMap,
        newest: int | None,
        epoch_secret: Callable[[int], bytes],
        published: int,
    ) -> None:
        self.newest: int | None = None
        self._waiting: tuple[int, HeadsMap, Step | None] | None = None
        self._reader = LogReader(root)
        self._tip = tip
        self._map = heads
        self._secret = epoch_secret
        self._guard = threading.RLock()
        self._ahead: _Ahead | None = None
        self._next: tuple[HeadsMap, Step] | None = None
        self._epochs: dict[int, Epoch] = {}
        self._closed: dict[int, tuple[Leaf, HeadsMap, dict[bytes, bytes]]] = {}
        if newest is not None:
            self._waiting = (newest, heads, None)
            self.published(published)

    # the next heads leaf

    @property
    def waits(self) -> bool:
        """Whether a heads leaf is committed and not published yet; there is to be no second one."""
        return self._waiting is not None

    def worked_ahead(self) -> bool:
        """Whether the next map can be had soon; starts the thread that works ahead if not."""
        ahead = self._ahead
        if ahead is None:
            if self._tip.changes() + self._map.unwritten < AHEAD and not self._map.outgrown:
                return True
            ahead = self._ahead = _Ahead(self._map)
            ahead.begin(self._tip.changed())
            return False
        if ahead.thread.is_alive():
            return False
        rest = ahead.rest(self._tip.changed())
        if len(rest) < AHEAD or ahead.rounds == ROUNDS:
            return True
        ahead.begin(rest)
        return False

    def next_terms(self) -> tuple[int, bytes]:
        """Bits and root of the map as of now, for a heads leaf behind the last leaf."""
        if self._waiting is not None:  # the last words of a sequencer do not wait
            self.published(self._waiting[0] + 1)
        ahead, self._ahead = self._ahead, None
        changes = self._tip.changed()
        if ahead is None:
            base, step = self._map.grown(), None
        else:
            ahead.thread.join()
            base, step, changes = ahead.base, ahead.step, ahead.rest(changes)
        self._next = (base, base.advance(changes.items(), step))
        return base.bits, self._next[1].root

    @contextlib.contextmanager
    def turning(self, heads: int | None, *, closes: bool) -> Iterator[None]:
        """Around moving the tip: ``heads``, if given, is the next heads leaf.

        Proofs are against it once it is ``published``. With ``closes`` it closed its epoch, and the
        next one has no heads yet.
        """
        with self._guard:
            yield
            if heads is None or self._next is None:
                return
            self._waiting, self._next = (heads, *self._next), None
            if closes:
                self._map, self.newest, self._waiting = HeadsMap(), None, None

    def published(self, size: int) -> None:
        """So many leaves are published: proofs are against the newest heads leaf among them."""
        with self._guard:
            if self._waiting is None or self._waiting[0] >= size:
                return
            self.newest, self._map, step = self._waiting
            if step is not None:
                self._map.adopt(step)
            self._waiting = None
            self._tip.heads_published()

    # proofs

    def head(self, chain: Chain, heads: int | None) -> HeadProof:
        """See ``Log.prove_head``."""
        with self._guard:
            if heads is None or heads == self.newest:
                if self.newest is None:
                    raise NotFoundError("The epoch has no heads leaf yet.")
                key = self._tip.epoch.key(chain)
                value = self._tip.head_then(key)
                return self._map.prove(self.newest, self._tip.epoch.index, key, value)
            leaf, closed, values = self._closing(heads)
        epoch = leaf.heads.epoch if leaf.heads else -1
        key = self.epoch(epoch).key(chain)
        return closed.prove(heads, epoch, key, values.get(key))

    def opening(self, chain: Chain, epoch: int | None) -> Opening:
        """See ``Log.opening``."""
        return self.epoch(self._tip.epoch.index if epoch is None else epoch).opening(chain)

    def epochs(self) -> list[Leaf]:
        """The epoch leaves, oldest first, as far as they are published."""
        return self._reader.epochs(self._tip.epoch.index)

    def epoch(self, index: int) -> Epoch:
        """The epoch that leaf ``index`` opened; ``NotFoundError`` if it opened none."""
        if index == self._tip.epoch.index:
            return self._tip.epoch
        found = self._epochs.get(index)
        if found is None:
            leaf = self._reader.decoded(index) if index >= 0 else None
            if leaf is None or leaf.opening is None:
                raise NotFoundError(f"Leaf {index} does not open an epoch.")
            found = self._epochs[index] = epoch_of(leaf, self._secret)
        return found

    def _closing(self, index: int) -> tuple[Leaf, HeadsMap, dict[bytes, bytes]]:
        """The heads leaf that closed an epoch, with its map rebuilt from the links."""
        pruned = self._reader.pruned()
        if index < pruned.minimum:
            raise PrunedError(f"The epoch that leaf {index} closed was pruned.")
        if index in self._closed:
            return self._closed[index]
        leaf = self._reader.decoded(index)
        after = self._reader.decoded(index + 1) if leaf.heads else None
        if leaf.heads is None or after is None or after.opening is None:
            raise NotFoundError(
                f"Leaf {index} is neither the newest heads leaf nor one that closed an epoch."
            )
        values: dict[bytes, bytes] = {}
        for at in pruned.present(leaf.heads.epoch + 1, index):
            stamp = at.to_bytes(8, "big")
            for link in self._reader.links(at):
                values[link[16:33]] = stamp + link
        closed = HeadsMap.build(values, leaf.heads.bits)
        if b64u(closed.root) != leaf.heads.map:
            raise CorruptError(f"The links before leaf {index} do not give the map it claims.")
        self._closed[index] = (leaf, closed, values)
        return self._closed[index]
