"""Random records, boundaries in the words of a configuration, and questions, against an oracle.

The oracle reads who may see what off the configuration itself and shares no code with the program
but the nodes of a tree. Every record carries a word of its own in each section (``zw3z`` is in
``who`` of record 3), so whatever leaks is seen in the bytes of an answer. A *twin* is the same
ledger with other records beyond the boundary: no answer, number, cursor or error may differ by it.

``CHECKS`` is open: a new kind of answer (sums, facets) adds its check there and is tried with every
case. What both halves of an exchange share (who asked, the models) is a fact of each of them.
"""

import functools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest

from affidavit.clock import add_seconds
from affidavit.config import Config
from affidavit.config_boundaries import BreakGlass, NamedBoundary, SectionName, seconds_of
from affidavit.control.identity import Glass, Identity
from affidavit.errors import AffidavitError, NotFoundError, RefusedError, UsageError
from affidavit.query import (
    beyond,
    boundary,
    compare,
    cursor,
    linked,
    named,
    pivot,
    rows,
    search,
    session,
    sums,
)
from affidavit.query import known as known_values
from affidavit.query.boundary import Boundary
from affidavit.query.fields import FIELDS
from affidavit.query.known import KnownValues
from affidavit.query.language import unparse
from affidavit.query.search import Searcher
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Number,
    Or,
    Phrase,
    Tree,
)
from affidavit.record.model import SECTIONS, Placed
from tests.model.test_query_model import Fact, holds, indexed, known, of, seen
from tests.unit.index.made import SERVED, START, WHAT, World, answer, chat, placed

EVERYTHING = Moment("time", ">=", "2000-01-01T00:00:00.000000Z")
STEP = 40_000
"""Seconds from one record to the next."""

_MARK = re.compile(r"z([wptkoc])(\d+)z")
_SECTION = {"w": "who", "p": "person", "t": "what", "k": "control", "o": "outcome", "c": "content"}
_FIELDS = {
    "model": "what", "tool": "what", "tenant": "who", "team": "who", "actor": "who",
    "session": "who", "status": "outcome", "tokens": "outcome", "decision": "control",
    "email": "person", "type": "leaf", "tier": "leaf", "time": "leaf", "source_time": "leaf",
}  # fmt: skip
_HAS = {"answer": "leaf", "gap": "leaf", "error": "outcome", "tool": "what", "session": "who",
        "unattributed": "who"}  # fmt: skip


# -- what is made --------------------------------------------------------------------------------


@dataclass
class Made:
    """A ledger, the oracle's facts of it, and the exchange each record belongs to."""

    records: list[Placed] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def root(self, place: int) -> int:
        """The request of an exchange, for anything else itself."""
        re_ = self.facts[place].re
        return place if re_ is None else re_

    def halves(self, place: int) -> set[int]:
        """The record and the other half of its exchange."""
        root = self.root(place)
        return {root, *self.facts[root].answers}


def people(rng: random.Random, root: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """``who`` and ``person`` of a record."""
    who = known(
        tenant=rng.choice(["acme", "acme", "acme", "umbra", None]),
        team=rng.choice(["red", "blue", None]), actor=rng.choice(["act_1", "act_2"]),
        session=rng.choice(["ses_1", "ses_2", None]), purpose=f"zw{root}z",
    )  # fmt: skip
    return who, known(email=rng.choice(["a@x.org", "b@x.org", None]), name=f"zp{root}z")


def add(made: Made, rng: random.Random, kind: str, re_: int | None = None) -> None:
    """One more record at the end of ``made``."""
    place = len(made.records)
    tier = rng.choice(["observed", "reported"])
    at = START + rng.randrange(6) * 1_000_000
    text = f"{rng.choice(['alpha beta', 'beta gamma', 'alpha gamma'])} zc{place}z"
    sections: dict[str, Any] = {}
    bodies: dict[str, bytes] = {}
    who, person = people(rng, place) if re_ is None else ({}, {})
    if kind == "exchange.response":
        sections["what"] = SERVED | {
            "gen_ai.response.model": rng.choice(["m", "m-1", "m-2"]),
            "tools_called": rng.choice([[], ["search"], ["search", "mail"]]),
        }
        sections["outcome"] = known(**{
            "outcome": rng.choice(["complete", "truncated"]),
            "http.response.status_code": rng.choice([200, 429, None]),
            "gen_ai.usage.input_tokens": rng.choice([1, 50, None]),
            "gen_ai.response.finish_reasons": [f"zo{place}z"],
        })  # fmt: skip
        bodies["response.body"] = answer(text)
    elif kind != "ledger.gap":
        sections = {"who": who, "person": person, "what": {"url.path": f"/zt{place}z"}}
        sections["control"] = {
            "decision": rng.choice(["allow", "deny"]), "reasons": [f"zk{place}z"],
        }  # fmt: skip
        model = rng.choice(["m", "m-1", "m-2"])
        if kind == "exchange.request":
            sections["what"] = WHAT | sections["what"] | {"gen_ai.request.model": model}
            bodies["request.body"] = chat([("user", text)])
        elif kind == "change.model":
            sections["what"] |= {"target": {"kind": "model", "name": model}}
    record = placed(place, kind, sections, bodies, re=re_, at=at, tier=tier, seconds=place * STEP)
    asked = None if re_ is None else made.facts[re_]
    what = sections.get("what", {})
    models = {what.get("gen_ai.request.model"), what.get("gen_ai.response.model"),
              what.get("target", {}).get("name")} - {None}  # fmt: skip
    if asked is not None:
        models |= asked.models
        asked.models.update(models)
        asked.answers.append(place)
    made.records.append(record)
    made.facts.append(Fact(
        place, kind, record.time, record.record.at, tier, re_, asked.who if asked else
        sections.get("who", {}), asked.person if asked else sections.get("person", {}), what,
        sections.get("outcome", {}), sections.get("control", {}).get("decision"), models,
        [text] if bodies else [], [],
    ))  # fmt: skip


def world(rng: random.Random) -> Made:
    """A ledger of 4 to 16 records."""
    made = Made()
    open_requests: list[int] = []
    for _ in range(rng.randint(4, 16)):
        if open_requests and rng.random() < 0.5:
            add(made, rng, "exchange.response", open_requests.pop(0))
            continue
        kind = rng.choice(
            ["exchange.request", "exchange.request", "change.model", "access.query", "ledger.gap"]
        )
        if kind == "exchange.request":
            open_requests.append(len(made.records))
        add(made, rng, kind)
    return made


def leaf(rng: random.Random, *, standing: bool) -> Tree:
    """A condition; one that stands looks at neither words nor people."""
    kinds = ["match", "match", "match", "number", "moment", "has"]
    kind = rng.choice(kinds if standing else [*kinds, "phrase", "email"])
    if kind == "match":
        name, values = rng.choice([
            ("model", ["m", "m-1", "m-2"]), ("tenant", ["acme", "umbra"]),
            ("team", ["red", "blue"]), ("actor", ["act_1", "act_2", "act_"]),
            ("session", ["ses_1", "ses_2", "ses_"]), ("tool", ["search", "mail"]),
            ("type", ["exchange.", "change.model", "access.query", "ledger.gap"]),
            ("tier", ["observed"]), ("status", ["complete", "truncated", "429", "4"]),
            ("decision", ["allow", "deny"]),
        ])  # fmt: skip
        value = rng.choice(values)
        return Match(name, value, prefix=value[-1] == "." or rng.random() < 0.3)
    if kind == "number":
        return Number("tokens", rng.choice(["<", "<=", "=", ">=", ">"]), rng.choice([0, 1, 50]))
    if kind == "moment":
        time = placed(0, "x", {}, seconds=rng.randrange(17) * STEP).time
        return Moment(rng.choice(["time", "source_time"]), rng.choice([">=", "<"]), time)
    if kind == "has":
        return Has(rng.choice(sorted(_HAS)))
    if kind == "phrase":
        words = ["alpha", "alpha beta", "gamma", "beta ga", f"zc{rng.randrange(16)}z"]
        return Phrase(rng.choice(words), prefix=rng.random() < 0.5)
    return Match("email", rng.choice(["a@x.org", "B@", "b@x.org"]), prefix=rng.random() < 0.5)


def tree(rng: random.Random, depth: int = 3, *, standing: bool = False) -> Tree:
    """A tree of up to ``depth`` levels."""
    kind = rng.random() if depth else 1.0
    if kind < 0.2:
        return Not(tree(rng, depth - 1, standing=standing))
    if kind < 0.6:
        parts = tuple(tree(rng, depth - 1, standing=standing) for _ in range(rng.randint(2, 3)))
        return And(parts) if rng.random() < 0.5 else Or(parts)
    return leaf(rng, standing=standing)


# -- what a configuration means, read off it -----------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """A boundary as somebody wrote it, whether a glass is broken, and the reason that is stated."""

    rows: Tree
    named: NamedBoundary
    now: str
    reason: str
    glass: bool = False

    def boundary(self) -> Boundary:
        """What the program makes of its words."""
        config = Config(boundaries={"b": self.named})
        me = Identity(
            "key_1", "acme", "act_1", "person", "responder", "red", (), "Me", "", b"", "",
            boundary="b",
        )  # fmt: skip
        end = add_seconds(self.now, 60)
        broken = Glass("0199", "key_1", "act_1", "acme", "b", "fire", self.now, end)
        return named.boundary_of(me, config, self.now, broken if self.glass else None)

    def sees(self, fact: Fact) -> bool:
        """Whether the reader may know of a record."""
        if fact.who.get("tenant") != "acme":
            return False
        glass = self.named.break_glass
        opened = glass if self.glass else None
        window = opened.window if opened else self.named.window
        recent = window is None or fact.time >= add_seconds(self.now, -seconds_of(window))
        return recent and (opened is not None or holds(self.rows, fact))

    def sections(self) -> set[str]:
        """The sections that are shown."""
        glass = self.named.break_glass
        opened = self.glass and glass is not None and glass.content != "never"
        return {*self.named.sections} | ({"content"} if opened else set())

    def content(self) -> bool:
        """Whether prompts and outputs are shown, for this reason."""
        glass = self.named.break_glass
        if self.glass and glass is not None:
            return glass.content == "with_reason" and bool(self.reason)
        if self.named.persons > 1:
            return False
        return self.named.content == "always" or (
            self.named.content == "with_reason" and bool(self.reason)
        )

    def refuses(self, asked: Tree) -> bool:
        """Whether a question may not even be asked."""
        if self.named.purpose == "required" and not self.reason:
            return True
        match asked:
            case And(children) | Or(children):
                return any(self.refuses(child) for child in children)
            case Not(child):
                return self.refuses(child)
            case Phrase():
                return not self.content()
            case Has(what):
                return _HAS[what] not in {"leaf", *self.sections()}
            case Match(name) | Number(name) | Moment(name):
                return _FIELDS[name] not in {"leaf", *self.sections()}
        return False


def spec(rng: random.Random, made: Made) -> Spec:
    """A boundary that somebody could have written."""
    standing = rng.choice([All(), tree(rng, standing=True), tree(rng, 1, standing=True)])
    contents: list[boundary.Content] = ["never", "with_reason", "always"]
    content = rng.choice(contents)
    some = [s for s in SECTIONS if rng.random() < 0.75 or (s == "content" and content != "never")]
    windows = ["24h", "2d", "4d", "1w", None, None]
    glass = BreakGlass(
        content=rng.choice(["never", "with_reason"]), window=rng.choice(windows)
    )  # fmt: skip
    written = NamedBoundary(
        rows=unparse(standing), sections=cast("list[SectionName]", some), content=content,
        purpose=rng.choice(["optional", "optional", "required"]), window=rng.choice(windows),
        counts=True, persons=rng.choice([1, 1, 2]), break_glass=glass,
    )  # fmt: skip
    now = add_seconds(made.records[-1].time, 3600)
    return Spec(standing, written, now, rng.choice(["", "ticket"]), glass=rng.random() < 0.15)


def twin_of(made: Made, of: Spec, rng: random.Random) -> Made:
    """The same ledger with other records where the reader may not know of any half."""
    twin = Made(list(made.records), list(made.facts))
    for place, fact in enumerate(made.facts):
        alone = fact.re is None and not fact.answers
        if not alone or fact.type == "ledger.gap" or of.sees(fact):
            continue  # gaps are told to everybody
        other = Made(made.records[:place], made.facts[:place])
        add(other, rng, rng.choice(["exchange.request", "change.model", "access.query"]))
        new = other.facts[place]
        # How many records are of no known tenant is told to everybody, too.
        if not of.sees(new) and ("tenant" in new.who) == ("tenant" in fact.who):
            twin.records[place], twin.facts[place] = other.records[place], new
    return twin


# -- the checks ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One question of one reader; ``twin`` is a searcher over another world, if there is one."""

    made: Made
    spec: Spec
    boundary: Boundary
    asked: Tree
    searcher: Searcher
    twin: Searcher | None = None

    @functools.cached_property
    def expected(self) -> list[int]:
        """The records that answer it, oldest first."""
        meant = seen(self.asked, self.boundary)
        return [f.place for f in self.made.facts if self.spec.sees(f) and holds(meant, f)]

    def names(self) -> list[str]:
        """Every name that leads somewhere in this ledger, and one that does not."""
        ids = [one.record.id for one in self.made.records]
        return [
            *ids,
            *(f"#{place}" for place in range(len(ids))),
            "ses_1",
            "ses_2",
            "#77",
            "nobody",
        ]


Check = Callable[[Case, Searcher], Any]
"""Ask a searcher, compare with the oracle, and give back all that was said."""


def leads(case: Case, row: dict[str, Any]) -> None:
    """A row leads to the other half of its exchange where the reader may know of that, too."""
    facts, fact = case.made.facts, case.made.facts[row["index"]]
    asked = [place for place in (fact.re,) if place is not None and case.spec.sees(facts[place])]
    answered = [place for place in fact.answers if case.spec.sees(facts[place])]
    assert [row[key] for key in ("re", "answered") if row[key] is not None] == asked + answered
    if "what" in case.spec.sections():
        ids = [case.made.records[place].record.id for place in asked]
        assert row["parent"] == (ids[0] if ids else None)


def pages(case: Case, searcher: Searcher) -> Any:
    """Pages of records: all of them, once, counted, and no cursor that leads on."""
    said, found, cursor, first = [], [], "", True
    while first or cursor:
        page = searcher.run(
            case.asked, case.boundary, limit=3, cursor=cursor, reason=case.spec.reason
        )
        said.append(msgspec.to_builtins(page))
        assert page.count == (len(case.expected) if first else None)
        found += [row["index"] for row in page.rows]
        for row in page.rows:
            leads(case, row)
        cursor, first = page.cursor, False
    assert found == case.expected[::-1]
    return said


def tails(case: Case, searcher: Searcher) -> Any:
    """What comes, in order."""
    said, found, after = [], [], 0
    while after < len(case.made.records):
        page = searcher.tail(
            case.asked, case.boundary, after=after, limit=3, reason=case.spec.reason
        )
        said.append(msgspec.to_builtins(page))
        found += [row["index"] for row in page.rows]
        after = page.next
    assert found == case.expected
    return said


def exchanges(case: Case, searcher: Searcher) -> Any:
    """Exchanges: no half that the reader may not know of."""
    said, found, cursor, first = [], [], "", True
    while first or cursor:
        page = searcher.exchanges(
            case.asked, case.boundary, limit=2, cursor=cursor, reason=case.spec.reason
        )
        said.append(msgspec.to_builtins(page))
        found += [exchange.row["index"] for exchange in page.exchanges]
        for exchange in page.exchanges:
            leads(case, exchange.row)
        cursor, first = page.cursor, False
    facts = case.made.facts
    heads = [case.made.root(i) if case.spec.sees(facts[case.made.root(i)]) else i
             for i in reversed(case.expected)]  # fmt: skip
    assert found == list(dict.fromkeys(heads))
    return said


def figures(case: Case, searcher: Searcher) -> Any:
    """Closed exchanges by how they ended, and their tokens."""
    want = sums.wanted(["status", "team"])
    shown = case.spec.sections()
    if not {"outcome", "control", "who"} <= shown and not case.spec.refuses(case.asked):
        with pytest.raises(RefusedError, match="outside your boundary"):
            searcher.aggregate(case.asked, case.boundary, want, case.spec.reason)
        return None
    total = searcher.aggregate(case.asked, case.boundary, want, case.spec.reason)
    expected: dict[tuple[str, str], tuple[int, int]] = {}
    for place in case.expected:
        fact = case.made.facts[place]
        if fact.re is not None:
            key = (fact.who.get("team", ""), fact.outcome["outcome"])
            count, tokens = expected.get(key, (0, 0))
            spent = fact.outcome.get("gen_ai.usage.input_tokens") or 0
            expected[key] = (count + 1, tokens + spent)
    found = {
        (row["team"] or "", row["status"]): (row["requests"], row["tokens_in"])
        for row in total.rows
    }
    assert found == expected
    return msgspec.to_builtins(total)


def values(case: Case, searcher: Searcher) -> Any:
    """The values of each facet that may be seen, counted over what answers."""
    named_ = ("type", "team", "actor", "status")
    shown = [name for name in named_ if _FIELDS[name] in {"leaf", *case.spec.sections()}]
    if len(shown) < len(named_) and not case.spec.refuses(case.asked):
        with pytest.raises(RefusedError, match="outside your boundary"):
            searcher.facets(case.asked, case.boundary, named_, case.spec.reason)
    told = searcher.facets(case.asked, case.boundary, shown, case.spec.reason)
    facts = [case.made.facts[place] for place in case.expected]
    assert told.records == len(facts)
    for name in set(shown) - {"status"}:
        found = {one.value: one.count for one in told.fields[name].values}
        whose = [f.type if name == "type" else f.who.get(name) for f in facts]
        assert found == Counter(value for value in whose if value is not None), name
    chart = searcher.histogram(case.asked, case.boundary, "day", case.spec.reason)
    days = Counter(fact.time[:10] for fact in facts)
    assert {one.time[:10]: one.count for one in chart.buckets} == days
    return [msgspec.to_builtins(told), msgspec.to_builtins(chart)]


def numbers_beyond(case: Case, searcher: Searcher) -> Any:
    """How many rows of the tenant are withheld, unless words or people were asked for."""
    told = beyond.beyond(searcher, case.asked, case.boundary)
    if _mentions(case.asked, Phrase) or _mentions(case.asked, Match, "email"):
        assert told is None
        return told
    facts = [f for f in case.made.facts if f.who.get("tenant") == "acme" and not case.spec.sees(f)]
    assert told is not None
    assert told["rows"] == sum(holds(case.asked, fact) for fact in facts)
    return told


CHECKS: list[Check] = [pages, tails, exchanges, figures, values, numbers_beyond]
"""Each is tried with every case that is not refused, and with every case that is."""


def _mentions(asked: Tree, kind: Any, name: str = "") -> bool:
    if isinstance(asked, And | Or):
        return any(_mentions(child, kind, name) for child in asked.children)
    if isinstance(asked, Not):
        return _mentions(asked.child, kind, name)
    return isinstance(asked, kind) and (not name or getattr(asked, "field", "") == name)


def narratives(case: Case, searcher: Searcher) -> Any:
    """Every name: told if the reader may know of it, else as unknown as one that never was."""
    said = []
    demanded = case.spec.named.purpose == "required" and not case.spec.reason
    for name in case.names():
        if demanded:
            with pytest.raises(RefusedError, match="purpose"):
                session.narrative(searcher, name, case.boundary, reason=case.spec.reason)
            continue
        try:
            told = session.narrative(searcher, name, case.boundary, reason=case.spec.reason)
        except NotFoundError as error:
            said.append(_plain(error, name))
            assert said[-1] == _plain(_unknown(searcher, case), "#99")
            assert not _known(case, name)
        else:
            assert _known(case, name), name
            gaps = {f.place for f in case.made.facts if f.type == "ledger.gap"}
            assert all(
                line.index in gaps or case.spec.sees(case.made.facts[line.index])
                for line in told.lines
            )
            said.append(msgspec.to_builtins(told))
    return said


def _known(case: Case, name: str) -> bool:
    if name.startswith("ses_"):
        if "who" not in case.spec.sections():
            return False
        return any(case.spec.sees(f) and f.who.get("session") == name for f in case.made.facts)
    ids = [one.record.id for one in case.made.records]
    places = {name: place for place, one in enumerate(ids) for name in (one, f"#{place}")}
    return name in places and case.spec.sees(case.made.facts[places[name]])


def _unknown(searcher: Searcher, case: Case) -> NotFoundError:
    with pytest.raises(NotFoundError) as caught:
        session.narrative(searcher, "#99", case.boundary, reason=case.spec.reason)
    return caught.value


def _plain(error: AffidavitError, name: str) -> str:
    return json.dumps(error.as_json()).replace(f" {name} ", " NAME ")


def lookups(case: Case, searcher: Searcher) -> Any:
    """Values offered and looked up are those of rows within; two records are compared likewise."""
    if case.spec.named.purpose == "required" and not case.spec.reason:
        return None
    open_to, seer = {"leaf", *case.spec.sections()}, case.boundary._replace(purpose=False)
    said: list[Any] = []
    for name in ("model", "team", "tool"):
        offered = KnownValues(searcher.reader, lambda: 0.0).of(FIELDS[name], seer)
        within = {value for f in case.made.facts if case.spec.sees(f) for value in of(name, f)}
        assert set(offered) == within, name
        said += sorted(offered) if _FIELDS[name] in open_to else []
    for value in ("m-1", "act_1", "ses_1", "search", "red", "nobody"):
        told = pivot.pivot(searcher, value, seer, lambda asked: asked)
        for place in told.places:
            meant = Match(place.field, value)
            assert place.count == sum(
                case.spec.sees(f) and holds(meant, f) for f in case.made.facts
            ), place
        said.append(msgspec.to_builtins(told))
    for name in ("#0", "#1", "#2", "#77"):
        try:
            found = compare.compare(searcher, name, "#3", seer, reason=case.spec.reason)
        except (NotFoundError, UsageError) as error:
            said.append(_plain(error, name))
        else:
            said.append(msgspec.to_builtins(found))
    return said


def no_leak(case: Case, said: Any) -> None:
    """No word of a record or a section beyond the boundary is in any byte of an answer."""
    facts, sections = case.made.facts, case.spec.sections()
    for mark, place in set(_MARK.findall(json.dumps(said))):
        section = _SECTION[mark]
        own = mark not in "wpt"  # who asked, and for what, is of both halves
        halves = {int(place)} if own else case.made.halves(int(place))
        assert any(case.spec.sees(facts[one]) for one in halves), f"{section} of {place}"
        shown = case.spec.content() if section == "content" else section in sections
        assert shown, f"{section} is withheld"


def refusal(case: Case, check: Check, searcher: Searcher) -> str:
    """What a question that may not be asked is answered with."""
    with pytest.raises(RefusedError) as caught:
        check(case, searcher)
    return json.dumps(caught.value.as_json())


def try_case(case: Case) -> None:
    """All checks of one case, in the world and in its twin, with the same words."""
    refused = case.spec.refuses(case.asked)
    for check in CHECKS:
        if refused and check != numbers_beyond:  # which is asked after the question was answered
            told = refusal(case, check, case.searcher)
            assert case.twin is None or refusal(case, check, case.twin) == told
        if refused:
            continue
        said = check(case, case.searcher)
        no_leak(case, said)
        if case.twin is not None and check != numbers_beyond:  # which is meant to differ
            assert _same(said) == _same(check(case, case.twin))


def _same(said: Any) -> str:
    """All that was said, but roots, which differ by any record, and cursors, which are keyed."""
    return re.sub(r'"(root|cursor)": "[^"]+"', r'"\1": "…"', json.dumps(said))


def foreign_cursors(one: Spec, other: Spec, asked: Tree, searcher: Searcher) -> None:
    """A cursor of one reader is worth nothing to another."""
    if one.refuses(asked) or other.refuses(asked):
        return
    mine, theirs = one.boundary(), other.boundary()
    page = searcher.run(asked, mine, limit=1, reason=one.reason)
    both = [
        boundary.bound(boundary.inject(asked, seer, reason), seer)
        for seer, reason in ((mine, one.reason), (theirs, other.reason))
    ]
    if not page.cursor or both[0] == both[1]:
        return
    with pytest.raises(UsageError):
        searcher.run(asked, theirs, limit=1, cursor=page.cursor, reason=other.reason)


def cases(seed: int, worlds: int, boundaries: int, questions: int) -> Iterator[Case]:
    """``worlds`` × ``boundaries`` × ``questions`` cases, the first boundary of each with a twin."""
    rng = random.Random(seed)
    for _ in range(worlds):
        made = world(rng)
        with ExitStack() as stack:
            searcher = stack.enter_context(indexed(World(made.records)))
            specs = [spec(rng, made) for _ in range(boundaries)]
            twin = stack.enter_context(indexed(World(twin_of(made, specs[0], rng).records)))
            for number, one in enumerate(specs):
                for _ in range(questions):
                    asked = next(
                        (a for a in (tree(rng) for _ in range(4)) if not one.refuses(a)), tree(rng)
                    )
                    yield Case(made, one, one.boundary(), asked, searcher, None if number else twin)
                other = specs[number - 1]
                for asked in (EVERYTHING, tree(rng, 1)):
                    foreign_cursors(one, other, asked, searcher)


def run(seed: int, worlds: int, boundaries: int, questions: int) -> dict[str, int]:
    """Try so many cases; says how many, how many were refused, and how many rows were withheld."""
    ran = {"cases": 0, "refused": 0, "withheld": 0, "shown": 0, "twins": 0}
    before: Spec | None = None
    for case in cases(seed, worlds, boundaries, questions):
        try_case(case)
        if case.spec is not before:
            for tell in (narratives, lookups):
                said = tell(case, case.searcher)
                no_leak(case, said)
                if case.twin is not None:
                    assert _same(said) == _same(tell(case, case.twin))
            before = case.spec
        ran["cases"] += 1
        ran["refused"] += case.spec.refuses(case.asked)
        ran["shown"] += len(case.expected)
        ran["withheld"] += sum(not case.spec.sees(fact) for fact in case.made.facts)
        ran["twins"] += case.twin is not None
    return ran


def test_a_few_hundred_cases() -> None:
    """Boundary and question together give what both mean, and nothing of the rest."""
    ran = run(seed=1, worlds=5, boundaries=4, questions=15)
    assert ran["cases"] == 300
    assert min(ran.values()) > 20, ran


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_cases() -> None:
    """The same, longer; says how many ran."""
    ran = run(seed=2, worlds=260, boundaries=8, questions=10)
    print(ran)
    assert ran["cases"] == 20_800
    assert min(ran.values()) > 1_000, ran


# -- mutants: each breaks the program in one place, and a few cases notice -------------------------


def _rows_alone(tree_: Tree, seer: Boundary, reason: str = "") -> Tree:
    del seer, reason
    return tree_


def _tenant_forgotten(whole: Tree, other: Tree) -> Tree:
    return other if not isinstance(other, All) else whole


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "the boundary is not injected": (search, "inject", _rows_alone),
    "the window is forgotten": (named, "_since", lambda _window, _now: All()),
    "the tenant is forgotten": (named, "_both", _tenant_forgotten),
    "rows of the configuration are forgotten": (named, "_rows", lambda _text: All()),
    "sections are not withheld": (
        rows, "withheld", lambda _: ()),
    "conditions on withheld sections are answered": (boundary, "_allow", lambda *_: None),
    "names are looked up without the boundary": (
        Searcher, "within", lambda _self, indexes, _seer: sorted(indexes)),
    "content is shown without a reason": (
        Boundary, "shows_content", lambda self, _reason: self.content != "never"),
    "rows lead beyond the boundary": (linked, "hidden", lambda *_: frozenset()),
    "a purpose is not asked for": (Boundary, "demand", lambda *_: None),
    "the number beyond is of everything": (
        beyond, "Not", lambda _rows: All()),
    "values are offered without the boundary": (known_values, "inject", _rows_alone),
    "a value is looked up without the boundary": (pivot, "inject", _rows_alone),
    "a cursor is bound to nothing": (cursor, "_mac", lambda *_: bytes(16)),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a few cases the oracle, the marks or the twin differ."""
    where, attribute, instead = MUTANTS[name]
    monkeypatch.setattr(where, attribute, instead)
    if name == "sections are not withheld":
        fields = {key: one._replace(section="leaf") for key, one in rows.ROW_FIELDS.items()}
        monkeypatch.setattr(rows, "ROW_FIELDS", fields)
    with pytest.raises((AssertionError, pytest.fail.Exception, AffidavitError)):
        run(seed=3, worlds=24, boundaries=4, questions=3)
