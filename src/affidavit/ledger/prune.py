"""Taking leaves away whose time is over: by a minimum index, without changing the tree.

Rules, in this order: what goes is checked as ``fsck`` checks it; the leaves that stay of it and
where the rules stood are put beside the log (``prepare``); that it goes is meant (``mean``), and
then on record, which the caller sees to; ``minimum`` says so (``commit``), and only then files are
removed (``remove``). What was meant and not committed is done anew, by the same steps, so that no
record of it stands alone; all steps may end anywhere and be run again. What stays:

- every epoch leaf, and the heads leaf before it, for the walk through the epochs;
- of each chain of the epoch at the minimum the last leaf before it, so that whoever walks the chain
  back comes to a leaf that is older than all that are asked for, and the heads can be worked out;
- requests that waited for an answer at the minimum, for the record of the exchange.

Not here: how old leaves must be, and the record (``app.pruning``); erasing what sections and
content say, for which the vault's keys are destroyed.
"""

import contextlib
import hashlib
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from affidavit.durable import Disk
from affidavit.errors import ParseError
from affidavit.ids import b64u
from affidavit.ledger import fsck, tiles
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import (
    KEPT,
    MINIMUM,
    PRUNABLE,
    PRUNED,
    Pruned,
    encode,
    encode_kept,
    kept_name,
    minimum_of,
    read_snapshot,
    snapshot_name,
)
from affidavit.ledger.rules import Replay

MEANT = "pruning"
REST = 3.0
"""So many times as long as a bundle takes nothing is done after it, for the sake of others."""

LONGEST = 1.0
"""And no longer, in seconds, as whoever stops the process waits for it."""

_PUBLIC = 0o644


class Expired(NamedTuple):
    """What goes, for the record of it.

    Leaves ``first`` ≤ index < ``before``, the last of which is of ledger time ``until``. ``roots``:
    b64u SHA-256 over the roots of their bundles, as they stand in the tiles of level 1; ``root``:
    of the tree of ``before`` leaves, b64u; ``kept``: how many leaves before the minimum index stay;
    ``snapshot``: b64u SHA-256 of ``pruned/<before>``.
    """

    first: int
    before: int
    until: str
    roots: str
    root: str
    kept: int
    snapshot: str


def prepare(disk: Disk, root: Path, before: int, told: fsck.Told) -> Expired:
    """Check what goes and put beside the log what stays of it; durable on return.

    ``before`` is a multiple of 256, above the minimum index and not above what is published.
    ``CorruptError`` if what goes is not what was written: then it does not go. ``told`` as of
    ``fsck.Check``, twice over.
    """
    reader, told = LogReader(root), _at_ease(told)
    reader.checkpoint()
    first = reader.minimum()
    path = root / snapshot_name(before)
    if not path.exists():
        check = fsck.Check(root, None)
        check.run(told, before=before)
        if others := _other_snapshots(root, first):  # an attempt with another index, now undone
            disk.remove(*others)
        pruned = _snapshot(reader, check.replay, before)
        for number in range(first // tiles.WIDTH, before // tiles.WIDTH):
            _keep(disk, reader, pruned, number)
            told((number + 1) * tiles.WIDTH, before)
        disk.make_dir(path.parent)
        disk.write_file(path, encode(pruned))
    pruned = read_snapshot(root, before)
    bundles = range(first // tiles.WIDTH, before // tiles.WIDTH)
    roots = b"".join([reader.subtree(tiles.HEIGHT, number) for number in bundles])
    return Expired(
        first,
        before,
        pruned.time,
        b64u(hashlib.sha256(roots).digest()),
        b64u(reader.root(before)),
        len(pruned.kept),
        b64u(hashlib.sha256(path.read_bytes()).digest()),
    )


def _at_ease(told: fsck.Told) -> fsck.Told:
    last = time.monotonic()

    def rest(done: int, of: int) -> None:
        nonlocal last
        told(done, of)
        time.sleep(min(REST * (time.monotonic() - last), LONGEST))
        last = time.monotonic()

    return rest


def _snapshot(reader: LogReader, replay: Replay, before: int) -> Pruned:
    standing = replay.standing()
    epochs = tuple(leaf.index for leaf in reader.epochs(standing.epoch))
    beside = {index - 1 for index in epochs if index}
    if standing.after_heads:  # the leaf that comes next may open an epoch
        beside.add(before - 1)
    kept = sorted({*epochs, *beside, *replay.last(), *replay.open})
    return Pruned(
        minimum=before,
        time=standing.time,
        after_heads=standing.after_heads,
        epochs=epochs,
        writers=replay.writers,
        open=tuple(sorted(replay.open)),
        kept=array("Q", kept),
    )


def _keep(disk: Disk, reader: LogReader, pruned: Pruned, number: int) -> None:
    """Write the leaves that stay of a bundle, if any do."""
    places = pruned.positions(number)
    if not places:
        return
    first = number * tiles.WIDTH
    leaves = [
        (place, reader.leaf(first + place), b"".join(reader.links(first + place)))
        for place in places
    ]
    path = reader.root_path / kept_name(number)
    disk.make_dir(path.parent)
    disk.write_file(path, encode_kept(leaves))


def meant(root: Path) -> int | None:
    """The minimum index that was meant and is not known to be committed."""
    try:
        return int((root / MEANT).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def mean(disk: Disk, root: Path, before: int) -> None:
    """From now on what lies below ``before`` goes, also after a crash; ``prepare`` was done."""
    disk.write_file(root / MEANT, b"%d\n" % before)


def commit(disk: Disk, root: Path, before: int) -> None:
    """Leaves below ``before`` are pruned, durably; their files may be removed."""
    disk.write_file(root / MINIMUM, b"%d\n" % before, _PUBLIC)
    disk.remove(root / MEANT)


def remove(disk: Disk, root: Path) -> Iterator[int]:
    """Remove what lies below the minimum index and does not stay, one directory with each ``next``.

    Gives how many files that directory had to lose. What a crash left of another attempt goes, too,
    unless it is meant to go on. Nobody else runs it or ``prepare`` meanwhile.
    """
    minimum = minimum_of(root)
    unfinished = meant(root)
    if unfinished is not None and unfinished <= minimum:
        disk.remove(root / MEANT)
        unfinished = None
    pruned = read_snapshot(root, minimum)
    others = _other_snapshots(root, minimum)
    if others and unfinished is None:
        disk.remove(*others)
        yield len(others)
    for row in sorted(PRUNABLE):
        for place, below in _directories(root / row):
            yield _lose(disk, place, _gone(place, row, below, pruned))
    if unfinished is not None:
        return
    for place, below in _directories(root / KEPT):
        yield _lose(disk, place, _shrunk(disk, root, place, below, pruned))


def _other_snapshots(root: Path, minimum: int) -> list[Path]:
    """All but the one in force. Where one stands, ``prepare`` takes its leaves for kept.

    So they go before anything is written to, or taken from, the files of kept leaves, which all
    attempts have in common.
    """
    place, stays = root / PRUNED, root / snapshot_name(minimum)
    return [place / name for name in _names(place) if place / name != stays]


def _directories(place: Path, below: str = "") -> Iterator[tuple[Path, str]]:
    """A directory of a row and those below it, each with its path in the row."""
    if not place.is_dir():
        return
    yield place, below
    for name in _names(place):
        if name.startswith("x"):
            yield from _directories(place / name, f"{below}{name}/")


def _names(place: Path) -> list[str]:
    """What is in a directory; nothing, if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in place.iterdir())
    return []


def _gone(place: Path, row: str, below: str, pruned: Pruned) -> list[str]:
    """The names in a directory of a row that stand for pruned tiles."""
    found = []
    for name in _names(place):
        number = _number(below, name)
        if number is None or (number + 1) * tiles.WIDTH > pruned.minimum:
            continue
        if row == tiles.hash_row(0) and "." not in name and pruned.positions(number):
            continue
        found.append(name)
    return found


def _shrunk(disk: Disk, root: Path, place: Path, below: str, pruned: Pruned) -> list[str]:
    """The names in a directory of kept leaves of which none stays; others get fewer leaves."""
    found = []
    reader = LogReader(root)
    for name in _names(place):
        number = _number(below, name)
        if number is None:
            continue
        places = pruned.positions(number)
        leaves = reader.kept(number)
        if not places or "." in name:
            found.append(name)
        elif len(places) < len(leaves):
            rest = [(at, *leaves[at]) for at in places if at in leaves]
            disk.write_file(place / name, encode_kept(rest))
    return found


def _number(below: str, name: str) -> int | None:
    """The number of a tile by its name, or by that of its ``.p`` or ``.tmp``."""
    try:
        return tiles.parse_path(f"{tiles.LINKS}/{below}{name.partition('.')[0]}").number
    except ParseError:
        return None


def _lose(disk: Disk, place: Path, names: list[str]) -> int:
    """Remove files of a directory, and those in its directories of partial tiles.

    ``collect`` may remove some of the same meanwhile.
    """
    files, partial = [], []
    for name in names:
        path = place / name
        if path.is_dir():
            partial.append(path)
            files += [path / inner for inner in _names(path)]
        else:
            files.append(path)
    if files:
        disk.remove(*files)
    for path in partial:
        disk.remove_dir(path)
    return len(files)
