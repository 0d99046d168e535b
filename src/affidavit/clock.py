"""Time: the only user of the system's clocks.

Rules: all stored times are UTC text with six decimals and ``Z`` (27 characters), compared as
strings; durations are seconds as float from the monotonic clock. A ``Clock`` is passed to
whoever needs one, so tests decide what time it is. Not here: ledger time (never decreasing),
which is the sequencer's.
"""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_in_form = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
).fullmatch
_BEGINNING = "1970"


class Clock(Protocol):
    """What the program may ask about time."""

    def now(self) -> str:
        """Wall clock, UTC, ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> str:
        """Wall clock, UTC, six decimals and ``Z``."""
        return from_unix_us(time.time_ns() // 1000)  # noqa: TID251 - this module is the clock

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()


def from_unix_us(microseconds: int) -> str:
    """Text of a count of microseconds since 1970 (less than 0 before that), UTC; years 1 to 9999.

    ``ValueError`` or ``OverflowError`` for what is further off.
    """
    seconds, micros = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="seconds")  # strftime writes the year 999 in three digits


def is_stored(text: str) -> bool:
    """Whether this is a stored time, of a moment that exists, and from 1970 on.

    What is recorded has no other: a verifier refuses a leaf that is dated 30 February.
    """
    try:
        return text >= _BEGINNING and bool(_moment(text))
    except ValueError:
        return False


def to_unix_us(text: str) -> int:
    """Microseconds since 1970 of a stored time, less than 0 before that.

    ``ValueError`` if it is not in the stored form, or there is no such moment.
    """
    moment = _moment(text).replace(tzinfo=UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + moment.microsecond


def _moment(text: str) -> datetime:
    """What a stored time says; ``ValueError`` as in ``to_unix_us``."""
    if _in_form(text) is None:
        raise ValueError(f"not a stored time: {text!r}")
    return datetime.fromisoformat(text[:-1])


def add_seconds(text: str, seconds: float) -> str:
    """The stored time ``seconds`` later (or earlier, if negative), to the microsecond."""
    return from_unix_us(to_unix_us(text) + round(seconds * 1_000_000))
