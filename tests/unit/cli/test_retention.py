"""Retention on the command line: check and presets offline, explain and plan of a console."""

from pathlib import Path
from typing import Any

import pytest

from affidavit.cli import retention
from affidavit.presets import presets
from tests.unit.cli.conftest import As, Command, Site, flat

CONFIG = """
retention:
  classes:
    a: {regimes: [pci-12m-hot90, nydfs-3y], maximum: 4y, hot: 100d}
    b: {regimes: [hipaa-6y, gdpr-cap-24m], expires: leaves,
        conflict: {keep: minimum, reason: "treatment", decided_by: "the officer"}}
  rules:
    - {when: {type: "access.*"}, class: a}
"""
BAD = CONFIG + "    - {when: {type: access.query}, class: b}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def test_check_says_where_each_number_is_from(command: Command, file: Path) -> None:
    """Presets with their label, decisions with who took them, classes that nothing gives."""
    found = command("retention", "check", "--config", str(file))
    told = flat(found.out)
    assert (found.code, found.err) == (0, "")
    assert "a at least 1096 days, at most 1461 days; then the content goes" in told
    assert "minimum: 1096 days, by nydfs-3y maximum: 1461 days, by the class itself" in told
    assert "hot: 100 days, by the class itself" in told
    assert "b (no rule gives it) at least 2192 days, at most 2192 days; then all sections" in told
    assert "the minimum holds, decided by the officer because: treatment" in told
    assert told.count("not reviewed by counsel") == 4


def test_check_for_programs(command: Command, file: Path) -> None:
    """A line for each class, and one for each rule that is never met."""
    file.write_text(BAD)
    found = command("retention", "check", "--config", str(file), "--json")
    assert found.code == 1
    a, b, default, never = found.rows
    assert a["kept"] == {"minimum": 1096, "maximum": 1461, "hot": 100}
    assert a["minimum"] == {"days": 1096, "by": ["nydfs-3y"]}
    assert b["decision"]["decided_by"] == "the officer"
    assert {one["review"] for one in b["regimes"]} == {"not reviewed by counsel"}
    assert (default["class"], default["maximum"]) == ("default", None)
    assert never == {"rule": 2, "never": "what meets it meets rule 1 before"}
    assert "Rule 2 never gives its class" in command("retention", "check", "--config", file).err


@pytest.mark.parametrize("verb", ["retention", "config"])
def test_a_conflict_that_nobody_decided_is_an_error(
    command: Command, file: Path, verb: str
) -> None:
    """Of both checks, in the same words."""
    file.write_text("retention: {classes: {b: {regimes: [hipaa-6y, gdpr-cap-24m]}}}")
    found = command(verb, "check", "--config", str(file))
    assert found.code == 2
    assert "2192 days (hipaa-6y) and no longer than 730 days (gdpr-cap-24m)" in flat(found.err)


def test_presets_are_listed_and_shown_with_their_label(command: Command) -> None:
    """The nearest name for one that is not there."""
    listed = command("retention", "presets")
    assert all(name in listed.out for name in presets())
    assert "not reviewed by counsel" in listed.err
    shown = flat(command("retention", "presets", "sox-7y").out)
    assert "17 CFR 210.2-06" in shown
    assert "not reviewed by counsel" in shown
    rows = command("retention", "presets", "--json").rows
    assert {row["name"] for row in rows} == set(presets())
    assert {row["review"] for row in rows} == {"not reviewed by counsel"}
    wrong = command("retention", "presets", "sox-7")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean sox-7y?" in wrong.err


def test_explain_and_plan_for_people_and_programs(command: Command, site: Site, become: As) -> None:
    """Of a record that a rule gave its class; within what the role may know."""
    become("")
    (row, *_) = command("query", "model:demo-error", "--json").rows
    found = command("retention", "explain", row["id"])
    told = flat(found.out)
    assert found.code == 0, found.err
    for text in (
        "Class failed", "Given by rule 1: model demo-error", "Minimum 366 days, by pci-12m-hot90",
        "Maximum 731 days, by the class itself", "May go from 2027-11-25", "Due 2028-11-24",
        "below its minimum", "all sections go", "not reviewed by counsel", "Holds none",
    ):  # fmt: skip
        assert text in told, text
    assert command("retention", "explain", "#1", "--json").rows[0]["index"] == 1
    assert command("retention", "explain", "nobody").code == 1
    plan = flat(command("retention", "plan", "--at", "2029-01-01").out)
    assert "As of 2029-01-01 00:00:00 UTC" in plan
    assert "overdue: 2 records" in plan
    assert "overdue acme failed 2026-11-23 sections 2028-11-24 2" in plan
    assert "failed: Over its maximum of 731 days." in plan
    now = flat(command("retention", "plan").out)
    assert "May go from On Records" in now
    assert "minimum acme failed 2026-11-23 sections 2027-11-25 2028-11-24 2" in now
    years = command("retention", "plan", "--at", "3y")
    assert years.code == 0, years.err
    assert "As of 2029-11-23" in flat(years.out)
    assert "overdue acme failed 2026-11-23 sections 2028-11-24 2" in flat(years.out)
    (line,) = (
        one for one in command("retention", "plan", "--json").rows
        if one["retention_class"] == "failed"
    )  # fmt: skip
    assert (line["state"], line["left"], line["due"]) == ("minimum", 2, "2028-11-24")
    become(site.machine.keys["member"])
    assert command("retention", "plan").code == 3


def test_of_an_erased_record_it_is_said_what_went_and_what_is_left() -> None:
    """It is not told that its content may be erased, or goes one day.

    Nor that all of it went under the certificate: something may have expired before.
    """
    one: dict[str, Any] = {
        "erased": [], "erased_under": "", "expires": "content", "state": "kept",
        "due": "2028-11-24", "holds": [],
    }  # fmt: skip
    assert [title for title, _ in retention._now(one)] == ["Now", "Then"]
    gone = one | {"erased": ["person", "content"], "erased_under": "0199"}
    assert retention._now(gone) == [
        ("Gone", "person, content"),
        ("Certificate", "of what a request erased of it: affidavit erase show 0199"),
        ("Then", "nothing more: its content went already"),
    ]
    assert retention._now(gone | {"erased_under": ""})[0] == ("Gone", "person, content")
    (_, first), _, (_, now), (_, then) = retention._now(gone | {"expires": "sections"})
    assert str(first).startswith("person")
    assert str(now).startswith("of what is left: over its minimum")
    assert then == "all sections go"


def test_what_a_hold_or_no_maximum_keeps_is_not_said_to_go() -> None:
    """Under a hold nothing goes, whatever the limits say; without a maximum nothing by itself."""
    one: dict[str, Any] = {
        "erased": [], "erased_under": "", "expires": "content", "due": "2028-11-24",
        "holds": [{"id": "0199", "matter": "Doe"}],
    }  # fmt: skip
    for state in ("kept", "due", "overdue"):
        (_, now), (_, then) = retention._now(one | {"state": state})
        assert now == "held: nothing of it goes until the hold is released"
        assert then == "the content goes, once nothing holds it"
    (_, now), _ = retention._now(one | {"state": "minimum"})
    assert now == "below its minimum, and held: nothing of it goes until the hold is released"
    unheld: dict[str, Any] = {"holds": []}
    for more in (unheld, {}):
        _, (_, then) = retention._now(one | {"state": "kept", "due": ""} | more)
        assert then == "nothing goes by itself: its class has no maximum"
    (_, now), (_, then) = retention._now(one | {"state": "kept", "holds": []})
    assert now == "over its minimum; it may be erased if somebody asks"
    assert then == "the content goes"
    (_, now), _ = retention._now(one | {"state": "kept", "holds": None})
    assert str(now).endswith("if somebody asks, unless a hold keeps it")
