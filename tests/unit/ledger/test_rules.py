"""The monitor's rules: each broken once, by a sequencer that lies and hashes rightly."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from affidavit import ids
from affidavit.clock import add_seconds
from affidavit.errors import CorruptError
from affidavit.ledger import rules
from affidavit.ledger.chains import NO_PREVIOUS, link_digest, make_link
from affidavit.ledger.leaf import NO_SECTIONS, HeadsTerms, Leaf
from affidavit.ledger.rules import Replay
from affidavit.record.model import Chain
from tests.world.ledger import World, Writer, record

Rows = list[tuple[Leaf, list[bytes]]]


def _rows(world: World) -> Rows:
    """Leaf 0 opened · 1, 2 an exchange · 3 a request · 4 heads · 5 its answer · 6 a tool call."""
    writer = Writer()
    world.put(writer.exchange(model="x"))
    asked = writer.request(model="x")
    world.put([asked])
    world.clock.advance(3)
    answer = writer.response(asked)
    tool = writer.submit(
        record("tool.call", (Chain("acme", "tool", "t"), Chain("acme", "actor", "a")))
    )
    gap = writer.submit(record("ledger.gap", (), tenant=""))
    world.put([answer, tool, gap])
    world.log.publish()
    reader = world.reader()
    return [(reader.decoded(index), list(reader.links(index))) for index in range(world.log.size)]


def _replay(rows: Rows) -> Replay:
    replay = Replay()
    for leaf, links in rows:
        replay.feed(leaf, links)
    return replay


def _set(rows: Rows, index: int, **fields: Any) -> None:
    rows[index] = (msgspec.structs.replace(rows[index][0], **fields), rows[index][1])


def _relink(rows: Rows, index: int, links: list[bytes]) -> None:
    ordered = sorted(links, key=link_digest)
    digests = tuple(link_digest(link) for link in ordered)
    rows[index] = (msgspec.structs.replace(rows[index][0], links=digests), ordered)


def _number(rows: Rows, dimension: str) -> int:
    terms = rows[0][0].opening
    assert terms is not None
    return terms.dimensions.index(dimension)


def _without(rows: Rows, index: int, dimension: str) -> None:
    number = _number(rows, dimension)
    _relink(rows, index, [link for link in rows[index][1] if link[16] != number])


def _changed(rows: Rows, index: int, dimension: str, n: int, prev: int) -> None:
    number = _number(rows, dimension)
    links = [
        make_link(link[:16], link[16:33], n, prev) if link[16] == number else link
        for link in rows[index][1]
    ]
    _relink(rows, index, links)


def test_an_honest_ledger_obeys(world: World) -> None:
    """And the replay knows its writers."""
    rows = _rows(world)
    assert [leaf.type for leaf, _ in rows][4] == "ledger.heads"
    replay = _replay(rows)
    assert replay.size == len(rows) == 8
    assert sorted(n or -1 for n in replay.writers.values()) == [2, 6]


def test_a_source_time_may_be_five_minutes_ahead(world: World) -> None:
    """Clocks differ; that is what the format allows."""
    rows = _rows(world)
    _set(rows, 3, at=add_seconds(rows[3][0].time, 300))
    assert _replay(rows).size == 8


def test_a_replay_goes_on_in_another_process(world: World) -> None:
    """From any leaf on, with the same answers; also when the map was not up to date."""
    rows = _rows(world)
    for size in range(len(rows) + 1):
        first = _replay(rows[:size])
        again = Replay.resume(first.standing(), first.writers, first.open, list(first.rows()))
        for leaf, links in rows[size:]:
            again.feed(leaf, links)
        assert again.standing() == _replay(rows).standing()
        assert list(again.rows()) == list(_replay(rows).rows())


def test_many_changes_are_worked_in_before_heads_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a log without heads leaves does not fill the memory with what changed."""
    rows = _rows(world)
    monkeypatch.setattr(rules, "_UNMAPPED", 2)
    replay = _replay(rows)
    assert replay.size == 8
    assert len(replay._changed) < 2


def _wrong_n(rows: Rows) -> None:
    _changed(rows, 2, "model", 3, 1)


def _wrong_prev(rows: Rows) -> None:
    _changed(rows, 3, "model", 3, 1)


def _chain_begun_anew(rows: Rows) -> None:
    _changed(rows, 3, "model", 1, NO_PREVIOUS)


def _late_beginning(rows: Rows) -> None:
    _changed(rows, 1, "model", 2, 0)


def _no_values(rows: Rows) -> None:
    _without(rows, 1, "model.values")


def _no_type(rows: Rows) -> None:
    _without(rows, 1, "type")


def _no_model(rows: Rows) -> None:
    _without(rows, 3, "model")


def _no_actor(rows: Rows) -> None:
    _without(rows, 6, "actor")


def _gap_of_nobody(rows: Rows) -> None:
    _without(rows, 7, "unattributed")


def _answer_without_session(rows: Rows) -> None:
    _without(rows, 5, "session")


def _answered_twice(rows: Rows) -> None:
    _set(rows, 5, re=1)


def _answers_no_request(rows: Rows) -> None:
    _set(rows, 5, re=0)


def _hole(rows: Rows) -> None:
    _set(rows, 3, src=(rows[3][0].src[0], 3))


def _repeated(rows: Rows) -> None:
    _set(rows, 3, src=(rows[3][0].src[0], 1))


def _after_the_end(rows: Rows) -> None:
    _set(rows, 2, type="ledger.ended", re=None)


def _back_in_time(rows: Rows) -> None:
    _set(rows, 3, time=add_seconds(rows[3][0].time, -1))


def _left_out(rows: Rows) -> None:
    del rows[3]


def _false_heads(rows: Rows) -> None:
    terms = rows[4][0].heads
    assert terms is not None
    _set(rows, 4, heads=HeadsTerms(terms.epoch, terms.bits, ids.b64u(bytes(32))))


def _heads_with_other_bits(rows: Rows) -> None:
    terms = rows[4][0].heads
    assert terms is not None
    _set(rows, 4, heads=HeadsTerms(terms.epoch, terms.bits + 1, terms.map))


def _heads_in_one_bucket(rows: Rows) -> None:
    terms = rows[4][0].heads
    assert terms is not None
    _set(rows, 4, heads=HeadsTerms(terms.epoch, 15, terms.map))


def _source_time_ahead(rows: Rows) -> None:
    _set(rows, 3, at=add_seconds(rows[3][0].time, 300.000001))


def _time_of_no_clock(rows: Rows) -> None:
    _set(rows, len(rows) - 1, time="2027-02-30T12:00:00.000000Z", at="2027-03-01T12:00:00.000000Z")


def _heads_of_a_monstrous_map(rows: Rows) -> None:
    terms = rows[4][0].heads
    assert terms is not None
    _set(rows, 4, heads=HeadsTerms(terms.epoch, 48, terms.map))


def _heads_of_another_epoch(rows: Rows) -> None:
    terms = rows[4][0].heads
    assert terms is not None
    _set(rows, 4, heads=HeadsTerms(3, terms.bits, terms.map))


def _other_links(rows: Rows) -> None:
    rows[3] = (rows[3][0], rows[2][1])


def _twice_in_one_chain(rows: Rows) -> None:
    number = _number(rows, "model")
    again = next(link for link in rows[3][1] if link[16] == number)
    _relink(rows, 3, [*rows[3][1], b"s" * 16 + again[16:]])


def _unknown_dimension(rows: Rows) -> None:
    link = make_link(bytes(16), b"\xfe" + b"i" * 16, 1, NO_PREVIOUS)
    _relink(rows, 3, [*rows[3][1], link])


def _malformed_link(rows: Rows) -> None:
    _relink(rows, 3, [*rows[3][1], bytes(49)])


def _other_dimension(rows: Rows) -> None:
    number = _number(rows, "session")
    links = [
        link[:16] + bytes([_number(rows, "source")]) + link[17:] if link[16] == number else link
        for link in rows[2][1]
    ]
    _relink(rows, 2, links)


def _no_opening(rows: Rows) -> None:
    del rows[0]
    for index, (leaf, links) in enumerate(rows):
        re = None if leaf.re is None else leaf.re - 1
        rows[index] = (msgspec.structs.replace(leaf, index=index, re=re), links)


def _opened_twice(rows: Rows) -> None:
    terms = rows[0][0].opening
    assert terms is not None
    again = msgspec.structs.replace(terms, previous=0)
    _set(rows, 3, type="ledger.epoch", opening=again, links=(), sections=NO_SECTIONS)
    rows[3] = (rows[3][0], [])


def _lacking_dimensions(rows: Rows) -> None:
    terms = rows[0][0].opening
    assert terms is not None
    _set(rows, 0, opening=msgspec.structs.replace(terms, dimensions=terms.dimensions[:-2]))


BROKEN: list[tuple[Callable[[Rows], None], str]] = [
    (_wrong_n, "does not continue its chain"),
    (_wrong_prev, "does not continue its chain"),
    (_chain_begun_anew, "does not continue its chain"),
    (_late_beginning, "begins a chain with n = 2"),
    (_no_values, "not in the chain of new values"),
    (_no_type, "is in no type chain"),
    (_no_model, "names no model"),
    (_no_actor, "names no actor"),
    (_gap_of_nobody, "is a gap"),
    (_answer_without_session, "not in all chains of leaf 3"),
    (_answered_twice, "waits for no answer"),
    (_answers_no_request, "waits for no answer"),
    (_hole, "is record 3 of its writer"),
    (_repeated, "is record 1 of its writer"),
    (_after_the_end, "by a writer that had ended"),
    (_back_in_time, "earlier time"),
    (_left_out, "says that it is leaf 4"),
    (_false_heads, "claims heads that do not follow"),
    (_heads_with_other_bits, "claims heads that do not follow"),
    (_heads_of_a_monstrous_map, "more buckets than its chains need"),
    (_heads_in_one_bucket, "fewer buckets than its chains need"),
    (_source_time_ahead, "source time more than 5 minutes ahead"),
    (_time_of_no_clock, "time that no clock shows"),
    (_heads_of_another_epoch, "heads of another epoch"),
    (_other_links, "other links than those"),
    (_twice_in_one_chain, "in one chain twice"),
    (_unknown_dimension, "a dimension that the epoch lacks"),
    (_malformed_link, "malformed link"),
    (_other_dimension, "does not continue its chain"),
    (_no_opening, "does not open the ledger"),
    (_opened_twice, "no heads leaf closes"),
    (_lacking_dimensions, "lacks a derived dimension"),
]


@pytest.mark.parametrize(
    ("lie", "said"), BROKEN, ids=[lie.__name__.strip("_") for lie, _ in BROKEN]
)
def test_every_broken_rule_is_named(world: World, lie: Callable[[Rows], None], said: str) -> None:
    """With the leaf that breaks it."""
    rows = _rows(world)
    lie(rows)
    with pytest.raises(CorruptError, match=re.escape(said)):
        _replay(rows)
