"""A log of ours under the Go team's ``sumdb/note`` and ``sumdb/tlog``, which know none of our code.

The small log runs with the other tests; the one of more than 70,000 leaves, which has three levels
of tiles, with ``scripts/faults`` (marker ``slow``).
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import not_proven
from tests.world import ledger
from tests.world.ledger import World, Writer, signer

SOURCE = Path(__file__).parent / "go"
SUMDB = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")
BATCH = 500


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built from source and the distribution's packages, without a network."""
    go = shutil.which("go")
    if go is None or not SUMDB.is_dir():
        not_proven("no Go with golang-golang-x-mod-dev here, so no independent reader of the log")
    work = tmp_path_factory.mktemp("go")
    shutil.copytree(SOURCE, work / "source")
    environment = {
        "PATH": str(Path(go).parent) + ":/usr/bin:/bin",
        "HOME": str(work),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
    }
    subprocess.run(
        [go, "build", "-o", str(work / "interop"), "."],
        cwd=work / "source",
        env=environment,
        check=True,
        capture_output=True,
    )
    return work / "interop"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.quick(monkeypatch)


def write(directory: Path, leaves: int) -> World:
    """A log of at least so many leaves, closed; goes on with one that is there."""
    world = World(directory)
    world.open()
    writer = Writer()
    while world.log.size < leaves:
        world.put([item for _ in range(BATCH // 2) for item in writer.exchange()])
        world.clock.advance(0.1)
    world.log.close()
    world.shut()
    return world


def _read(verifier: Path, world: World, step: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(verifier), str(world.root), signer().vkey, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_go_accepts_a_small_log_and_refuses_a_changed_one(tmp_path: Path, verifier: Path) -> None:
    """Signature, root, every inclusion and consistency; one flipped bit anywhere is refused."""
    world = write(tmp_path, 600)
    found = _read(verifier, world, 1)
    assert found.stderr == ""
    assert found.stdout.startswith(f"{world.log.size} entries, {world.log.size} inclusions")
    for name in ("checkpoint", "tile/0/001", "tile/entries/001"):
        path = world.root / name
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
        assert _read(verifier, world, 50).returncode == 1, name
        path.write_bytes(data)
    assert _read(verifier, world, 50).returncode == 0


@pytest.mark.slow
def test_go_accepts_a_log_of_70000_leaves(tmp_path: Path, verifier: Path) -> None:
    """Three levels of tiles: all entries, every 97th inclusion and consistency."""
    world = write(tmp_path, 70_000)
    found = _read(verifier, world, 97)
    print(found.stdout)
    assert found.stderr == ""
    assert found.returncode == 0
    assert found.stdout.startswith(f"{world.log.size} entries, ")
