"""The report and the README of a bundle: for people to read, not evidence themselves.

Rules: everything that came from outside is escaped; control, bidirectional and other invisible
characters are shown by their number, so that no prompt changes how the page reads; no script, no
link, no outside resource, and a content security policy that allows none. Every statement is
taken from what the verifier found, and the page says where to check it. Not here: the verdict
(``verify``), and layout that a program should parse.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from affidavit.evidence import verify
from affidavit.index.messages import said
from affidavit.index.project import Entry, project
from affidavit.record.model import SECTIONS, View

MAX_ROWS = 2_000
"""The page lists at most this many records; the bundle holds them all."""

SNIPPET = 600
"""Characters shown of a message."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;
padding:.3rem .6rem;border-bottom:1px solid #d8dee4}th{font-weight:600;white-space:nowrap}
.v th{width:9rem}.n{white-space:nowrap;font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0;
font:13px/1.45 ui-monospace,monospace}
.c{background:#ffe2e0;color:#8c1d18;border-radius:3px;padding:0 .2em}.q{color:#59636e}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}
th,td{border-color:#30363d}.c{background:#5c1d1a;color:#ffd8d5}.q{color:#9198a1}}
@media print{body{max-width:none;margin:0}}
"""


_INTRODUCTION = """<h2>This page is not evidence</h2><p>It is for reading, and nothing vouches for
what it says: whoever passed the bundle on may have replaced it. The evidence is in the other files.
Believe the verifier, taken from elsewhere, and not this page:</p>
<pre>python3 -I verify.py BUNDLE --policy FILE --manifest=DIGEST</pre>
<p>FILE names the log's public keys and the witnesses you trust (or give --key and the log's key
alone), DIGEST is that of manifest.json as it stands in the ledger's record of the export (type
access.export); take both from somewhere else than this bundle. The verdict below is what the
verifier found when the bundle was made, under the keys of those who made it.</p>"""

_LIMITS = """<p>Whether the rules that attribute records to chains read the content rightly;
traffic that did not pass the gateway; and, without a witness or a monitor, whether the log shows
everybody the same history.</p>"""


def visible(value: Any) -> str:
    """Text as HTML: escaped, and what is not seen or turns text around shown as its number."""
    output = []
    for character in str(value):
        category = unicodedata.category(character)
        if character == "\n" or category not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            output.append(escape(character, quote=True))
        else:
            output.append(f'<span class="c">U+{ord(character):04X}</span>')
    return "".join(output)


def render(
    manifest: Mapping[str, Any],
    verdict: verify.Verdict,
    answer: verify.Answer,
    shown: Mapping[int, Mapping[str, Any]],
    content: Mapping[str, bytes],
) -> str:
    """The page: question, verdict, scope, records, what was said, and how to check all that.

    ``shown``: leaf → section → value, as the verifier opened them; ``content``: members of
    ``content/`` by name.
    """
    question = manifest["question"]
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    lines = [(name.capitalize(), getattr(verdict, name)) for name in verdict._fields[:4]]
    window = f"{question['since'] or 'the beginning'} to {question['until'] or 'the head'}"
    scope = [
        ("Question, as put", question["expression"] or "everything"),
        ("Chains", ", ".join(str(verify.Chain(*chain)) for chain in question["chains"]) or "none"),
        ("Window", f"{window}, {question['clock']} time, edges included"),
        ("Conditions", "; ".join(map(verify.in_words, question["conditions"])) or "none"),
        ("Ledger", f"{manifest['origin']}, {manifest['size']} leaves"),
        ("Boundary", ", ".join(f"{k}: {v}" for k, v in manifest["boundary"].items()) or "none"),
        ("Withheld", _withheld(manifest, answer, shown)),
        ("Made", manifest["made"]),
    ]
    entries = _entries(answer, shown, content)
    listed = answer.records[:MAX_ROWS]
    more = len(answer.records) - len(listed)
    rest = f"<p>{more} more records are in the bundle and not listed here.</p>" if more else ""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>Evidence: {visible(question['expression'])}</title>"
        f"<style>{_STYLE}</style></head><body>"
    )
    return (
        f"{head}<h1>Evidence from {visible(manifest['origin'])}</h1>{_INTRODUCTION}"
        f"<h2>Verdict</h2>{_table(lines)}"
        f"<h2>Question and scope</h2>{_table(scope)}"
        f"<h2>Records</h2>{_records(listed, answer, entries, shown)}{rest}"
        f"<h2>What was said</h2>{_said(listed, answer, entries)}"
        f"<h2>What this does not show</h2>{_LIMITS}</body></html>\n"
    )


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

To check it, take a policy (the log's public keys, the witnesses you trust and how many of them it
takes) from somewhere else than this bundle, and run

    python3 -I verify.py BUNDLE --policy FILE --manifest=DIGEST

with verify.py from this bundle or, better, as published apart from it; --key KEY with the log's
public key alone does, too, and the verdict says what is then only asserted. DIGEST is that of
manifest.json as it stands in the ledger's own record of this export (type access.export); without
it, the verdict names what anybody may have rewritten on the way. This file is not evidence either.
"""


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = "".join(
        f"<tr><th>{visible(name)}</th><td>{visible(value)}</td></tr>" for name, value in rows
    )
    return f'<table class="v">{cells}</table>'


def _withheld(
    manifest: Mapping[str, Any], answer: verify.Answer, shown: Mapping[int, Mapping[str, Any]]
) -> str:
    """How many records do not show which section, and what the exporter chose."""
    said = []
    for place, name in enumerate(SECTIONS):
        hidden = [
            index
            for index in answer.records
            if answer.leaves[index]["sections"][place] and name not in shown.get(index, {})
        ]
        if hidden:
            said.append(f"{name} of {len(hidden)} records")
    if answer.counting:
        return "everything: only the number is shown"
    content = {"none": "no content", "digest": "content as digests", "full": "content"}
    return "; ".join(said or ["nothing"]) + f" ({content[manifest['disclosed']['content']]})"


def _entries(
    answer: verify.Answer,
    shown: Mapping[int, Mapping[str, Any]],
    content: Mapping[str, bytes],
) -> dict[int, tuple[View, Entry | None]]:
    """Each record as the index would read it, from what is shown."""
    found: dict[int, tuple[View, Entry | None]] = {}
    for index in sorted(answer.shown):
        leaf = answer.leaves[index]
        view = View(
            index=index, time=leaf["time"], at=leaf["at"], id=leaf["id"], type=leaf["type"],
            tier=leaf["tier"], re=leaf.get("re"), src=(leaf["src"][0], leaf["src"][1]),
            digests=tuple(leaf["sections"]), sections=dict(shown.get(index, {})),
            parts=_parts(index, shown.get(index, {}), content),
        )  # fmt: skip
        _, request = found.get(leaf.get("re", -1), (None, None))
        found[index] = (view, project(view, request))
    return found


def _parts(
    index: int, sections: Mapping[str, Any], content: Mapping[str, bytes]
) -> dict[str, bytes]:
    names = sections.get("content", {}).get("parts", [])
    bodies = {part["name"]: content.get(f"content/{index}-{n}") for n, part in enumerate(names)}
    return {name: body for name, body in bodies.items() if body is not None}


def _records(
    listed: list[int],
    answer: verify.Answer,
    entries: Mapping[int, tuple[View, Entry | None]],
    shown: Mapping[int, Mapping[str, Any]],
) -> str:
    head = [
        "leaf",
        "time",
        "type",
        "actor",
        "model",
        "outcome",
        "tokens",
        "tier",
        "sections",
        "half",
    ]
    lines = ["".join(f"<th>{name}</th>" for name in head)]
    for index in listed:
        view, entry = entries[index]
        row = entry.row if entry is not None else None
        tokens = [row.tokens_in, row.tokens_out] if row is not None else []
        half = answer.halves.get(index, "open" if index in answer.open else "")
        cells = [
            index,
            view.time,
            view.type,
            (row and row.actor) or "",
            (row and row.model) or "",
            " ".join(str(x) for x in (row and row.status, row and row.http) if x),
            " / ".join(str(count) for count in tokens if count is not None),
            view.tier,
            ", ".join(name for name in SECTIONS if name in shown.get(index, {})) or "withheld",
            "not shown" if index in answer.not_shown else half,
        ]
        lines.append("".join(f"<td>{visible(cell)}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _said(
    listed: list[int],
    answer: verify.Answer,
    entries: Mapping[int, tuple[View, Entry | None]],
) -> str:
    """The messages of the records whose content is shown, in order, cut to a snippet each."""
    lines = []
    for index in sorted({*listed, *(answer.halves.get(i, i) for i in listed)}):
        view, entry = entries[index]
        if entry is None or not view.parts:
            continue
        for role, text, _ in said(view, entry.row):
            cut = text[:SNIPPET] + (f" … ({len(text)} characters)" if len(text) > SNIPPET else "")
            lines.append(
                f'<tr><td class="n">{index}</td><td class="n">{visible(role)}</td>'
                f"<td><pre>{visible(cut)}</pre></td></tr>"
            )
    if not lines:
        return "<p class=q>No content is shown in this bundle.</p>"
    return f"<table>{''.join(lines)}</table>"
