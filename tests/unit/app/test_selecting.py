"""Which records an erasure is of, and in which pieces it takes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import selecting
from affidavit.app.selecting import Selecting
from affidavit.config import Config
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query.search import Searcher
from tests.unit.index.made import KEY, World, placed, request

COUNT, SESSIONS = 60, 5


@pytest.fixture
def selects(tmp_path: Path) -> Iterator[Selecting]:
    """Of requests in five sessions in turn, and a last record that is of none."""
    spoken = [request(n, who={"session": f"ses_{n % SESSIONS}"}) for n in range(COUNT)]
    world = World([*spoken, placed(COUNT, "change.model", {"what": {}})])
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    indexer.close()
    reader = Reader(tmp_path, KEY)
    unused: Any = None
    yield Selecting(Searcher(reader, None), unused, Config())
    reader.close()


def test_a_session_is_taken_at_once(selects: Selecting) -> None:
    """In slices of about so many, whole sessions; what is of none by itself."""
    found = list(selects.slices(range(COUNT + 1), 13))
    assert sorted(idx for part in found for idx in part) == list(range(COUNT + 1))
    assert [len(part) for part in found] == [24, 24, 13]
    for part in found:
        assert {idx for idx in part if idx < COUNT} == {
            idx
            for idx in range(COUNT)
            if idx % SESSIONS in {one % SESSIONS for one in part if one < COUNT}
        }


def test_many_records_are_looked_at_in_windows(
    selects: Selecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, whatever the windows are, and none of which there is no row is left out."""
    monkeypatch.setattr(selecting, "_WINDOW", 7)
    wanted = [*range(0, COUNT, 2), COUNT + 9]
    found = [idx for part in selects.slices(tuple(wanted), 4) for idx in part]
    assert sorted(found) == wanted
