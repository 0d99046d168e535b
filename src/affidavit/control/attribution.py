"""From headers and body hints to session, purpose, end user and trace.

Rules: a header of ours beats a header of others, a header beats the body, the body beats
inference, and the record says which (``session_source``); a caller's session id becomes a
pseudonym that differs per tenant and team; headers by which others' products switch recording
off are noted and not obeyed. Nothing here is verified: what a caller says about itself has
``assurance`` *asserted* at most. Not here: who the caller is (``identity``) and what bodies look
like (``providers``).
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from affidavit import ids
from affidavit.control.identity import Identity

MAX_VALUE = 512
"""Longer session ids, users and purposes are cut to this many characters before use."""

_SESSION_HEADERS = (
    b"affidavit-session", b"helicone-session-id", b"agent-session-id", b"x-bf-session-id",
    b"mcp-session-id", b"x-litellm-session-id", b"x-litellm-trace-id",
)  # fmt: skip
_USER_HEADERS = (
    b"affidavit-user", b"helicone-user-id", b"x-litellm-end-user-id", b"x-litellm-customer-id",
    b"x-openwebui-user-email", b"x-openwebui-user-id",
)  # fmt: skip
_OPT_OUT_HEADERS = frozenset({
    b"x-litellm-enable-message-redaction", b"cf-aig-collect-log-payload",
    b"helicone-omit-request", b"helicone-omit-response", b"x-bf-disable-content-logging",
})  # fmt: skip
_READ = frozenset({*_SESSION_HEADERS, *_USER_HEADERS, *_OPT_OUT_HEADERS}) | {
    b"affidavit-purpose",
    b"traceparent",
}
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?\Z")


class Hints(msgspec.Struct, frozen=True):
    """What a request's body says about its surroundings; ``providers`` fills it."""

    session: str | None = None
    end_user: str | None = None
    previous_response_id: str | None = None


class Attribution(msgspec.Struct, frozen=True):
    """Where a call belongs. ``session`` is a pseudonym, ``session_raw`` the caller's own id."""

    session: str | None
    session_source: str
    session_raw: str | None
    end_user: str | None
    purpose: str | None
    trace_id: str | None
    span_id: str | None
    opt_out: tuple[str, ...]


class ResponseSessions:
    """Which session a provider's response id belonged to; the newest ``limit`` ids are kept."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._sessions: OrderedDict[tuple[str, str], str] = OrderedDict()

    def remember(self, tenant: str, response_id: str, session_raw: str) -> None:
        """Note that ``response_id`` was given in this session."""
        self._sessions[tenant, response_id] = session_raw
        self._sessions.move_to_end((tenant, response_id))
        while len(self._sessions) > self._limit:
            self._sessions.popitem(last=False)

    def find(self, tenant: str, response_id: str) -> str:
        """The session of that response; its own id where this process has not seen it."""
        return self._sessions.get((tenant, response_id), response_id)


def session_pseudonym(key: bytes, session_raw: str) -> str:
    """``ses_`` and 26 characters: HMAC-SHA-256 under the team's 32-byte key, 128 bits of it."""
    digest = hmac.digest(key, session_raw.encode("utf-8", "surrogateescape"), hashlib.sha256)
    return "ses_" + ids.b32(digest[:16])


def attribute(
    headers: Sequence[tuple[bytes, bytes]],
    hints: Hints,
    identity: Identity,
    pseudonym_key: bytes,
    sessions: ResponseSessions,
) -> Attribution:
    """Say where a call belongs; never raises, whatever the headers hold."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in _READ and name not in found and value.strip():
            found[name] = _text(value.strip())[:MAX_VALUE]
    raw, source = _session(found, hints, identity.tenant, sessions)
    trace_id, span_id = _trace(found.get(b"traceparent", ""))
    return Attribution(
        session=None if raw is None else session_pseudonym(pseudonym_key, raw),
        session_source=source,
        session_raw=raw,
        end_user=_first(found, _USER_HEADERS) or _cut(hints.end_user),
        purpose=found.get(b"affidavit-purpose"),
        trace_id=trace_id,
        span_id=span_id,
        opt_out=tuple(sorted(name.decode() for name in _OPT_OUT_HEADERS & found.keys())),
    )


def _trace(traceparent: str) -> tuple[str | None, str | None]:
    """Trace and span id of a W3C ``traceparent``; none of them if it is not valid."""
    found = _TRACEPARENT.match(traceparent.encode()) if traceparent else None
    if found is None or found[1] == b"ff" or not (int(found[2], 16) and int(found[3], 16)):
        return None, None
    return found[2].decode(), found[3].decode()


def _session(
    found: dict[bytes, str], hints: Hints, tenant: str, sessions: ResponseSessions
) -> tuple[str | None, str]:
    header = _first(found, _SESSION_HEADERS)
    if header is not None:
        return header, "header"
    if hints.session:
        return _cut(hints.session), "body"
    if hints.previous_response_id:
        return _cut(sessions.find(tenant, hints.previous_response_id)), "inferred"
    return None, "none"


def _text(value: bytes) -> str:
    """UTF-8, else latin-1 (RFC 9110 §5.5 allows any), so that different bytes stay different."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _first(found: dict[bytes, str], names: Sequence[bytes]) -> str | None:
    return next((found[name] for name in names if name in found), None) if found else None


def _cut(value: str | None) -> str | None:
    return value[:MAX_VALUE] if value else None
