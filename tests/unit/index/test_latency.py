"""Histograms: what a percentile is worth, and that nothing is lost in adding and taking away."""

import math

import apsw
import hypothesis.strategies as st
import pytest
from hypothesis import given

from affidavit.index import latency

SECONDS = st.floats(0, 400_000)


@given(st.lists(SECONDS, min_size=1))
def test_a_percentile_is_the_nearest_rank_within_the_stated_error(seconds: list[float]) -> None:
    """Under a millisecond and over the last bound only that is told."""
    histogram = sum(latency.of(one, None) for one in seconds)
    told = latency.percentiles(histogram, "duration")
    ordered = sorted(seconds)
    for percent in latency.PERCENTILES:
        true = ordered[math.ceil(len(ordered) * percent / 100) - 1]
        found = told[f"p{percent}"]
        assert found is not None
        if latency.BOUNDS[0] < true <= latency.BOUNDS[-1]:
            assert abs(found - true) < latency.RELATIVE_ERROR * true
        else:
            assert found == min(max(true, latency.BOUNDS[0]), latency.BOUNDS[-1])
    assert set(latency.percentiles(histogram, "first_byte").values()) == {None}


def test_bounds_rise_by_a_tenth() -> None:
    """The buckets are those of the documentation: from a millisecond to two days."""
    assert latency.BOUNDS[:3] == (0.001, 0.0011, 0.00121)
    assert 2 * 86_400 - 3_600 < latency.BOUNDS[-1] < 2 * 86_400
    pairs = zip(latency.BOUNDS, latency.BOUNDS[1:], strict=False)
    assert all(1.0994 < after / before < 1.1006 for before, after in pairs)


@given(st.lists(st.tuples(SECONDS | st.none(), SECONDS | st.none())), st.data())
def test_taking_away_what_was_added_leaves_the_others(
    pairs: list[tuple[float | None, float | None]], data: st.DataObject
) -> None:
    """Encoded sums and differences are exact, and written in one way only."""
    gone = data.draw(st.sets(st.sampled_from(range(len(pairs))))) if pairs else set()
    kept = [pair for place, pair in enumerate(pairs) if place not in gone]
    encoded = b""
    for pair in pairs:
        encoded = latency.plus(encoded, latency.encode(latency.of(*pair)))
    for place in gone:
        encoded = latency.plus(encoded, latency.encode(-latency.of(*pairs[place])))
    assert encoded == latency.encode(sum(latency.of(*pair) for pair in kept))
    whole = latency.decode(encoded)
    assert sum(latency.counts(whole, "duration")) == sum(pair[0] is not None for pair in kept)
    assert sum(latency.counts(whole, "first_byte")) == sum(pair[1] is not None for pair in kept)


@pytest.mark.parametrize(("cells", "each"), [(1, 1), (300, 40), (600, 255), (3, 300), (2, 70_000)])
def test_sql_adds_histograms_up_as_integers_do(cells: int, each: int) -> None:
    """However many there are, and however wide their counters are."""
    connection = apsw.Connection(":memory:")
    latency.for_reader(connection)
    connection.execute("CREATE TABLE cell (latency)")
    total = 0
    for place in range(cells):
        one = each * latency.of(0.002 * 1.3 ** (place % 40), 0.001 * 1.2 ** (place % 7))
        one += latency.of(200_000, None)
        total += one
        connection.execute("INSERT INTO cell VALUES (?)", (latency.encode(one),))
    connection.execute("INSERT INTO cell VALUES (?)", (b"",))
    merged = connection.execute("SELECT latency_cells(latency) FROM cell").get
    assert latency.decode(merged) == total
    none = connection.execute("SELECT latency_cells(latency) FROM cell WHERE 0").get
    assert latency.decode(none) == 0
