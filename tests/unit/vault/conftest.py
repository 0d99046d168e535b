"""What the tests of the vault share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring


@pytest.fixture
def kek() -> KeyEncryptionKey:
    """A key-encryption key of the test's own."""
    return KeyEncryptionKey(bytes(range(32)))


@pytest.fixture
def keyring(tmp_path: Path, kek: KeyEncryptionKey) -> Iterator[Keyring]:
    """A fresh keyring in a real encrypted file."""
    opened = Keyring.open(tmp_path / "keys.db", kek, SystemClock())
    yield opened
    opened.close()
