"""Checking a log on disk against its published checkpoint; changes nothing.

Rules: every bundle, links bundle and hash tile that the checkpoint refers to is read whole; leaf
hashes are computed from the leaves and every other hash from those, up to the signed root; every
leaf and link then obeys the monitor's rules (``rules``). The first thing that is wrong is named,
and the check ends there, as all behind it would follow. Partial tiles of earlier checkpoints that
are still there must be the beginning of the tile; one that is not is named when nothing else is
wrong, as a fuller tile has taken its place. What lies beyond the checkpoint (a batch not yet
published, a file half written at a crash) is nobody's claim and is no error, so a log passes at
every instant, before any recovery, and while a sequencer runs. Of a log that was pruned everything
from the minimum index on is checked, and what was kept before it (``fsck_pruned``).

A check can be left after any bundle and taken up later (``Saved``): the log must then still begin
with the leaves that were checked. Memory grows with chains and open requests, not with leaves. Not
here: other notes than the checkpoint (``notes``), state.db, vault and index.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from affidavit.errors import (
    AffidavitError,
    CorruptError,
    NotFoundError,
    PrunedError,
    UnavailableError,
)
from affidavit.ledger import fsck_pruned, merkle, note, tiles
from affidavit.ledger.findings import Finding, damaged, finding, superseded
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import Pruned
from affidavit.ledger.rules import ROW_BYTES, Replay, Standing
from affidavit.ledger.scan import Row, scan

Keys = note.Verifier | Sequence[note.Verifier] | None
Told = Callable[[int, int], None]
"""Called after each bundle with (leaves checked, leaves in all); may raise to leave the check."""


class Report(msgspec.Struct, frozen=True):
    """What was found: ``finding`` is the first bad object, ``None`` if there is none.

    ``size`` and ``root`` (hex) are the checkpoint's; ``leaves`` is how many leaves were found to
    be good before the check ended; ``writers`` how many have not ended.
    """

    size: int
    root: str
    leaves: int
    writers: int
    finding: Finding | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.finding is None

    @property
    def first(self) -> str:
        """What is wrong with the first bad object, ``""`` if there is none."""
        return "" if self.finding is None else self.finding.wrong


class Saved(msgspec.Struct, frozen=True):
    """A check that was left: the checkpoint it was about, and what it carries along.

    ``edge`` are the roots of the perfect subtrees of the leaves checked; ``rows`` the hashes of
    each level above 0 that are not in a full tile yet; the rest is the replay.
    """

    size: int
    root: bytes
    edge: tuple[bytes, ...]
    rows: dict[int, list[bytes]]
    standing: Standing
    writers: dict[str, int | None]
    open: dict[int, bytes]
    chains: bytes
    superseded: tuple[str, str] | None = None


def check(root: Path, keys: Keys, *, progress: Told | None = None) -> Report:
    """Check the log below ``root``; ``keys`` are its keys, ``None`` to check no signature.

    A log without a checkpoint is one of no leaves. ``UnavailableError`` if it is pruned meanwhile.
    """
    made: Check | None = None
    found = None
    try:
        made = Check(root, keys)
        made.run(progress or _tell_nobody)
    except UnavailableError:
        raise
    except AffidavitError as error:
        found = finding(error)
    if made is None:
        return Report(0, merkle.EMPTY_ROOT.hex(), 0, 0, found)
    alive = sum(1 for n in made.replay.writers.values() if n is not None)
    return Report(made.size, made.root.hex(), made.replay.size, alive, found)


def _tell_nobody(_: int, __: int) -> None:
    pass


class Check:
    """One pass over all leaves, which carries the hashes of every level along.

    Made of the checkpoint that is published now, whose ``size`` and ``root`` it is about.
    ``heads`` as of ``LogReader``. ``saved`` is a check that was left, to go on from; of one that
    did not come to the minimum index nothing is taken. ``minimum`` is that index. ``CorruptError``
    if the log no longer holds what ``saved`` saw; ``UnavailableError`` if it is pruned meanwhile.
    """

    def __init__(
        self,
        root: Path,
        keys: Keys,
        saved: Saved | None = None,
        heads: Sequence[str] = ("checkpoint",),
    ) -> None:
        self.size = self.minimum = 0
        self.root = merkle.EMPTY_ROOT
        self.replay = Replay()
        self._directory = root
        self._reader = LogReader(root, keys, heads)
        self._tree = merkle.Tree()
        self._rows: dict[int, list[bytes]] = {}
        self._superseded: tuple[str, str] | None = None
        try:
            checkpoint = self._reader.checkpoint()
        except NotFoundError:
            if saved is not None and saved.size:
                raise _changed(0) from None
            return
        self.size, self.root = checkpoint.size, checkpoint.root
        pruned = self._reader.pruned()
        self.minimum = pruned.minimum
        try:
            if saved is not None and saved.standing.size >= pruned.minimum:
                self._go_on(saved)
            elif pruned.minimum:
                self._begin(pruned)
        except (CorruptError, PrunedError) as error:
            if self._reader.minimum() == pruned.minimum:
                raise
            raise _pruned_meanwhile() from error

    def _begin(self, pruned: Pruned) -> None:
        if pruned.minimum > self.size:
            raise damaged("minimum", "minimum lies behind the published checkpoint.")
        self.replay = fsck_pruned.begin(self._reader, pruned)
        self._rows = fsck_pruned.rows_at(self._reader, pruned.minimum)
        self._tree = fsck_pruned.tree_at(self._reader, pruned.minimum)

    def _go_on(self, saved: Saved) -> None:
        self.replay = _replay(saved)
        self._tree = merkle.Tree(saved.standing.size, saved.edge)
        self._rows = {level: list(hashes) for level, hashes in saved.rows.items()}
        self._superseded = saved.superseded
        for size, root in ((self._tree.size, self._tree.root()), (saved.size, saved.root)):
            if size > self.size or self._reader.root(size) != root:
                raise _changed(size)

    def save(self) -> Saved:
        """What it takes to go on later; from ``told`` only, and not after the last leaf."""
        replay = self.replay
        return Saved(
            self.size,
            self.root,
            self._tree.edge(),
            dict(self._rows),
            replay.standing(),
            replay.writers,
            replay.open,
            b"".join(replay.rows()),
            self._superseded,
        )

    def run(
        self,
        told: Told,
        also: Callable[[Row], None] | None = None,
        *,
        before: int | None = None,
    ) -> None:
        """Check every leaf that is not checked yet; ``CorruptError`` at the first bad object.

        ``also`` gets each leaf that obeys the rules, in order, to check what belongs to it. With
        ``before`` (a multiple of 256) only the leaves up to there are, against the tiles above.
        ``UnavailableError`` if leaves are pruned while they are checked.
        """
        end = self.size if before is None else before
        for first in range(self.replay.size, end, tiles.WIDTH):
            try:
                self._bundle(first, also)
            except PrunedError as error:
                raise _pruned_meanwhile() from error
            told(self.replay.size, end)
        if before is None:
            self._top()
        elif self._tree.root() != self._reader.root(before):
            raise damaged("tile/", f"The tiles do not give the root of {before} leaves.")
        if self._superseded is not None:
            raise superseded(*self._superseded)

    def _top(self) -> None:
        """The unfinished tiles, and the root."""
        for level, hashes in self._rows.items():
            if hashes:
                count = tiles.count_at(level, self.size)
                self._tile(level, count - 1, count, hashes)
        if self._tree.root() == self.root:
            return
        if self.minimum:  # the hashes of what was pruned are all that no leaf was compared with
            last = self.minimum // tiles.WIDTH - 1
            name = tiles.tile_for(tiles.hash_row(1), last, tiles.count_at(1, self.size)).text()
            raise damaged(name, f"{name}: the hashes of pruned leaves do not lead to the root.")
        raise damaged("checkpoint", "checkpoint: its root is not that of the leaves.")

    def _bundle(self, first: int, also: Callable[[Row], None] | None) -> None:
        last = min(first + tiles.WIDTH, self.size) - 1
        entries = self._items(tiles.ENTRIES, last, self.size)
        links = self._items(tiles.LINKS, last, self.size)
        hashes = [merkle.leaf_hash(entry) for entry in entries]
        self._leaves(last, hashes)
        for level, node in self._tree.extend(hashes, tiles.HEIGHT):
            kept = self._rows.setdefault(level, [])
            kept.append(node)
            if len(kept) == tiles.WIDTH:
                index = tiles.count_at(level, first + tiles.WIDTH) - 1
                self._tile(level, index, tiles.count_at(level, self.size), kept)
                self._rows[level] = []
        name = tiles.tile_for(tiles.LINKS, last, self.size).text()
        for row in scan(first, entries, links, name):
            self.replay.take(row)
            if also is not None:
                also(row)
        self._earlier(tiles.ENTRIES, last, self.size, entries)
        self._earlier(tiles.LINKS, last, self.size, links)
        self._earlier(tiles.hash_row(0), last, self.size, hashes)

    def _leaves(self, last: int, hashes: list[bytes]) -> None:
        """Compare leaves with their hashes; of two that disagree, the tree says which is wrong."""
        found = self._items(tiles.hash_row(0), last, self.size)
        if found == hashes:
            return
        at = _first_difference(found, hashes)
        entries = tiles.tile_for(tiles.ENTRIES, last, self.size).text()
        tile = tiles.tile_for(tiles.hash_row(0), last, self.size).text()
        if self._leads_up(last, hashes) and not self._leads_up(last, found):
            raise damaged(tile, f"{tile}: hash {at} does not follow from the leaf in {entries}.")
        index = last - len(hashes) + 1 + at
        raise damaged(entries, f"{entries}: leaf {index} does not have the hash that is in {tile}.")

    def _leads_up(self, last: int, hashes: list[bytes]) -> bool:
        """Whether these hashes of the bundle that ends with leaf ``last`` fit what is above."""
        if last + 1 == self.size:
            tree = self._tree.copy()
            tree.extend(hashes)
            return tree.root() == self.root
        try:
            above = self._reader.subtree(tiles.HEIGHT, last // tiles.WIDTH)
        except AffidavitError:
            return False
        return above == merkle.root(hashes)

    def _tile(self, level: int, index: int, count: int, hashes: list[bytes]) -> None:
        row = tiles.hash_row(level)
        found = self._items(row, index, count)
        if found != hashes:
            path = tiles.tile_for(row, index, count).text()
            at = _first_difference(found, hashes)
            raise damaged(path, f"{path}: hash {at} does not follow from the tiles below.")
        self._earlier(row, index, count, hashes)

    def _items(self, row: str, index: int, count: int) -> list[bytes]:
        """The items of a tile, as many as the checkpoint needs."""
        path = tiles.tile_for(row, index, count)
        return self._reader.tile(path)[: path.width]

    def _earlier(self, row: str, index: int, count: int, items: list[bytes]) -> None:
        """The partial forms of a tile that earlier checkpoints needed are its beginning.

        The fullest of the first tile where one is not is kept, to be named in the end.
        """
        if self._superseded is not None:
            return
        path = tiles.tile_for(row, index, count)
        for width in self._partial(path._replace(width=tiles.WIDTH), path.width):
            earlier = path._replace(width=width)
            text = earlier.text()
            try:
                if self._reader.tile(earlier)[:width] != items[:width]:
                    self._superseded = text, f"{text} is not the beginning of its tile."
            except CorruptError as error:
                if (self._directory / text).exists():  # else it was cleared away meanwhile
                    self._superseded = text, error.message

    def _partial(self, full: tiles.TilePath, below: int) -> list[int]:
        """Widths of a tile's partial forms that are there; none once they are cleared away."""
        try:
            names = [path.name for path in (self._directory / f"{full.text()}.p").iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdigit() and int(name) < below)


def _replay(saved: Saved) -> Replay:
    chains = saved.chains
    rows = (chains[at : at + ROW_BYTES] for at in range(0, len(chains), ROW_BYTES))
    return Replay.resume(saved.standing, saved.writers, saved.open, rows)


def _first_difference(found: list[bytes], hashes: list[bytes]) -> int:
    pairs = zip(found, hashes, strict=True)
    return next(at for at, (one, other) in enumerate(pairs) if one != other)


def _pruned_meanwhile() -> UnavailableError:
    return UnavailableError("The log was pruned while it was checked.", hint="Run the check again.")


def _changed(size: int) -> AffidavitError:
    return damaged(
        "checkpoint",
        f"The log no longer begins with the {size} leaves that were checked before.",
    )
