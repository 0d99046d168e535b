"""Retention as the configuration says it: classes of records, and rules that give one to each.

Rules: a class combines the presets it names with limits of its own, at least the longest minimum
and at most the shortest maximum; where the one is longer than the other, nothing is chosen unless
``conflict`` says what, why and by whom, and the class is refused. Whatever names a preset or a
class names one that there is. Not here: what of it holds for a record (``retention``).
"""

import difflib
import re
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from affidavit.durations import Duration, days_of
from affidavit.presets import Preset, presets

DEFAULT = "default"
LEDGER = "ledger"
"""The class of the ledger's own records, which no rule gives. Both are there without being named,
and without limits."""
BUILT_IN = (DEFAULT, LEDGER)

Expires = Literal["content", "sections", "leaves"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def nearest(name: str, known: Collection[str], what: str) -> str:
    """What is said of a name that is not ``known``, which never repeats the name itself."""
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"names no {what}; {meant}known are {', '.join(sorted(known))}"


def _class_name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError("is not usable as the name of a class")
    return value


def _preset(value: str) -> str:
    if value not in presets():
        raise ValueError(nearest(value, presets(), "preset"))
    return value


def _pattern(value: str) -> str:
    if not value or "*" in value[:-1]:
        raise ValueError("must be a value, or its beginning with * at the end")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\n\r]*$")]
ClassName = Annotated[str, AfterValidator(_class_name)]
PresetName = Annotated[str, AfterValidator(_preset)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Patterns = Annotated[list[Pattern], Field(min_length=1)]


class Bound(NamedTuple):
    """A number of days, and what says so: presets by name, the class itself as ``""``."""

    days: int
    by: tuple[str, ...]


class Decision(_Section):
    """Who decided something, and why; it is put on record."""

    reason: Line
    decided_by: Line


class Conflict(Decision):
    """What holds where a minimum is longer than a maximum: who decided it, and why."""

    keep: Literal["minimum", "maximum"]


class Shortened(Decision):
    """A minimum that was ``before`` is ``to`` from now on: who decided it, and why."""

    before: Duration = Field(alias="from")
    to: Duration

    def says(self, before: int, to: int) -> bool:
        """Whether that is the step from so many days to so many."""
        return (days_of(self.before), days_of(self.to)) == (before, to)


class RetentionClass(_Section):
    """How records of one class are kept.

    At least ``minimum``, no longer than ``maximum``, ``hot`` of it at hand at once, and what the
    ``regimes`` (names of presets) want. ``expires``: what goes, the content, all sections with it,
    or the ledger's entries too. ``shortened``: who decided that the minimum is shorter than it was
    in an earlier configuration, by that one step, without which none that says so starts.
    """

    regimes: list[PresetName] = Field(default_factory=list)
    minimum: Duration | None = None
    maximum: Duration | None = None
    hot: Duration | None = None
    expires: Expires = "content"
    conflict: Conflict | None = None
    shortened: Shortened | None = None

    @property
    def wanted(self) -> tuple[Bound, Bound | None, Bound]:
        """Longest minimum, shortest maximum and longest hot period, before any decision."""
        sources: list[tuple[str, RetentionClass | Preset]] = [("", self)]
        sources += [(name, presets()[name]) for name in dict.fromkeys(self.regimes)]
        minimum = _bound(((by, one.minimum) for by, one in sources), longest=True)
        hot = _bound(((by, one.hot) for by, one in sources), longest=True)
        maximum = _bound(((by, one.maximum) for by, one in sources), longest=False)
        return minimum or Bound(0, ()), maximum, hot or Bound(0, ())

    @property
    def conflicts(self) -> bool:
        """Whether a minimum is longer than a maximum."""
        minimum, maximum, _ = self.wanted
        return maximum is not None and minimum.days > maximum.days

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        minimum, maximum, hot = self.wanted
        if maximum is not None and self.conflicts and self.conflict is None:
            raise ValueError(
                f"must be kept {said(minimum)} and no longer than {said(maximum)}: nobody has "
                "decided which; conflict: {keep: minimum or maximum, reason, decided_by} does"
            )
        if hot.days > minimum.days:
            raise ValueError(
                f"has to be at hand for {said(hot)} and need be kept for {said(minimum)} only: "
                "the minimum must not be shorter than hot"
            )
        return self


def _bound(found: Iterable[tuple[str, str | None]], *, longest: bool) -> Bound | None:
    days = [(days_of(text), by) for by, text in found if text is not None]
    if not days:
        return None
    best = (max if longest else min)(count for count, _ in days)
    return Bound(best, tuple(by for count, by in days if count == best))


def said(bound: Bound) -> str:
    """A number of days and where it comes from, for people."""
    sources = [by or "the class itself" for by in bound.by]
    days = f"{bound.days} day{'' if bound.days == 1 else 's'}"
    return f"{days} ({', '.join(sources)})" if sources else days


class When(_Section):
    """What a rule asks of a record: all of what is given, each by any of its values.

    A value is exact, or the beginning of one with ``*`` at its end.
    """

    type: Patterns | None = None
    tier: Patterns | None = None
    tenant: Patterns | None = None
    team: Patterns | None = None
    model: Patterns | None = None
    label: Patterns | None = None
    finding: Patterns | None = None
    jurisdiction: Patterns | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {key: _listed(value) for key, value in data.items()}

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.conditions():
            raise ValueError("asks nothing; what no rule meets has the default_class")
        return self

    def conditions(self) -> dict[str, list[str]]:
        """The values by what they are asked of."""
        return {name: values for name, values in self if values is not None}


class Rule(_Section):
    """Records that meet ``when`` have this class."""

    when: When
    into: ClassName = Field(alias="class")


class Retention(_Section):
    """The class that each new record gets, how each is kept, and when leaves may be pruned.

    Of the ``rules`` the first that is met counts; a record that meets none gets ``default_class``.
    ``prune_after_days``: leaves of the ledger are kept at least so long; without it, for ever.
    """

    default_class: str = DEFAULT
    prune_after_days: int | None = Field(default=None, ge=1, le=36_500)
    classes: dict[ClassName, RetentionClass] = Field(default_factory=dict)
    rules: list[Rule] = Field(default_factory=list)

    @cached_property
    def conditions(self) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]:
        """Of each rule what it asks: names of facts, and the values of which any will do."""
        asked = (rule.when.conditions() for rule in self.rules)
        return tuple(tuple((name, tuple(any_)) for name, any_ in one.items()) for one in asked)

    @property
    def names(self) -> list[str]:
        """Every class that a record can be given."""
        return sorted({DEFAULT, *self.classes} - {LEDGER})

    @model_validator(mode="after")
    def _classes_are_there(self) -> Self:
        named = [("default_class", self.default_class)]
        named += [(f"rules.{i}.class", rule.into) for i, rule in enumerate(self.rules)]
        for where, name in named:
            if name == LEDGER:
                raise ValueError(f"in {where} names the class of the ledger's own records")
            if name not in self.names:
                raise ValueError(f"in {where} {nearest(name, self.names, 'class')}")
        return self

    @model_validator(mode="after")
    def _leaves_may_go(self) -> Self:
        for name, one in self.classes.items() if self.prune_after_days is not None else ():
            least = one.wanted[0]
            if one.expires != "leaves":
                raise ValueError(
                    f"in prune_after_days takes leaves of the class {name}, which keeps them "
                    f"(expires: {one.expires})"
                )
            if least.days > (self.prune_after_days or 0):
                raise ValueError(
                    f"in prune_after_days is shorter than the minimum of the class {name}, "
                    f"{said(least)}"
                )
        return self
