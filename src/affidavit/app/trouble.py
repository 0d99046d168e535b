"""What goes wrong with somebody outside: kept for the status, told once, and left alone a while.

Rules: an error is told on stderr when it begins or changes, and when it is over; after each failure
in a row whoever failed is left alone for longer. An ``alarm`` is an error that does not pass by
waiting: the log outside is another one than here, or a monitor has found a broken rule.
"""

import sys

from affidavit.clock import Clock
from affidavit.errors import AffidavitError

PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds of rest after the first, second, … failure in a row."""


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write(f"sequencer: {text}\n")


class Trouble:
    """The last error of ``who``, ``""`` for none, and until when it is left alone."""

    def __init__(self, clock: Clock, who: str) -> None:
        self.error = ""
        self.alarm = False
        self._clock = clock
        self._who = who
        self._failures = 0
        self._until = 0.0

    @property
    def rests(self) -> bool:
        """Whether it is too early to try again."""
        return self._clock.monotonic() < self._until

    def over(self) -> None:
        """It worked."""
        if self.error:
            say(f"{self._who}: works again.")
        self.error, self.alarm, self._failures, self._until = "", False, 0, 0.0

    def failed(self, error: Exception) -> None:
        """It did not."""
        known = isinstance(error, AffidavitError)
        sentence = str(error) if known else f"{type(error).__name__}, which was not foreseen."
        if sentence != self.error:
            say(f"{self._who}: {sentence}")
        self.error = sentence
        reason = error.detail.get("reason") if isinstance(error, AffidavitError) else None
        self.alarm = reason in {"ahead", "fork", "rule"}
        self._until = self._clock.monotonic() + PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
