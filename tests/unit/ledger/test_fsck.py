"""Fsck on sound and unsound logs; what a flipped byte does is in tests/faults."""

from pathlib import Path

from affidavit.ledger import fsck
from tests.world.ledger import World, Writer, signer


def test_a_sound_log_passes_whole(world: World) -> None:
    """Across tile boundaries, with progress told after each bundle."""
    writer = Writer()
    for _ in range(3):
        world.put([writer.request() for _ in range(150)])
        world.log.publish()
    told: list[tuple[int, int]] = []
    report = fsck.check(
        world.root, signer().verifier(), progress=lambda done, size: told.append((done, size))
    )
    assert report == fsck.Report(451, world.log.root.hex(), 451, 2)
    assert (report.ok, report.first) == (True, "")
    assert told == [(256, 451), (451, 451)]


def test_the_first_bad_thing_is_named_and_ends_the_check(world: World) -> None:
    """With how far it came."""
    world.put(Writer().exchange())
    world.log.publish()
    path = world.root / "links/000.p/3"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    report = fsck.check(world.root, signer().verifier())
    assert not report.ok
    assert report.leaves == 2
    assert report.finding is not None
    assert report.finding.object == "links/000.p/3"
    assert report.first == "links/000.p/3: what stands for leaf 2 are not the links of that leaf."
    path.write_bytes(data)


def _flip(path: Path, at: int = -1) -> bytes:
    """Damage a file; returns what it was."""
    data = path.read_bytes()
    at %= len(data)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    return data


def test_a_partial_tile_that_a_fuller_one_replaced_is_named_last(world: World) -> None:
    """What the published checkpoint needs comes first; what is superseded is said to be."""
    writer = Writer()
    for _ in range(3):
        world.put(writer.exchange())
        world.log.publish()
    size = world.log.size
    first, second = sorted(
        (int(path.name) for path in (world.root / "tile/0/000.p").iterdir()), reverse=True
    )[1:3]
    assert first < size
    for row in ("tile/0", "tile/entries", "links"):
        kept = {width: _flip(world.root / row / f"000.p/{width}") for width in (first, second)}
        found = fsck.check(world.root, signer().verifier()).finding
        assert found is not None
        assert found.object == f"{row}/000.p/{first}"
        assert "A fuller tile took its place" in found.means
        needed = f"{row}/000.p/{size}"
        whole = _flip(world.root / needed)
        found = fsck.check(world.root, signer().verifier()).finding
        assert found is not None
        assert found.object == needed
        assert "fuller" not in found.means
        (world.root / needed).write_bytes(whole)
        for width, data in kept.items():
            (world.root / row / f"000.p/{width}").write_bytes(data)
    cut = world.root / f"tile/entries/000.p/{first}"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-1])
    found = fsck.check(world.root, signer().verifier()).finding
    assert found is not None
    assert (found.object, found.do.startswith("Nothing")) == (f"tile/entries/000.p/{first}", True)
    cut.write_bytes(whole)


def test_a_checkpoint_with_another_root_is_named(world: World) -> None:
    """Even if nobody checks the signature."""
    path = world.root / "checkpoint"
    data = path.read_bytes()
    lines = data.split(b"\n")
    lines[2] = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    path.write_bytes(b"\n".join(lines))
    assert fsck.check(world.root, signer().verifier()).first.startswith("checkpoint: The signature")
    assert fsck.check(world.root, None).first == "checkpoint: its root is not that of the leaves."
    path.write_bytes(data)


def test_nothing_is_changed(world: World, tmp_path: Path) -> None:
    """Not a byte, not a file."""
    world.put(Writer().exchange())
    world.log.publish()

    def seen() -> dict[str, tuple[bytes, int]]:
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in tmp_path.rglob("*")
            if path.is_file()
        }

    before = seen()
    assert fsck.check(world.root, signer().verifier()).ok
    assert seen() == before
