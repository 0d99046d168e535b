"""The index as a whole: live equals rebuilt, batches may repeat, nothing stays after erasure."""

import random
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from affidavit.durable import open_database
from affidavit.errors import CorruptError, UnavailableError, UsageError
from affidavit.index import indexer as indexing
from affidavit.index import sqlite
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.index.rebuild import catch_up, dump, rebuild
from affidavit.record.model import SECTIONS, Placed, View
from tests.unit.index.made import KEY, WHO, World, placed, request, response


def some(count: int) -> list[Placed]:
    """A ledger of requests and responses, a heads leaf and changes between them."""
    made: list[Placed] = []
    while len(made) < count:
        at = len(made)
        if at % 7 == 6:
            made.append(placed(at, "ledger.heads", {}))
        elif at % 7 == 5:
            made.append(
                placed(at, "change.model",
                       {"who": WHO, "what": {"target": {"kind": "model", "name": "gpt-4o"}}})
            )  # fmt: skip
        elif at % 7 in (2, 4):
            made.append(response(at, at - 1 if at % 7 == 2 else at - 4, f"answer {at}"))
        else:
            made.append(request(at, f"question {at}", who={"session": f"ses_{at % 3}"}))
    return made


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Indexer]:
    """An indexer on an empty directory."""
    (tmp_path / "live").mkdir()
    indexer = Indexer(tmp_path / "live", KEY)
    indexer.start()
    yield indexer
    indexer.close()


def feed(indexer: Indexer, world: World, cuts: list[int]) -> None:
    """Apply the world's records in batches that end at ``cuts``."""
    begin = indexer.size
    for end in [*cuts, world.size]:
        if end > begin:
            indexer.apply(world.records[begin:end], end, world.root(end))
            begin = end
    indexer.settle()


def rebuilt(tmp_path: Path, world: World, name: str = "rebuilt") -> list[str]:
    """The dump of an index made from the world's ledger and vault."""
    (tmp_path / name).mkdir()
    assert rebuild(tmp_path / name, KEY, world, world.view) == world.size
    return list(dump(tmp_path / name, KEY))


@given(cuts=st.lists(st.integers(1, 40), unique=True).map(sorted), size=st.integers(1, 40))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_live_equals_rebuilt_however_the_batches_fell(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], size: int
) -> None:
    """G6: the dump of a live index is that of a rebuild, text included."""
    directory = tmp_path_factory.mktemp("index")
    world = World(some(size))
    (directory / "live").mkdir()
    indexer = Indexer(directory / "live", KEY)
    indexer.start()
    try:
        feed(indexer, world, [cut for cut in cuts if cut < size])
    finally:
        indexer.close()
    assert list(dump(directory / "live", KEY)) == rebuilt(directory, world)


def test_a_batch_applied_twice_changes_nothing(tmp_path: Path, live: Indexer) -> None:
    """After a restart the same records may come again."""
    world = World(some(20))
    feed(live, world, [10])
    before = list(dump(tmp_path / "live", KEY))
    live.apply(world.records[5:20], 20, world.root(20))
    live.apply(world.records[:3], 3, world.root(3))
    live.settle()
    assert list(dump(tmp_path / "live", KEY)) == before


def test_a_batch_that_leaves_a_hole_is_refused(live: Indexer) -> None:
    """The index never skips a record silently."""
    world = World(some(10))
    with pytest.raises(UnavailableError, match="given records 2 to 3") as caught:
        live.apply(world.records[2:4], 4, world.root(4))
    assert "catch up" in caught.value.hint
    with pytest.raises(UnavailableError):
        live.apply([world.records[0], world.records[2]], 3, world.root(3))


def test_a_ledger_that_went_on_meanwhile_loses_no_record(tmp_path: Path, live: Indexer) -> None:
    """A size beyond the batch does not make the index skip what comes next."""
    world = World(some(20))
    live.apply(world.records[:8], 15, world.root(15))
    assert (live.built.size, live.built.root) == (8, b"")
    live.apply(world.records[8:], 20, world.root(20))
    live.settle()
    assert list(dump(tmp_path / "live", KEY)) == rebuilt(tmp_path, world)


def test_an_index_that_lost_its_text_gets_it_again(tmp_path: Path) -> None:
    """Text behind rows (the process died in between) is caught up from ledger and vault."""
    world = World(some(20))
    (tmp_path / "live").mkdir()
    indexer = Indexer(tmp_path / "live", KEY)
    indexer.start()
    feed(indexer, World(world.records[:10]), [])
    indexer.close()
    for file in (tmp_path / "live").glob("text.db*"):
        file.unlink()
    indexer = Indexer(tmp_path / "live", KEY)
    indexer.start()
    assert (indexer.size, indexer.built.size) == (0, 10)
    assert catch_up(indexer, world, world.view) == 20
    indexer.close()
    assert list(dump(tmp_path / "live", KEY)) == rebuilt(tmp_path, world)


def test_an_index_of_another_history_is_refused(tmp_path: Path, live: Indexer) -> None:
    """The root kept beside the rows is compared with the ledger's at that size."""
    feed(live, World(some(10)), [])
    other = World(some(12))
    with pytest.raises(CorruptError, match="another ledger"):
        catch_up(live, other, other.view)


def test_rebuild_wants_an_empty_directory(tmp_path: Path, live: Indexer) -> None:
    """A rebuild never writes into an index that is there."""
    assert live.size == 0
    world = World([])
    with pytest.raises(UsageError, match="already"):
        rebuild(tmp_path / "live", KEY, world, world.view)


@pytest.mark.parametrize("seed", range(4))
def test_after_an_erasure_the_index_equals_a_rebuild(
    tmp_path: Path, live: Indexer, seed: int
) -> None:
    """G6 and G9: rows, postings, rollups and text of what was erased are gone, nothing else."""
    world = World(some(40))
    feed(live, world, [13, 27])
    draw = random.Random(seed)
    chosen = draw.sample(range(40), 6)
    names = ("who", "person", "what", "outcome", "request.body", "response.body", "content")
    for index in chosen:
        world.erase(index, *draw.sample(names, draw.randint(1, 4)))
    live.refresh(chosen, world.view)
    assert list(dump(tmp_path / "live", KEY)) == rebuilt(tmp_path, world)


@pytest.mark.parametrize("seed", range(4))
def test_what_the_vault_says_is_left_spares_views_and_no_rebuild_differs(
    tmp_path: Path, live: Indexer, seed: int
) -> None:
    """Of whole records and of content alone, of one half or both; only few are opened again."""
    world, draw, opened = World(some(60)), random.Random(seed), list[int]()
    feed(live, world, [13, 27])
    parts = {name for index in range(60) for name in world.view(index).parts}

    def left(named: Mapping[int, str]) -> dict[int, int]:
        found: dict[int, int] = {}
        for index, record in named.items():
            view = world.view(index)
            assert view.id == record
            bits = [1 << SECTIONS.index(name) for name in view.sections]
            found[index] = sum(bits) | bool(view.parts) << len(SECTIONS)
        return found

    def view(index: int) -> View:
        opened.append(index)
        return world.view(index)

    chosen = draw.sample(range(60), 30)
    for index in chosen:
        content = draw.random() < 0.7
        world.erase(index, *parts, *(["content"] if content else SECTIONS))
    live.refresh(chosen, view, left)
    assert list(dump(tmp_path / "live", KEY)) == rebuilt(tmp_path, world)
    assert opened == sorted(set(opened))
    every = [index for index in range(60) if index not in opened]
    for index in every:
        world.erase(index, *parts, "content")
    before = len(opened)
    live.refresh(every, view, left)
    live.refresh(range(60), view, left)
    assert list(dump(tmp_path / "live", KEY)) == rebuilt(tmp_path, world, "again")
    assert len(opened) - before < 60


def test_words_of_an_erased_message_are_in_no_file(tmp_path: Path) -> None:
    """G9: neither the words nor the e-mail address survive in pages, free pages or logs.

    The files are encrypted, so they are read through the key: as tables and page by page.
    """
    (tmp_path / "live").mkdir()
    canary, later, mail = "zanzibarcanary", "yokohamacanary", "canary@example.org"
    world = World([
        request(0, canary, person={"email": mail}), response(1, 0, canary), *some(9)[2:],
        request(9, later),
    ])  # fmt: skip
    indexer = Indexer(tmp_path / "live", KEY)
    indexer.start()
    feed(indexer, world, [])
    assert all(holds(tmp_path / "live", word) for word in (canary, later, mail))
    for index in (0, 1):
        world.erase(index, "person", "request.body", "response.body")
    indexer.refresh([0, 1], world.view)
    assert len(list(indexer.purged())) < 50
    assert not any(path.stat().st_size for path in (tmp_path / "live").glob("*-wal"))
    assert not holds(tmp_path / "live", canary)
    assert not holds(tmp_path / "live", mail)
    assert holds(tmp_path / "live", later)
    world.erase(9, "request.body")
    indexer.refresh([9], world.view)
    assert len(list(indexer.purged())) < 50
    indexer.close()
    assert not holds(tmp_path / "live", later)


def test_what_was_erased_leaves_the_files_while_the_index_is_written_and_read(
    tmp_path: Path,
) -> None:
    """Batches come between all steps, a reader stays, and no rebuild differs; then nothing is left.

    Small steps on a long text, so that merges are under way when something is deleted.
    """
    (tmp_path / "live").mkdir()
    canary = "zanzibarcanary"
    words = [f"w{number:05}" for number in range(4_000)]
    records = [
        request(index, " ".join([canary, *words[index::7]])) if index < 60 else request(index, "x")
        for index in range(160)
    ]
    world = World(records)
    indexer = Indexer(tmp_path / "live", KEY)
    indexer.start()
    for end in range(1, 61):
        indexer.apply(world.records[end - 1 : end], end, world.root(end))
    indexer.settle()
    for index in range(0, 60, 2):
        world.erase(index, "request.body", "content")
    indexer.refresh(range(0, 60, 2), world.view)
    reader = Reader(tmp_path / "live", KEY)
    with reader.snapshot():
        steps = indexer.purged()
        for end in range(61, 101):
            next(steps)
            indexer.apply(world.records[end - 1 : end], end, world.root(end))
    for index in range(1, 60, 2):
        world.erase(index, "request.body", "content")
    indexer.refresh(range(1, 60, 2), world.view)
    steps = indexer.purged()
    for end in range(101, 161):
        next(steps, None)
        indexer.apply(world.records[end - 1 : end], end, world.root(end))
    for count, _ in enumerate(indexer.purged()):
        assert count < 200
    assert not holds(tmp_path / "live", canary)
    assert list(dump(tmp_path / "live", KEY)) == rebuilt(tmp_path, world)
    reader.close()
    indexer.close()


def holds(directory: Path, word: str) -> bool:
    """Whether the decrypted pages of either file, free ones included, hold the word."""
    for name in (sqlite.INDEX_FILE, sqlite.TEXT_FILE):
        reader = open_database(directory / name, KEY)
        pages = reader.serialize("main")
        reader.close()
        if word.encode() in pages or word.encode()[:10] in pages:
            return True
    return False


def test_files_are_encrypted(tmp_path: Path, live: Indexer) -> None:
    """Nothing of rows or text stands in the files in the clear (G8)."""
    feed(live, World([request(0, "xylophone concerto"), response(1, 0)]), [])
    for file in (tmp_path / "live").iterdir():
        data = file.read_bytes()
        for secret in (b"xylophone", b"concerto", b"alice", b"gpt-4o", b"ses_1"):
            assert secret not in data
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "live" / "index.db").execute("SELECT * FROM record")


def test_another_key_does_not_open_it(tmp_path: Path, live: Indexer) -> None:
    """The wrong key is told from damage in words."""
    feed(live, World(some(3)), [])
    with pytest.raises(UnavailableError):
        Reader(tmp_path / "live", bytes(32))


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A newer program's index is not guessed at."""
    (tmp_path / "live").mkdir()
    Indexer(tmp_path / "live", KEY).close()
    connection = open_database(tmp_path / "live" / sqlite.INDEX_FILE, KEY)
    connection.execute("UPDATE built SET version = 99")
    connection.close()
    with pytest.raises(UnavailableError, match="version 99"):
        Indexer(tmp_path / "live", KEY)
    with pytest.raises(UnavailableError, match="version 99"):
        Reader(tmp_path / "live", KEY)


def test_a_full_disk_keeps_what_was_committed_and_says_so(tmp_path: Path, live: Indexer) -> None:
    """A batch that does not fit changes nothing, and the next call repeats the reason."""
    world = World(some(30))
    feed(live, World(world.records[:10]), [])
    before = list(dump(tmp_path / "live", KEY))
    live._rows._db.pragma("max_page_count", 1)
    with pytest.raises(UnavailableError, match="not written"):
        live.apply(world.records[10:], 30, world.root(30))
    with pytest.raises(UnavailableError, match="not written"):
        live.apply(world.records[10:], 30, world.root(30))
    assert list(dump(tmp_path / "live", KEY)) == before


def test_a_record_is_found_by_id_with_its_response(live: Indexer) -> None:
    """``find`` gives the request's index and that of its response once there is one."""
    world = World([request(0), request(1), response(2, 0)])
    feed(live, world, [])
    ids = [item.record.id for item in world.records]
    assert live.find(ids[0]) == [0, 2]
    assert live.find(ids[1]) == [1]
    assert live.find("01a20a9e-18b2-78b3-a550-0f194c38365a") is None


def longest_log(directory: Path, count: int) -> int:
    """Bytes of the write-ahead log of the rows, written record by record without a pause."""
    directory.mkdir()
    indexer = Indexer(directory, KEY)
    indexer.start()
    world = World(some(count))
    log = directory / (sqlite.INDEX_FILE + "-wal")
    longest = 0
    try:
        for end in range(1, world.size + 1):
            indexer.apply(world.records[end - 1 : end], end, b"")
            longest = max(longest, log.stat().st_size)
    finally:
        indexer.close()
    assert longest
    return longest


COMMIT = 8 * 4096
"""What the commit of one record writes at least."""


def test_a_log_begins_anew_while_somebody_always_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints beside a writer never have all of a log; a long one is bounded all the same."""
    monkeypatch.setattr(indexing, "_CHECKPOINT_SECONDS", 0.01)
    monkeypatch.setattr(indexing, "LONG_LOG", 64)
    assert longest_log(tmp_path / "live", 1_500) < 1_500 * COMMIT / 4
