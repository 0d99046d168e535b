"""Durations of keeping, as people write them: days and years, each of a fixed number of days.

Rules: ``183d`` is 183 days. ``6y`` is as many days as six calendar years can have at most, which is
365.25 for each, rounded up (1y 366, 2y 731, 3y 1096, 6y 2192, 7y 2557): a duty to keep for years
is never cut short by a day. Months have no fixed number of days and are refused; write days.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

_DURATION = re.compile(r"(0|[1-9]\d{0,5})([dy])\Z")
LONGEST = 36_525
"""Days of the longest duration: a hundred years."""


def days_of(duration: str) -> int:
    """Its days; ``ValueError`` if it is not a duration."""
    found = _DURATION.match(duration)
    if found is None:
        raise ValueError("must be a number of days or years (183d, 6y); months have no fixed days")
    count = int(found[1])
    return count if found[2] == "d" else -(-count * 1461 // 4)


def _duration(value: str) -> str:
    if days_of(value) > LONGEST:
        raise ValueError("must be at most a hundred years")
    return value


Duration = Annotated[str, AfterValidator(_duration)]
