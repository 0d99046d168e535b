"""Projection: what a row says follows from the sections alone, whatever they hold."""

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from affidavit.index.project import Entry, answered, project, viewed
from affidavit.index.schema import MAX_TEXT, Row, person_postings, postings
from affidavit.record.disclose import disclose
from affidavit.record.model import SECTIONS, TYPES, View
from tests.unit.index.made import OUTCOME, SERVED, WHAT, WHO, placed, request, response


def entry(view: View, asked: Entry | None = None) -> Entry:
    """The entry of a view that has one."""
    found = project(view, asked)
    assert found is not None
    return found


def test_a_request_becomes_a_row_with_its_facts_by_name() -> None:
    """Each fact of who, what and control stands in its own column."""
    row = entry(viewed(request(0))).row
    assert (row.tenant, row.team, row.actor, row.session) == (
        "acme", "support", "act_alice", "ses_1",
    )  # fmt: skip
    assert (row.model, row.models, row.api, row.decision) == (
        "gpt-4o", ("gpt-4o",), "chat.completions", "allow",
    )  # fmt: skip
    assert row.groups == ("oncall",)
    assert row.present == row.shown == 0b1010111


def test_unknown_is_not_a_value() -> None:
    """The word "unknown" of the formats is stored as not known."""
    assert entry(viewed(request(0))).row.purpose is None
    odd = entry(viewed(request(0, what={"gen_ai.request.model": "unknown"}))).row
    assert odd.model is None
    assert odd.models == ()


def test_a_response_takes_over_what_its_request_says() -> None:
    """Who, session and models come from the request; the outcome is the response's own."""
    asked = entry(viewed(request(0)))
    given_back = entry(viewed(response(1, 0)), asked)
    row = given_back.row
    assert (row.actor, row.session, row.tenant) == ("act_alice", "ses_1", "acme")
    assert row.models == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (row.model, row.status, row.http) == ("gpt-4o-2024-08-06", "complete", 200)
    assert (row.tokens_in, row.tokens_out, row.duration) == (5, 7, 1.5)
    assert row.decision is None
    assert row.parent == asked.row.id
    assert given_back.person is not None
    assert given_back.person.email == "Alice@example.com"


@pytest.mark.parametrize(("said", "kept"), [(0.00014, 0.00014), (0, 0.0), (1_000_001, None),
                                            (-1, None), ("0.5", None), (None, None)])  # fmt: skip
def test_a_cost_is_what_the_provider_reported(said: object, kept: float | None) -> None:
    """A number from 0 to a million; anything else is not known."""
    assert entry(viewed(response(1, 0, outcome={"cost": said}))).row.cost == kept


def test_a_request_learns_which_model_served_it() -> None:
    """After its response, the request is found under the served model too."""
    asked = entry(viewed(request(0)))
    row = answered(asked.row, entry(viewed(response(1, 0)), asked).row)
    assert row.answered == 1
    assert ("model", "gpt-4o-2024-08-06") in postings(row)
    assert row.model == "gpt-4o"


def test_a_change_is_found_by_its_target_and_by_what_depends_on_it() -> None:
    """A change of a prompt is posted under the models that use the prompt."""
    what = {"target": {"kind": "prompt", "name": "triage"}, "models": ["gpt-4o", "claude"]}
    row = entry(viewed(placed(0, "change.prompt", {"who": WHO, "what": what}))).row
    assert row.target == "prompt:triage"
    assert {("model", "gpt-4o"), ("model", "claude"), ("target", "prompt:triage")} <= set(
        postings(row)
    )


def test_a_change_of_a_model_names_the_model() -> None:
    """``target`` of kind model is a model the record is found under."""
    what = {"target": {"kind": "model", "name": "gpt-4o"}}
    assert entry(viewed(placed(0, "change.model", {"what": what}))).row.models == ("gpt-4o",)


def test_a_change_of_a_key_is_found_by_the_key_and_by_its_actor() -> None:
    """Who changed it and whose it is are both found."""
    what = {"key": "key_9", "actor": "act_bob", "change": "revoked"}
    row = entry(viewed(placed(0, "change.key", {"who": WHO, "what": what}))).row
    assert row.actors == ("act_alice", "act_bob")
    assert row.credentials == ("key_1", "key_9")
    assert row.actor == "act_alice"


@pytest.mark.parametrize("kind", ["ledger.opened", "ledger.epoch", "ledger.heads"])
def test_the_ledgers_own_leaves_have_no_row(kind: str) -> None:
    """Bookkeeping of the ledger is not something anybody looks for."""
    assert project(viewed(placed(0, kind, {})), None) is None


def test_an_erased_section_is_told_from_an_absent_one() -> None:
    """``present`` and ``shown`` differ exactly in what can no longer be read."""
    view = viewed(request(0))
    erased = msgspec.structs.replace(
        view, sections={k: v for k, v in view.sections.items() if k != "person"}
    )
    row = entry(erased).row
    assert row.present & ~row.shown == 1 << SECTIONS.index("person")
    assert entry(erased).person is None


def test_values_of_any_length_are_cut_to_what_the_index_keeps() -> None:
    """A caller may send a model name of a megabyte; the index keeps its beginning."""
    row = entry(viewed(request(0, what={"gen_ai.request.model": "m" * 1_000_000}))).row
    assert row.model == "m" * MAX_TEXT


def test_names_of_people_are_posted_without_regard_to_case() -> None:
    """An e-mail address is found however it is capitalised."""
    person = entry(viewed(request(0))).person
    assert person is not None
    assert ("person.email", "alice@example.com") in person_postings(person)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = sorted({*WHO, *WHAT, *SERVED, *OUTCOME, "target", "models", "tools_called", "actor", "key"})


@given(
    kind=st.sampled_from(sorted(TYPES)),
    sections=st.dictionaries(
        st.sampled_from(SECTIONS),
        st.dictionaries(st.sampled_from(KEYS), json_values) | json_values,
    ),
)
@settings(max_examples=100, deadline=None)
def test_any_json_in_any_section_gives_a_row_that_can_be_stored(
    kind: str, sections: dict[str, Any]
) -> None:
    """Projection is total: odd values become unknown, never an error or a wrong column."""
    view = View(
        0, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", "id", kind, "observed",
        None, ("w", 0), (None,) * 7, sections, {},
    )  # fmt: skip
    found = project(view, None)
    if found is not None:
        assert msgspec.convert(msgspec.to_builtins(found.row), Row) == found.row
        assert all(isinstance(value, str) for posting in postings(found.row) for value in posting)


def test_sections_seen_again_are_told_apart_by_every_character() -> None:
    """What is remembered of a section is found by its text behind the salt, and by nothing else."""
    for team, actor in (("a", "act_1"), ("b", "act_1"), ("a", "act_2"), ("a", "act_1")):
        who = {**WHO, "team": team, "actor": actor}
        view = viewed(request(0, who=who))
        row = entry(view).row
        assert view.sections["who"] == who
        assert (row.team, row.actor) == (team, actor)


def test_a_salt_leaves_no_trace_in_the_rest_of_a_disclosure() -> None:
    """Of two disclosures of one value, all characters but the first 36 are the same."""
    one, again, other = (disclose("who", {"a": n}) for n in (1, 1, 2))
    assert one != again
    assert one[36:] == again[36:]
    assert one[36:] != other[36:]
