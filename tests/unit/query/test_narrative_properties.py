"""Random stories, told in random pages to different readers: what must hold of every one of them.

The expectations are read off the records as they were made; nothing of the narrative's own code is
used to find them.
"""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import given, settings

from affidavit.errors import NotFoundError
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary
from affidavit.query.boundary import Boundary
from affidavit.query.lanes import MOST
from affidavit.query.search import Searcher
from affidavit.query.session import Line, narrative
from affidavit.record.model import Placed
from tests.unit.index.made import KEY, World, placed, request, response

MODELS = ("gpt-4o", "prod-chat")
READERS = (
    boundary.owner("act_owner"),
    boundary.member("act_alice", "acme", "support"),
    boundary.member("act_alice", "acme", "support")._replace(content="always"),
    boundary.member("act_bob", "acme", "research"),
)
NAMES = ("ses_1", "ses_2", "session:ses_1", "actor:act_alice", "actor:act_bob", "model:gpt-4o",
         "trace:t1")  # fmt: skip


class Step(NamedTuple):
    """What happens next: a request of a kind, the answer of the nth open one, or something else."""

    kind: str
    number: int


class Story(NamedTuple):
    """Records; of each whose it is (tenant, team, session, actor, models, trace); what was read."""

    records: list[Placed]
    whose: list[dict[str, Any]]
    reads: dict[int, int]


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            ("ask", "ask", "ask", "answer", "answer", "change", "change", "gap", "read", "deny")
        ),
        st.integers(0, 40),
    ),
    min_size=12,
    max_size=26,
)


def _story(steps: list[Step]) -> Story:
    records: list[Placed] = []
    whose: list[dict[str, Any]] = []
    running: list[int] = []
    reads: dict[int, int] = {}
    for step in steps:
        place = len(records)
        alice = step.number % 2 == 0
        who = {
            "tenant": "umbra" if step.number > 36 else "acme",
            "team": "support" if alice else "research",
            "actor": "act_alice" if alice else "act_bob",
            "session": f"ses_{1 + step.number // 2 % 2}",
            "kind": "service", "role": "caller", "credential": "key_1",
        }  # fmt: skip
        if step.kind == "ask":
            model = MODELS[step.number // 4 % 2]
            what: dict[str, Any] = {"gen_ai.request.model": model}
            if step.number % 5 == 0:
                what["trace_id"] = "t1"
            records.append(request(place, f"question {step.number // 8 % 2}", who=who, what=what))
            whose.append({**who, "models": [model], "trace": what.get("trace_id")})
            running.append(place)
        elif step.kind == "answer" and running:
            re = running.pop(step.number % len(running))
            failed = {"http.response.status_code": 429} if step.number % 2 else {}
            records.append(response(place, re, outcome=failed))
            whose.append(whose[re])
        elif step.kind == "change":
            name = MODELS[step.number // 4 % 2]
            target = {"kind": "alias", "name": name}
            what = {"target": target, "before": "gpt-4", "after": "gpt-4o"}
            said = {key: value for key, value in who.items() if key != "session"}
            records.append(placed(place, "change.alias", {"who": said, "what": what}))
            whose.append({**said, "models": [name]})
        elif step.kind == "gap":
            records.append(placed(place, "ledger.gap", {"what": {"count": step.number}}))
            whose.append({})
        elif step.kind == "read" and records:
            index = reads[place] = step.number % len(records)
            shown = [{"id": records[index].record.id, "index": index, "parts": []}]
            named = records[index].re if records[index].re is not None else index
            target = {"kind": "record", "name": records[named or 0].record.id}
            what = {"operation": "reveal", "target": target, "records": shown}
            said = {key: value for key, value in who.items() if key != "session"}
            records.append(placed(place, "access.reveal", {"who": said, "what": what}))
            whose.append(said)
        elif step.kind == "deny":
            said = {key: value for key, value in who.items() if key != "session"}
            records.append(placed(place, "access.denied", {"who": said}))
            whose.append(said)
    return Story(records, whose, reads)


@contextmanager
def _searcher(story: Story) -> Iterator[Searcher]:
    world = World(story.records)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as room:
        indexer = Indexer(Path(room), KEY)
        indexer.start()
        indexer.apply(world.records, world.size, world.root(world.size))
        indexer.settle()
        reader = Reader(Path(room), KEY)
        try:
            yield Searcher(reader, world)
        finally:
            reader.close()
            indexer.close()


def _told(searcher: Searcher, name: str, reader: Boundary, sizes: list[int]) -> list[Line]:
    """All lines of a narrative, in pages of these sizes, over and over."""
    lines: list[Line] = []
    cursor = ""
    for size in itertools.cycle(sizes):
        page = narrative(searcher, name, reader, cursor=cursor, limit=size)
        assert len(page.lines) <= size
        assert page.more == bool(page.cursor)
        lines += page.lines
        cursor = page.cursor
        if not cursor:
            return lines
    raise AssertionError("unreachable")


def _may_know(whose: dict[str, Any], reader: Boundary) -> bool:
    if reader.role == "owner":
        return True
    team = {"act_alice": "support", "act_bob": "research"}.get(reader.reader)
    return whose.get("tenant") == "acme" and team in (None, whose.get("team"))


def _named(whose: dict[str, Any], name: str) -> bool:
    kind, _, value = name.rpartition(":")
    if kind == "model":
        return value in whose.get("models", ())
    return bool(whose.get(kind or "session") == value)


@settings(max_examples=30)
@given(STEPS, st.sampled_from(NAMES), st.sampled_from(READERS),
       st.lists(st.integers(1, 5), min_size=1, max_size=3))  # fmt: skip
def test_every_record_once_whatever_the_pages_and_nothing_beyond(
    steps: list[Step], name: str, reader: Boundary, sizes: list[int]
) -> None:
    """Own records whole and in order, references within the boundary, pages alike, lanes right."""
    story = _story(steps)
    served = "gpt-4o-2024-08-06"
    own = [
        place
        for place, whose in enumerate(story.whose)
        if _named(whose, name) and _may_know(whose, reader)
    ]
    with _searcher(story) as searcher:
        if not own:
            try:
                lines = narrative(searcher, name, reader).lines
            except NotFoundError:
                return
            raise AssertionError(f"told of {[line.index for line in lines]}")
        whole = narrative(searcher, name, reader).lines
        paged = _told(searcher, name, reader, sizes)
    assert [line.index for line in whole if not line.beside] == own
    assert [line.index for line in whole if line.beside] == _expected(story, own, reader)
    places = [line.index for line in whole]
    assert places == sorted(set(places))
    for line in whole:
        allowed = _may_know(story.whose[line.index], reader) or line.type == "ledger.gap"
        assert allowed, line
        for other in _referred(line):
            assert _may_know(story.whose[other], reader), (line, other)
        if line.type == "access.reveal" and line.beside:
            assert set(_referred(line)) & set(own)
        for meant in line.meanings:
            assert meant.model in (served, "gpt-4o")
    assert [_apart(line) for line in paged] == [_apart(line) for line in whole]
    _check_lanes(whole)


def _expected(story: Story, own: list[int], reader: Boundary) -> list[int]:
    """What stands beside these records, by its definition."""
    models = {model for place in own for model in story.whose[place].get("models", ())}
    actors = {story.whose[place].get("actor") for place in own}
    found = []
    for place, (record, whose) in enumerate(zip(story.records, story.whose, strict=True)):
        kind = record.record.type
        between = own[0] < place < own[-1]
        if place in own or not (_may_know(whose, reader) or kind == "ledger.gap"):
            continue
        if (
            (kind == "ledger.gap" and between)
            or (kind == "change.alias" and between and whose["models"][0] in models)
            or (kind == "access.denied" and between and whose["actor"] in actors)
            or (kind == "access.reveal" and place > own[0] and story.reads[place] in own)
        ):
            found.append(place)
    return found


def _referred(line: Line) -> list[int]:
    found = [one for one in (line.re, line.answered, line.part_of) if one is not None]
    found += [line.retry.of] if line.retry else []
    found += [meant.record for meant in line.meanings]
    of = line.details.get("of_this_narrative", [])
    return found + [int(one[1:]) for one in of if one.startswith("#")]  # type: ignore[union-attr]


def _apart(line: Line) -> tuple[Any, ...]:
    """What does not depend on the page a line is on."""
    return (line.index, line.text, line.evidence, line.beside, line.lane, line.running,
            line.retry, line.meanings, line.details)  # fmt: skip


def _check_lanes(lines: list[Line]) -> None:
    """Each exchange has a lane to itself, from request to response, unless there are too many."""
    running: dict[int, int] = {}
    for line in lines:
        if line.type == "exchange.request":
            assert line.lane is not None
            assert line.lane not in running.values() or line.lane == MOST
            assert line.lane <= len(set(running.values()))
        elif line.type == "exchange.response" and not line.beside:
            assert line.re is not None
            assert line.lane == running.pop(line.re)
        else:
            assert line.lane is None
        assert line.running == tuple(sorted(set(running.values()) - {line.lane}))
        if line.type == "exchange.request":
            assert line.lane is not None
            running[line.index] = line.lane


@settings(max_examples=25)
@given(STEPS)
def test_a_retry_is_of_a_failed_request_with_the_same_bytes(steps: list[Step]) -> None:
    """Said of every request that repeats a failed one's bytes, and of no other."""
    story = _story(steps)
    failed: list[int] = []
    expected = {}
    for place, record in enumerate(story.records):
        if record.record.type == "exchange.response" and record.re is not None:
            if steps and _status(story, place) == 429:
                failed.append(record.re)
        elif record.record.type == "exchange.request":
            same = [
                before
                for before in failed
                if story.records[before].bodies == record.bodies
                and _same(story.whose[before], story.whose[place])
            ]
            if same:
                expected[place] = max(same)
    told: dict[int, int] = {}
    with _searcher(story) as searcher:
        for name in ("actor:act_alice", "actor:act_bob"):
            try:
                lines = narrative(searcher, name, READERS[0]).lines
            except NotFoundError:
                continue
            told |= {line.index: line.retry.of for line in lines if line.retry}
    assert told == expected


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("tenant", "actor", "session"))


def _status(story: Story, place: int) -> object:
    return World(story.records).view(place).sections["outcome"]["http.response.status_code"]
