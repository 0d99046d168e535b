"""Reading a log from its files alone, in any process, as of a published checkpoint.

Rules: whatever is returned was compared with something nearer to the root: a leaf with its hash
in the level 0 tile, links with the digests in their leaf, a proof with the root it leads to. A
partial tile that is gone was replaced by the full one. What is wrong is named by its path and
index. Nothing is written and nothing beyond the checkpoint is read. What was pruned is
``PrunedError``, and is no damage; leaves that were kept of it are read like all others. Not here:
chain heads and openings, which need the sequencer's memory and secrets (``log``), and the replay of
all rules (``fsck``).
"""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from affidavit.errors import (
    CheckFailedError,
    CorruptError,
    NotFoundError,
    ParseError,
    PrunedError,
)
from affidavit.ledger import merkle, note, tiles
from affidavit.ledger.chains import link_digest, parse_link, split_links
from affidavit.ledger.findings import damaged
from affidavit.ledger.leaf import Leaf, decode_at, quoted
from affidavit.ledger.pruned import (
    PRUNABLE,
    Pruned,
    kept_name,
    minimum_of,
    read_snapshot,
    split_kept,
)

_CACHED = 64
_CHECKPOINT_BYTES = 1_000_000
_LOOK_SECONDS = 1.0
"""What was pruned is remembered for no longer."""


class LogReader:
    """A log as its files show it; ``keys`` are its public keys, ``None`` to check no signature.

    ``heads``: files that may hold the newest signed note, the first that is there counts. One
    reader may serve several threads.
    """

    def __init__(
        self,
        root: Path,
        keys: note.Verifier | Sequence[note.Verifier] | None = None,
        heads: Sequence[str] = ("checkpoint",),
    ) -> None:
        self.root_path = root
        self._keys = keys
        self._heads = heads
        self._size = self._minimum = 0
        self._looked = 0.0
        self._tiles: OrderedDict[tiles.TilePath, list[bytes]] = OrderedDict()
        self._kept: OrderedDict[int, dict[int, tuple[bytes, bytes]]] = OrderedDict()
        self._pruned = read_snapshot(root, 0)

    # the checkpoint

    def checkpoint_bytes(self) -> bytes:
        """The signed note as it is published now; ``NotFoundError`` before the first."""
        for name in self._heads:
            with (
                contextlib.suppress(FileNotFoundError),
                (self.root_path / name).open("rb") as file,
            ):
                return file.read(_CHECKPOINT_BYTES)
        raise NotFoundError("The log has no checkpoint yet.")

    def trust(self, keys: Sequence[note.Verifier]) -> None:
        """From now on checkpoints are checked under these keys: the log's own have changed."""
        self._keys = keys

    def checkpoint(self) -> note.Checkpoint:
        """The published checkpoint, read again; what is read from now on is as of it.

        ``CorruptError`` if the file is not a checkpoint signed by one of the log's keys.
        """
        try:
            checkpoint = note.open_checkpoint(self.checkpoint_bytes(), self._keys)
        except (ParseError, CheckFailedError) as error:
            raise CorruptError(f"checkpoint: {error.message}") from error
        self._size = checkpoint.size
        self._forget_pruned()
        return checkpoint

    def _within(self, end: int) -> int:
        """The size known, brought up to date if ``end`` lies beyond it.

        ``NotFoundError`` with ``published`` in its detail if it is not published.
        """
        if end > self._size:
            self.checkpoint()
        if end > self._size or end < 0:
            what = f"The published log has {self._size} leaves."
            raise NotFoundError(what, published=self._size)
        return self._size

    # what was pruned

    def minimum(self) -> int:
        """The minimum index as it is now: leaves before it are there only if they were kept."""
        return minimum_of(self.root_path)

    def pruned(self) -> Pruned:
        """What is known of the leaves before the minimum index."""
        minimum = self.minimum()
        found = self._pruned
        while found.minimum != minimum:
            try:
                found = read_snapshot(self.root_path, minimum)
            except CorruptError:
                if minimum == self.minimum():
                    raise
            minimum = self.minimum()  # one that went meanwhile has a successor
        self._pruned = found
        return found

    def _forget_pruned(self) -> None:
        """Remember nothing of what is not there any more."""
        minimum, self._looked = self.minimum(), time.monotonic()
        if minimum != self._minimum:  # others may be adding to those that there are
            self._tiles, self._kept = OrderedDict(), OrderedDict()
        self._minimum = minimum

    # leaves and links

    def leaf(self, index: int) -> bytes:
        """The exact bytes of a leaf."""
        if index < 0:
            raise NotFoundError("Leaves are counted from 0.")
        size = self._within(index + 1)
        data = self._item(tiles.ENTRIES, index, size)
        if merkle.leaf_hash(data) != self._item(tiles.hash_row(0), index, size):
            path = tiles.tile_for(tiles.ENTRIES, index, size).text()
            raise damaged(path, f"{path}: entry {index % tiles.WIDTH} is not leaf {index}.")
        return data

    def decoded(self, index: int) -> Leaf:
        """A leaf, field by field; ``CorruptError`` if it is not a leaf or not of that index."""
        return decode_at(self.leaf(index), index)

    def leaves(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Leaves ``begin`` ≤ index < ``end`` with their indices."""
        for index in range(begin, end):
            yield index, self.leaf(index)

    def links(self, index: int) -> tuple[bytes, ...]:
        """The 49-byte links of a record, in the order of its leaf's digests."""
        data = self.leaf(index)
        size = self._within(index + 1)
        path = tiles.tile_for(tiles.LINKS, index, size).text()
        try:
            links = split_links(self._item(tiles.LINKS, index, size))
        except ParseError as error:
            raise CorruptError(f"{path}: {error.message}") from error
        shown = f'"links":[{quoted([link_digest(link) for link in links])}]'.encode()
        if shown not in data:
            raise CorruptError(f"{path}: the links of leaf {index} are not the leaf's.")
        return links

    def link_of(self, index: int, chain_id: bytes) -> bytes | None:
        """The link of a record in one chain, ``None`` if it is not in that chain."""
        return next((link for link in self.links(index) if link[17:33] == chain_id), None)

    def walk(self, chain_id: bytes, last: int) -> Iterator[tuple[int, bytes]]:
        """The leaves of a chain from ``last`` backwards, each with its link.

        ``CorruptError`` where the chain breaks off or does not count down by one.
        """
        index: int | None = last
        n: int | None = None
        while index is not None:
            data = self.link_of(index, chain_id)
            if data is None:
                raise CorruptError(f"Leaf {index} is not in the chain that leads to it.")
            link = parse_link(data)
            if (n is not None and link.n != n - 1) or (link.prev or 0) >= max(index, 1):
                raise CorruptError(f"The chain does not count down by one at leaf {index}.")
            yield index, data
            index, n = link.prev, link.n

    def epochs(self, newest: int) -> list[Leaf]:
        """The epoch leaves from leaf ``newest`` back to leaf 0, oldest first."""
        found = []
        index = newest
        while index >= 0:
            leaf = self.decoded(index)
            if leaf.opening is None:
                raise CorruptError(f"Leaf {index} does not open an epoch.")
            found.append(leaf)
            index = leaf.opening.previous
        return found[::-1]

    # the tree

    def subtree(self, level: int, index: int) -> bytes:
        """Hash over leaves index·2^level to (index+1)·2^level, all of them published."""
        size = self._within((index + 1) << level)
        row, inner = divmod(level, tiles.HEIGHT)
        count = tiles.count_at(row, size)
        hashes = [
            self._item(tiles.hash_row(row), at, count)
            for at in range(index << inner, (index + 1) << inner)
        ]
        return hashes[0] if inner == 0 else merkle.root(hashes)

    def root(self, size: int) -> bytes:
        """The root of the first ``size`` leaves, as the tiles give it."""
        self._within(size)
        return merkle.range_hash(0, size, self.subtree) if size else merkle.EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the tree of ``size``, leaf sibling first.

        ``CorruptError`` if the tiles do not agree with each other.
        """
        if not 0 <= index < size:
            raise NotFoundError("The leaf is outside the tree.")
        self._within(size)
        path = merkle.inclusion_path(index, size, self.subtree)
        leaf = merkle.leaf_hash(self.leaf(index))
        try:
            merkle.verify_inclusion(index, size, leaf, path, self.root(size))
        except CheckFailedError as error:
            raise CorruptError(f"The tiles around leaf {index} disagree.") from error
        return path

    def consistency(self, older: int, newer: int) -> list[bytes]:
        """The proof that the tree of ``older`` leaves begins the one of ``newer``; 0 < older."""
        if not 0 < older <= newer:
            raise NotFoundError("The older tree has at least one leaf and is not larger.")
        self._within(newer)
        return merkle.consistency_path(older, newer, self.subtree)

    # tiles

    def _item(self, row: str, index: int, count: int) -> bytes:
        path = tiles.tile_for(row, index, count)
        try:
            items = self.tile(path)
        except PrunedError as error:
            name = path.text()
            if row != tiles.hash_row(0):
                found = self.kept(path.number).get(index % tiles.WIDTH)
                if found is not None:
                    return found[row == tiles.LINKS]
                name = kept_name(path.number)
            if self.pruned().has(index):  # or somebody would take a loss for what was to go
                what = f"{name}: leaf {index} was kept, and is not there."
                raise damaged(name, what) from error
            raise
        offset = index - path.number * tiles.WIDTH
        if offset >= len(items):
            text = path.text()
            raise damaged(text, f"{text} has {len(items)} entries and should have more.")
        return items[offset]

    def tile(self, path: tiles.TilePath) -> list[bytes]:
        """The hashes or entries of a tile, from the full one if the partial one is gone.

        ``CorruptError`` naming the path if there is neither, or its width is not what it says;
        ``PrunedError`` if there is neither because it was pruned.
        """
        if path.row in PRUNABLE and time.monotonic() - self._looked > _LOOK_SECONDS:
            self._forget_pruned()
        known = self._tiles
        found = known.get(path)
        if found is not None:
            return found
        width = path.width
        data = self._read(path)
        if data is None and width != tiles.WIDTH:
            width = tiles.WIDTH
            data = self._read(path._replace(width=width))
        if data is None:
            raise self._missing(path)
        name = path._replace(width=width).text()
        split = tiles.split_bundle if path.row in {tiles.ENTRIES, tiles.LINKS} else tiles.split_tile
        items = split(data, name)
        if len(items) != width:
            raise damaged(name, f"{name} has {len(items)} entries and should have {width}.")
        known[path] = items
        while len(known) > _CACHED:
            known.popitem(last=False)
        return items

    def kept(self, number: int) -> dict[int, tuple[bytes, bytes]]:
        """Leaves that were kept of bundle ``number``: place → leaf and its links, unchecked."""
        known = self._kept
        found = known.get(number)
        if found is None:
            name = kept_name(number)
            try:
                found = split_kept((self.root_path / name).read_bytes(), name)
            except FileNotFoundError:
                found = {}
            known[number] = found
            while len(known) > _CACHED:
                known.popitem(last=False)
        return found

    def _missing(self, path: tiles.TilePath) -> PrunedError | CorruptError:
        minimum = self.minimum()
        if path.row in PRUNABLE and (path.number + 1) * tiles.WIDTH <= minimum:
            return PrunedError(
                f"{path.text()} was pruned: the log begins with leaf {minimum}.", minimum=minimum
            )
        return damaged(path.text(), f"{path.text()} is not there.")

    def _read(self, path: tiles.TilePath) -> bytes | None:
        try:
            return (self.root_path / path.text()).read_bytes()
        except FileNotFoundError:
            return None
