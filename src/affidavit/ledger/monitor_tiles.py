"""Leaves and links of a log elsewhere, fetched file by file and checked up to a checkpoint's root.

Rules: nothing is believed because of where it came from. The unfinished tiles of all levels give
the root, or there is no such view; each full tile is the one that the level above names; leaves
are those that the hash tile names, links those whose digests stand in their leaf. A tile that is
no longer there as a partial one is asked for as a full one (tlog-tiles). What a log serves
otherwise than its checkpoint says is ``UnavailableError``: the next answer may be right, and
nothing of it has been taken for a record. Not here: sockets (``fetch`` is handed in), the rules.
"""

from collections import OrderedDict
from collections.abc import Callable

from affidavit.errors import CorruptError, ParseError, UnavailableError
from affidavit.ledger import merkle, note, tiles
from affidavit.ledger.chains import link_digest, split_links

Fetch = Callable[[str], bytes | None]
"""Path below the log → its bytes, ``None`` if it is not there; ``AffidavitError`` if unknown."""

_CACHED = 32


class View:
    """The log as of one checkpoint; ``UnavailableError`` if its tiles do not lead to the root."""

    def __init__(self, fetch: Fetch, checkpoint: note.Checkpoint) -> None:
        self.size = checkpoint.size
        self._fetch = fetch
        self._full: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()
        self._partial: dict[int, list[bytes]] = {}
        level = 0
        while count := tiles.count_at(level, self.size):
            if count % tiles.WIDTH:
                self._partial[level] = self._items(tiles.hash_row(level), count - 1, count)
            level += 1
        tree = tiles.tree_from_tiles(self.size, self._partial)
        if tree.root() != checkpoint.root:
            raise _not_served("the tiles do not lead to the root of the checkpoint")

    def tile(self, level: int, number: int) -> list[bytes]:
        """The hashes of a tile, as many as this checkpoint covers."""
        if number == tiles.count_at(level, self.size) // tiles.WIDTH:
            return self._partial[level]
        found = self._full.get((level, number))
        if found is None:
            above = self.tile(level + 1, number // tiles.WIDTH)[number % tiles.WIDTH]
            row = tiles.hash_row(level)
            found = self._items(row, number * tiles.WIDTH, (number + 1) * tiles.WIDTH)
            if merkle.root(found) != above:
                raise _not_served(
                    f"{row}/{tiles.number_path(number)} is not that of the checkpoint"
                )
            self._full[level, number] = found
            if len(self._full) > _CACHED:
                self._full.popitem(last=False)
        return found

    def subtree(self, level: int, index: int) -> bytes:
        """Hash over the leaves index·2^level to (index+1)·2^level."""
        row, inner = divmod(level, tiles.HEIGHT)
        begin, end = index << inner, (index + 1) << inner
        offset = begin // tiles.WIDTH * tiles.WIDTH
        hashes = self.tile(row, begin // tiles.WIDTH)[begin - offset : end - offset]
        return hashes[0] if inner == 0 else merkle.root(hashes)

    def root(self, size: int) -> bytes:
        """The root of the first ``size`` leaves; 0 < size ≤ ``self.size``."""
        return merkle.range_hash(0, size, self.subtree)

    def leaves(self, number: int) -> list[tuple[bytes, bytes, bytes]]:
        """The leaves of entry bundle ``number``: each with its hash and its links in one."""
        end = min(self.size, (number + 1) * tiles.WIDTH)
        hashes = self.tile(0, number)
        entries = self._items(tiles.ENTRIES, end - 1, self.size)
        if [merkle.leaf_hash(entry) for entry in entries] != hashes:
            name = f"{tiles.ENTRIES}/{tiles.number_path(number)}"
            raise _not_served(f"{name} is not that of the checkpoint")
        links = self._items(tiles.LINKS, end - 1, self.size)
        return list(zip(entries, hashes, links, strict=True))

    def _items(self, row: str, index: int, count: int) -> list[bytes]:
        """The items of a tile of a row of ``count`` items, of a wider one if that is there."""
        path = tiles.tile_for(row, index, count)
        width = path.width
        data = self._fetch(path.text())
        if data is None and width != tiles.WIDTH:
            path = path._replace(width=tiles.WIDTH)
            data = self._fetch(path.text())
        if data is None:
            raise UnavailableError(
                f"The log does not serve {path.text()}.",
                hint="Was it pruned before this monitor had replayed it?",
            )
        split = tiles.split_bundle if row in {tiles.ENTRIES, tiles.LINKS} else tiles.split_tile
        try:
            items = split(data, path.text())
        except CorruptError as error:
            raise _not_served(error.message) from error
        if len(items) != path.width:
            raise _not_served(f"{path.text()} has {len(items)} items and should have {path.width}")
        return items[:width]


def split_checked(links: bytes, digests: tuple[str, ...], index: int) -> tuple[bytes, ...]:
    """The links of leaf ``index``, which are those whose digests stand in it."""
    try:
        found = split_links(links)
    except ParseError as error:
        raise _not_served(f"the links of leaf {index}: {error.message}") from error
    if tuple([link_digest(link) for link in found]) != digests:
        raise _not_served(f"the links of leaf {index} are not those that the leaf names")
    return found


def _not_served(what: str) -> UnavailableError:
    return UnavailableError(f"The log does not serve what its checkpoint says: {what}.")
