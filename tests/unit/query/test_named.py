"""Boundaries of the configuration: what is understood, which one applies, how it fails closed."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from affidavit import config as configuration
from affidavit.config import Config
from affidavit.config_boundaries import NamedBoundary, SectionName, seconds_of
from affidavit.control.identity import READERS, Glass, Identity
from affidavit.errors import ConfigError, RefusedError, UsageError
from affidavit.query import named
from affidavit.query.boundary import NOT_PERSON, Boundary, bound, inject, owner
from affidavit.query.language import parse
from affidavit.query.search import Searcher
from affidavit.query.tree import All, And, Match, Moment, Not, Or
from affidavit.record.model import SECTIONS

ROOT = Path(__file__).parents[3]
NOW = "2026-11-23T12:00:00.000000Z"
TENANT = Match("tenant", "acme")
YAML = """
boundaries:
  red:
    rows: 'team:red'
    content: with_reason
    window: 30d
    break_glass: {window: 90d, minutes: 30}
  wide: {groups: [oncall], sections: [who, what], counts: true}
  wider: {groups: [oncall, audit], purpose: required}
"""


def configured(text: str = YAML) -> Config:
    """A configuration from YAML."""
    return configuration.parse(text, {}, "config.yaml")


def identity(role: str = "responder", **more: Any) -> Identity:
    """A key of a role."""
    made = Identity(
        "key_1", "acme", "act_me", "person", role, "support", (), "Me", "me@example.com",
        bytes(32), "",
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def test_sections_of_the_configuration_are_those_of_records() -> None:
    """The configuration stands below the record, so the names stand there twice."""
    assert get_args(SectionName) == SECTIONS


@pytest.mark.parametrize(
    ("rows", "position", "said"),
    [
        ("modle:x", 0, "no field 'modle'"),
        ("team:red (model:x", 9, "not closed"),
        ('team:red "secret plan"', 9, "Words of messages"),
        ("team:red text:plan", 9, "Words of messages"),
        ("since:30d", 6, "from now"),
        ("team:red source_time>=12h", 22, "from now"),
        ("-email:bob@example.com", 1, "may be erased"),
        ("team:red has:person", 9, "may be erased"),
        ("-actor:bob", 1, "pseudonym"),
        ("session:mine", 0, "pseudonym"),
    ],
)
def test_rows_that_do_not_stand_are_refused_with_their_position(
    rows: str, position: int, said: str
) -> None:
    """A boundary means the same tomorrow, and nothing that is erased opens it."""
    config = Config(boundaries={"red": NamedBoundary(rows=rows)})
    with pytest.raises(ConfigError, match=said) as caught:
        named.check(config, "config.yaml")
    assert caught.value.detail["position"] == position
    assert f"boundaries.red.rows, character {position + 1}" in caught.value.message


@pytest.mark.parametrize(
    "rows",
    ["", "team:red", "-team:red (model:gpt* OR tool:search)", "since:2026-01-01", "actor:act_x",
     "tokens>100", "has:tool", "time:2026-01-01..2026-02-01"],
)  # fmt: skip
def test_rows_that_stand_are_accepted(rows: str) -> None:
    """Everything else of the language, absolute times included."""
    named.check(Config(boundaries={"red": NamedBoundary(rows=rows)}), "config.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "boundaries: {red: {windw: 30d}}",
        "boundaries: {red: {window: 30}}",
        "boundaries: {red: {window: 30m}}",
        "boundaries: {red: {window: 9999w}}",
        "boundaries: {'Red Team': {}}",
        "boundaries: {red: {sections: [who, names]}}",
        "boundaries: {red: {sections: [who], content: always}}",
        "boundaries: {red: {persons: 3}}",
        "boundaries: {red: {break_glass: {minutes: 0}}}",
        "boundaries: {red: {break_glass: {content: always}}}",
        "boundaries: {red: {break_glass: {minuts: 5}}}",
    ],
)
def test_a_wrong_boundary_is_no_configuration(text: str) -> None:
    """Each is one sentence about one key."""
    with pytest.raises(ConfigError, match="boundaries"):
        configured(text)


def test_a_misspelt_key_of_a_boundary_is_met_with_the_nearest() -> None:
    """Also one level deeper."""
    for text, near in (("{windw: 30d}", "window"), ("{break_glass: {minuts: 5}}", "minutes")):
        with pytest.raises(ConfigError) as caught:
            configured(f"boundaries: {{red: {text}}}")
        assert caught.value.hint == f"Did you mean {near}?"


def test_precedence_is_own_then_first_group_then_role() -> None:
    """Whichever of these is there first counts, and the others not at all."""
    config = configured()
    me = identity(groups=("audit", "oncall"))
    assert named.name_of(me, config) == "wide"
    assert named.name_of(identity(groups=("audit",)), config) == "wider"
    assert named.name_of(msgspec.structs.replace(me, boundary="red"), config) == "red"
    assert named.name_of(identity(groups=("else",)), config) == ""
    assert named.boundary_of(identity(), config, NOW).rows == TENANT
    assert named.boundary_of(identity(), config, NOW).name == ""
    assert (
        named.name_of(identity("administrator", groups=("oncall",), boundary="red"), config) == ""
    )


def test_rows_hold_within_the_tenant_and_the_window() -> None:
    """Tenant, rows, window; an owner's has no tenant."""
    config = configured()
    found = named.boundary_of(identity(boundary="red"), config, NOW)
    begin = Moment("time", ">=", "2026-10-24T12:00:00.000000Z")
    assert found.rows == And((And((TENANT, Match("team", "red"))), begin))
    assert found.standing == And((TENANT, Match("team", "red")))
    assert not found.whole_tenants
    mine = named.boundary_of(identity("owner", boundary="red"), config, NOW)
    assert mine.rows == And((Match("team", "red"), begin))
    wide = named.boundary_of(identity(boundary="wide"), config, NOW)
    assert (wide.rows, wide.counts) == (TENANT, True)
    assert wide.sections == frozenset({"who", "what"})
    assert wide.whole_tenants


def test_an_or_in_rows_does_not_reach_around_the_tenant() -> None:
    """The expression is one condition beside the tenant, whatever its outermost word is."""
    config = Config(boundaries={"any": NamedBoundary(rows="team:red OR -team:red OR tenant:umbra")})
    found = named.boundary_of(identity(boundary="any"), config, NOW)
    assert isinstance(found.rows, And)
    assert found.rows.children[0] == TENANT
    assert found.rows.children[1] == Or(
        (Match("team", "red"), Not(Match("team", "red")), Match("tenant", "umbra"))
    )


@pytest.mark.parametrize("role", ["caller", "monitor"])
def test_a_boundary_opens_no_role_that_does_not_read(role: str) -> None:
    """Neither an own one nor a group's."""
    for key in (identity(role, boundary="red"), identity(role, groups=("oncall",))):
        with pytest.raises(RefusedError, match="does not read"):
            named.boundary_of(key, configured(), NOW)


def test_what_is_not_known_fails_closed() -> None:
    """A boundary that the configuration lost, and rows that it does not understand."""
    with pytest.raises(RefusedError, match="not in the configuration"):
        named.boundary_of(identity(boundary="gone"), configured(), NOW)
    config = Config(boundaries={"bad": NamedBoundary(rows="modle:x")})
    with pytest.raises(RefusedError, match="not understood"):
        named.boundary_of(identity(boundary="bad"), config, NOW)


def test_a_right_to_read_ends() -> None:
    """At that very moment, whatever gives it."""
    for key in (identity(until=NOW), identity(until=NOW, boundary="red")):
        with pytest.raises(RefusedError, match="ended"):
            named.boundary_of(key, configured(), NOW)
    later = "2026-11-23T12:00:00.000001Z"
    assert named.boundary_of(identity(until=later), configured(), NOW).until == later


def test_names_are_checked_when_a_key_is_made() -> None:
    """Only roles that read have a boundary, and an administrator's is fixed."""
    config = configured()
    for role in READERS:
        if role == "administrator":
            continue
        named.check_name(config, role, "red")
    for role in ("administrator", "caller", "monitor"):
        with pytest.raises(UsageError, match=role):
            named.check_name(config, role, "red")
    with pytest.raises(UsageError) as caught:
        named.check_name(config, "auditor", "widr")
    assert caught.value.hint == "Did you mean wider? The configuration is read at the start."


def test_a_purpose_is_asked_of_every_question() -> None:
    """A sentence and what to do."""
    found = named.boundary_of(identity(groups=("audit",)), configured(), NOW)
    for purpose in ("", "  \t"):
        with pytest.raises(RefusedError, match="purpose") as caught:
            inject(All(), found, purpose)
        assert "--reason" in caught.value.hint
    assert inject(All(), found, "ticket 1")


def test_cursors_are_bound_to_what_does_not_move() -> None:
    """The same question a minute later has another window and the same cursor."""
    config, tree = configured(), parse("model:x", NOW)
    boundaries = [
        named.boundary_of(identity(boundary="red"), config, now)
        for now in (NOW, "2026-11-23T12:01:00.000000Z")
    ]
    asked = [inject(tree, one) for one in boundaries]
    assert asked[0] != asked[1]
    assert bound(asked[0], boundaries[0]) == bound(asked[1], boundaries[1])
    other = named.boundary_of(identity(boundary="wide"), config, NOW)
    assert bound(inject(tree, other), other) != bound(asked[0], boundaries[0])


def glass(**more: Any) -> Glass:
    """A glass as it is drawn."""
    made = Glass("0199", "key_1", "act_me", "acme", "", "fire", NOW, "")
    return msgspec.structs.replace(made, **more)


def test_a_broken_glass_widens_its_own_boundary_for_a_while() -> None:
    """Tenant-wide rows within its window; the sections stay, but for content."""
    config, me = configured(), identity(boundary="red")
    drawn = named.glass_of(me, config, glass())
    assert (drawn.boundary, drawn.until) == ("red", "2026-11-23T12:30:00.000000Z")
    found = named.boundary_of(me, config, NOW, drawn)
    assert found.rows == And((TENANT, Moment("time", ">=", "2026-08-25T12:00:00.000000Z")))
    assert (found.glass, found.content, found.persons) == ("0199", "with_reason", 1)
    assert "person" not in found.sections
    assert (found.until, found.as_json()["break_glass"]) == (drawn.until, "0199")
    before = named.boundary_of(me, config, NOW)
    assert named.boundary_of(me, config, drawn.until, drawn)._replace(rows=All()) == (
        before._replace(rows=All())
    )
    other = configured(YAML.replace("    break_glass: {window: 90d, minutes: 30}\n", ""))
    assert named.boundary_of(me, other, NOW, drawn) == before
    moved = identity(groups=("oncall",))
    assert named.boundary_of(moved, config, NOW, drawn).glass == ""


def test_there_is_no_glass_where_none_is_configured() -> None:
    """Off by default, and never for what a role gives."""
    for key in (identity(), identity("owner"), identity(groups=("oncall",))):
        with pytest.raises(RefusedError, match="no glass"):
            named.glass_of(key, configured(), glass())


def test_windows_are_told_in_hours_days_and_weeks() -> None:
    """The three units."""
    assert [seconds_of(w) for w in ("12h", "30d", "8w")] == [43_200, 2_592_000, 4_838_400]


def test_conditions_that_cut_through_an_exchange_are_named() -> None:
    """What one half alone says is told; what both say, or neither, is not."""
    found = named.one_half(
        configured("""
boundaries:
  both: {rows: 'team:red model:gpt-* -type:change.* (type:exchange.* OR has:session) -key:key_x'}
  tool: {rows: 'team:red -tool:payroll'}
  much: {rows: 'tokens>10 OR status:complete OR has:error'}
  half: {rows: 'type:exchange.re*  -type:exchange.response'}
""")
    )
    assert found == {
        "tool": ["tool:payroll"],
        "much": ["tokens>10", "status:complete", "has:error"],
        "half": ["type:exchange.response"],
    }


def test_a_request_is_judged_without_the_tool_its_response_called(searcher: Searcher) -> None:
    """Why that is told: the tool is the response's alone, so ``-tool:`` leaves the request in."""
    narrow = Boundary("act_x", "responder", Not(Match("tool", "search")), NOT_PERSON, "never")
    assert searcher.row(7, owner("act_x"))["tools"] == ["search"]
    assert searcher.within([4, 7], narrow) == [4]


def test_the_documented_boundaries_do_not_cut_through_exchanges() -> None:
    """The example of the documentation keeps apart what it says it does."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\nboundaries:")[2].partition("```")[0]
    assert "persons: 2" in example
    assert named.one_half(configured("boundaries:" + example)) == {}
