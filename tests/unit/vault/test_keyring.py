"""The keyring: keys are durable before use, wrapped at rest, and gone once destroyed."""

import threading
from pathlib import Path

import apsw
import pytest

from affidavit.clock import SystemClock
from affidavit.durable import open_database
from affidavit.errors import CorruptError, NotFoundError, UnavailableError
from affidavit.ids import key as new_key
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault import recipients
from affidavit.vault.keyring import DATABASES, Keyring
from tests.world.clock import FakeClock


def _again(tmp_path: Path, kek: KeyEncryptionKey, *, read_only: bool = False) -> Keyring:
    return Keyring.open(tmp_path / "keys.db", kek, SystemClock(), read_only=read_only)


def _raw(tmp_path: Path, kek: KeyEncryptionKey) -> apsw.Connection:
    return open_database(tmp_path / "keys.db", kek.derive("keys.db"))


def test_secrets_are_made_once_and_differ_by_name(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """A named secret is 32 bytes, the same ever after, and another one for another name."""
    seed = keyring.secret("log/seed")
    assert len(seed) == 32
    assert keyring.secret("log/seed") == seed
    assert keyring.secret("receipt/seed") != seed
    other = _again(tmp_path, kek)
    assert other.secret("log/seed") == seed
    other.close()


def test_pseudonym_secrets_do_not_run_into_each_other(keyring: Keyring) -> None:
    """Tenant "a" with team "b c" is not tenant "a b" with team "c"."""
    assert keyring.pseudonym_secret("a", "b c") != keyring.pseudonym_secret("a b", "c")
    assert keyring.pseudonym_secret("a", "") == keyring.pseudonym_secret("a", "")


def test_a_key_is_on_disk_when_it_is_returned(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """Each kind of key is read back by another connection as soon as its maker has it."""
    bucket = keyring.bucket("acme", "default", "2026-11-23")
    subject = keyring.subjects([("acme", "sub_1", "default")])["acme", "sub_1", "default"]
    recipient = keyring.recipient_key("2026-11-23")
    reader = _again(tmp_path, kek, read_only=True)
    assert reader.bucket_secret(bucket.id) == bucket.secret
    assert reader.subject_secret(subject.id) == subject.secret
    wrapped = recipient.recipient.wrap(b"k" * 32)
    assert reader.open_segment_key("2026-11-23", wrapped) == b"k" * 32
    reader.close()


def test_the_next_process_finds_the_same_keys(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """Bucket, subject and day keys are the same ones after opening the keyring again."""
    subject = ("acme", "sub_1", "default")
    again = _again(tmp_path, kek)
    for ring in (keyring, again):
        ring.bucket("acme", "default", "2026-11-23")
        ring.subjects([subject])
        ring.recipient_key("2026-11-23")
    one, two = (
        keyring.bucket("acme", "default", "2026-11-23"),
        again.bucket("acme", "default", "2026-11-23"),
    )
    assert one == two
    assert keyring.subjects([subject]) == again.subjects([subject])
    private = [ring.recipient_key("2026-11-23").private_bytes() for ring in (keyring, again)]
    assert private[0] == private[1]
    assert recipients.days(again) == ["2026-11-23"]
    assert recipients.destroy(again, "2026-11-23") == []
    again.close()


def test_keys_differ_by_each_part_of_their_name(keyring: Keyring) -> None:
    """Tenant, class and day each lead to another B; tenant, subject and class to another S."""
    names = [("a", "c", "2026-01-01"), ("b", "c", "2026-01-01"), ("a", "d", "2026-01-01")]
    names.append(("a", "c", "2026-01-02"))
    assert len({keyring.bucket(*name).secret for name in names}) == 4
    subjects = [("a", "s", "c"), ("b", "s", "c"), ("a", "t", "c"), ("a", "s", "d")]
    assert len({key.secret for key in keyring.subjects(subjects).values()}) == 4
    assert keyring.subjects(subjects) == keyring.subjects(subjects)


def test_no_key_is_in_the_file_unwrapped(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """Even whoever opens the database finds wrapped keys only, and nothing without its key."""
    secrets = [keyring.secret("log/seed"), keyring.bucket("a", "c", "2026-01-01").secret]
    secrets.append(keyring.recipient_key("2026-01-01").private_bytes())
    raw = _raw(tmp_path, kek)
    tables = ("bucket_keys", "subject_keys", "hold_keys", "recipients", "secrets")
    rows = [row for table in tables for row in raw.execute(f"SELECT * FROM {table}")]
    raw.close()
    assert len(rows) == 3 + len(DATABASES)
    for secret in secrets:
        assert not any(secret in value for row in rows for value in row if isinstance(value, bytes))
    for path in tmp_path.iterdir():
        assert not any(secret in path.read_bytes() for secret in secrets)


def test_another_kek_opens_nothing(tmp_path: Path, keyring: Keyring) -> None:
    """A foreign key-encryption key is refused with a sentence."""
    keyring.secret("log/seed")
    with pytest.raises(UnavailableError, match=r"keys\.db"):
        _again(tmp_path, KeyEncryptionKey(new_key()))


def test_a_key_of_a_day_is_destroyed_for_good(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """After destruction a journal of that day stays shut, and no second key is made for it."""
    wrapped = keyring.recipient_key("2026-01-01").recipient.wrap(b"k" * 32)
    keyring.recipient_key("2026-01-02")
    assert recipients.destroy(keyring, "2026-01-02") == ["2026-01-01"]
    assert recipients.days(keyring) == ["2026-01-02"]
    for ring in (keyring, _again(tmp_path, kek)):
        with pytest.raises(NotFoundError, match="destroyed at"):
            ring.open_segment_key("2026-01-01", wrapped)
        with pytest.raises(NotFoundError, match="destroyed at"):
            ring.recipient_key("2026-01-01")
        ring.close()


def test_keys_of_days_are_spared_and_known_by_when_they_were_made(tmp_path: Path) -> None:
    """Their names may run ahead of the calendar."""
    clock, kek = FakeClock("2026-01-01T12:00:00.000000Z"), KeyEncryptionKey(new_key())
    keyring = Keyring.open(tmp_path / "day.db", kek, clock)
    for _ in range(3):
        recipients.renewed(keyring, clock.now()[:10])
    clock.advance(86_400)
    assert recipients.renewed(keyring, "2026-01-02") == "2026-01-04"
    assert recipients.after(keyring, "2025-12-31") == "2026-01-01"
    assert recipients.after(keyring, "2026-01-01") == "2026-01-04"
    assert recipients.after(keyring, "2026-01-02") == ""
    assert recipients.destroy(keyring, "2026-01-04", {"2026-01-02"}) == ["2026-01-01", "2026-01-03"]
    assert recipients.days(keyring) == ["2026-01-02", "2026-01-04"]
    assert recipients.destroy(keyring, recipients.after(keyring, "2026-01-02")) == []
    keyring.close()


def test_a_day_without_a_key_is_named(keyring: Keyring) -> None:
    """A segment of a day that never had a key gives a reason, a foreign one is corrupt."""
    wrapped = keyring.recipient_key("2026-01-01").recipient.wrap(b"k" * 32)
    with pytest.raises(NotFoundError, match="2025-12-31 is not in the keyring"):
        keyring.open_segment_key("2025-12-31", wrapped)
    with pytest.raises(CorruptError):
        keyring.open_segment_key("2026-01-01", wrapped[:-1] + bytes([wrapped[-1] ^ 1]))


def test_a_reader_sees_that_a_key_was_destroyed(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """A read-only keyring that has used a key stops giving it once another process destroyed it."""
    bucket = keyring.bucket("acme", "default", "2026-11-23")
    reader = _again(tmp_path, kek, read_only=True)
    assert reader.bucket_secret(bucket.id) == bucket.secret
    raw = _raw(tmp_path, kek)
    raw.execute("UPDATE bucket_keys SET wrapped = NULL, destroyed = '2026-12-01'")
    raw.close()
    with pytest.raises(NotFoundError, match="destroyed at 2026-12-01"):
        reader.bucket_secret(bucket.id)
    with pytest.raises(NotFoundError, match="not in the keyring"):
        reader.bucket_secret(bucket.id + 1)
    reader.close()


def test_a_destroyed_bucket_gets_a_new_key(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """A bucket that is written to after its key went has another number and another key."""
    old = keyring.bucket("acme", "default", "2026-11-23")
    raw = _raw(tmp_path, kek)
    raw.execute("UPDATE bucket_keys SET wrapped = NULL, destroyed = '2026-12-01'")
    raw.close()
    again = _again(tmp_path, kek)
    new = again.bucket("acme", "default", "2026-11-23")
    assert new.id != old.id
    assert new.secret != old.secret
    again.close()


def test_threads_take_turns(keyring: Keyring) -> None:
    """Asked for one key from many threads at once, all get the same one."""
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(keyring.bucket("a", "c", "2026-01-01").secret))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_what_it_prints_says_nothing(keyring: Keyring) -> None:
    """A keyring in a log line shows no key."""
    keyring.secret("log/seed")
    assert repr(keyring) == "<Keyring>"


def test_databases_have_random_keys_of_their_own(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """In a new directory none is derived, and readers have the same ones."""
    keys = {name: keyring.database_key(name) for name in DATABASES}
    assert len(set(keys.values())) == 2
    assert not set(keys.values()) & {kek.derive(name) for name in DATABASES}
    reader = _again(tmp_path, kek, read_only=True)
    assert {name: reader.database_key(name) for name in DATABASES} == keys
    reader.close()


@pytest.mark.parametrize("earlier", ["keys.db", "state.db"])
def test_what_an_earlier_release_began_keeps_its_keys(
    tmp_path: Path, kek: KeyEncryptionKey, earlier: str
) -> None:
    """Keys that were derived are taken over at the first opening for writing, and stay."""
    if earlier == "keys.db":
        keyring = Keyring.open(tmp_path / "keys.db", kek, SystemClock())
        keyring.secret("log/seed")
        keyring.close()
        raw = _raw(tmp_path, kek)
        raw.execute("DELETE FROM secrets WHERE name LIKE 'database/%'")
        raw.close()
        reader = _again(tmp_path, kek, read_only=True)
        assert reader.database_key("state.db") == kek.derive("state.db")
        reader.close()
    else:
        (tmp_path / "state.db").touch()
    keyring = _again(tmp_path, kek)
    for name in DATABASES:
        assert keyring.has_secret(f"database/{name}")
        assert keyring.database_key(name) == kek.derive(name)
    keyring.close()
