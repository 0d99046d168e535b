"""Values and periods counted: of any question that the language takes, in one statement a step."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import pytest

from affidavit.errors import UsageError
from affidavit.index import reader as reading
from affidavit.query import facets
from affidavit.query.boundary import owner
from affidavit.query.language import MAX_TERMS, parse
from affidavit.query.search import Searcher
from affidavit.query.sums import wanted
from affidavit.query.tree import All, Match, Or, Tree

Rows = Iterator[list[tuple[Any, ...]]]
OWNER = owner("act_owner")
NOW = "2026-11-29T00:00:00.000000Z"
NAMES = " OR ".join(f"actor:nobody{number}" for number in range(MAX_TERMS - 1))


@pytest.mark.parametrize(
    "asked",
    [
        parse(f"{NAMES} OR actor:act_bob", NOW),
        Or(tuple(Match("session", f"ses_{number}") for number in range(300))),
        parse(" ".join(["-model:x"] * MAX_TERMS), NOW),
        parse(" OR ".join(["-model:x"] * MAX_TERMS), NOW),
    ],
    ids=["names", "sessions", "none of", "either not"],
)
def test_as_many_conditions_as_there_may_be_are_counted(searcher: Searcher, asked: Tree) -> None:
    """However many fields are counted, SQLite's limit of what one statement names is not met."""
    rows = searcher.run(asked, OWNER).rows
    assert rows
    counted = searcher.facets(asked, OWNER)
    types = {value.value: value.count for value in counted.fields["type"].values}
    assert (types, counted.records) == (Counter(row["type"] for row in rows), len(rows))
    for interval in ("hour", "day"):
        assert searcher.histogram(asked, OWNER, interval).records == len(rows)


@pytest.mark.parametrize("cap", [3, 10_000])
def test_rows_are_taken_a_few_at_a_time(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, cap: int
) -> None:
    """So memory does not grow with what is counted; the figures are the same."""
    monkeypatch.setattr(facets, "CAP", cap)
    whole = searcher.facets(All(), OWNER)
    monkeypatch.setattr(reading, "BATCH", 2)
    most = 0
    real = reading.Reader.batches

    def batches(self: reading.Reader, sql: str, parameters: Sequence[Any]) -> Rows:
        nonlocal most
        for rows in real(self, sql, parameters):
            most = max(most, len(rows))
            yield rows

    monkeypatch.setattr(reading.Reader, "batches", batches)
    assert searcher.facets(All(), OWNER) == whole
    assert most == 2
    assert (whole.records, whole.capped) == (min(cap, 8), cap < 8)


def test_so_many_different_values_are_counted_and_no_more(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a ledger may have as many as records: they are refused, with what to do."""
    whole = searcher.facets(All(), OWNER, ("model", "session"), exact=True)
    different = sum(facet.distinct for facet in whole.fields.values())
    monkeypatch.setattr(facets, "MAX_VALUES", different)
    assert searcher.facets(All(), OWNER, ("model", "session"), exact=True) == whole
    monkeypatch.setattr(facets, "MAX_VALUES", different - 1)
    with pytest.raises(UsageError, match=f"more than {different - 1} different values"):
        searcher.facets(All(), OWNER, ("model", "session"), exact=True)
    monkeypatch.setattr(facets, "MAX_VALUES", 1)
    monkeypatch.setattr(reading, "BATCH", 3)
    some = searcher.facets(All(), OWNER, ("model", "session"))
    assert (some.records, some.capped) == (3, True), "those of the newest are told all the same"


def test_what_is_too_much_for_sqlite_is_said_in_a_sentence(searcher: Searcher) -> None:
    """A limit of its is no fault of ours: 400, and what to do."""
    with pytest.raises(UsageError, match="too many conditions") as caught:
        searcher.reader.query(f"SELECT {'(' * 5_000}1{')' * 5_000}")
    assert isinstance(caught.value.__cause__, apsw.SQLError)
    assert caught.value.detail["reason"] == reading.LIMIT


@pytest.mark.parametrize(
    "asked",
    ['"how" index>=3000000000000000', 'index>=3000000000000000 ("how" OR model:x)',
     'index<=-3000000000000000 ("how" OR model:x)'],
)  # fmt: skip
def test_words_beyond_the_end_of_the_ledger_are_nowhere(searcher: Searcher, asked: str) -> None:
    """An index may be any number, with words beside it, too."""
    tree = parse(asked, NOW)
    assert searcher.run(tree, OWNER).count == 0
    assert searcher.facets(tree, OWNER).records == 0
    assert searcher.histogram(tree, OWNER, "day").records == 0
    assert searcher.aggregate(tree, OWNER, wanted([])).rows == []
    assert searcher.tail(tree, OWNER, after=0).rows == []


def test_a_tail_from_far_beyond_the_end_waits_there(searcher: Searcher) -> None:
    """It goes on from where it was asked to, whatever it looks for."""
    page = searcher.tail(parse('"how" OR model:x', NOW), OWNER, after=1 << 60)
    assert (page.rows, page.next) == ([], 1 << 60)
