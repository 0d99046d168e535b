"""A backup, made while everything runs: log, vault, ``state.db`` and configuration, without keys.

Rules: the sequencer says where the log ends (``Cuts``) and copies, as of that moment, what is
replaced by newer ones: the signed notes and ``state.db``. Everything else only grows, so it is
copied afterwards by another process, at leisure: each tile that the cut refers to, the vault's
files as they are (what is behind the cut is taken out when a restored vault is opened). Left out:
``keys.db`` and ``keys/``, without which nothing sealed in a backup opens; the index, which is made
anew; journals, which hold what was not ordered yet (well under a second) and go when they are.
``manifest.json`` is written last: without it, it is no backup. Not here: restoring.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import apsw
import msgspec

from affidavit.app import leftovers, opening, running, system
from affidavit.app.paths import Paths
from affidavit.app.pruning import Pruning
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.durable import Disk, open_database
from affidavit.errors import NotFoundError, UnavailableError
from affidavit.ledger import note, pruned, publish, tiles
from affidavit.ledger.log import Log
from affidavit.record.model import Record
from affidavit.vault.keyring import Keyring

T = TypeVar("T")
MANIFEST = "manifest.json"
VERSION = 1
KEYS = ("keys.db", "kek")
LEASE = 900.0
"""Seconds after which a cut is taken back from whoever asked for it, and may have died."""
_AT_ONCE = 1 << 20
_PAGES = 256
Told = Callable[[int, int], None]
"""Called with (files done, bytes done)."""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup; ``sha256`` in hex."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds, as of when, and the log's end: ``root`` in hex, over ``size`` leaves."""

    v: int
    origin: str
    time: str
    size: int
    root: str
    files: tuple[File, ...]


class Cut(NamedTuple):
    """Where a log ends for a backup, and where its notes and ``state.db`` are; as ``Manifest``."""

    place: Path
    origin: str
    time: str
    size: int
    root: str


def copy_database(source: Any, target: Path, key: bytes) -> None:
    """A whole copy of an open database, as of its transaction if it is in one, under ``key``."""
    made = open_database(target, key)
    try:
        with made.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(_PAGES)
    finally:
        made.close()


def begin(paths: Paths, disk: Disk) -> Path:
    """An empty place for what belongs to a cut, and nothing of an earlier one."""
    place = paths.backup
    leftovers.drop(paths, disk)
    disk.make_dir(place / "log")
    return place


def notes(paths: Paths, disk: Disk, place: Path) -> note.Checkpoint:
    """Copy what stands in the log's own directory; what the newest note says."""
    for path in sorted(paths.log.iterdir()):
        if path.is_file() and not path.name.endswith(".tmp"):
            disk.write_file(place / "log" / path.name, path.read_bytes())
    copied = place / "log"
    try:
        data = (copied / publish.newest_head(copied)).read_bytes()
    except FileNotFoundError:
        raise NotFoundError("There is no checkpoint yet, so nothing to back up.") from None
    return note.open_checkpoint(data, None)


def copy_keys(paths: Paths, keyring: Keyring, place: Path, disk: Disk) -> None:
    """``keys.db`` and the key-encryption key that opens it, as they are now."""
    with keyring.alone() as (database, kek):
        copy_database(database, place / KEYS[0], kek.derive("keys.db"))
        disk.write_file(place / KEYS[1], paths.key_encryption_key.read_bytes())


def stopped(paths: Paths, disk: Disk, clock: Clock, *, keys: bool) -> Cut:
    """The cut of a directory whose sequencer does not run; its lock is held by the caller.

    What was committed and not signed yet is in it, in the log's staging files.
    """
    place = begin(paths, disk)
    keyring = opening.owner(paths, disk, clock)
    try:
        head = notes(paths, disk, place)
        key = keyring.database_key("state.db")
        state = open_database(paths.state, key)
        try:
            copy_database(state, place / "state.db", key)
        finally:
            state.close()
        for path in sorted((paths.log / "staging").glob("*")):
            disk.make_dir(place / "log" / "staging")
            disk.write_file(place / "log" / "staging" / path.name, path.read_bytes())
        if keys:
            copy_keys(paths, keyring, place, disk)
    finally:
        keyring.close()
    return Cut(place, head.origin, clock.now(), head.size, head.root.hex())


class Host(Protocol):
    """What is needed of the sequencer process."""

    paths: Paths
    config: Config
    keyring: Keyring
    log: Log
    pruning: Pruning
    lease: asyncio.TimerHandle | None

    @property
    def clock(self) -> Clock:
        """What time it is."""

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the sequencing thread."""

    async def record(self, record: Record) -> None:
        """Put a record on record; durable on return."""


async def cut(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    """The end of the log as it is now, signed and copied; on record before anything is given out.

    Ordering waits for the notes to be copied alone. ``keys``: a copy of ``keys.db`` and the
    key-encryption key, too. It is there for ``LEASE`` seconds, unless something is erased
    meanwhile. ``UnavailableError`` while leaves are being pruned.
    """
    if host.pruning.status()["stage"]:
        raise UnavailableError("Leaves are being pruned.", hint="Try again when that is over.")
    keys, disk = bool(params["keys"]), Disk()
    await host.record(_record(host, keys=keys))
    if host.lease is not None:
        host.lease.cancel()
    key = host.keyring.database_key("state.db")
    state = open_database(host.paths.state, key, read_only=True)

    def now() -> tuple[Path, note.Checkpoint]:
        host.log.publish()
        place = begin(host.paths, disk)
        head = notes(host.paths, disk, place)
        state.execute("BEGIN")
        state.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return place, head

    def rest(place: Path) -> None:
        copy_database(state, place / "state.db", key)
        if keys:
            copy_keys(host.paths, host.keyring, place, disk)

    try:
        place, head = await host.ask(now)
        await asyncio.to_thread(rest, place)
    except (OSError, apsw.Error) as error:
        leftovers.drop(host.paths, disk)
        raise UnavailableError(f"There is no cut for a backup: {error}.") from error
    finally:
        loop = asyncio.get_running_loop()
        host.lease = loop.call_later(LEASE, leftovers.drop, host.paths, disk)
        state.close()
    made = Cut(place, head.origin, host.clock.now(), head.size, head.root.hex())
    return made._asdict() | {"place": str(place)}


def _record(host: Host, *, keys: bool) -> Record:
    """Who has access to this machine has made a copy; of the keys, too, is a change of a key."""
    who = {"kind": "service", "role": "owner", "authenticated_by": "socket"}
    if keys:
        what = {"key": "key-encryption key", "change": "copied"}
        return system.make("change.key", host.clock, host.config, {"who": who, "what": what})
    made = {"who": who, "what": {"operation": "backup", "rows": 0}}
    return system.make("access.query", host.clock, host.config, made)


class Copying:
    """Copies a cut and what belongs to it into ``target``, a directory that is not there yet."""

    def __init__(self, paths: Paths, cut: Cut, target: Path, disk: Disk, told: Told) -> None:
        self._paths = paths
        self._cut = cut
        self._target = target
        self._disk = disk
        self._told = told
        self._writer = Writer(disk, target)
        self._files: list[File] = []
        self._bytes = 0

    def run(self) -> Manifest:
        """Copy; durable on return. ``OSError`` of either disk is passed on.

        ``UnavailableError`` if the cut was taken back; it is not needed when its files are copied.
        """
        self._disk.make_dir(self._target)
        self._cut_itself()
        runs = running.find(self._paths.root)
        config = Path(runs.config) if runs else self._paths.config
        if config.exists():  # of a stopped installation it may be anywhere
            self._put("config.yaml", config)
        self._log()
        self._vault()
        cut = self._cut
        made = Manifest(VERSION, cut.origin, cut.time, cut.size, cut.root, tuple(self._files))
        data = msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"
        self._disk.write_file(self._target / MANIFEST, data)
        return made

    def _cut_itself(self) -> None:
        place = self._cut.place
        try:
            for path in sorted(place.rglob("*")):
                name = path.relative_to(place)
                if path.is_file() and name.name not in KEYS:
                    self._put(name.as_posix(), path)
            (place / "state.db").stat()
        except FileNotFoundError:
            raise UnavailableError(
                "The sequencer took the cut back: something was erased, or it started anew.",
                hint="Make the backup anew.",
            ) from None

    def _log(self) -> None:
        for tile in tiles.tiles_of(self._cut.size):
            self._tile(tile)
        for name in (pruned.PRUNED, pruned.KEPT):
            self._tree(self._paths.log / name)
        for path in sorted((self._paths.log / "timestamps").glob("*")):
            size = path.name.partition(".")[0]
            if size.isdecimal() and int(size) <= self._cut.size and path.suffix != ".tmp":
                self._put(self._name(path), path)

    def _tile(self, tile: tiles.TilePath) -> None:
        """A tile; a partial one that went meanwhile, as the full one is there, is cut out of it."""
        path = self._paths.log / tile.text()
        try:
            self._put(f"log/{tile.text()}", path)
        except FileNotFoundError:
            if tile.width == tiles.WIDTH:
                return  # pruned
            whole = tile._replace(width=tiles.WIDTH)
            data = (self._paths.log / whole.text()).read_bytes()
            self._write(f"log/{tile.text()}", [_narrow(tile, data)])

    def _vault(self) -> None:
        """Of each segment first the wraps, which never speak of more than it has by then."""
        for wraps in sorted(self._paths.vault.rglob("*.wraps")):
            beside = [
                path for path in sorted(wraps.parent.glob(f"{wraps.stem}.*")) if path != wraps
            ]
            with contextlib.suppress(FileNotFoundError):  # erased meanwhile
                self._put(self._name(wraps), wraps)
                for path in beside:
                    if path.suffix in (".seg", ".hold"):
                        self._put(self._name(path), path)

    def _tree(self, root: Path) -> None:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".tmp":
                self._put(self._name(path), path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._paths.root).as_posix()

    def _put(self, name: str, path: Path) -> None:
        pieces = pieces_of(path)
        next(pieces)
        self._write(name, pieces)

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        file = self._writer.write(name, pieces)
        self._files.append(file)
        self._bytes += file.size
        self._told(len(self._files), self._bytes)


class Writer:
    """Writes new files below ``root``, with their directories; each is durable when it returns."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk = disk
        self._root = root
        self._made: set[Path] = set()

    def write(self, name: str, pieces: Iterable[bytes]) -> File:
        """Write a file; ``FileExistsError`` if it is there, ``OSError`` as the disk says."""
        path = self._root / name
        if path.parent not in self._made:
            self._disk.make_dir(path.parent)
            self._made.add(path.parent)
        file, digest = self._disk.create_append(path), hashlib.sha256()
        try:
            for piece in pieces:
                file.write_buffered(piece)
                digest.update(piece)
            file.sync()
            return File(name, file.size, digest.hexdigest())
        finally:
            file.close()


def pieces_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, some at a time; ``FileNotFoundError`` at once if it is not there."""
    with path.open("rb") as file:
        yield b""
        while piece := file.read(_AT_ONCE):
            yield piece


def _narrow(tile: tiles.TilePath, data: bytes) -> bytes:
    """The first ``tile.width`` items of a full tile or bundle."""
    if tile.row in (tiles.ENTRIES, tiles.LINKS):
        entries = tiles.split_bundle(data, tile.text())[: tile.width]
        return b"".join(tiles.frame(one) for one in entries)
    return b"".join(tiles.split_tile(data, tile.text())[: tile.width])
