"""Boundaries: typed, injected, and refusing what would tell what is hidden."""

import pytest

from affidavit.control.identity import Identity
from affidavit.errors import RefusedError
from affidavit.query import boundary
from affidavit.query.boundary import Boundary, for_identity, inject
from affidavit.query.fields import FIELDS, HAS
from affidavit.query.language import parse
from affidavit.query.tree import All, And, Match, Not, Nothing, Or, Phrase

NOW = "2026-11-23T12:00:00.000000Z"
MEMBER = boundary.member("act_me", "acme", "support")
OWNER = boundary.owner("act_owner")


def test_the_boundary_is_the_first_child_of_one_and() -> None:
    """Whatever the reader wrote stands inside; an OR of theirs reaches nothing outside."""
    asked = inject(parse("model:a OR model:b", NOW), MEMBER)
    assert isinstance(asked, And)
    assert asked.children[0] == MEMBER.rows
    assert asked.children[1] == Or((Match("model", "a"), Match("model", "b")))


def test_a_field_of_a_hidden_section_is_refused_even_negated() -> None:
    """The answer to a condition tells whether it holds, so it is not asked."""
    for text in ("email:alice@example.com", "-email:a*", "(model:a OR -email:a)", "has:person"):
        with pytest.raises(RefusedError, match="person"):
            inject(parse(text, NOW), MEMBER)


@pytest.mark.parametrize("field", [f for f in FIELDS.values() if f.section != "leaf"])
def test_no_field_can_be_asked_without_its_section(field: object) -> None:
    """The table of fields and the refusal agree, field by field."""
    nothing = Boundary("act", "none", All(), frozenset(), "never")
    with pytest.raises(RefusedError):
        inject(parse(field.example, NOW), nothing)  # type: ignore[attr-defined]  # a Field


def test_every_kind_of_has_is_refused_without_its_section() -> None:
    """``has:`` asks about sections too."""
    nothing = Boundary("act", "none", All(), frozenset(), "never")
    for name, kind in HAS.items():
        if kind.section != "leaf":
            with pytest.raises(RefusedError):
                inject(parse(f"has:{name}", NOW), nothing)


def test_text_is_content() -> None:
    """Searching text needs what showing content needs."""
    phrase = parse('"secret plan"', NOW)
    assert isinstance(phrase, Phrase)
    assert inject(phrase, OWNER)
    with pytest.raises(RefusedError) as caught:
        inject(phrase, MEMBER)
    assert "reason" in caught.value.hint
    with pytest.raises(RefusedError):
        inject(phrase, MEMBER, "   ")
    assert inject(phrase, MEMBER, "ticket 12")
    with pytest.raises(RefusedError):
        inject(phrase, boundary.compliance("act", "acme"), "ticket 12")
    assert inject(phrase, boundary.auditor("act", "acme"), "ticket 12")


def test_people_are_found_through_actor_only_where_they_may_be_seen() -> None:
    """Without ``person``, ``actor:`` is the pseudonym and nothing else."""
    tree = Not(Match("actor", "alice"))
    assert inject(tree, MEMBER) == And((MEMBER.rows, tree))
    widened = inject(tree, OWNER)
    assert isinstance(widened, And)
    assert widened.children[1] == Not(
        Or((
            Match("actor", "alice"), Match("subject", "alice"), Match("email", "alice"),
            Match("name", "alice"), Match("end_user", "alice"),
        ))
    )  # fmt: skip


def identity(role: str, team: str = "support") -> Identity:
    """An identity with a role."""
    return Identity(
        "key_1", "acme", "act_me", "person", role, team, (), "Me", "me@example.com", bytes(32), ""
    )


def test_roles_give_the_built_in_boundaries() -> None:
    """The role decides; a role that does not read is refused."""
    assert for_identity(identity("owner")).rows == All()
    assert for_identity(identity("auditor")).content == "with_reason"
    assert "person" not in for_identity(identity("auditor")).sections
    assert for_identity(identity("responder")).content == "with_reason"
    assert for_identity(identity("compliance")).content == "never"
    assert for_identity(identity("member")).rows == And(
        (Match("tenant", "acme"), Match("team", "support"))
    )
    for bad in (identity("caller"), identity("member", "")):
        with pytest.raises(RefusedError):
            for_identity(bad)


def test_a_boundary_says_what_it_was() -> None:
    """The words that go into the record of a read."""
    assert MEMBER.as_json() == {
        "role": "member",
        "rows": "tenant:acme team:support",
        "sections": ["who", "what", "context", "control", "outcome", "content"],
        "content": "with_reason",
    }
    assert OWNER.as_json()["rows"] == "everything"


def test_a_monitor_has_no_record_within_its_boundary() -> None:
    """It reads the log, whose leaves say nothing; no question of it finds a row."""
    none = boundary.nothing("act_m")
    assert (none.role, none.sections, none.content) == ("monitor", frozenset(), "never")
    assert isinstance(none.rows, Nothing)
    assert not none.whole_tenants
    assert not none.shows_content("a reason")
