"""Publication: tiles before the checkpoint, partial tiles until the full one is there."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.ledger import tiles
from affidavit.ledger.log import PUBLISH_SECONDS
from tests.world.fakedisk import FakeEffects
from tests.world.ledger import World, Writer


def test_tiles_are_durable_before_the_checkpoint(tmp_path: Path) -> None:
    """Staged, then every file and directory synced, then the checkpoint; one sync a commit."""
    world = World(tmp_path)
    world.root.mkdir()
    effects = FakeEffects(world.root)
    world.disk = Disk(effects)
    world.open()
    writer = Writer()
    world.put(writer.exchange())
    world.log.publish()
    before = len(effects.trace)
    world.put(writer.exchange())
    calls = effects.calls(before)
    assert [call.split("(")[0] for call in calls] == ["pwrite", "fdatasync"]
    before = len(effects.trace)
    world.log.publish()
    names = [str(step) for step in effects.trace[before:]]
    first = next(at for at, name in enumerate(names) if "checkpoint" in name)
    for row in ("tile/0", "tile/entries", "links"):
        synced = [at for at, name in enumerate(names) if name == f"fsync({row}/000.p/5.tmp)"]
        entered = [at for at, name in enumerate(names) if name == f"fsync_dir({row}/000.p)"]
        assert synced
        assert entered
        assert synced[0] < entered[-1] < first
    world.drop()


def test_partial_tiles_stay_until_the_full_one_is_published(world: World) -> None:
    """All widths that a checkpoint had; then they go, and the full tile stands for them."""
    writer = Writer()
    widths = []
    while world.log.size < 250:
        world.put([writer.request() for _ in range(50)])
        world.clock.advance(PUBLISH_SECONDS)
        world.put([])
        widths.append(str(world.log.published))
    for row in ("tile/0", "tile/entries", "links"):
        found = {path.name for path in (world.root / row / "000.p").iterdir()}
        assert found == {"1", *widths}
    world.put([writer.request() for _ in range(50)])
    world.log.publish()
    for row in ("tile/0", "tile/entries", "links"):
        assert (world.root / row / "000").is_file()
        assert not (world.root / row / "000.p").exists()
    size = world.log.published
    assert all((world.root / path.text()).is_file() for path in tiles.tiles_of(size))


@pytest.mark.parametrize(
    ("row", "mode"), [("tile/0", 0o644), ("tile/entries", 0o600), ("links", 0o600)]
)
def test_leaves_and_links_are_for_the_owner_alone(world: World, row: str, mode: int) -> None:
    """Hash tiles, checkpoint and key may be read by whoever serves them."""
    assert (world.root / row / "000.p/1").stat().st_mode & 0o777 == mode
    for name in ("checkpoint", "log.vkey"):
        assert (world.root / name).stat().st_mode & 0o777 == 0o644


def test_publishing_twice_changes_nothing(world: World) -> None:
    """Nothing new, nothing written."""
    world.put(Writer().exchange())
    world.log.publish()
    before = (world.root / "checkpoint").stat().st_mtime_ns
    world.log.publish()
    assert (world.root / "checkpoint").stat().st_mtime_ns == before
