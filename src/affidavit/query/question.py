"""From an expression to something that can be proved: chains, a window, and conditions.

Rules: every match of the expression lies in the union of the chains, so nothing is lost by
walking these chains alone. One part of each ``And`` is enough to choose them; every branch of an
``Or`` has to give some. What the chains and the window do not say becomes a condition, which a
verifier evaluates on the disclosed sections; what no section says (words in content, for one) is
*stated* in the asker's words and decided by nobody. An expression that no chain holds is not
proved, and ``not_proved`` says why. Not here: the proof (``completeness``), what the reader may
see (``boundary``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from affidavit.clock import from_unix_us, to_unix_us
from affidavit.errors import UsageError
from affidavit.query.language import unparse
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Nothing,
    Number,
    Or,
    Tree,
    conjuncts,
    window,
)
from affidavit.record.model import TYPES, Chain

MAX_CHAINS = 256
"""An answer walks at most this many chains."""

Condition = list[Any]
"""A JSON list: a word and what it applies to (docs/format/evidence.md, "Conditions")."""

_DRIVERS = ("session", "actor", "credential", "tool", "source", "values", "model", "type")
"""Fields that are chains, those that usually hold fewer records first."""

_DIMENSION = {"credential": "key"}
_PSEUDONYM = {"actor": "act_", "session": "ses_"}
_SECTION = {
    "actor": ("who.actor",),
    "session": ("who.session",),
    "credential": ("who.credential",),
    "role": ("who.role",),
    "team": ("who.team",),
    "tenant": ("who.tenant",),
    "kind": ("who.kind",),
    "group": ("who.groups",),
    "assurance": ("who.assurance",),
    "purpose": ("who.purpose",),
    "provider": ("what.provider", "what.gen_ai.provider.name"),
    "api": ("what.api",),
    "operation": ("what.gen_ai.operation.name",),
    "path": ("what.url.path",),
    "trace": ("what.trace_id",),
    "request_id": ("what.request_id",),
    "tool": ("what.tools_called", "what.gen_ai.tool.name"),
    "source": ("what.sources", "what.gen_ai.data_source.id"),
    "decision": ("control.decision",),
    "status": ("outcome.outcome",),
    "finish": ("outcome.gen_ai.response.finish_reasons",),
    "tokens_in": ("outcome.gen_ai.usage.input_tokens",),
    "tokens_out": ("outcome.gen_ai.usage.output_tokens",),
    "duration": ("outcome.duration",),
    "first_byte": ("outcome.time_to_first_byte",),
    "bytes": ("outcome.bytes_received",),
    "cost": ("outcome.cost",),
    "http": ("outcome.http.response.status_code",),
    "type": ("type",),
    "tier": ("tier",),
    "id": ("id",),
    "index": ("index",),
}
_HAS = {
    "purpose": "who.purpose",
    "session": "who.session",
    "trace": "what.trace_id",
}
_SERVED = "what.gen_ai.response.model"
_MODEL = ("what.gen_ai.request.model", "what.model_resolved", _SERVED, "what.models")
_CHANGED = {"actor": ("what.actor",), "credential": ("what.key", "what.identity")}
"""Where a change says whose actor or key it changed."""

Resolve = Callable[[str, str], Sequence[str]]
"""(field, value) → the pseudonyms it stands for, for ``actor`` and ``session``."""


class Question(msgspec.Struct, frozen=True):
    """What an answer is about.

    ``chains``: their union holds every match; empty if ``not_proved`` says why nothing is
    proved. ``since`` and ``until``: both inclusive, ``""`` for from the beginning and until now.
    ``source_time``: the window is over the time the source claims. ``conditions``: all have to
    hold. ``count``: only how many is asked. ``expression``: the words.
    """

    expression: str
    chains: tuple[Chain, ...] = ()
    since: str = ""
    until: str = ""
    source_time: bool = False
    conditions: tuple[Condition, ...] = ()
    count: bool = False
    not_proved: str = ""


def question(tree: Tree, tenants: Sequence[str], resolve: Resolve | None = None) -> Question:
    """What has to be proved for ``tree``, asked about ``tenants``: those the reader may ask about.

    ``tenant:`` in the expression narrows them down, and never leads to another one.
    ``""`` among ``tenants`` stands for records of no tenant: these are in chains of types alone.
    ``resolve`` turns an actor or session that is no pseudonym into pseudonyms; that these are
    the right ones is asserted, not proved. ``UsageError`` if the window ends before it begins.
    """
    words = unparse(tree)
    parts = list(conjuncts(tree))
    named = {p.value for p in parts if isinstance(p, Match) and p.field == "tenant"}
    within = sorted(set(tenants) & named if named else set(tenants))
    chains, rest = _drive(parts, within, resolve)
    if not chains and all(_is_everything(part) for part in parts):
        # Every record is in the chain of its type, so all of these together are everything.
        chains = {Chain(tenant, "type", name) for tenant in within for name in TYPES}
    times = "time"
    if window(tree) == (None, None) and window(tree, "source_time") != (None, None):
        times = "source_time"
    since, before = window(tree, times)
    rest = [part for part in rest if not (isinstance(part, Moment) and part.field == times)]
    until = "" if before is None else from_unix_us(max(to_unix_us(before) - 1, 0))
    if since and until and since > until:
        raise UsageError("The window of the question ends before it begins.")
    why = ""
    if not within:
        why = "the expression names no tenant that the reader may ask about"
    elif not chains:
        why = "the expression names no chain (a model, actor, session, key, tool, source, type"
        why += " or all values of one of these)"
    elif len(chains) > MAX_CHAINS:
        why = f"the expression needs {len(chains)} chains, and {MAX_CHAINS} are the limit"
    return Question(
        expression=words,
        chains=() if why else tuple(sorted(chains)),
        since=since or "",
        until=until,
        source_time=times == "source_time",
        conditions=() if why else tuple(_condition(part, resolve) for part in rest),
        not_proved=why,
    )


def unproved(asked: Question, why: str) -> Question:
    """The same question, of which nothing is proved, because ``why``."""
    return msgspec.structs.replace(asked, chains=(), conditions=(), not_proved=why)


def counting(asked: Question) -> Question:
    """The question how many records there are, of which none has to be shown.

    ``UsageError`` if that cannot be told without showing them.
    """
    why = ""
    if asked.not_proved:
        why = f"of this question nothing is proved: {asked.not_proved}"
    elif asked.conditions:
        why = "what it asks beside the chain is decided on records that are shown"
    elif asked.source_time:
        why = "source times are looked up in records that are shown"
    if why:
        raise UsageError(
            f"This cannot be counted without showing it: {why}.",
            hint="One model, actor, session, key, tool, source or type, with since: and until:.",
        )
    return msgspec.structs.replace(asked, count=True)


def sampling(asked: Question) -> None:
    """``UsageError`` if no sample of the answer can be drawn that others could draw again."""
    why = f"of this question nothing is proved: {asked.not_proved}" if asked.not_proved else ""
    if _stated(asked.conditions):
        why = "part of it is decided by no section, so nobody could tell what it is drawn from"
    if why:
        raise UsageError(
            f"No sample of this can be drawn: {why}.",
            hint="One model, actor, session, key, tool, source or type, with since: and until:.",
        )


def _stated(conditions: Sequence[Condition]) -> bool:
    """Whether a condition is in the asker's words."""
    return any(
        word == "stated" or (word in {"and", "or", "not", "half"} and _stated(rest))
        for word, *rest in conditions
    )


def sections_needed(conditions: Sequence[Condition]) -> frozenset[str]:
    """The sections on which ``conditions`` are evaluated."""
    found: set[str] = set()
    for word, *rest in conditions:
        if word in {"and", "or", "not", "half"}:
            found |= sections_needed(rest)
        elif word != "stated" and "." in rest[0]:
            found.add(rest[0].partition(".")[0])
    return frozenset(found)


def _drive(
    parts: list[Tree], tenants: Sequence[str], resolve: Resolve | None
) -> tuple[set[Chain], list[Tree]]:
    """The chains of the best part, and the parts that are left to be conditions."""
    best: tuple[int, Tree, set[Chain]] | None = None
    for part in parts:
        chains = _chains(part, tenants, resolve)
        rank = _rank(part)
        if chains and (best is None or rank < best[0]):
            best = (rank, part, chains)
    if best is None:
        return set(), parts
    return best[2], [part for part in parts if part is not best[1]]


def _is_everything(part: Tree) -> bool:
    """Whether the part leaves out no record but by its time or tenant."""
    return isinstance(part, All | Moment) or (isinstance(part, Match) and part.field == "tenant")


def _rank(part: Tree) -> int:
    if isinstance(part, Match) and part.field in _DRIVERS:
        return _DRIVERS.index(part.field)
    return len(_DRIVERS)


def _chains(part: Tree, tenants: Sequence[str], resolve: Resolve | None) -> set[Chain]:
    """Chains whose union holds every match of ``part``; empty if there are none such."""
    if isinstance(part, Or):
        each = [_chains(child, tenants, resolve) for child in part.children]
        return set().union(*each) if all(each) else set()
    if isinstance(part, And):
        return _drive(list(conjuncts(part)), tenants, resolve)[0]
    if not isinstance(part, Match) or part.field not in _DRIVERS:
        return set()
    if part.field == "values":
        owners = [tenant for tenant in tenants if tenant or part.value == "type"]
        return {Chain(tenant, f"{part.value}.values", "") for tenant in owners}
    if part.prefix:
        values = [name for name in TYPES if name.startswith(part.value)]
        if part.field != "type":
            return set()
    else:
        values = _values(part.field, part.value, resolve)
    dimension = _DIMENSION.get(part.field, part.field)
    owners = [tenant for tenant in tenants if tenant or dimension == "type"]
    return {Chain(tenant, dimension, value) for tenant in owners for value in values}


def _values(field: str, value: str, resolve: Resolve | None) -> list[str]:
    """The chain values that a field's value stands for."""
    if field in _PSEUDONYM and not value.startswith(_PSEUDONYM[field]):
        return list(resolve(field, value)) if resolve is not None else []
    return [value]


def _condition(part: Tree, resolve: Resolve | None) -> Condition:
    """The part as a verifier can evaluate it, or in words."""
    if isinstance(part, And | Or):
        word = "and" if isinstance(part, And) else "or"
        return [word, *(_condition(child, resolve) for child in part.children)]
    if isinstance(part, Not):
        return ["not", _condition(part.child, resolve)]
    if isinstance(part, All | Nothing):
        return ["and"] if isinstance(part, All) else ["or"]
    if isinstance(part, Moment):
        return [part.op, "time" if part.field == "time" else "at", part.value]
    if isinstance(part, Has) and part.what in _HAS:
        return ["has", _HAS[part.what]]
    if isinstance(part, Number) and part.field in _SECTION:
        path = _SECTION[part.field][0]
        if part.op == "=":
            return ["and", ["<=", path, part.value], [">=", path, part.value]]
        return [part.op, path, part.value]
    if isinstance(part, Match) and part.field == "model":
        return _of_model("prefix" if part.prefix else "is", part.value)
    if isinstance(part, Match) and part.field in _SECTION and not part.value.isdigit():
        values = [part.value] if part.prefix else _values(part.field, part.value, resolve)
        if not values:  # a name that stands for nobody here may still stand in the records
            return ["stated", unparse(part)]
        word = "prefix" if part.prefix else "is"
        paths = _SECTION[part.field]
        tests: list[Condition] = [[word, path, value] for path in paths for value in values]
        paths = _CHANGED.get(part.field, ())
        changed = [[word, path, value] for path in paths for value in values]
        if changed:
            tests.append(["and", ["prefix", "type", "change."], ["or", *changed]])
        return ["or", *tests]
    return ["stated", unparse(part)]


def _of_model(word: str, value: str) -> Condition:
    """Requested, resolved, served in either half, or what a change changed or touches."""
    target: Condition = [
        "or",
        ["is", "what.target.kind", "model"],
        ["is", "what.target.kind", "alias"],
    ]
    tests: list[Condition] = [[word, path, value] for path in _MODEL]
    changed: Condition = ["and", target, [word, "what.target.name", value]]
    return ["or", *tests, ["half", [word, _SERVED, value]], changed]
