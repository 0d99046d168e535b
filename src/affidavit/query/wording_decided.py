"""What second persons, holds, erasures and gaps are told as: one sentence of each such record.

Rules: as of ``wording``. An approval names what it is about, and never another kind of question;
of an erasure it is said of what and how much, as far as the record says it. Not here: the details
(``wording``), and what an erasure took record by record.
"""

from collections.abc import Mapping
from typing import Any

Said = Mapping[str, Any]

_ERASED = {
    "subject": "of the person", "session": "of the session", "tenant": "of the tenant",
}  # fmt: skip


def of_approval(verb: str, what: Said, told: Said) -> str:
    """A second person's word, or the question; of a broken glass, that it was broken or ended."""
    reason = f": {told['reason']}" if told.get("reason") else ""
    operation = told.get("operation")
    if operation == "break_glass":
        boundary = told.get("boundary", "")
        if told.get("phase") == "ended":
            return f"Ended the broken glass of the boundary {boundary}"
        return f"Broke the glass of the boundary {boundary}{reason}"
    return f"{verb} {_meant(operation, what, told)}{reason}"


def of_hold(verb: str, what: Said, told: Said) -> str:
    """A hold began or ended, of which matter."""
    del what
    return f"A legal hold {verb}{': ' + told['matter'] if told.get('matter') else ''}"


def of_erased(what: Said, told: Said) -> str:
    """What went, of whom or what, how much, and who asked and granted it."""
    kind, of = what.get("kind"), told.get("of")
    gone = {"content": "Content was", "person": "Content and person were"}
    text = f"{gone.get(str(what.get('erased')), 'What is readable was')} erased"
    if kind == "release":
        matter = f" ({told['matter']})" if told.get("matter") else ""
        text = f"What only a hold{matter} had kept was erased, as it was released"
    if isinstance(kind, str) and kind in _ERASED:
        text += f", {_ERASED[kind]}"
    elif of:
        text += ", of"
    text += f" {of}" if of else ""
    text += f" ({_number(told['records'])})" if "records" in told else ""
    if kind == "release":  # asked for as a release, which has a record of its own
        return text
    asked = f"asked by {told['asked_by']}" if told.get("asked_by") else ""
    granted = f"granted by {told['approved_by']}" if told.get("approved_by") else ""
    whose = ", ".join(part for part in (asked, granted) if part)
    return f"{text}{f': {whose}' if whose else ''}"


def of_expired(what: Said, told: Said) -> str:
    """What went by itself: the content of a day of a class, or leaves that were pruned."""
    if isinstance(what.get("pruned"), Mapping):
        return f"Leaves were pruned, those before leaf {told.get('before', '')}".rstrip()
    gone = "Content" if what.get("erased") == "content" else "All sections"
    of = f" of class {told['class']}" if told.get("class") else ""
    day = f", of {told['day']}" if told.get("day") else ""
    records = f" ({_number(told['records'])})" if "records" in told else ""
    return f"{gone} expired{of}{day}{records}"


def of_gap(what: Said, told: Said) -> str:
    """In which interval, how much at least, and why."""
    del what
    since, until = told.get("start"), told.get("end")
    when = f"Until {until}" if until else "In this interval"
    when = f"From {since} to {until}" if since and until else when
    why = f": {str(told['reason']).rstrip('.')}" if told.get("reason") else ""
    return f"{when} something could not be recorded{why}"


def _meant(operation: Any, what: Said, told: Said) -> str:
    target = what.get("target")
    name = f" {target['name']}" if isinstance(target, Mapping) and target.get("name") else ""
    if operation == "release":
        matter = f" ({told['matter']})" if told.get("matter") else ""
        return f"the release of the hold{name}{matter}"
    records, of = what.get("records"), told.get("of")
    if operation == "erase":
        much = _number(records) if isinstance(records, int) else ""
        about = " ".join(part for part in (much, f"of {of}" if of else "") if part)
        return f"the erasure{name}{f' ({about})' if about else ''}"
    if operation == "reveal":
        return f"a reveal of {_number(len(records) if isinstance(records, list) else 0)}"
    return "what another person has to grant"


def _number(records: Any) -> str:
    return "1 record" if records == 1 else f"{records} records"


def days(number: object) -> str:
    """``1 day``, ``2 days``."""
    return "1 day" if number == 1 else f"{number} days"
