"""The records of a report: a table of them, and what happened, in the order of the ledger.

Rules: only what the bundle discloses is told, and in words that are made of it alone; what is
proved to exist and not shown has its line, too, and says so. Gaps and records that could not be
attributed stand where they belong. The page lists so many records and says how many it does not.
Not here: what is withheld and why (``report_kept``).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from affidavit.evidence import verify
from affidavit.evidence.report_page import block, cut, facts, paragraph, table, text
from affidavit.index.messages import Said, said
from affidavit.index.project import Entry, project
from affidavit.index.schema import Row
from affidavit.query import wording
from affidavit.query.boundary import Boundary
from affidavit.query.tree import All
from affidavit.record.model import SECTIONS, View

MAX_ROWS = 2_000
"""The page lists at most this many records; the bundle holds them all."""

SNIPPET = 600
"""Characters shown of a message."""

Shown = Mapping[int, Mapping[str, Any]]


class Story(NamedTuple):
    """A bundle's records as the index would read them, from what is shown.

    ``shown``: leaf → section → value; ``entries``: leaf → view and entry (``None``: a leaf of the
    ledger's own); ``listed``: the records that the page lists.
    """

    answer: verify.Answer
    shown: Shown
    entries: dict[int, tuple[View, Entry | None]]
    listed: list[int]


def story(answer: verify.Answer, shown: Shown, content: Mapping[str, bytes]) -> Story:
    """Read what is shown of each record that the page lists, and of the other halves."""
    ranked = sorted(answer.records, key=lambda index: (index not in shown, index))
    listed = sorted(ranked[:MAX_ROWS])
    beside = [*answer.gaps[:MAX_ROWS], *answer.unattributed[:MAX_ROWS]]
    wanted = {*listed, *beside, *(answer.halves.get(index, index) for index in listed)}
    entries: dict[int, tuple[View, Entry | None]] = {}
    for index in sorted(wanted):
        leaf = answer.leaves[index]
        view = View(
            index=index, time=leaf["time"], at=leaf["at"], id=leaf["id"], type=leaf["type"],
            tier=leaf["tier"], re=leaf.get("re"), src=(leaf["src"][0], leaf["src"][1]),
            digests=tuple(leaf["sections"]), sections=dict(shown.get(index, {})),
            parts=_parts(index, shown.get(index, {}), content),
        )  # fmt: skip
        _, request = entries.get(leaf.get("re", -1), (None, None))
        entries[index] = (view, project(view, request))
    return Story(answer, shown, entries, listed)


def _parts(
    index: int, sections: Mapping[str, Any], content: Mapping[str, bytes]
) -> dict[str, bytes]:
    section = sections.get("content")
    names = section.get("parts") if isinstance(section, Mapping) else None
    bodies = {
        str(part["name"]): content.get(f"content/{index}-{n}")
        for n, part in enumerate(names if isinstance(names, list) else [])
        if isinstance(part, Mapping) and "name" in part
    }
    return {name: body for name, body in bodies.items() if body is not None}


def records(told: Story) -> str:
    """The table of records."""
    answer = told.answer
    head = [
        ("Leaf", 6), ("Ledger time", 10), ("Type", 15), ("Actor", 16), ("Model", 14),
        ("Outcome", 9), ("Tokens in / out", 8), ("Tier", 8), ("Shown", 8), ("Other half", 6),
    ]  # fmt: skip
    rows = []
    for index in told.listed:
        view, entry = told.entries[index]
        row = entry.row if entry is not None else None
        half: Any = answer.halves.get(index, "open" if index in answer.open else "")
        outcome = (
            [row.decision if row.decision == "deny" else None, row.status, row.http] if row else []
        )
        tokens = [row.tokens_in, row.tokens_out] if row is not None else []
        rows.append([
            index,
            view.time[:19].replace("T", " "),
            view.type,
            (row and row.actor) or "",
            (row and row.model) or "",
            " ".join(str(one) for one in outcome if one),
            " / ".join(str(count) for count in tokens if count is not None),
            view.tier,
            _extent(view),
            "not shown" if index in answer.not_shown else half,
        ])  # fmt: skip
    if not rows:
        return paragraph("No records are listed.", "q")
    return table(head, rows, wide=True) + _more(told)


def _more(told: Story) -> str:
    more = len(told.answer.records) - len(told.listed)
    return paragraph(f"{more} more records are in the bundle and not listed here.") if more else ""


def _extent(view: View) -> str:
    """How much of a record is shown."""
    there = [name for name, digest in zip(SECTIONS, view.digests, strict=True) if digest]
    shown = [name for name in there if name in view.sections]
    if not there:
        return "digests only"
    if not shown:
        return "withheld"
    return "all sections" if shown == there else f"{len(shown)} of {len(there)} sections"


def narrative(told: Story) -> str:
    """What happened, record by record: a sentence, who, what else it says, what was said."""
    if not told.entries:
        return paragraph("Only numbers are shown in this bundle.", "q")
    spoken = any(view.parts for view, _ in told.entries.values())
    unsaid = "" if spoken else paragraph("No content is shown in this bundle.", "q")
    return unsaid + lines(told, sorted(told.entries)) + _more(told)


def lines(told: Story, indexes: Sequence[int]) -> str:
    """A line for each of these records; one for those in a row of which nothing is shown."""
    rows = []
    for silent, group in groupby(indexes, lambda index: _is_silent(told, index)):
        found = list(group)
        if silent and len(found) > 1:
            rows.append(_silent(told, found))
        else:
            rows += [_line(told, index) for index in found]
    return f'<table class="long"><tbody>{"".join(rows)}</tbody></table>'


def _is_silent(told: Story, index: int) -> bool:
    return not told.entries[index][0].sections and index not in told.answer.gaps


def _silent(told: Story, indexes: Sequence[int]) -> str:
    """A line for several records of which nothing is shown: how many, of which types."""
    first, last = (told.entries[index][0].time for index in (indexes[0], indexes[-1]))
    when = " to ".join(dict.fromkeys(time[:19].replace("T", " ") for time in (first, last)))
    types = Counter(told.entries[index][0].type for index in indexes)
    named = ", ".join(f"{number} of type {name}" for name, number in sorted(types.items()))
    what = [f"<p>{text(f'{len(indexes)} records of which nothing is shown: {named}.')}</p>"]
    places = Counter(_place(told.answer, index) for index in indexes)
    beside = " ".join(f"{words} ({number})" for words, number in places.items() if words)
    what += [paragraph(beside, "q")] if beside else []
    kept = f'<td class="n when">{text(when)}<br>leaves {indexes[0]} to {indexes[-1]}</td>'
    return f"<tr>{kept}<td>{''.join(what)}</td></tr>"


def _place(answer: verify.Answer, index: int) -> str:
    """How a leaf belongs to the answer; "" if it is a record of it."""
    if index in answer.gaps:
        return "A gap."
    if index in answer.unattributed:
        return "It could not be attributed to a chain."
    return "" if index in answer.records else "The other half of a record of the answer."


def _line(told: Story, index: int) -> str:
    view, entry = told.entries[index]
    beside = _place(told.answer, index)
    sections = {name: value for name, value in view.sections.items() if isinstance(value, Mapping)}
    kept = f'<td class="n when">{text(view.time[:23].replace("T", " "))}<br>leaf {index}</td>'
    if not sections or entry is None:
        words = f"A record of type {view.type}. What it says is not shown."
        return f"<tr>{kept}<td>{text(words)} {paragraph(beside, 'q') if beside else ''}</td></tr>"
    row = entry.row
    boundary = Boundary("", "", All(), frozenset(sections), "never")
    parts = [f'<p class="lead">{text(wording.sentence(row, sections, boundary))}</p>']
    if beside:
        parts.append(paragraph(beside, "q"))
    named = " · ".join(
        f"{label} {text(value)}" if label else text(value) for label, value in _facts(row, sections)
    )
    if named:
        parts.append(f'<p class="q small">{named}</p>')
    details = wording.details(row.type, sections)
    if details:
        shown = [
            (name.replace("_", " "), value if isinstance(value, list) else str(value))
            for name, value in details.items()
        ]
        parts.append(facts(shown))
    parts += [_message(message) for message in (said(view, row) if view.parts else [])]
    return f"<tr>{kept}<td>{''.join(parts)}</td></tr>"


def _facts(row: Row, sections: wording.Sections) -> Iterator[tuple[str, str]]:
    """Who and under what, as far as the record's own sections say; each with what it is."""
    who, person = sections.get("who", {}), sections.get("person", {})
    if "who" in sections and row.actor:
        yield "by", row.actor
    if row.type != "change.key" and isinstance(person.get("name"), str) and person["name"]:
        yield "named", person["name"]
    if "who" in sections:
        for label, value in (("role", row.role), ("team", row.team), ("session", row.session)):
            if value and value != "unknown":
                yield label, value
        if row.purpose and not row.type.startswith("access."):
            yield "purpose:", row.purpose
        if isinstance(who.get("assurance"), str):
            yield "assurance:", who["assurance"]
    if row.decision and "control" in sections:
        yield "policy:", row.decision
    if row.re is not None:
        yield "answers leaf", str(row.re)
    if row.tier != "observed":
        yield "", row.tier


def _message(message: Said) -> str:
    again = "" if message.new else " (sent again with this request, or instructions)"
    spoken = block(cut(message.text, SNIPPET))
    return f'<h3>{text(message.role)}<span class="q">{again}</span></h3>{spoken}'
