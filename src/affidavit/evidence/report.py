"""The report and the README of a bundle: for people to read and print, not evidence themselves.

Rules: every statement is taken from what the verifier found or is said to be the exporter's; the
page says where to check it, and needs nothing but itself. Not here: the verdict (``verify``), looks
(``report_page``), words (``report_words``), records (``report_story``), what is withheld and kept
(``report_kept``), and layout that a program should parse.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

from affidavit.evidence import report_kept, verify
from affidavit.evidence.report_page import (
    block,
    document,
    facts,
    paragraph,
    section,
    table,
    text,
    visible,
)
from affidavit.evidence.report_story import Shown, narrative, records, story
from affidavit.evidence.report_words import (
    COUNTS,
    GLOSSARY,
    HOW,
    LIMITS,
    NOT_EVIDENCE,
    VERIFY,
    WITHHELD_OF_A_SAMPLE,
    meanings,
)

_CONTENT = {"none": "nothing", "digest": "names, sizes and digests", "full": "the bytes"}


def render(
    manifest: Mapping[str, Any],
    verdict: verify.Verdict,
    answer: verify.Answer,
    shown: Shown,
    content: Mapping[str, bytes],
) -> str:
    """The page: question, verdict, scope, records, what happened, and how to check all that.

    ``shown``: leaf → section → value, as the verifier opened them; ``content``: members of
    ``content/`` by name.
    """
    told = story(answer, shown, content)
    question = manifest["question"]
    drawn = verdict.facts["sample"]
    return document(
        f"Evidence: {question['expression'] or 'everything'}",
        f"<h1>Evidence from {text(manifest['origin'])}</h1>",
        f'<p class="lead">{text(_in_short(manifest))}</p>',
        *opening(manifest, verdict),
        section("Counts", _counts(manifest)),
        section("Records", records(told), new=True),
        section("What happened", narrative(told), new=True),
        section(
            "What was withheld, and why",
            report_kept.withheld(manifest, answer, shown, drawn),
            new=True,
        ),
        section("Retention and holds", report_kept.retention(manifest)),
        section("Chain of custody", report_kept.custody(manifest)),
        *ending(),
    )


def opening(manifest: Mapping[str, Any], verdict: verify.Verdict) -> list[str]:
    """How every page begins: that it is no evidence, the verdict, what was asked and how."""
    return [
        f'<div class="box">{paragraph(NOT_EVIDENCE)}</div>',
        section("Verdict", _verdict(verdict, manifest)),
        section("Question and scope", facts(_scope(manifest))),
        section("Parameters of the export", facts(_parameters(manifest, verdict.facts["sample"]))),
    ]


def ending() -> list[str]:
    """How every page ends: what it does not show, how to verify it, what our words mean."""
    return [
        section("What this does not show", _list(LIMITS), new=True),
        section("How to verify", *map(paragraph, HOW[:1]), block(VERIFY), *map(paragraph, HOW[1:])),
        section("Glossary", facts(GLOSSARY)),
    ]


def readme(manifest: Mapping[str, Any]) -> str:
    """The README of a bundle."""
    return f"""Evidence from {manifest["origin"]}, made {manifest["made"]}

manifest.json      the question, what was withheld, the counts, a digest of every other file
checkpoint         what the log signed: its size and root
leaves.jsonl       the records as the ledger holds them: digests, no content
links.jsonl        their places in the chains that were asked for
chains.jsonl       the names of these chains, opened
heads/, proofs/    where the chains end; that all leaves are in the log
disclosures.jsonl  the sections that are shown
content/           prompts and outputs, where they are shown
timestamps/        older checkpoints, and who saw them when (if there are any)
report.html        all this for people (not evidence)
verify.py          the verifier: Python 3.9 or later, nothing else
verify.html        the same in a browser: open it, choose this file; it uses no network

To check it, take a policy (the log's public keys, the witnesses you trust and how many of them it
takes) from somewhere else than this bundle, and run

    python3 -I verify.py BUNDLE --policy FILE --manifest=DIGEST

with verify.py from this bundle or, better, as published apart from it; --key KEY with the log's
public key alone does, too, and the verdict says what is then only asserted. DIGEST is that of
manifest.json as it stands in the ledger's own record of this export (type access.export); without
it, the verdict names what anybody may have rewritten on the way. This file is not evidence either.
"""


def _in_short(manifest: Mapping[str, Any]) -> str:
    """What was asked, when, and how many records answer it, in one sentence."""
    asked = manifest["question"]["expression"] or "everything"
    number = manifest["counts"]["records"]
    what = "1 record" if number == 1 else f"{number:,} records"
    return f"“{asked}”, asked {_moment(manifest['made'])}: {what}."


def _moment(time: str) -> str:
    return f"{time[:10]} {time[11:19]} UTC"


def _verdict(verdict: verify.Verdict, manifest: Mapping[str, Any]) -> str:
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{text(line)}{paragraph(means, 'q small')}</td></tr>"
        for name, line, means in meanings(verdict, manifest)
    )
    return f'<table class="v"><tbody>{cells}</tbody></table>'


def _scope(manifest: Mapping[str, Any]) -> list[tuple[str, Any]]:
    question = manifest["question"]
    window = f"{question['since'] or 'the beginning'} to {question['until'] or 'the head'}"
    chains = [verify.Chain(*chain) for chain in question["chains"]]
    named = [str(chain) for chain in chains]
    if len(named) > verify.MAX_NAMED:  # those of one dimension together
        named = verify.any_of(chains).split(" or ")
    return [
        ("Question as put", question["expression"] or "everything"),
        ("Chains", named or f"none: {question['not_proved']}"),
        ("Window", f"{window}, {question['clock']} time, edges included"),
        ("Conditions", [verify.in_words(one) for one in question["conditions"]] or "none"),
        ("Ledger", f"{manifest['origin']}, of {manifest['size']:,} leaves"),
    ]


def _parameters(manifest: Mapping[str, Any], drawn: Any) -> list[tuple[str, Any]]:
    chosen, sampling = manifest["disclosed"], manifest["sampling"]
    boundary = [f"{name}: {_plain(value)}" for name, value in manifest["boundary"].items()]
    sample = "none: every record of the answer is treated alike"
    if sampling:
        sample = (
            f"{len(drawn)} of {sampling['population']} records, drawn by the seed "
            f"{verify.quoted(sampling['seed'])}; population {sampling['digest']}"
        )
    show = manifest["question"]["show"]
    return [
        ("Extracted", f"{manifest['made']} (by the exporter's clock)"),
        ("Shown", "records" if show == "records" else "only how many there are"),
        ("Left out", ", ".join(chosen["withhold"]) or "none"),
        ("Content shown", _CONTENT.get(chosen["content"], chosen["content"])),
        ("Sample", sample),
        ("Boundary of who exported", boundary or "not stated"),
        ("Format", f"evidence bundle, version {manifest['v']}"),
    ]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _counts(manifest: Mapping[str, Any]) -> str:
    meant = COUNTS | ({"withheld": WITHHELD_OF_A_SAMPLE} if manifest["sampling"] else {})
    rows = [
        (name.replace("_", " "), f"{number:,}", meant.get(name, ""))
        for name, number in manifest["counts"].items()
    ]
    return table([("Count", 20), ("Number", 12), ("What it counts", 68)], rows)


def _list(lines: tuple[str, ...]) -> str:
    return f"<ul>{''.join(f'<li>{visible(line)}</li>' for line in lines)}</ul>"
