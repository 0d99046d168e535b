"""Claims about what an exchange's records say and which chains they join."""

import json
from typing import Any

import msgspec
import pytest

from affidavit.capture.sections import (
    person,
    request_chains,
    request_what,
    response_chains,
    shown,
    who,
)
from affidavit.providers import registry
from affidavit.record.model import Chain
from tests.unit.capture.facts import JSON, asked
from tests.world.gateway import chat, chat_answer, identity


def chain(dimension: str, value: str = "") -> Chain:
    """A chain of the test's tenant."""
    return Chain("acme", dimension, value)


def test_who_holds_pseudonyms_and_no_name() -> None:
    """Nothing in ``who`` or ``what`` identifies a human or is a secret."""
    person_ = msgspec.structs.replace(identity(), name="Alice Doe", email="alice@example.com")
    one = asked(
        who=person_,
        headers=((b"user-agent", b"alice-agent"), (b"x-forwarded-for", b"alice-ip"),
                 (b"helicone-user-id", b"alice-user"), (b"authorization", b"Bearer alice-key"),
                 (b"accept", b"*/*")),
        session="ses_x", session_source="header", session_raw="alice-session",
        end_user="alice-end", purpose="ticket-7",
    )  # fmt: skip
    open_sections = json.dumps([who(one), request_what(one, shown(one.headers)[0])]).lower()
    assert "alice" not in open_sections
    assert "192.0.2.7" not in open_sections
    assert who(one)["session"] == "ses_x"
    assert who(one)["purpose"] == "ticket-7"
    assert person(one, shown(one.headers)[1]) == {
        "email": "alice@example.com",
        "name": "Alice Doe",
        "end_user": "alice-end",
        "session": "alice-session",
        "address": "192.0.2.7",
        "user_agent": "alice-agent",
        "headers": [["x-forwarded-for", "alice-ip"], ["helicone-user-id", "alice-user"]],
    }


def test_unknown_is_left_out() -> None:
    """No session, no purpose, no trace: no such names."""
    one = asked()
    assert {"session", "purpose", "delegation"}.isdisjoint(who(one))
    assert {"trace_id", "span_id", "recording_opt_out"}.isdisjoint(
        request_what(one, shown(one.headers)[0])
    )


def test_an_opt_out_is_noted_and_not_obeyed() -> None:
    """Headers that switch recording off elsewhere are on record."""
    section = request_what(asked(opt_out=("helicone-omit-request",)), [])
    assert section["recording_opt_out"] == ["helicone-omit-request"]


@pytest.mark.parametrize(
    "name",
    [b"baggage", b"x-portkey-metadata", b"cf-aig-metadata", b"helicone-property-user",
     b"x-litellm-spend-logs-metadata", b"helicone-session-name"],
)  # fmt: skip
def test_what_callers_say_in_their_own_words_may_name_a_human(name: bytes) -> None:
    """Such fields are in ``person``, which an erasure reaches, and not in ``what``."""
    impersonal, personal = shown([(name, b"alice@example.com"), (b"accept", b"a")])
    assert impersonal == [["accept", "a"]]
    assert personal == [[name.decode(), "alice@example.com"]]


def test_credentials_in_the_query_are_not_recorded() -> None:
    """The path keeps its parameters, not the values of credential ones."""
    section = request_what(asked(path="/v1/x?api_key=secret&y=2"), [])
    assert section["url.path"] == "/v1/x?api_key=[redacted]&y=2"


@pytest.mark.parametrize(
    ("body", "values", "expected"),
    [
        (chat("m1"), {}, [chain("model", "m1"), chain("actor", "act_1"), chain("key", "key_1")]),
        (chat("m1"), {"session": "ses_1"},
         [chain("model", "m1"), chain("actor", "act_1"), chain("key", "key_1"),
          chain("session", "ses_1")]),
        (b"not json", {},
         [chain("model.unattributed"), chain("actor", "act_1"), chain("key", "key_1"),
          chain("session.unattributed")]),
        (b'{"model":"a","model":"b","messages":[]}', {},
         [chain("model", "b"), chain("model.unattributed"), chain("actor", "act_1"),
          chain("key", "key_1"), chain("session.unattributed")]),
        (b'{"messages":[]}', {},
         [chain("model.unattributed"), chain("actor", "act_1"), chain("key", "key_1")]),
    ],
)  # fmt: skip
def test_chains_of_a_request(body: bytes, values: dict[str, Any], expected: list[Chain]) -> None:
    """Model, actor, key, session; what is unknown or unread joins ``.unattributed``."""
    found = request_chains(asked(body, **values))
    assert [c for c in found if c in expected] == [c for c in expected if c in found]
    assert set(expected) - {chain("model.unattributed")} <= set(found)


def answer(tools: int = 0, model: str = "m1-2026") -> bytes:
    """An answer of that model that calls so many tools."""
    document = json.loads(chat_answer(model))
    document["choices"][0]["message"]["tool_calls"] = [
        {"id": f"c{n}", "type": "function", "function": {"name": f"t{n}", "arguments": "{}"}}
        for n in range(tools)
    ]
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("status", "body", "added"),
    [
        (200, answer(), [chain("model", "m1-2026")]),
        (200, answer(model="m1"), []),
        (200, answer(2), [chain("model", "m1-2026"), chain("tool", "t0"), chain("tool", "t1")]),
        (200, answer(9), [chain("model", "m1-2026"), *(chain("tool", f"t{n}") for n in range(8)),
                          chain("tool.unattributed")]),
        (200, b"garbage", [chain("model.unattributed"), chain("tool.unattributed")]),
        (429, b'{"error":{"message":"slow"}}', []),
        (500, b"oops", [chain("model.unattributed"), chain("tool.unattributed")]),
    ],
)  # fmt: skip
def test_chains_of_a_response(status: int, body: bytes, added: list[Chain]) -> None:
    """Those of the request first, then the served model and the tools called, at most eight."""
    one = asked(chat("m1"))
    request = request_chains(one)
    facts = registry.lookup("openai").response(one.facts, status, JSON, body)
    assert response_chains(one, request, facts) == (*request, *added)


def test_a_call_that_nobody_answered_joins_what_its_request_joined() -> None:
    """Nothing was served, so nothing is unattributed."""
    one = asked(chat("m1"))
    assert response_chains(one, request_chains(one), None) == request_chains(one)
