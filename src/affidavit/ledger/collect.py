"""Collecting what publication left behind: partial tiles whose full tile is there, and leftovers.

A publication clears away what it has outgrown (``publish``); what a crash left between the two, of
sizes that were never published, half cleared or empty, is found here. Rules: a partial tile goes
only when the published checkpoint refers to the full one, and that is there; files that were being
written (``.tmp``) go with it, and beside tiles that will not be written again; a tile
itself never goes. May end anywhere and begin again. Not here: pruning (``prune``).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from affidavit.durable import Disk
from affidavit.errors import ParseError
from affidavit.ledger import tiles

_SUFFIX = ".p"
_TMP = ".tmp"


def collect(disk: Disk, root: Path, published: int) -> Iterator[int]:
    """Look through the log below ``root``, one directory with each ``next``.

    Gives how many files that directory had to lose. ``published`` is the size of the checkpoint
    that everybody has; ``OSError`` of the disk is passed on.
    """
    for row, count in tiles.rows(published):
        yield from _directory(disk, root, row, "", count // tiles.WIDTH)


def _directory(disk: Disk, root: Path, row: str, below: str, full: int) -> Iterator[int]:
    """One directory of a row of ``full`` full tiles, then those below it (``x001/``)."""
    place = root / row / below
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    names = [entry.name for entry in entries]
    there = set(names)
    gone = [
        place / name
        for name in names
        if _is_left(row, below, name, full) and name.partition(".")[0] in there
    ]
    partial = [path for path in gone if path.name.endswith(_SUFFIX)]
    files = [path for path in gone if path not in partial]
    for directory in partial:
        files += sorted(directory.iterdir())
    if files:
        disk.remove(*files)
    for directory in partial:
        disk.remove_dir(directory)
    yield len(files)
    for entry in entries:
        if entry.name.startswith("x") and entry.is_dir():
            yield from _directory(disk, root, row, f"{below}{entry.name}/", full)


def _is_left(row: str, below: str, name: str, full: int) -> bool:
    """Whether a name stands for a partial tile, or a file being written, of a full tile."""
    for suffix in (_SUFFIX, _TMP):
        if name.endswith(suffix):
            number = _number(f"{row}/{below}{name.removesuffix(suffix)}")
            return number is not None and number < full
    return False


def _number(path: str) -> int | None:
    try:
        return tiles.parse_path(path).number
    except ParseError:
        return None
