"""How a record looks to whoever asks for JSON: one flat object, every key documented once.

Rules: a key belongs to a section of the record; where the section is outside the reader's
boundary, the key is absent (the page names the withheld sections), so ``null`` always means "not
known or not applicable", or leads to a record that is outside. Times are stored text, durations
seconds, lists arrays of texts. Not here: which rows (``search``).
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from affidavit.index.schema import Person, Row
from affidavit.query.boundary import Boundary
from affidavit.record.model import SECTIONS


class RowField(NamedTuple):
    """One key of a row object: its section, its column, what it says."""

    section: str
    column: str
    help: str


ROW_FIELDS: Mapping[str, RowField] = {
    "index": RowField("leaf", "idx", "place in the ledger, from 0"),
    "time": RowField("leaf", "time", "ledger time"),
    "at": RowField("leaf", "at", "time the source claims"),
    "id": RowField("leaf", "id", "record id"),
    "type": RowField("leaf", "type", "record type"),
    "tier": RowField("leaf", "tier", "how it was obtained: observed, reported, imported"),
    "re": RowField("leaf", "re", "index of the request this answers"),
    "answered": RowField("leaf", "answered", "index of the response to this request"),
    "first_of": RowField("who", "firsts", "dimensions in which this exchange brought a new value"),
    "tenant": RowField("who", "tenant", "tenant"),
    "team": RowField("who", "team", "team"),
    "actor": RowField("who", "actor", "pseudonym of who caused it"),
    "kind": RowField("who", "kind", "person, service or agent"),
    "role": RowField("who", "role", "role of the actor"),
    "groups": RowField("who", "groups", "groups of the actor"),
    "credential": RowField("who", "credential", "id of the key that was used"),
    "assurance": RowField("who", "assurance", "how sure the identity is"),
    "session": RowField("who", "session", "pseudonym of the conversation or agent run"),
    "purpose": RowField("who", "purpose", "stated purpose"),
    "provider": RowField("what", "provider", "configured provider"),
    "api": RowField("what", "api", "interface called"),
    "operation": RowField("what", "operation", "what was asked for"),
    "model": RowField("what", "model", "served, else resolved, else requested model"),
    "model_requested": RowField("what", "model_requested", "model the caller named"),
    "model_resolved": RowField("what", "model_resolved", "model the gateway asked for"),
    "model_served": RowField("what", "model_served", "model the provider says answered"),
    "models": RowField("what", "models", "every model the record is found under"),
    "stream": RowField("what", "stream", "whether a stream was asked for"),
    "tools": RowField("what", "tools", "tools called"),
    "sources": RowField("what", "sources", "data sources used"),
    "target": RowField("what", "target", "what a change changed, as kind:name"),
    "method": RowField("what", "method", "HTTP method"),
    "path": RowField("what", "path", "path of the call, credentials redacted"),
    "request_id": RowField("what", "request_id", "the provider's request id"),
    "trace": RowField("what", "trace", "trace id"),
    "span": RowField("what", "span", "span id"),
    "parent": RowField("what", "parent", "id of the record this answers or belongs to"),
    "parsed": RowField("what", "parsed", "yes, or why the bytes were not understood"),
    "decision": RowField("control", "decision", "what policy decided"),
    "reason": RowField("control", "reason", "why"),
    "approval": RowField("control", "approval", "approval asked for or given"),
    "status": RowField("outcome", "status", "how it ended"),
    "http": RowField("outcome", "http", "HTTP status"),
    "finish": RowField("outcome", "finish", "why the model stopped"),
    "tokens_in": RowField("outcome", "tokens_in", "tokens read, cached ones included"),
    "tokens_out": RowField("outcome", "tokens_out", "tokens written"),
    "tokens_cached": RowField("outcome", "tokens_cached", "tokens read from a cache"),
    "tokens_reasoning": RowField("outcome", "tokens_reasoning", "tokens of hidden reasoning"),
    "first_byte": RowField("outcome", "first_byte", "seconds to the first byte"),
    "duration": RowField("outcome", "duration", "seconds from request to end"),
    "bytes": RowField("outcome", "bytes", "bytes received"),
    "cost": RowField("outcome", "cost", "cost as the provider reports it, in its unit"),
    "error": RowField("outcome", "error", "code of the error"),
    "subject": RowField("person", "subject", "subject of the person's token"),
    "email": RowField("person", "email", "e-mail address"),
    "name": RowField("person", "name", "name"),
    "end_user": RowField("person", "end_user", "the application's own user id"),
    "caller_session": RowField("person", "session", "the caller's own session id"),
    "address": RowField("person", "address", "client address"),
    "user_agent": RowField("person", "user_agent", "client program"),
    "erased": RowField("leaf", "", "sections committed to that can no longer be read"),
}


_LEADS = frozenset({"re", "answered", "parent"})


def shaped(
    row: Row, person: Person | None, boundary: Boundary, hidden: Collection[int | str] = ()
) -> dict[str, Any]:
    """The object of one record, as far as the boundary shows its sections.

    ``hidden``: indexes and ids of records it may lead to and that are not to be known.
    """
    found: dict[str, Any] = {}
    for key, field in ROW_FIELDS.items():
        if field.section == "leaf" or field.section in boundary.sections:
            if key == "first_of" and not boundary.whole_tenants:
                continue  # it says whether others, of whom the reader may not know, had the value
            if key == "erased":
                gone = row.present & ~row.shown
                found[key] = [s for place, s in enumerate(SECTIONS) if gone >> place & 1]
                continue
            value = getattr(person if field.section == "person" else row, field.column, None)
            if key in _LEADS and value in hidden:
                value = None
            if key == "stream" and value is not None:
                value = bool(value)
            found[key] = list(value) if isinstance(value, tuple) else value
    return found


def withheld(boundary: Boundary) -> tuple[str, ...]:
    """The sections outside the boundary, in the order of the record."""
    return tuple(name for name in SECTIONS if name not in boundary.sections)
