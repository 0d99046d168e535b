"""Stored times: one form, compared as text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from affidavit.clock import SystemClock, add_seconds, from_unix_us, is_stored, to_unix_us
from tests.world.clock import FakeClock

MOMENTS = st.integers(0, 253402300799_999999)
EVERY = st.integers(-62135596800_000000, 253402300799_999999)


@given(EVERY)
@example(-62135596800_000000)
@example(-30641760000_000000)
def test_stored_times_go_there_and_back(moment: int) -> None:
    """Every microsecond of the years 1 to 9999 has a form of its own, 27 characters long."""
    text = from_unix_us(moment)
    assert len(text) == 27
    assert to_unix_us(text) == moment


@given(EVERY, EVERY)
def test_text_sorts_as_time_does(one: int, other: int) -> None:
    """Comparing stored times as strings is comparing the moments."""
    assert (from_unix_us(one) < from_unix_us(other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.000Z",
        "2026-11-23 12:00:00.000000Z",
        "2026-11-23T12:00:00.000000+",
        "2026-13-23T12:00:00.000000Z",
        "2026-11-23T12:00:00,000000Z",
        "2026-11- 3T12:00:00.000000Z",
        "2026-11-2T12:00:00.0000000Z",
        "２０２６-11-23T12:00:00.000000Z",
        "2026-02-30T12:00:00.000000Z",
        "2026-11-23T24:00:00.000000Z",
        "2026-11-23T12:00:60.000000Z",
        "0000-11-23T12:00:00.000000Z",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    """Only the stored form is a stored time."""
    with pytest.raises(ValueError, match=r"time|month|day|second|year"):
        to_unix_us(text)
    assert not is_stored(text)


@given(MOMENTS)
def test_what_is_recorded_is_of_1970_or_later(moment: int) -> None:
    """``is_stored`` takes every moment that has a form, and none of before."""
    assert is_stored(from_unix_us(moment))
    assert not is_stored("1969-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.000001, "2026-11-23T12:00:00.000001Z"),
        (-0.5, "2026-11-23T11:59:59.500000Z"),
        (86400 * 365.0, "2027-11-23T12:00:00.000000Z"),
    ],
)
def test_seconds_are_added_to_the_microsecond(seconds: float, expected: str) -> None:
    """``add_seconds`` moves a stored time either way."""
    assert add_seconds("2026-11-23T12:00:00.000000Z", seconds) == expected


def test_the_systems_clocks_go_forward() -> None:
    """The wall clock is in the stored form, and the monotonic one never goes back."""
    clock = SystemClock()
    before = clock.monotonic()
    assert from_unix_us(to_unix_us(clock.now())) <= clock.now()
    assert clock.monotonic() >= before


def test_the_tests_clock_moves_only_when_told() -> None:
    """``advance`` moves both clocks, ``jump`` only what people set."""
    clock = FakeClock()
    assert clock.now() == clock.now() == "2026-11-23T12:00:00.000000Z"
    clock.advance(1.5)
    clock.jump(-3600)
    assert (clock.now(), clock.monotonic()) == ("2026-11-23T11:00:01.500000Z", 1.5)
