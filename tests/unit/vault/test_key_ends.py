"""How keys end: retired before they are destroyed, and off the disk once they are."""

import random
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.durable import open_database
from affidavit.errors import NotFoundError, UnavailableError, UsageError
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault import key_ends
from affidavit.vault.keyring import Keyring
from affidavit.vault.segments import Bucket

_BUCKET = Bucket("acme", "default", "2026-11-23")
_SUBJECT = ("acme", "sub_1", "default")

_VERSION_1 = """
CREATE TABLE bucket_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL, class TEXT NOT NULL, day TEXT NOT NULL,
    wrapped BLOB, created TEXT NOT NULL, destroyed TEXT
) STRICT;
CREATE UNIQUE INDEX bucket_keys_in_use
    ON bucket_keys (tenant, class, day) WHERE wrapped IS NOT NULL;
CREATE TABLE subject_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL, subject TEXT NOT NULL, class TEXT NOT NULL,
    wrapped BLOB, created TEXT NOT NULL, destroyed TEXT
) STRICT;
CREATE UNIQUE INDEX subject_keys_in_use
    ON subject_keys (tenant, subject, class) WHERE wrapped IS NOT NULL;
"""


def test_a_retired_key_opens_and_seals_nothing_new(keyring: Keyring) -> None:
    """The bucket and the person get other keys; what the old ones wrap still opens."""
    old = keyring.bucket(*_BUCKET)
    person = keyring.subjects([_SUBJECT])[_SUBJECT]
    assert key_ends.buckets_in_use(keyring, "acme", "default") == [_BUCKET]
    key_ends.retire_buckets(keyring, [_BUCKET])
    key_ends.retire_subjects(keyring, [_SUBJECT])
    assert key_ends.buckets_in_use(keyring, "acme", "default") == []
    assert keyring.bucket(*_BUCKET).id != old.id
    assert keyring.subjects([_SUBJECT])[_SUBJECT].id != person.id
    assert keyring.bucket_secret(old.id) == old.secret
    assert keyring.subject_secret(person.id) == person.secret
    ends = key_ends.bucket_ends(keyring, _BUCKET)
    assert [end.in_use for end in ends.values()] == [False, True]
    assert [end.is_retired for end in ends.values()] == [True, False]


def test_who_returned_is_known_by_a_key_that_ended(keyring: Keyring) -> None:
    """In that tenant; whoever has the first key, or none in use, is none of them."""
    other, new = ("other", "sub_1", "default"), ("acme", "sub_2", "default")
    keyring.subjects([_SUBJECT, other, new])
    assert key_ends.returned(keyring, "acme") == set()
    key_ends.retire_subjects(keyring, [_SUBJECT])
    assert key_ends.returned(keyring, "acme") == set()
    back = ("acme", "sub_1", "logs")
    keyring.subjects([_SUBJECT, back])
    assert key_ends.returned(keyring, "acme") == {_SUBJECT, back}
    assert key_ends.returned(keyring, "other") == set()


def test_a_key_in_use_is_not_destroyed(keyring: Keyring) -> None:
    """Of buckets and people; once it is retired it is, and may be again."""
    bucket, person = keyring.bucket(*_BUCKET), keyring.subjects([_SUBJECT])[_SUBJECT]
    with pytest.raises(UsageError, match="bucket key 1 is in use"):
        key_ends.destroy_bucket(keyring, bucket.id)
    with pytest.raises(UsageError, match="subject key 1 is in use"):
        key_ends.destroy_subject(keyring, _SUBJECT, [person.id])
    key_ends.retire_buckets(keyring, [_BUCKET])
    key_ends.retire_subjects(keyring, [_SUBJECT])
    for _ in range(2):
        key_ends.destroy_bucket(keyring, bucket.id)
        key_ends.destroy_subject(keyring, _SUBJECT, [person.id, 77])
    with pytest.raises(NotFoundError, match="destroyed at"):
        keyring.bucket_secret(bucket.id)
    with pytest.raises(NotFoundError, match="destroyed at"):
        keyring.subject_secret(person.id)


def test_keys_of_survivors_are_never_a_writers(keyring: Keyring) -> None:
    """They are made retired."""
    spare = key_ends.new_bucket_key(keyring, _BUCKET)
    person = key_ends.new_subject_key(keyring, _SUBJECT)
    assert keyring.bucket(*_BUCKET).id != spare.id
    assert keyring.subjects([_SUBJECT])[_SUBJECT].id != person.id
    assert keyring.bucket_secret(spare.id) == spare.secret
    assert keyring.subject_secret(person.id) == person.secret


def test_a_name_is_one_hold(keyring: Keyring) -> None:
    """Placed again it has the same key; once released, none and never another one."""
    made = key_ends.hold_key(keyring, "matter")
    assert key_ends.hold_key(keyring, "matter") == made
    assert key_ends.live_holds(keyring) == {made.id: "matter"}
    for _ in range(2):
        assert key_ends.destroy_hold(keyring, "matter") == made.id
    assert key_ends.live_holds(keyring) == {}
    with pytest.raises(UsageError, match="The hold matter was released at"):
        key_ends.hold_key(keyring, "matter")
    with pytest.raises(NotFoundError, match="no hold nothing"):
        key_ends.destroy_hold(keyring, "nothing")
    with pytest.raises(NotFoundError, match="destroyed at"):
        keyring.hold_secret(made.id)


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path, kek: KeyEncryptionKey) -> None:
    """Its keys are in use, are retired and get successors, as those of a file made today."""
    raw = open_database(tmp_path / "keys.db", kek.derive("keys.db"))
    raw.execute(_VERSION_1)
    secret = bytes(range(32))
    raw.execute(
        "INSERT INTO bucket_keys (tenant, class, day, wrapped, created) VALUES (?, ?, ?, ?, ?)",
        (*_BUCKET, kek.wrap(secret), "2026-11-23T00:00:00.000000Z"),
    )
    reader = Keyring.open(tmp_path / "keys.db", kek, SystemClock(), read_only=True)
    assert key_ends.emptied_on(reader, _BUCKET.day) == []
    assert key_ends.emptied_with(reader, 6, _BUCKET.day) == ("", "")
    raw.close()
    keyring = Keyring.open(tmp_path / "keys.db", kek, SystemClock())
    assert keyring.bucket(*_BUCKET) == (1, secret)
    key_ends.retire_buckets(keyring, [_BUCKET])
    assert keyring.bucket(*_BUCKET).id == 2
    key_ends.destroy_bucket(keyring, 1)
    key_ends.mark_emptied(keyring, 1, [4, 6, 9])
    key_ends.mark_emptied(keyring, 1, [4, 6, 9])
    key_ends.mark_emptied(keyring, 1, [])
    key_ends.mark_emptied(keyring, 2, [10])  # in use
    (found,) = key_ends.emptied_on(reader, _BUCKET.day)
    assert found[:4] == (1, 4, 9, 3)
    assert key_ends.emptied_on(reader, "2026-11-24") == []
    key_ends.mark_emptied(keyring, 1, [20])
    had = [i for i in range(25) if key_ends.emptied_with(reader, i, _BUCKET.day) != ("", "")]
    assert had == [4, 6, 9, 20], "these leaves, and none between them"
    assert key_ends.emptied_with(reader, 6, _BUCKET.day) == (found.at, "")
    assert key_ends.emptied_with(reader, 6, "2026-11-24") == ("", "")
    with keyring.changing() as change:  # as an earlier release removed it
        change.database.execute("DELETE FROM segments_emptied_leaves WHERE first = 4")
    assert key_ends.emptied_with(reader, 5, _BUCKET.day) == ("", found.at)
    assert keyring.bucket_secret(2) == reader.bucket_secret(2)
    reader.close()
    keyring.close()


def test_a_destroyed_key_is_nowhere_in_the_file(tmp_path: Path, kek: KeyEncryptionKey) -> None:
    """Whoever opens the database finds its wrap in no page, and the write-ahead log is empty."""
    keyring = Keyring.open(tmp_path / "keys.db", kek, SystemClock())
    wanted = [("acme", f"sub_{n}", "default") for n in range(200)]
    people = sorted(keyring.subjects(wanted).items(), key=lambda item: item[1].id)
    keyring.bucket(*_BUCKET)
    key_ends.hold_key(keyring, "matter")
    tables = ("subject_keys", "bucket_keys", "hold_keys")
    wraps = {
        table: [row[0] for row in keyring.read(f"SELECT wrapped FROM {table} ORDER BY id")]
        for table in tables
    }
    key_ends.retire_buckets(keyring, [_BUCKET])
    key_ends.retire_subjects(keyring, wanted)
    for one, key in people[:150]:
        key_ends.destroy_subject(keyring, one, [key.id])
    key_ends.destroy_bucket(keyring, 1)
    key_ends.destroy_hold(keyring, "matter")
    assert (tmp_path / "keys.db-wal").stat().st_size == 0
    raw = open_database(tmp_path / "keys.db", kek.derive("keys.db"), read_only=True)
    pages = raw.serialize("main")
    gone = [*wraps["subject_keys"][:150], *wraps["bucket_keys"], *wraps["hold_keys"]]
    assert [one for one in gone if one in pages] == []
    assert all(one in pages for one in wraps["subject_keys"][150:])
    raw.close()
    keyring.close()


def test_who_reads_for_long_is_named(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring
) -> None:
    """A destroyed key that is still in the write-ahead log is an error; repeated, it succeeds."""
    key_ends.hold_key(keyring, "matter")
    keyring._db.set_busy_timeout(10)
    raw = open_database(tmp_path / "keys.db", kek.derive("keys.db"), read_only=True)
    raw.execute("BEGIN")
    raw.execute("SELECT * FROM hold_keys").fetchall()
    with pytest.raises(UnavailableError, match=r"still in the write-ahead log of keys\.db"):
        key_ends.destroy_hold(keyring, "matter")
    raw.execute("COMMIT")
    key_ends.destroy_hold(keyring, "matter")
    assert (tmp_path / "keys.db-wal").stat().st_size == 0
    raw.close()


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(9))])
def test_no_history_of_keys_leaves_a_destroyed_one(
    tmp_path: Path, kek: KeyEncryptionKey, keyring: Keyring, seed: int
) -> None:
    """Keys of all kinds and lengths of name, made, retired and destroyed in any order."""
    draw, gone = random.Random(seed), []
    for turn in range(30):
        people = [
            ("t" * draw.randint(1, 40), f"sub_{turn}_{n}" * draw.randint(1, 5), "default")
            for n in range(draw.randint(1, 40))
        ]
        keyring.subjects(people)
        key_ends.new_bucket_key(keyring, _BUCKET)
        key_ends.hold_key(keyring, f"hold {turn}")
        ending = draw.sample(people, draw.randint(0, len(people)))
        numbers = {name: key.id for name, key in keyring.subjects(ending).items()}
        key_ends.retire_subjects(keyring, ending)
        for name, number in numbers.items():
            gone += keyring.read("SELECT wrapped FROM subject_keys WHERE id = ?", (number,))
            key_ends.destroy_subject(keyring, name, [number])
        if turn % 3 == 0:
            gone += keyring.read("SELECT wrapped FROM bucket_keys WHERE id = ?", (turn + 1,))
            gone += keyring.read("SELECT wrapped FROM hold_keys WHERE hold = ?", (f"hold {turn}",))
            key_ends.destroy_bucket(keyring, turn + 1)
            key_ends.destroy_hold(keyring, f"hold {turn}")
    raw = open_database(tmp_path / "keys.db", kek.derive("keys.db"), read_only=True)
    pages = raw.serialize("main")
    raw.close()
    assert len(gone) > 100
    assert [wrapped for (wrapped,) in gone if wrapped in pages] == []
