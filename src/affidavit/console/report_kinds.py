"""Bundles with another page than that of their records: of a period, and an attestation.

Rules: both take a window, and a tenant where the reader has more than one. A period is the records
of the types that say how the installation was run, so its bundle is an export like any. An
attestation counts chains of one tenant, of types and of models, and shows no record; numbers of a
tenant are told to who may see all of it. What is told beside the proof is the exporter's word and
is said to be, on the page. Not here: proof (``proofs``) and looks (``evidence.period``,
``evidence.attestation``).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from affidavit import retention
from affidavit.config import Config
from affidavit.config_retention import DEFAULT
from affidavit.errors import RefusedError, UsageError
from affidavit.evidence import attestation, period
from affidavit.query import language
from affidavit.query.boundary import Boundary
from affidavit.query.question import MAX_CHAINS, Question
from affidavit.query.search import Searcher
from affidavit.query.tree import All, And, Match, Moment, Tree, conjuncts
from affidavit.record.model import Chain

Kind = Literal["records", "period", "attestation"]
Render = Callable[..., str]

PERIOD = (
    "(type:change.* OR type:approval.* OR type:retention.* OR type:ledger.gap OR type:ledger.clock"
    " OR type:ledger.key OR type:ledger.ended)"
)
"""What a period is asked for beside its window."""

COUNTED = (
    "exchange.request", "exchange.response", "tool.call", "tool.result", "retrieval",
    "retention.held", "retention.released", "retention.erased", "retention.expired",
    "retention.completed",
)  # fmt: skip
"""Types that an attestation counts."""

_GAPS = Chain("", "type", "ledger.gap")
_MODELS = MAX_CHAINS - len(COUNTED) - 1
_NAMED = 20


def window_of(expression: str, now: str) -> Tree:
    """The window and tenant that such a bundle is about; ``UsageError`` for anything else."""
    tree = language.parse(expression, now)
    for part in conjuncts(tree):
        tenant = isinstance(part, Match) and part.field == "tenant" and not part.prefix
        if not tenant and not isinstance(part, All | Moment):
            raise UsageError(
                "This is about a whole window: since:, until: and tenant: alone.",
                hint="For some of the records: affidavit export 'EXPR' -o FILE",
            )
    return tree


def asked_for(kind: Kind, expression: str, now: str) -> str:
    """The expression that is put for a bundle of this kind."""
    if kind == "records":
        return expression
    window_of(expression, now)
    return f"{PERIOD} {expression}".strip() if kind == "period" else expression


def check_tenant(tree: Tree, tenants: Sequence[str]) -> None:
    """``UsageError`` if a tenant is named that is none of those the reader may ask about."""
    known = sorted({one for one in tenants if one})
    for part in conjuncts(tree):
        if isinstance(part, Match) and part.field == "tenant" and part.value not in known:
            raise UsageError(
                f"There is no tenant {part.value} that you may ask about.",
                hint=f"There is: {', '.join(known[:_NAMED])}{', …' if known[_NAMED:] else '.'}",
            )


def proved(asked: Question) -> Question:
    """The question of a period, of which the chains are the proof; ``UsageError`` if none is."""
    if asked.not_proved:
        raise UsageError(
            f"No period can be proved here: {asked.not_proved}.",
            hint="Name one tenant that you see: --tenant NAME, by HTTP tenant:NAME.",
        )
    return asked


def attested(asked: Question, models: Sequence[str]) -> Question:
    """The question of an attestation: so many records of each type, and of each model.

    ``UsageError`` if it is about more than one tenant.
    """
    tenants = sorted({chain.tenant for chain in asked.chains} - {""})
    if len(tenants) != 1:
        raise UsageError("An attestation is about one tenant.", hint="tenant:NAME since:90d")
    chains = {Chain(tenants[0], "type", name) for name in COUNTED} | {_GAPS}
    chains |= {Chain(tenants[0], "model", name) for name in models[:_MODELS]}
    return msgspec.structs.replace(asked, chains=tuple(sorted(chains)), conditions=())


def models_of(searcher: Searcher, boundary: Boundary, tree: Tree) -> tuple[list[str], int]:
    """Models of all requests of the window, the most frequent first, and how many there are.

    ``RefusedError`` for who may not see all of a tenant; ``UsageError`` if there are so many
    requests that counting them all takes too long: of the newest alone, a model may be left out.
    """
    if not boundary.whole_tenants:
        raise RefusedError("An attestation is about a whole tenant, of which you see a part.")
    asked = And((tree, Match("type", "exchange.request")))
    found = searcher.facets(asked, boundary, ("model",), top=_MODELS, exact=True).fields["model"]
    return [one.value for one in found.values], found.distinct


def page_of_period(
    searcher: Searcher, boundary: Boundary, tree: Tree, witnesses: Sequence[dict[str, Any]]
) -> Render:
    """What makes the page of a period."""
    about = [part for part in conjuncts(tree) if isinstance(part, Moment | Match)]
    asked = And((Match("type", "exchange.response"), *about))
    found = searcher.facets(asked, boundary, ("status",))
    ended = {one.value: one.count for one in found.fields["status"].values}
    beside = period.Beside(ended, found.capped, witnesses)
    return functools.partial(period.render, beside=beside)


def page_of_attestation(config: Config, asked: Question, models: int) -> Render:
    """What makes the page of an attestation."""
    names = sorted({DEFAULT, *config.retention.classes})
    kept = [retention.kept(config, name) for name in names]
    terms = [
        attestation.Terms(one.name, one.minimum, one.maximum, one.expires, one.regimes)
        for one in kept
    ]
    tenant = next(chain.tenant for chain in asked.chains if chain.tenant)
    return functools.partial(attestation.render, tenant=tenant, terms=terms, models=models)
