"""A new key-encryption key: nothing lost, old copies worthless, whoever reads goes on."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.durable import Disk, open_database
from affidavit.errors import CorruptError, NotFoundError, UnavailableError
from affidavit.record.kek import KeyFile, Passphrase
from affidavit.record.keys import KeyEncryptionKey, PlainFile
from affidavit.vault import key_database, key_ends, renewal
from affidavit.vault.keyring import DATABASES, Keyring
from affidavit.vault.renewal import Renewal
from affidavit.vault.segments import Bucket
from tests.world.fakedisk import Crash, FakeEffects, Fault, at

DAY = "2026-11-23"


class _Place:
    """A directory with a key file and a keyring."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "keys.db"
        (root / "keys").mkdir(parents=True, exist_ok=True)
        self.kek = root / "keys" / "kek"
        if not self.kek.exists():
            KeyEncryptionKey.create(Disk(), self.kek)
        self.file = self.key_file()

    def key_file(self) -> KeyFile:
        return KeyFile(self.kek, (PlainFile(), Passphrase(lambda: b"open sesame, open", log_n=2)))

    def open(self, disk: Disk | None = None) -> Keyring:
        """As the owner does: first end what was cut."""
        kek = key_database.settle(disk or Disk(), self.path, self.file)
        return Keyring.open(self.path, kek, SystemClock())

    def reader(self) -> Keyring:
        return Keyring.follow(self.path, self.key_file(), SystemClock())


def _fill(keyring: Keyring, count: int = 3) -> dict[str, bytes]:
    """Keys of every kind; their secrets by name."""
    found = {f"secret {i}": keyring.secret(f"epoch/{i}") for i in range(count)}
    found |= {name: keyring.database_key(name) for name in DATABASES}
    found["day"] = keyring.recipient_key(DAY).private_bytes()
    for i in range(count):
        found[f"bucket {i}"] = keyring.bucket(f"t{i}", "default", DAY).secret
    names = [("t0", f"s{i}", "default") for i in range(count)]
    found |= {name[1]: key.secret for name, key in keyring.subjects(names).items()}
    return found


def _read(keyring: Keyring, count: int = 3) -> dict[str, bytes]:
    """The same, by number and name, as a reader finds them; nothing is made."""
    found = {f"secret {i}": keyring.secret(f"epoch/{i}") for i in range(count)}
    found |= {name: keyring.database_key(name) for name in DATABASES}
    found["day"] = keyring.recipient_key(DAY).private_bytes()
    found |= {f"bucket {i}": keyring.bucket_secret(i + 1) for i in range(count)}
    names = [("t0", f"s{i}", "default") for i in range(count)]
    return found | {name[1]: key.secret for name, key in keyring.subjects(names).items()}


@pytest.fixture
def place(tmp_path: Path) -> _Place:
    """A fresh one."""
    return _Place(tmp_path)


@pytest.fixture
def ring(place: _Place) -> Iterator[Keyring]:
    """Its keyring, open for writing."""
    keyring = place.open()
    yield keyring
    keyring.close()


def test_every_key_is_there_under_the_new_key(place: _Place, ring: Keyring) -> None:
    """Also of the tables' counters, so that no number is given twice; nothing is left beside."""
    filled = _fill(ring)
    destroyed = ring.bucket("gone", "default", DAY).id
    with ring.alone() as (db, _):
        db.execute("UPDATE bucket_keys SET wrapped = NULL, destroyed = 'x' WHERE id = 4")
        db.execute("DELETE FROM bucket_keys WHERE id = 4")
    before = place.kek.read_bytes()
    count = Renewal(Disk(), place.path, place.file, ring).run()
    assert count == len(filled)
    assert place.kek.read_bytes() != before
    assert _read(ring) == filled
    assert ring.bucket("another", "default", DAY).id == destroyed + 1
    names = {path.name for path in place.root.rglob("*") if path.is_file()}
    assert names == {"keys.db", "keys.db-wal", "keys.db-shm", "kek"}
    ring.close()
    again = place.open()
    assert _read(again) == filled
    assert again.check() == count + 1
    again.close()


def test_what_is_known_of_removed_segments_is_there_after_it(place: _Place, ring: Keyring) -> None:
    """Two of one bucket key, which is destroyed."""
    key = ring.bucket("t0", "default", DAY)
    key_ends.retire_buckets(ring, [Bucket("t0", "default", DAY)])
    key_ends.destroy_bucket(ring, key.id)
    for leaves in ([3, 4], [7, 9]):
        key_ends.mark_emptied(ring, key.id, leaves)
    before = key_ends.emptied_on(ring, DAY)
    Renewal(Disk(), place.path, place.file, ring).run()
    assert key_ends.emptied_on(ring, DAY) == before
    assert len(before) == 2


def test_old_copies_of_the_keyring_are_worthless(place: _Place, ring: Keyring) -> None:
    """Copied while it was open, with its log: the new key opens none, and the old one is gone."""
    _fill(ring)
    copy = place.root / "copy"
    copy.mkdir()
    for path in place.root.glob("keys.db*"):
        shutil.copy(path, copy)
    old = place.kek.read_bytes()
    Renewal(Disk(), place.path, place.file, ring).run()
    for candidate in KeyFile(place.kek).candidates():
        with pytest.raises(UnavailableError):
            open_database(copy / "keys.db", candidate.derive("keys.db"), read_only=True)
    key = old.split()[1]
    for path in place.root.rglob("*"):
        assert not (path.is_file() and key in path.read_bytes()), path
    proof = KeyEncryptionKey.parse("kek", old)  # the copy was good: who kept the old key has it
    open_database(copy / "keys.db", proof.derive("keys.db"), read_only=True).close()


def test_readers_go_on_with_the_new_file(place: _Place, ring: Keyring) -> None:
    """One that was open before, in this or in another process, sees new and destroyed keys."""
    filled = _fill(ring)
    reader, busy = place.reader(), place.reader()
    assert _read(reader) == filled
    for round_ in range(3):
        Renewal(Disk(), place.path, place.file, ring).run()
        late = ring.bucket(f"late {round_}", "default", DAY)
        assert reader.bucket_secret(late.id) == late.secret
        assert _read(reader) == filled
    assert busy.bucket_of(1) == ("t0", "default", DAY)
    with ring.alone() as (db, _):
        db.execute("UPDATE bucket_keys SET wrapped = NULL, destroyed = '2026-12-01' WHERE id = 1")
    for one in (reader, busy):
        with pytest.raises(NotFoundError, match="destroyed at 2026-12-01"):
            one.bucket_secret(1)
        one.close()


def test_what_changes_meanwhile_is_under_the_new_key_as_it_is_then(
    place: _Place, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys made, destroyed and made again between any two slices, deleted rows included."""
    monkeypatch.setattr(renewal, "SLICE", 2)
    filled = _fill(ring, 7)
    made: dict[int, bytes] = {}

    def between(_: float) -> None:
        number = len(made)
        with ring.alone() as (db, __):
            db.execute(
                "UPDATE bucket_keys SET wrapped = NULL, destroyed = 'then' "
                "WHERE tenant = 't0' AND wrapped IS NOT NULL"
            )
            db.execute("DELETE FROM secrets WHERE name = 'epoch/6'")
        ring._buckets.clear()
        key = ring.bucket("t0", "default", DAY)
        made[key.id] = key.secret
        ring.secret(f"during/{number}")
        ring.secret("epoch/6")  # another one of the same name

    monkeypatch.setattr("affidavit.vault.renewal.time.sleep", between)
    Renewal(Disk(), place.path, place.file, ring).run()
    assert len(made) > 6
    reader = place.reader()
    last = max(made)
    for number in (1, *made):
        if number == last:
            assert reader.bucket_secret(number) == made[number]
        else:
            with pytest.raises(NotFoundError, match="destroyed at then"):
                reader.bucket_secret(number)
    assert reader.has_secret(f"during/{len(made) - 1}")
    assert reader.secret("epoch/6") == ring.secret("epoch/6") != filled["secret 6"]
    reader.close()


def test_an_old_key_is_not_remembered_either(place: _Place, ring: Keyring) -> None:
    """Neither by the process that renewed it nor by one that reads, once it has noticed."""
    _fill(ring)
    reading = place.key_file()
    reader = Keyring.follow(place.path, reading, SystemClock())
    old = next(place.file.candidates()).id
    for file in (place.file, reading):
        assert [key.id for key in file._known.values()] == [old]
    Renewal(Disk(), place.path, place.file, ring).run()
    assert reader.has_secret("epoch/0")
    new = next(place.key_file().candidates()).id
    for file in (place.file, reading):
        assert [key.id for key in file._known.values()] == [new]
    for keyring in (ring, reader):
        with keyring.alone() as (_, kek):
            assert kek.id == new
    reader.close()


def test_the_kind_of_the_file_stays_or_changes(place: _Place, ring: Keyring) -> None:
    """To a passphrase, again under it, and back."""
    filled = _fill(ring)
    for kind, expected in (
        ("passphrase", "passphrase"), (None, "passphrase"), ("file", "file"), (None, "file"),
    ):  # fmt: skip
        Renewal(Disk(), place.path, place.file, ring).run(kind)
        assert place.key_file().kind == expected
        reader = place.reader()
        assert _read(reader) == filled
        reader.close()


class _RefusedError(Exception):
    pass


@pytest.mark.parametrize("where", ["seal", "copy", "log", "lock"])
def test_a_renewal_that_fails_leaves_everything_as_it_was(
    place: _Place, ring: Keyring, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The old key is in force, nothing is left beside it, and the next attempt works."""
    filled = _fill(ring)
    before = place.kek.read_bytes()
    with monkeypatch.context() as patch:
        if where == "seal":
            patch.setattr(PlainFile, "seal", _raiser(_RefusedError()))
        elif where == "copy":
            patch.setattr(Renewal, "_put", _raiser(CorruptError("row 3")))
        elif where == "log":
            patch.setattr(renewal, "_empty_log", _raiser(UnavailableError("busy")))
        else:
            patch.setattr(renewal, "steady", _raiser(UnavailableError("locked")))
        with pytest.raises((_RefusedError, CorruptError, UnavailableError)):
            Renewal(Disk(), place.path, place.file, ring).run()
    assert place.kek.read_bytes() == before
    assert not list(place.root.rglob("*.next*"))
    assert _read(ring) == filled
    Renewal(Disk(), place.path, place.file, ring).run()
    assert _read(ring) == filled


def _raiser(error: Exception) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


def test_a_reader_in_the_middle_is_waited_for_and_not_for_ever(
    place: _Place, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a read transaction open the log cannot be emptied: given up, and done later."""
    _fill(ring)
    reader = place.reader()
    with reader.alone() as (db, _):
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM secrets").fetchall()
    with ring.alone() as (db, _):
        db.set_busy_timeout(10)
    ring.secret("something to move")
    with pytest.raises(UnavailableError, match="read for too long"):
        Renewal(Disk(), place.path, place.file, ring).run()
    with reader.alone() as (db, _):
        db.execute("COMMIT")
    Renewal(Disk(), place.path, place.file, ring).run()
    assert reader.has_secret("something to move")
    reader.close()


def _crashes(tmp_path: Path) -> Iterator[tuple[int, _Place, dict[str, bytes]]]:
    """Renewals that end before each of their effects; the place as it was left."""
    number = 0
    while True:
        place = _Place(tmp_path / str(number))
        keyring = place.open()
        filled = _fill(keyring)
        fault = Fault(at(number), error=0)
        effects = FakeEffects(place.root, fault)
        with contextlib.suppress(Crash):
            Renewal(Disk(effects), place.path, place.file, keyring).run()
        with keyring.alone() as (db, _):
            db.close()
        if not fault.fired:
            assert number > 12
            return
        yield number, place, filled
        number += 1


def test_a_crash_at_any_step_is_finished_at_the_next_opening(tmp_path: Path) -> None:
    """All keys are there; one key file; a reader found them before the owner came, too."""
    advanced = 0
    for number, place, filled in _crashes(tmp_path):
        reader = place.reader()
        assert _read(reader) == filled, number
        keyring = place.open()
        assert _read(keyring) == filled, number
        late = keyring.bucket("late", "default", DAY)
        assert reader.bucket_secret(late.id) == late.secret
        assert not list(place.root.rglob("*.next*")), number
        Renewal(Disk(), place.path, place.file, keyring).run()
        assert _read(keyring) == filled, number
        assert _read(reader) == filled, number
        reader.close()
        keyring.close()
        advanced += 1
    assert advanced > 12


@pytest.mark.slow
def test_a_crash_while_a_cut_renewal_is_ended_is_no_different(tmp_path: Path) -> None:
    """Whatever step of ending it comes to its end itself."""
    tried = 0
    for number, place, filled in _crashes(tmp_path / "made"):
        for step in range(20):
            copy = tmp_path / f"{number}-{step}"
            shutil.copytree(place.root, copy)
            other = _Place(copy)
            fault = Fault(at(step), error=0)
            try:
                other.open(Disk(FakeEffects(copy, fault))).close()
            except Crash:
                tried += 1
            keyring = other.open()
            assert _read(keyring) == filled, (number, step)
            keyring.close()
            if not fault.fired:
                break
    assert tried > 20


def test_many_readers_in_threads_meet_no_error_while_keys_change(
    place: _Place, ring: Keyring
) -> None:
    """Readers that open and read all the time find every key at every instant."""
    filled = _fill(ring)
    stop, failed, reads = threading.Event(), [], [0]

    def read() -> None:
        one = place.reader()
        while not stop.is_set():
            try:
                if _read(one) != filled:
                    failed.append("other keys")
                one.close()
                one = place.reader()
                reads[0] += 1
            except Exception as error:  # noqa: BLE001 - told below
                failed.append(repr(error))
                return
        one.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        Renewal(Disk(), place.path, place.file, ring).run()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert reads[0] > 0
