"""A monitor: what it replays before it vouches, and everything it refuses by name."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from affidavit.clock import add_seconds
from affidavit.durable import Disk
from affidavit.errors import CheckFailedError, CorruptError, UnavailableError
from affidavit.ledger import leaf as leaves
from affidavit.ledger import monitor as monitors
from affidavit.ledger import monitor_state, tiles
from affidavit.ledger.monitor import BrokenRuleError, Monitor
from affidavit.ledger.monitor_state import MonitorState
from affidavit.ledger.note import Checkpoint
from tests.unit.ledger.test_rules import BROKEN, Rows, _rows, _time_of_no_clock
from tests.world.clock import FakeClock
from tests.world.ledger import ORIGIN, World, Writer, quick, record
from tests.world.served_log import Served, always, from_files, of_bytes, of_rows, open_monitor

NOT_SERVED = {"_other_links", "_time_of_no_clock"}
"""Links the leaf does not name: nobody knows who sent them. A time ahead of the clock, first."""


def _checkpoint(world: World) -> Checkpoint:
    world.log.publish()
    return world.reader().checkpoint()


def _grow(world: World, exchanges: int, writer: Writer | None = None) -> None:
    writer = writer or Writer()
    for first in range(0, exchanges, 40):
        numbers = range(first, min(first + 40, exchanges))
        made = [writer.exchange(model=f"m{n % 7}", session=f"s{n}") for n in numbers]
        world.put([half for exchange in made for half in exchange])
        world.clock.advance(5)
    world.log.publish()


def _copy(world: World) -> list[tuple[bytes, bytes]]:
    reader = world.reader()
    size = reader.checkpoint().size
    return [(reader.leaf(index), b"".join(reader.links(index))) for index in range(size)]


def test_it_vouches_for_what_it_has_replayed_and_for_nothing_else(
    world: World, tmp_path: Path
) -> None:
    """Step by step, across tiles, heads leaves and a new epoch, up to exactly this checkpoint."""
    monitor = open_monitor(tmp_path, from_files(world.root), world.clock)
    for exchanges in (1, 2, 150, 40, 1):
        _grow(world, exchanges)
        checkpoint = _checkpoint(world)
        assert not monitor.vouches(checkpoint)
        monitor.replay(checkpoint, always)
        assert monitor.vouches(checkpoint)
        assert not monitor.vouches(checkpoint._replace(root=bytes(32)))
        assert monitor.size == checkpoint.size
    world.log.close()
    world.shut()
    world.open(dimensions=("model", "actor", "type"))
    _grow(world, 30)
    monitor.replay(_checkpoint(world), always)
    assert monitor.vouches(_checkpoint(world))
    monitor.close()


def test_an_empty_log_needs_no_replay(tmp_path: Path) -> None:
    """There is nothing to be seen."""
    served, checkpoint = of_bytes([])
    monitor = open_monitor(tmp_path, served, FakeClock())
    monitor.replay(checkpoint, always)
    assert monitor.vouches(checkpoint)
    assert served.asked == []
    monitor.close()


def test_a_restart_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    """Chains, writers, open requests: what was saved is not fetched again, and still counts."""
    served = from_files(world.root)
    writer = Writer()
    asked = writer.request(model="x")
    world.put([asked])
    _grow(world, 300, writer)
    monitor = open_monitor(tmp_path, served, world.clock)
    monitor.replay(_checkpoint(world), always)
    size = monitor.size
    monitor.close()
    world.put([writer.response(asked), writer.ended()])
    _grow(world, 3)
    del served.asked[:]
    again = open_monitor(tmp_path, served, world.clock)
    assert again.size == size
    again.replay(_checkpoint(world), always)
    assert again.vouches(_checkpoint(world))
    first = size // tiles.WIDTH * tiles.WIDTH
    read = [tiles.parse_path(path) for path in served.asked]
    entries = [path.number * tiles.WIDTH for path in read if path.row == tiles.ENTRIES]
    assert entries == list(range(first, again.size, tiles.WIDTH))
    whole = open_monitor(tmp_path / "whole", served, world.clock)
    whole.replay(_checkpoint(world), always)
    for one, other in ((again, whole), (whole, again)):
        assert one._replay.standing() == other._replay.standing()
        assert one._replay.writers == other._replay.writers
        assert one._replay.open == other._replay.open
        assert set(one._replay.rows()) == set(other._replay.rows())
    again.close()
    whole.close()


def test_lost_progress_is_replayed_from_leaf_0(world: World, tmp_path: Path) -> None:
    """Nothing stands in the file that the log does not say."""
    served = from_files(world.root)
    _grow(world, 20)
    monitor = open_monitor(tmp_path, served, world.clock)
    monitor.replay(_checkpoint(world), always)
    monitor.close()
    (tmp_path / "replay.db").unlink()
    again = open_monitor(tmp_path, served, world.clock)
    assert again.size == 0
    again.replay(_checkpoint(world), always)
    assert again.vouches(_checkpoint(world))
    again.close()


def test_a_stop_keeps_what_was_replayed(world: World, tmp_path: Path) -> None:
    """Between two bundles; it does not vouch for the checkpoint it did not reach."""
    _grow(world, 400)
    checkpoint = _checkpoint(world)
    rounds = iter([True, False])
    monitor = open_monitor(tmp_path, from_files(world.root), world.clock)
    monitor.replay(checkpoint, lambda: next(rounds))
    assert monitor.size == 256
    assert not monitor.vouches(checkpoint)
    monitor.close()
    again = open_monitor(tmp_path, from_files(world.root), world.clock)
    assert again.size == 256
    again.replay(checkpoint, always)
    assert again.vouches(checkpoint)
    again.close()


def test_progress_is_saved_now_and_then_and_folded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By leaves and by time; rows that later ones replace are thrown away."""
    monkeypatch.setattr(monitors, "SAVE_LEAVES", 300)
    monkeypatch.setattr(monitor_state, "_SLACK", 0)
    monkeypatch.setattr(monitor_state, "_CHUNK", 100)
    saved: list[int] = []
    real = MonitorState.save

    def save(self: MonitorState, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type] # passed on
        saved.append(self.progress.standing.size)

    monkeypatch.setattr(MonitorState, "save", save)
    _grow(world, 500)
    monitor = open_monitor(tmp_path, from_files(world.root), world.clock)
    monitor.replay(_checkpoint(world), always)
    assert saved == [512, monitor.size]
    world.clock.advance(monitors.SAVE_SECONDS)
    _grow(world, 1)
    monitor.replay(_checkpoint(world), always)
    assert saved[-1] == monitor.size
    rows = monitor._state._rows
    assert rows <= 2 * monitor._replay.chain_count
    monitor.close()
    again = open_monitor(tmp_path, from_files(world.root), world.clock)
    assert set(again._replay.rows()) == set(monitor._replay.rows())
    again.close()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "said"),
    [row for row in BROKEN if row[0].__name__ not in NOT_SERVED],
    ids=[lie.__name__.strip("_") for lie, _ in BROKEN if lie.__name__ not in NOT_SERVED],
)
def test_every_broken_rule_is_refused_by_name_and_for_ever(
    world: World, tmp_path: Path, lie: Callable[[Rows], None], said: str
) -> None:
    """With the first leaf that breaks it; after a restart too, and for an honest log as well."""
    check_broken(world, tmp_path, lie, said)


def test_a_leaf_of_a_time_that_no_clock_shows_is_named(world: World, tmp_path: Path) -> None:
    """It is no error of the monitor's; before that day the leaf is ahead of its clock."""
    rows = _rows(world)
    _time_of_no_clock(rows)
    served, checkpoint = of_rows(rows)
    monitor = open_monitor(tmp_path, served, FakeClock("2027-03-02T12:00:00.000000Z"))
    with pytest.raises(BrokenRuleError, match="no clock shows"):
        monitor.replay(checkpoint, always)
    monitor.close()


def check_broken(world: World, root: Path, lie: Callable[[Rows], None], said: str) -> None:
    """Replay a log that lies, twice, and then the one that did not."""
    rows = _rows(world)
    honest, good = of_rows(rows)
    lie(rows)
    served, checkpoint = of_rows(rows)
    monitor = open_monitor(root, served, world.clock)
    for _ in range(2):
        with pytest.raises(BrokenRuleError, match=re.escape(said)) as caught:
            monitor.replay(checkpoint, always)
        assert re.search(r"Leaf \d+ ", caught.value.message)
        assert not monitor.vouches(checkpoint)
    monitor.close()
    again = open_monitor(root, honest, world.clock)
    with pytest.raises(BrokenRuleError, match=re.escape(said)):
        again.replay(good, always)
    assert not again.vouches(good)
    again.close()


def test_a_leaf_that_is_none_is_refused(world: World, tmp_path: Path) -> None:
    """It stands under the root, so the log committed to it."""
    rows = [*_copy(world), (b'{"v":2}', b"")]
    served, checkpoint = of_bytes(rows)
    monitor = open_monitor(tmp_path, served, world.clock)
    with pytest.raises(BrokenRuleError, match="Leaf 1: This is not a leaf"):
        monitor.replay(checkpoint, always)
    monitor.close()


def _with_time(world: World, index: int, seconds: float) -> tuple[Served, Checkpoint]:
    rows = [(leaves.decode(entry), links) for entry, links in _copy(world)]
    found, links = rows[index]
    rows[index] = (msgspec.structs.replace(found, time=add_seconds(found.time, seconds)), links)
    return of_bytes([(leaves.encode(leaf), links) for leaf, links in rows])


def test_a_leaf_ahead_of_the_clock_is_refused(world: World, tmp_path: Path) -> None:
    """More than five minutes, by the monitor's own clock."""
    world.put(Writer().exchange())
    world.log.publish()
    last = world.log.size - 1
    for seconds, refused in ((300, False), (300.001, True)):
        served, checkpoint = _with_time(world, last, seconds)
        monitor = open_monitor(tmp_path / str(seconds), served, world.clock)
        if refused:
            with pytest.raises(BrokenRuleError, match=f"Leaf {last} .*ahead of the monitor's"):
                monitor.replay(checkpoint, always)
        else:
            monitor.replay(checkpoint, always)
        assert monitor.vouches(checkpoint) is not refused
        monitor.close()


class Watched:
    """A log and a monitor that cosigns what it has replayed, both by clocks of their own."""

    def __init__(self, world: World, root: Path) -> None:
        self.world = world
        self.root = root
        self.clock = FakeClock()
        self.monitor = open_monitor(root, from_files(world.root), self.clock)
        self.writer = Writer()

    def step(self, seconds: float = 1.0) -> None:
        """Time passes for both, the log grows, its checkpoint is replayed and cosigned."""
        self.world.clock.advance(seconds)
        self.clock.advance(seconds)
        self.world.put(self.writer.exchange())
        self.cosign(_checkpoint(self.world))

    def cosign(self, checkpoint: Checkpoint) -> None:
        """As a witness does it."""
        self.monitor.replay(checkpoint, always)
        assert self.monitor.vouches(checkpoint)
        self.monitor.cosigned(checkpoint.size, self.clock.now())

    def restart(self) -> None:
        """The monitor goes and comes."""
        self.monitor.close()
        self.monitor = open_monitor(self.root, from_files(self.world.root), self.clock)


@pytest.fixture
def watched(world: World, tmp_path: Path) -> Iterator[Watched]:
    """With a monitor that has cosigned three checkpoints."""
    made = Watched(world, tmp_path)
    for _ in range(3):
        made.step()
    yield made
    made.monitor.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_leaf_made_to_look_older_is_refused(watched: Watched, restarted: bool) -> None:
    """A log whose clock stands still while the monitor's goes on is not believed for long."""
    if restarted:
        watched.restart()
    watched.clock.advance(250)
    watched.step()
    watched.step()
    watched.clock.advance(70)
    watched.step()
    watched.step()
    with pytest.raises(BrokenRuleError, match=r"before it came, by the monitor's clock"):
        watched.step()


def test_an_honest_log_is_not_refused_for_what_was_under_way(watched: Watched) -> None:
    """A checkpoint that was sent long ago and comes late; the one behind it holds older leaves."""
    early = _checkpoint(watched.world)
    watched.world.put(watched.writer.exchange())
    early = _checkpoint(watched.world)
    for _ in range(5):  # the monitor's machine sleeps, the log goes on
        watched.world.clock.advance(300)
        watched.clock.advance(300)
        watched.world.put(watched.writer.exchange())
    late = _checkpoint(watched.world)
    watched.cosign(early)
    watched.cosign(late)
    watched.step()
    watched.step()


def test_leaves_that_came_while_nobody_watched_are_held_to_their_order(watched: Watched) -> None:
    """Hours of them, all at once; and an idle log may stay idle."""
    for _ in range(4):
        watched.world.clock.advance(3600)
        watched.clock.advance(3600)
        watched.world.put(watched.writer.exchange())
    watched.cosign(_checkpoint(watched.world))
    watched.restart()
    watched.step(7200)
    watched.step(0.1)
    watched.cosign(_checkpoint(watched.world))


def test_a_checkpoint_asked_for_again_moves_no_time(watched: Watched) -> None:
    """Else one that was under way would be taken for a sign that nothing had come."""
    checkpoint = _checkpoint(watched.world)
    floor = watched.monitor._floor
    watched.clock.advance(3600)
    watched.cosign(checkpoint)
    watched.cosign(checkpoint)
    assert watched.monitor._floor == floor


def test_a_fork_is_refused(world: World, tmp_path: Path) -> None:
    """What was replayed is not its beginning; the log may still go on with the true one."""
    _grow(world, 200)
    rows = _copy(world)
    served, checkpoint = of_bytes(rows)
    monitor = open_monitor(tmp_path, served, world.clock)
    monitor.replay(checkpoint, always)
    fork, other = of_bytes([*rows[:-2], rows[-1], rows[-2], *rows[:5]])
    monitor._fetch = fork
    with pytest.raises(CheckFailedError, match="not the beginning of this checkpoint") as caught:
        monitor.replay(other, always)
    assert not isinstance(caught.value, CorruptError)
    monitor._fetch = served
    shorter = of_bytes(rows[:-1])[1]
    with pytest.raises(UnavailableError, match="an older one"):
        monitor.replay(shorter, always)
    assert monitor.vouches(checkpoint)
    assert not monitor.vouches(shorter)
    monitor.close()


# --- what is served -------------------------------------------------------------------------------


def _flip(data: bytes | None) -> bytes | None:
    return None if data is None else data[:-1] + bytes([data[-1] ^ 1])


CHANGES: dict[str, Callable[[bytes | None], bytes | None]] = {
    "gone": lambda _: None,
    "empty": lambda data: data and b"",
    "cut": lambda data: data and data[:-1],
    "longer": lambda data: data and data + bytes(2),
    "flipped": _flip,
    "a page": lambda _: b"<html>Log in</html>",
}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Checkpoint]]:
    """A log of more than one tile."""
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        world = World(tmp_path_factory.mktemp("large"))
        world.open()
        _grow(world, 150)
        yield from_files(world.root), _checkpoint(world)
        world.drop()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("row", ["tile/0/", "tile/1/", "tile/entries/", "links/"])
def test_what_is_served_wrongly_is_no_broken_rule(
    large: tuple[Served, Checkpoint], tmp_path: Path, row: str, change: str
) -> None:
    """It is said, nothing is vouched for, and when the log serves it rightly it goes on."""
    check_served_wrongly(large, tmp_path, row, change)


def check_served_wrongly(
    large: tuple[Served, Checkpoint], root: Path, row: str, change: str
) -> None:
    """One row of files is wrong, first in full tiles and then in partial ones."""
    served, checkpoint = large
    found = 0
    for partial in (False, True):

        def wrong(path: str, data: bytes | None, partial: bool = partial) -> bytes | None:
            hit = path.startswith(row) and (".p/" in path) == partial
            return CHANGES[change](data) if hit else data

        monitor = open_monitor(
            root / str(partial), served, FakeClock("2026-11-23T12:01:00.000000Z")
        )
        paths = [path.text() for path in tiles.tiles_of(checkpoint.size)]
        if any(path.startswith(row) and (".p/" in path) == partial for path in paths):
            found += 1
            served.change = wrong
            with pytest.raises(UnavailableError, match="The log does not serve"):
                monitor.replay(checkpoint, always)
            assert not monitor.vouches(checkpoint)
            served.change = lambda _, data: data
        monitor.replay(checkpoint, always)
        assert monitor.vouches(checkpoint)
        monitor.close()
    assert found == (1 if row == "tile/1/" else 2)


@pytest.mark.parametrize("mixed", ["", "000"])
def test_leaves_of_another_log_are_not_taken_for_this_ones(
    large: tuple[Served, Checkpoint], tmp_path: Path, mixed: str
) -> None:
    """Though its leaves, links and hashes fit each other; whole, or full tiles only."""
    check_mixed(large, tmp_path, mixed)


def check_mixed(large: tuple[Served, Checkpoint], root: Path, mixed: str) -> None:
    """Serve files whose name ends in ``mixed`` from a log that differs in two leaves."""
    served, checkpoint = large
    kept: dict[str, list[bytes]] = {tiles.ENTRIES: [], tiles.LINKS: []}
    for path in tiles.tiles_of(checkpoint.size):
        if path.row in kept:
            kept[path.row] += tiles.split_bundle(served(path.text()) or b"", path.row)
    rows = list(zip(kept[tiles.ENTRIES], kept[tiles.LINKS], strict=True))
    rows[3], rows[4], rows[-1], rows[-2] = rows[4], rows[3], rows[-2], rows[-1]
    other, another = of_bytes(rows)
    assert another.root != checkpoint.root
    served.change = lambda path, data: other(path) if path.endswith(mixed) else data
    monitor = open_monitor(root, served, FakeClock("2026-11-23T12:01:00.000000Z"))
    with pytest.raises(UnavailableError, match="The log does not serve"):
        monitor.replay(checkpoint, always)
    served.change = lambda _, data: data
    monitor.replay(checkpoint, always)
    assert monitor.vouches(checkpoint)
    monitor.close()


def test_a_partial_tile_that_is_gone_is_read_from_the_full_one(
    world: World, tmp_path: Path
) -> None:
    """The log has gone on meanwhile; what lies beyond the checkpoint is not looked at."""
    _grow(world, 20)
    checkpoint = _checkpoint(world)
    _grow(world, 140)
    served = from_files(world.root)
    monitor = open_monitor(tmp_path, served, world.clock)
    assert served(f"tile/entries/000.p/{checkpoint.size}") is None
    monitor.replay(checkpoint, always)
    assert monitor.size == checkpoint.size
    monitor.replay(_checkpoint(world), always)
    assert monitor.vouches(_checkpoint(world))
    monitor.close()


def test_a_failure_in_the_middle_of_a_leaf_ends_the_monitor(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was saved stands, and the next start replays from there."""
    _grow(world, 5)
    monitor = open_monitor(tmp_path, from_files(world.root), world.clock)
    monitor.replay(_checkpoint(world), always)
    monitor._save()
    _grow(world, 5)
    with monkeypatch.context() as patch:
        patch.setattr(monitor._state, "note", None)
        with pytest.raises(TypeError):
            monitor.replay(_checkpoint(world), always)
    with pytest.raises(UnavailableError, match="has failed"):
        monitor.replay(_checkpoint(world), always)
    monitor.close()
    again = open_monitor(tmp_path, from_files(world.root), world.clock)
    again.replay(_checkpoint(world), always)
    assert again.vouches(_checkpoint(world))
    again.close()


def test_progress_of_another_log_or_under_another_key_is_refused(tmp_path: Path) -> None:
    """Nobody mixes them up."""
    path = tmp_path / "replay.db"
    served, _ = of_bytes([])
    Monitor(MonitorState(Disk(), path, bytes(32), ORIGIN), served, FakeClock()).close()
    with pytest.raises(CorruptError, match="another log"):
        MonitorState(Disk(), path, bytes(32), "other.example/log")
    with pytest.raises(UnavailableError, match=r"replay\.db did not open"):
        MonitorState(Disk(), path, b"\x01" * 32, ORIGIN)


def test_the_progress_names_no_chain_in_the_clear(world: World, tmp_path: Path) -> None:
    """What groups leaves is encrypted on the monitor's disk, too."""
    _grow(world, 10)
    monitor = open_monitor(tmp_path, from_files(world.root), world.clock)
    monitor.replay(_checkpoint(world), always)
    chains = [row[:16] for row in monitor._replay.rows()]
    writers = [name.encode() for name in monitor._replay.writers]
    monitor.close()
    files = b"".join(path.read_bytes() for path in tmp_path.glob("replay.db*"))
    assert len(files) > 4096
    assert [one for one in (*chains, *writers) if one in files] == []


def test_gaps_and_tool_calls_are_replayed(world: World, tmp_path: Path) -> None:
    """Every kind of leaf that a log holds."""
    writer = Writer()
    world.put([writer.submit(record("ledger.gap", (), tenant="")), *writer.exchange()])
    world.put([writer.submit(record("change.model", ())), writer.ended()])
    monitor = open_monitor(tmp_path, from_files(world.root), world.clock)
    monitor.replay(_checkpoint(world), always)
    assert monitor.vouches(_checkpoint(world))
    monitor.close()
