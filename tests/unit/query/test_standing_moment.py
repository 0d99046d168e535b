"""Moments to come: a date, or so long after now."""

import pytest

from affidavit.errors import ExpressionError
from affidavit.query.standing import parse_moment

NOW = "2026-11-23T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2027-01-01", "2027-01-01T00:00:00.000000Z"), ("90d", "2027-02-21T12:00:00.000000Z"),
     ("2y", "2028-11-23T12:00:00.000000Z"), ("50y", "2076-11-23T12:00:00.000000Z")],
)  # fmt: skip
def test_what_is_ahead(text: str, moment: str) -> None:
    """A year is as long as where records are kept for years."""
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["51y", "999999y", "2 years", "y"])
def test_what_is_none_is_refused(text: str) -> None:
    """Beyond 50 years, or no span."""
    with pytest.raises(ExpressionError):
        parse_moment(text, NOW)
