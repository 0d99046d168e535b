"""Which record a word leads to: history is passed over, what a record says itself never is."""

from pathlib import Path

import pytest

from affidavit.index.indexer import Indexer
from affidavit.index.messages import Said, said
from affidavit.index.project import project, viewed
from affidavit.index.reader import Reader
from affidavit.index.rebuild import dump, rebuild
from affidavit.record.model import Placed
from tests.unit.index.made import KEY, WHAT, WHO, World, chat, placed, response

Turns = list[tuple[str, str]]


def asked(index: int, turns: Turns, session: str | None = "ses_1") -> Placed:
    """A request that sends these messages."""
    return placed(
        index, "exchange.request", {"who": WHO | {"session": session}, "what": WHAT},
        {"request.body": chat(turns)},
    )  # fmt: skip


def found(directory: Path, world: World, word: str) -> list[int]:
    """The records that a word leads to, in an index that saw them live and in a rebuilt one."""
    for name in ("live", "rebuilt"):
        (directory / name).mkdir(exist_ok=True)
    if not (directory / "live" / "text.db").exists():
        indexer = Indexer(directory / "live", KEY)
        indexer.start()
        for end in range(1, world.size + 1):
            indexer.apply(world.records[end - 1 : end], end, world.root(end))
        indexer.settle()
        indexer.close()
        rebuild(directory / "rebuilt", KEY, world, world.view)
        assert list(dump(directory / "live", KEY)) == list(dump(directory / "rebuilt", KEY))
    reader = Reader(directory / "live", KEY)
    try:
        rows = reader.query(
            "SELECT DISTINCT rowid >> 12 FROM text.passage WHERE passage MATCH ?", (word,)
        )
        return sorted(idx for (idx,) in rows)
    finally:
        reader.close()


def test_the_same_prompt_sent_again_is_found_again(tmp_path: Path) -> None:
    """A loop that asks one question over and over leads to every one of its records."""
    world = World([
        asked(0, [("user", "status report")]), response(1, 0, "all green"),
        asked(2, [("user", "status report")]), response(3, 2, "all green"),
    ])  # fmt: skip
    assert found(tmp_path, world, "report") == [0, 2]
    assert found(tmp_path, world, "green") == [1, 3]


def test_resent_history_leads_to_where_it_was_said(tmp_path: Path) -> None:
    """Of a growing conversation each word leads to the record that asked or answered it."""
    turns: Turns = [("system", "you are terse"), ("user", "begin please")]
    records = [asked(0, turns), response(1, 0, "begun")]
    turns = [*turns, ("assistant", "begun"), ("user", "go on")]
    records += [asked(2, turns), response(3, 2, "gone")]
    turns = [*turns, ("assistant", "gone"), ("user", "go on")]
    records += [asked(4, turns), response(5, 4, "gone")]
    world = World(records)
    assert found(tmp_path, world, "terse") == [0]
    assert found(tmp_path, world, "please") == [0]
    assert found(tmp_path, world, "begun") == [1]
    assert found(tmp_path, world, '"go on"') == [2, 4]
    assert found(tmp_path, world, "gone") == [3, 5]


def test_every_message_after_the_models_last_is_asked(tmp_path: Path) -> None:
    """Two results of tools that were given before are found with each record that gives them."""
    turn: Turns = [("tool", "sunny"), ("tool", "windy")]
    begin: Turns = [("user", "weather"), ("assistant", "calling")]
    world = World([asked(0, [*begin, *turn]), asked(1, [*begin, *turn, begin[1], *turn])])
    assert found(tmp_path, world, "sunny") == found(tmp_path, world, "windy") == [0, 1]
    assert found(tmp_path, world, "weather") == [0]


def test_history_that_was_never_recorded_is_found_where_it_first_came(tmp_path: Path) -> None:
    """A conversation that began elsewhere loses no word."""
    turns: Turns = [("user", "elsewhere"), ("assistant", "indeed"), ("user", "more")]
    world = World([asked(0, turns), asked(1, [*turns, ("assistant", "x"), ("user", "next")])])
    assert found(tmp_path, world, "elsewhere") == found(tmp_path, world, "indeed") == [0]


def test_without_a_session_everything_is_found_everywhere(tmp_path: Path) -> None:
    """Where nothing says what belongs together, nothing is taken for history."""
    turns: Turns = [("user", "one"), ("assistant", "two"), ("user", "three")]
    world = World([asked(0, turns, None), asked(1, turns, None)])
    assert found(tmp_path, world, "one") == [0, 1]


@pytest.mark.parametrize(
    ("turns", "new"),
    [
        ([("user", "a")], [True]),
        ([("system", "s"), ("user", "a")], [False, True]),
        ([("user", "a"), ("assistant", "b"), ("user", "c")], [False, False, True]),
        ([("user", "a"), ("assistant", "b")], [True, True]),
        ([("user", "a"), ("model", "b"), ("user", "c"), ("model", "d")], [False] * 2 + [True] * 2),
        ([("developer", "s")], [True]),
        ([("user", "a"), ("assistant", "b"), ("system", "s")], [False, False, True]),
    ],
)  # fmt: skip
def test_what_a_request_asks(turns: Turns, new: list[bool]) -> None:
    """The messages after the model's last; words it is to go on from; never nothing."""
    item = asked(0, turns)
    entry = project(viewed(item), None)
    assert entry is not None
    assert said(viewed(item), entry.row) == [
        Said(role, text, is_new) for (role, text), is_new in zip(turns, new, strict=True)
    ]
