"""Reading an index that others write, replace and remove."""

import threading
from pathlib import Path

import apsw
import pytest

from affidavit.errors import UnavailableError, UsageError
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.index.sqlite import INDEX_FILE, TEXT_FILE
from tests.unit.index.made import KEY, World, request


def built(directory: Path, count: int) -> None:
    """An index of so many requests in ``directory``."""
    directory.mkdir(exist_ok=True)
    world = World([request(place) for place in range(count)])
    indexer = Indexer(directory, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    indexer.close()


def sizes(reader: Reader) -> tuple[int, int]:
    """What rows and text stand for, in one snapshot."""
    with reader.snapshot():
        index, text = reader.built()
    return index.size, text.size


def test_a_rebuilt_index_is_taken_up(tmp_path: Path) -> None:
    """Who reads goes on with the new files once both are there, and with the old ones till then."""
    built(tmp_path, 2)
    reader = Reader(tmp_path, KEY)
    assert sizes(reader) == (2, 2)
    built(tmp_path / "new", 5)
    (tmp_path / INDEX_FILE).unlink()
    assert sizes(reader) == (2, 2)
    (tmp_path / "new" / INDEX_FILE).rename(tmp_path / INDEX_FILE)
    (tmp_path / TEXT_FILE).unlink()
    assert sizes(reader) == (2, 2)
    (tmp_path / TEXT_FILE).touch()  # its writer is just making it
    assert sizes(reader) == (2, 2)
    (tmp_path / "new" / TEXT_FILE).rename(tmp_path / TEXT_FILE)
    assert sizes(reader) == (5, 5)
    reader.close()


def test_what_it_stands_for_is_that_of_the_files_that_are_there(tmp_path: Path) -> None:
    """Also asked by itself, by somebody who has not asked for long."""
    built(tmp_path, 2)
    reader = Reader(tmp_path, KEY)
    built(tmp_path / "new", 5)
    for name in (INDEX_FILE, TEXT_FILE):
        (tmp_path / "new" / name).rename(tmp_path / name)
    assert [one.size for one in reader.built()] == [5, 5]
    reader.close()


def test_files_that_do_not_open_are_let_go(tmp_path: Path) -> None:
    """An index of another version, or under another key, is refused in a sentence."""
    with pytest.raises(UnavailableError, match=r"no index\.db"):
        Reader(tmp_path, KEY)
    built(tmp_path, 1)
    with pytest.raises(UnavailableError):
        Reader(tmp_path, bytes(32))
    db = apsw.Connection(str(tmp_path / INDEX_FILE))
    db.pragma("key", f"raw:{KEY.hex()}")
    db.execute("UPDATE built SET version = 99")
    db.close()
    with pytest.raises(UnavailableError, match="version 99"):
        Reader(tmp_path, KEY)


def test_a_question_waits_for_nobody_elses(tmp_path: Path) -> None:
    """While one thread is in the middle of a question, others ask theirs and are answered."""
    built(tmp_path, 2)
    reader = Reader(tmp_path, KEY)
    seen: list[tuple[int, int]] = []
    for _ in range(3):
        with reader.snapshot():
            other = threading.Thread(target=lambda: seen.append(sizes(reader)))
            other.start()
            other.join(10)
            assert not other.is_alive()
            assert reader.built()[0].size == 2
    assert seen == [(2, 2)] * 3
    assert len(reader._every) == 2, "connections of threads that are no more are closed"
    reader.close()
    with pytest.raises(apsw.ConnectionClosedError):
        reader.row(0)


def test_no_statement_begins_once_the_time_is_over(tmp_path: Path) -> None:
    """Full text does not always ask for the time; the statement after it does."""
    built(tmp_path, 1)
    reader = Reader(tmp_path, KEY)
    with reader.snapshot():
        assert reader.row(0) is not None
        reader._own().left = 0.0
        with pytest.raises(UsageError, match="longer than 10 seconds"):
            reader.query("SELECT 1")
        with pytest.raises(UsageError, match="longer than 10 seconds"):
            list(reader.batches("SELECT 1", ()))
    assert reader.query("SELECT 1") == [(1,)], "the next question has its own"
    reader.close()
