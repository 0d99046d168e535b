"""Random sums, answered by the program from cubes and rows, and by plain lines from the records.

The oracle is that of ``test_query_model``; it adds up records one by one, knows nothing of cubes
and takes percentiles from the durations themselves.
"""

import datetime as dt
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from affidavit.errors import RefusedError
from affidavit.index import latency
from affidavit.query import cubes, sums
from affidavit.query.boundary import Boundary
from affidavit.query.search import Searcher
from affidavit.query.sums import GROUPS, INTERVALS, Price, wanted
from affidavit.query.tree import All, And, Match, Moment, Tree
from tests.model.test_query_model import (
    BOUNDARIES,
    TREES,
    Fact,
    indexed,
    mentions,
    visible,
    worlds,
)
from tests.unit.index.made import World

PRICES = {"m": Price(1.0, 3.0, 0.5), "m-*": Price(2.0, 4.0, 2.0)}
EDGES = ("2026-09-21T15:00:00.000000Z", "2026-09-22T00:00:00.000000Z",
         "2026-09-24T07:30:00.000001Z", "2026-09-28T00:00:00.000000Z")  # fmt: skip
WINDOWS = st.one_of(
    st.just(All()),
    st.builds(
        lambda since, until: And((Moment("time", ">=", since), Moment("time", "<", until))),
        st.sampled_from(EDGES), st.sampled_from(EDGES),
    ),
    st.builds(lambda op, time: Moment("time", op, time), st.sampled_from([">=", "<"]),
              st.sampled_from(EDGES)),
)  # fmt: skip
KEPT: st.SearchStrategy[Tree] = st.one_of(
    st.just(All()),
    st.builds(
        Match,
        st.sampled_from(["model", "tenant", "team", "credential", "status", "type", "provider"]),
        st.sampled_from(["m", "m-1", "acme", "red", "truncated", "exchange.", "key_", "openai"]),
        st.booleans(),
    ),
)
BY = st.lists(st.sampled_from(GROUPS), max_size=3, unique=True)


@pytest.fixture(autouse=True)
def cubes_even_for_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a world this small posting lists would answer everything."""
    monkeypatch.setattr(sums, "FEW", -1)


def oracle(
    facts: list[Fact], boundary: Boundary, tree: Tree, by: list[str], interval: str
) -> dict[tuple[str | None, ...], dict[str, Any]]:
    """The sums of a question by period and keys."""
    found: dict[tuple[str | None, ...], list[Fact]] = {}
    for fact in facts:
        closed = fact.type == "exchange.response" and fact.re is not None
        if (closed or fact.type == "access.denied") and visible(tree, fact, boundary):
            values = {**fact.who, "provider": fact.provider, "model": fact.counted,
                      "status": fact.outcome.get("outcome")}  # fmt: skip
            key = tuple(values.get(name) for name in GROUPS if name in by)
            found.setdefault((begun(fact.time, interval), *key), []).append(fact)
    return {key: added(group) for key, group in found.items()}


def begun(time: str, interval: str) -> str | None:
    """The first instant of the period."""
    day = dt.date.fromisoformat(time[:10])
    if interval == "hour":
        return f"{time[:13]}:00:00.000000Z"
    if interval == "week":
        day -= dt.timedelta(days=day.weekday())
    if interval == "month":
        day = day.replace(day=1)
    return f"{day.isoformat()}T00:00:00.000000Z" if interval else None


def added(group: list[Fact]) -> dict[str, Any]:
    """The figures of some records."""
    closed = [fact for fact in group if fact.type != "access.denied"]
    costs = [fact.outcome["cost"] for fact in closed if "cost" in fact.outcome]
    metered = [
        fact for fact in closed if "cost" not in fact.outcome
        and ({"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"} & set(fact.outcome))
        and fact.counted
    ]  # fmt: skip
    spent = 0.0
    for fact in closed:
        if "cost" not in fact.outcome and fact.counted:
            price = PRICES["m" if fact.counted == "m" else "m-*"]
            cached = tokens(fact, "cache_read.input")
            fresh = max(0, tokens(fact, "input") - cached)
            spent += fresh * price.input + cached * price.cached
            spent += tokens(fact, "output") * price.output
    return {
        "requests": len(closed),
        "errors": sum(
            fact.outcome["outcome"] != "complete"
            or (fact.outcome.get("http.response.status_code") or 0) >= 400 for fact in closed
        ),
        "denials": sum(fact.outcome.get("outcome") == "denied" for fact in group),
        "tokens_in": sum(tokens(fact, "input") for fact in closed),
        "tokens_out": sum(tokens(fact, "output") for fact in closed),
        "tokens_cached": sum(tokens(fact, "cache_read.input") for fact in closed),
        "tokens_reasoning": 0,
        "cost": pytest.approx(sum(costs)) if costs else None,
        "cost_of": len(costs),
        "reckoned": pytest.approx(spent / 1e6) if metered else None,
        "reckoned_of": len(metered),
        "no_cost": len(closed) - len(costs) - len(metered),
        "duration": quantiles([fact.outcome.get("duration") for fact in closed]),
        "first_byte": quantiles([fact.outcome.get("time_to_first_byte") for fact in closed]),
    }  # fmt: skip


def tokens(fact: Fact, kind: str) -> int:
    """Tokens of a kind."""
    return fact.outcome.get(f"gen_ai.usage.{kind}_tokens") or 0


def quantiles(values: list[float | None]) -> dict[str, Any]:
    """Percentiles by nearest rank, within the error that is stated for them."""
    seconds = sorted(value for value in values if value is not None)
    return {
        f"p{q}": pytest.approx(
            max(seconds[math.ceil(len(seconds) * q / 100) - 1], 0.001), rel=latency.RELATIVE_ERROR
        ) if seconds else None
        for q in latency.PERCENTILES
    }  # fmt: skip


def check(
    searcher: Searcher, facts: list[Fact], boundary: Boundary, tree: Tree,
    by: list[str], interval: str = "",
) -> tuple[str, ...]:  # fmt: skip
    """The answer is the oracle's; returns where it came from."""
    reason = "ticket" if boundary.content == "with_reason" else ""
    want = wanted(by, interval, latency=True, prices=PRICES)
    answer = searcher.aggregate(tree, boundary, want, reason)
    keys = [name for name in GROUPS if name in by]
    given = {}
    for row in answer.rows:
        key = (row.pop("time", None), *(row.pop(name) for name in keys))
        assert key not in given
        given[key] = row
    expected = oracle(facts, boundary, tree, by, interval)
    if not by and not interval and not expected:
        assert given == {}
    assert given == expected
    return tuple(part[0] for part in answer.parts)


QUESTIONS = st.tuples(
    BOUNDARIES,
    TREES | st.builds(lambda *parts: And(parts), KEPT, WINDOWS),
    BY,
    st.sampled_from(("", *INTERVALS)),
)


@given(world=worlds(), questions=st.lists(QUESTIONS, min_size=8, max_size=8))
@settings(max_examples=25, deadline=None)
def test_sums_are_the_oracles(
    world: tuple[World, list[Fact]],
    questions: list[tuple[Boundary, Tree, list[str], str]],
) -> None:
    """Figures, groups, periods and percentiles within any boundary, of exactly the window."""
    with indexed(world[0]) as searcher:
        for boundary, tree, by, interval in questions:
            if "person" not in boundary.sections and mentions(tree, Match, "email"):
                with pytest.raises(RefusedError):
                    searcher.aggregate(tree, boundary, wanted(by, interval), "ticket")
                continue
            check(searcher, world[1], boundary, tree, by, interval)


@given(world=worlds(), questions=st.lists(QUESTIONS, min_size=6, max_size=6))
@settings(max_examples=8, deadline=None)
def test_cubes_and_rows_say_exactly_the_same(
    world: tuple[World, list[Fact]],
    questions: list[tuple[Boundary, Tree, list[str], str]],
) -> None:
    """Without any cube each answer is the same to the last digit, percentiles included."""
    with indexed(world[0]) as searcher:
        for boundary, tree, by, interval in questions:
            if "person" not in boundary.sections and mentions(tree, Match, "email"):
                continue
            want = wanted(by, interval, latency=True, prices=PRICES)
            fast = searcher.aggregate(tree, boundary, want, "ticket")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cubes, "eligible", lambda *_: [])
                slow = searcher.aggregate(tree, boundary, want, "ticket")
            assert {name for name, *_ in slow.parts} <= {"rows"}
            assert fast.rows == slow.rows
