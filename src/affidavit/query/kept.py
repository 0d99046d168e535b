"""How long one record is kept, and why: its class, the rule, the limits, what holds it.

Rules: the class is the one under which the vault keeps the record, given when it was captured.
The rule is looked for again, in the configuration in force, from what the record's own sections
say; a response's class is that of its request, so the rule is looked for there. It is told only to
who may see the sections it is found by, and with it whether the configuration has changed since.
Not here: who may know of which holds, and that the reading is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from affidavit import retention
from affidavit.config import Config
from affidavit.config_retention import Bound
from affidavit.errors import AffidavitError, CorruptError, NotFoundError, PrunedError
from affidavit.index.schema import Row
from affidavit.presets import presets
from affidavit.query.boundary import Boundary
from affidavit.query.search import Searcher
from affidavit.query.tree import Tree
from affidavit.record.classes import facts_of
from affidavit.record.model import SECTIONS
from affidavit.vault.reader import NOT_THERE, REMOVED
from affidavit.vault.retention import State, state_of

_SEEN_BY = ("who", "what", "control")


class Buckets(Protocol):
    """What is needed of ``vault.reader.VaultReader``."""

    def bucket(self, index: int, tenant: str | None = None) -> tuple[str, str, str] | None:
        """Tenant, class and day under which a record is kept; ``None`` if it is not there."""

    def sections(self, index: int, tenant: str | None = None) -> dict[str, Any]:
        """The sections that can be read, by name."""

    def missing(self, index: int, tenant: str | None = None) -> dict[str, str]:
        """Why sections and parts that were recorded cannot be read: name → one sentence."""


class Regime(msgspec.Struct, frozen=True):
    """A preset that a class follows; ``review`` says who has looked at it."""

    name: str
    title: str
    article: str
    review: str


class Limit(msgspec.Struct, frozen=True):
    """A number of days and what says so: presets by name, ``""`` for the class itself."""

    days: int
    by: tuple[str, ...]


class Given(msgspec.Struct, frozen=True):
    """Why the class: ``rule`` counts from 1, 0 if none is met; ``when`` is what it asks.

    ``today`` is the class that the record would be given now; ``unchanged`` whether the
    configuration is the one under which it was captured, ``None`` if the record does not say.
    """

    rule: int
    when: dict[str, list[str]]
    today: str
    unchanged: bool | None


class Holding(msgspec.Struct, frozen=True):
    """A hold that keeps the record, for a ``matter``."""

    id: str
    matter: str
    owner: str
    placed: str


class Kept(msgspec.Struct, frozen=True):
    """How one record is kept.

    ``day`` is that of the ledger; ``removable``, ``due`` and ``cold`` are the days on which its
    minimum, maximum and hot period are over (``due`` ``""``: it has no maximum). ``known``: whether
    the configuration names the class; ``follows`` the class whose limits these are. ``decision``
    says which side holds of a contradiction, and who decided it. ``given`` is ``None`` where the
    reader may not see by what. ``holds`` is ``None`` for who may not know of holds.
    """

    id: str
    index: int
    type: str
    time: str
    day: str
    retention_class: str
    known: bool
    follows: str
    expires: str
    state: State
    removable: str
    due: str
    cold: str
    minimum: Limit
    maximum: Limit | None
    hot: Limit
    regimes: tuple[Regime, ...]
    decision: dict[str, str] | None
    given: Given | None
    holds: tuple[Holding, ...] | None
    erased: tuple[str, ...]


class Hold(NamedTuple):
    """A hold in force, and what it keeps."""

    holding: Holding
    tree: Tree


def explain(
    searcher: Searcher,
    vault: Buckets,
    config: Config,
    name: str,
    boundary: Boundary,
    now: str,
    holds: Sequence[Hold] | None,
) -> Kept:
    """How the record of an id or index is kept, as of ``now``.

    ``NotFoundError`` if there is none within the boundary, or if the vault keeps nothing of it.
    """
    row = searcher.locate(name, boundary)
    bucket = None if row is None else vault.bucket(row.idx, row.tenant)
    if row is None:
        raise NotFoundError(f"There is no record {name} within what you may see.")
    if bucket is None:
        raise NotFoundError(f"Of record {name} nothing is kept but its leaf.")
    terms = retention.terms(config, bucket[1])
    kept, day = terms.kept, bucket[2]
    dates = retention.dates(kept, day)
    decision = terms.decision
    return Kept(
        id=row.id, index=row.idx, type=row.type, time=row.time, day=day,
        retention_class=bucket[1], known=kept.name == bucket[1], follows=kept.name,
        expires=kept.expires, state=state_of(kept, day, now), removable=dates.removable,
        due=dates.due, cold=dates.cold, minimum=_limit(terms.minimum),
        maximum=None if terms.maximum is None else _limit(terms.maximum), hot=_limit(terms.hot),
        regimes=tuple(_regime(one) for one in kept.regimes),
        decision=None if decision is None else decision.model_dump(),
        given=_given(searcher, vault, config, row, boundary),
        holds=None if holds is None else _holding(searcher, row, boundary, holds),
        erased=gone_of_it(vault, row.idx),
    )  # fmt: skip


def gone_of_it(vault: Buckets, index: int) -> tuple[str, ...]:
    """The sections of which the vault says that they are gone; none of what it only has not got."""
    try:
        missing = vault.missing(index)
    except (CorruptError, PrunedError):
        return ()
    lost = (NOT_THERE, REMOVED)
    return tuple(name for name in SECTIONS if missing.get(name, NOT_THERE) not in lost)


def _given(
    searcher: Searcher, vault: Buckets, config: Config, row: Row, boundary: Boundary
) -> Given | None:
    if not all(name in boundary.sections for name in _SEEN_BY):
        return None
    asked = row if row.re is None else searcher.reader.row(row.re)
    if asked is None:
        return None
    try:
        sections = vault.sections(asked.idx, asked.tenant)
    except AffidavitError:  # damaged or pruned: whoever is shown the record hears of it
        return None
    who, what = _of(sections, "who"), _of(sections, "what")
    facts = facts_of(asked.type, asked.tier, who, _models(what), _of(sections, "control"))
    number = retention.rule_of(config, facts)
    rules = config.retention.rules
    when = {} if number is None else rules[number].when.conditions()
    captured = _config_hash(_of(sections, "context"))
    return Given(
        0 if number is None else number + 1,
        when,
        retention.classify(config, facts),
        None if captured is None else captured == config.hash(),
    )


def _models(what: Mapping[str, Any]) -> tuple[str, ...]:
    """The models whose chains a request or a change joins, as its section ``what`` has them."""
    found = [what.get("gen_ai.request.model")]
    target = what.get("target")
    if isinstance(target, Mapping) and target.get("kind") in ("model", "alias"):
        found.append(target.get("name"))
    found += what.get("models") or ()
    return tuple(dict.fromkeys(str(one) for one in found if one))


def _config_hash(context: Mapping[str, Any]) -> str | None:
    for name in ("gateway", "console"):
        value = context.get(name)
        if isinstance(value, Mapping) and isinstance(value.get("config_hash"), str):
            return str(value["config_hash"])
    return None


def _of(sections: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = sections.get(name)
    return value if isinstance(value, Mapping) else {}


def _holding(
    searcher: Searcher, row: Row, boundary: Boundary, holds: Sequence[Hold]
) -> tuple[Holding, ...]:
    """The holds that keep a record."""
    both = halves(searcher, [row.idx])
    return tuple(
        one.holding for one in holds if held(searcher, boundary, [row.idx], both, one.tree)
    )


def halves(searcher: Searcher, indexes: Iterable[int]) -> dict[int, int]:
    """The other half of each of these records, where the index knows one."""
    found: dict[int, int] = {}
    for index in indexes:
        row = searcher.reader.row(index)
        other = None if row is None else row.re if row.re is not None else row.answered
        if other is not None:
            found[index] = other
    return found


def held(
    searcher: Searcher, boundary: Boundary, indexes: Sequence[int], both: Mapping[int, int],
    tree: Tree,
) -> list[int]:  # fmt: skip
    """Which of these records a hold with this tree keeps; ``both`` are their ``halves``.

    An exchange is held whole, by either half.
    """
    kept = set(searcher.within(sorted({*indexes, *both.values()}), boundary._replace(rows=tree)))
    return [index for index in indexes if index in kept or both.get(index) in kept]


def _limit(bound: Bound) -> Limit:
    return Limit(bound.days, bound.by)


def _regime(name: str) -> Regime:
    preset = presets()[name]
    return Regime(name, preset.title, preset.article, preset.review)
