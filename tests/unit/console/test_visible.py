"""Hidden characters become visible, everything else stays."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.console.visible import by_whom, happened, snippet, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, äöü, 漢字", "plain text, äöü, 漢字"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("soft\xadhyphen", "soft\\xadhyphen"),
        ("\x9b2J", "\\x9b2J"),
        ("one\ntwo\t", "one\\x0atwo\\x09"),
        ("half \ud83d", "half \\ud83d"),
        ("\u2028", "\\u2028"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_hidden_characters_are_escaped(text: str, shown: str) -> None:
    """Controls, direction overrides, tags and separators are shown as escapes."""
    assert visible(text) == shown


def test_lines_are_kept_where_asked_for() -> None:
    """With lines, breaks and tabs stay, carriage returns do not."""
    assert visible("a\n\tb\r\n", lines=True) == "a\n\tb\\x0d\n"


def test_piles_of_marks_are_cut() -> None:
    """At most four combining marks in a row are kept."""
    assert visible("a" + "\u0301" * 50) == "a" + "\u0301" * 4


@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    """Whatever comes in, what goes out has no control and no format character but joiners."""
    for character in visible(text):
        category = unicodedata.category(character)
        assert category not in ("Cc", "Cs", "Co", "Zl", "Zp")
        assert category != "Cf" or character in "\u200c\u200d"


@given(st.text(), st.integers(1, 80))
def test_snippets_fit(text: str, width: int) -> None:
    """A snippet is one line of at most the width."""
    line = snippet(text, width)
    assert len(line) <= width
    assert "\n" not in line


def test_whose_key_it_is_is_not_who_made_it() -> None:
    """The column of who did it has the actor there; anywhere else the name, if it is known."""
    row = {"type": "change.key", "name": "Carol", "actor": "act_owner"}
    assert by_whom(row) == "act_owner"
    assert by_whom(row | {"type": "access.query"}) == "Carol"
    assert by_whom({"type": "ledger.gap"}) == ""


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-23T12:00:01.000000Z", ""), ("2026-11-23T11:59:59.000000Z", ""),
        ("2026-11-23T12:00:01.000001Z", "happened 2026-11-23 12:00:01 UTC, as its source says"),
        ("2026-11-23T11:59:58.999999Z", "happened 2026-11-23 11:59:58 UTC, as its source says"),
    ],
)  # fmt: skip
def test_another_time_is_told_beyond_a_second(at: str, told: str) -> None:
    """Before and behind the ledger's; a second apart is what taking it in takes."""
    assert happened({"time": "2026-11-23T12:00:00.000000Z", "at": at}) == told
