"""Answers: what a page says beside its rows, cursors, what is withheld, sums."""

import threading
from pathlib import Path
from typing import Any

import pytest

from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.ids import b64u, from_b64u
from affidavit.index import reader as reading
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary, search
from affidavit.query.language import parse
from affidavit.query.rows import ROW_FIELDS
from affidavit.query.search import Searcher
from affidavit.query.session import narrative
from affidavit.query.sums import wanted
from affidavit.query.tree import All, And, Match, Moment, Not, Tree
from affidavit.record.model import View
from tests.unit.index.made import KEY, START, WHO, World, placed, request, response

NOW = "2026-09-21T15:00:00.000000Z"
OWNER = boundary.owner("act_owner")
AUDITOR = boundary.auditor("act_auditor", "acme")
COMPLIANCE = boundary.compliance("act_officer", "acme")
MEMBER = boundary.member("act_alice", "acme", "support")


def ask(text: str) -> Tree:
    """A parsed expression."""
    return parse(text, NOW)


def indexes(rows: list[dict[str, Any]]) -> list[int]:
    """Where the rows stand."""
    return [row["index"] for row in rows]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("model:gpt-4o", [7, 5, 4, 3, 2, 1, 0]),
        ("model:gpt-4o-2024-08-06", [7, 4, 3, 2, 1, 0]),
        ("actor:alice@example.com type:exchange.*", [3, 2, 1, 0]),
        ("actor:ALICE*", [3, 2, 1, 0]),
        ("actor:act_bob", [7, 4]),
        ("email:bob@*", [7, 4]),
        ("session:ses_2", [7, 4]),
        ("status:client_gone", [3]),
        ("status:2*", [7, 3, 1]),
        ("tool:search", [7]),
        ("trace:t1", [1, 0]),
        ("target:model:gpt-4o", [5]),
        ("group:oncall -has:answer type:exchange.request", []),
        ("has:answer", [4, 2, 0]),
        ("has:error", [3]),
        ("has:gap", [6]),
        ("tokens>11", [7, 3, 1]),
        ("tokens_out<7", []),
        ("finish:stop", [7, 3, 1]),
        ("since:2026-09-21T14:13:25Z until:2026-09-21T14:13:27Z", [6, 5]),
        ("index>=6", [7, 6]),
        ('"how old"', [2]),
        ("tow*", [0]),
        ('-"how old" type:exchange.request', [4, 0]),
        ("provider:openai -team:support", [7, 4]),
        ("", [7, 6, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_questions_have_these_answers(searcher: Searcher, text: str, found: list[int]) -> None:
    """Each field finds what its help says."""
    assert indexes(searcher.run(ask(text), OWNER).rows) == found


def test_errors_reasons_and_request_ids_are_found(tmp_path: Path) -> None:
    """What a provider's support asks for, what went wrong, and why something was refused."""
    failed = {"outcome": "upstream_error", "error": {"code": "upstream.timeout", "message": "No."}}
    world = World([
        request(0),
        response(1, 0, what={"request_id": "req_011CSxyz"}, outcome=failed),
        placed(2, "access.denied", {
            "control": {"decision": "deny", "reasons": ["refused.unauthenticated", "late"]},
            "outcome": {"outcome": "denied", "error": {"code": "refused.unauthenticated"}},
        }),
    ])  # fmt: skip
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.close()
    searcher = Searcher(Reader(tmp_path, KEY), world)
    for text, found in (
        ("error:upstream.timeout", [1]),
        ("error:*", [2, 1]),
        ("-error:upstream* has:error", [2]),
        ("request_id:req_011*", [1]),
        ("request_id:req_011", []),
        ("reason:refused.unauth*", [2]),
        ('reason:"refused.unauthenticated; late"', [2]),
        ("reason:late", []),
    ):
        assert indexes(searcher.run(ask(text), OWNER).rows) == found
    narrow = OWNER._replace(sections=frozenset({"who"}))
    with pytest.raises(RefusedError, match="section outcome"):
        searcher.run(ask("error:*"), narrow)
    searcher.reader.close()


def test_a_page_says_through_when_and_what_else(searcher: Searcher, office: World) -> None:
    """Size, time and root of the ledger the answer covers; gaps and unattributed records."""
    page = searcher.run(ask("session:ses_1"), OWNER)
    assert (page.as_of.size, page.as_of.time) == (8, office.records[-1].time)
    assert page.as_of.root == b64u(office.root(8))
    assert (page.gaps, page.unattributed, page.count, page.count_capped) == (1, 1, 5, False)
    assert searcher.run(ask("session:ses_1 until:2026-09-21T14:13:25Z"), OWNER).gaps == 0


def test_rows_are_flat_and_documented(searcher: Searcher) -> None:
    """Every key of a row is in the documented table; values are scalars or lists of texts."""
    for row in searcher.run(All(), OWNER).rows:
        assert set(row) == set(ROW_FIELDS)
        for value in row.values():
            flat = value if isinstance(value, list) else [value]
            assert all(isinstance(item, str | int | float | bool | None) for item in flat)


def test_sections_outside_the_boundary_are_absent_and_named(searcher: Searcher) -> None:
    """A key of a withheld section is not there, so null means not known."""
    page = searcher.run(All(), AUDITOR)
    assert page.withheld == ("person",)
    assert indexes(page.rows) == [7, 5, 4, 3, 2, 1, 0]
    for row in page.rows:
        assert not {"email", "subject", "name", "end_user", "address"} & set(row)
        assert "alice" not in str(row).replace("act_alice", "").lower()


def test_a_member_sees_the_own_team_only(searcher: Searcher) -> None:
    """Another team's records are neither counted nor found by id, and an OR does not help."""
    page = searcher.run(ask("team:research OR -team:research"), MEMBER)
    assert indexes(page.rows) == [5, 3, 2, 1, 0]
    assert page.count == 5
    with pytest.raises(NotFoundError):
        searcher.row(4, MEMBER)
    assert searcher.row("#4", OWNER)["actor"] == "act_bob"


def test_a_record_is_found_by_id_and_index(searcher: Searcher, office: World) -> None:
    """Id, index and #index name the same record."""
    name = office.records[5].record.id
    assert searcher.row(name, OWNER) == searcher.row(5, OWNER) == searcher.row("5", OWNER)
    for nothing in ("01a20a9e-18b2-78b3-a550-0f194c38365a", "99", "#999999999999999999", "x"):
        with pytest.raises(NotFoundError):
            searcher.row(nothing, OWNER)


def test_cursors_walk_all_pages_once(searcher: Searcher) -> None:
    """Pages follow each other without a hole or a repetition; the last has no cursor."""
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = searcher.run(ask("model:*"), OWNER, limit=3, cursor=cursor)
        found += indexes(page.rows)
        cursor, pages = page.cursor, pages + 1
    assert (found, pages) == ([7, 5, 4, 3, 2, 1, 0], 3)


def test_a_cursor_is_of_one_question_and_one_boundary(searcher: Searcher) -> None:
    """A changed cursor, or one of another question or reader, is refused."""
    cursor = searcher.run(All(), OWNER, limit=2).cursor
    assert searcher.run(All(), OWNER, limit=2, cursor=cursor).rows
    raw = from_b64u(cursor)
    changed = [
        b64u(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]) for place in range(len(raw))
    ]
    for bad in (*changed, cursor[:-1], cursor + "A", "é", b64u(raw[:8])):
        with pytest.raises(UsageError):
            searcher.run(All(), OWNER, limit=2, cursor=bad)
    with pytest.raises(UsageError):
        searcher.run(ask("model:*"), OWNER, cursor=cursor)
    with pytest.raises(UsageError):
        searcher.run(All(), AUDITOR, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_pages_have_a_size(searcher: Searcher, limit: int) -> None:
    """A page is 1 to 1,000 entries."""
    for ask_for in (searcher.run, searcher.exchanges):
        with pytest.raises(UsageError):
            ask_for(All(), OWNER, limit=limit)


def test_counts_are_capped(searcher: Searcher) -> None:
    """Counting stops at the cap and says so."""
    page = searcher.run(All(), OWNER, limit=1, count_to=5)
    assert (page.count, page.count_capped) == (5, True)


def test_tail_gives_what_is_new_and_where_to_go_on(searcher: Searcher) -> None:
    """Oldest first; ``next`` passes over what does not match."""
    page = searcher.tail(ask("type:exchange.response"), OWNER, after=2, limit=1)
    assert (indexes(page.rows), page.next) == ([3], 4)
    page = searcher.tail(ask("type:exchange.response"), OWNER, after=page.next)
    assert (indexes(page.rows), page.next) == ([7], 8)
    page = searcher.tail(ask("type:exchange.response"), OWNER, after=8)
    assert (page.rows, page.next) == ([], 8)


def test_exchanges_join_both_halves(searcher: Searcher) -> None:
    """People see one entry: the request with its outcome, the question and the answer."""
    page = searcher.exchanges(ask("session:ses_1 type:exchange.*"), OWNER)
    first, second = page.exchanges
    assert (first.row["index"], first.row["status"], first.open) == (2, "client_gone", False)
    assert (first.prompt, first.output, first.content) == ("and how old", "built in 1889", "shown")
    assert second.row["model_requested"] == "gpt-4o"
    assert second.row["model_served"] == "gpt-4o-2024-08-06"
    assert (second.row["tokens_in"], second.row["decision"]) == (5, "allow")


def test_exchanges_show_content_for_a_reason_only(searcher: Searcher) -> None:
    """Without a reason a member sees that there is content, not the content."""
    without = searcher.exchanges(ask("type:exchange.*"), MEMBER).exchanges[0]
    assert (without.prompt, without.output, without.content) == (None, None, "withheld")
    stated = searcher.exchanges(ask("type:exchange.*"), MEMBER, reason="ticket 7").exchanges[0]
    assert stated.output == "built in 1889"
    for reader, content in ((AUDITOR, "shown"), (COMPLIANCE, "withheld")):
        page = searcher.exchanges(ask("type:exchange.*"), reader, reason="ticket")
        assert page.exchanges[0].content == content
    with pytest.raises(RefusedError):
        searcher.run(ask('"secret"'), MEMBER)


def test_erased_content_is_said_to_be_erased(searcher: Searcher, office: World) -> None:
    """What was erased is told from what is withheld."""
    office.erase(4, "request.body")
    exchange = searcher.exchanges(ask("actor:act_bob"), OWNER).exchanges[0]
    assert (exchange.prompt, exchange.output, exchange.content) == (None, "no", "erased")


def test_an_exchange_names_what_is_gone_of_either_half(tmp_path: Path) -> None:
    """The response's own did not only come on top: what is gone of the request was left out."""
    world = World([request(0, "how tall"), response(1, 0, "tall")])
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    world.erase(0, "person", "content", "request.body")
    world.erase(1, "outcome", "content", "response.body")
    indexer.refresh([0, 1], world.view)
    indexer.settle()
    reader = Reader(tmp_path, KEY)
    (exchange,) = Searcher(reader, world).exchanges(All(), OWNER).exchanges
    assert exchange.row["erased"] == ["person", "outcome", "content"]
    reader.close()
    indexer.close()


def test_sums_come_by_any_of_their_keys(searcher: Searcher) -> None:
    """Requests, errors and tokens of closed exchanges."""
    answer = searcher.aggregate(All(), OWNER, wanted(("actor",)))
    assert [(r["actor"], r["requests"], r["errors"], r["tokens_in"]) for r in answer.rows] == [
        ("act_alice", 2, 1, 10), ("act_bob", 1, 0, 5),
    ]  # fmt: skip
    assert searcher.aggregate(ask("actor:act_alice"), MEMBER, wanted(())).rows[0]["requests"] == 2


def test_text_behind_rows_limits_what_a_text_answer_covers(tmp_path: Path) -> None:
    """An answer that needs text is as of the text, and says so; others are as of the rows."""
    world = World([request(0, "one"), response(1, 0, "two"), request(2, "one")])
    indexer = Indexer(tmp_path, KEY)
    indexer._threads[0].run = lambda: None  # type: ignore[method-assign]  # a writer that is slow
    indexer.start()
    indexer.apply(world.records[:2], 2, world.root(2))
    reader = Reader(tmp_path, KEY)
    found = Searcher(reader, world)
    assert found.run(All(), OWNER).as_of.size == 2
    page = found.run(ask("one OR type:exchange.request"), OWNER)
    assert (page.rows, page.as_of.size, page.count) == ([], 0, 0)
    reader.close()


def test_times_before_and_after_everything(searcher: Searcher) -> None:
    """Windows outside the ledger's times are empty or all of it."""
    assert START
    assert searcher.run(ask("since:2030-01-01"), OWNER).count == 0
    assert searcher.run(ask("until:2020-01-01"), OWNER).count == 0
    assert searcher.run(ask("since:2020-01-01 until:2030-01-01"), OWNER).count == 8


def test_no_value_hides_from_its_prefix(tmp_path: Path) -> None:
    """A name that goes on with the last of all characters is found by its beginning, too."""
    names = ["x", "x\U0010ffff", "x\U0010ffff\U0010ffffy", "y", "x\ue000"]
    world = World(
        [
            request(place, "hello", what={"gen_ai.request.model": name, "url.path": name})
            for place, name in enumerate(names)
        ]
    )
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    reader = Reader(tmp_path, KEY)
    found = Searcher(reader, world)
    for field in ("model", "path"):
        assert indexes(found.run(ask(f"{field}:x*"), OWNER).rows) == [4, 2, 1, 0]
        assert indexes(found.run(ask(f"{field}:x\U0010ffff*"), OWNER).rows) == [2, 1]
        assert indexes(found.run(ask(f"{field}:\U0010ffff*"), OWNER).rows) == []
    reader.close()
    indexer.close()


def test_a_tail_goes_over_a_long_ledger_in_steps(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing matches for long, a look ends all the same and says where to go on."""
    monkeypatch.setattr(search, "TAIL_SPAN", 3)
    after, found, places = 0, [], []
    while after < 8:
        page = searcher.tail(ask("actor:act_bob"), OWNER, after=after, limit=1)
        found += indexes(page.rows)
        after = page.next
        places.append(after)
    assert (found, places) == ([4, 7], [3, 6, 8])


def test_a_question_has_so_many_seconds_and_no_more(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes too long is given up in a sentence, and the next question is answered."""
    monkeypatch.setattr(reading, "_STEPS", 1)
    own = searcher.reader._own()
    own.db.set_progress_handler(own.late, 1)
    monkeypatch.setattr(reading, "SECONDS", 0.0)
    for text in ("tokens>1", '"how old"', "model:*"):
        with pytest.raises(UsageError, match="takes longer than"):
            searcher.run(ask(text), OWNER)
    monkeypatch.setattr(reading, "SECONDS", 10.0)
    assert searcher.run(ask('"how old"'), OWNER).count == 1


def test_the_seconds_are_those_of_all_statements_of_a_question(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many quick statements together use up what one slow one would; the next has its own."""
    reader = searcher.reader
    ticks = iter(range(1_000_000))
    monkeypatch.setattr("affidavit.index.reader.time.monotonic", lambda: next(ticks) / 4)
    own = reader._own()
    own.db.set_progress_handler(own.late, 1_000_000)
    with reader.snapshot():
        for _ in range(30):
            reader.query("SELECT 1")
        assert own.left < reading.SECONDS - 7
    assert own.left == reading.SECONDS


def test_the_vault_is_read_while_nobody_waits_for_the_index(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long content takes, others ask the index meanwhile."""
    others: list[int] = []
    office_view = searcher.contents
    assert office_view is not None

    view = office_view.view

    class Slow:
        def view(self, index: int, tenant: str | None = None) -> View:
            asking = threading.Thread(target=lambda: others.append(searcher.as_of().size))
            asking.start()
            asking.join(10)
            assert not asking.is_alive()
            return view(index)

    monkeypatch.setattr(searcher, "contents", Slow())
    assert searcher.exchanges(ask("session:ses_1"), OWNER).exchanges[0].row
    assert len(narrative(searcher, "ses_1", OWNER).lines) == 5
    assert set(others) == {8}
    assert len(others) > 6


def test_as_many_conditions_as_are_read_are_answered(searcher: Searcher) -> None:
    """At the limit of the language no shape of an expression meets one of the database."""
    for name, found in (("actor", [3, 1]), ("session", [3, 1]), ("model", []), ("path", [])):
        others = [f"{name}:x{place}" for place in range(126)]
        both = {"actor": "alice@example.com", "session": "ses_1"}.get(name, "nobody")
        either = " OR ".join([*others, f"{name}:{both}"])
        assert indexes(searcher.run(ask(f"({either}) tokens>0"), OWNER).rows) == found
        every = " ".join(f"-{other}" for other in others)
        assert len(searcher.run(ask(every), OWNER).rows) == 8


def test_what_is_answered_between_two_pages_is_on_one_of_them(tmp_path: Path) -> None:
    """An exchange that was open for page 1 is on page 2 at its request, once."""
    world = World([
        request(0), response(1, 0), request(2, "slow"), request(3), response(4, 3), request(5),
        response(6, 5), response(7, 2, "late"),
    ])  # fmt: skip
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records[:7], 7, world.root(7))
    searcher = Searcher(Reader(tmp_path, KEY), world)
    indexer.settle()
    first = searcher.exchanges(ask("model:gpt-4o"), OWNER, limit=2)
    indexer.apply(world.records[7:], 8, world.root(8))
    indexer.settle()
    rest = searcher.exchanges(ask("model:gpt-4o"), OWNER, limit=1, cursor=first.cursor)
    last = searcher.exchanges(ask("model:gpt-4o"), OWNER, cursor=rest.cursor)
    pages = [one.row["index"] for one in (*first.exchanges, *rest.exchanges, *last.exchanges)]
    assert pages == [5, 3, 2, 0]
    assert rest.exchanges[0].row["response_id"] == world.records[7].record.id
    searcher.reader.close()
    indexer.close()


@pytest.mark.parametrize(
    "text", ["index>=3.5", "index>3.5", "index=3.5", "index<=4.5", "index<4.5"]
)
def test_a_part_of_an_index_is_none(searcher: Searcher, text: str) -> None:
    """What lists count is what a page has, also where an index is no whole number."""
    asked = ask(f"model:gpt-4o {text}")
    page = searcher.run(asked, OWNER, limit=1)
    rows = searcher.run(asked, OWNER, limit=100).rows
    assert searcher.count_of(asked, 100) == (len(rows), False)
    assert page.count == len(rows)
    assert searcher.histogram(asked, OWNER, "day").records == len(rows)


def test_what_is_no_http_status_is_not_indexed_as_one(tmp_path: Path) -> None:
    """So a question for a status finds the same by its list and by its rows."""
    codes = (45, 4, 450, 1000, 99, 100)
    world = World([
        placed(index, "exchange.response", {"outcome": {"http.response.status_code": code}})
        for index, code in enumerate(codes)
    ])  # fmt: skip
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.close()
    searcher = Searcher(Reader(tmp_path, KEY), world)
    for text, found in (("status:4*", [2]), ("status:45", []), ("-(-status:4*)", [2])):
        assert indexes(searcher.run(ask(text), OWNER).rows) == found
    assert [row["http"] for row in searcher.run(ask(""), OWNER).rows] == [
        100, None, None, 450, None, None
    ]  # fmt: skip
    searcher.reader.close()


def test_no_row_leads_beyond_the_boundary(tmp_path: Path) -> None:
    """Neither to a request before the window nor to an answer that the rows leave out."""
    early = request(0)
    world = World([
        early, response(1, 0), request(2), response(3, 2, what={"tools_called": ["payroll"]}),
        placed(4, "tool.call", {"who": WHO, "what": {"parent": early.record.id}}),
        placed(5, "tool.call", {"who": WHO, "what": {"parent": "somebody's own"}}),
    ])  # fmt: skip
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    reader = Reader(tmp_path, KEY)
    searcher = Searcher(reader, world)
    rows = And((
        Match("tenant", "acme"), Not(Match("tool", "payroll")),
        Moment("time", ">=", world.records[1].time),
    ))  # fmt: skip
    narrow = boundary.auditor("act_auditor", "acme")._replace(rows=rows)
    nothing = (None, None, None)
    expected = {1: nothing, 2: nothing, 4: nothing, 5: (None, None, "somebody's own")}
    pages = [
        searcher.run(All(), narrow).rows,
        searcher.tail(All(), narrow, after=0).rows,
        [one.row for one in searcher.exchanges(All(), narrow).exchanges],
        [searcher.row(index, narrow) for index in expected],
    ]
    for page in pages:
        found = {row["index"]: (row["re"], row["answered"], row["parent"]) for row in page}
        assert found == expected
    whole = {
        row["index"]: row
        for row in searcher.run(All(), boundary.auditor("act_auditor", "acme")).rows
    }
    assert [whole[index]["re"] for index in (1, 3)] == [0, 2]
    assert [whole[index]["answered"] for index in (0, 2)] == [1, 3]
    assert [whole[index]["parent"] for index in (1, 4)] == [early.record.id] * 2
    reader.close()
    indexer.close()
