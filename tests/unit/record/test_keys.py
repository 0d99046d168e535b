"""The key-encryption key and what hangs on it."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import CorruptError, UnavailableError, UsageError
from affidavit.record.keys import (
    KeyEncryptionKey,
    destroy_key_file,
    hkdf,
    unwrap_key,
    wrap_key,
)
from tests.world.fakedisk import FakeEffects


def test_rfc_3394_vector() -> None:
    """RFC 3394 §4.6: 256 bits of key data wrapped with a 256-bit key."""
    wrapping = bytes(range(32))
    key = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    wrapped = bytes.fromhex(
        "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    )
    assert wrap_key(wrapping, key) == wrapped
    assert unwrap_key(wrapping, wrapped) == key


def test_rfc_5869_vector() -> None:
    """RFC 5869 A.3: SHA-256 with neither salt nor info."""
    expected = (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    assert hkdf(b"\x0b" * 22, "", 42).hex() == expected


def test_any_flipped_bit_of_a_wrapped_key_is_refused() -> None:
    """Key wrap is authenticated: no damaged key is ever used."""
    wrapped = wrap_key(b"w" * 32, b"k" * 32)
    for position in range(len(wrapped) * 8):
        bad = bytearray(wrapped)
        bad[position // 8] ^= 1 << position % 8
        with pytest.raises(CorruptError):
            unwrap_key(b"w" * 32, bytes(bad))
    for cut in (b"", wrapped[:-8], wrapped[:-1], wrapped + b"\0" * 8):
        with pytest.raises(CorruptError):
            unwrap_key(b"w" * 32, cut)


def test_a_key_file_is_private_and_loads_again(tmp_path: Path) -> None:
    """What ``create`` wrote, mode 0600, ``load`` reads: both derive and unwrap alike."""
    path = tmp_path / "kek"
    made = KeyEncryptionKey.create(Disk(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = KeyEncryptionKey.load(path)
    assert loaded.derive("state.db") == made.derive("state.db")
    assert loaded.unwrap(made.wrap(b"k" * 32)) == b"k" * 32


def test_purposes_have_keys_of_their_own(tmp_path: Path) -> None:
    """No two purposes share a key, and none is the secret in the file."""
    key = KeyEncryptionKey.create(Disk(), tmp_path / "kek")
    derived = {key.derive(name) for name in ("state.db", "keys.db", "index.db", "wrap")}
    assert len(derived) == 4
    assert all(len(one) == 32 for one in derived)
    assert key._secret not in derived


def test_a_second_key_is_refused(tmp_path: Path) -> None:
    """``create`` never replaces the key that everything is sealed under."""
    KeyEncryptionKey.create(Disk(), tmp_path / "kek")
    before = (tmp_path / "kek").read_bytes()
    with pytest.raises(UsageError, match="there already"):
        KeyEncryptionKey.create(Disk(), tmp_path / "kek")
    assert (tmp_path / "kek").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 60,
        b"affidavit-kek-1 short\n",
        b"affidavit-kek-1 " + b"A" * 42 + b"*\n",
        b"affidavit-kek-2 " + b"A" * 43 + b"\n",
        b"affidavit-kek-1 " + b"A" * 43 + b"\n\n",
        b"A" * 43 + b"\n",
    ],
)
def test_what_is_not_a_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A damaged or foreign file gives a sentence with a hint, and no part of its content."""
    path = tmp_path / "kek"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnavailableError, match="no readable") as caught:
        KeyEncryptionKey.load(path)
    assert "Restore" in caught.value.hint


def test_a_missing_or_public_key_file_is_refused(tmp_path: Path) -> None:
    """No file, or one that others may read: ``UnavailableError``."""
    with pytest.raises(UnavailableError):
        KeyEncryptionKey.load(tmp_path / "none")
    KeyEncryptionKey.create(Disk(), tmp_path / "kek")
    (tmp_path / "kek").chmod(0o644)
    with pytest.raises(UnavailableError, match="0644"):
        KeyEncryptionKey.load(tmp_path / "kek")


def test_a_key_does_not_show_itself(tmp_path: Path) -> None:
    """Neither ``repr`` nor an error of a wrong unwrap carries the secret."""
    key = KeyEncryptionKey.create(Disk(), tmp_path / "kek")
    assert repr(key) == "<KeyEncryptionKey>"
    with pytest.raises(CorruptError) as caught:
        key.unwrap(b"x" * 40)
    assert key._secret.hex() not in repr(caught.value)


def test_destroying_overwrites_before_it_removes(tmp_path: Path) -> None:
    """The bytes are overwritten and synced while the file still has its name; twice is no error."""
    path = tmp_path / "kek"
    KeyEncryptionKey.create(Disk(), path)
    effects = FakeEffects(tmp_path)
    destroy_key_file(Disk(effects), path)
    assert effects.calls() == [
        "open(kek)",
        "pwrite(kek)",
        "fdatasync(kek)",
        "unlink(kek)",
        "fsync_dir(.)",
    ]
    written = next(step for step in effects.trace if step.name == "pwrite")
    assert written.data == bytes(60)
    assert not path.exists()
    destroy_key_file(Disk(effects), path)
