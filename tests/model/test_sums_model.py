"""Random sums, answered by the program from cubes and rows, and by plain lines from the records.

The oracle is that of ``test_query_model``; it adds up records one by one, knows nothing of cubes
and takes percentiles from the durations themselves.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from affidavit.errors import RefusedError, UsageError
from affidavit.index import latency
from affidavit.index import reader as reading
from affidavit.index.rollup import CUBES
from affidavit.prices import Price
from affidavit.query import boundary as boundaries
from affidavit.query import cubes, search, sums
from affidavit.query.boundary import Boundary
from affidavit.query.search import Searcher
from affidavit.query.sums import GROUPS, INTERVALS, wanted
from affidavit.query.tree import All, And, Has, Match, Moment, Tree
from tests.model.test_query_model import (
    BOUNDARIES,
    TREES,
    Fact,
    indexed,
    mentions,
    visible,
    worlds,
)
from tests.unit.index.made import OUTCOME, SERVED, WHAT, World, placed

OWNER = boundaries.owner("o")
PRICES = {"m": Price(input=1, output=3, cached=0.5, currency="EUR"),
          "m-*": Price(input=2, output=4, currency="USD")}  # fmt: skip
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


@pytest.fixture(scope="module", autouse=True)
def _parts_are_told() -> Iterator[None]:
    """Which cube answered is asserted here, and kept from readers whose rows are fewer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "seen", lambda found, _boundary: found)
        yield


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
    spent: dict[str, float] = {}
    for model in sorted({str(fact.counted) for fact in metered}):  # a price is of sums of a model
        price = PRICES["m" if model == "m" else "m-*"]
        of_model = [fact for fact in metered if fact.counted == model]
        cached = sum(tokens(fact, "cache_read.input") for fact in of_model)
        fresh = max(0, sum(tokens(fact, "input") for fact in of_model) - cached)
        cost = fresh * price.input + cached * (price.cached or price.input)
        cost += sum(tokens(fact, "output") for fact in of_model) * price.output
        spent[price.currency] = spent.get(price.currency, 0) + cost / 1e6
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
        "reckoned": pytest.approx(spent),
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
    by: list[str], interval: str = "", prices: dict[str, Price] | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """The answer is the oracle's; returns where it came from."""
    reason = "ticket" if boundary.content == "with_reason" else ""
    want = wanted(by, interval, latency=True, prices=prices)
    answer = searcher.aggregate(tree, boundary, want, reason)
    keys = [name for name in GROUPS if name in by]
    given = {}
    for row in answer.rows:
        key = (row.pop("time", None), *(row.pop(name) for name in keys))
        assert key not in given
        given[key] = row
    expected = oracle(facts, boundary, tree, by, interval)
    for row in expected.values():
        for name in ("reckoned", "reckoned_of", "no_cost") if prices is None else ():
            del row[name]
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
            check(searcher, world[1], boundary, tree, by, interval, PRICES)


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


def a_week() -> tuple[World, list[Fact]]:
    """Exchanges of two teams over some days, one in each, and one of another tenant."""
    records, facts = [], []
    for index in range(0, 12, 2):
        who = {"tenant": "acme" if index < 10 else "umbra", "team": ("red", "blue")[index % 4 // 2],
               "actor": f"act_{index}"}  # fmt: skip
        served = SERVED | {"gen_ai.response.model": f"m-{index}"}
        for half, kind in enumerate(("exchange.request", "exchange.response")):
            place = index + half
            sections = {"what": served, "outcome": OUTCOME} if half else {"who": who, "what": WHAT}
            record = placed(place, kind, sections, re=index if half else None,
                            seconds=place * 30_000)  # fmt: skip
            records.append(record)
            facts.append(Fact(
                place, kind, record.time, record.record.at, "observed", index if half else None,
                who, {}, served if half else WHAT, OUTCOME if half else {}, None,
                {"gpt-4o", f"m-{index}"}, [], [],
                "openai", f"m-{index}",
            ))  # fmt: skip
    return World(records), facts


MEMBER = boundaries.member("m", "acme", "red")
EDGY = And((
    Moment("time", ">=", "2026-09-22T17:30:00.000001Z"),
    Moment("time", "<", "2026-09-25T00:00:00.000000Z"),
))  # fmt: skip


def test_the_smallest_cube_that_has_everything_is_taken() -> None:
    """By grouping, boundary and periods; the ends of the window from shorter periods and rows."""
    world, facts = a_week()
    with indexed(world) as searcher:
        for by, interval, tree, sources in (
            ([], "", All(), ("hour_team",)),
            (["team"], "day", EDGY, ("rows", "hour_team")),
            (["model"], "", EDGY, ("rows", "hour_model", "day_model")),
            (["actor"], "", EDGY, ("rows", "day_actor")),
            (["actor"], "week", All(), ("week_actor",)),
            (["credential"], "month", All(), ("day_actor",)),
            (["actor", "model"], "", All(), ("rows",)),
            (["team"], "", Match("type", "exchange.", prefix=True), ("hour_team",)),
            (["team"], "", Match("model", "m-2"), ("day_model",)),
            (["status"], "hour", Match("provider", "openai"), ("hour_model",)),
            ([], "", Has("error"), ("rows",)),
        ):
            assert check(searcher, facts, OWNER, tree, by, interval) == sources
        assert check(searcher, facts, MEMBER, All(), ["status"]) == ("hour_team",)
        assert check(searcher, facts, MEMBER, All(), ["model"]) == ("day_model",)
        assert check(searcher, facts, OWNER, All(), ["team"], "", PRICES) == ("day_model",)


def test_a_cube_without_the_boundarys_keys_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: cubes are chosen by grouping alone, so the team is not looked at."""
    world, facts = a_week()
    with indexed(world) as searcher:
        check(searcher, facts, MEMBER, All(), ["model"])
        monkeypatch.setattr(cubes, "eligible", lambda _, by, __: [CUBES[3]])
        with pytest.raises((AssertionError, UsageError)):
            check(searcher, facts, MEMBER, All(), ["model"])


def test_sums_without_the_boundary_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: the reader's tree alone."""
    world, facts = a_week()
    with indexed(world) as searcher:
        monkeypatch.setattr(search, "inject", lambda tree, *_: tree)
        with pytest.raises(AssertionError):
            check(searcher, facts, MEMBER, All(), ["model"])


def test_a_cube_of_too_long_periods_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants: days from a cube of weeks; a window that is widened to whole periods."""
    world, facts = a_week()
    with indexed(world) as searcher:
        monkeypatch.setattr(cubes, "eligible", lambda *_: [CUBES[1]])
        with pytest.raises(AssertionError):
            check(searcher, facts, OWNER, All(), ["actor"], "day")
        monkeypatch.setattr(cubes, "eligible", lambda *_: [CUBES[4]])
        check(searcher, facts, OWNER, EDGY, ["actor"])
        monkeypatch.setattr(cubes, "_period_from", cubes._period_of)
        with pytest.raises(AssertionError):
            check(searcher, facts, OWNER, EDGY, ["actor"])


def test_a_few_rows_answer_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a posting list leads to few rows, no cube is read; the answer is the same."""
    world, facts = a_week()
    with indexed(world) as searcher:
        monkeypatch.setattr(sums, "FEW", 4)
        subject = boundaries.subject("act_4", "acme")
        assert check(searcher, facts, subject, All(), ["team"]) == ("rows",)
        assert check(searcher, facts, OWNER, All(), ["team"]) == ("hour_team",)


@pytest.mark.parametrize(("where", "name"), [(sums, "MAX_GROUPS"), (cubes, "MOST")])
def test_an_answer_has_a_size(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    """More groups than that are refused, before they take up memory, with a way out."""
    world, facts = a_week()
    with indexed(world) as searcher:
        monkeypatch.setattr(where, name, 6)
        check(searcher, facts, OWNER, All(), ["actor"])
        monkeypatch.setattr(where, name, 5)
        with pytest.raises(UsageError, match="lines") as caught:
            searcher.aggregate(All(), OWNER, wanted(["actor"]))
        assert "fewer groups" in caught.value.hint


@pytest.mark.parametrize("priced", [False, True])
def test_no_more_is_read_than_can_be_told(monkeypatch: pytest.MonkeyPatch, *, priced: bool) -> None:
    """A group can be a histogram of some size: with one line too many it is refused, not later."""
    world, _ = a_week()
    with indexed(world) as searcher:
        monkeypatch.setattr(sums, "MAX_GROUPS", 2)
        monkeypatch.setattr(reading, "BATCH", 1)
        taken: list[object] = []
        real = searcher.reader.batches

        def batches(sql: str, parameters: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
            for rows in real(sql, parameters):
                taken.extend(rows)
                yield rows

        monkeypatch.setattr(searcher.reader, "batches", batches)
        want = wanted(["actor"], "hour", latency=True, prices=PRICES if priced else None)
        with pytest.raises(UsageError, match="lines"):
            searcher.aggregate(All(), OWNER, want)
        assert len(taken) == 3
