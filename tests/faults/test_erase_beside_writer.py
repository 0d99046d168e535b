"""Erasure while the writer appends and others read: nobody is wrong about anything."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.errors import CorruptError
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import Bucket
from tests.world.erasing import KEK, Erasable

_DAY = Bucket("acme", "default", "2026-11-23")


class _Writer(threading.Thread):
    """Puts batches without end, and does what it is asked between them, as the sequencer."""

    def __init__(self, world: Erasable) -> None:
        super().__init__()
        self._world = world
        self._asked: queue.Queue[Callable[[], None]] = queue.Queue()
        self.ends = threading.Event()
        self.batches = 0

    def run(self) -> None:
        """Until ``ends``."""
        while not self.ends.is_set():
            self._world.put([b"more %d" % self.batches], subjects=("sub_1",))
            self.batches += 1
            while not self._asked.empty():
                self._asked.get()()

    def does(self, what: Callable[[], None]) -> None:
        """Have it done on the writer's thread."""
        done = threading.Event()
        self._asked.put(what)
        self._asked.put(done.set)
        assert done.wait(20)


class _Looks(threading.Thread):
    """Reads every record again and again; ``wrong`` are answers that are neither it nor nothing."""

    def __init__(self, world: Erasable) -> None:
        super().__init__()
        self._world = world
        self.ends = threading.Event()
        self.wrong: list[str] = []
        self.looks = 0

    def run(self) -> None:
        """Until ``ends``."""
        keyring = Keyring.open(self._world.base / "keys.db", KEK, SystemClock(), read_only=True)
        reader = VaultReader(self._world.root, keyring, self._world.leaves.leaf)
        while not self.ends.is_set():
            for item in list(self._world.records)[:12]:
                try:
                    body = reader.parts(item.index).get("request.body", item.bodies[0])
                    self.looks += 1
                except CorruptError as error:
                    self.wrong.append(error.message)
                    continue
                if body != item.bodies[0]:
                    self.wrong.append(f"leaf {item.index}")
        reader.close()
        keyring.close()


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_the_writer_goes_on_and_readers_are_not_wrong(tmp_path: Path, rounds: int) -> None:
    """Records, a person, a hold and its release, one after another, in the bucket of today."""
    world = Erasable(tmp_path)
    world.put([b"body %d" % at for at in range(12)], subjects=("sub_1",))
    writer, looks = _Writer(world), _Looks(world)
    writer.start()
    looks.start()
    try:
        for number in range(rounds):
            gone = {number % 12, (number + 5) % 12}
            writer.does(lambda: world.vault.retire([_DAY]))
            world.eraser.records(_DAY, gone, "content")
            world.expects_erased(_DAY, gone, "content")
            world.eraser.hold(f"hold {number}", {number % 12, 11})
            writer.does(lambda: world.vault.retire_subject("acme", "sub_1", ["default"]))
            before = len(world.records)
            spare = set(range(6, before + 100))
            world.eraser.subject("acme", "sub_1", ["default"], set(range(6)))
            world.expects_forgotten("acme", "sub_1", ["default"], spare)
            world.eraser.release(f"hold {number}")
    finally:
        writer.ends.set()
        writer.join()
        looks.ends.set()
        looks.join()
    assert looks.wrong == []
    assert looks.looks > rounds
    assert writer.batches > rounds
    assert world.wrong() == []
    world.close()
