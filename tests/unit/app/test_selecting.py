"""Which records an erasure is of, and in which pieces it takes them."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from affidavit.app import selecting
from affidavit.app.selecting import Selecting
from affidavit.config import Config
from affidavit.control.erasures import Portion
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
    reader = _indexed(tmp_path, world)
    unused: Any = None
    yield Selecting(Searcher(reader, None), unused, Config())
    reader.close()


def _indexed(tmp_path: Path, world: World) -> Reader:
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    indexer.close()
    return Reader(tmp_path, KEY)


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


def test_what_is_left_is_summed_over_all_buckets(selects: Selecting) -> None:
    """By reason: that of what no hold keeps any more was told of the last bucket alone."""
    portions = [
        Portion("acme", "default", f"2025-01-0{day}", "2026-01-01", later=tuple(range(day)))
        for day in (1, 2, 3)
    ]
    (left,) = selects.left(portions, (), "2026-11-23T12:00:00.000000Z")
    assert (left.records, left.until) == (6, "")


def test_a_run_of_an_export_that_is_none_keeps_no_other_from_being_listed(tmp_path: Path) -> None:
    """It counts nothing; whoever told of a story or of custody has long left it out."""
    told: list[Any] = [
        [[3, 5], [9], "x", [1, "2"], None, [7, 7]], "all", None, 4, [[1, 2, 3]], [[4, 4]],
    ]  # fmt: skip
    sections = [{"what": {"manifest": f"m{n}", "leaves": one}} for n, one in enumerate(told)]
    world = World([placed(n, "access.export", one) for n, one in enumerate(sections)])
    reader = _indexed(tmp_path, world)
    vault: Any = SimpleNamespace(sections=lambda index: sections[index])
    found = Selecting(Searcher(reader, None), vault, Config()).exports([3, 4, 7, 8])
    assert [(one.manifest, one.records) for one in found] == [("m0", 3), ("m5", 1)]
    reader.close()
