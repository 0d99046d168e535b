"""Rollups: sums per day that can be added and taken away."""

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from affidavit.index.rollup import Key, Sums, contribution, merge
from affidavit.index.schema import Row

ROW = Row(
    1, "id", "2026-09-21T23:59:59.999999Z", "2026-09-22T00:00:01.000000Z", "exchange.response",
    "observed", re=0, tenant="acme", actor="act", model="m", status="complete", http=200,
    tokens_in=3, tokens_out=4,
)  # fmt: skip


def test_a_closed_exchange_counts_once_on_the_ledger_day_of_its_response() -> None:
    """The day is of ledger time, not of what the source claims."""
    assert contribution(ROW) == (
        Key("2026-09-21", "acme", "", "act", "m", "complete"), Sums(1, 0, 3, 4, 0, 0),
    )  # fmt: skip


def test_requests_and_late_outcomes_do_not_count() -> None:
    """A request counts when it is answered; an outcome after ``interrupted`` counts nothing."""
    assert contribution(msgspec.structs.replace(ROW, type="exchange.request")) is None
    assert contribution(msgspec.structs.replace(ROW, re=None)) is None


def test_errors_are_other_outcomes_and_http_errors() -> None:
    """A 4xx received whole is ``complete`` and an error all the same."""
    for change in ({"status": "truncated"}, {"http": 429}, {"status": None}):
        entry = contribution(msgspec.structs.replace(ROW, **change))
        assert entry is not None
        assert entry[1].errors == 1


rows = st.builds(
    lambda model, tokens, status: msgspec.structs.replace(
        ROW, model=model, tokens_in=tokens, status=status
    ),
    st.sampled_from(["a", "b", None]),
    st.none() | st.integers(0, 9),
    st.sampled_from(["complete", "truncated"]),
)


@given(kept=st.lists(rows), gone=st.lists(rows))
def test_taking_rows_away_leaves_the_sums_of_the_others(kept: list[Row], gone: list[Row]) -> None:
    """Adding everything and removing some is adding the rest."""
    total = merge([*kept, *gone])
    for key, change in merge([], gone).items():
        total[key] = Sums(*(a + b for a, b in zip(total[key], change, strict=True)))
    assert {key: sums for key, sums in total.items() if sums.requests} == merge(kept)
