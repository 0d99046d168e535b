"""From what is on disk to the end of the ledger in memory: the normal way to start.

Rules, in this order: the published checkpoint is ours and not ahead of state.db, nor is the one
that waits for witnesses; the tiles lead to the root of the newer one, which continues the older;
the staged leaves lead from there to the root that state.db committed; chains, open requests and
time follow from the last heads leaf by replay, and the map of heads is
the one that leaf claims. Anything else refuses the start and names what does not fit, because
going on from a wrong end would fork the ledger. A batch that is staged whole behind the committed
end is taken in: the sequencer died before its compare-and-swap, and what reached the disk is
kept. More than one such batch means that state.db forgot a commit. Not here: moving state.db and
publishing (``log``, by the same functions as at any other time).
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from affidavit.errors import CorruptError, NotFoundError
from affidavit.ids import b64u
from affidavit.ledger import merkle, note, staging, tiles
from affidavit.ledger.chains import Epoch, split_links
from affidavit.ledger.heads import HeadsMap
from affidavit.ledger.leaf import Leaf, decode_at
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.publish import CHECKPOINT, INTEGRATED
from affidavit.ledger.signing import Keys
from affidavit.ledger.state import Committed, LedgerState
from affidavit.ledger.tip import Facts, Tip

_HINT = (
    "Delete nothing. Put back the state.db and the log directory that belong together, or run"
    " affidavit fsck and keep its report."
)
_REPLAYED_AT_ONCE = 1000


class Recovered(NamedTuple):
    """The end of the ledger, and the batch behind it that is to be taken in, if there is one.

    ``newest``: index of the newest heads leaf of the newest epoch, ``None`` if it has none.
    ``signed``, ``published``: see ``Publisher``.
    """

    tip: Tip
    heads: HeadsMap
    newest: int | None
    signed: int
    published: int
    behind: staging.Batch | None


class _OnDisk:
    """Leaves and links by index: signed ones in tiles, later ones staged."""

    def __init__(self, root: Path, keys: Keys, committed: Committed) -> None:
        verifiers = keys.verifiers()
        self.reader = LogReader(root, verifiers)
        self.signed = note.Checkpoint(keys.origin, 0, merkle.EMPTY_ROOT)
        self.published = 0
        for name in (CHECKPOINT, INTEGRATED):
            reader = LogReader(root, verifiers, (name,))
            with contextlib.suppress(NotFoundError):
                self._take(name, reader, reader.checkpoint(), committed)
        self.batches: list[staging.Batch] = []
        self._staged: dict[int, tuple[bytes, bytes]] = {}
        for fencing, path in staging.files(root):
            if fencing >= committed.fencing:
                raise CorruptError("state.db is older than the log beside it.", hint=_HINT)
            self.batches += list(staging.read(fencing, path))
        for batch in self.batches:
            for at, pair in enumerate(zip(batch.entries, batch.links, strict=True)):
                self._staged[batch.first + at] = pair

    def _take(
        self, name: str, reader: LogReader, found: note.Checkpoint, committed: Committed
    ) -> None:
        """A note that is on disk: the newer one tells how far the tiles are durable."""
        what = "published checkpoint"
        if name == CHECKPOINT:
            self.published = found.size
        else:
            what = "checkpoint that waits for witnesses"
        if found.size > committed.size:
            raise CorruptError(
                f"The {what} has {found.size} leaves, state.db {committed.size}.", hint=_HINT
            )
        if found.size >= self.signed.size:
            older, self.signed, self.reader = self.signed, found, reader
            if reader.root(older.size) != older.root:
                raise CorruptError(f"The {what} does not continue the published one.", hint=_HINT)

    def get(self, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        """A committed leaf and its links."""
        if index < self.signed.size:
            return self.reader.leaf(index), self.reader.links(index)
        if index not in self._staged:
            raise CorruptError(
                f"Leaf {index} was committed and is neither in a tile nor staged.", hint=_HINT
            )
        entry, links = self._staged[index]
        return entry, split_links(links)


def recover(
    root: Path,
    keys: Keys,
    state: LedgerState,
    committed: Committed,
    first_epoch: Callable[[], Epoch],
    epoch_secret: Callable[[int], bytes],
) -> Recovered:
    """The end of the ledger as ``committed`` says it is; ``CorruptError`` if disk and it differ.

    ``first_epoch`` is for a ledger that has no leaf yet.
    """
    disk = _OnDisk(root, keys, committed)
    if committed.size == 0:
        tip = Tip(first_epoch())
    else:
        data, _ = disk.get(committed.epoch)
        tip = Tip(epoch_of(decode_at(data, committed.epoch), epoch_secret))
    _restore_tree(tip, disk, committed)
    heads, newest = _restore_chains(tip, disk, state, committed)
    tip.writers = state.writers()
    behind = _behind(disk.batches, committed)
    return Recovered(tip, heads, newest, disk.signed.size, disk.published, behind)


def epoch_of(leaf: Leaf, epoch_secret: Callable[[int], bytes]) -> Epoch:
    """The epoch a leaf opens; ``CorruptError`` if the secret is not the one it was made with."""
    if leaf.opening is None:
        raise CorruptError(f"Leaf {leaf.index} does not open an epoch.", hint=_HINT)
    terms = leaf.opening
    secret = epoch_secret(leaf.index)
    epoch = Epoch(leaf.index, terms.previous, terms.dimensions, terms.rules, secret)
    if epoch.salts_root != terms.salts:
        raise CorruptError(
            f"The secret of the epoch of leaf {leaf.index} is not the one it was opened with.",
            hint="Is this the keys.db that belongs to the ledger?",
        )
    return epoch


def _restore_tree(tip: Tip, disk: _OnDisk, committed: Committed) -> None:
    """Tree and unfinished tiles: the published ones from disk, then the staged leaves."""
    size, partial = disk.signed.size, {}
    for row, count in tiles.rows(size):
        begin = count // tiles.WIDTH * tiles.WIDTH
        items: list[bytes] = []
        if count > begin:
            items = disk.reader.tile(tiles.tile_for(row, begin, count))[: count - begin]
        if row in {tiles.ENTRIES, tiles.LINKS}:
            items = [tiles.frame(item) for item in items]
        else:
            partial[int(row.removeprefix("tile/"))] = items
        tip.frontier.restore(row, begin, items)
    tree = tiles.tree_from_tiles(size, partial)
    if tree.root() != disk.signed.root:
        raise CorruptError("The tiles do not lead to the published checkpoint.", hint=_HINT)
    more = [disk.get(index) for index in range(size, committed.size)]
    hashes = [merkle.leaf_hash(entry) for entry, _ in more]
    risen = tree.extend(hashes, tiles.HEIGHT)
    entries = [tiles.frame(entry) for entry, _ in more]
    tip.extend(tree, hashes, risen, entries, [tiles.frame(b"".join(links)) for _, links in more])
    if tree.root() != committed.root:
        raise CorruptError("The leaves on disk do not lead to the root in state.db.", hint=_HINT)


def _restore_chains(
    tip: Tip, disk: _OnDisk, state: LedgerState, committed: Committed
) -> tuple[HeadsMap, int | None]:
    """Chains and open requests as of the last heads leaf, checked against it; then the rest."""
    tip.chains = state.chains()
    tip.restore_open(state.open())
    heads, newest = HeadsMap.build(tip.chains), None
    for begin in range(committed.heads, committed.size, _REPLAYED_AT_ONCE):
        facts = Facts()
        for index in range(begin, min(begin + _REPLAYED_AT_ONCE, committed.size)):
            data, links = disk.get(index)
            leaf = decode_at(data, index)
            if index == committed.heads and leaf.heads is not None:
                newest = index
                if leaf.heads.bits != heads.bits:
                    heads = HeadsMap.build(tip.chains, leaf.heads.bits)
                if b64u(heads.root) != leaf.heads.map:
                    raise CorruptError(
                        f"The chains in state.db are not those of heads leaf {index}.", hint=_HINT
                    )
            tip.gather(leaf, links, facts)
        tip.learn(facts)
    return heads, newest


def _behind(batches: Sequence[staging.Batch], committed: Committed) -> staging.Batch | None:
    found = [batch for batch in batches if batch.first == committed.size and batch.entries]
    if not found:
        return None
    end = found[-1].first + len(found[-1].entries)
    if any(batch.first >= end for batch in batches):
        raise CorruptError(
            "state.db has forgotten a commit: more than one batch is staged behind it.",
            hint=_HINT,
        )
    return found[-1]
