"""Expressions that stand in a configuration and hold from then on, and moments to come.

Rules: a standing expression is one of the language, without what moves (times reckoned from now),
what is content (words of messages) and what identifies people: it may be erased, and then a
condition on it would no longer hold, and its negation would open what it shut. Errors have the
position, as everywhere. Not here: what becomes of it (``named``).
"""

import re

from affidavit.clock import add_seconds
from affidavit.durations import days_of
from affidavit.query.boundary import section_of
from affidavit.query.language import Parser, read
from affidavit.query.tree import Match, Tree

_PSEUDONYMS = {"actor": "act_", "session": "ses_"}
_SPAN = re.compile(r"(\d{1,6})([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST = days_of("50y") * 86_400


def parse_standing(text: str) -> Tree:
    """The tree of a standing expression; ``ExpressionError`` as ``language.parse``."""
    return read(_Standing(text, ""))


def parse_moment(text: str, now: str) -> str:
    """The stored time of a date or a time, or ``30d``, which is so long after ``now``.

    A year has as many days as where records are kept for years (``durations``): ``2y`` is 731.
    ``ExpressionError`` for anything else, and for what is further off than 50 years.
    """
    ahead = _SPAN.fullmatch(text)
    if ahead is None:
        return Parser(text, now).moment(text, 0)[0]
    count, unit = int(ahead[1]), ahead[2]
    if unit == "y":
        count, unit = days_of(f"{count}y"), "d"
    seconds = count * _SECONDS[unit]
    if seconds > _LONGEST:
        Parser(text, now).fail(f"{text!r} is not a time within 50 years.")
    return add_seconds(now, seconds)


class _Standing(Parser):
    """Refuses what does not stand."""

    def term(self) -> Tree:
        """One condition."""
        start = self.at
        found = super().term()
        if section_of(found) == "content":
            self.fail("Words of messages are no condition here.", start)
        if section_of(found) == "person":
            self.fail("This identifies people, who may be erased.", start)
        begins = _PSEUDONYMS.get(found.field, "") if isinstance(found, Match) else ""
        if isinstance(found, Match) and not found.value.startswith(begins):
            self.fail(f"{found.field}: takes a pseudonym here, which begins with {begins}.", start)
        return found

    def moment(self, given: str, at: int) -> tuple[str, str]:
        """As in any expression, but for what is reckoned from now."""
        if _SPAN.fullmatch(given):
            hint = "Write window: 30d beside it."
            self.fail("Nothing is reckoned from now here.", at, None, hint)
        return super().moment(given, at)
