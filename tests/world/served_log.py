"""A log as it is served from elsewhere: from files, or made of rows that nobody would write."""

from collections.abc import Callable, Sequence
from pathlib import Path

from affidavit.durable import Disk
from affidavit.ledger import leaf as leaves
from affidavit.ledger import merkle, tiles
from affidavit.ledger.leaf import Leaf
from affidavit.ledger.monitor import Monitor
from affidavit.ledger.monitor_state import MonitorState
from affidavit.ledger.note import Checkpoint
from tests.world.clock import FakeClock
from tests.world.ledger import ORIGIN

Rows = Sequence[tuple[Leaf, Sequence[bytes]]]


class Served:
    """Answers ``fetch``; ``change`` may put other bytes, or none, in the place of a file's."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self.asked: list[str] = []
        self.change: Callable[[str, bytes | None], bytes | None] = lambda _, data: data

    def __call__(self, path: str) -> bytes | None:
        """One file."""
        self.asked.append(path)
        return self.change(path, self._read(path))


def from_files(root: Path) -> Served:
    """The log whose files are below ``root``."""

    def read(path: str) -> bytes | None:
        file = root / path
        return file.read_bytes() if file.is_file() else None

    return Served(read)


def of_rows(rows: Rows) -> tuple[Served, Checkpoint]:
    """A log of these leaves and links, whatever they say, and its checkpoint."""
    return of_bytes([(leaves.encode(leaf), b"".join(links)) for leaf, links in rows])


def of_bytes(rows: Sequence[tuple[bytes, bytes]]) -> tuple[Served, Checkpoint]:
    """The same from entries and links as bytes."""
    tree, frontier = merkle.Tree(), tiles.Frontier()
    hashes = [merkle.leaf_hash(entry) for entry, _ in rows]
    risen = tree.extend(hashes, tiles.HEIGHT)
    frontier.extend(tiles.hash_row(0), hashes)
    frontier.extend(tiles.ENTRIES, [tiles.frame(entry) for entry, _ in rows])
    frontier.extend(tiles.LINKS, [tiles.frame(links) for _, links in rows])
    for level, node in risen:
        frontier.extend(tiles.hash_row(level), [node])
    files = {path.text(): data for path, data in frontier.changed(0, len(rows))}
    return Served(files.get), Checkpoint(ORIGIN, len(rows), tree.root())


def open_monitor(root: Path, fetch: Served, clock: FakeClock) -> Monitor:
    """A monitor whose progress is below ``root``."""
    return Monitor(MonitorState(Disk(), root / "replay.db", bytes(32), ORIGIN), fetch, clock)


def always() -> bool:
    """Replay to the end."""
    return True
