"""From a record to its row: pure, total, and the same for a live record and one read back.

Rules: only what the sections say is used (never a hash, never the order of arrival beyond the
ledger's), so a rebuild from ledger and vault gives the same rows as living through it. A value
of the wrong type is treated as unknown: one odd record must not stop the index. A response
takes over what its request says about who and what, as it takes over its chains; a request gets
the names of the models that its response was served by. Not here: text (``text``), SQL.

What of a record's ``what`` becomes searchable: the names of the formats (OpenTelemetry's where
it has one); for changes ``target`` (``{"kind": …, "name": …}`` or a text) and ``models`` (the
models that depend on what was changed); ``actor``, ``key`` and ``identity`` say whose key or
identity a change changed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from affidavit.index.schema import OWN_LEAVES, Person, Row, bounded
from affidavit.record import disclose
from affidavit.record.model import SECTIONS, Placed, View

_MAX_INT = 2**53
_MAX_NAMES = 256
_INHERITED = (
    "tenant", "team", "actor", "kind", "role", "groups", "credential", "assurance", "session",
    "purpose", "provider", "dialect", "api", "operation", "stream", "method", "path", "trace",
    "span", "model_requested", "model_resolved",
)  # fmt: skip


class _Leaf(msgspec.Struct):
    sections: tuple[str | None, ...]


_leaf = msgspec.json.Decoder(_Leaf)


class Entry(NamedTuple):
    """What one record becomes."""

    row: Row
    person: Person | None


def viewed(placed: Placed) -> View:
    """A placed record in the form in which the vault gives it back.

    ``ParseError`` if a disclosure is not one (the record was never written by this program).
    """
    record = placed.record
    sections = {
        name: disclose.open_disclosure(text, name)
        for name, text in zip(SECTIONS, record.sections, strict=True)
        if text is not None
    }
    return View(
        index=placed.index, time=placed.time, at=record.at, id=record.id, type=record.type,
        tier=record.tier, re=placed.re, src=placed.src, digests=_leaf.decode(placed.leaf).sections,
        sections=sections,
        parts={part.name: body for part, body in zip(record.parts, placed.bodies, strict=True)},
    )  # fmt: skip


def project(view: View, request: Entry | None) -> Entry | None:
    """The row of a record; ``request`` is the entry of the record it answers, if there is one.

    ``None`` for leaves that carry nothing but the ledger's own bookkeeping.
    """
    if view.type in OWN_LEAVES:
        return None
    facts: dict[str, Any] = {}
    what = _section(view, "what")
    facts.update(_who(_section(view, "who")))
    facts.update(_what(what))
    facts.update(_control(_section(view, "control")))
    facts.update(_outcome(_section(view, "outcome")))
    person = _person(view)
    if request is not None:
        for name in _INHERITED:
            if not facts.get(name):
                facts[name] = getattr(request.row, name)
        facts["models"] = (*request.row.models, *facts["models"])
        if facts.get("parent") is None:
            facts["parent"] = request.row.id
        if person is None and request.person is not None:
            person = msgspec.structs.replace(request.person, idx=view.index)
    changed = what if view.type.startswith("change.") else {}
    facts["actors"] = _names(facts["actor"], changed.get("actor"))
    facts["credentials"] = _names(facts["credential"], changed.get("key"), changed.get("identity"))
    facts["models"] = tuple(dict.fromkeys(facts["models"]))
    facts["model"] = (
        facts.get("model_served") or facts.get("model_resolved") or facts.get("model_requested")
    )
    row = Row(
        idx=view.index, id=view.id, time=view.time, at=view.at, type=view.type, tier=view.tier,
        re=view.re, present=_bits(digest is not None for digest in view.digests),
        shown=_bits(name in view.sections for name in SECTIONS), **facts,
    )  # fmt: skip
    return Entry(row, person)


def answered(request: Row, response: Row) -> Row:
    """The request's row once its response is known: its index, and the models that served it."""
    return msgspec.structs.replace(
        request,
        answered=response.idx,
        models=tuple(dict.fromkeys((*request.models, *response.models))),
    )


def _section(view: View, name: str) -> Mapping[str, Any]:
    value = view.sections.get(name)
    return value if isinstance(value, dict) else {}


def _bits(flags: Any) -> int:
    return sum(1 << place for place, flag in enumerate(flags) if flag)


def _text(section: Mapping[str, Any], *names: str) -> str | None:
    """The first of ``names`` that is a text and not "unknown", cut to what the index keeps."""
    for name in names:
        value = section.get(name)
        if isinstance(value, str) and value and value != "unknown":
            return bounded(value)
    return None


def _whole(section: Mapping[str, Any], name: str) -> int | None:
    value = section.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_INT:
        return None
    return value


def _seconds(section: Mapping[str, Any], name: str) -> float | None:
    value = section.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_INT:
        return None
    return float(value)


def _names(*values: Any) -> tuple[str, ...]:
    """The texts of texts and lists, each once, at most ``_MAX_NAMES``."""
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    known = (item for item in items if isinstance(item, str) and item and item != "unknown")
    return tuple(dict.fromkeys(map(bounded, known)))[:_MAX_NAMES]


def _who(who: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: _text(who, name)
        for name in ("tenant", "team", "actor", "kind", "role", "credential", "assurance",
                     "session", "purpose")
    }  # fmt: skip
    found["groups"] = _names(who.get("groups"))
    return found


def _person(view: View) -> Person | None:
    section = _section(view, "person")
    values = {
        name: _text(section, name)
        for name in ("subject", "email", "name", "end_user", "session", "address", "user_agent")
    }
    return Person(view.index, **values) if any(values.values()) else None


def _what(what: Mapping[str, Any]) -> dict[str, Any]:
    target = what.get("target")
    kind = name = None
    if isinstance(target, dict):
        kind, name = _text(target, "kind"), _text(target, "name")
    elif isinstance(target, str):
        name = _text(what, "target")
    requested = _text(what, "gen_ai.request.model")
    resolved = _text(what, "model_resolved")
    served = _text(what, "gen_ai.response.model")
    named = (requested, resolved, served, name if kind in {"model", "alias"} else None)
    stream = what.get("gen_ai.request.stream")
    return {
        "provider": _text(what, "provider", "gen_ai.provider.name"),
        "dialect": _text(what, "dialect"),
        "api": _text(what, "api"),
        "operation": _text(what, "gen_ai.operation.name"),
        "model_requested": requested,
        "model_resolved": resolved,
        "model_served": served,
        "models": (*(model for model in named if model), *_names(what.get("models"))),
        "stream": int(stream) if isinstance(stream, bool) else None,
        "tools": tuple(
            dict.fromkeys(
                (*_names(what.get("tools_called")), *_names(what.get("gen_ai.tool.name")))
            )
        ),
        "sources": tuple(
            dict.fromkeys(
                (*_names(what.get("sources")), *_names(what.get("gen_ai.data_source.id")))
            )
        ),
        "target": f"{kind}:{name}" if kind and name else name,
        "method": _text(what, "http.request.method"),
        "path": _text(what, "url.path"),
        "request_id": _text(what, "request_id"),
        "trace": _text(what, "trace_id"),
        "span": _text(what, "span_id"),
        "parent": _text(what, "parent"),
        "parsed": _text(what, "parsed"),
    }


def _control(control: Mapping[str, Any]) -> dict[str, Any]:
    reasons = _names(control.get("reasons"))
    return {
        "decision": _text(control, "decision"),
        "reason": bounded("; ".join(reasons)) if reasons else None,
        "approval": _text(control, "approval"),
    }


def _outcome(outcome: Mapping[str, Any]) -> dict[str, Any]:
    error = outcome.get("error")
    return {
        "status": _text(outcome, "outcome"),
        "http": _whole(outcome, "http.response.status_code"),
        "finish": _names(outcome.get("gen_ai.response.finish_reasons")),
        "tokens_in": _whole(outcome, "gen_ai.usage.input_tokens"),
        "tokens_out": _whole(outcome, "gen_ai.usage.output_tokens"),
        "tokens_cached": _whole(outcome, "gen_ai.usage.cache_read.input_tokens"),
        "tokens_reasoning": _whole(outcome, "gen_ai.usage.reasoning.output_tokens"),
        "first_byte": _seconds(outcome, "time_to_first_byte"),
        "duration": _seconds(outcome, "duration"),
        "bytes": _whole(outcome, "bytes_delivered"),
        "error": _text(error, "code", "type", "message") if isinstance(error, dict) else None,
    }
