"""An index of another version is made anew beside the old one, and nobody waits for it."""

import asyncio
import shutil
import threading
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from affidavit import ids
from affidavit.app import indexing, opening
from affidavit.app.checking import Checking
from affidavit.app.indexing import WHOLE, Indexing
from affidavit.app.paths import Paths
from affidavit.app.rebuild import FILES
from affidavit.app.rebuild import run as rebuild
from affidavit.control.link import ControlLink
from affidavit.durable import Disk, open_database
from affidavit.index.indexer import Indexer
from affidavit.index.reader import BESIDE, Reader
from affidavit.index.rebuild import catch_up, dump
from affidavit.index.sqlite import VERSION
from affidavit.ledger.merkle import EMPTY_ROOT
from affidavit.ledger.note import Checkpoint
from affidavit.ledger.pruned import Pruned
from affidavit.record.model import Placed, View
from tests.unit.app.test_sequencer import _sequencer
from tests.unit.index.made import request


def _key(root: Path) -> bytes:
    return opening.database_key(Paths(root), "index.db")


def _version(root: Path, name: str) -> int:
    connection = open_database(root / name, _key(root), read_only=True, untouched=True)
    try:
        found: int = connection.execute("SELECT version FROM built").get
    finally:
        connection.close()
    return found


def _older(root: Path, *names: str) -> None:
    """Make files those of another version."""
    for name in names:
        connection = open_database(root / name, _key(root))
        connection.execute("UPDATE built SET version = version - 1")
        connection.close()


async def _made(link: ControlLink) -> None:
    """Some leaves."""
    for name in ("a", "b", "c"):
        await link.call("keys.create", {"name": name})


async def _until(link: ControlLink, good: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    for _ in range(600):
        status: dict[str, object] = await link.call("status", {})
        if good(status):
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(status)


async def _whole(link: ControlLink) -> None:
    """Wait until the index is made and has all leaves."""
    await _until(link, lambda s: not s["index_rebuilding"] and s["indexed"] == s["size"])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with some leaves, stopped."""
    made = tmp_path_factory.mktemp("stopped") / "d"
    assert _sequencer(made, _made) == 0
    return made


@pytest.fixture
def root(stopped: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(stopped, tmp_path / "d"))


class Gate:
    """Holds ``catch_up`` of the rebuild, batch by batch, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.held = threading.Event()

        def held(indexer: object, ledger: object, view: object, stop: object = None) -> int:
            if threading.current_thread().name == "index":
                self.held.set()
                self.open.wait(10)
            rest = () if stop is None else (stop,)
            return catch_up(indexer, ledger, view, *rest)  # type: ignore[arg-type] # passed on

        monkeypatch.setattr(indexing, "catch_up", held)


def _same_as_a_rebuild(root: Path, beside: Path) -> bool:
    rebuild(root, beside)
    return list(dump(root, _key(root))) == list(dump(beside, _key(root)))


@pytest.mark.parametrize(
    "names", [FILES, *(pytest.param(n, marks=pytest.mark.slow) for n in (FILES[:1], FILES[1:]))]
)
def test_recording_goes_on_and_searches_say_as_of(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Keys are made and put on record meanwhile; a reader sees the new index grow and take over."""
    _older(root, *names)
    gate = Gate(monkeypatch)

    async def story(link: ControlLink) -> None:
        assert await asyncio.to_thread(gate.held.wait, 10)
        before = (await link.call("status", {}))["size"]
        await link.call("keys.create", {"name": "meanwhile"})
        status = await _until(link, lambda s: s["size"] > before)
        assert (status["index_rebuilding"], status["indexed"]) == (True, 0)
        reader = await asyncio.to_thread(Reader, root, _key(root))
        assert reader.built()[0].size == 0
        assert [_version(root, name) for name in FILES] == [
            VERSION - (name in names) for name in FILES
        ]
        gate.open.set()
        await _whole(link)
        await link.call("keys.create", {"name": "after"})
        await _until(link, lambda s: s["indexed"] == s["size"] == s["published"])
        status = await link.call("status", {})
        with reader.snapshot():
            assert reader.built()[0].size == status["size"]
        reader.close()

    assert _sequencer(root, story) == 0
    assert [_version(root, name) for name in FILES] == [VERSION, VERSION]
    assert not (root / BESIDE).exists()
    assert _same_as_a_rebuild(root, tmp_path / "again")
    said = capsys.readouterr().err
    assert "A new index is made; searches are as of what it has taken in." in said
    assert "The new index is made and in place" in said


@pytest.mark.slow
def test_an_index_that_is_missing_catches_up_meanwhile(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who deleted it, or was long without, has a start that waits for nothing; nor does a stop."""
    for name in FILES:
        (root / name).unlink()
    monkeypatch.setattr(indexing, "NEAR", 2)
    gate = Gate(monkeypatch)

    async def early(link: ControlLink) -> None:
        assert await asyncio.to_thread(gate.held.wait, 10)
        before = (await link.call("status", {}))["size"]
        await link.call("keys.create", {"name": "meanwhile"})
        status = await _until(link, lambda s: s["size"] > before)
        assert (status["index_rebuilding"], status["indexed"]) == (False, 0)
        asyncio.get_running_loop().call_later(0.3, gate.open.set)  # while it stops

    assert _sequencer(root, early) == 0
    assert _sequencer(root, _whole) == 0
    assert _same_as_a_rebuild(root, tmp_path / "again")


def test_a_stop_leaves_the_old_files_and_the_next_start_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What of the new index is made is not made again; the old one is there until it is whole."""
    old = {name: (root / name).stat().st_ino for name in FILES}
    _older(root, *FILES)
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "NEAR", -1)  # never near enough to take over

        async def begun(link: ControlLink) -> None:
            await _until(link, lambda s: s["indexed"] == s["size"])

        assert _sequencer(root, begun) == 0
    assert {name: (root / name).stat().st_ino for name in FILES} == old
    assert [_version(root, name) for name in FILES] == [VERSION - 1] * 2
    found = Checking(root, None, lambda *_: None, deep=True).run()
    assert found.finding is None
    assert "The index is being made anew, so it was not examined." in found.remarks
    sizes: list[int] = []

    def noted(indexer: Indexer, *rest: Any) -> int:
        sizes.append(indexer.size)
        return catch_up(indexer, *rest)

    monkeypatch.setattr(indexing, "catch_up", noted)
    assert _sequencer(root, _whole) == 0
    assert sizes[0] > 0
    assert not (root / BESIDE).exists()
    assert _same_as_a_rebuild(root, tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_crash_while_the_files_change_places_is_made_good(
    root: Path, tmp_path: Path, moved: int
) -> None:
    """After any of the steps the next start has the new index, and nothing of the old."""
    disk, beside = Disk(), root / BESIDE
    disk.make_dir(beside)
    rebuild(root, tmp_path / "new")
    for name in FILES:
        (tmp_path / "new" / name).rename(beside / name)
    _older(root, *FILES)
    disk.write_file(beside / WHOLE, b"")
    for name in FILES[:moved]:
        (root / name).unlink()
        (beside / name).rename(root / name)
    assert _sequencer(root, _whole) == 0
    assert not beside.exists()
    assert [_version(root, name) for name in FILES] == [VERSION, VERSION]
    assert _same_as_a_rebuild(root, tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["another ledger", "another version", "no database"])
def test_what_was_begun_and_is_of_no_use_is_begun_anew(
    root: Path, tmp_path: Path, what: str
) -> None:
    """A new index of another ledger, of a third version, or cut off in its first write."""
    _older(root, *FILES)
    disk = Disk()
    disk.make_dir(root / BESIDE)
    if what == "no database":
        for name in FILES:
            (root / BESIDE / name).write_bytes(b"not a database" * 500)
    else:
        rebuild(root, tmp_path / "new")
        for name in FILES:
            (tmp_path / "new" / name).rename(root / BESIDE / name)
            connection = open_database(root / BESIDE / name, _key(root))
            if what == "another ledger":
                connection.execute("UPDATE built SET root = ?", (bytes(32),))
            else:
                connection.execute("UPDATE built SET version = 99")
            connection.close()
    assert _sequencer(root, _whole) == 0
    assert _same_as_a_rebuild(root, tmp_path / "again")


@pytest.mark.slow
def test_files_change_places_when_nobody_reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long question holds up the change of places, not the leaves; then it is over."""
    _older(root, *FILES)

    async def story(link: ControlLink) -> None:
        await _whole(link)

    asked: list[bool] = []
    real = indexing._moved

    def moved(connection: apsw.Connection) -> bool:
        asked.append(real(connection))
        return len(asked) > 3 and asked[-1]

    monkeypatch.setattr(indexing, "_moved", moved)
    assert _sequencer(root, story) == 0
    assert len(asked) >= 5
    assert [_version(root, name) for name in FILES] == [VERSION, VERSION]


class _Empty:
    """A ledger without leaves."""

    def checkpoint(self) -> Checkpoint:
        return Checkpoint("empty", 0, EMPTY_ROOT)

    def root(self, size: int) -> bytes:
        raise AssertionError(size)

    def pruned(self) -> Pruned:
        return Pruned(0, "", False, (), {}, (), array("Q"))


def test_batches_that_wait_are_applied_together_in_order_up_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five batches of two while it is behind: four together, then the rest, and the end is seen."""
    monkeypatch.setattr(indexing, "AT_ONCE", 7)
    applied: list[tuple[list[int], int, bytes]] = []
    apply = Indexer.apply

    def noted(self: Indexer, placed: Sequence[Placed], size: int, root: bytes) -> None:
        applied.append(([one.index for one in placed], size, root))
        apply(self, placed, size, root)

    monkeypatch.setattr(Indexer, "apply", noted)
    made = Indexing(Paths(tmp_path), ids.key(), Disk(), _Empty(), fail)
    for first in range(0, 10, 2):
        made.put([request(first), request(first + 1)], first + 2, b"root of %d" % (first + 2))
    made.end()
    made.run()
    made.close((), 10, b"")
    assert applied[:2] == [
        ([*range(8)], 8, b"root of 8"),
        ([8, 9], 10, b"root of 10"),
    ]
    assert made.size == 10


def fail(index: int) -> View:
    """Nothing is read back."""
    raise AssertionError(index)
