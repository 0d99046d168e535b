"""Checking a log on disk against its published checkpoint; changes nothing.

Rules: every bundle, links bundle and hash tile that the checkpoint refers to is read whole; leaf
hashes are computed from the leaves and every other hash from those, up to the signed root; partial
tiles of earlier checkpoints that are still there must be the beginning of the tile; every leaf and
link then obeys the monitor's rules (``rules``). The first thing that is wrong is named by path or
index, and the check ends there, as all behind it would follow. What lies beyond the checkpoint (a
batch not yet published, a file half written at a crash) is nobody's claim and is no error, so a
log passes at every instant, before any recovery. Not here: state.db, vault and index.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from affidavit.errors import AffidavitError, CorruptError, NotFoundError, ParseError
from affidavit.ledger import merkle, note, tiles
from affidavit.ledger.chains import split_links
from affidavit.ledger.leaf import decode_at
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.rules import Replay


class Report(msgspec.Struct, frozen=True):
    """What was found: ``problems`` names the first bad object, and is empty if there is none.

    ``size`` and ``root`` (hex) are the checkpoint's; ``leaves`` is how many leaves were found to
    be good before the check ended; ``writers`` how many have not ended.
    """

    size: int
    root: str
    leaves: int
    writers: int
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def first(self) -> str:
        """The first bad object and what is wrong with it, ``""`` if there is none."""
        return next(iter(self.problems), "")


def check(
    root: Path,
    keys: note.Verifier | Sequence[note.Verifier] | None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check the log below ``root``; ``keys`` are its keys, ``None`` to check no signature.

    ``progress`` is called with (leaves checked, leaves in all) after each bundle. A log without a
    checkpoint is one of no leaves.
    """
    reader = LogReader(root, keys)
    replay = Replay()
    size, expected = 0, merkle.EMPTY_ROOT
    problems: tuple[str, ...] = ()
    try:
        checkpoint = reader.checkpoint()
        size, expected = checkpoint.size, checkpoint.root
        _Walk(root, reader, size, replay).run(expected, progress)
    except NotFoundError:
        pass
    except AffidavitError as error:
        problems = (error.message,)
    alive = sum(1 for n in replay.writers.values() if n is not None)
    return Report(size, expected.hex(), replay.size, alive, problems)


class _Walk:
    """One pass over all bundles, which carries the hashes of every level along."""

    def __init__(self, root: Path, reader: LogReader, size: int, replay: Replay) -> None:
        self._root = root
        self._reader = reader
        self._size = size
        self._replay = replay
        self._tree = merkle.Tree()
        self._rows: dict[str, list[bytes]] = {}

    def run(self, expected: bytes, progress: Callable[[int, int], None] | None) -> None:
        """Check everything below a checkpoint of root ``expected``."""
        for first in range(0, self._size, tiles.WIDTH):
            self._bundle(first)
            if progress is not None:
                progress(self._replay.size, self._size)
        for row, hashes in list(self._rows.items()):
            if hashes:
                count = tiles.count_at(int(row.removeprefix("tile/")), self._size)
                self._tile(row, count - 1, count, hashes)
        if self._tree.root() != expected:
            raise CorruptError("checkpoint: its root is not that of the leaves.")

    def _bundle(self, first: int) -> None:
        entries = self._items(tiles.ENTRIES, first, self._size)
        links = self._items(tiles.LINKS, first, self._size)
        hashes = [merkle.leaf_hash(entry) for entry in entries]
        self._tile(tiles.hash_row(0), first + len(hashes) - 1, self._size, hashes)
        for level, node in self._tree.extend(hashes, tiles.HEIGHT):
            row = tiles.hash_row(level)
            kept = self._rows.setdefault(row, [])
            kept.append(node)
            if len(kept) == tiles.WIDTH:
                count = tiles.count_at(level, self._size)
                index = tiles.count_at(level, first + tiles.WIDTH) - 1
                self._tile(row, index, count, kept)
                self._rows[row] = []
        for at, (entry, row_links) in enumerate(zip(entries, links, strict=True)):
            leaf = decode_at(entry, first + at)
            try:
                split = split_links(row_links)
            except ParseError as error:
                raise CorruptError(f"Leaf {leaf.index}: {error.message}") from error
            self._replay.feed(leaf, split)

    def _tile(self, row: str, index: int, count: int, hashes: list[bytes]) -> None:
        found = self._items(row, index, count)
        if found != hashes:
            path = tiles.tile_for(row, index, count).text()
            at = next(at for at, pair in enumerate(zip(found, hashes)) if pair[0] != pair[1])  # noqa: B905 - the widths are equal
            below = f"leaf {index - len(hashes) + 1 + at} in {tiles.ENTRIES}"
            if row != tiles.hash_row(0):
                below = "the tiles below"
            raise CorruptError(f"{path}: hash {at} does not follow from {below}.")

    def _items(self, row: str, index: int, count: int) -> list[bytes]:
        """The items of a tile as wide as the checkpoint needs, and its earlier partial forms."""
        path = tiles.tile_for(row, index, count)
        items = self._reader.tile(path)[: path.width]
        for width in self._partial(path._replace(width=tiles.WIDTH), path.width):
            earlier = path._replace(width=width)
            if self._reader.tile(earlier)[:width] != items[:width]:
                raise CorruptError(f"{earlier.text()} is not the beginning of its tile.")
        return items

    def _partial(self, full: tiles.TilePath, below: int) -> list[int]:
        """Widths of a tile's partial forms that are there; none once they are cleared away."""
        try:
            names = [path.name for path in (self._root / f"{full.text()}.p").iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdigit() and int(name) < below)
