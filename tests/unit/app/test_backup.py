"""A backup brings back what was there, and nobody who was erased since."""

import json
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app import backup, first_start, opening, sampling, system, unfinished
from affidavit.app.backup import Copying, Manifest
from affidavit.app.checking import Checking, Result
from affidavit.app.paths import Paths
from affidavit.app.restoring import Restored, Restoring
from affidavit.cli import doctor
from affidavit.cli.backup import _fetch, restore
from affidavit.cli.client import Client
from affidavit.cli.output import moment
from affidavit.clock import SystemClock, add_seconds
from affidavit.control.store import IdentityStore
from affidavit.durable import Disk, open_database
from affidavit.errors import (
    AffidavitError,
    CorruptError,
    LockedError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from affidavit.index.rebuild import dump
from affidavit.ledger import note, tiles
from affidavit.ledger.log_reader import LogReader
from affidavit.record.kek import KeyFile
from affidavit.vault import key_ends
from affidavit.vault.erase import Eraser
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.renewal import Renewal
from affidavit.vault.segments import Bucket
from tests.unit.cli.conftest import flat
from tests.world import ledger
from tests.world.canary import find
from tests.world.fakedisk import Crash, FakeEffects, Fault, at, named
from tests.world.machine import TENANT, Machine

ANNA, BERT = "Anna Canary 5f2e", "Bert Neighbour"
SAID = "I said canary 77d1"
CLOCK = SystemClock()


def _made(root: Path, exchanges: int = 3) -> None:
    """An installation that is stopped: of two people some exchanges, and of a service."""
    root.mkdir()
    machine = Machine(root)
    people = {}
    for name in (ANNA, BERT):
        people[name], _ = machine.identities.draft(tenant=TENANT, name=name, kind="person")
        machine.identities.put(people[name])
    for number in range(exchanges):
        machine.exchange(f"{SAID} {number}", "Noted.", caller=people[ANNA], person=True)
        machine.exchange(f"Bert asks {number}", "An answer.", caller=people[BERT], person=True)
        machine.exchange(f"Service {number}", "Served.")
        machine.settle()
    (root / "config.yaml").write_text("{}\n")
    machine.close()
    (root / "log" / "origin").write_text("test.example/log\n")


def _backup(root: Path, target: Path, keys: Path | None = None) -> Manifest:
    paths, disk = Paths(root), Disk()
    cut = backup.stopped(paths, disk, CLOCK, keys=keys is not None)
    if keys is not None:
        _fetch(cut, keys, paths, disk)
    made = Copying(paths, cut, target, disk, lambda *_: None).run()
    shutil.rmtree(cut.place)
    return made


def _owner(root: Path) -> Keyring:
    return opening.owner(Paths(root), Disk(), CLOCK)


def _erase(root: Path, name: str, may: Collection[int] = range(1000)) -> str:
    """What an erasure of a person does to keys and vault, and the renewal after it; the actor."""
    paths, disk = Paths(root), Disk()
    keyring = _owner(root)
    actor: str = next(one.actor for one in _identities(root) if one.name == name)
    classes = ["default"]
    with keyring.alone() as (database, _):
        days = [day for (day,) in database.execute("SELECT DISTINCT day FROM bucket_keys")]
    key_ends.retire_buckets(keyring, [Bucket(TENANT, one, day) for one in classes for day in days])
    key_ends.retire_subjects(keyring, [(TENANT, actor, one) for one in classes])
    erased = Eraser(disk, paths.vault, keyring, CLOCK).subject(TENANT, actor, classes, may)
    assert erased.records
    Renewal(disk, paths.key_database, opening.key_file(paths), keyring).run()
    keyring.close()
    return actor


def _identities(root: Path) -> tuple[Any, ...]:
    state = open_database(root / "state.db", opening.database_key(Paths(root), "state.db"))
    found = IdentityStore(state, CLOCK).all()
    state.close()
    return found


def _restore(
    source: Path, target: Path, keys: Path, disk: Disk | None = None, *, drill: bool = False
) -> Restored:
    return Restoring(source, target, keys, disk or Disk(), CLOCK, {}, drill=drill).run()


def _fsck(root: Path) -> Result:
    return Checking(root, None, lambda *_: None, deep=True, anew=True).run()


def _seen(root: Path) -> str:
    """All that can be opened of a directory: every record, the index, the identities."""
    paths = Paths(root)
    keyring = opening.keyring(paths, CLOCK)
    reader = LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    views = [vault.view(index) for index in range(reader.checkpoint().size)]
    index = list(dump(root, keyring.database_key("index.db")))
    vault.close()
    keyring.close()
    plain = [f"{view.sections} {view.parts}" for view in views]
    return "\n".join([*plain, *index, *map(str, _identities(root))])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``live``, a backup ``then`` with its keys, the erasure of Anna, and the keys ``now``."""
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        room = tmp_path_factory.mktemp("backup")
        _made(room / "live")
        _backup(room / "live", room / "then", room / "old-keys")
        _erase(room / "live", ANNA)
        _backup(room / "live", room / "after", room / "keys")
        yield room


def test_a_backup_holds_no_key_and_no_index(place: Path) -> None:
    """And nothing else that opens something; each file is in the manifest, as it is."""
    files = {str(path.relative_to(place / "then")) for path in (place / "then").rglob("*.*")}
    names = {name.rpartition("/")[2] for name in files}
    assert not {
        name for name in names if name.startswith(("keys", "kek", "index", "text", "owner"))
    }
    manifest = msgspec.json.decode((place / "then" / "manifest.json").read_bytes(), type=Manifest)
    there = {path for path in (place / "then").rglob("*") if path.is_file()}
    assert {place / "then" / file.path for file in manifest.files} == there - {
        place / "then" / "manifest.json"
    }
    assert manifest.size == LogReader(place / "live" / "log").checkpoint().size
    assert find([ANNA, SAID], [place / "then"]) == []


def test_restored_with_its_keys_it_is_what_it_was(tmp_path: Path) -> None:
    """Every record and the index as before, a deep check green, and it goes on where it stood."""
    _made(tmp_path / "live")
    before = _seen(tmp_path / "live")
    _backup(tmp_path / "live", tmp_path / "b", tmp_path / "keys")
    done = _restore(tmp_path / "b", tmp_path / "new", tmp_path / "keys")
    assert (done.removed, done.forgotten) == (0, 0)
    assert _seen(tmp_path / "new") == before
    result = _fsck(tmp_path / "new")
    assert (result.finding, result.size) == (None, done.size)
    assert not (tmp_path / "new.restoring").exists()


def test_a_backup_from_before_an_erasure_does_not_bring_the_person_back(
    place: Path, tmp_path: Path
) -> None:
    """Nothing said, no name, in nothing that opens; all others are as they were; fsck is green."""
    done = _restore(place / "then", tmp_path / "new", place / "keys")
    assert done.sample.gone >= 6, "her exchanges"
    assert done.sample.content >= 12, "those of the others"
    seen = _seen(tmp_path / "new")
    assert ANNA not in seen
    assert SAID not in seen
    assert BERT in seen
    assert seen.count("Bert asks 1") >= 1
    assert seen.count("Service 2") >= 1
    assert done.forgotten == 1
    assert done.moved == (), "what is hers alone went"
    result = _fsck(tmp_path / "new")
    assert result.finding is None
    assert result.counts["erased"] > 0
    assert find([ANNA, SAID], [tmp_path / "new"]) == []


@pytest.mark.parametrize(
    "how",
    ["records", *(pytest.param(one, marks=pytest.mark.slow) for one in ("content", "expiry"))],
)
def test_nothing_that_went_since_by_record_or_by_day_comes_back(tmp_path: Path, how: str) -> None:
    """Neither what was erased record by record nor what expired: opened, indexed or on disk."""
    live, new = tmp_path / "live", tmp_path / "new"
    _made(live, 1)
    _backup(live, tmp_path / "then")
    keyring = _owner(live)
    with keyring.alone() as (database, _):
        rows = database.execute("SELECT DISTINCT tenant, class, day FROM bucket_keys").fetchall()
    buckets = [Bucket(*map(str, row)) for row in rows if row[0] == TENANT]
    key_ends.retire_buckets(keyring, buckets)
    eraser = Eraser(Disk(), live / "vault", keyring, CLOCK)
    for one in buckets:
        if how == "expiry":
            assert eraser.expire(one, "sections").records
        else:
            went = eraser.records(one, range(1000), "content" if how == "content" else "sections")
            assert went.records
    Renewal(Disk(), live / "keys.db", opening.key_file(Paths(live)), keyring).run()
    keyring.close()
    done = _restore(tmp_path / "then", new, live)
    said = _seen(new)
    assert [word for word in (SAID, "Bert asks", "Service 0") if word in said] == []
    assert (done.sample.content, done.sample.damaged) == (0, 0)
    assert done.sample.gone >= 6
    assert _fsck(new).finding is None


def test_what_stayed_beside_what_was_erased_is_said_not_to_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a backup from before, by a trial, too; not in one from after, and not of what all went."""
    live = tmp_path / "live"
    _made(live, 2)
    _backup(live, tmp_path / "then")
    keyring = _owner(live)
    with keyring.alone() as (database, _):
        rows = database.execute("SELECT DISTINCT tenant, class, day FROM bucket_keys").fetchall()
    (bucket,) = [Bucket(*map(str, row)) for row in rows if row[0] == TENANT]
    key_ends.retire_buckets(keyring, [bucket])
    eraser = Eraser(Disk(), live / "vault", keyring, CLOCK)
    reader = LogReader(live / "log")
    vault = VaultReader(live / "vault", keyring, reader.decoded)
    theirs = [one for one in range(reader.checkpoint().size) if vault.view(one).parts]
    assert eraser.records(bucket, theirs[:1], "sections").records == 1
    stayed = [one for one in theirs if vault.view(one).parts]
    vault.close()
    keyring.close()
    assert stayed == theirs[1:]
    _backup(live, tmp_path / "after")
    restore(tmp_path / "then", live, drill=True, data=tmp_path / "trial")
    told = flat("".join(capsys.readouterr()))
    (one,) = _restore(tmp_path / "then", tmp_path / "new", live, drill=True).moved
    assert one[:3] == bucket
    assert one.records >= len(theirs)
    assert f"Of {one.records} records of the backup not all opens" in told
    assert f"({bucket.tenant}/{bucket.retention_class} {bucket.day})" in told
    assert "something does not open" in told
    assert "make a new one: affidavit backup -o DIR" in told
    restore(tmp_path / "then", live, drill=True, data=tmp_path / "as-json", json=True)
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["moved"] == [one._asdict()]
    assert "I said" not in _seen(tmp_path / "trial")
    assert _restore(tmp_path / "after", tmp_path / "later", live, drill=True).moved == ()
    assert f"{SAID} 1" in _seen(tmp_path / "later")
    keyring = _owner(live)
    assert Eraser(Disk(), live / "vault", keyring, CLOCK).expire(bucket, "sections").records
    keyring.close()
    assert _restore(tmp_path / "then", tmp_path / "last", live, drill=True).moved == ()


def test_what_stayed_of_a_person_is_said_not_to_open(tmp_path: Path) -> None:
    """Of whom a part was erased: in a backup from before all of theirs, and of nobody else."""
    live = tmp_path / "live"
    _made(live, 2)
    _backup(live, tmp_path / "then")
    actor = next(one.actor for one in _identities(live) if one.name == ANNA)
    keyring = opening.keyring(Paths(live), CLOCK)
    reader = LogReader(live / "log")
    vault = VaultReader(live / "vault", keyring, reader.decoded)
    whose = [vault.view(one).sections.get("who", {}) for one in range(reader.checkpoint().size)]
    hers = [index for index, who in enumerate(whose) if who.get("actor") == actor]
    vault.close()
    keyring.close()
    _erase(live, ANNA, hers[:2])
    (one,) = _restore(tmp_path / "then", tmp_path / "new", live, drill=True).moved
    assert (one.tenant, one.records) == (TENANT, len(hers))
    assert f"{SAID} 1" in _seen(live), "it stayed"
    said = _seen(tmp_path / "new")
    assert (SAID in said, "Bert asks 1" in said) == (False, True)


def test_no_sealed_byte_of_the_person_comes_back_either(place: Path, tmp_path: Path) -> None:
    """What was sealed under the person's key, and stands in the backup, is zeros in its place."""
    _restore(place / "then", tmp_path / "new", place / "keys")
    differing = 0
    for path in (place / "then" / "vault").rglob("*.seg"):
        then = path.read_bytes()
        now = (tmp_path / "new" / path.relative_to(place / "then")).read_bytes()
        assert len(then) == len(now)
        differing += sum(one != other for one, other in zip(then, now, strict=True))
        assert all(other in (one, 0) for one, other in zip(then, now, strict=True))
    assert differing > 1000


def test_old_keys_without_their_old_key_encryption_key_open_nothing(
    place: Path, tmp_path: Path
) -> None:
    """A copy of ``keys.db`` from before the erasure is worthless beside the key of now."""
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(place / "old-keys" / "keys.db", mixed)
    shutil.copy(place / "keys" / "kek", mixed)
    shutil.copy(place / "keys" / "checkpoint", mixed)
    with pytest.raises(AffidavitError, match="did not open"):
        _restore(place / "then", tmp_path / "new", mixed)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.restoring").exists()


def test_what_the_copy_of_the_keys_is_warned_of_is_true(place: Path, tmp_path: Path) -> None:
    """Both from before the erasure bring the person back: so such copies have to be destroyed."""
    _restore(place / "then", tmp_path / "new", place / "old-keys")
    assert SAID in _seen(tmp_path / "new")


def test_an_older_log_is_not_put_in_the_place_of_a_newer_one(tmp_path: Path) -> None:
    """Keys, their directory or the checkpoint of their copy know a longer one; nothing is made."""
    root = tmp_path / "live"
    root.mkdir()
    machine = Machine(root)
    machine.exchange()
    machine.settle()
    (root / "config.yaml").write_text("{}\n")
    machine.close()
    _backup(root, tmp_path / "b", tmp_path / "keys")
    shutil.copytree(root, tmp_path / "newer")
    text = (root / "log" / "checkpoint").read_text()
    size = LogReader(root / "log").checkpoint().size
    (tmp_path / "newer" / "log" / "checkpoint").write_text(
        text.replace(f"\n{size}\n", f"\n{size + 1}\n")
    )
    with pytest.raises(CorruptError, match=f"{size + 1} leaves or more") as refused:
        _restore(tmp_path / "b", tmp_path / "new", tmp_path / "newer")
    assert f"The log in {tmp_path / 'newer'} is the newer one: go on with" in refused.value.hint
    copied = tmp_path / "keys" / "checkpoint"
    data = copied.read_bytes()
    copied.write_text(text.replace(f"\n{size}\n", f"\n{size + 3}\n"))
    with pytest.raises(CorruptError, match=f"{size + 3} leaves or more") as refused:
        _restore(tmp_path / "b", tmp_path / "new", tmp_path / "keys")
    assert "Use the newest backup, or the keys copied with this one" in refused.value.hint
    signatures = text.partition("\n\n")[2]
    head = note.open_checkpoint(data, None)
    for wrong in (head._replace(root=bytes(32)), head._replace(size=size - 1)):
        copied.write_text(f"{wrong.text()}\n{signatures}")
        with pytest.raises(CorruptError, match=f"other leaves than the backup, of {wrong.size}"):
            _restore(tmp_path / "b", tmp_path / "new", tmp_path / "keys")
    copied.unlink()
    with pytest.raises(CorruptError, match="says how long the log of these keys was"):
        _restore(tmp_path / "b", tmp_path / "new", tmp_path / "keys")
    copied.write_bytes(data)
    keyring = Keyring.open(
        tmp_path / "keys" / "keys.db",
        next(KeyFile(tmp_path / "keys" / "kek").candidates()),
        CLOCK,
    )
    keyring.secret(f"epoch/{size + 7}")
    keyring.close()
    with pytest.raises(CorruptError, match=f"{size + 8} leaves or more"):
        _restore(tmp_path / "b", tmp_path / "new", tmp_path / "keys")
    assert not (tmp_path / "new").exists()


def test_a_drill_takes_an_older_log_and_signs_nothing(tmp_path: Path) -> None:
    """With the keys of a log that has gone on: whole and checked, and no start or backup of it."""
    live, new = tmp_path / "live", tmp_path / "new"
    _made(live, 1)
    made = _backup(live, tmp_path / "b")
    checkpoint = live / "log" / "checkpoint"
    newer = checkpoint.read_text().replace(f"\n{made.size}\n", f"\n{made.size + 7}\n")
    checkpoint.write_text(newer)
    with pytest.raises(CorruptError, match=f"{made.size + 7} leaves or more") as refused:
        _restore(tmp_path / "b", new, live)
    assert "--drill" in refused.value.hint
    done = _restore(tmp_path / "b", new, live, drill=True)
    assert (done.size, _fsck(new).finding) == (made.size, None)
    assert done.sample.content == 6, "three exchanges"
    assert (done.sample.opened, done.sample.gone, done.sample.damaged) == (made.size, 0, 0)
    with pytest.raises(UnavailableError, match="cannot be asked, as each read is a record"):
        Client(new, None).get("/api/status")
    (told,) = [one for one in doctor._here(new) if one.what == "Data directory"]
    assert (told.state, "--drill" in told.text) == ("warn", True)
    assert SAID in _seen(new)
    for start in (
        lambda: first_start.check_root(Paths(new)),
        lambda: opening.owner(Paths(new), Disk(), CLOCK),
        lambda: _backup(new, tmp_path / "again"),
    ):
        with pytest.raises(UnavailableError, match="restored with --drill"):
            start()
    (new / "drill").unlink()
    keyring = _owner(new)
    assert not keyring.has_secret("log/seed")
    assert not keyring.has_secret("receipt/seed")
    keyring.close()
    keyring = _owner(live)
    assert keyring.has_secret("log/seed")
    keyring.close()


def test_who_restores_is_told_what_is_not_there(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was decided since; the owner's key, and how to make another; of a drill that it goes."""
    for name, drill in (("new", False), ("trial", True)):
        restore(place / "after", place / "keys", drill=drill, data=tmp_path / name)
    told = capsys.readouterr().err
    new, _, trial = told.partition("On trial")
    assert not (tmp_path / "new" / "keys" / "owner").exists()
    assert f"keys create NAME --role owner --kind person --data {tmp_path / 'new'}" in new
    assert "never start the one that this replaces" in new
    made = msgspec.json.decode((place / "after" / "manifest.json").read_bytes(), type=Manifest)
    assert f"decided after {moment(made.time)} UTC: erasures (what was erased" in new
    assert "is back: erase it again); holds placed;" in new
    assert "copy of the keys: remove it" in trial
    assert "keys create" not in trial


def test_who_restores_with_a_copy_of_the_keys_is_warned_until_it_is_seen_to(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can say that a copy knows all erasures; of keys beside their log it is known."""
    new, own = tmp_path / "new", tmp_path / "own"
    assert _restore(place / "then", new, place / "old-keys").copied
    (told,) = [one for one in doctor._here(new) if one.what == "Restored"]
    assert told.state == "warn"
    assert f"is back. Erase it again; then remove {new / 'restored'}" in told.text
    (new / "restored").unlink()
    restore(place / "after", place / "live", data=own)
    assert "UTC: holds placed;" in capsys.readouterr().err
    for seen in (new, own):
        assert "Restored" not in {one.what for one in doctor._here(seen)}


def test_keys_of_another_log_or_older_ones_are_refused(place: Path, tmp_path: Path) -> None:
    """A sentence each; nothing is made."""
    _made(tmp_path / "other", 1)
    with pytest.raises(CorruptError, match="keys of another log"):
        _restore(place / "then", tmp_path / "new", tmp_path / "other")
    with pytest.raises(NotFoundError, match=r"no keys\.db"):
        _restore(place / "then", tmp_path / "new", tmp_path)
    with pytest.raises(NotFoundError, match="not a backup"):
        _restore(tmp_path / "other", tmp_path / "new", place / "keys")
    older = tmp_path / "older"
    shutil.copytree(place / "old-keys", older)
    kek = next(KeyFile(older / "kek").candidates())
    keyring = Keyring.open(older / "keys.db", kek, CLOCK)
    with keyring.alone() as (database, _):
        database.execute("DELETE FROM bucket_keys")
    keyring.close()
    with pytest.raises(CorruptError, match="older than the backup"):
        _restore(place / "then", tmp_path / "new", older)
    with pytest.raises(UsageError, match="not empty"):
        _restore(place / "then", place, place / "keys")
    assert not (tmp_path / "new").exists()


def test_keys_that_lack_a_person_of_the_backup_are_called_older(
    place: Path, tmp_path: Path
) -> None:
    """Of the same bucket, but from before somebody came. Where nobody came, an older copy goes."""
    older = tmp_path / "older"
    shutil.copytree(place / "old-keys", older)
    keyring = Keyring.open(older / "keys.db", next(KeyFile(older / "kek").candidates()), CLOCK)
    with keyring.alone() as (database, _):
        database.execute("DELETE FROM subject_keys")
    keyring.close()
    with pytest.raises(CorruptError, match="older than the backup") as refused:
        _restore(place / "then", tmp_path / "new", older)
    assert "as they are now" in refused.value.hint
    assert not (tmp_path / "new").exists()
    shutil.copy(place / "old-keys" / "keys.db", older / "keys.db")
    text = (older / "checkpoint").read_text()
    head = note.open_checkpoint(text.encode(), None)
    before = LogReader(place / "then" / "log").root(head.size - 1)
    earlier = head._replace(size=head.size - 1, root=before).text()
    signatures = text.partition("\n\n")[2]
    (older / "checkpoint").write_text(f"{earlier}\n{signatures}")
    assert _restore(place / "then", tmp_path / "new", older).size == head.size


def test_a_copy_without_its_log_is_called_that(place: Path, tmp_path: Path) -> None:
    """Of a running system: the file alone may be empty, or lack the newest keys, or all."""
    there = tmp_path / "there"
    there.mkdir()
    kek = next(KeyFile(place / "keys" / "kek").candidates())
    shutil.copy(place / "keys" / "kek", there / "kek")
    keyring = Keyring.open(there / "keys.db", kek, CLOCK)
    keyring.secret("log/seed")
    for number in range(3):
        copy = tmp_path / f"copy{number}"
        copy.mkdir()
        for name in backup.KEYS:
            shutil.copy(there / name, copy / name)
        if number == 2:
            (copy / "keys.db").write_bytes(b"")
        with pytest.raises(CorruptError, match=r"is not whole: .* stands in keys\.db-wal") as found:
            _restore(place / "then", tmp_path / "new", copy)
        assert "--with-keys" in (found.value.hint or "")
        with keyring.alone() as (database, _):
            database.execute("DELETE FROM secrets")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    keyring.close()
    assert not (tmp_path / "new").exists()


def test_any_file_that_is_not_what_was_copied_is_refused(place: Path, tmp_path: Path) -> None:
    """Changed by one byte, shortened, gone; and no name leads out of the directory."""
    copy = tmp_path / "then"
    shutil.copytree(place / "then", copy)
    manifest = msgspec.json.decode((copy / "manifest.json").read_bytes(), type=Manifest)
    for file in manifest.files:
        path = copy / file.path
        data = path.read_bytes()
        for wrong in (data[:-1], bytes([data[0] ^ 1]) + data[1:]) if data else (b"x",):
            path.write_bytes(wrong)
            with pytest.raises(CorruptError, match=f"{file.path} is not what"):
                _restore(copy, tmp_path / "new", place / "keys")
        path.unlink()
        with pytest.raises(CorruptError, match=f"{file.path} is not there"):
            _restore(copy, tmp_path / "new", place / "keys")
        path.write_bytes(data)
    (one, *rest) = manifest.files
    for name in ("../x", "/x", "log/../../x", "keys/kek", "keys.db", "", "run/x", "log//x"):
        bad = msgspec.structs.replace(
            manifest, files=(msgspec.structs.replace(one, path=name), *rest)
        )
        (copy / "manifest.json").write_bytes(msgspec.json.encode(bad))
        with pytest.raises(CorruptError, match="names the file"):
            _restore(copy, tmp_path / "new", place / "keys")
    for text in (
        b"{}",
        b"",
        b'{"v":1}',
        msgspec.json.encode(msgspec.structs.replace(manifest, v=2)),
    ):
        (copy / "manifest.json").write_bytes(text)
        with pytest.raises(CorruptError, match=r"manifest|version"):
            _restore(copy, tmp_path / "new", place / "keys")


def test_a_sample_is_spread_over_the_log_and_counts_damage(tmp_path: Path) -> None:
    """The last record and every so many before it; a byte that is another one is no end."""
    _made(tmp_path / "live", 1)
    size = LogReader(tmp_path / "live" / "log").checkpoint().size
    whole = sampling.run(tmp_path / "live")
    assert (whole.opened, whole.content) == (size, 6)
    few = sampling.run(tmp_path / "live", 3)
    assert 2 <= few.opened <= 3
    for path in (tmp_path / "live" / "vault").rglob("*.seg"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    hurt = sampling.run(tmp_path / "live")
    assert hurt.damaged >= 1
    assert hurt.opened + hurt.gone + hurt.damaged == size


def test_partial_tiles_that_went_are_cut_out_of_the_full_ones() -> None:
    """Hashes by 32 bytes, bundles by entry."""
    hashes = b"".join(bytes([n]) * 32 for n in range(256))
    assert backup._narrow(tiles.TilePath("tile/0", 3, 2), hashes) == hashes[:64]
    entries = [b"one", b"", b"three"]
    bundle = b"".join(tiles.frame(entry) for entry in entries)
    assert backup._narrow(tiles.TilePath(tiles.LINKS, 0, 2), bundle) == b"\0\x03one\0\0"


def test_keys_that_a_killed_restore_left_are_overwritten_before_another(
    place: Path, tmp_path: Path
) -> None:
    """Nothing is begun beside them, doctor names them; and those of one that runs stay."""
    new, effects = tmp_path / "new", FakeEffects(tmp_path)
    left = Paths(unfinished.place(new))
    left.create(Disk())
    left.key_encryption_key.write_bytes(b"a copy")
    assert unfinished.told(new) == "", "an installation that happens to be called so"
    unfinished.drop(new, Disk())
    with pytest.raises(UsageError, match="in the way"), unfinished.made(new, Disk()):
        pass
    assert left.key_encryption_key.read_bytes() == b"a copy"
    left.restoring.touch()
    with pytest.raises(UnavailableError, match=r"new\.restoring is of a restore that was killed"):
        first_start.check_root(Paths(new))
    (told, *_) = [one for one in doctor._here(new) if one.what == "Restore"]
    assert (told.state, str(left.root) in told.text) == ("bad", True)
    with (
        Disk().locked(left.sequencer_lock, "restore"),
        pytest.raises(LockedError, match="another restore"),
    ):
        _restore(place / "then", new, place / "keys")
    assert left.key_encryption_key.read_bytes() == b"a copy"
    unfinished.drop(new, Disk(effects))
    assert not left.root.exists()
    assert unfinished.told(new) == ""
    written = [one for one in effects.trace if one.name == "pwrite"]
    assert bytes(6) in [one.data for one in written]


@pytest.mark.parametrize(("hours", "doubt"), [(23, False), (25, True)])
def test_a_restore_says_that_the_day_has_to_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hours: int, doubt: bool
) -> None:
    """Of more than a day ago; as nothing is removed, and no erasure goes on, before that."""
    live, then, keys = tmp_path / "live", tmp_path / "then", tmp_path / "keys"
    _made(live, 0)
    believed = add_seconds(CLOCK.now(), -3_600 * hours)
    state = open_database(live / "state.db", opening.database_key(Paths(live), "state.db"))
    system.prepare(state)
    system.told(state, "clock", json.dumps(believed))
    state.close()
    _backup(live, then, keys)
    done = _restore(then, tmp_path / "one", keys)
    assert done.doubt == (believed if doubt else "")
    restore(then, keys, data=tmp_path / "two")
    said = " ".join(capsys.readouterr().err.split())
    assert (f"newest time that it believes is {moment(believed)} UTC" in said) is doubt
    assert ("retention run --today DATE" in said) is doubt


@pytest.mark.parametrize("name", ["manifest.json", "log/00", "keys.db", "run/up.lock", "link"])
def test_what_no_restore_made_stays_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    """Also if it has no directory ``keys``, as a backup; without any file it is nobody's."""
    new, mine = tmp_path / "new", Paths(unfinished.place(tmp_path / "new"))
    mine.create(Disk())
    unfinished.drop(new, Disk())
    assert not mine.root.exists(), "of a restore that was cut at its first step"
    file = mine.root / name
    file.parent.mkdir(parents=True)
    if name == "link":
        file.symlink_to(tmp_path)
    else:
        file.write_bytes(b"of somebody")
    assert unfinished.told(new) == ""
    unfinished.drop(new, Disk())
    with pytest.raises(UsageError, match="in the way"), unfinished.made(new, Disk()):
        pass
    assert file.is_symlink() or file.read_bytes() == b"of somebody"


def test_of_a_removal_that_was_cut_the_rest_is_known_for_what_it_is(tmp_path: Path) -> None:
    """What says that it is of a restore goes last."""
    new, mine = tmp_path / "new", Paths(unfinished.place(tmp_path / "new"))
    mine.create(Disk())
    for path in (mine.restoring, mine.key_encryption_key, mine.key_database, mine.log / "00"):
        path.write_bytes(b"a copy")
    effects = FakeEffects(tmp_path, Fault(named("unlink", suffix="keys.db"), error=0))
    with pytest.raises(Crash):
        unfinished.drop(new, Disk(effects))
    assert mine.key_database.exists()
    assert "of a restore that was killed" in unfinished.told(new)
    refused = Fault(named("unlink", suffix="keys.db"), times=1)
    unfinished.drop(new, Disk(FakeEffects(tmp_path, refused)))
    assert (refused.fired, mine.restoring.exists()) == (1, True)
    unfinished.drop(new, Disk())
    assert not mine.root.exists()


@pytest.mark.parametrize("step", [0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0])
def test_a_restore_that_was_cut_leaves_nothing_and_is_made_again(
    place: Path, tmp_path: Path, step: float
) -> None:
    """Cut at an effect, the place is not there; made again, it is whole."""
    counting = FakeEffects(tmp_path)
    _restore(place / "then", tmp_path / "once", place / "keys", Disk(counting))
    number = min(int(counting.count * step), counting.count - 4)
    effects = FakeEffects(tmp_path, Fault(at(number), error=0))
    with pytest.raises(Crash):
        _restore(place / "then", tmp_path / "new", place / "keys", Disk(effects))
    if (tmp_path / "new").exists():
        assert number >= counting.count - 4
    if (tmp_path / "new.restoring" / "restoring").exists():
        (tmp_path / "new.restoring" / "left.seg").write_bytes(b"of one that was killed")
    if not (tmp_path / "new").exists():
        _restore(place / "then", tmp_path / "new", place / "keys")
        assert not (tmp_path / "new.restoring").exists()
    assert _fsck(tmp_path / "new").finding is None
