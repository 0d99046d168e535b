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

import binascii
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from affidavit.errors import ParseError
from affidavit.index.schema import MAX_TEXT, OWN_LEAVES, Person, Row, bounded
from affidavit.record.model import SECTIONS, Placed, View

_MAX_INT = 2**53
_MAX_NAMES = 256
MAX_COST = 1_000_000.0
"""No single exchange costs more; sums of what is kept stay within 64 bits."""

_INHERITED = (
    "tenant", "team", "actor", "kind", "role", "groups", "credential", "assurance", "session",
    "purpose", "provider", "dialect", "api", "operation", "stream", "method", "path", "trace",
    "span", "model_requested", "model_resolved",
)  # fmt: skip
_WHO = tuple(
    (name, name)
    for name in (
        "tenant", "team", "actor", "kind", "role", "credential", "assurance", "session", "purpose",
    )
)  # fmt: skip
_WHAT = (
    ("provider", "gen_ai.provider.name"), ("provider", "provider"), ("dialect", "dialect"),
    ("api", "api"), ("operation", "gen_ai.operation.name"), ("target", "target"),
    ("model_requested", "gen_ai.request.model"), ("model_resolved", "model_resolved"),
    ("model_served", "gen_ai.response.model"), ("method", "http.request.method"),
    ("path", "url.path"), ("request_id", "request_id"), ("trace", "trace_id"),
    ("span", "span_id"), ("parent", "parent"), ("parsed", "parsed"),
)  # fmt: skip
_CONTROL = (("decision", "decision"), ("approval", "approval"))
_OUTCOME = (("status", "outcome"),)
_COUNTS = (
    ("http", "http.response.status_code"), ("tokens_in", "gen_ai.usage.input_tokens"),
    ("tokens_out", "gen_ai.usage.output_tokens"),
    ("tokens_cached", "gen_ai.usage.cache_read.input_tokens"),
    ("tokens_reasoning", "gen_ai.usage.reasoning.output_tokens"), ("bytes", "bytes_received"),
)  # fmt: skip
_HTTP = range(100, 1000)
"""What has three digits; anything else is no status (RFC 9110 §15), whatever somebody reported."""
_REALS = (("first_byte", "time_to_first_byte"), ("duration", "duration"), ("cost", "cost"))
_BITS = tuple(1 << place for place in range(len(SECTIONS)))
_BIT_OF = dict(zip(SECTIONS, _BITS, strict=True))
_PERSON = tuple((name, name) for name in Person.__struct_fields__[1:])


class _Leaf(msgspec.Struct):
    sections: tuple[str | None, ...]


_PLAIN = bytes.maketrans(b"-_", b"+/")
_inherited = operator.attrgetter(*_INHERITED)

_REPEATED = frozenset({"who", "context", "control"})
"""Sections of which many records have the same: of one session, one worker, one decision."""
_SALT_CHARACTERS = 36
"""So many characters of a disclosure, 27 bytes, hold its salt; in the others it leaves no trace."""
_LONG = 4_000
_REMEMBERED = 4_096

_leaf = msgspec.json.Decoder(_Leaf)
_json = msgspec.json.Decoder()


class _Again:
    """A section that was seen before: its value, and what was made of it."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.facts: Mapping[str, Any] | None = None


_again_by_text: dict[str, _Again] = {}
_again_by_object: dict[int, _Again] = {}


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
        name: _opened(text, name)
        for name, text in zip(SECTIONS, record.sections, strict=True)
        if text is not None
    }
    return View(
        index=placed.index, time=placed.time, at=record.at, id=record.id, type=record.type,
        tier=record.tier, re=placed.re, src=placed.src, digests=_leaf.decode(placed.leaf).sections,
        sections=sections, firsts=placed.firsts,
        parts={part.name: body for part, body in zip(record.parts, placed.bodies, strict=True)},
    )  # fmt: skip


def _opened(text: str, name: str) -> Any:
    """The value of a disclosure as its writer made it, a moment ago.

    The vault opens the same text strictly; here, on the way of every record, nothing can be wrong
    with it but its name.
    """
    if name in _REPEATED and len(text) < _LONG:
        return _again(text[_SALT_CHARACTERS:], name, text)
    return _value(text, name)


def _value(text: str, name: str) -> Any:
    _, given, value = _json.decode(binascii.a2b_base64(text.encode().translate(_PLAIN) + b"=="))
    if given != name:
        raise ParseError(f"This is a disclosure, but not of section {name}.")
    return value


def _again(rest: str, name: str, text: str) -> Any:
    """The value of a section that many records have alike but for its salt; the same object."""
    again = _again_by_text.get(rest)
    if again is None:
        again = _Again(_value(text, name))
        if len(_again_by_text) >= _REMEMBERED:
            _again_by_text.clear()
            _again_by_object.clear()
        _again_by_text[rest] = _again_by_object[id(again.value)] = again
    return again.value


def _remembered(
    project: Callable[[Mapping[str, Any]], dict[str, Any]], section: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What ``project`` makes of a section; once if it is one of those seen again and again."""
    again = _again_by_object.get(id(section))
    if again is None or again.value is not section:
        return project(section)
    if again.facts is None:
        again.facts = project(section)
    return again.facts


def project(view: View, request: Entry | None) -> Entry | None:
    """The row of a record; ``request`` is the entry of the record it answers, if there is one.

    ``None`` for leaves that carry nothing but the ledger's own bookkeeping.
    """
    if view.type in OWN_LEAVES:
        return None
    what = _section(view, "what")
    facts: dict[str, Any] = {}
    if request is not None:
        facts = dict(zip(_INHERITED, _inherited(request.row), strict=True))
    facts.update(_remembered(_who, _section(view, "who")))
    facts.update(_what(what))
    facts.update(_remembered(_control, _section(view, "control")))
    facts.update(_outcome(_section(view, "outcome")))
    person = _texts(_section(view, "person"), _PERSON)
    human = Person(view.index, **person) if person else None
    if request is not None:
        facts["models"] = (*request.row.models, *facts["models"])
        facts.setdefault("parent", request.row.id)
        if human is None and request.person is not None:
            human = msgspec.structs.replace(request.person, idx=view.index)
    changed = what if view.type.startswith("change.") else {}
    facts["actors"] = _names(facts.get("actor"), changed.get("actor"))
    facts["credentials"] = _names(
        facts.get("credential"), changed.get("key"), changed.get("identity")
    )
    facts["models"] = tuple(dict.fromkeys(facts["models"]))
    facts["model"] = (
        facts.get("model_served") or facts.get("model_resolved") or facts.get("model_requested")
    )
    present = sum([bit for bit, digest in zip(_BITS, view.digests, strict=True) if digest])
    shown = sum([_BIT_OF.get(name, 0) for name in view.sections])
    row = Row(
        idx=view.index, id=view.id, time=view.time, at=view.at, type=view.type, tier=view.tier,
        re=view.re, present=present, shown=shown, firsts=view.firsts, **facts,
    )  # fmt: skip
    return Entry(row, human)


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


def _texts(section: Mapping[str, Any], names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Columns and their texts, where the section has one that is not "unknown"."""
    found: dict[str, Any] = {}
    for column, name in names:
        value = section.get(name)
        if value and isinstance(value, str) and value != "unknown":
            found[column] = value[:MAX_TEXT]
    return found


def _numbers(
    section: Mapping[str, Any], names: Iterable[tuple[str, str]], kind: type[int] | type[float]
) -> dict[str, Any]:
    """Columns and their numbers, where the section has one from 0 to 2^53."""
    found: dict[str, Any] = {}
    for column, name in names:
        value = section.get(name)
        if value is None or isinstance(value, bool) or not isinstance(value, kind | int):
            continue
        if 0 <= value <= _MAX_INT:
            found[column] = kind(value)
    return found


def _names(*values: Any) -> tuple[str, ...]:
    """The texts of texts and lists, each once, at most ``_MAX_NAMES``."""
    found: dict[str, None] = {}
    for value in values:
        if value is not None:
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, str) and item and item != "unknown":
                    found[item[:MAX_TEXT]] = None
    return tuple(found)[:_MAX_NAMES]


def _who(who: Mapping[str, Any]) -> dict[str, Any]:
    found = _texts(who, _WHO)
    groups = _names(who.get("groups"))
    if groups:
        found["groups"] = groups
    return found


def _what(what: Mapping[str, Any]) -> dict[str, Any]:
    found = _texts(what, _WHAT)
    models = [found.get(f"model_{name}") for name in ("requested", "resolved", "served")]
    target = what.get("target")
    if isinstance(target, dict):
        kind, name = target.get("kind"), target.get("name")
        if isinstance(kind, str) and isinstance(name, str) and kind and name:
            found["target"] = bounded(f"{kind}:{name}")
            models.append(name if kind in ("model", "alias") else None)
    found["models"] = _names([*models, *_names(what.get("models"))])
    found["tools"] = _names(what.get("tools_called"), what.get("gen_ai.tool.name"))
    found["sources"] = _names(what.get("sources"), what.get("gen_ai.data_source.id"))
    stream = what.get("gen_ai.request.stream")
    if isinstance(stream, bool):
        found["stream"] = int(stream)
    return found


def _control(control: Mapping[str, Any]) -> dict[str, Any]:
    found = _texts(control, _CONTROL)
    reasons = _names(control.get("reasons"))
    if reasons:
        found["reason"] = bounded("; ".join(reasons))
    return found


def _outcome(outcome: Mapping[str, Any]) -> dict[str, Any]:
    found = _texts(outcome, _OUTCOME)
    found.update(_numbers(outcome, _COUNTS, int))
    if found.get("http", 100) not in _HTTP:
        del found["http"]
    found.update(_numbers(outcome, _REALS, float))
    if found.get("cost", 0.0) > MAX_COST:
        del found["cost"]
    found["finish"] = _names(outcome.get("gen_ai.response.finish_reasons"))
    error = outcome.get("error")
    if isinstance(error, dict):
        named = _names([error.get(name) for name in ("code", "type", "message")])
        if named:
            found["error"] = named[0]
    return found
