"""What of the records is withheld and why, how long they are kept, and who has looked at them.

Rules: why a section is not shown is worked out from what the manifest says of the export. Erased
is only what the manifest says the vault has lost, section by section; where nothing tells, the page
says what it may be and that nothing says that it was erased. Retention and custody
are the manifest's own (docs/format/evidence.md), the exporter's word, and the page says so. Not
here: where these come from (``console``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from affidavit.evidence import verify
from affidavit.evidence.report_page import facts, paragraph, table
from affidavit.record.model import SECTIONS

MAX_LISTED = 500
"""Records with a hold or an erasure, and reads, that the page lists."""

Manifest = Mapping[str, Any]


def withheld(
    manifest: Manifest, answer: verify.Answer, shown: Mapping[int, Mapping[str, Any]], drawn: Any
) -> str:
    """Section by section: of how many records it is not shown, and why."""
    if answer.counting:
        return paragraph("Everything: only the number of records is shown.")
    why = _Why(manifest, answer, shown, drawn)
    found: Counter[tuple[str, str]] = Counter()
    for index in sorted({*answer.records, *answer.halves.values(), *answer.gaps}):
        for place, name in enumerate(SECTIONS):
            if answer.leaves[index]["sections"][place] and name not in shown.get(index, {}):
                found[name, why.of(index, name)] += 1
    said = [paragraph("Each section that a record has and that is not shown; its digest is.")]
    if found:
        order = sorted(found.items(), key=lambda one: SECTIONS.index(one[0][0]))
        rows = [(name, number, reason) for (name, reason), number in order]
        said.append(table([("Section", 16), ("Records", 12), ("Why", 72)], rows))
    else:
        said = [paragraph("No section of any record is withheld.")]
    content = manifest["disclosed"]["content"]
    if content != "full" and "content" not in manifest["disclosed"]["withhold"]:
        how = {"digest": "their names, sizes and digests stand in the section content",
               "none": "not even their digests are shown"}  # fmt: skip
        said.append(
            paragraph(f"Of prompts, outputs and other content no bytes are shown, as the exporter "
                      f"chose; {how.get(content, 'in part')}.")
        )  # fmt: skip
    return "".join(said)


class _Why:
    """Says why a section of a record is not shown."""

    def __init__(
        self,
        manifest: Manifest,
        answer: verify.Answer,
        shown: Mapping[int, Mapping[str, Any]],
        drawn: Any,
    ) -> None:
        self._answer = answer
        self._shown: Any = shown
        self._asked_for = set(answer.records)
        self._half_of = {half: index for index, half in answer.halves.items()}
        self._chosen = manifest["disclosed"]
        self._sections = manifest["boundary"].get("sections")
        self._rows = manifest["boundary"].get("rows", "everything")
        self._conditions = manifest["question"]["conditions"]
        self._erased = {
            (index, section): str(entry.get("certificate", ""))
            for entry in manifest["retention"].get("erased", [])
            for index in entry.get("records", [])
            for section in entry.get("sections", [])
        }
        self._missing = {
            (index, section)
            for entry in manifest["retention"].get("missing", [])
            for index in entry.get("records", [])
            for section in entry.get("sections", [])
        }
        self._whole = None
        if drawn is not None:
            self._whole = {*drawn, *answer.gaps, *map(answer.halves.get, drawn)}

    def of(self, index: int, section: str) -> str:
        """The reason, as far as the manifest tells it."""
        if section in self._chosen["withhold"]:
            return "left out by the exporter"
        if section == "content" and self._chosen["content"] == "none":
            return "left out by the exporter"
        if isinstance(self._sections, list) and section not in self._sections:
            return "outside the boundary of who exported"
        if (index, section) in self._erased:
            return f"erased or expired; certificate: {self._erased[index, section] or 'not stated'}"
        if (index, section) in self._missing:
            return "missing from the vault, and nothing tells of an erasure: damage"
        if self._whole is not None and index not in self._whole:
            return "not drawn into the sample"
        met = self._met(index)
        if met is False:
            return "does not meet the conditions"
        may = [] if met else ["not shown to meet the conditions"]
        may += ["outside the boundary of who exported"] if self._rows != "everything" else []
        may += ["not readable when the bundle was made"]
        return f"{', or '.join(may)}; nothing in the bundle says that it was erased"

    def _met(self, index: int) -> bool | None:
        """Whether a record, or the one whose half it is, meets the conditions."""
        of = index if index in self._asked_for else self._half_of.get(index, index)
        met: bool | None = verify.holds(["and", *self._conditions], of, self._answer, self._shown)
        return met


def retention(manifest: Manifest) -> str:
    """How long the records are kept, by class, and which are held or erased."""
    kept = manifest["retention"]
    if "retention" in manifest["disclosed"]["withhold"]:
        return paragraph("Left out by the exporter.", "q")
    if not kept:
        return paragraph("The bundle says nothing of retention and holds.", "q")
    said = [
        paragraph(f"As of {manifest['made']}, by the rules in force then; the exporter's word.")
    ]
    classes = [
        (
            one.get("class", ""), one.get("records", ""), _days(one.get("minimum_days"), "none"),
            _days(one.get("maximum_days"), "no limit"), one.get("expires", ""),
            ", ".join(map(str, one.get("regimes", []))), one.get("first_day", ""),
            one.get("last_day", ""),
        )
        for one in kept.get("classes", [])
    ]  # fmt: skip
    if classes:
        columns = [
            ("Class", 20), ("Records", 9), ("Kept at least", 11), ("Kept at most", 11),
            ("What expires", 11), ("Because of", 16), ("First day", 11), ("Last day", 11),
        ]  # fmt: skip
        said.append(table(columns, classes, wide=True))
    held, erased, of = kept.get("holds"), kept.get("erased"), "the records"
    if "looked_at" in kept:
        of = f"the first {_number(kept['looked_at'])} records"
        said.append(paragraph(f"Only {of} were looked at; what follows is of these alone."))
    if held:
        rows = [(one.get("matter", ""), _some(one.get("records", []))) for one in held]
        said += _listed([("Legal hold", 40), ("Records (leaves)", 60)], rows)
    elif held is not None:
        said.append(paragraph(f"The exporter may know of no legal hold on {of}."))
    if erased:
        gone = [
            (one.get("certificate", ""), ", ".join(map(str, one.get("sections", []))),
             _some(one.get("records", []))) for one in erased
        ]  # fmt: skip
        head = [("Erased, by certificate (ledger record)", 40), ("Sections", 20),
                ("Records (leaves)", 40)]  # fmt: skip
        said += _listed(head, gone)
    elif erased is not None:
        said.append(paragraph(f"None of {of} was erased."))
    missing = [(", ".join(map(str, one.get("sections", []))), _some(one.get("records", [])))
               for one in kept.get("missing", [])]  # fmt: skip
    if missing:
        what = "Missing from the vault, and nothing tells of an erasure. This is damage: "
        said.append(paragraph(f"{what}affidavit fsck --deep, where it is kept, says of what."))
        said += _listed([("Missing sections", 40), ("Records (leaves)", 60)], missing)
    due = kept.get("due")
    if due:
        said.append(facts([("Kept longer than the maximum", _some(due))]))
    return "".join(said)


def _listed(head: Sequence[tuple[str, int]], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A table of the first ``MAX_LISTED`` rows, and how many more there are."""
    return [table(head, rows[:MAX_LISTED]), *_more(len(rows) - MAX_LISTED)]


def _more(number: int) -> list[str]:
    return [paragraph(f"{number:,} more stand in manifest.json.")] if number > 0 else []


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _days(value: Any, none: str) -> str:
    return f"{value} days" if value else none


def _some(indexes: Any) -> str:
    listed = list(indexes)
    more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
    return ", ".join(map(str, listed[:MAX_LISTED])) + more


def custody(manifest: Manifest) -> str:
    """Every read on record that touched the records, in order."""
    entries = manifest["custody"]
    if "custody" in manifest["disclosed"]["withhold"]:
        return paragraph("Left out by the exporter.", "q")
    said = paragraph(
        "Every question, reveal and export through the product is a record. Listed are those "
        "that touched the records of this bundle, as far as who exported may see them; this export "
        "is not among them, as its record holds the digest of the manifest. The exporter's word: "
        "each line names its leaf, and a bundle of these leaves proves them (type:access.*)."
    )
    if not entries:
        return said + paragraph("No such read is listed in this bundle.", "q")
    rows = [
        (
            one.get("leaf", ""), str(one.get("time", ""))[:19].replace("T", " "),
            one.get("type", ""), one.get("actor", ""), one.get("purpose", ""),
            one.get("said", ""), _touched(one.get("records")),
        )
        for one in entries[:MAX_LISTED]
    ]  # fmt: skip
    head = [
        ("Leaf", 7), ("Ledger time", 10), ("Type", 12), ("By", 18), ("Purpose", 17),
        ("What", 20), ("Records of this bundle", 16),
    ]  # fmt: skip
    return said + table(head, rows, wide=True) + "".join(_more(len(entries) - MAX_LISTED))


def _touched(records: Any) -> str:
    """Which records a read showed; or that its record does not say."""
    if records is None:
        return "cannot be told: its record has the question and a number, not which rows"
    return _some(records)
