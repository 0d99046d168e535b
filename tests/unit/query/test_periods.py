"""Periods counted in posting lists: the same as reading every row, at any distance."""

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.clock import from_unix_us
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import facets, periods
from affidavit.query.boundary import owner
from affidavit.query.cubes import Interval
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Match, Tree
from tests.unit.index.made import KEY, START, WHAT, WHO, World, placed

DAY = 86_400
GAPS = st.sampled_from([0, 1, 3_599, 3_600, DAY - 1, DAY, 6 * DAY, 7 * DAY, 28 * DAY, 31 * DAY])
MODELS = st.sampled_from(["gpt-4o", "other"])
OF_A_MODEL: Tree = Match("model", "gpt-4o")
OF_A_TEAM: Tree = And((Match("tenant", "acme"), Match("team", str(WHO["team"])), OF_A_MODEL))


def begun(time: str, interval: Interval) -> str:
    """The beginning of the period of a stored time, by another way than the program's."""
    at = dt.datetime.fromisoformat(time).replace(minute=0, second=0, microsecond=0)
    if interval != "hour":
        at = at.replace(hour=0)
    if interval == "week":
        at -= dt.timedelta(days=at.weekday())
    if interval == "month":
        at = at.replace(day=1)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@settings(max_examples=15)
@given(made=st.lists(st.tuples(GAPS, MODELS), min_size=1, max_size=12))
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_lists_count_what_rows_say(
    tmp_path_factory: pytest.TempPathFactory, interval: Interval, made: list[tuple[int, str]]
) -> None:
    """Whatever lies between two records; a period without one is not there."""
    records, seconds = [], 0
    for index, (gap, model) in enumerate(made):
        seconds += gap
        what = WHAT | {"gen_ai.request.model": model}
        records.append(
            placed(index, "exchange.request", {"who": WHO, "what": what}, seconds=seconds)
        )
    world = World(records)
    directory: Path = tmp_path_factory.mktemp("periods")
    indexer = Indexer(directory, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.close()
    reader = Reader(directory, KEY)
    searcher = Searcher(reader, None)
    expected = Counter(
        begun(record.time, interval)
        for record, (_, model) in zip(world.records, made, strict=True)
        if model == "gpt-4o"
    )
    for asked in (OF_A_MODEL, OF_A_TEAM):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(facets, "HISTOGRAM_CAP", 0)  # whatever reads rows would count none
            patch.setattr(periods, "FEW", 10_000)
            found = searcher.histogram(asked, owner("o"), interval)
        assert [(one.time, one.count) for one in found.buckets] == sorted(expected.items())
        assert (found.records, found.capped) == (expected.total(), False)
    reader.close()


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_a_long_window_is_read_in_rows(interval: Interval) -> None:
    """Up to so many of the shortest periods of that name."""
    shortest = {"hour": 3_600, "day": DAY, "week": 7 * DAY, "month": 28 * DAY}[interval]
    since = from_unix_us(START)
    until = START + periods.FEW * shortest * 1_000_000
    assert periods.few(since, from_unix_us(until), interval)
    assert not periods.few(since, from_unix_us(until + 1), interval)
    assert not periods.few(since, since, "")
