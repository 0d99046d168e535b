"""Random records, boundaries and questions, answered by the program and by thirty plain lines.

The oracle knows records as their writers made them and reads the meaning of a tree off its
definition; it shares no code with projection, emitter or index. The last tests break the
boundary on purpose and expect the oracle to notice.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from affidavit.errors import RefusedError
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary as boundaries
from affidavit.query import conditions, emit, lists, search
from affidavit.query.boundary import EVERY_SECTION, NOT_PERSON, Boundary
from affidavit.query.search import Searcher
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Nothing,
    Number,
    Or,
    Phrase,
    Tree,
)
from affidavit.record.model import Placed
from tests.unit.index.made import KEY, SERVED, WHAT, World, answer, chat, placed

TENANTS, TEAMS, ACTORS = ("acme", "umbra", None), ("red", "blue", None), ("act_1", "act_2", None)
MODELS = ("m", "m-1", "m-2", None)
MAILS = ("A@x.org", "b@x.org", None)
TOOLS: tuple[list[str], ...] = ([], ["search"], ["search", "mail"])
WORDS = ("alpha beta", "beta gamma", "alpha gamma beta", "delta")
TYPES = (
    "exchange.request", "change.model", "access.query", "access.denied", "ledger.gap",
    "ledger.heads",
)  # fmt: skip


class Fact(NamedTuple):
    """One record as the oracle knows it."""

    place: int
    type: str
    time: str
    at: str
    tier: str
    re: int | None
    who: dict[str, Any]
    person: dict[str, Any]
    what: dict[str, Any]
    outcome: dict[str, Any]
    decision: str | None
    models: set[str]
    said: list[str]
    answers: list[int]
    provider: str | None = None
    counted: str | None = None


def known(**given: Any) -> dict[str, Any]:
    """A section without what is not known."""
    return {name: value for name, value in given.items() if value is not None}


@st.composite
def worlds(draw: Callable[..., Any]) -> tuple[World, list[Fact]]:
    """Up to 14 records: exchanges answered in any order, changes, reads, gaps."""
    records: list[Placed] = []
    facts: list[Fact] = []
    open_requests: list[int] = []
    spoken: set[tuple[Any, ...]] = set()
    for index in range(draw(st.integers(1, 14))):
        answering = open_requests and draw(st.booleans())
        kind = "exchange.response" if answering else draw(st.sampled_from(TYPES))
        tier = draw(st.sampled_from(["observed", "reported"]))
        at = 1_790_000_000_000_000 + draw(st.integers(0, 5)) * 1_000_000
        bodies: dict[str, bytes] = {}
        said: list[str] = []
        history: tuple[str, str] | None = None
        before: list[tuple[str, str]] = []
        re = None
        sections: dict[str, Any] = {}
        text = draw(st.sampled_from(WORDS))
        if answering:
            re = open_requests.pop(draw(st.integers(0, len(open_requests) - 1)))
            served = draw(st.sampled_from(MODELS))
            tools = draw(st.sampled_from(TOOLS))
            sections["what"] = SERVED | {"gen_ai.response.model": served, "tools_called": tools}
            sections["outcome"] = known(**{
                "outcome": draw(st.sampled_from(["complete", "truncated", "denied"])),
                "http.response.status_code": draw(st.sampled_from([200, 429, None])),
                "gen_ai.usage.input_tokens": draw(st.sampled_from([1, 2, 50, None])),
                "gen_ai.usage.output_tokens": draw(st.sampled_from([1, 7, None])),
                "gen_ai.usage.cache_read.input_tokens": draw(st.sampled_from([1, None])),
                "cost": draw(st.sampled_from([None, None, 0.25, 0.00014])),
                "duration": draw(st.sampled_from([0.5, 3.125, 40, None])),
                "time_to_first_byte": draw(st.sampled_from([0.0004, 0.25, None])),
            })  # fmt: skip
            bodies["response.body"] = answer(text)
        elif kind not in ("ledger.gap", "ledger.heads"):
            sections["who"] = known(
                tenant=draw(st.sampled_from(TENANTS)), team=draw(st.sampled_from(TEAMS)),
                actor=draw(st.sampled_from(ACTORS)), session=draw(st.sampled_from(["s1", None])),
                credential=draw(st.sampled_from(["key_1", None])),
            )  # fmt: skip
            sections["person"] = known(email=draw(st.sampled_from(MAILS)))
            if kind == "access.denied":
                sections["outcome"] = {"outcome": "denied"}
            sections["control"] = {"decision": draw(st.sampled_from(["allow", "deny"]))}
            model = draw(st.sampled_from(MODELS))
            if kind == "exchange.request":
                sections["what"] = WHAT | {"gen_ai.request.model": model}
                if draw(st.booleans()):
                    history = (
                        draw(st.sampled_from(["user", "assistant"])),
                        draw(st.sampled_from(WORDS)),
                    )
                    before = (
                        [history] if history[0] == "assistant" else [history, ("assistant", "")]
                    )
                bodies["request.body"] = chat([*before, ("user", text)])
                open_requests.append(index)
            elif kind == "change.model":
                sections["what"] = {"target": {"kind": "model", "name": model}}
            else:
                sections["what"] = {}
        record = placed(
            index, kind, sections, bodies, re=re, at=at, tier=tier, seconds=index * 40_000
        )
        records.append(record)
        if kind == "ledger.heads":
            continue
        asked = next((fact for fact in facts if fact.place == re), None) if answering else None
        who = asked.who if asked else sections.get("who", {})
        what = sections.get("what", {})
        models = {what.get(name) for name in ("gen_ai.request.model", "gen_ai.response.model")} | {
            what.get("target", {}).get("name")
        }
        models -= {None}
        if asked:
            models |= asked.models
            asked.models.update(models)  # the other half of the exchange
            asked.answers.append(index)
        if bodies:
            role = "assistant" if asked else "user"
            session = (who.get("tenant"), who.get("session"))
            if history is not None and (session[1] is None or (*session, *history) not in spoken):
                said.append(history[1])
            said.append(text)
            spoken |= {(*session, role, text), (*session, *(history or ("user", text)))}
        facts.append(Fact(
            index, kind, record.time, record.record.at, tier, re, who,
            asked.person if asked else sections.get("person", {}), what,
            sections.get("outcome", {}), sections.get("control", {}).get("decision"), models,
            said, [], asked.provider if asked else what.get("provider"),
            what.get("gen_ai.response.model")
            or (asked.counted if asked else what.get("gen_ai.request.model")),
        ))  # fmt: skip
    return World(records), facts


def holds(tree: Tree, fact: Fact) -> bool:
    """What a tree means, read off its definition."""
    match tree:
        case All():
            return True
        case Nothing():
            return False
        case And(children):
            return all(holds(child, fact) for child in children)
        case Or(children):
            return any(holds(child, fact) for child in children)
        case Not(child):
            return not holds(child, fact)
        case Moment(field, op, value):
            time = fact.time if field == "time" else fact.at
            return time >= value if op == ">=" else time < value
        case Phrase(text, prefix):
            return any(adjacent(text.split(), said.split(), prefix) for said in fact.said)
        case Number(_, op, value):
            counts = [fact.outcome.get(f"gen_ai.usage.{w}_tokens") for w in ("input", "output")]
            total = sum(count or 0 for count in counts)
            if counts == [None, None]:
                return False
            return {
                "<": total < value, "<=": total <= value, "=": total == value,
                ">=": total >= value, ">": total > value,
            }[op]  # fmt: skip
        case Has(what):
            return has(what, fact)
        case Match(field, value, prefix):
            if field == "email":
                value = value.casefold()
            return any(v.startswith(value) if prefix else v == value for v in of(field, fact))
    raise AssertionError(tree)


def adjacent(wanted: list[str], words: list[str], prefix: bool) -> bool:
    """Whether the wanted words stand next to each other, the last perhaps unfinished."""
    for start in range(len(words) - len(wanted) + 1):
        here = words[start : start + len(wanted)]
        last = here[-1].startswith(wanted[-1]) if prefix else here[-1] == wanted[-1]
        if here[:-1] == wanted[:-1] and last:
            return True
    return False


def has(what: str, fact: Fact) -> bool:
    """The kinds of ``has:`` that the generator uses."""
    http = fact.outcome.get("http.response.status_code") or 0
    return {
        "answer": bool(fact.answers),
        "error": fact.outcome.get("outcome") in ("truncated", "denied") or http >= 400,
        "gap": fact.type == "ledger.gap",
        "tool": bool(fact.what.get("tools_called")),
        "session": "session" in fact.who,
        "unattributed": "tenant" not in fact.who,
    }[what]


def of(field: str, fact: Fact) -> list[str]:
    """All values of a field of a record."""
    if field in ("tenant", "team", "actor", "session", "credential"):
        return [fact.who[field]] if field in fact.who else []
    if field == "email":
        return [fact.person["email"].casefold()] if "email" in fact.person else []
    if field == "status":
        values = (fact.outcome.get("outcome"), fact.outcome.get("http.response.status_code"))
        return [str(value) for value in values if value is not None]
    return {
        "provider": [fact.provider] if fact.provider else [], "model": sorted(fact.models),
        "type": [fact.type], "tier": [fact.tier],
        "tool": list(fact.what.get("tools_called", [])),
        "decision": [fact.decision] if fact.decision else [],
    }[field]  # fmt: skip


moments = st.integers(0, 14).map(lambda i: placed(0, "x", {}, seconds=i * 40_000).time)
LEAVES: st.SearchStrategy[Tree] = st.one_of(
    st.builds(
        Match,
        st.sampled_from(["model", "tenant", "team", "actor", "type", "tier", "tool", "status",
                         "decision", "session", "credential", "provider"]),
        st.sampled_from(["m", "m-1", "acme", "red", "act_1", "change.model", "exchange.", "search",
                         "truncated", "complete", "exchange.response", "429", "4", "deny", "allow",
                         "s1", "observed", "key_", "openai"]),
        st.booleans(),
    ),
    st.builds(Match, st.just("model"), st.sampled_from(["m", "m-1", "m-2"]), st.booleans()),
    st.builds(
        Number, st.just("tokens"), st.sampled_from(["<", "<=", "=", ">=", ">"]), st.integers(0, 60)
    ),
    st.builds(
        Moment, st.sampled_from(["time", "source_time"]), st.sampled_from([">=", "<"]), moments
    ),
    st.builds(
        Phrase, st.sampled_from(["alpha", "alpha beta", "gamma beta", "beta ga"]), st.booleans()
    ),
    st.builds(
        Has, st.sampled_from(["answer", "error", "gap", "tool", "session", "unattributed"])
    ),
    st.builds(Match, st.just("email"), st.sampled_from(["a@X.org", "b@", "A@x.org"]),
              st.booleans()),
)  # fmt: skip
TREES: st.SearchStrategy[Tree] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, min_size=1, max_size=3).map(tuple).map(And)
        | st.lists(inner, min_size=1, max_size=3).map(tuple).map(Or)
    ),
    max_leaves=5,
)
BOUNDARIES = st.sampled_from([
    boundaries.owner("o"),
    boundaries.responder("r", "acme"),
    boundaries.member("m", "acme", "red"),
    boundaries.subject("act_1", "acme"),
    Boundary("n", "nobody", Nothing(), EVERY_SECTION, "always"),
    Boundary("x", "odd", Or((Match("team", "blue"), Not(Match("tenant", "acme")))),
             EVERY_SECTION, "always"),
])  # fmt: skip


def visible(tree: Tree, fact: Fact, boundary: Boundary) -> bool:
    """What a reader should be answered: within the boundary, and what was asked."""
    return holds(boundary.rows, fact) and holds(seen(tree, boundary), fact)


def seen(tree: Tree, boundary: Boundary) -> Tree:
    """``actor:`` is also a person's e-mail where persons may be seen."""
    match tree:
        case And(children):
            return And(tuple(seen(child, boundary) for child in children))
        case Or(children):
            return Or(tuple(seen(child, boundary) for child in children))
        case Not(child):
            return Not(seen(child, boundary))
        case Match("actor", value, prefix) if "person" in boundary.sections:
            return Or((tree, Match("email", value, prefix)))
    return tree


@contextlib.contextmanager
def indexed(world: World) -> Iterator[Searcher]:
    """A searcher over the world, indexed live in two batches."""
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=shared) as name:
        indexer = Indexer(Path(name), KEY)
        indexer.start()
        try:
            half = world.size // 2
            for begin, end in ((0, half), (half, world.size)):
                if end > begin:
                    indexer.apply(world.records[begin:end], end, world.root(end))
            indexer.settle()
            reader = Reader(Path(name), KEY)
            try:
                yield Searcher(reader, world)
            finally:
                reader.close()
        finally:
            indexer.close()


def mentions(tree: Tree, node: type, field: str = "") -> bool:
    """Whether a kind of condition occurs in the tree."""
    if isinstance(tree, And | Or):
        return any(mentions(child, node, field) for child in tree.children)
    if isinstance(tree, Not):
        return mentions(tree.child, node, field)
    return isinstance(tree, node) and (not field or getattr(tree, "field", "") == field)


def check(searcher: Searcher, facts: list[Fact], boundary: Boundary, tree: Tree) -> None:
    """Every way of asking gives what the oracle says."""
    reason = "ticket" if boundary.content == "with_reason" else ""
    expected = [fact.place for fact in reversed(facts) if visible(tree, fact, boundary)]
    found: list[int] = []
    cursor, first = "", True
    while first or cursor:
        page = searcher.run(tree, boundary, limit=3, cursor=cursor, reason=reason)
        assert page.count == (len(expected) if first else None)
        found += [row["index"] for row in page.rows]
        cursor, first = page.cursor, False
    assert found == expected
    tailed, after = [], 0
    while after < page.as_of.size:
        page = searcher.tail(tree, boundary, after=after, limit=3, reason=reason)
        tailed += [row["index"] for row in page.rows]
        after = page.next
    assert tailed == sorted(expected)
    shown: list[int] = []
    cursor, first = "", True
    while first or cursor:
        people = searcher.exchanges(tree, boundary, limit=2, cursor=cursor, reason=reason)
        shown += [exchange.row["index"] for exchange in people.exchanges]
        cursor, first = people.cursor, False
    by_index = {fact.place: fact for fact in facts}
    heads = [re if (re := by_index[i].re) is not None else i for i in expected]
    assert shown == list(dict.fromkeys(heads))
    for fact in facts:
        listed = searcher.within([fact.place], boundary) == [fact.place]
        assert listed == holds(boundary.rows, fact)


@given(world=worlds(), questions=st.lists(st.tuples(BOUNDARIES, TREES), min_size=6, max_size=6))
@settings(max_examples=60, deadline=None)
def test_answers_are_the_oracles(
    world: tuple[World, list[Fact]], questions: list[tuple[Boundary, Tree]]
) -> None:
    """Pages, tails, exchanges and counts are what boundary and question mean together."""
    with indexed(world[0]) as searcher:
        for boundary, tree in questions:
            if "person" not in boundary.sections and mentions(tree, Match, "email"):
                with pytest.raises(RefusedError):
                    searcher.run(tree, boundary, reason="ticket")
                continue
            check(searcher, world[1], boundary, tree)


@given(world=worlds(), questions=st.lists(TREES, min_size=4, max_size=4))
@settings(max_examples=15, deadline=None)
def test_candidates_change_speed_and_nothing_else(
    world: tuple[World, list[Fact]], questions: list[Tree]
) -> None:
    """With and without posting lists and full text as a short cut, the rows are the same."""
    with indexed(world[0]) as searcher:
        for tree in questions:
            asked = boundaries.inject(tree, boundaries.responder("r", "acme"), "reason")
            with searcher.reader.snapshot():
                size = searcher.as_of().size
                found = lists.candidates(asked, (0, size), searcher._few)
                plain = emit.page("r.idx", asked, None, 0, size, newest=True)
                rows = searcher.reader.query(plain.text, (*plain.values, 100))
                for one in (found, found and found._replace(term=None)):
                    if one is not None:
                        fast = emit.page("r.idx", asked, one, 0, size, newest=True)
                        assert searcher.reader.query(fast.text, (*fast.values, 100)) == rows


def two_teams() -> tuple[World, list[Fact]]:
    """A request of each of two teams, one of another tenant, and their facts."""
    records, facts = [], []
    for index, (tenant, team) in enumerate((("acme", "red"), ("acme", "blue"), ("umbra", "red"))):
        who = {"tenant": tenant, "team": team, "actor": f"act_{index}"}
        record = placed(
            index, "exchange.request",
            {"who": who, "what": WHAT | {"gen_ai.request.model": f"m-{index}"}},
        )  # fmt: skip
        records.append(record)
        facts.append(Fact(
            index, "exchange.request", record.time, record.record.at, "observed", None, who, {},
            WHAT, {}, None, {f"m-{index}"}, [], [], "openai",
        ))  # fmt: skip
    return World(records), facts


EITHER = Or((Match("model", "m-0"), Match("model", "m-1"), Match("model", "m-2")))
MEMBER = Boundary(
    "m", "member", And((Match("tenant", "acme"), Match("team", "red"))), NOT_PERSON, "never"
)


def test_a_boundary_that_is_not_injected_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: the reader's tree alone. The oracle sees rows it should not."""
    world, facts = two_teams()
    with indexed(world) as searcher:
        check(searcher, facts, MEMBER, EITHER)
        monkeypatch.setattr(search, "inject", lambda tree, *_: tree)
        with pytest.raises(AssertionError):
            check(searcher, facts, MEMBER, EITHER)


def test_a_boundary_beside_an_or_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: SQL joined without parentheses, so OR reaches around the boundary."""

    def joined(word: str, children: tuple[Tree, ...], span: conditions.Span) -> conditions.Sql:
        parts = [conditions.predicate(child, span) for child in children]
        values = tuple(value for part in parts for value in part.values)
        return conditions.Sql(word.join(part.text for part in parts), values)

    world, facts = two_teams()
    with indexed(world) as searcher:
        check(searcher, facts, MEMBER, EITHER)
        monkeypatch.setattr(conditions, "_joined", joined)
        with pytest.raises(AssertionError):
            check(searcher, facts, MEMBER, EITHER)


def test_a_count_of_lists_that_do_not_decide_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: posting lists are counted although a condition is left that they know nothing of."""
    world, _facts = two_teams()
    with indexed(world) as searcher:
        asked = And((Match("team", "red"), Match("tenant", "acme")))
        owner = boundaries.owner("o")
        assert searcher.run(asked, owner, limit=1, count_to=10).count == 1
        assert searcher.count_of(asked, 10) == (1, False)
        monkeypatch.setattr(emit, "decided", lambda *_: True)
        assert searcher.count_of(asked, 10) == (2, False)


def test_a_boundary_joined_by_or_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: either the boundary or the question holds."""
    world, facts = two_teams()
    with indexed(world) as searcher:
        monkeypatch.setattr(search, "inject", lambda tree, boundary, *_: Or((boundary.rows, tree)))
        with pytest.raises(AssertionError):
            check(searcher, facts, MEMBER, EITHER)


def test_an_exchange_whose_other_half_is_outside_shows_one_half() -> None:
    """The join to the other half goes through the boundary too."""
    world, _ = two_teams()
    other = placed(
        3, "exchange.response",
        {"who": {"tenant": "umbra", "team": "red"}, "what": SERVED}, re=0,
    )  # fmt: skip
    world = World([*world.records, other])
    with indexed(world) as searcher:
        shown = searcher.exchanges(All(), MEMBER).exchanges
        assert [exchange.row["index"] for exchange in shown] == [0]
        assert shown[0].row["model_served"] is None
        assert "response_id" not in shown[0].row
