"""Random facets and histograms, counted by the program and by plain lines from the records."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from affidavit.errors import RefusedError
from affidavit.query import facets, search
from affidavit.query.boundary import Boundary
from affidavit.query.cubes import Interval
from affidavit.query.facets import FACETS
from affidavit.query.search import Searcher
from affidavit.query.sums import INTERVALS
from affidavit.query.tree import Match, Tree
from tests.model.test_query_model import (
    BOUNDARIES,
    EITHER,
    MEMBER,
    TREES,
    Fact,
    indexed,
    mentions,
    of,
    two_teams,
    visible,
    worlds,
)
from tests.model.test_sums_model import begun
from tests.unit.index.made import World

COUNTED = tuple(name for name in FACETS if name != "source")
"""The oracle knows no sources."""
QUESTIONS = st.tuples(BOUNDARIES, TREES, st.sampled_from(INTERVALS))


def check(
    searcher: Searcher, facts: list[Fact], boundary: Boundary, tree: Tree, interval: Interval
) -> None:
    """Facets, in full and capped, and the histogram are the oracle's."""
    reason = "ticket" if boundary.content == "with_reason" else ""
    there = [fact for fact in facts if visible(tree, fact, boundary)]
    answer = searcher.facets(tree, boundary, COUNTED, reason, top=99)
    newest = there[-facets.CAP :]
    assert (answer.records, answer.capped) == (len(newest), len(newest) < len(there))
    for name, facet in answer.fields.items():
        counts = Counter(value for fact in newest for value in of(name, fact) if name != "status")
        if name == "status":
            counts = Counter(
                fact.outcome["outcome"] for fact in newest if "outcome" in fact.outcome
            )
        assert {value.value: value.count for value in facet.values} == counts
        assert facet.distinct == len(counts)
        ordered = [(-value.count, value.value) for value in facet.values]
        assert ordered == sorted(ordered)
    chart = searcher.histogram(tree, boundary, interval, reason)
    recent = there if chart.counted_from is None else there[-facets.HISTOGRAM_CAP :]
    expected = Counter(begun(fact.time, interval) for fact in recent)
    assert {bucket.time: bucket.count for bucket in chart.buckets} == expected
    assert chart.counted_from == (recent[0].time if len(recent) < len(there) else None)
    exact = searcher.histogram(tree, boundary, interval, reason, exact=True)
    assert sum(bucket.count for bucket in exact.buckets) == exact.records == len(there)


@given(world=worlds(), questions=st.lists(QUESTIONS, min_size=5, max_size=5),
       cap=st.sampled_from([2, 10_000]))  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_facets_and_histograms_are_the_oracles(
    monkeypatch: pytest.MonkeyPatch, world: tuple[World, list[Fact]],
    questions: list[tuple[Boundary, Tree, Interval]], cap: int,
) -> None:  # fmt: skip
    """Counts within any boundary, capped or not, in steps of a few leaves."""
    monkeypatch.setattr(facets, "CAP", cap)
    monkeypatch.setattr(facets, "HISTOGRAM_CAP", cap + 1)
    monkeypatch.setattr(facets, "_FIRST_STEP", 3)
    monkeypatch.setattr(facets, "_LARGEST_STEP", 4)
    with indexed(world[0]) as searcher:
        for boundary, tree, interval in questions:
            if "person" not in boundary.sections and mentions(tree, Match, "email"):
                with pytest.raises(RefusedError):
                    searcher.facets(tree, boundary, reason="ticket")
                continue
            check(searcher, world[1], boundary, tree, interval)


def test_facets_without_the_boundary_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: counted is what the reader's tree finds, wherever it lies."""
    world, facts = two_teams()
    with indexed(world) as searcher:
        check(searcher, facts, MEMBER, EITHER, "day")
        monkeypatch.setattr(search, "inject", lambda tree, *_: tree)
        with pytest.raises(AssertionError):
            check(searcher, facts, MEMBER, EITHER, "day")


def test_a_facet_leads_to_as_many_records_as_it_says() -> None:
    """``field:value`` beside the question finds the count of the value."""
    world, _ = two_teams()
    with indexed(world) as searcher:
        for name, facet in searcher.facets(EITHER, MEMBER).fields.items():
            for value in facet.values:
                found = searcher.run(Match(name, value.value), MEMBER)
                assert found.count == value.count
