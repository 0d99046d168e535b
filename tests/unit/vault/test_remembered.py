"""What ``keys.db`` remembers of erasures, and that it forgets down to the last page."""

import random
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault import remembered
from affidavit.vault.keyring import Keyring
from tests.world import rawscan

KEK = KeyEncryptionKey(bytes(range(32)))


@pytest.mark.parametrize("seed", [0, 7, 10])
def test_nothing_that_was_taken_away_is_on_any_page(tmp_path: Path, seed: int) -> None:
    """However long the bodies and often they change; that copies are left before is checked, too.

    What is there stays as it is, in order, and numbers go on.
    """
    path, drawn = tmp_path / "keys.db", random.Random(seed)
    keyring = Keyring.open(path, KEK, SystemClock())
    live: dict[str, bytes] = {}
    gone: set[bytes] = set()
    for step in range(120):
        name = f"n{drawn.randrange(25)}"
        if live.get(name):
            gone.add(live[name][:24])
        mark = f"MARK{seed:04}-{step:04}-{drawn.getrandbits(40):010x}".encode()
        live[name] = (mark + drawn.randbytes(4)) * drawn.choice([0, 1, 5, 20, 60, 150, 400])
        remembered.put(keyring, {name: live[name]})
    keyring.leave_nothing()
    before = [mark for mark in gone if mark in _pages(path)]
    remembered.leave_none(keyring)
    keyring.leave_nothing()
    assert [mark for mark in gone if mark in _pages(path)] == []
    assert remembered.every(keyring) == live
    assert before, "nothing was left that had to go"
    keyring.close()


def _pages(path: Path) -> bytes:
    """All of the file and of what is beside it, free pages included."""
    return b"".join(rawscan.states(path, KEK.derive("keys.db")))
