"""Working out a batch: places, links, answers, counters, and what is refused."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.clock import add_seconds, is_stored
from affidavit.errors import (
    ParseError,
    UsageError,
)
from affidavit.evidence import verify
from affidavit.ledger import chains, leaf
from affidavit.ledger.plan import Submission
from affidavit.record.model import Chain
from tests.world.ledger import (
    World,
    Writer,
    leaves,
    links_of,
    record,
)


def test_records_get_their_place_and_links(world: World) -> None:
    """Index, time, counter, the digests of their sections; n and prev go up along each chain."""
    writer = Writer()
    batch = [*writer.exchange(model="x"), *writer.exchange(model="y", session="t")]
    plan = world.put(batch)
    assert [placed.index for placed in plan.placed] == [1, 2, 3, 4]
    for placed, submission in zip(plan.placed, batch, strict=True):
        found = leaf.decode(placed.leaf)
        assert (found.index, found.src, found.id) == (
            placed.index,
            submission.src,
            submission.record.id,
        )
        assert found.sections == submission.record.section_digests()
        assert found.links == tuple(chains.link_digest(link) for link in placed.links)
        assert found.time == placed.time == world.clock.now()
    actor = world.log.epoch.key(Chain("acme", "actor", "a"))
    row = [links_of(world, index)[actor] for index in range(1, 5)]
    assert [link.n for link in row] == [1, 2, 3, 4]
    assert [link.prev for link in row] == [None, 1, 2, 3]
    assert len({link.salt for link in row}) == 4


def test_the_first_record_of_a_new_value_joins_values(world: World) -> None:
    """Once a value, in each base dimension, within the same batch too."""
    writer = Writer()
    world.put([writer.request(model="x"), writer.request(model="x"), writer.request(model="y")])
    values = world.log.epoch.key(Chain("acme", "model.values", ""))
    types = world.log.epoch.key(Chain("acme", "type.values", ""))
    assert [values in links_of(world, index) for index in (1, 2, 3)] == [True, False, True]
    assert [types in links_of(world, index) for index in (1, 2, 3)] == [True, False, False]


def test_an_answer_finds_its_request_once(world: World) -> None:
    """Across batches; a second answer and one to a stranger say null; chains are inherited."""
    writer = Writer()
    asked = writer.request(model="x")
    world.put([asked])
    assert world.log.open_requests() == {asked.record.id: 1}
    served = Chain("acme", "model", "x-2026")
    world.put([writer.response(asked, served), writer.response(asked), writer.response("nobody")])
    found = leaves(world)
    assert [one.re for one in found[2:5]] == [1, None, None]
    assert world.log.open_requests() == {}
    kinds = world.log.epoch.number("type")
    inherited = {key for key in links_of(world, 1) if key[0] != kinds}
    assert inherited <= set(links_of(world, 2))
    assert world.log.epoch.key(served) in links_of(world, 2)


def test_an_answer_before_its_request_answers_nothing(world: World) -> None:
    """The request must be sequenced before it."""
    writer = Writer()
    asked = writer.request()
    answer = Writer().response(asked)
    world.put([answer, asked])
    assert leaves(world)[1].re is None
    assert asked.record.id in world.log.open_requests()


def test_a_writers_counter_has_no_holes_and_ends(world: World) -> None:
    """Neither skipped nor repeated nor continued after its end."""
    writer = Writer()
    world.put([writer.request()])
    skipped = writer.request()._replace(src=(writer.name, 2))
    repeated = writer.request()._replace(src=(writer.name, 0))
    for wrong in (skipped, repeated):
        with pytest.raises(UsageError, match="does not follow"):
            world.log.prepare([wrong])
    assert world.log.writers() == {writer.name: 1}
    writer.n = 1
    world.put([writer.ended()])
    assert world.log.ended(writer.name)
    assert world.log.writers() == {}
    with pytest.raises(UsageError, match="does not follow"):
        world.log.prepare([writer.request()])
    with pytest.raises(UsageError, match="does not follow"):
        world.log.prepare([writer.request()._replace(src=("not b64u", 0))])


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"type": "exchange.other"},
        {"type": "ledger.heads"},
        {"type": "ledger.opened"},
        {"tier": "guessed"},
        {"at": "yesterday"},
        {"at": "2026-02-30T00:00:00.000000Z"},
        {"at": "0999-01-01T00:00:00.000000Z"},
        {"sections": (None,) * 6},
        {"sections": ("é", *(None,) * 6)},
    ],
)
def test_a_record_that_no_leaf_can_hold_is_refused(world: World, change: dict[str, object]) -> None:
    """Before anything is written; the ledger's own types too."""
    writer = Writer()
    one = writer.request()
    with pytest.raises(ParseError):
        world.log.prepare([one._replace(record=msgspec.structs.replace(one.record, **change))])
    assert world.log.next_src(writer.name) == 0


_TWO = st.integers(0, 99).map("{:02}".format)
_NEARLY = st.tuples(
    st.sampled_from(["0000", "0001", "1969", "1970", "1900", "2000", "2024", "2026", "９９99"]),
    *([_TWO] * 5),
).map(lambda parts: "{}-{}-{}T{}:{}:{}.000000Z".format(*parts))
_REAL = st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='microseconds')}Z")
_CUT = st.tuples(_REAL, st.integers(0, 27), st.text(max_size=2)).map(
    lambda given: given[0][: given[1]] + given[2] + given[0][given[1] + 1 :]
)
CLAIMED = st.one_of(_NEARLY, _REAL, _CUT, st.text(max_size=30))
"""Source times that somebody may claim: nearly right, right, damaged, anything."""


@given(st.lists(CLAIMED, min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_source_time_is_placed_that_a_verifier_refuses(world: World, claimed: list[str]) -> None:
    """What is taken is a leaf to the ledger, to a monitor, and to whoever checks an export."""
    for at in claimed:
        one = record("custom", (), at="2026-11-23T12:00:00.000000Z")
        item = Submission((Writer().name, 0), msgspec.structs.replace(one, at=at))
        try:
            plan = world.log.prepare([item])
        except ParseError:
            assert not is_stored(at)
            continue
        (placed,) = plan.placed[-1:]
        assert leaf.decode(placed.leaf).at in (at, placed.time)
        assert verify.read_leaf(placed.leaf)["id"] == one.id
        assert is_stored(at)


def test_a_source_time_far_ahead_is_replaced(world: World) -> None:
    """By ledger time, beyond five minutes; otherwise kept."""
    writer = Writer()
    near, far = add_seconds(world.clock.now(), 299), add_seconds(world.clock.now(), 301)
    plan = world.put([writer.submit(record("custom", (), at=at)) for at in (near, far)])
    assert [placed.record.at for placed in plan.placed] == [near, world.clock.now()]
    assert [one.at for one in leaves(world)[1:]] == [near, world.clock.now()]
