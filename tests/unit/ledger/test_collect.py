"""What publication left behind is collected, and nothing that somebody may need."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.ledger import fsck, tiles
from affidavit.ledger.collect import collect
from affidavit.ledger.publish import Publisher
from tests.world.fakedisk import Crash, FakeEffects, Fault, at
from tests.world.ledger import World, Writer, signer


def _grow(world: World, leaves: int) -> None:
    writer = Writer()
    while world.log.size < leaves:
        world.put([writer.request()])
        world.log.publish()


def _files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for row in ("tile", "links")
        for path in (root / row).rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def _collect(world: World, disk: Disk | None = None) -> int:
    return sum(collect(disk or Disk(), world.root, world.log.published))


def _litter(root: Path) -> list[Path]:
    """Everything a crash may leave of tile 0, which is full, and of tile 1, which is not."""
    made = []
    for row in ("tile/0", "tile/entries", "links"):
        half, empty = root / row / "000.p", root / row / "000.p"
        half.mkdir(exist_ok=True)
        made += [half / "17", half / "203.tmp", root / row / "000.tmp", empty]
        items = tiles.split_tile if row == "tile/0" else tiles.split_bundle
        first = items((root / row / "000").read_bytes(), row)[:17]
        framed = first if row == "tile/0" else map(tiles.frame, first)
        (half / "17").write_bytes(b"".join(framed))  # of a size that was never published
        (half / "203.tmp").write_bytes(b"half")
        (root / row / "000.tmp").write_bytes(b"half")
    (root / "tile" / "1" / "000.p").mkdir(exist_ok=True)
    return made


def test_leftovers_of_full_tiles_go_and_nothing_else(world: World) -> None:
    """Sizes never published, files half written, empty directories; the current tile stays."""
    _grow(world, 300)
    before = _files(world.root)
    assert any(name.startswith("tile/0/001.p/") for name in before)
    made = _litter(world.root)
    assert _collect(world) == 9
    assert not any(path.exists() for path in made)
    assert _files(world.root) == before
    assert _collect(world) == 0


def test_deep_directories_are_looked_through(tmp_path: Path) -> None:
    """Tiles beyond number 999, of which only the published full ones are judged."""
    root, disk = tmp_path / "log", Disk()
    published = 1_002 * tiles.WIDTH + 5
    for number in (3, 999, 1_000, 1_001, 1_002, 1_003):
        path = root / tiles.TilePath("tile/0", number).text()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"full")
        Path(f"{path}.p").mkdir()
        (Path(f"{path}.p") / "7").write_bytes(b"partial")
    (root / "tile/0/000.p").mkdir()  # its full tile is not there: pruned, or lost
    assert list(collect(disk, root, published)) == [2, 2]
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*.p"))
    assert left == ["tile/0/000.p", "tile/0/x001/002.p", "tile/0/x001/003.p"]


def test_what_strangers_left_is_left_alone(world: World) -> None:
    """Only names that this program gives are judged."""
    _grow(world, 260)
    strange = ["000.p.bak", "x00", "0.tmp", "000.tmp.tmp", "notes"]
    for name in strange:
        (world.root / "tile/0" / name).write_bytes(b"?")
    assert _collect(world) == 0
    assert all((world.root / "tile/0" / name).exists() for name in strange)


def test_killed_anywhere_it_is_finished_by_the_next(tmp_path: Path) -> None:
    """After any step the log is sound, and another run leaves what a whole one leaves."""
    world = World(tmp_path)
    world.open()
    _grow(world, 270)
    whole = _files(world.root)
    _litter(world.root)
    shutil.copytree(world.root, tmp_path / "littered")
    effects = FakeEffects(world.root)
    _collect(world, Disk(effects))
    steps = len(effects.trace)
    assert steps > 12
    for number in range(steps):
        shutil.rmtree(world.root)
        shutil.copytree(tmp_path / "littered", world.root)
        dying = FakeEffects(world.root, Fault(at(number), 0, persisted=True))
        try:
            _collect(world, Disk(dying))
        except Crash:
            pass
        else:
            raise AssertionError("it did not die")
        assert fsck.check(world.root, signer().verifier()).ok
        _collect(world)
        assert _files(world.root) == whole
    world.drop()


@given(st.lists(st.integers(1, 200), min_size=1, max_size=12), st.data())
def test_after_a_collection_the_log_is_as_if_nothing_had_ever_been_cut_off(
    sizes: list[int], draws: st.DataObject
) -> None:
    """Whatever sizes were published, and wherever the clearing of each was left out."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        root = Path(place) / "log"
        publisher = Publisher(Disk(), root)
        frontier, size = tiles.Frontier(), 0
        for more in sizes:
            old, size = size, size + more
            for row in (tiles.ENTRIES, tiles.LINKS):
                frontier.extend(row, [b"\x00\x00"] * more)
            frontier.extend("tile/0", [bytes(32)] * more)
            full = size // tiles.WIDTH - old // tiles.WIDTH
            if full:
                frontier.extend("tile/1", [bytes(32)] * full)
            publisher.tiles(frontier.changed(old, size))
            frontier.drop(size)
            if draws.draw(st.booleans()):
                publisher._clean(old, size)
        list(collect(Disk(), root, size))
        partial = {path.parent.name for path in root.rglob("*.p/*")}
        assert not {f"{number:03}.p" for number in range(size // tiles.WIDTH)} & {
            path.name for path in (root / "tile/0").glob("*.p")
        }
        assert all((root / path.text()).is_file() for path in tiles.tiles_of(size))
        assert partial <= {f"{size // tiles.WIDTH:03}.p", "000.p"}
