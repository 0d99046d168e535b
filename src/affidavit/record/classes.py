"""The retention class of a record, from what its writer says of it.

Rules: the facts are those of the sections and chains that the writer commits to, so the class can
be explained from the record later. A response is not asked about here: it has the class of its
request. Not here: which rules there are (``retention``).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from affidavit.config import Config
from affidavit.record.model import Chain
from affidavit.retention import Facts, classify


def class_of(
    config: Config,
    kind: str,
    who: Mapping[str, Any],
    chains: Iterable[Chain] = (),
    *,
    tier: str = "observed",
) -> str:
    """The class of a new record of type ``kind``; ``who`` is that section.

    The models are those whose chains the record joins.
    """
    models = tuple(chain.value for chain in chains if chain.dimension == "model")
    return classify(config, facts_of(kind, tier, who, models))


def facts_of(
    kind: str,
    tier: str,
    who: Mapping[str, Any],
    models: tuple[str, ...],
    control: Mapping[str, Any] | None = None,
) -> Facts:
    """What a rule may ask of a record, from its sections ``who`` and ``control``."""
    findings = (control or {}).get("findings")
    return Facts(
        type=kind,
        tier=tier,
        tenant=str(who.get("tenant", "")),
        team=str(who.get("team", "")),
        model=models,
        label=tuple(str(one) for one in who.get("labels", ())),
        finding=tuple(findings) if isinstance(findings, Mapping) else (),
        jurisdiction=str(who.get("jurisdiction", "")),
    )
