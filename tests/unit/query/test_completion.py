"""What is offered while typing: what the parser understands and the reader may ask, no more."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import ExpressionError, UsageError
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary as boundaries
from affidavit.query.boundary import Boundary
from affidavit.query.completion import MAX_SUGGESTIONS, Completion, complete
from affidavit.query.fields import ALIASES, FIELDS, HAS, Field
from affidavit.query.known import MAX_VALUES, RECENT, KnownValues
from affidavit.query.language import parse
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Moment, Nothing, Tree
from tests.unit.index.made import KEY, World, request, response
from tests.world.clock import FakeClock

NOW = "2026-11-23T12:00:00.000000Z"
OWNER = boundaries.owner("act_owner")
AUDITOR = boundaries.auditor("act_auditor", "acme")
MEMBER = boundaries.member("act_alice", "acme", "support")
KNOWN = {"model": ("gpt-4o", "gpt-4o mini", "claude", "bad\x1b[31m"), "status": ("200", "complete")}


def known(field: Field) -> tuple[str, ...]:
    """Values in records."""
    return KNOWN.get(field.name, ())


def offered(text: str, position: int | None = None, reader: Boundary = OWNER) -> list[str]:
    """The texts that are offered."""
    return [one.text for one in complete(text, position, reader, known).suggestions]


def applied(text: str, found: Completion) -> list[str]:
    """The expression with each suggestion in its place."""
    return [text[: found.start] + one.text + text[found.end :] for one in found.suggestions]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mod", ["model:"]),
        ("since:90d MOD", ["model:"]),
        ("-(statu", ["status:"]),
        ("tokens", ["tokens>", "tokens>=", "tokens<", "tokens<=", "tokens=", "tokens_in>",
                    "tokens_out>"]),
        ("since", ["since:"]),
        ("source_t", ["source_time>="]),
        ("since:", ["since:24h", "since:7d", "since:30d", "since:90d"]),
        ("since:9", ["since:90d"]),
        ("tokens>", []),
        ("has:so", ["has:source"]),
        ("tier:o", ["tier:observed"]),
        ("status:", ["status:complete", "status:truncated", "status:client_gone",
                     "status:upstream_error", "status:denied", "status:interrupted",
                     "status:200"]),
        ("model:", ["model:gpt-4o", 'model:"gpt-4o mini"', "model:claude"]),
        ("model:GPT", ["model:gpt-4o", 'model:"gpt-4o mini"']),
        ('model:"gpt-4o m', ['model:"gpt-4o mini"']),
        ('a OR (model:"', ["model:gpt-4o", 'model:"gpt-4o mini"', "model:claude"]),
        ('model:"gpt-4o"', []),
        ('"model:', []),
        ('"tail" mod', ["model:"]),
        ("outcome:tr", ["outcome:truncated"]),
        ("nothing:x", []),
        ("a OR", ["OR "]),
        ("a O", ["OR ", "operation:", "outcome:"]),
        ("a AN", ["AND "]),
        ("O", ["operation:", "outcome:"]),
        ("N", ["NOT ", "name:"]),
        ("a OR AC", ["actor:"]),
        ("email:", []),
        ("model:zzz", []),
    ],
)  # fmt: skip
def test_what_is_offered(text: str, found: list[str]) -> None:
    """Fields, then operators, then values, each for what stands before the place."""
    assert offered(text) == found


def test_an_empty_place_offers_every_field_and_the_middle_is_a_place_too() -> None:
    """At the beginning nothing is left out; a place in the middle replaces what stands there."""
    assert offered("") == ["NOT ", *(
        name + {"number": ">", "time": ">="}.get(FIELDS[ALIASES.get(name, name)].kind, ":")
        if name not in ("since", "until") else name + ":" for name in (*FIELDS, *ALIASES)
    )]  # fmt: skip
    found = complete("mod since:90d", 3, OWNER, known)
    assert applied("mod since:90d", found) == ["model: since:90d"]
    assert (found.start, found.end, found.field) == (0, 3, None)


def test_only_what_comes_from_records_is_told_as_a_read() -> None:
    """Closed sets and fields say nothing of any record."""
    assert complete("tier:", None, OWNER, known).field is None
    assert complete("since:", None, OWNER, known).field is None
    assert complete("key:", None, OWNER, known).field == "credential"
    assert complete("model:zzz", None, OWNER, known).field == "model"  # that none is, is told


@pytest.mark.parametrize("position", [-1, 4, 99])
def test_a_place_outside_is_a_mistake(position: int) -> None:
    """Nobody is told of characters that are not there."""
    with pytest.raises(UsageError):
        complete("mod", position, OWNER, known)


@pytest.mark.parametrize("reader", [OWNER, AUDITOR, MEMBER], ids=lambda reader: reader.role)
def test_fields_outside_the_boundary_are_not_offered(reader: Boundary) -> None:
    """Neither the name of a field that would be refused, nor a value of it."""
    asked: list[str] = []

    def look(field: Field) -> tuple[str, ...]:
        asked.append(field.name)
        return ("x",)

    for field in FIELDS.values():
        open_to = field.section == "leaf" or field.section in reader.sections
        if field.kind == "text":
            open_to = reader.content != "never"
        names = offered(field.name, None, reader)
        assert any(name.startswith(field.name) for name in names) == open_to
        if not open_to:
            assert not complete(f"{field.name}:", None, reader, look).suggestions
    assert all(FIELDS[name].section in reader.sections | {"leaf"} for name in asked)
    shown = offered("has:", None, reader)
    assert {f"has:{one.name}" for one in HAS.values()} - set(shown) == {
        f"has:{one.name}" for one in HAS.values() if one.section not in reader.sections | {"leaf"}
    }


@given(
    text=st.text(max_size=30) | st.text('model:"\\ -()ORstaus*', max_size=30),
    place=st.integers(0, 30),
)
@settings(max_examples=200, deadline=None)
def test_whatever_stands_there_suggestions_are_understood(text: str, place: int) -> None:
    """Any text at any place: no failure, no more than a limit, and each value is a condition."""
    place = min(place, len(text))
    found = complete(text, place, OWNER, known)
    assert len(found.suggestions) <= MAX_SUGGESTIONS
    assert 0 <= found.start <= found.end == place
    for one in found.suggestions:
        assert one.text.isprintable()
        if one.kind == "value":
            assert parse(one.text, NOW)
        elif one.kind == "field":
            with pytest.raises(ExpressionError) as caught:
                parse(one.text, NOW)
            assert caught.value.detail["position"] == len(one.text)


def test_values_are_those_of_records_within_the_boundary(searcher: Searcher) -> None:
    """Each reader is offered what stands in records that it may see, the most frequent first."""
    look = KnownValues(searcher.reader, FakeClock().monotonic)

    def of(name: str, reader: Boundary) -> list[str]:
        return list(look.of(FIELDS[name], reader))

    assert of("team", OWNER) == ["support", "research"]
    assert of("team", MEMBER) == ["support"]
    assert of("tool", OWNER) == ["search"]
    assert of("tool", MEMBER) == []  # the other team called it
    assert of("credential", MEMBER) == ["key_1"]
    assert of("model", MEMBER)[0] == "gpt-4o"
    assert "429" not in of("status", OWNER)
    stranger = boundaries.auditor("act_x", "elsewhere")
    assert not any(of(field.name, stranger) for field in FIELDS.values())
    assert not any(of(name, OWNER) for name in ("email", "name", "subject", "end_user", "id"))


def test_what_others_do_changes_nothing_that_is_offered(tmp_path: Path) -> None:
    """Whatever stands beside one's own records, the offer is the same in every field."""

    def offers(name: str, others: dict[str, Any], what: dict[str, Any]) -> dict[str, list[str]]:
        asked = [request(place, who=others, what=what) for place in range(2, 40)]
        world = World([request(0), response(1, 0), *asked])
        (tmp_path / name).mkdir()
        indexer = Indexer(tmp_path / name, KEY)
        indexer.start()
        indexer.apply(world.records, world.size, world.root(world.size))
        indexer.close()
        reader = Reader(tmp_path / name, KEY)
        look = KnownValues(reader, FakeClock().monotonic)
        found = {field.name: list(look.of(field, MEMBER)) for field in FIELDS.values()}
        reader.close()
        return found

    one = offers("a", {"team": "research", "credential": "key_9"}, {"gen_ai.request.model": "x"})
    two = offers("b", {"tenant": "other"}, {"tools_called": ["spy"], "gen_ai.request.model": "z"})
    assert one == two
    assert set(one["model"]) == {"gpt-4o", "gpt-4o-2024-08-06"}


def test_one_look_serves_for_a_while(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typing asks the database once; after some seconds it is asked again."""
    clock = FakeClock()
    looks: list[Sequence[Any]] = []
    query = searcher.reader.query

    def counted(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        looks.append(parameters)
        return query(sql, parameters)

    monkeypatch.setattr(searcher.reader, "query", counted)
    look = KnownValues(searcher.reader, clock.monotonic)
    for name in ("model", "model", "email", "id"):
        look.of(FIELDS[name], MEMBER)
    assert len(looks) == 1
    look.of(FIELDS["model"], AUDITOR)
    assert len(looks) == 2
    clock.advance(11)
    look.of(FIELDS["model"], MEMBER)
    assert len(looks) == 3
    assert all(parameters[-1] == RECENT for parameters in looks)
    assert MAX_VALUES < RECENT


def test_a_window_that_moves_is_looked_at_once_in_a_while(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question has its own "30 days ago"; another boundary has values of its own."""
    look = KnownValues(searcher.reader, FakeClock().monotonic)
    looks: list[Boundary] = []
    real = look._look

    def counted(field: Field, boundary: Boundary) -> Sequence[str]:
        looks.append(boundary)
        return real(field, boundary)

    monkeypatch.setattr(look, "_look", counted)

    def since(time: str, rows: Tree = AUDITOR.rows) -> Sequence[str]:
        moves = And((rows, Moment("time", ">=", time)))
        return look.of(FIELDS["model"], AUDITOR._replace(rows=moves, standing=rows))

    assert since("2026-09-21T14:13:20.000000Z") == since("2026-09-21T14:13:29.999999Z")
    assert len(looks) == 1
    assert since("2030-09-21T14:13:20.000000Z") == []
    assert since("2026-09-21T14:13:20.000000Z", Nothing()) == []
    assert since("2026-09-21T14:13:10.000000Z") != []
    assert len(looks) == 4


def test_a_slow_look_stops_nobody_elses(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for the same waits for it and does not look again; others are answered meanwhile."""
    look = KnownValues(searcher.reader, FakeClock().monotonic)
    going_on, go_on = threading.Event(), threading.Event()
    slow: list[str] = []
    real = look._look

    def slowly(field: Field, boundary: Boundary) -> Sequence[str]:
        if field.name == "model":
            slow.append(field.name)
            going_on.set()
            assert go_on.wait(20)
        return real(field, boundary)

    monkeypatch.setattr(look, "_look", slowly)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(look.of, FIELDS["model"], AUDITOR)
        assert going_on.wait(20)
        alike = pool.submit(look.of, FIELDS["model"], AUDITOR)
        try:
            other = pool.submit(look.of, FIELDS["team"], AUDITOR)
            assert set(other.result(20)) == {"support", "research"}
            assert not first.done()
        finally:
            go_on.set()
        assert alike.result(20) == first.result(20) != []
    assert slow == ["model"]
