"""Checking what stays of leaves that were pruned, and beginning to check behind them.

Rules: every full hash tile of level 1 and above that belongs to the pruned part gives the hash
above it; of bundles with kept leaves the level 0 tile does, too, and each kept leaf has its hash in
it and the links that it names. All leaves that ``pruned/<minimum>`` names are there, and with them
the rules go on where they stood there: every heads leaf behind it then claims the same chains,
or one was left out. What stood in leaves that are gone is not examined. Not here: the leaves from
the minimum index on (``fsck``).
"""

import contextlib
from collections.abc import Iterator

from affidavit.errors import CorruptError, ParseError, PrunedError
from affidavit.ledger import merkle, tiles
from affidavit.ledger.chains import CHAIN_ID_BYTES, link_digest, split_links
from affidavit.ledger.findings import damaged
from affidavit.ledger.leaf import Leaf, decode_at
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import Pruned, kept_name, snapshot_name
from affidavit.ledger.rules import Replay, Standing, chain_row

_DIMENSION = 16
_ID = slice(17, 17 + CHAIN_ID_BYTES)


def begin(reader: LogReader, pruned: Pruned) -> Replay:
    """Check what stays; returns the rules as they stood at the minimum index.

    ``CorruptError`` names the first thing that is wrong.
    """
    _check_tiles(reader, pruned)
    epoch = pruned.epochs[-1] if pruned.epochs else -1
    if epoch < 0 or not all(map(pruned.has, pruned.epochs)):
        raise _strange(pruned)
    dimensions = _epochs(reader, pruned)
    own = dimensions.index("type") if "type" in dimensions else None
    waiting: dict[int, bytes] = {}
    for index in pruned.open:
        if not pruned.has(index):
            raise _strange(pruned)
        links = _kept(reader, index)[1] if index > epoch else ()
        waiting[index] = b"".join([link[_ID] for link in links if link[_DIMENSION] != own])
    standing = Standing(
        pruned.minimum, pruned.time, epoch, dimensions, after_heads=pruned.after_heads
    )
    return Replay.resume(standing, pruned.writers, waiting, _rows(reader, pruned, epoch))


def _epochs(reader: LogReader, pruned: Pruned) -> tuple[str, ...]:
    """The dimensions of the last epoch, after a walk back through all, as provers walk."""
    dimensions: tuple[str, ...] = ()
    for index, previous in zip(pruned.epochs[::-1], (*pruned.epochs[-2::-1], -1), strict=True):
        opening = _kept(reader, index)[0].opening
        closed = not index or pruned.has(index - 1)
        if opening is None or opening.previous != previous or not closed:
            raise _strange(pruned)
        dimensions = dimensions or opening.dimensions
    return dimensions


def rows_at(reader: LogReader, size: int) -> dict[int, list[bytes]]:
    """Of each level above 0 the hashes that are not in a full tile at ``size`` leaves."""
    found: dict[int, list[bytes]] = {}
    level = 1
    while count := tiles.count_at(level, size):
        first = count // tiles.WIDTH * tiles.WIDTH
        height = tiles.HEIGHT * level
        found[level] = [reader.subtree(height, index) for index in range(first, count)]
        level += 1
    return found


def tree_at(reader: LogReader, size: int) -> merkle.Tree:
    """The tree of ``size`` leaves, from the tiles."""
    tree = merkle.Tree()
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            tree.append_subtree(height, reader.subtree(height, tree.size >> height))
    return tree


def _check_tiles(reader: LogReader, pruned: Pruned) -> None:
    level = 1
    while count := tiles.count_at(level + 1, pruned.minimum):
        for number in range(count):
            _check_tile(reader, level, number)
        level += 1
    begin = pruned.minimum // tiles.WIDTH
    for number in sorted({index // tiles.WIDTH for index in pruned.kept}):
        if number >= begin:
            raise _strange(pruned)
        _check_tile(reader, 0, number)
        name = kept_name(number)
        missing = set(pruned.positions(number)) - reader.kept(number).keys()
        if missing:
            first = number * tiles.WIDTH + min(missing)
            raise damaged(name, f"{name}: leaf {first} was kept, and is not there.")


def _check_tile(reader: LogReader, level: int, number: int) -> None:
    path = tiles.TilePath(tiles.hash_row(level), number, tiles.WIDTH)
    above = reader.subtree(tiles.HEIGHT * (level + 1), number)
    text = path.text()
    try:
        hashes = reader.tile(path)
    except PrunedError:
        raise damaged(text, f"{text} is not there, and leaves of its bundle are kept.") from None
    if merkle.root(hashes) != above:
        raise damaged(text, f"{text} does not give the hash that the tile above it has.")


def _rows(reader: LogReader, pruned: Pruned, epoch: int) -> Iterator[bytes]:
    """Each kept leaf checked, and its links as rows of a replay."""
    for index in pruned.kept:
        _, links = _kept(reader, index)
        if index > epoch:
            stamp = index.to_bytes(8, "big")
            yield from (chain_row(stamp + link) for link in links)


def _kept(reader: LogReader, index: int) -> tuple[Leaf, tuple[bytes, ...]]:
    """A kept leaf, from where it is kept, as its bundle may not be gone yet."""
    number, place = divmod(index, tiles.WIDTH)
    hashes = reader.tile(tiles.TilePath(tiles.hash_row(0), number, tiles.WIDTH))
    with contextlib.suppress(CorruptError, ParseError, KeyError):  # it may go meanwhile
        entry, joined = reader.kept(number)[place]
        leaf, links = decode_at(entry, index), split_links(joined)
        right = merkle.leaf_hash(entry) == hashes[place]
        if right and tuple(link_digest(link) for link in links) == leaf.links:
            return leaf, links
    name = kept_name(number)
    raise damaged(name, f"{name}: leaf {index} is not what was kept.")


def _strange(pruned: Pruned) -> CorruptError:
    name = snapshot_name(pruned.minimum)
    return damaged(name, f"{name} does not fit the leaves that are kept.")
