"""One part of the ledger after another: all of it, none twice, and words looked up once."""

import json
from typing import Any

import pytest

from affidavit.query import steps
from affidavit.query.boundary import owner
from affidavit.query.lists import candidates
from affidavit.query.search import Searcher
from affidavit.query.steps import Steps
from affidavit.query.tree import And, Match, Phrase, Tree

SPAN = (0, 8)


def parts(searcher: Searcher, asked: Tree, *, newest: bool = True) -> list[tuple[int, int]]:
    """From where to where each step goes, twice the same."""
    lists = And((asked,)) if not isinstance(asked, Phrase) else And(())
    found = candidates(lists, SPAN, searcher._few)
    made = Steps(searcher.reader, asked, SPAN, found, newest=newest)
    first = [(low, high) for low, high, _ in made]
    assert [(low, high) for low, high, _ in made] == first
    return first


def test_without_words_there_is_one(searcher: Searcher) -> None:
    """What columns and lists decide is read in one go."""
    assert parts(searcher, Match("model", "gpt-4o")) == [SPAN]


@pytest.mark.parametrize("newest", [True, False])
def test_words_are_looked_for_in_parts_that_grow(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    """All of the span, none twice, from the end that is asked for; longer while little is found."""
    monkeypatch.setattr(steps, "FIRST", 1)
    expected = [(7, 8), (3, 7), (0, 3)] if newest else [(0, 1), (1, 5), (5, 8)]
    assert parts(searcher, Phrase("how", False), newest=newest) == expected
    monkeypatch.setattr(steps, "ENOUGH", 0)
    assert len(parts(searcher, Phrase("how", False), newest=newest)) == 8


@pytest.mark.parametrize("newest", [True, False])
def test_a_part_that_holds_too_much_ends_there(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    """So a word that everything has is not collected whole; none is left out or taken twice."""
    words = Phrase("h", True)
    whole = list(Steps(searcher.reader, words, SPAN, None, newest=newest))
    assert [(low, high) for low, high, _ in whole] == [SPAN]
    monkeypatch.setattr(steps, "MOST", 1)
    made = list(Steps(searcher.reader, words, SPAN, None, newest=newest))
    taken = [json.loads(part.sql.values[0]) for _, _, part in made if part]
    assert len(made) > 2
    assert max(map(len, taken)) == 1
    found = [place for places in taken for place in places]
    assert found == sorted(found, reverse=newest)
    (all_of_them,) = [json.loads(part.sql.values[0]) for _, _, part in whole if part]
    assert sorted(found) == all_of_them == [0, 1, 2]


def test_a_list_says_where_words_can_be_at_all(searcher: Searcher) -> None:
    """Bob asked at 4 and was answered at 7; nobody else's words are looked at."""
    words = Phrase("secret", False)
    found = candidates(Match("session", "ses_2"), SPAN, searcher._few)
    asked = And((Match("session", "ses_2"), words))
    made = list(Steps(searcher.reader, asked, SPAN, found, newest=True))
    assert [(low, high) for low, high, _ in made] == [(4, 8)]
    (only,) = [part for _, _, part in made if part]
    assert (only.cost, only.exactly) == (1, (words,))
    nobody = candidates(Match("session", "ses_none"), SPAN, searcher._few)
    assert list(Steps(searcher.reader, asked, SPAN, nobody, newest=True)) == []


def test_a_page_and_its_count_look_words_up_once(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full text is the dear part of a question; one look at each part serves all of the answer."""
    asked: list[str] = []
    real = searcher.reader.query

    def query(sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return real(sql, parameters)

    monkeypatch.setattr(searcher.reader, "query", query)
    page = searcher.run(Phrase("how", False), owner("o"), limit=1, reason="r")
    assert (len(page.rows), page.count) == (1, 2)
    assert sum("MATCH" in sql for sql in asked) == 1


@pytest.mark.parametrize("newest", [True, False])
def test_words_that_go_on_are_looked_up_in_one_step(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    """Full text does the same for a part as for all of the ledger, so there is one, if it holds."""
    monkeypatch.setattr(steps, "FIRST", 1)
    assert parts(searcher, Phrase("how", True), newest=newest) == [SPAN]
    monkeypatch.setattr(steps, "ENOUGH", 1)
    monkeypatch.setattr(steps, "MOST", 2)
    several = parts(searcher, Phrase("h", True), newest=newest)
    assert several == ([(2, 8), (0, 2)] if newest else [(0, 1), (1, 3), (3, 8)])
