"""The log as its one writer sees it: opening, time, publication, heads, fencing."""

import threading
from pathlib import Path

import apsw
import pytest

from affidavit.clock import add_seconds
from affidavit.durable import Disk
from affidavit.errors import (
    CorruptError,
    LockedError,
    UnavailableError,
    UsageError,
)
from affidavit.ledger import chains, fsck
from affidavit.ledger.agenda import HEADS_SECONDS
from affidavit.ledger.log import PUBLISH_SECONDS, Log
from affidavit.ledger.note import Signer
from affidavit.record.disclose import open_disclosure
from affidavit.record.model import DIMENSIONS
from tests.world.ledger import (
    SEED,
    World,
    Writer,
    connect,
    leaves,
    secret,
    signer,
)


def test_a_new_ledger_opens_with_leaf_0(world: World) -> None:
    """With the terms of its first epoch, under the log's key."""
    (first,) = leaves(world)
    assert first.type == "ledger.opened"
    assert first.opening == world.log.epoch.terms()
    assert first.opening.dimensions == chains.all_dimensions(DIMENSIONS)
    assert first.src == (world.log.own, 0)
    assert (world.root / "log.vkey").read_text() == signer().vkey + "\n"
    checkpoint = world.reader().checkpoint()
    assert (checkpoint.origin, checkpoint.size) == ("audit.example/log1", 1)
    assert checkpoint.root == world.log.root


def test_preparing_changes_nothing(world: World) -> None:
    """A plan that is given up leaves no trace; one that is overtaken is refused."""
    writer = Writer()
    batch = writer.exchange()
    before = (world.log.size, world.log.root, world.log.open_requests())
    first, second = world.log.prepare(batch), world.log.prepare(batch)
    assert (world.log.size, world.log.root, world.log.open_requests()) == before
    assert world.log.next_src(writer.name) == 0
    world.log.commit(second)
    with pytest.raises(UsageError, match="moved on"):
        world.log.commit(first)
    assert world.log.size == 3


def test_ledger_time_does_not_go_back_and_says_so(world: World) -> None:
    """A clock set back is recorded once; time stands still until the clock has caught up."""
    writer = Writer()
    world.put([writer.request()])
    noon = world.clock.now()
    world.clock.jump(-3600)
    world.put([writer.request()])
    world.put([writer.request()])
    found = leaves(world)
    assert [one.type for one in found[2:]] == [
        "ledger.clock",
        "exchange.request",
        "exchange.request",
    ]
    assert {one.time for one in found[1:]} == {noon}
    plan = world.log.prepare([writer.request()])
    assert [placed.record.type for placed in plan.placed] == ["exchange.request"]
    world.clock.jump(7200)
    world.put([])
    world.clock.jump(-7200)
    again = world.log.prepare([]).placed
    assert [placed.record.type for placed in again] == ["ledger.clock"]


def test_what_the_clock_record_says(world: World) -> None:
    """Both times, disclosed in ``what``."""
    world.clock.jump(-60)
    (placed,) = world.log.prepare([]).placed
    said = placed.record.sections[2]
    assert said is not None
    assert open_disclosure(said, "what") == {
        "clock": world.clock.now(),
        "ledger_time": add_seconds(world.clock.now(), 60),
    }


def test_publication_follows_within_a_fifth_of_a_second(world: World) -> None:
    """Not with every commit; with the first one after that, even an empty one."""
    writer = Writer()
    world.put([writer.request()])
    assert (world.log.size, world.log.published) == (2, 1)
    world.clock.advance(PUBLISH_SECONDS)
    world.put([])
    assert world.log.published == 2
    assert world.reader().checkpoint().size == 2


def test_heads_come_with_traffic_and_hourly(world: World) -> None:
    """Seconds after traffic, not without it, but once an hour."""
    writer = Writer()
    world.put(writer.exchange())
    world.clock.advance(HEADS_SECONDS)
    plan = world.put(writer.exchange())
    assert [placed.record.type for placed in plan.placed][:1] == ["ledger.heads"]
    assert world.log.published == world.log.size
    world.clock.advance(HEADS_SECONDS)
    assert [placed.record.type for placed in world.put([]).placed] == ["ledger.heads"]
    world.clock.advance(HEADS_SECONDS)
    assert world.put([]).placed == []
    world.clock.advance(3600)
    assert [placed.record.type for placed in world.put([]).placed] == ["ledger.heads"]


def test_heads_asked_for_are_handed_on(world: World) -> None:
    """What the ledger appends by itself is given out once, in order."""
    assert [placed.index for placed in world.log.take_own()] == [0]
    world.clock.advance(1)
    world.put(Writer().exchange())
    world.log.ensure_heads_after(2)
    assert [(placed.index, placed.record.type) for placed in world.log.take_own()] == [
        (3, "ledger.heads")
    ]
    assert world.log.take_own() == []


def test_what_has_sections_goes_through_the_vault(world: World) -> None:
    """Heads that are asked for bring nothing along that only the vault could keep."""
    world.put(Writer().exchange())
    world.log.take_own()
    world.clock.advance(2)
    world.clock.jump(-60)
    assert world.log.ensure_heads_after(2) is not None
    assert [placed.record.type for placed in world.log.take_own()] == ["ledger.heads"]
    assert [placed.record.type for placed in world.put([]).placed] == ["ledger.clock"]


def test_heads_are_appended_by_whoever_writes_next(world: World) -> None:
    """If another thread holds the pen, its next batch brings them."""
    world.clock.advance(1)
    found: list[int | None] = []
    with world.log.writing:
        plan = world.log.prepare(Writer().exchange())
        thread = threading.Thread(target=lambda: found.append(world.log.ensure_heads_after(0)))
        thread.start()
        while not world.log._agenda.asked:
            thread.join(0.01)
        world.log.commit(plan)
        world.put([])
    thread.join()
    assert found == [3]
    assert world.log.size == 4


def test_a_ledger_closed_is_a_ledger_ended(world: World) -> None:
    """Heads, the sequencer's own end, all published; nothing more can be done with it."""
    world.put(Writer().exchange())
    world.log.close()
    report = fsck.check(world.root, signer().verifier())
    assert (report.size, report.writers) == (5, 1)
    reader = world.reader()
    assert [reader.decoded(index).type for index in (3, 4)] == ["ledger.heads", "ledger.ended"]
    with pytest.raises(UnavailableError, match="closed"):
        world.log.prepare([])


def test_a_second_sequencer_is_kept_out(world: World) -> None:
    """By the lock, at once."""
    other = World(world.directory)
    with pytest.raises(LockedError, match="sequencer"):
        other.open()
    other.shut()
    world.put(Writer().exchange())


def test_a_sequencer_without_the_lock_is_fenced(world: World) -> None:
    """Where locks do not hold (a copy, another machine): its next commit fails, no other."""
    stale = world.log
    stale._exit.pop_all()  # keeps its files, loses its lock to nobody
    (world.root / "lock").unlink()
    held = world.connection
    writer = Writer()
    plan = stale.prepare(writer.exchange())
    world.open()
    world.put(Writer().exchange())
    size = world.log.size
    with pytest.raises(LockedError, match="Another sequencer"):
        stale.commit(plan)
    with pytest.raises(UnavailableError):
        stale.prepare([])
    world.put(Writer().exchange())
    assert world.log.size == size + 2
    assert held is not None
    held.close()


def test_another_key_or_origin_is_refused(world: World) -> None:
    """One log, one key, one name."""
    world.drop()
    for wrong in (Signer("audit.example/log2", SEED), Signer("audit.example/log1", bytes(32))):
        connection = apsw.Connection(":memory:")
        with pytest.raises(CorruptError, match="another key"):
            Log.open(world.disk, world.root, connection, wrong, secret, world.clock)
        connection.close()
    world.open()


def test_another_epoch_secret_is_refused(world: World, tmp_path: Path) -> None:
    """A keys.db of another ledger would give other chain ids."""
    world.drop()
    connection = connect(tmp_path)
    with pytest.raises(CorruptError, match="secret of the epoch"):
        Log.open(Disk(), world.root, connection, signer(), lambda _: b"other" * 8, world.clock)
    connection.close()
    world.open()
