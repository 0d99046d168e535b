"""``sums``, ``facets``, ``histogram``: figures for people and for programs."""

import pytest

from affidavit.cli import sums
from tests.unit.cli.conftest import As, Command, Site, flat


def test_sums_by_model(command: Command, site: Site) -> None:
    """One object a group for programs; a table and as of when for people."""
    at = ("--data", site.data)
    told = command("sums", "type:exchange.*", "--by", "model", "--latency", "--json", *at)
    assert told.code == 0
    by_model = {row["model"]: row for row in told.rows}
    failed = by_model["demo-error"]
    assert (failed["requests"], failed["errors"], failed["cost"]) == (1, 1, None)
    assert set(failed["duration"]) == {"p50", "p95", "p99"}
    assert told.err.startswith(f"{len(told.rows)} lines, as of leaf ")
    shown = command("sums", "--by", "day,model", *at)
    assert (shown.code, shown.err) == (0, "")
    assert "2026-11-23 00:00  demo-error" in shown.out
    assert shown.out.rstrip().splitlines()[-1].startswith(f"{len(told.rows)} lines, as of leaf ")
    assert max(map(len, shown.out.splitlines())) <= 100
    latency = command("sums", "--by", "model,actor,key", "--latency", *at).out
    lines = latency.splitlines()
    assert "Seconds, until the first byte" in lines
    heading = lines[lines.index("Seconds, duration") + 1].split()
    assert (heading[-3:], len(heading)) == (["p50", "p95", "p99"], 6)
    assert max(map(len, latency.splitlines())) <= 100
    assert "demo-error" in command("sums", "--by", "model,actor", "--latency", *at).out
    assert "No exchange matches" in command("sums", "model:none", *at).out


def test_mistakes_have_a_way_out(command: Command, site: Site) -> None:
    """A group that is not kept, a price nobody configured, an expression with a mistake."""
    at = ("--data", site.data)
    assert "By tenant, team" in command("sums", "--by", "email", *at).err
    assert "None is made up" in command("sums", "--cost", *at).err.replace("none", "None")
    wrong = command("histogram", "--per", "year", *at)
    assert (wrong.code, wrong.err.splitlines()[0]) == (
        2, "affidavit: --per year is not hour, day, week or month.",
    )  # fmt: skip
    assert command("facets", "--fields", "email", *at).code == 2
    assert command("facets", "modl:x", *at).err.startswith("  modl:x\n  ^")


def test_facets_and_histogram(command: Command, site: Site) -> None:
    """Values with counts, and periods with counts."""
    at = ("--data", site.data)
    told = command("facets", "type:exchange.*", "--fields", "model,status", "--json", *at)
    assert {(row["field"], row["value"], row["count"]) for row in told.rows} >= {
        ("model", "demo-error", 2), ("status", "complete", 4),
    }  # fmt: skip
    assert "demo-error" in command("facets", "type:exchange.*", "--exact", *at).out
    assert "source (0)" in command("facets", "type:exchange.*", "--fields", "source", *at).out
    chart = command("histogram", "type:exchange.*", "--per", "hour", "--json", *at)
    assert sum(row["count"] for row in chart.rows) == 8
    assert chart.rows[0]["time"].endswith(":00:00.000000Z")
    assert "█" in command("histogram", "type:exchange.*", *at).out


def test_a_reader_counts_within_its_boundary(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member counts its team's; the sections withheld are named."""
    monkeypatch.setenv("AFFIDAVIT_KEY", site.machine.keys["auditor"])
    told = command("facets", "type:exchange.*", "--fields", "team", "--url", site.url)
    assert told.code == 0
    assert "withheld from your role: person" in told.out


def test_figures_are_never_powers_of_ten() -> None:
    """A small price and a long time are written out."""
    assert [sums._digits(value, 3) for value in (0.000031, 172_800.0, 0.25)] == [
        "0.000031", "173000", "0.25",
    ]  # fmt: skip


def test_actors_have_names_beside_their_pseudonyms(
    command: Command, site: Site, become: As
) -> None:
    """Where names may be seen, and never a part of a pseudonym alone."""
    become("")
    (caller,) = {one["actor"] for one in command("keys", "list", "--json").rows
                 if one["name"] == "the caller"}  # fmt: skip
    for verb in ("sums", "facets"):
        asked = ("--by", "actor") if verb == "sums" else ("--fields", "actor")
        assert f"the caller, {caller}" in flat(command(verb, "type:exchange.*", *asked).out)
    assert f"  by {caller}" in command("query", "type:exchange.*").out
    become(site.machine.keys["auditor"])
    untold = command("facets", "type:exchange.*", "--fields", "actor").out
    untold += command("query", "type:exchange.*").out
    assert (caller in untold, "the caller" in untold) == (True, False)
