"""From content parts to what was said: the messages that are indexed and shown.

Rules: the provider's parser decides what a message is; bytes it does not understand are taken as
one text if they are UTF-8, so that traffic of an unknown kind is findable too; an error that the
gateway itself answered with is nobody's message; nothing here ever
fails on what a provider or a client sent. What a request asks are its messages after the last one
of the model, instructions apart; those before are history, which agents resend with every turn.
The answer depends on the view and its row alone, so live and rebuilt text are the same. Not here:
what was said before in the session (``text``).
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from affidavit.errors import ConfigError
from affidavit.index.schema import Row
from affidavit.providers import registry
from affidavit.providers.dialect import Dialect
from affidavit.providers.facts import Message, RequestFacts, text_of
from affidavit.record.model import View
from affidavit.wire.decode import decode

REQUEST_BODY = "request.body"
RESPONSE_BODY = "response.body"
_RAW_LIMIT = 1 << 20
_MODEL = frozenset({"assistant", "model"})
_INSTRUCTIONS = frozenset({"system", "developer"})

Headers = list[tuple[bytes, bytes]]


class Said(NamedTuple):
    """One message: who spoke (system, user, assistant, tool, or the part's name) and the text.

    ``new``: this record says it. History and instructions, which a request may merely repeat,
    are not.
    """

    role: str
    text: str
    new: bool = True


def said(view: View, row: Row) -> list[Said]:
    """The messages of a record's parts, in order; empty where there is no text or no content."""
    found: list[Said] = []
    for name, data in view.parts.items():
        messages: list[Said] = []
        if name == REQUEST_BODY:
            messages = _request(view, row, data)
        elif name == RESPONSE_BODY:
            if _is_ours(view):
                continue
            messages = _response(view, row, data)
        found += messages or _raw(name, view, data)
    return found


def _is_ours(view: View) -> bool:
    """Whether the gateway itself answered, because no provider did: no model said that."""
    what = view.sections.get("what")
    return isinstance(what, Mapping) and what.get("response_made_by") == "gateway"


def _headers(view: View, name: str) -> Headers:
    what = view.sections.get("what")
    pairs = what.get(name) if isinstance(what, Mapping) else None
    return [
        (pair[0].encode("utf-8", "replace"), pair[1].encode("utf-8", "replace"))
        for pair in (pairs if isinstance(pairs, list) else [])
        if isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], str)
    ]


@functools.lru_cache(256)
def _dialect(name: str) -> Dialect:
    try:
        return registry.lookup(name)
    except ConfigError:
        return registry.lookup("opaque")


@functools.lru_cache(256)
def _asked(dialect: str, method: str, path: str) -> RequestFacts:
    """What the API is follows from the path; the request's own bytes are another record's."""
    return _dialect(dialect).request(method, path, [], b"")


def _request(view: View, row: Row, data: bytes) -> list[Said]:
    dialect = _dialect(row.dialect or "opaque")
    headers = _headers(view, "http.request.headers")
    facts = dialect.request(row.method or "POST", row.path or "", headers, data)
    messages = dialect.conversation(facts, None)
    return _texts(messages, _asked_from(messages))


def _asked_from(messages: list[Message]) -> int:
    """Where a request's own messages begin: after what the model said before.

    Words put into the model's mouth for it to go on (a last message of its own) belong to them.
    """
    place = len(messages)
    while place and messages[place - 1].role in _MODEL:
        place -= 1
    while place and messages[place - 1].role not in _MODEL:
        place -= 1
    return place


def _response(view: View, row: Row, data: bytes) -> list[Said]:
    dialect = _dialect(row.dialect or "opaque")
    asked = _asked(row.dialect or "opaque", row.method or "POST", row.path or "")
    headers = _headers(view, "http.response.headers")
    return _texts(dialect.response(asked, row.http or 200, headers, data).messages)


def _texts(messages: Iterable[Message], new_from: int = 0) -> list[Said]:
    """The messages with words in them; those from ``new_from`` on are new, instructions never.

    Where nothing else is new, the last one is: whoever sent it asked something.
    """
    found = []
    for place, message in enumerate(messages):
        text = text_of([message])
        if text.strip():
            new = place >= new_from and message.role not in _INSTRUCTIONS
            found.append(Said(message.role, text, new))
    if found and not any(message.new for message in found):
        found[-1] = found[-1]._replace(new=True)
    return found


def _raw(name: str, view: View, data: bytes) -> list[Said]:
    """The bytes as they are, decoded as their headers say, if that makes them a text."""
    side = "http.request.headers" if name == REQUEST_BODY else "http.response.headers"
    coding = ""
    for header, value in _headers(view, side):
        if header.lower() == b"content-encoding" and name in (REQUEST_BODY, RESPONSE_BODY):
            coding = value.decode("latin-1")
    try:
        text = decode(data, coding, _RAW_LIMIT).data.decode()
    except UnicodeDecodeError:
        return []
    return [Said(name, text)] if text.strip() else []
