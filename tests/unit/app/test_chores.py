"""Which keys of days go by themselves, and when."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from affidavit.app import system
from affidavit.app.chores import HOUR, Chores
from affidavit.app.paths import Paths
from affidavit.app.purging import SEALED
from affidavit.durable import Disk
from affidavit.ids import key as new_key
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault import recipients
from affidavit.vault.keyring import Keyring
from tests.world.clock import FakeClock


class _Host:
    """Keys of ten days up to 2026-11-23; ``oldest`` and ``closed`` are what the intake says."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(new_key()), self.clock)
        self.state = apsw.Connection(":memory:")
        self.paths, self.log = Paths(tmp_path), SimpleNamespace(published=0)
        self.oldest: str | None = None
        self.closed = list[set[str]]()
        self.intake = SimpleNamespace(
            oldest_day=lambda: self.oldest, closed_days=lambda: self.closed
        )
        system.prepare(self.state)
        for day in range(14, 24):
            self.keyring.recipient_key(f"2026-11-{day}")
        host: Any = self
        self.chores = Chores(Disk(), host)

    def days(self) -> list[str]:
        """The days whose key there is, after an hour."""
        self.clock.advance(HOUR + 1)
        self.chores.step()
        return [day[-2:] for day in recipients.days(self.keyring)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[_Host]:
    """A sequencer process as far as its chores know it."""
    (tmp_path / "log").mkdir()
    made = _Host(tmp_path)
    yield made
    made.keyring.close()
    made.state.close()


def test_keys_of_what_is_kept_stay_and_keep_no_others(host: _Host) -> None:
    """A damaged journal has its own; what is to be taken in has all that are later, too."""
    host.oldest = ""
    assert len(host.days()) == 10
    host.oldest, host.closed = "2026-11-20", [{"2026-11-15", ""}, {"2026-11-17", "2026-11-18"}]
    assert host.days() == ["15", "17", "18", "20", "21", "22", "23"]
    host.oldest = None
    assert host.days() == ["15", "17", "18", "22", "23"]


def test_what_an_erasure_left_goes_once_it_is_taken_in(host: _Host) -> None:
    """Also if by then it is kept, as it is damaged."""
    system.told(host.state, f"{SEALED}2026-11-21", "")
    system.told(host.state, f"{SEALED}2026-11-23", "")
    host.oldest, host.closed = "2026-11-19", [{"2026-11-15"}]
    assert host.days() == ["15", "19", "20", "21", "22", "23"]
    host.oldest, host.closed = "2026-11-22", [{"2026-11-15"}, {"2026-11-19"}]
    assert host.days() == ["22", "23"]
    assert system.names_told(host.state, SEALED) == [f"{SEALED}2026-11-23"]
    host.oldest = None
    assert host.days() == ["23"]
    assert system.names_told(host.state, SEALED) == []
