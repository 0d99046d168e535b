"""``query --save``, ``@NAME``, ``--saved``, ``--forget``."""

import pytest

from tests.unit.cli.conftest import Command, Site


def test_a_query_is_saved_asked_listed_and_forgotten(command: Command, site: Site) -> None:
    """Its words are asked by the name, on every verb that takes an expression."""
    at = ("--data", site.data)
    saved = command("query", "--save", "failed", "has:error model:demo-error", *at)
    assert (saved.code, saved.out) == (0, "Saved. Ask it with: affidavit query @failed\n")
    found = command("query", "@failed", "--json", *at)
    assert {row["model"] for row in found.rows} == {"demo-error"}
    assert found.err.startswith("@failed: has:error model:demo-error\n")
    assert command("export", "@failed", "-o", "out.zip", *at).code == 0
    assert "@failed  own" in command("query", "--saved", *at).out
    assert command("query", "--saved", "--json", *at).rows[0]["name"] == "failed"
    assert command("completion", "zsh", "--line", f"affidavit query --data {site.data} @f").out == (
        "@failed\n"
    )
    assert "is forgotten" in command("query", "--forget", "failed", *at).out
    gone = command("query", "@failed", *at)
    assert gone.code == 1
    assert "to look for the word: '\"@failed\"'" in gone.err
    assert "@failed" not in command("query", "--saved", *at).out


def test_mistakes_are_shown_where_they_are(command: Command, site: Site) -> None:
    """A mistake in an expression that is to be saved has its mark; a scope has its list."""
    at = ("--data", site.data)
    wrong = command("query", "--save", "x", "modl:y", *at)
    assert (wrong.code, wrong.err.splitlines()[:2]) == (2, ["  modl:y", "  ^"])
    assert command("query", "--save", "x", "model:y", "--share", "world", *at).code == 2
    assert command("query", "--save", "no name", "model:y", *at).code == 2
    assert "--share world is not own" in command("query", "--share", "world", *at).err
    assert "--save NAME" in command("query", "--share", "team", "model:y", *at).err


def test_what_others_share_is_theirs_to_word_and_ones_own_to_answer(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query about a person is refused to who may not see persons, whoever saved it."""
    shared = ("--share", "tenant", "--data", site.data)
    assert command("query", "--save", "bob", "email:bob@example.com", *shared).code == 0
    monkeypatch.setenv("AFFIDAVIT_KEY", site.machine.keys["auditor"])
    refused = command("query", "@bob", "--url", site.url)
    assert refused.code == 3
    assert "bob@" not in refused.err + refused.out
    assert "(outside your boundary)" in " ".join(
        command("query", "--saved", "--url", site.url).out.split()
    )


def test_a_name_beside_other_words_is_no_search_for_the_word(command: Command, site: Site) -> None:
    """It is refused, as it would find nothing; quoted, or inside a value, it is a word."""
    at = ("--data", site.data)
    for expression in ("@failed model:demo-chat", "model:x (@failed)"):
        mixed = command("query", expression, *at)
        assert (mixed.code, "stands for a saved query only" in mixed.err) == (2, True)
    assert command("query", '"@failed" model:demo-chat', *at).code == 0
    assert command("query", "actor:bob@example.com", *at).code == 0
