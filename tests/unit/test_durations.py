"""Durations of keeping: days and years, nothing that has no fixed number of days."""

from calendar import isleap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from affidavit.durations import Duration, days_of


class _One(BaseModel):
    value: Duration


@pytest.mark.parametrize(
    ("text", "days"),
    [("0d", 0), ("1d", 1), ("183d", 183), ("1y", 366), ("2y", 731), ("6y", 2192), ("7y", 2557)],
)
def test_what_durations_are_in_days(text: str, days: int) -> None:
    """As the module says."""
    assert days_of(_One(value=text).value) == days


@pytest.mark.parametrize("text", ["", "6m", "1.5y", "-1d", "01d", "d", "7", "7 d", "1w", "101y"])
def test_anything_else_is_refused(text: str) -> None:
    """Months most of all: nobody knows how many days they have."""
    with pytest.raises(ValidationError, match="must be"):
        _One(value=text)


@given(st.integers(1900, 2300), st.integers(1, 100))
def test_no_row_of_calendar_years_is_longer(first: int, count: int) -> None:
    """A duty to keep for years is never short by a day, whenever it begins."""
    real = sum(366 if isleap(year) else 365 for year in range(first, first + count))
    assert real <= days_of(f"{count}y") <= real + 3
