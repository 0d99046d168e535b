"""The verbs around a story: show of an actor, diff, pivot, record."""

import json
import re
from pathlib import Path

import pytest

from affidavit.cli import narrative
from tests.unit.cli.conftest import As, Command, Site, flat


def test_show_of_a_model_in_a_window(command: Command, site: Site) -> None:
    """In pages of so many lines; --json has one object per line; past the end there is nothing."""
    told = command("show", "model:demo-chat", "--since", "2000-01-01", "--data", site.data)
    assert (told.code, told.out.split("\n")[0]) == (0, "Model demo-chat")
    assert "answers #" in told.out
    first = command("show", "model:demo-chat", "--limit", "3", "--json", "--data", site.data)
    assert len(first.rows) == 3
    cursor = first.err.split("--cursor ")[1].strip()
    rest = command(
        "show", "model:demo-chat", "--cursor", cursor, "--json", "--data", site.data
    ).rows
    every = command("show", "model:demo-chat", "--json", "--data", site.data).rows
    assert [line["id"] for line in [*first.rows, *rest]] == [line["id"] for line in every]
    late = command("show", "model:demo-chat", "--since", "2999-01-01", "--data", site.data)
    assert late.code == 1


def test_a_name_is_looked_for_as_all_that_it_may_be(command: Command, site: Site) -> None:
    """A session before a model; whoever asked, by name and by pseudonym."""
    (row, *_) = command("query", "model:demo-chat", "--json", "--data", site.data).rows
    site.machine.exchange("Who?", "I.", session="demo-error")
    site.machine.settle()
    for name, title in (
        ("demo-chat", "Model demo-chat"), ("demo-error", "Session demo-error"),
        ("model:demo-error", "Model demo-error"), (row["actor"], f"Actor {row['actor']}"),
        ("the caller", "Actor the caller"),
    ):  # fmt: skip
        told = command("show", name, "--data", site.data)
        assert (told.code, told.out.split("\n")[0]) == (0, title)
    typed = command("show", "model:demo-chat", "--json", "--data", site.data).rows
    assert command("show", "demo-chat", "--json", "--data", site.data).rows == typed
    assert command("show", "demo-chatt", "--data", site.data).code == 1
    first = command("show", "demo-chat", "--limit", "3", "--data", site.data)
    cursor = first.err.split("--cursor ")[1].split()[0]
    assert command("show", "demo-chat", "--cursor", cursor, "--data", site.data).code == 0


def test_a_story_says_which_reads_it_does_not_tell(command: Command, site: Site) -> None:
    """The question that it proposes finds this very read; without a story there is none."""
    told = flat(command("show", "my-session", "--data", site.data).out)
    site.machine.settle()
    (asked,) = re.findall(
        r"is not\. All reads since then: affidavit query '(type:access[^']+)'", told
    )
    rows = command("query", asked, "--json", "--data", site.data).rows
    assert "access.query" in {row["type"] for row in rows}
    assert "reads since" not in command("show", "#99999", "--data", site.data).out


def test_the_way_to_content_is_the_one_that_there_is(
    command: Command, site: Site, become: As
) -> None:
    """Of a role, or of a boundary, that shows it for a reason, to two persons, or never."""
    become("")
    make = ("keys", "create", "--kind", "person", "--role", "responder")
    two = command(*make, "Two", "--boundary", "two").out.strip()
    for key, way in (
        (site.machine.keys["auditor"], "give a --reason."),
        (site.machine.keys["compliance"], "your boundary never shows it."), (two, "TEXT asks."),
    ):  # fmt: skip
        become(key)
        for asked in (("query", "model:demo-chat"), ("show", "demo-chat")):
            told = flat(command(*asked).err)
            assert "Content is withheld: " in told
            assert way in told


def test_what_is_missing_from_the_vault_is_not_called_erased(command: Command, site: Site) -> None:
    """While its files are away: in a story, with exit code 1, in lists, and in a comparison."""
    ask = ("show", "session:my-session", "--data", site.data)
    rows = command("query", "session:my-session type:exchange.request", "--json",
                   "--data", site.data).rows  # fmt: skip
    diff = ("diff", rows[0]["id"], rows[1]["id"], "--reason", "a test", "--data", site.data)
    assert command(*ask).code == 0
    vault = site.machine.root / "vault"
    away = vault.rename(vault.with_name("vault-away"))
    try:
        told = command(*ask)
        assert told.code == 1
        assert "content: missing" in told.out
        assert "nothing says that it was erased" in flat(told.out)
        lines = command(*ask, "--json").rows
        exchanges = [line for line in lines if line["type"].startswith("exchange.")]
        assert {(line["evidence"], line["content"]) for line in exchanges} == {("missing",) * 2}
        assert "content: missing" in command("query", "session:my-session", "--data", site.data).out
        compared = command(*diff)
        assert "missing" in compared.out
    finally:
        away.rename(vault)
    told = command(*ask)
    assert (told.code, "missing" in told.out) == (0, False)


def test_diff_says_what_differs(command: Command, site: Site) -> None:
    """Facts in a table, words in brackets; one exchange alone has nothing to compare."""
    rows = command(
        "query", "type:exchange.request model:demo-chat", "--json", "--data", site.data
    ).rows
    first, second = (row["id"] for row in rows[:2])
    told = command("diff", first, second, "--reason", "a test", "--data", site.data)
    assert told.code == 0
    assert "Recorded as" in told.err
    assert "Prompt:" in told.out
    assert "Output:" in told.out
    whole = command("diff", first, second, "--json", "--data", site.data).rows[0]
    assert whole["kind"] == "exchange"
    assert command("diff", first, "--data", site.data).code == 2
    assert command("diff", first, "#99999", "--data", site.data).code == 1


def test_pivot_gives_commands_to_copy(command: Command, site: Site) -> None:
    """What a value is and how to go on; nowhere is exit code 1."""
    told = command("pivot", "my-session", "--data", site.data)
    assert told.code == 0
    assert "session" in told.out
    assert "affidavit show 'session:my-session'" in told.out
    shown = command("show", "session:my-session", "--data", site.data)
    assert (shown.code, shown.out.split("\n")[0]) == (0, "Session my-session")
    assert command("pivot", "nowhere", "--json", "--data", site.data).code == 1


def test_a_value_cannot_leave_its_quotes(command: Command, site: Site) -> None:
    """Hostile values are shown and quoted, not obeyed."""
    rows = command("query", "model:demo-hostile*", "--json", "--data", site.data).rows
    told = command("pivot", rows[0]["model"], "--data", site.data)
    assert told.code == 0
    assert "\x1b" not in told.out + told.err
    assert "\\x1b" in told.out


def test_record_puts_a_change_on_record(command: Command, site: Site, tmp_path: Path) -> None:
    """From a file; what is no object, or no change, is refused with a sentence."""
    file = tmp_path / "alias.json"
    file.write_text(json.dumps({"target": "prod-chat", "before": "a", "after": "b"}))
    asked = ("--json-file", str(file), "--data", site.data)
    made = command("record", "--type", "change.alias", *asked)
    assert (made.code, made.out.split(" ", 1)[1]) == (0, "(change.alias, reported)\n")
    site.machine.settle()
    shown = command("show", made.out.split(" ")[0], "--data", site.data)
    assert "reported" in shown.out
    assert "changed: a → b" in shown.out
    assert command("record", "--type", "ledger.gap", *asked).code == 2
    for text in ("[]", "nonsense", "[" * 100_000):
        file.write_text(text)
        assert command("record", "--type", "change.alias", *asked).code == 2
    assert command("record", "--type", "change.alias", "--json-file", "nowhere").code == 2


def test_what_happened_at_another_time_says_when(
    command: Command, site: Site, tmp_path: Path
) -> None:
    """Beside the ledger's time, where they differ; in JSON both are always there."""
    file = tmp_path / "change.json"
    told = {"target": "long-ago", "after": "b", "at": "2026-11-20T08:00:00.000000Z"}
    file.write_text(json.dumps(told))
    asked = ("--type", "change.alias", "--json-file", str(file), "--data", site.data)
    made = command("record", *asked, "--json").rows[0]["id"]
    site.machine.settle()
    shown = command("show", made, "--data", site.data).out
    assert "    happened 2026-11-20 08:00:00 UTC, as its source says\n" in shown
    (line,) = command("show", made, "--json", "--data", site.data).rows
    assert (line["at"], line["time"] > line["at"]) == (told["at"], True)
    same = command("show", "session:my-session", "--data", site.data).out
    assert "Session my-session" in same
    assert "happened" not in same
    rows = command("show", "session:my-session", "--json", "--data", site.data).rows
    assert all(row["at"] for row in rows)


@pytest.mark.parametrize(("capped", "said"), [(True, "at least 10000"), (False, "10000")])
def test_a_number_beyond_that_is_no_total_is_not_told_as_one(
    capsys: pytest.CaptureFixture[str], *, capped: bool, said: str
) -> None:
    """Rows are counted so far and no further."""
    told = {"withheld": [], "as_of": {"size": 9}, "beyond": {"rows": 10_000, "capped": capped}}
    narrative.last(told, 1)
    assert f" Beyond your boundary: {said} records." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lane", "running", "drawn", "drawing"),
    [(0, (1,), 2, "*|"), (None, (0, 1), 2, "||"), (2, (0,), 3, "| *"),
     (9, (0, 12), 8, "|       +2")],
)  # fmt: skip
def test_lanes_are_drawn(
    lane: int | None, running: tuple[int, ...], drawn: int, drawing: str
) -> None:
    """A star where the line is, a bar where another one runs; beyond eight lanes a number."""
    assert narrative._drawing({"lane": lane, "running": running}, drawn) == drawing
