"""C2SP tlog-tiles: the files of a log and what stands in each.

Rules: a tile or bundle holds 256 items; hash tiles are ``tile/<L>/<N>``, leaves
``tile/entries/<N>``, and, in the same frame, the links of each record ``links/<N>``, which C2SP
does not know. N is written in groups of three digits, all but the last behind an ``x``. A tile
not yet full is ``….p/<W>`` with its width 1 to 255; it stays until the full one is there, as some
published checkpoint refers to it; width 0 does not exist. A path is accepted only if this module
would write it the same way, so no path from outside leads anywhere else. Not here: reading and
writing the files (``log_reader``, ``publish``).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from affidavit.errors import CorruptError, ParseError
from affidavit.ledger.merkle import HASH_BYTES, Tree

WIDTH = 256
HEIGHT = 8
MAX_LEVEL = 63
MAX_ENTRY = 65_535
"""Longest entry of a bundle, as its length is a u16be."""

ENTRIES = "tile/entries"
LINKS = "links"

_PATH = re.compile(
    r"(?P<row>tile/(?:0|[1-9][0-9]?)|tile/entries|links)/(?P<n>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<w>[1-9][0-9]{0,2}))?"
)


class TilePath(NamedTuple):
    """Which tile: ``row`` is ``tile/<L>``, ``tile/entries`` or ``links``; ``width`` 1 to 256."""

    row: str
    number: int
    width: int = WIDTH

    def text(self) -> str:
        """The path below the log's root."""
        path = f"{self.row}/{number_path(self.number)}"
        return path if self.width == WIDTH else f"{path}.p/{self.width}"


def hash_row(level: int) -> str:
    """The row of the hash tiles of ``level``, 0 ≤ level ≤ 63."""
    return f"tile/{level}"


def number_path(number: int) -> str:
    """1234067 → ``x001/x234/067``."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([f"x{group}" for group in groups[:-1]] + [groups[-1]])


def parse_path(text: str) -> TilePath:
    """The tile that a path names; ``ParseError`` unless it is written as ``TilePath.text`` does."""
    match = _PATH.fullmatch(text)
    if match is None or len(text) > 100:
        raise ParseError("This is not the path of a tile.")
    number = int(match["n"].replace("x", "").replace("/", ""))
    path = TilePath(match["row"], number, int(match["w"] or WIDTH))
    level = path.row.removeprefix("tile/")
    if path.text() != text or (level.isdigit() and int(level) > MAX_LEVEL):
        raise ParseError("This is not the path of a tile.")
    return path


def count_at(level: int, size: int) -> int:
    """How many hashes level ``level`` has in a log of ``size`` leaves."""
    return size >> (HEIGHT * level)


def tile_for(row: str, index: int, count: int) -> TilePath:
    """The tile that holds item ``index`` of a row of ``count`` items, as wide as they allow."""
    number = index // WIDTH
    return TilePath(row, number, min(WIDTH, count - number * WIDTH))


def rows(size: int) -> Iterator[tuple[str, int]]:
    """Every row of a log of ``size`` leaves with its number of items, none of them empty."""
    if size:
        yield ENTRIES, size
        yield LINKS, size
    level = 0
    while count_at(level, size):
        yield hash_row(level), count_at(level, size)
        level += 1


def tiles_of(size: int) -> Iterator[TilePath]:
    """Every tile that a checkpoint of ``size`` refers to."""
    for row, count in rows(size):
        for number in range(-(-count // WIDTH)):
            yield tile_for(row, number * WIDTH, count)


def frame(entry: bytes) -> bytes:
    """``u16be length ‖ entry``; ``ValueError`` above 65,535 bytes."""
    if len(entry) > MAX_ENTRY:
        raise ValueError("an entry is at most 65,535 bytes")
    return len(entry).to_bytes(2, "big") + entry


def split_bundle(data: bytes, name: str) -> list[bytes]:
    """The entries of a bundle; ``CorruptError`` naming it if the lengths do not add up."""
    entries, at, end = [], 0, len(data)
    while at < end:
        stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > end or stop > end:
            raise CorruptError(f"{name} ends in the middle of an entry.", object=name)
        entries.append(data[at + 2 : stop])
        at = stop
    return entries


def split_tile(data: bytes, name: str) -> list[bytes]:
    """The hashes of a hash tile; ``CorruptError`` naming it if it is not whole hashes."""
    if not data or len(data) % HASH_BYTES:
        raise CorruptError(f"{name} is not a row of 32-byte hashes.", object=name)
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


class Frontier:
    """The part of a log not yet in full tiles: what the next tiles are made from.

    Each row keeps the items from the last multiple of 256 before the published size on. Bundles
    keep their entries framed.
    """

    def __init__(self) -> None:
        self._begin: dict[str, int] = {}
        self._items: dict[str, list[bytes]] = {}

    def extend(self, row: str, items: list[bytes]) -> None:
        """Append items (hashes, or framed entries) to a row."""
        kept = self._items.get(row)
        if kept is None:
            self._begin[row], self._items[row] = 0, list(items)
        else:
            kept.extend(items)

    def restore(self, row: str, begin: int, items: list[bytes]) -> None:
        """Set a row to the items from ``begin`` (a multiple of 256) on."""
        self._begin[row], self._items[row] = begin, items

    def items(self, row: str, begin: int, end: int) -> list[bytes]:
        """Items ``begin`` to ``end`` of a row, all of them still held here."""
        offset = self._begin[row]
        return self._items[row][begin - offset : end - offset]

    def changed(self, old: int, new: int) -> Iterator[tuple[TilePath, bytes]]:
        """Tiles that a checkpoint of ``new`` leaves needs and one of ``old`` did not have."""
        before = dict(rows(old))
        for row, count in rows(new):
            first = before.get(row, 0)
            if first == count:
                continue
            for number in range(first // WIDTH, -(-count // WIDTH)):
                path = tile_for(row, number * WIDTH, count)
                start = number * WIDTH
                yield path, b"".join(self.items(row, start, start + path.width))

    def drop(self, published: int) -> None:
        """Forget the items that stand in full tiles of a checkpoint of ``published`` leaves."""
        for row, count in rows(published):
            keep = count // WIDTH * WIDTH
            if keep > self._begin[row]:
                del self._items[row][: keep - self._begin[row]]
                self._begin[row] = keep


def outgrown(old: int, new: int) -> list[TilePath]:
    """Tiles partial in a checkpoint of ``old`` leaves and full in one of ``new`` leaves."""
    after = dict(rows(new))
    return [
        TilePath(row, count // WIDTH, WIDTH)
        for row, count in rows(old)
        if count % WIDTH and after[row] // WIDTH > count // WIDTH
    ]


def tree_from_tiles(size: int, partial: dict[int, list[bytes]]) -> Tree:
    """The tree of ``size`` leaves from the hashes of the last, partial tile of each level.

    ``CorruptError`` if a level has not as many as the size asks for.
    """
    tree = Tree()
    level = 0
    while count_at(level + 1, size):
        level += 1
    for row in range(level, -1, -1):
        hashes, width, at = partial.get(row, []), count_at(row, size) % WIDTH, 0
        if len(hashes) != width:
            raise CorruptError("The tiles do not make up the size of the checkpoint.")
        for height in range(HEIGHT - 1, -1, -1):
            if width >> height & 1:
                inner = Tree()
                inner.extend(hashes[at : at + (1 << height)])
                tree.append_subtree(row * HEIGHT + height, inner.root())
                at += 1 << height
    return tree
