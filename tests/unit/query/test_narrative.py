"""What hangs together in a narrative: windows, lanes, retries, meanings, reads, delegation."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.evidence import report_story
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import aliases, boundary, language, stream
from affidavit.query.search import Searcher
from affidavit.query.session import Line, narrative
from affidavit.query.stream import STEP, Stream
from affidavit.query.tree import Tree
from affidavit.record.model import Placed, View
from tests.unit.index.made import KEY, WHO, World, placed, request, response

OWNER = boundary.owner("act_owner")
AUDITOR = boundary.auditor("act_auditor", "acme")
NO_SESSION = {name: value for name, value in WHO.items() if name != "session"}
Told = Callable[[list[Placed]], Searcher]


@contextmanager
def searching(records: list[Placed], room: Path) -> Iterator[Searcher]:
    """An index over these records, with their vault."""
    world = World(records)
    indexer = Indexer(room, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    reader = Reader(room, KEY)
    yield Searcher(reader, world)
    reader.close()
    indexer.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Index some records."""
    with ExitStack() as stack:
        yield lambda records: stack.enter_context(searching(records, tmp_path))


def by_index(lines: list[Line]) -> dict[int, Line]:
    """The lines by index."""
    return {line.index: line for line in lines}


def alias(place: int, name: str, after: str) -> Placed:
    """A reported change of what a name means."""
    target = {"kind": "alias", "name": name}
    what = {"target": target, "before": None, "after": after, "models": [after]}
    return placed(place, "change.alias", {"who": NO_SESSION, "what": what}, tier="reported")


def test_exchanges_side_by_side_have_lanes(told: Told) -> None:
    """The second request runs beside the first; the third takes the lane that became free."""
    searcher = told([
        request(0, "one"), request(1, "two"), response(2, 0), request(3, "three"),
        response(4, 3), response(5, 1),
    ])  # fmt: skip
    lines = narrative(searcher, "ses_1", OWNER).lines
    assert [(line.lane, line.running) for line in lines] == [
        (0, ()), (1, (0,)), (0, (1,)), (0, (1,)), (0, (1,)), (1, ()),
    ]  # fmt: skip
    assert [(line.re, line.answered) for line in lines][:3] == [(None, 2), (None, 5), (0, None)]


@pytest.mark.parametrize(
    ("ended", "after"),
    [({"http.response.status_code": 429}, "HTTP status 429"),
     ({"outcome": "interrupted"}, "interrupted")],
)  # fmt: skip
def test_a_retry_is_told_with_its_evidence(told: Told, ended: dict[str, Any], after: str) -> None:
    """The same bytes after a failure are a retry; other words, or after an answer, are not."""
    searcher = told([
        request(0, "same"), response(1, 0, outcome=ended), request(2, "same"), response(3, 2),
        request(4, "same"), request(5, "other"),
    ])  # fmt: skip
    lines = by_index(narrative(searcher, "ses_1", OWNER).lines)
    assert msgspec.to_builtins(lines[2].retry) == {"of": 0, "after": after, "by": "the same bytes"}
    assert lines[4].retry is not None
    assert lines[4].retry.of == 0
    assert [place for place, line in lines.items() if line.retry] == [2, 4]
    assert all(line.retry is None for line in narrative(searcher, "ses_1", AUDITOR).lines)


def test_each_request_is_looked_into_once_for_all_that_may_repeat_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of many that failed took a look into the vault for each two of them."""
    failed = {"http.response.status_code": 429}
    searcher = told([
        record
        for place in range(0, 40, 2)
        for record in (request(place, f"{place}"), response(place + 1, place, outcome=failed))
    ])  # fmt: skip
    looks: Counter[int] = Counter()
    view = World.view

    def counting(self: World, index: int, tenant: str | None = None) -> View:
        looks[index] += 1
        return view(self, index, tenant)

    monkeypatch.setattr(World, "view", counting)
    first = narrative(searcher, "ses_1", OWNER, limit=30)
    assert (len(first.lines), set(looks.values())) == (30, {1})
    looks.clear()
    assert len(narrative(searcher, "ses_1", OWNER, limit=30, cursor=first.cursor).lines) == 10
    assert set(looks.values()) == {1}


def test_without_content_a_field_of_the_request_is_the_evidence(told: Told) -> None:
    """That bytes are the same is content; an idempotency-key is not."""
    headers = [["idempotency-key", "k-1"], ["x-stainless-retry-count", "1"]]
    same = {"http.request.headers": headers}
    searcher = told([
        request(0, "a", what=same), response(1, 0, outcome={"outcome": "upstream_error"}),
        request(2, "b", what=same),
    ])  # fmt: skip
    line = narrative(searcher, "ses_1", AUDITOR).lines[2]
    assert line.retry is not None
    assert (line.retry.of, line.retry.by) == (0, "the same idempotency-key")
    assert line.details["retry_as_the_caller_says"] == 1


def test_a_name_is_resolved_at_its_time(told: Told) -> None:
    """Before and after a change of the alias, and as served; each says where it is from."""
    asked = {"gen_ai.request.model": "prod-chat"}
    searcher = told([
        alias(0, "prod-chat", "gpt-4o"), request(1, what=asked),
        response(2, 1, what={"gen_ai.response.model": "gpt-4o"}), alias(3, "prod-chat", "gpt-5"),
        request(4, what=asked), response(5, 4, what={"gen_ai.response.model": "gpt-4o"}),
        request(6, what={"gen_ai.request.model": "plain"}),
        response(7, 6, what={"gen_ai.response.model": "plain"}),
    ])  # fmt: skip
    lines = by_index(narrative(searcher, "ses_1", OWNER).lines)
    assert [(m.model, m.by, m.record, m.tier) for m in lines[1].meanings] == [
        ("gpt-4o", "change", 0, "reported"), ("gpt-4o", "served", 2, "observed"),
    ]  # fmt: skip
    assert [(m.model, m.by, m.record, m.against) for m in lines[4].meanings] == [
        ("gpt-5", "change", 3, None), ("gpt-4o", "served", 5, 3),
    ]  # fmt: skip
    assert lines[6].meanings == ()
    assert lines[3].evidence == "reported"
    assert lines[3].beside


@pytest.mark.parametrize("most", [1, 2, 256])
def test_many_changes_of_a_name(told: Told, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Each request gets the newest change before it, also those looked up one by one."""
    monkeypatch.setattr(aliases, "MOST", most)
    asked = {"gen_ai.request.model": "prod-chat"}
    history = [request(0, what=asked)]
    for turn in range(4):
        history += [
            alias(2 * turn + 1, "prod-chat", f"gpt-{turn}"), request(2 * turn + 2, what=asked),
        ]  # fmt: skip
    lines = by_index(narrative(told(history), "ses_1", OWNER).lines)
    assert [[m.model for m in lines[2 * turn].meanings] for turn in range(5)] == [
        [], ["gpt-0"], ["gpt-1"], ["gpt-2"], ["gpt-3"],
    ]  # fmt: skip


def test_what_fell_in_between_belongs_there(told: Told) -> None:
    """Changes to other models, and refusals of others, are other stories."""
    other = {"target": {"kind": "model", "name": "other"}}
    source = {"target": {"kind": "source", "name": "crm"}, "after": "v2"}
    policy = {"target": {"kind": "policy", "name": "p"}, "after": "stricter"}
    bob = NO_SESSION | {"actor": "act_bob"}
    denied = {
        "what": {"url.path": "/x"},
        "outcome": {"outcome": "denied", "error": {"code": "refused", "message": "No."}},
    }
    searcher = told([
        request(0, what={"sources": ["crm"]}),
        placed(1, "change.model", {"who": NO_SESSION, "what": other}),
        placed(2, "change.source", {"who": NO_SESSION, "what": source}),
        placed(3, "change.policy", {"who": bob, "what": policy}),
        placed(4, "access.denied", {"who": NO_SESSION, **denied}),
        placed(5, "access.denied", {"who": bob, **denied}),
        response(6, 0),
        placed(7, "change.source", {"who": NO_SESSION, "what": source}),
    ])  # fmt: skip
    found = narrative(searcher, "ses_1", OWNER)
    assert [line.index for line in found.lines] == [0, 2, 3, 4, 6]
    assert found.lines[3].text == "Was refused at /x: No."
    assert by_index(found.lines)[2].details["changed"] == ["nothing → v2"]


def test_what_somebody_saves_to_ask_with_is_no_change_of_the_story(told: Told) -> None:
    """A saved query between request and response is left out; the configuration is told."""
    saved = {"target": {"kind": "query", "name": "mine"}, "change": "saved", "after": "model:m"}
    searcher = told([
        request(0),
        placed(1, "change.config", {"who": NO_SESSION, "what": saved}),
        placed(2, "change.config", {"who": NO_SESSION, "what": {"after": {"log": {"x": 1}}}}),
        response(3, 0),
    ])  # fmt: skip
    assert [line.index for line in narrative(searcher, "ses_1", OWNER).lines] == [0, 2, 3]


def test_who_read_it_is_told(told: Told) -> None:
    """Reveals by record, exports by their question; of others' records nothing."""
    first, other = request(0), request(2, who={"session": "ses_2"})

    def reveal(place: int, of: Placed, *indexes: int) -> Placed:
        shown = [{"id": "x", "index": index, "parts": []} for index in indexes]
        target = {"kind": "record", "name": of.record.id}
        what = {"operation": "reveal", "reason": "t", "target": target, "records": shown}
        return placed(place, "access.reveal", {"who": NO_SESSION, "what": what})

    def export(place: int, expression: str) -> Placed:
        under = {"rows": "tenant:acme"}
        what: dict[str, Any] = {"operation": "export", "expression": expression}
        what |= {"boundary": under, "count": place == 8}
        return placed(place, "access.export", {"who": NO_SESSION, "what": what})

    searcher = told([
        first, response(1, 0), other, reveal(3, first, 0, 1),
        reveal(4, other, 2), export(5, "model:gpt-4o"), export(6, "model:other"),
        export(7, 'actor:"hmac:abc"'), export(8, "model:gpt-4o"),
    ])  # fmt: skip
    lines = by_index(narrative(searcher, "ses_1", OWNER).lines)
    assert list(lines) == [0, 1, 3, 5, 7]
    assert lines[3].details["of_this_narrative"] == ["#0", "#1"]
    assert lines[5].details["of_this_narrative"] == ["#0", "#1"]
    assert "cannot be told" in str(lines[7].details["of_this_narrative"])
    exchange = by_index(narrative(searcher, "#1", OWNER).lines)
    assert list(exchange) == [0, 1, 3, 5, 7]


def test_what_takes_too_long_beside_a_story_cannot_be_told(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the time is for the story itself: it is told, and what could not be found out."""
    exports = [
        placed(place, "access.export", {"who": NO_SESSION, "what": {
            "operation": "export", "expression": "model:other", "boundary": {"rows": "tenant:acme"},
        }})
        for place in (2, 3)
    ]  # fmt: skip
    searcher = told([request(0), response(1, 0), *exports])
    assert len(narrative(searcher, "ses_1", OWNER).lines) == 2
    real = Stream._own_where

    def slow(self: Stream, condition: Tree) -> tuple[int, ...]:
        own = self._searcher.reader._own()
        own.left -= 6 if own.left > 0 else 0  # what a statement would have used up
        return real(self, condition)

    monkeypatch.setattr(Stream, "_own_where", slow)
    lines = narrative(searcher, "ses_1", OWNER).lines
    assert [line.index for line in lines] == [0, 1, 2, 3]
    assert all("no time" in str(line.details["of_this_narrative"]) for line in lines[2:])


def test_an_export_whose_question_is_too_much_for_one_statement_does_not_fail_the_story(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of SQLite's in one question of somebody else's: that row says it cannot be told."""
    export = placed(2, "access.export", {"who": NO_SESSION, "what": {
        "operation": "export", "expression": "model:other", "boundary": {"rows": "tenant:acme"},
    }})  # fmt: skip
    searcher = told([request(0), response(1, 0), export])

    def much(self: Stream, _: Tree) -> tuple[int, ...]:
        self._searcher.reader.query(f"SELECT {'(' * 5_000}1{')' * 5_000}")
        raise AssertionError("it is no limit")

    monkeypatch.setattr(Stream, "_own_where", much)
    lines = narrative(searcher, "ses_1", OWNER).lines
    assert [line.index for line in lines] == [0, 1, 2]
    assert "no time" in str(lines[2].details["of_this_narrative"])


def test_a_story_is_one_question(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statements have the time of one together, in whichever snapshots they are made."""
    searcher = told([request(0), response(1, 0)])
    real = Stream._naming

    def slow(self: Stream) -> Tree:
        self._searcher.reader._own().left -= 11
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(Stream, "_naming", slow)
        with pytest.raises(UsageError, match="longer than"):
            narrative(searcher, "ses_1", OWNER)
    assert len(narrative(searcher, "ses_1", OWNER).lines) == 2


def test_an_export_is_told_by_its_leaves(told: Told) -> None:
    """Not by what its question finds today; of a sample, which were drawn cannot be told."""

    def export(place: int, leaves: list[Any], **more: Any) -> Placed:
        what: dict[str, Any] = {"operation": "export", "expression": "model:gone", "count": False}
        what |= {"boundary": {"rows": "tenant:acme"}, "leaves": leaves, **more}
        return placed(place, "access.export", {"who": NO_SESSION, "what": what})

    ours, other = request(0), request(2, who={"session": "ses_2"})
    searcher = told([
        ours, response(1, 0), other, request(3), export(4, [[0, 1]]), export(5, [[2, 2]]),
        export(6, [[1, 3]], sample=1, seed="s"), export(7, []), export(8, [[2, 3], [5, 5]]),
        export(9, [[2, 2]], sample=1, seed="s"), export(10, [["x"], 3, [3, 3]]),
    ])  # fmt: skip
    of = {
        line.index: line.details["of_this_narrative"]
        for line in narrative(searcher, "ses_1", OWNER).lines
        if line.type == "access.export"
    }
    assert list(of) == [4, 6, 8, 10]
    assert (of[4], of[8], of[10]) == (["#0", "#1"], ["#3"], ["#3"])
    assert "cannot be told" in str(of[6])
    exchange = by_index(narrative(searcher, "#1", OWNER).lines)
    assert [index for index, line in exchange.items() if line.type == "access.export"] == [4, 6]
    assert exchange[4].details["of_this_narrative"] == ["#0", "#1"]
    assert 9 in by_index(narrative(searcher, "#2", OWNER).lines)


def test_an_export_in_more_runs_than_are_looked_at_cannot_be_told(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed all the same."""
    monkeypatch.setattr(stream, "_LOOKS", 2)
    places = range(6)
    sessions = [request(place, who={"session": f"ses_{place % 2 + 1}"}) for place in places]
    what = {"operation": "export", "leaves": [[1, 1], [3, 3], [5, 5]], "count": False}
    searcher = told([*sessions, placed(6, "access.export", {"who": NO_SESSION, "what": what})])
    line = by_index(narrative(searcher, "ses_1", OWNER).lines)[6]
    assert "cannot be told" in str(line.details["of_this_narrative"])


def test_of_many_records_that_an_export_showed_the_first_are_told(told: Told) -> None:
    """Eight of them, and that there may be more; not where it showed none behind these."""

    def export(place: int, leaves: list[Any]) -> Placed:
        what = {"operation": "export", "leaves": leaves, "count": False}
        return placed(place, "access.export", {"who": NO_SESSION, "what": what})

    ours = [request(place) for place in range(12)]
    searcher = told(
        [*ours, export(12, [[0, 11]]), export(13, [[2, 3], [9, 9]]), export(14, [[1, 2]])]
    )
    lines = by_index(narrative(searcher, "ses_1", OWNER).lines)
    of = {place: lines[place].details["of_this_narrative"] for place in (12, 13, 14)}
    assert of[12] == [f"#{place}" for place in range(8)] + ["and perhaps more"]
    assert of[13] == ["#2", "#3", "#9"]
    assert of[14] == ["#1", "#2"]


def test_delegation_and_spans_are_told(told: Told) -> None:
    """Who acted for whom as the record has it; the parent record and span."""
    steps = [{"actor": "act_team", "kind": "service"}, "act_boss"]
    first = request(0, who={"delegation": steps}, person={"end_user": "u-1"})
    parent = first.record.id
    what = {"gen_ai.tool.name": "search", "span_id": "b" * 16, "parent_span_id": "a" * 16}
    searcher = told([
        first, placed(1, "tool.call", {"who": WHO, "what": what | {"parent": parent}}),
    ])  # fmt: skip
    asked, called = narrative(searcher, "ses_1", OWNER).lines
    assert asked.on_behalf == (
        "act_alice (person)", "act_team (service)", "act_boss",
        "u-1 (end user, as the caller says)",
    )  # fmt: skip
    assert (called.part_of, called.span, called.parent_span) == (0, "b" * 16, "a" * 16)
    assert called.on_behalf == ()
    assert asked.name == "Alice Doe"
    unnamed = narrative(searcher, "ses_1", AUDITOR).lines[0]
    assert unnamed.name is None
    assert "u-1" not in str(unnamed.on_behalf)


def test_an_actor_and_a_model_have_a_story(told: Told) -> None:
    """By prefix, also in a window; a kind outside the boundary is refused."""
    searcher = told([request(0), response(1, 0), request(2), response(3, 2), request(4)])
    actor = narrative(searcher, "actor:act_alice", OWNER)
    assert (actor.kind, actor.name) == ("actor", "act_alice")
    assert [line.index for line in actor.lines] == [0, 1, 2, 3, 4]
    second = searcher.row(2, OWNER)["time"]
    since = language.parse(f"since:{second} until:{searcher.row(4, OWNER)['time']}", second)
    model = narrative(searcher, "model:gpt-4o", OWNER, window=since)
    assert [line.index for line in model.lines] == [2, 3]
    with pytest.raises(NotFoundError):
        narrative(searcher, "model:gpt", OWNER)
    blind = boundary.Boundary("act", "odd", OWNER.rows, frozenset({"what"}), "never")
    with pytest.raises(RefusedError, match="section who"):
        narrative(searcher, "actor:act_alice", blind)


def test_a_cursor_is_of_its_question_alone(told: Told) -> None:
    """Another name, boundary or byte, and it is refused; as of stays that of the first page."""
    searcher = told([request(0), request(1, who={"session": "ses_2"}), request(2), request(3)])
    page = narrative(searcher, "ses_1", OWNER, limit=2)
    assert [line.index for line in page.lines] == [0, 2]
    rest = narrative(searcher, "ses_1", OWNER, cursor=page.cursor, limit=2)
    assert ([line.index for line in rest.lines], rest.cursor, rest.more) == ([3], "", False)
    assert rest.as_of == page.as_of
    for name, reader, cursor in (
        ("ses_2", OWNER, page.cursor), ("ses_1", AUDITOR, page.cursor),
        ("ses_1", OWNER, page.cursor[1:] + page.cursor[:1]), ("ses_1", OWNER, "nonsense!"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="cursor"):
            narrative(searcher, name, reader, cursor=cursor, limit=2)
    with pytest.raises(UsageError, match="lines"):
        narrative(searcher, "ses_1", OWNER, limit=0)


def test_a_flood_beside_a_session_is_read_in_steps(told: Told) -> None:
    """However much happens between two records, a page looks at so much and goes on."""
    target = {"kind": "model", "name": "other"}
    beside = [
        placed(place, "change.model", {"who": NO_SESSION, "what": {"target": target}})
        for place in range(1, STEP + 60)
    ]
    searcher = told([request(0), *beside, response(STEP + 60, 0)])
    assert [line.index for line in narrative(searcher, "ses_1", OWNER).lines] == [0, STEP + 60]


def test_what_halves_say_differently_is_no_damage(told: Told) -> None:
    """A half that names another model, or nobody, is as it was recorded."""
    odd = {"gen_ai.request.model": "other", "trace_id": 7, "model_resolved": "third"}
    searcher = told([
        request(0, what={"model_resolved": "second"}), response(1, 0, what=odd),
        placed(2, "exchange.response", {"who": {"tenant": "acme"}, "outcome": 5}, re=0),
        placed(3, "change.key", {"who": WHO, "what": {"key": ["key_9", 3], "actor": "act_z"}}),
        placed(4, "custom", {"what": {"target": "x" * 2_000, "sources": ["s"] * 300}}),
    ])  # fmt: skip
    for name in ("#0", "#1", "#2", "#3", "#4"):
        evidence = {line.evidence for line in narrative(searcher, name, OWNER).lines}
        assert evidence == {"verified"}, name


def test_whose_key_it_is_did_not_make_it(told: Told) -> None:
    """The name of the person whose key was made does not stand beside who made it."""
    made = {"key": "key_9", "change": "created", "actor": "act_z"}
    sections = {"who": WHO, "what": made, "person": {"name": "Alice Doe"}}
    searcher = told([placed(0, "change.key", sections)])
    (line,) = narrative(searcher, "#0", OWNER).lines
    assert (line.actor, line.name) == (WHO["actor"], None)
    assert line.details["for"] == "Alice Doe"
    row = searcher.reader.row(0)
    assert row is not None
    labels = [label for label, _ in report_story._facts(row, sections)]
    assert "by" in labels
    assert "named" not in labels


def test_an_index_that_says_otherwise_is_named(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence is made of the index, so verified means that it says what the record says."""
    searcher = told([request(0), response(1, 0)])
    world = searcher.contents
    assert world is not None
    given = world.view

    def other(index: int, tenant: str | None = None) -> View:
        view = given(index)
        what = view.sections["what"] | {"gen_ai.request.model": "gpt-3"}
        return msgspec.structs.replace(view, sections=view.sections | {"what": what})

    monkeypatch.setattr(world, "view", other)
    line = narrative(searcher, "ses_1", OWNER).lines[0]
    assert line.evidence == "corrupt"
    assert "index rebuild" in str(line.details["problem"])
