"""What a record says, in one sentence and in named details, as far as a boundary shows it.

Rules: words come from the sections that the reader may see and from nothing else; a fact that is
not there is left out, never guessed. Details are texts and numbers by a fixed name, for people and
programs alike: what was asked and why, how much was given, what was before and after, which status
and cause a refusal had. Not here: prompts and outputs (``session``), the keys of a row (``rows``),
sentences about second persons, holds, erasures and gaps (``wording_decided``).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from affidavit.index.schema import Row
from affidavit.query import wording_decided as decided
from affidavit.query.boundary import Boundary

Sections = Mapping[str, Mapping[str, Any]]
Details = dict[str, str | int | list[str]]

_ENDINGS = {
    "complete": "answered",
    "truncated": "began to answer and broke off",
    "client_gone": "was answering when the caller left; what was delivered is kept",
    "denied": "was not asked: policy denied it",
    "interrupted": "was answering when the gateway stopped; what was delivered is kept",
    "lost": "was answering when the gateway stopped; how much was delivered is not known",
}
_WORDS = {
    "tool.call": "Called a tool", "tool.result": "The tool answered",
    "retrieval": "Looked up a data source", "approval.requested": "Asked for an approval",
    "approval.granted": "An approval was given", "approval.denied": "An approval was refused",
    "access.login": "Logged in", "access.tail": "Followed the records live",
    "retention.erased": "Content was erased", "retention.expired": "Content expired",
    "retention.held": "A legal hold began", "retention.released": "A legal hold ended",
    "retention.completed": "Nothing waits any more of what was to be erased",
    "kubernetes.audit": "The cluster reported an action",
    "ledger.gap": "In this interval something could not be recorded",
    "ledger.key": "A key of the ledger was put on record",
    "ledger.clock": "The clock had fallen behind the ledger's time",
    "ledger.ended": "A writer of records ended",
}  # fmt: skip
_UNREACHABLE = "upstream.unreachable"
_MAX_TEXT = 500


def visible(boundary: Boundary, sections: Mapping[str, Any]) -> Sections:
    """Those of the sections that the boundary shows, each of them an object."""
    return {
        name: value
        for name, value in sections.items()
        if name in boundary.sections and isinstance(value, Mapping)
    }


def sentence(row: Row, sections: Sections, boundary: Boundary) -> str:
    """What happened, in one sentence; ``sections`` are those of ``visible``."""
    if row.type == "exchange.request":
        return _asked(row, boundary)
    if row.type == "exchange.response":
        return _answered(row, sections, boundary)
    what = sections.get("what", {})
    telling = _TELLING.get(row.type)
    text = telling(what, details(row.type, sections)) if telling and what else ""
    if not text and row.type.startswith("change."):
        text = f"Changed {row.target or row.type.removeprefix('change.')}" if what else "A change"
        text += _first(changes(what))
    text = text or _WORDS.get(row.type) or _HIDDEN.get(row.type) or row.type
    named = ", ".join(row.tools or row.sources) if "what" in boundary.sections else ""
    return f"{text}{': ' + named if named else ''}."


def details(kind: str, sections: Sections) -> Details:
    """What a record of this type says, by name; empty where it says no more than its row."""
    what, who, outcome = (sections.get(name, {}) for name in ("what", "who", "outcome"))
    found: Details = {}
    if kind.startswith("access."):
        _put(found, "question", what.get("expression"), empty="everything")
        for name in ("name", "kind", "operation", "phase", "after", "manifest", "content", "view"):
            _put(found, name, what.get(name))
        _put(found, "withheld", what.get("withhold"))
        _put(found, "reason", what.get("reason"))
        _put(found, "purpose", who.get("purpose"))
        _put(found, "rows", what.get("rows"))
        if what.get("prove") is True:
            found["proof"] = "asked for"
        _put(found, "revealed", [_named(item) for item in _objects(what.get("records"))])
        under = what.get("boundary")
        _put(found, "break_glass", under.get("break_glass") if isinstance(under, Mapping) else None)
        _put(found, "approval", what.get("approval"))
    elif kind.startswith("approval."):
        for name in (
            "operation",
            "phase",
            "reason",
            "records",
            "boundary",
            "until",
            "matter",
            "of",
        ):
            _put(found, name, what.get(name))
    if kind == "access.denied":
        _refusal(found, what, outcome)
    elif kind.startswith("change."):
        _put(found, "changed", changes(what))
        if kind == "change.key":  # the person of such a record is whose key it is, not who made it
            _put(found, "for", sections.get("person", {}).get("name"))
        if kind == "change.policy":
            _put(found, "limits", _limits(what.get("after")))
        for name in (
            "change", "key", "identity", "actor", "kind", "role", "team", "reason", "config_hash",
        ):  # fmt: skip
            _put(found, name, what.get(name))
    elif kind.startswith("retention."):
        for name in (
            "matter", "hold", "expression", "reason", "request", "kind", "of", "erased", "basis",
            "asked_by", "approved_by", "finished", "day", "due", "digest", "certificates",
            "keys_revoked", "certificate_digest",
        ):  # fmt: skip
            _put(found, name, what.get(name))
        target = what.get("target")
        _put(found, "class", target.get("name") if isinstance(target, Mapping) else None)
        for inner in ("counts", "pruned", "policy"):
            told = what.get(inner)
            for name, value in told.items() if isinstance(told, Mapping) else ():
                _put(found, name, value)
        _put(found, "remains", [_left(one) for one in _objects(what.get("remains"))])
        certificate = what.get("certificate")
        lines = certificate.splitlines() if isinstance(certificate, str) else []
        _put(found, "certificate", [line for line in lines if line])
    elif kind.startswith("ledger."):
        for name in ("start", "end", "reason", "count", "purpose", "vkey", "writer", "worker"):
            _put(found, name, what.get(name))
    elif kind == "exchange.response":
        error = outcome.get("error")
        if isinstance(error, Mapping):
            _put(found, "cause", error.get("message") or error.get("code"))
            _put(found, "code", error.get("code") or error.get("type"))
        if what.get("response_made_by") == "gateway":
            found["answered_by"] = "the gateway, not the provider"
    return found


def changes(what: Mapping[str, Any]) -> list[str]:
    """``name: before → after`` for everything that differs; one line each, in order of name."""
    before, after = what.get("before"), what.get("after")
    if not isinstance(after, Mapping):
        known = before if isinstance(before, str | int | float) else None
        return [_arrow("", known, after)] if after is not None else []
    if not isinstance(before, Mapping):
        return []
    old, new = dict(leaves(before)), dict(leaves(after))
    for one, other in ((old, new), (new, old)):  # what filled or emptied is told by what is in it
        for name in [name for name, value in one.items() if value == {}]:
            if any(inner.startswith(f"{name}.") for inner in other):
                del one[name]
    return [
        _arrow(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


# -- sentences -----------------------------------------------------------------------------------


def _asked(row: Row, boundary: Boundary) -> str:
    what = "what" in boundary.sections
    denied = "control" in boundary.sections and row.decision == "deny"
    ending = "."
    if denied:
        ending = f"; policy denied it{f': {row.reason}' if row.reason else ''}."
    if what and row.model is None and row.path:
        return f"Called {row.method or ''} {row.path}".replace("  ", " ") + ending
    model = (row.model if what else None) or "the model"
    api = f" through {row.api}" if what and row.api else ""
    return f"Asked {model}{api}{ending}"


def _answered(row: Row, sections: Sections, boundary: Boundary) -> str:
    what, outcome = "what" in boundary.sections, "outcome" in boundary.sections
    subject = (row.model if what else None) or "The model"
    if what and row.model is None and row.path:
        subject = "The provider"
    if not outcome:
        return f"{subject}: how it ended is withheld."
    if row.status == "upstream_error":
        return f"{subject} {_failed(row, sections)}."
    ending = "lost" if row.status == "interrupted" and row.bytes is None else row.status or ""
    text = f"{subject} {_ENDINGS.get(ending, 'ended in a way that is not known')}"
    if row.http is not None and row.http >= 400:
        text += f" with HTTP status {row.http}"
    if what and row.tools:
        text += f" and called {', '.join(row.tools)}"
    return text + "."


def _failed(row: Row, sections: Sections) -> str:
    """An ``upstream_error``: whether the provider was reached at all, and the cause."""
    error = sections.get("outcome", {}).get("error")
    error = error if isinstance(error, Mapping) else {}
    reached = error.get("code") != _UNREACHABLE
    text = "did not answer" if reached else "could not be reached"
    cause = error.get("message")
    if isinstance(cause, str) and cause:
        return f"{text}: {cause[:_MAX_TEXT].rstrip('.')}"
    text += ": the provider failed" if reached else ""
    return f"{text} with HTTP status {row.http}" if row.http is not None else text


def _of_query(what: Mapping[str, Any], told: Details) -> str:
    operation = told.get("operation")
    if operation == "completion":
        return f"Was offered values of {what.get('field')} while typing ({_rows(told)})"
    if operation == "query":
        return f"Asked the records a question: {told.get('question')} ({_rows(told)})"
    if operation == "show":
        return f"Looked at {told.get('kind', '')} {told.get('name', '')} ({_rows(told)})"
    if operation == "diff":
        return f"Compared {told.get('name', '')} ({_rows(told)})"
    if operation == "pivot":
        return f"Asked what {told.get('name', '')} is ({_rows(told)})"
    if operation == "keys.list":
        return f"Listed the keys ({_rows(told)})"
    return f"Read {operation}" if isinstance(operation, str) else "Asked the records a question"


def _of_export(what: Mapping[str, Any], told: Details) -> str:
    del what
    return f"Exported evidence: {told.get('question')} ({_rows(told)})"


def _of_reveal(what: Mapping[str, Any], told: Details) -> str:
    del what
    return f"Revealed content ({_rows(told)}): {told.get('reason', 'no reason stated')}"


def _of_denied(what: Mapping[str, Any], told: Details) -> str:
    del what
    count = told.get("count", 1)
    text = f"Was refused {count} times" if isinstance(count, int) and count != 1 else "Was refused"
    if "status" in told:
        text += f" with HTTP status {told['status']}"
    cause = str(told.get("cause") or told.get("code") or "").rstrip(".")
    where = f" at {told['path']}" if told.get("path") else ""
    return f"{text}{where}: {cause}" if cause else text + where


def _of_key(what: Mapping[str, Any], told: Details) -> str:
    if what.get("change") == "renewed":
        return "Renewed the key-encryption key"
    if what.get("change") == "copied":
        return "Copied all keys into a backup (--with-keys), at the machine itself"
    whose = ", ".join(f"{name} {told[name]}" for name in ("role", "team") if told.get(name))
    verb = {"created": "Created", "revoked": "Revoked"}.get(str(told.get("change")), "Changed")
    whom = told.get("for") or told.get("actor")
    of = f" ({whose})" if whose else ""
    return f"{verb} the key {told.get('key', '')}{of}{f' for {whom}' if whom else ''}"


def _of_config(what: Mapping[str, Any], told: Details) -> str:
    target = what.get("target")
    if isinstance(target, Mapping) and target.get("kind") == "query":
        verb = {"saved": "Saved", "deleted": "Forgot"}.get(str(told.get("change")), "Changed")
        return f"{verb} the query @{target.get('name', '')}"
    if what.get("before") is None:
        return "Put the configuration in force on record"
    return f"Changed the configuration{_first(told.get('changed'))}"


def _first(changed: Any) -> str:
    """What changed first, and how much more did; ``""`` if nothing is known to have."""
    if not isinstance(changed, list) or not changed:
        return ""
    return f": {changed[0]}{f' and {len(changed) - 1} more' if len(changed) > 1 else ''}"


def _of_identity(what: Mapping[str, Any], told: Details) -> str:
    if told.get("change") == "given_up":
        return f"Gave up ownership: the identity {told.get('identity', '')}"
    verb = "Created" if what.get("after") == "created" else "Changed"
    role = f" ({told['role']})" if told.get("role") else ""
    return f"{verb} the identity {told.get('identity') or told.get('actor') or ''}{role}"


_TELLING: Mapping[str, Callable[[Mapping[str, Any], Details], str]] = {
    "access.query": _of_query,
    "access.export": _of_export,
    "access.reveal": _of_reveal,
    "access.denied": _of_denied,
    "approval.requested": partial(decided.of_approval, "Asked for"),
    "approval.granted": partial(decided.of_approval, "Granted"),
    "approval.denied": partial(decided.of_approval, "Refused"),
    "retention.held": partial(decided.of_hold, "began"),
    "retention.released": partial(decided.of_hold, "ended"),
    "retention.erased": decided.of_erased,
    "retention.expired": decided.of_expired,
    "ledger.gap": decided.of_gap,
    "change.key": _of_key,
    "change.config": _of_config,
    "change.identity": _of_identity,
}
_HIDDEN = {
    "access.query": "Asked the records a question", "access.reveal": "Revealed content",
    "access.export": "Exported evidence", "access.denied": "Was refused",
}  # fmt: skip


def _rows(told: Details) -> str:
    rows = told.get("rows")
    return "1 row" if rows == 1 else f"{rows if isinstance(rows, int) else 'unknown'} rows"


# -- details -------------------------------------------------------------------------------------


def _refusal(found: Details, what: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    error = outcome.get("error")
    error = error if isinstance(error, Mapping) else {}
    found.pop("reason", None)
    _put(found, "status", outcome.get("http.response.status_code"))
    path, method = what.get("url.path"), what.get("http.request.method")
    if isinstance(path, str) and path:
        _put(found, "path", f"{method} {path}" if isinstance(method, str) and method else path)
    _put(found, "cause", error.get("message") or what.get("reason"))
    _put(found, "code", error.get("code") or what.get("code"))
    _put(found, "provider", what.get("provider"))
    _put(found, "count", what.get("count"))
    for name in ("paths", "addresses"):
        _put(found, name, what.get(name))
    _put(found, "repeated_before", what.get("repeated_before"))
    window = what.get("window")
    if isinstance(window, Mapping) and window.get("from") and window.get("until"):
        found["window"] = f"{window['from']} to {window['until']}"


def _put(found: Details, name: str, value: Any, *, empty: str = "") -> None:
    """Keep a value of a kind that can be shown, unless there is nothing in it."""
    if isinstance(value, str) and (value or empty) and value != "unknown":
        found[name] = (value or empty)[:_MAX_TEXT]
    elif isinstance(value, int) and not isinstance(value, bool):
        found[name] = value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        found[name] = [item[:_MAX_TEXT] for item in value]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _left(remaining: Mapping[str, Any]) -> str:
    until = f"until {remaining['until']}, " if remaining.get("until") else ""
    return f"{remaining.get('records')} records, {until}{remaining.get('why')}"


def _limits(policy: Any) -> list[str]:
    """How long each class of a ``change.policy`` is kept, a line each."""
    classes = policy.get("classes") if isinstance(policy, Mapping) else None
    found = []
    for name, one in classes.items() if isinstance(classes, Mapping) else ():
        if isinstance(one, Mapping):
            most = one.get("maximum")
            goes = "content goes" if one.get("expires") == "content" else "all sections go"
            ends = "no maximum" if most is None else f"{goes} after {decided.days(most)}"
            found.append(f"{name}: kept for {decided.days(one.get('minimum'))} at least; {ends}")
    return found


def _named(revealed: Mapping[str, Any]) -> str:
    parts = revealed.get("parts")
    names = ", ".join(map(str, parts)) if isinstance(parts, list) else ""
    return f"#{revealed.get('index')} {revealed.get('id')}: {names or 'no content'}"


def leaves(value: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Every value that is no object, with its path in dots."""
    found: list[tuple[str, Any]] = []
    for name, inner in value.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(inner, Mapping) and inner:
            found += leaves(inner, path)
        else:
            found.append((path, inner))
    return found


def _arrow(name: str, before: Any, after: Any) -> str:
    first, second = (_shown(value) for value in (before, after))
    return f"{name}: {first} → {second}" if name else f"{first} → {second}"


def _shown(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:_MAX_TEXT]
