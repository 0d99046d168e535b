"""Each mistake that would let a monitor vouch for what it has not checked is noticed."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from affidavit.ledger.note import Checkpoint
from tests.mutants.runner import Mutant, breed
from tests.unit.ledger import test_monitor, test_rules
from tests.world.ledger import World, quick
from tests.world.served_log import Served, from_files

Check = Callable[[World, Path], None]

MONITOR, TILES = "affidavit.ledger.monitor", "affidavit.ledger.monitor_tiles"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@contextmanager
def _world(root: Path) -> Iterator[World]:
    root.mkdir()
    world = World(root)
    world.open()
    try:
        yield world
    finally:
        world.drop()


def _broken(world: World, root: Path) -> None:
    test_monitor.check_broken(world, root, test_rules._false_heads, "do not follow")


def _older(world: World, root: Path) -> None:
    watched = test_monitor.Watched(world, root)
    for _ in range(3):
        watched.step()
    test_monitor.test_a_leaf_made_to_look_older_is_refused(watched, restarted=True)


def _again(world: World, root: Path) -> None:
    watched = test_monitor.Watched(world, root)
    for _ in range(3):
        watched.step()
    test_monitor.test_a_checkpoint_asked_for_again_moves_no_time(watched)


def _large(world: World) -> tuple[Served, Checkpoint]:
    test_monitor._grow(world, 150)
    return from_files(world.root), test_monitor._checkpoint(world)


def _mixed(world: World, root: Path) -> None:
    large = _large(world)
    for mixed in ("", "000"):
        test_monitor.check_mixed(large, root / f"mixed {mixed}", mixed)


def _served(world: World, root: Path) -> None:
    large = _large(world)
    for row in ("tile/0/", "tile/1/", "tile/entries/", "links/"):
        test_monitor.check_served_wrongly(large, root / row.replace("/", "-"), row, "flipped")


WRONG: list[tuple[str, str, str, Check]] = [
    (MONITOR, "            self._replay.feed(leaf, links)\n", "", _broken),
    (MONITOR, "                self._broken = error.message\n", "", _broken),
    (MONITOR, "                self._state.save_broken(error.message)\n", "", _broken),
    (MONITOR, "return not self._broken and self.reached ==", "return self.reached !=", _broken),
    (
        MONITOR,
        "            self._on_time(leaf, latest)\n",
        "",
        test_monitor.test_a_leaf_ahead_of_the_clock_is_refused,
    ),
    (MONITOR, "if leaf.time < self._floor:", "if not leaf.time:", _older),
    (MONITOR, "if size > self._cosigned:", "if size:", _again),
    (
        MONITOR,
        "view.root(before) != self._tree.root()",
        "not view.size",
        test_monitor.test_a_fork_is_refused,
    ),
    (
        MONITOR,
        "            if not go_on():\n",
        "            if before < 0:\n",
        test_monitor.test_a_stop_keeps_what_was_replayed,
    ),
    (TILES, "if tree.root() != checkpoint.root:", "if not tree.size:", _mixed),
    (TILES, "if merkle.root(found) != above:", "if not above:", _mixed),
    (TILES, "for entry in entries] != hashes:", "for entry in entries] == []:", _served),
    (TILES, "for link in found]) != digests:", "for link in found]) == index:", _served),
]
IDS = [f"{module.rpartition('.')[2]}: {right.strip()[:50]}" for module, right, _, _ in WRONG]


@pytest.mark.parametrize(("module", "right", "wrong", "check"), WRONG, ids=IDS)
def test_a_mistake_of_a_monitor_is_noticed(
    module: str,
    right: str,
    wrong: str,
    check: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With this passage wrong, that check fails; without, it passes."""
    with _world(tmp_path / "right") as world:
        check(world, tmp_path / "right")
    importlib.import_module(module)
    breed(Mutant(module, right, wrong), monkeypatch)
    with (
        _world(tmp_path / "wrong") as world,
        pytest.raises((Exception, pytest.fail.Exception)),
    ):
        check(world, tmp_path / "wrong")
