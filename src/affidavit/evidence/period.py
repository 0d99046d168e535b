"""The page of a period: what changed, what failed and who decided what, with the proof beside it.

Rules: the records are those of the bundle, all of the types that say how the installation was run;
each stands under one heading, and a heading under which there is none says so. What the index
counts (how exchanges ended) and what the installation says of its witnesses is no part of the
proof and is said not to be. Not here: which types (``console.report_kinds``), the rest of the page
(``report``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from affidavit.evidence import verify
from affidavit.evidence.report import ending, opening
from affidavit.evidence.report_page import document, facts, paragraph, section, table, text
from affidavit.evidence.report_story import MAX_ROWS, Shown, Story, lines, story
from affidavit.query import wording


class Beside(NamedTuple):
    """What is told beside the records, by whoever runs the installation.

    ``ended``: how exchanges of the period ended → how many; ``capped``: of the newest alone.
    ``witnesses``: what is known of each, by name and value, as of the export.
    """

    ended: Mapping[str, int]
    capped: bool
    witnesses: Sequence[Mapping[str, Any]]


_OF_A_TENANT = (
    "Of the installation itself, which is of no tenant, only gaps are in this bundle: who exported "
    "it sees tenants. An owner's bundle of the period has all of it."
)
_FAIL_MODE = "unrecordable"
_ENDINGS = {
    "complete": "answered", "interrupted": "the gateway stopped while it was answered",
    "truncated": "the provider broke off", "client_gone": "the caller left",
    "upstream_error": "the provider failed or was not reached", "denied": "refused by policy",
}  # fmt: skip


def render(
    manifest: Mapping[str, Any],
    verdict: verify.Verdict,
    answer: verify.Answer,
    shown: Shown,
    content: Mapping[str, bytes],
    *,
    beside: Beside,
) -> str:
    """The page; ``beside`` is told as the exporter's word."""
    told = story(answer, shown, content)
    left = {*told.entries, *answer.records}
    parts = []
    for title, of, meant in HEADINGS:
        found = sorted(index for index in left if meant(told, index))
        left -= set(found)
        parts.append(section(title, paragraph(of, "q"), *_under(told, found)))
    more = len(answer.records) - len(told.listed)
    rest = (
        paragraph(f"{more} more records are in the bundle; {MAX_ROWS} are listed.") if more else ""
    )
    question, count = manifest["question"], len(answer.records)
    number = "1 record" if count == 1 else f"{count:,} records"
    tenants = {chain[0] for chain in question["chains"]}
    whole = "" if "" in tenants else paragraph(_OF_A_TENANT)
    since, until = question["since"][:10] or "the beginning", question["until"][:19]
    return document(
        "Evidence: how the installation was run",
        f"<h1>How {text(manifest['origin'])} was run</h1>",
        f'<p class="lead">{text(f"From {since} to {until}: {number}.")}</p>',
        *opening(manifest, verdict),
        whole,
        rest,
        *parts,
        section("Exceptions", _exceptions(beside)),
        section("Witnesses", _witnesses(beside, verdict)),
        *ending(),
    )


def _under(told: Story, found: Sequence[int]) -> list[str]:
    """What stands under a heading: the records that are listed, and how many are not."""
    listed = [index for index in found if index in told.entries]
    more = len(found) - len(listed)
    body = [lines(told, listed)] if listed else []
    body += [paragraph(f"{more} more in the bundle, not listed here.", "q")] if more else []
    return body or [paragraph("None is on record.", "q")]


def _type(told: Story, index: int) -> str:
    return told.answer.kind(index)


def _changes_fail_mode(told: Story, index: int) -> bool:
    what = told.shown.get(index, {}).get("what")
    if _type(told, index) != "change.config" or not isinstance(what, Mapping):
        return False
    return any(_FAIL_MODE in line for line in wording.changes(what))


def _of(*prefixes: str) -> Callable[[Story, int], bool]:
    return lambda told, index: _type(told, index).startswith(prefixes)


HEADINGS: tuple[tuple[str, str, Callable[[Story, int], bool]], ...] = (
    ("Gaps", "Intervals in which something could not be recorded, and how much at least.",
     _of("ledger.gap")),
    ("Changes of fail mode", "What happens where a call cannot be recorded: refuse or serve it.",
     _changes_fail_mode),
    ("Keys", "Keys of people and programs, and of the log.", _of("change.key", "ledger.key")),
    ("People and roles", "Identities, roles and ownership.", _of("change.identity")),
    ("Configuration, boundaries, policies", "What else was changed.", _of("change.")),
    ("Approvals and broken glass", "What second persons were asked, and boundaries made wider.",
     _of("approval.")),
    ("Retention, holds, erasure, pruning", "What was held, released, expired, erased, pruned.",
     _of("retention.")),
    ("The ledger", "Its clock, and writers that ended.", _of("ledger.")),
    ("Other records", "Of the chains above, and under none of the headings.", lambda *_: True),
)  # fmt: skip
"""Title, what it is about, and which records stand under it: the first that fits."""


def _exceptions(beside: Beside) -> str:
    """How exchanges ended, by the index."""
    said = paragraph(
        "How the exchanges of the period ended, counted in the index: no part of the proof. "
        "affidavit export 'type:exchange.response status:interrupted' proves which."
        + (" Of the newest records alone; there are more." if beside.capped else ""), "q",
    )  # fmt: skip
    rows = [(name, f"{number:,}", _ENDINGS.get(name, "")) for name, number in beside.ended.items()]
    if not rows:
        return said + paragraph("No exchange ended in the period.", "q")
    return said + table([("Ended", 20), ("Exchanges", 15), ("Which means", 65)], rows)


def _witnesses(beside: Beside, verdict: verify.Verdict) -> str:
    """Who signed the checkpoint of the bundle, and what the installation knows of its witnesses."""
    found = verdict.facts["assurance"]
    signed = [f"{name} at {time}" for name, time in found["witnesses"].items()]
    said = facts([("Signed this checkpoint", signed or "no witness")])
    if not beside.witnesses:
        return said + paragraph("No witness is configured.", "q")
    rows = [
        (one.get("name", ""), "; ".join(f"{k}: {v}" for k, v in one.items() if k != "name"))
        for one in beside.witnesses
    ]
    note = "What the installation knew of each when this was made; its word."
    return said + paragraph(note, "q") + table([("Witness", 30), ("Known of it", 70)], rows)
