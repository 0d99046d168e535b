"""The page of an attestation: what is attested to a customer, in numbers, about one tenant.

Rules: nothing of any record is in it: no section, no content, no person; numbers are those that
the chains of the bundle prove, each chain counted by itself. Which models there are is read from
the index, and how long records are kept from the configuration: both the exporter's word, said to
be. Not here: which chains are counted (``console.report_kinds``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from affidavit.evidence import verify
from affidavit.evidence.report import ending, opening
from affidavit.evidence.report_page import document, paragraph, section, table, text
from affidavit.evidence.report_story import Shown

_WHAT = {
    "exchange.request": "calls of a model",
    "exchange.response": "answers to them, failed ones included",
    "tool.call": "calls of tools that were reported; what a model called is in its answer alone",
    "tool.result": "results of tools that were reported",
    "retrieval": "look-ups in data sources that were reported",
    "retention.held": "legal holds placed",
    "retention.released": "legal holds released",
    "retention.erased": "erasures, and what went with the release of a hold",
    "retention.expired": "certificates of expiry",
    "retention.completed": "erasures of which nothing is left to do",
    "ledger.gap": "intervals in which something could not be recorded, of all tenants",
}


class Terms(NamedTuple):
    """How records of a class are kept, by the configuration."""

    name: str
    minimum_days: int
    maximum_days: int | None
    expires: str
    regimes: Sequence[str]


def render(
    manifest: Mapping[str, Any],
    verdict: verify.Verdict,
    answer: verify.Answer,
    shown: Shown,
    content: Mapping[str, bytes],
    *,
    tenant: str,
    terms: Sequence[Terms],
    models: int,
) -> str:
    """The page about ``tenant``; ``models``: how many there are, perhaps more than are listed."""
    del answer, shown, content
    question = manifest["question"]
    window = f"From {question['since'][:10] or 'the beginning'} to {question['until'][:19]}"
    counted = {tuple(chain[:3]): number for *chain, number in verdict.facts["counted"]}
    types = [(chain[2], number) for chain, number in counted.items() if chain[1] == "type"]
    named = [(chain[2], number) for chain, number in counted.items() if chain[1] == "model"]
    more = models - len(named)
    rest = paragraph(f"{more} more models are not listed.") if more > 0 else ""
    kept = [
        (one.name, f"{one.minimum_days} days" if one.minimum_days else "none",
         f"{one.maximum_days} days" if one.maximum_days is not None else "no limit",
         one.expires, ", ".join(one.regimes))
        for one in terms
    ]  # fmt: skip
    return document(
        f"Attestation for {tenant}",
        f"<h1>Attestation for {text(tenant)}</h1>",
        f'<p class="lead">{text(f"{window}, in numbers.")}</p>',
        *opening(manifest, verdict),
        section(
            "What was recorded",
            paragraph(
                "Each number is proved by the chain that it counts; no record is shown. In the "
                "same window: "
                f"{manifest['counts']['unattributed']} records that could not be attributed, gaps "
                "among them."
            ),
            table(
                [("Number", 15), ("Type", 25), ("What it counts", 60)],
                [(f"{number:,}", name, _WHAT.get(name, "")) for name, number in types],
            ),
        ),
        section(
            "Models",
            paragraph(
                "Records of each model: requests, answers and changes to it. Which models there "
                "are is read from the index; each number is proved."
            ),
            table([("Records", 15), ("Model", 85)], [(f"{n:,}", name) for name, n in named])
            if named
            else paragraph("No model is on record in the window.", "q"),
            rest,
        ),
        section(
            "How records are kept",
            paragraph("By the configuration in force when this was made; the exporter's word."),
            table(
                [("Class", 25), ("At least", 15), ("At most", 15), ("What expires", 15),
                 ("Regimes", 30)], kept,
            ),
        ),
        *ending(),
    )  # fmt: skip
