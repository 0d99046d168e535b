"""After pruning all about the leaves that are left is provable, and nothing else is there."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.errors import CorruptError, NotFoundError, PrunedError, UnavailableError
from affidavit.ledger import fsck, log_reader, merkle, prune, tiles
from affidavit.ledger.pruned import minimum_of, read_snapshot
from affidavit.ledger.rules import Replay
from tests.faults import pruning_story
from tests.faults.pruning_story import ACTS, Life, Truth, compare, lived, pruned_to
from tests.world.ledger import World
from tests.world.served_log import always, from_files, open_monitor


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    pruning_story.small(monkeypatch)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    """An empty one."""
    made = Life(tmp_path)
    yield made
    made.world.drop()


@given(
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 30)), min_size=4, max_size=20),
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 30)), max_size=8),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_all_that_is_left_is_provable(
    tmp_path_factory: pytest.TempPathFactory,
    acts: list[tuple[str, int]],
    more: list[tuple[str, int]],
    first: int,
    second: int,
) -> None:
    """Whatever happened before, between and after two prunings, and over a restart."""
    directory = tmp_path_factory.mktemp("life")
    life = Life(directory)
    root, world = life.world.root, life.world
    for act, number in [*acts, ("exchange", first)]:
        life.do(act, number)
    most = life.ready()
    truth = Truth(world)
    before = tiles.WIDTH * (1 + first % (most // tiles.WIDTH))
    expired = pruned_to(root, before)
    assert (expired.first, expired.before) == (0, before)
    assert expired.until == truth.leaves[before - 1].time
    assert expired.kept == len(truth.needed(before))
    compare(root, world, truth, before)
    lost = set(range(before)) - truth.needed(before)
    for act, number in more:
        life.do(act, number)
    world.drop()
    world.open()
    most = life.ready()
    whole = _completed(world, truth, lost)
    compare(root, world, whole, before)
    if most > before:
        later = before + tiles.WIDTH * (1 + second % ((most - before) // tiles.WIDTH))
        assert pruned_to(root, later).first == before
        compare(root, world, whole, later)
    world.drop()


def _completed(world: World, before: Truth, lost: set[int]) -> Truth:
    """The truth about a log that went on after it was pruned."""
    world.log.publish()
    reader = world.reader()
    found = Truth.__new__(Truth)
    found.size = world.log.published
    found.leaves, found.links, found.bytes = [], [], []
    for index in range(found.size):
        known = index < before.size
        found.leaves.append(before.leaves[index] if known else reader.decoded(index))
        found.links.append(before.links[index] if known else reader.links(index))
        found.bytes.append(before.bytes[index] if known else reader.leaf(index))
    tree = merkle.Tree()
    found.roots = [merkle.EMPTY_ROOT]
    for data in found.bytes:
        tree.extend([merkle.leaf_hash(data)])
        found.roots.append(tree.root())
    assert lost <= set(range(found.size))
    return found


def files(root: Path) -> list[Path]:
    """Every file that says something of a log that has a checkpoint."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("lock", "log.vkey", "log.policy", "checkpoint")
        and "staging" not in path.parts and ".p" not in str(path)
    ]  # fmt: skip


def test_damage_to_what_is_left_is_named(life: Life) -> None:
    """In any file, kept leaves and what is known of the others included."""
    most = lived(life)
    root, vkeys = life.world.root, life.world.vkeys()
    pruned_to(root, most // 2 // tiles.WIDTH * tiles.WIDTH)
    assert fsck.check(root, vkeys).ok
    named: set[str] = set()
    for path in files(root):
        data, name = path.read_bytes(), str(path.relative_to(root))
        kinds = [data[:-1], data[1:], data + b"0", data[:9] + bytes(1) + data[9:]]
        kinds += [bytes([data[0] ^ 1]) + data[1:], data[:-1] + bytes([data[-1] ^ 1])]
        for changed in [None, *kinds]:
            if changed is None:
                path.unlink()
            else:
                path.write_bytes(changed)
            report = fsck.check(root, vkeys)
            assert report.finding is not None, (name, changed)
            if name != "minimum":
                found = report.finding.object
                hashes = name.startswith("tile/") and found.startswith("tile/")
                assert found == name or hashes, (name, report.finding)
            named.add(report.finding.object.partition("/")[0])
            path.write_bytes(data)
    assert named >= {"kept", "pruned", "minimum", "links", "tile"}
    assert fsck.check(root, vkeys).ok


@pytest.mark.parametrize("forgotten", ["last", "open"])
def test_a_pruning_that_keeps_too_little_is_found(
    life: Life, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    """Chains that lose their last leaf no longer give the heads that the log claims."""
    most = lived(life)
    truth = Truth(life.world)
    if forgotten == "last":
        monkeypatch.setattr(Replay, "last", lambda _: set())
    before = most // 2 // tiles.WIDTH * tiles.WIDTH
    if forgotten == "open":
        whole = prune._snapshot
        monkeypatch.setattr(
            prune, "_snapshot", lambda *given: msgspec.structs.replace(whole(*given), open=())
        )
    pruned_to(life.world.root, before)
    assert not fsck.check(life.world.root, life.world.vkeys()).ok
    with pytest.raises(AssertionError):
        compare(life.world.root, life.world, truth, before)
    life.world.drop()  # the check at the end of the test would find it, too


def test_what_is_not_what_was_written_does_not_go(life: Life) -> None:
    """A leaf that was changed stays, as all others do."""
    most = lived(life)
    path = life.world.root / "tile/entries/001"
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(CorruptError):
        prune.prepare(Disk(), life.world.root, most, lambda *_: None)
    assert minimum_of(life.world.root) == 0
    list(prune.remove(Disk(), life.world.root))
    assert path.exists()
    path.write_bytes(data)


def test_a_check_beside_a_pruning_says_so(life: Life) -> None:
    """Leaves that go while they are checked are no damage; the check has to begin again."""
    most = lived(life)
    root = life.world.root
    check = fsck.Check(root, life.world.vkeys())

    def told(done: int, _: int) -> None:
        if done == tiles.WIDTH:
            pruned_to(root, most)

    with pytest.raises(UnavailableError):
        check.run(told)
    assert fsck.check(root, life.world.vkeys()).ok


def test_a_check_that_was_left_goes_on_or_begins_at_the_minimum(life: Life) -> None:
    """What it had checked was pruned; or only a part of it was."""
    most = lived(life)
    root, vkeys = life.world.root, life.world.vkeys()

    class _LeftError(Exception):
        pass

    def leave_at(size: int) -> fsck.Saved:
        check = fsck.Check(root, vkeys)
        saved: list[fsck.Saved] = []

        def told(done: int, _: int) -> None:
            if done == size:
                saved.append(check.save())
                raise _LeftError

        with pytest.raises(_LeftError):
            check.run(told)
        return saved[0]

    early, late = leave_at(tiles.WIDTH), leave_at(most)
    pruned_to(root, 3 * tiles.WIDTH)
    for saved, begins in ((early, 3 * tiles.WIDTH), (late, most)):
        check = fsck.Check(root, vkeys, saved)
        assert check.replay.size == begins
        check.run(lambda *_: None)
        assert check.replay.size == check.size


def test_what_an_attempt_left_is_removed_or_goes_on(life: Life) -> None:
    """Without ``mean`` nothing is meant; with it nothing is taken away before it is committed."""
    most = lived(life)
    root = life.world.root
    prune.prepare(Disk(), root, most, lambda *_: None)
    assert prune.meant(root) is None
    list(prune.remove(Disk(), root))
    assert not any((root / "kept").iterdir())
    assert not any((root / "pruned").iterdir())
    prune.prepare(Disk(), root, most, lambda *_: None)
    prune.mean(Disk(), root, most)
    list(prune.remove(Disk(), root))
    assert (prune.meant(root), minimum_of(root)) == (most, 0)
    assert (root / "pruned" / str(most)).exists()
    truth = Truth(life.world)
    prune.commit(Disk(), root, most)
    prune.mean(Disk(), root, most)  # a crash left the file behind
    list(prune.remove(Disk(), root))
    assert prune.meant(root) is None
    compare(root, life.world, truth, most)


def test_the_minimum_is_never_beyond_what_is_published(life: Life) -> None:
    """A file that says so is damaged, as is one of a part of a bundle."""
    lived(life)
    root = life.world.root
    for data in (b"4000\n", b"3\n", b"04\n", b"4", b"-4\n", b""):
        (root / "minimum").write_bytes(data)
        report = fsck.check(root, life.world.vkeys())
        assert report.finding is not None
        assert report.finding.object.partition("/")[0] in ("minimum", "pruned")
    (root / "minimum").unlink()


def test_a_log_that_was_not_pruned_has_everything(life: Life) -> None:
    """Minimum index 0, every leaf present, and no file of its own for that."""
    reader = life.world.reader()
    assert (reader.minimum(), list(reader.pruned().present(0, 3))) == (0, [0, 1, 2])
    assert read_snapshot(life.world.root, 0).has(0)
    assert not (life.world.root / "minimum").exists()
    with pytest.raises(NotFoundError):
        reader.leaf(life.world.log.published)


def test_a_reader_forgets_what_was_pruned(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second, or with the next checkpoint it reads."""
    most = lived(life)
    readers = [life.world.reader(), life.world.reader()]
    gone = next(i for i in range(most) if i not in Truth(life.world).needed(most))
    before = [reader.leaf(gone) for reader in readers]
    pruned_to(life.world.root, most)
    assert [reader.leaf(gone) for reader in readers] == before
    readers[0].checkpoint()
    with pytest.raises(PrunedError):
        readers[0].leaf(gone)
    monkeypatch.setattr(log_reader, "_LOOK_SECONDS", -1.0)
    with pytest.raises(PrunedError):
        readers[1].links(gone)


def test_a_monitor_that_was_past_the_minimum_goes_on_and_no_other_does(life: Life) -> None:
    """Also after a restart; one that was not says what is missing, and vouches for nothing."""
    world, root = life.world, life.world.root
    most = lived(life)
    checkpoint = world.reader().checkpoint()
    places = {"past": checkpoint, "new": None}
    for name, size in places.items():
        (root.parent / name).mkdir()
        if size is not None:
            monitor = open_monitor(root.parent / name, from_files(root), world.clock)
            monitor.replay(size, always)
            monitor.close()
    pruned_to(root, most)
    for number in range(3):
        life.do("exchange", number)
    newest = world.reader().checkpoint()
    assert newest.size > checkpoint.size >= most
    past, new = (open_monitor(root.parent / name, from_files(root), world.clock) for name in places)
    past.replay(newest, always)
    assert past.vouches(newest)
    with pytest.raises(UnavailableError, match="does not serve") as missing:
        new.replay(newest, always)
    assert "pruned" in missing.value.hint
    assert not new.vouches(newest)
    past.close()
    new.close()
