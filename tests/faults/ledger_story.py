"""A short life of a ledger, told so that every step of it can fail.

Tiles are 4 wide and the map of heads has 16 buckets, so that a few dozen leaves cross every
boundary. state.db is kept in memory and put on the disk whole after each commit, by an atomic
write through the same effects: that is what SQLite promises, and so its commits stand in the
trace between the others. What is promised to anybody is reported as it is promised.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from affidavit.durable import Disk
from affidavit.errors import NotFoundError
from affidavit.ledger import fsck, heads, staging, tiles
from affidavit.ledger.agenda import HEADS_SECONDS
from affidavit.ledger.collect import collect
from affidavit.ledger.log import PUBLISH_SECONDS, Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Verifier, read_vkeys
from affidavit.ledger.plan import Submission
from affidavit.ledger.publish import heads as heads_of
from affidavit.ledger.state import LedgerState
from tests.world import ledger
from tests.world.clock import FakeClock
from tests.world.ledger import Writer, secret, signer, successor

STATE = "state"


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow tiles, few buckets, tiny staging files, salt trees once a run."""
    ledger.quick(monkeypatch)
    monkeypatch.setattr(tiles, "WIDTH", 4)
    monkeypatch.setattr(tiles, "HEIGHT", 2)
    monkeypatch.setattr(heads, "FIRST_BITS", 4)
    monkeypatch.setattr(staging, "FILE_BYTES", 5000)


class Kept(LedgerState):
    """state.db that reaches the disk by one atomic write after each commit."""

    disk: Disk
    path: Path

    def take_over(self, *args: Any) -> Any:
        """As it is, then durable."""
        found = super().take_over(*args)
        self.keep()
        return found

    def swap(self, *args: Any) -> None:
        """As it is, then durable."""
        super().swap(*args)
        self.keep()

    def keep(self) -> None:
        """Put the whole database on the disk."""
        self.disk.write_file(self.path, msgspec.msgpack.encode(_rows(self._connection)))


def _rows(connection: apsw.Connection) -> dict[str, list[Any]]:
    tables = ("ledger_tip", "ledger_src", "ledger_chains", "ledger_open", "ledger_keys")
    return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def _put_back(connection: apsw.Connection, rows: dict[str, list[Any]]) -> None:
    LedgerState(connection)
    for name, values in rows.items():
        for row in values:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {name} VALUES ({marks})", row)


def open_log(directory: Path, disk: Disk, clock: FakeClock, *, require: bool = False) -> Log:
    """Open the ledger below ``directory`` with the state.db that is there."""
    connection = apsw.Connection(":memory:")
    path = directory / STATE
    if path.exists():
        _put_back(connection, msgspec.msgpack.decode(path.read_bytes()))
    kind = type("Here", (Kept,), {"disk": disk, "path": path})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("affidavit.ledger.log.LedgerState", kind)
        return Log.open(
            disk, directory / "log", connection, signer(), secret, clock,
            successor=successor, require=require,
        )  # fmt: skip


def vkeys(root: Path) -> list[Verifier]:
    """The keys in force as they are on disk, the first one before any is."""
    path = root / "log.vkey"
    return read_vkeys(path.read_text()) if path.exists() else [signer().verifier()]


class Story:
    """What happens: two sequencers one after the other, batches, heads, publications, an end.

    The short story breaks off in the middle of the first sequencer's life.

    ``promise`` hears ``record <id>`` when a record is acknowledged and ``published <size>
    <root>`` when a checkpoint is; ``tried`` holds the ids of all records ever handed over.
    """

    require = False

    def __init__(self, promise: Callable[[str], None], *, short: bool = False) -> None:
        self.promise = promise
        self.short = short
        self.tried: list[str] = []
        self.log: Log | None = None
        self._clock = FakeClock()
        self._writer = Writer()
        self._published = 0

    def run(self, directory: Path, disk: Disk) -> None:
        """All of it; may end at any point by an error or a crash."""
        self._open(directory, disk)
        asked = [self._writer.request(model=f"m{i}", session=f"s{i}") for i in range(3)]
        self._put(asked)
        self._wait(PUBLISH_SECONDS)
        self._put([self._writer.response(asked[0]), *self._writer.exchange()])
        self._wait(HEADS_SECONDS)
        self._put([self._writer.response(asked[1]), *self._writer.exchange(model="m1")])
        if self.short:
            return
        self._put(self._writer.exchange(model="m9"))
        self._drop()
        self._open(directory, disk)
        self._put([self._writer.response(asked[2])])
        self._wait(PUBLISH_SECONDS)
        self._put([*self._writer.exchange(model="m2", session="s0"), self._writer.ended()])
        assert self.log is not None
        self.log.close()
        self._told()

    def _open(self, directory: Path, disk: Disk) -> None:
        self.log = open_log(directory, disk, self._clock, require=self.require)
        self._told()

    def _drop(self) -> None:
        assert self.log is not None
        self.log._failed = True
        self.log.close()

    def _wait(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def _put(self, batch: list[Submission]) -> None:
        assert self.log is not None
        self.tried += [one.record.id for one in batch]
        self.log.commit(self.log.prepare(batch))
        for one in batch:
            self.promise(f"record {one.record.id}")
        self._told()

    def _told(self) -> None:
        assert self.log is not None
        if self.log.published != self._published:
            self._published = self.log.published
            root = LogReader(self.log._root).root(self._published).hex()
            self.promise(f"published {self._published} {root}")


def judge(directory: Path, promises: list[str], tried: list[str], *, require: bool = False) -> str:
    """What is wrong with the ledger in ``directory``, ``""`` if it keeps all promises.

    Checked: fsck before any recovery; that it opens; that all promised records are in it, and
    each that was tried at most once; that every checkpoint promised or found is of its history;
    that it goes on; and fsck again.
    """
    root = directory / "log"
    try:
        before = fsck.check(root, vkeys(root))
        if not before.ok:
            return f"fsck before recovery: {before.first}"
        clock = FakeClock()
        clock.advance(60)
        log = open_log(directory, Disk(), clock, require=require)
        log.commit(log.prepare(Writer().exchange()))
        published = log.published
        log.close()
        list(collect(Disk(), root, published))
        after = fsck.check(root, vkeys(root))
        if not after.ok:
            return f"fsck after recovery: {after.first}"
        full = published // tiles.WIDTH
        left = [path for path in root.glob("tile/0/*.p") if int(path.name[:3]) < full]
        if left:
            return f"partial tiles of full ones are left: {left[0]}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"{type(error).__name__}: {error}"
    reader = LogReader(root, vkeys(root), heads_of(require=require))
    found = [reader.decoded(index).id for index in range(reader.checkpoint().size)]
    if len(set(found)) != len(found) or len(set(tried) & set(found)) > len(tried):
        return "a record is there twice"
    history = [promise.split()[1:] for promise in promises if promise.startswith("published")]
    if before.size:
        history.append([str(before.size), before.root])
    for size, digest in history:
        try:
            if reader.root(int(size)).hex() != digest:
                return f"the checkpoint of {size} leaves is of another history"
        except NotFoundError:
            return f"the checkpoint of {size} leaves is ahead of the ledger"
    owed = [promise.split()[1] for promise in promises if promise.startswith("record")]
    missing = [one for one in owed if one not in found]
    return f"{len(missing)} acknowledged and lost" if missing else ""
