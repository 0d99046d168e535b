"""Cubes: sums per period that can be added and taken away."""

import operator

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from affidavit.index import latency, rollup
from affidavit.index.rollup import CUBES, Cells, Change, Sums, contribution, merge
from affidavit.index.schema import Row

ROW = Row(
    1, "id", "2026-09-27T23:59:59.999999Z", "2026-09-28T00:00:01.000000Z", "exchange.response",
    "observed", re=0, tenant="acme", actor="act", model="m", models=("alias", "m"),
    status="complete", http=200, tokens_in=3, tokens_out=4, duration=1.5,
)  # fmt: skip


def sums(row: Row) -> Sums:
    """What a row adds."""
    found = contribution(row)
    assert found is not None
    return Sums(*found)


def test_a_closed_exchange_counts_once_in_each_cube_at_the_ledger_time_of_its_response() -> None:
    """The period is of ledger time, not of what the source claims; weeks begin on Monday."""
    assert sums(ROW) == Sums(1, tokens_in=3, tokens_out=4, metered=1)
    keys = {cube.name: next(iter(cells)) for cube, cells in zip(CUBES, merge([ROW]), strict=True)}
    assert keys == {
        "hour_team": ("2026-09-27T23", "exchange.response", "acme", "", "complete"),
        "week_actor": ("2026-09-21", "exchange.response", "acme", "", "act", "", "complete"),
        "day_model": ("2026-09-27", "exchange.response", "acme", "", "", '["alias","m"]', "m",
                      "complete"),
        "hour_model": ("2026-09-27T23", "exchange.response", "acme", "", '["alias","m"]', "m",
                       "complete"),
        "day_actor": ("2026-09-27", "exchange.response", "acme", "", "act", "", "complete"),
    }  # fmt: skip


def test_requests_and_late_outcomes_do_not_count() -> None:
    """A request counts when it is answered; an outcome after ``interrupted`` counts nothing."""
    assert contribution(msgspec.structs.replace(ROW, type="exchange.request")) is None
    assert contribution(msgspec.structs.replace(ROW, re=None)) is None


def test_errors_are_other_outcomes_and_http_errors() -> None:
    """A 4xx received whole is ``complete`` and an error all the same."""
    for change in ({"status": "truncated"}, {"http": 429}, {"status": None}):
        assert sums(msgspec.structs.replace(ROW, **change)).errors == 1
    assert sums(ROW).errors == 0


def test_denials_are_of_exchanges_and_of_refused_calls() -> None:
    """A refused call is no request; an exchange that policy denied is one."""
    refused = Row(2, "id", ROW.time, ROW.at, "access.denied", "observed", status="denied")
    assert sums(refused) == Sums(denials=1)
    for change in ({"status": "denied"}, {"decision": "deny"}):
        found = sums(msgspec.structs.replace(ROW, **change))
        assert (found.requests, found.denials) == (1, 1)


def test_a_reported_cost_is_summed_apart_from_what_a_price_applies_to() -> None:
    """Tokens whose cost is known are told from those it must be reckoned for."""
    costed = sums(msgspec.structs.replace(ROW, cost=0.00014))
    assert costed[7:] == (0, 140_000, 1, 3, 4, 0)
    unknown = sums(msgspec.structs.replace(ROW, tokens_in=None, tokens_out=None))
    assert (unknown.metered, unknown.costed) == (0, 0)


rows = st.builds(
    lambda model, tokens, status, cost, seconds, hour: msgspec.structs.replace(
        ROW, model=model, tokens_in=tokens, status=status, cost=cost, duration=seconds,
        time=f"2026-09-2{hour}T0{hour}:00:00.000000Z",
    ),
    st.sampled_from(["a", "b", None]),
    st.none() | st.integers(0, 9),
    st.sampled_from(["complete", "truncated"]),
    st.none() | st.floats(0, 1_000_000),
    st.none() | st.floats(0, 1_000_000),
    st.integers(0, 9),
)  # fmt: skip


@given(kept=st.lists(rows, max_size=8), gone=st.lists(rows, max_size=8))
@settings(max_examples=40)
def test_taking_rows_away_leaves_the_sums_of_the_others(kept: list[Row], gone: list[Row]) -> None:
    """Adding everything and removing some is adding the rest, to the last billionth."""
    for total, change, rest in zip(
        merge([*kept, *gone]), merge([], gone), merge(kept), strict=True
    ):
        assert plus(total, change) == rest


def plus(total: Cells, changes: Cells) -> Cells:
    """What a table does with changes."""
    found = dict(total)
    for key, change in changes.items():
        known = found[key]
        found[key] = Change(
            tuple(map(operator.add, known.sums, change.sums)),
            latency.plus(known.latency, change.latency),
        )
    return {key: change for key, change in found.items() if change.sums[0]}


def test_every_cube_has_the_keys_of_a_boundary() -> None:
    """Tenants in all, teams and actors each in cubes of several lengths."""
    assert all({"type", "tenant", "status"} <= set(cube.keys) for cube in CUBES)
    assert rollup.week("2026-09-28") == "2026-09-28"
    assert rollup.week("2027-01-01") == "2026-12-28"
