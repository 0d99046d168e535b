"""What retention means for one record: its class, how long it is kept, whether it may go.

Rules:

1. Pure: a configuration, facts and days in, answers out.
2. The first rule that is met gives the class; the ledger's own records are of the class
   ``ledger``. A record keeps the class it was given when it was captured, whatever the rules say
   later.
3. Days are whole days in UTC by ledger time, and a number of days counts from the end of the
   record's day: a record of day D is at its minimum when D + 1 + minimum days have begun, and
   over its maximum in the same way. So a minimum is never short, not by hours either; where there
   is none, a record may go on its own day.
4. A class that no configuration names any more is kept by the rules of the default class, under
   whose name it is told.

Not here: what is on disk and may go (``vault.retention``), and who takes it away.
"""

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from affidavit.config import Config
from affidavit.config_retention import (
    DEFAULT,
    LEDGER,
    Bound,
    Conflict,
    Expires,
    RetentionClass,
)

_LEDGER_TYPES = "ledger."
_NONE = RetentionClass()
TIERS = ("observed", "reported", "imported")


class Kept(NamedTuple):
    """How records of a class are kept.

    At least ``minimum`` days (0: none), at most ``maximum`` (``None``: for ever), ``hot`` of them
    at hand at once; ``expires`` is what goes; ``regimes`` the presets it follows.
    """

    name: str
    minimum: int
    maximum: int | None
    hot: int
    expires: Expires
    regimes: tuple[str, ...]


class Facts(NamedTuple):
    """What is known of a record when it is captured; what is not is ``""`` or empty.

    ``model``: every name by which it is called there. ``label`` and ``jurisdiction``: of the key.
    ``finding``: kinds of what detectors found.
    """

    type: str
    tier: str = "observed"
    tenant: str = ""
    team: str = ""
    model: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    finding: tuple[str, ...] = ()
    jurisdiction: str = ""


class Terms(NamedTuple):
    """Where the numbers of a class come from; ``decision`` if a conflict was decided."""

    kept: Kept
    minimum: Bound
    maximum: Bound | None
    hot: Bound
    decision: Conflict | None


class Dates(NamedTuple):
    """Days by which something changes, as ``YYYY-MM-DD``: each begins at midnight UTC.

    From ``removable`` on it may go; on ``due`` it should (``""``: never); before ``cold`` it is at
    hand at once.
    """

    removable: str
    due: str
    cold: str


def classify(config: Config, facts: Facts) -> str:
    """The class of a new record."""
    number = rule_of(config, facts)
    if facts.type.startswith(_LEDGER_TYPES):
        return LEDGER
    retention = config.retention
    return retention.default_class if number is None else retention.rules[number].into


def rule_of(config: Config, facts: Facts) -> int | None:
    """The place of the rule that gives a record its class; ``None`` if none is met."""
    if facts.type.startswith(_LEDGER_TYPES):
        return None
    for number, conditions in enumerate(config.retention.conditions):
        for name, asked in conditions:
            if not _meets(facts, name, asked):
                break
        else:
            return number
    return None


def _meets(facts: Facts, name: str, asked: Collection[str]) -> bool:
    value = getattr(facts, name)
    for one in (value,) if isinstance(value, str) else value:
        for pattern in asked if one else ():
            if _fits(one, pattern):
                return True
    return False


def _fits(value: str, pattern: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def terms(config: Config, class_name: str) -> Terms:
    """How a class is kept, and why (rule 4 for one that is not known)."""
    classes = config.retention.classes
    name = class_name
    if name not in classes and name not in {DEFAULT, LEDGER, ""}:
        name = config.retention.default_class
    found = classes.get(name, _NONE)
    minimum, maximum, hot = found.wanted
    least, most, at_hand = minimum.days, None if maximum is None else maximum.days, hot.days
    decision = found.conflict if found.conflicts else None
    if decision is not None and most is not None:
        least = most = least if decision.keep == "minimum" else most
        at_hand = min(at_hand, least)
    regimes = tuple(dict.fromkeys(found.regimes))
    kept = Kept(name, least, most, at_hand, found.expires, regimes)
    return Terms(kept, minimum, maximum, hot, decision)


def kept(config: Config, class_name: str) -> Kept:
    """How a class is kept; ``name`` differs from ``class_name`` where that one is not known."""
    return terms(config, class_name).kept


def is_known(config: Config, class_name: str) -> bool:
    """Whether a class is one of this configuration."""
    return kept(config, class_name).name == class_name


def dates(kept: Kept, day: str) -> Dates:
    """The dates of a record of ``day`` (``YYYY-MM-DD``, ledger time)."""
    due = "" if kept.maximum is None else _after(day, kept.maximum)
    least, at_hand = (_after(day, n) if n else day for n in (kept.minimum, kept.hot))
    return Dates(least, due, at_hand)


def removable(kept: Kept, day: str, now: str) -> bool:
    """Whether the minimum of a record of ``day`` is over; ``now`` a stored time or a day."""
    return now[:10] >= dates(kept, day).removable


def due(kept: Kept, day: str, now: str) -> bool:
    """Whether the maximum of a record of ``day`` is over; ``now`` a stored time or a day."""
    return kept.maximum is not None and now[:10] >= _after(day, kept.maximum)


def _after(day: str, days: int) -> str:
    """The first day on which ``day`` and so many whole days after it are over."""
    try:
        return (date.fromisoformat(day) + timedelta(days=days + 1)).isoformat()
    except OverflowError:
        return date.max.isoformat()


class Useless(NamedTuple):
    """A rule that no record can meet, by its place, and why."""

    rule: int
    why: str


def useless(config: Config, types: Collection[str]) -> Iterator[Useless]:
    """The rules that can never give a class; ``types`` are all types of records there are."""
    rules = config.retention.rules
    ordinary = [one for one in types if not one.startswith(_LEDGER_TYPES)]
    for number, rule in enumerate(rules):
        asked = rule.when.conditions()
        before = [i for i in range(number) if _covers(rules[i].when.conditions(), asked)]
        if before:
            yield Useless(number, f"what meets it meets rule {before[0] + 1} before")
        elif not _any_fits(ordinary, asked.get("type")):
            yield Useless(number, "no record that a rule classifies has that type")
        elif not _any_fits(TIERS, asked.get("tier")):
            yield Useless(number, f"a tier is one of {', '.join(TIERS)}")
        elif "finding" in asked:
            yield Useless(number, "nothing in this version records findings")


def _any_fits(values: Collection[str], patterns: Collection[str] | None) -> bool:
    return patterns is None or any(_fits(value, one) for value in values for one in patterns)


def _covers(wide: dict[str, list[str]], narrow: dict[str, list[str]]) -> bool:
    """Whether whatever meets ``narrow`` meets ``wide``."""
    return all(
        name in narrow and all(any(_within(one, other) for other in asked) for one in narrow[name])
        for name, asked in wide.items()
    )


def _within(narrow: str, wide: str) -> bool:
    """Whether every value that fits the one pattern fits the other."""
    return narrow == wide or (wide.endswith("*") and narrow.rstrip("*").startswith(wide[:-1]))
