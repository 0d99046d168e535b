"""Session, purpose, user and trace: precedence, pseudonyms, nothing obeyed that hides."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.control.attribution import (
    Attribution,
    Hints,
    ResponseSessions,
    attribute,
    session_pseudonym,
)
from affidavit.control.identity import Identity

ME = Identity("key_1", "t", "act_1", "service", "caller", "red", (), "bot", "", bytes(32), "")
KEY = b"k" * 32


def call(headers: list[tuple[bytes, bytes]], hints: Hints | None = None) -> Attribution:
    """Attribute with a fresh memory of responses."""
    return attribute(headers, hints or Hints(), ME, KEY, ResponseSessions())


def test_header_beats_body_beats_inference() -> None:
    """The record says which source was believed."""
    hints = Hints(session="b", previous_response_id="resp_1")
    got = call([(b"helicone-session-id", b"h"), (b"affidavit-session", b"a")], hints)
    assert (got.session_raw, got.session_source) == ("a", "header")
    assert call([], hints).session_source == "body"
    inferred = call([], Hints(previous_response_id="resp_1"))
    assert (inferred.session_raw, inferred.session_source) == ("resp_1", "inferred")
    assert call([]).session is None


def test_previous_response_leads_to_its_session() -> None:
    """A response seen in a session carries that session on; the memory is bounded."""
    sessions = ResponseSessions(limit=2)
    sessions.remember("t", "r1", "s")
    assert attribute(
        [], Hints(previous_response_id="r1"), ME, KEY, sessions
    ).session == session_pseudonym(KEY, "s")
    sessions.remember("t", "r2", "s")
    sessions.remember("t", "r3", "s")
    assert sessions.find("t", "r1") == "r1"
    assert sessions.find("u", "r3") == "r3"


def test_pseudonyms_differ_by_team_key_and_hide_the_id() -> None:
    """Same id, other key: another pseudonym; same key: the same on every worker."""
    assert session_pseudonym(KEY, "s") == session_pseudonym(KEY, "s")
    assert session_pseudonym(KEY, "s") != session_pseudonym(b"x" * 32, "s")
    assert len(session_pseudonym(KEY, "s")) == 30


def test_ids_that_are_no_utf8_stay_apart() -> None:
    """Field values are bytes: two sessions do not become one because neither is text."""
    one, two = (call([(b"affidavit-session", value)]) for value in (b"caf\xe9", b"caf\xe8"))
    assert (one.session_raw, two.session_raw) == ("caf\xe9", "caf\xe8")
    assert one.session != two.session
    assert call([(b"affidavit-session", "caf\xe9".encode())]).session == one.session


def test_opt_outs_are_noted_and_purpose_and_user_read() -> None:
    """A header that asks not to record is itself recorded."""
    got = call(
        [
            (b"helicone-omit-request", b"true"),
            (b"affidavit-purpose", b"ticket-7"),
            (b"helicone-user-id", b"u1"),
        ]
    )
    assert got.opt_out == ("helicone-omit-request",)
    assert (got.purpose, got.end_user) == ("ticket-7", "u1")


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        (b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        (b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        (b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        (b"nonsense", False),
    ],
)
def test_traceparent(value: bytes, valid: bool) -> None:
    """W3C Trace Context §3.2: lower-case hex, no all-zero ids, version ff is invalid."""
    got = call([(b"traceparent", value)])
    assert (got.trace_id is not None) == valid == (got.span_id is not None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"affidavit-session", b"traceparent", b"affidavit-purpose", b"x"]),
            st.binary(max_size=60),
        )
    )
)
def test_never_raises(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever the headers hold, there is an attribution, and pseudonyms are plain ASCII."""
    got = call(headers)
    assert got.session is None or set(got.session) <= set(string.ascii_lowercase + "_234567")
