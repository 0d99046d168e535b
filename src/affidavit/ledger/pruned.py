"""What stays of the leaves below the minimum index of a pruned log (C2SP tlog-tiles, "Pruning").

Rules: ``minimum`` is a multiple of 256; the bundles of leaves below it, their links and the leaf
hashes in tiles of level 0 may be gone, all other hash tiles stay. Single leaves that later proofs
need are kept in ``kept/<N>``, one file for each bundle that has any, and the level 0 tile of that
bundle stays. ``pruned/<minimum>`` says which leaves these are and where the rules of the ledger
stood, so that a check can begin at the minimum. Nobody but the owner reads ``kept`` and ``pruned``.
Not here: taking leaves away (``prune``), checking what is left (``fsck_pruned``).
"""

import hashlib
import re
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from affidavit.ledger import tiles
from affidavit.ledger.findings import damaged

MINIMUM = "minimum"
PRUNED = "pruned"
KEPT = "kept"
PRUNABLE = frozenset({tiles.ENTRIES, tiles.LINKS, tiles.hash_row(0)})
"""The rows whose full tiles go."""

_NUMBER = re.compile(rb"(?:0|[1-9][0-9]{0,17})\n")
_DIGEST_BYTES = 32


class Pruned(msgspec.Struct, frozen=True):
    """Where the rules stood at leaf ``minimum``, and which leaves before it are kept.

    ``time``: of the leaf before it; ``after_heads``: whether that one is a heads leaf;
    ``epochs``: the epoch leaves so far; ``writers``: incarnation → next counter, ``None`` if it
    had ended; ``open``: requests that waited for an answer; ``kept``: indices, ascending.
    """

    minimum: int
    time: str
    after_heads: bool
    epochs: tuple[int, ...]
    writers: dict[str, int | None]
    open: tuple[int, ...]
    kept: "array[int]"

    def has(self, index: int) -> bool:
        """Whether a leaf is there."""
        at = bisect_left(self.kept, index)
        return index >= self.minimum or (at < len(self.kept) and self.kept[at] == index)

    def present(self, begin: int, end: int) -> Iterator[int]:
        """The leaves that are there, ``begin`` ≤ index < ``end``, ascending."""
        yield from self.kept[bisect_left(self.kept, begin) : bisect_left(self.kept, end)]
        yield from range(max(begin, self.minimum), end)

    def positions(self, number: int) -> list[int]:
        """Where in bundle ``number`` there are kept leaves."""
        first = number * tiles.WIDTH
        begin = bisect_left(self.kept, first)
        end = bisect_left(self.kept, first + tiles.WIDTH)
        return [index - first for index in self.kept[begin:end]]

    def epoch_of(self, index: int) -> int:
        """The epoch leaf of the epoch in which a leaf below the minimum stood."""
        return self.epochs[bisect_right(self.epochs, index) - 1]


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of ``pruned/<minimum>``."""

    minimum: int
    time: str
    after_heads: bool
    epochs: tuple[int, ...]
    writers: dict[str, int | None]
    open: tuple[int, ...]


def minimum_of(root: Path) -> int:
    """The minimum index of the log below ``root``, 0 if nothing was pruned.

    ``CorruptError`` names the file if that is not what it says.
    """
    try:
        data = (root / MINIMUM).read_bytes()
    except FileNotFoundError:
        return 0
    found = int(data) if _NUMBER.fullmatch(data) else -1
    if found % tiles.WIDTH:
        raise damaged(MINIMUM, "minimum does not hold a multiple of the width of a tile.")
    return found


def snapshot_name(minimum: int) -> str:
    """The path of what is known of the leaves before ``minimum``."""
    return f"{PRUNED}/{minimum}"


def read_snapshot(root: Path, minimum: int) -> Pruned:
    """What stays of the leaves before ``minimum``; ``CorruptError`` names the file if it is not it.

    Of a log with minimum index 0 that is nothing.
    """
    if minimum == 0:
        return Pruned(0, "", False, (), {}, (), array("Q"))
    name = snapshot_name(minimum)
    try:
        found = decode((root / name).read_bytes())
    except FileNotFoundError:
        raise damaged(name, f"{name} is not there.") from None
    except ValueError as error:
        raise damaged(name, f"{name} is damaged.") from error
    if found.minimum != minimum:
        raise damaged(name, f"{name} is of leaf {found.minimum}.")
    return found


def encode(pruned: Pruned) -> bytes:
    """``JSON object ‖ LF ‖ u64be of each kept index ‖ SHA-256 of all that``."""
    head = _Head(*(getattr(pruned, name) for name in _Head.__struct_fields__))
    body = msgspec.json.encode(head) + b"\n" + _big_endian(pruned.kept).tobytes()
    return body + hashlib.sha256(body).digest()


def decode(data: bytes) -> Pruned:
    """What ``encode`` wrote; ``ValueError`` if it did not."""
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("another digest")
    line, _, rest = body.partition(b"\n")
    head = msgspec.json.decode(line, type=_Head)
    kept = array("Q")
    kept.frombytes(rest)
    return Pruned(
        head.minimum,
        head.time,
        head.after_heads,
        head.epochs,
        head.writers,
        head.open,
        _big_endian(kept),
    )


def _big_endian(numbers: "array[int]") -> "array[int]":
    """The same numbers in the byte order of files, or back."""
    found = numbers[:]
    if sys.byteorder == "little":
        found.byteswap()
    return found


def kept_name(number: int) -> str:
    """The path of the kept leaves of bundle ``number``."""
    return f"{KEPT}/{tiles.number_path(number)}"


def encode_kept(leaves: Iterable[tuple[int, bytes, bytes]]) -> bytes:
    """Place in its bundle, leaf and links of each as ``u8 ‖ frame ‖ frame``, ascending."""
    return b"".join(
        place.to_bytes(1, "big") + tiles.frame(entry) + tiles.frame(links)
        for place, entry, links in leaves
    )


def split_kept(data: bytes, name: str) -> dict[int, tuple[bytes, bytes]]:
    """Place in its bundle → leaf and links; ``CorruptError`` naming the file if it is not so."""
    found: dict[int, tuple[bytes, bytes]] = {}
    at, last = 0, -1
    while at < len(data):
        place, frames = data[at], []
        at += 1
        for _ in range(2):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            if end > len(data):
                raise damaged(name, f"{name} ends in the middle of a leaf.")
            frames.append(data[at + 2 : end])
            at = end
        if place <= last:
            raise damaged(name, f"{name}: its leaves are not in order.")
        found[place], last = (frames[0], frames[1]), place
    return found
