"""A data directory made from a backup and the keys as they are now.

Rules: everything is made in a directory beside the new one, which takes its name in the end, at
once; a restore that was cut left nothing in the place, and the next one begins anew. Every file is
what the manifest says. The keys belong to this log, know every bucket key that the backup names,
and have seen no longer log than this one; nobody outside has either (``starting``), as going on
would fork the log. A drill may be of an older log: it is marked and has no key that signs, so
nothing goes on from it. What was erased since the backup stays erased: whatever no key opens any
more is overwritten or removed, who was erased is forgotten by name, and the index is made anew from
what is left; erasures that waited go on (``restored_requests``). The keys are the last to be put
in. Not here: what is in a backup (``backup``).
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from affidavit import config as configuration
from affidavit.app import opening, rebuild, restored_requests, sampling, starting, unfinished
from affidavit.app.backup import (
    KEYS,
    MANIFEST,
    VERSION,
    File,
    Manifest,
    Told,
    Writer,
    copy_database,
)
from affidavit.app.clock_doubt import doubted
from affidavit.app.cosigning import load_policy
from affidavit.app.paths import Paths
from affidavit.app.restored_requests import Applied
from affidavit.app.sampling import Sample
from affidavit.clock import Clock
from affidavit.durable import Disk, check_database, open_database
from affidavit.errors import CorruptError, NotFoundError, UnavailableError, UsageError
from affidavit.ledger import note, publish
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Signer, read_vkeys
from affidavit.record.kek import KeyFile
from affidavit.record.model import SECTIONS
from affidavit.vault import wraps
from affidavit.vault.key_database import open_in_force
from affidavit.vault.keyring import Keyring
from affidavit.vault.moved import Moved, moved
from affidavit.vault.overwrite import overwrite
from affidavit.vault.whole_files import read_wraps

_AT_ONCE = 1 << 20
_EVERYTHING = frozenset({*range(len(SECTIONS)), wraps.PART})
_DRILL = b"Restored on trial: to be checked, and removed when that is done. It signs nothing.\n"
_COPIED = (
    "Restored with a copy of the keys: what was erased after that copy was made is back. Have it"
    " erased again, and remove this file when that is done.\n"
)
_NO_SEEDS = (
    "DELETE FROM secrets WHERE name GLOB 'log/seed*' "
    "OR name IN ('receipt/seed', 'certificate/seed')"
)
_WAL = "while a system runs, the newest of it stands in keys.db-wal beside it."
_COPY = "Make a copy by: affidavit backup -o DIR --with-keys DIR2"
_NOT_EMPTY = "Give a directory with --data that is not there or empty."


class Restored(NamedTuple):
    """What a restore made: ``size`` leaves; how many segments no key opens any more and went.

    ``forgotten``: identities whose names went, as the person was erased since the backup;
    ``records``: records in the new index; ``time``: of the backup, after which nothing is known.
    ``requests``: ids of erasures that were asked or granted since, and are taken up; ``lost``: a
    sentence about each that has to be asked anew. ``sample``: what opened with these keys.
    ``doubt``: the newest time that is believed there, if nothing is removed before somebody says
    which day it is, or an authority's timestamp does; else ``""``. ``moved``: buckets of which this
    backup has records under keys that an erasure since replaced: they do not open here, erased or
    not, and only a backup made after that erasure has those that stayed. ``copied``: the keys are
    a copy without the log that they go with, so that nobody can say whether something was erased
    after it was made, which is back then; the file ``restored`` says so until somebody removes it.
    """

    size: int
    removed: int
    forgotten: int
    records: int
    time: str
    requests: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    sample: Sample = Sample()
    doubt: str = ""
    moved: tuple[Moved, ...] = ()
    copied: bool = False


class Restoring:
    """One restore of the backup in ``source`` into the directory ``target``.

    ``keys``: a data directory, or a copy that ``backup --with-keys`` made, of now and not of then.
    ``drill``: to be checked alone, so that the log may be longer by now and somebody is signing it.
    ``config`` says whom to ask about the log; by default the file in the backup, if there is one.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        keys: Path,
        disk: Disk,
        clock: Clock,
        environ: Mapping[str, str],
        told: Told = lambda *_: None,
        config: Path | None = None,
        *,
        drill: bool = False,
    ) -> None:
        self._source = source
        self._target = target.absolute()
        self._keys = keys
        self._disk = disk
        self._clock = clock
        self._environ = environ
        self._told = told
        self._config = config
        self._drill = drill
        self._made = unfinished.place(self._target)

    def run(self) -> Restored:
        """Restore; the directory is there, whole, on return.

        ``UsageError`` if the place is taken; ``NotFoundError`` if that is no backup, or no keys;
        ``CorruptError`` if a file is not what the manifest says, the keys are of another log, or
        somebody knows a longer one; ``UnavailableError`` if the keys do not open; ``LockedError``
        if another restore makes this directory.
        """
        if self._target.exists() and (not self._target.is_dir() or any(self._target.iterdir())):
            raise UsageError(f"{self._target} is not empty.", hint=_NOT_EMPTY)
        if self._made.resolve().is_relative_to(self._source.resolve()):
            raise UsageError(f"{self._target} is inside the backup.", hint=_NOT_EMPTY)
        manifest = self._manifest()
        with unfinished.made(self._target, self._disk) as paths:
            return self._make(manifest, paths)

    def _make(self, manifest: Manifest, paths: Paths) -> Restored:
        copied = not (self._keys / "log").is_dir()
        if self._drill:
            self._disk.write_file(paths.drill, _DRILL)
        elif copied:
            self._disk.write_file(paths.restored, _COPIED.encode())
        self._copy(manifest)
        keyring = self._open(paths)
        try:
            self._check(paths, manifest, keyring)
            removed, gone = self._erase(paths, keyring)
            applied, doubt = self._apply(paths, manifest, keyring)
        finally:
            keyring.close()
        records = self._index(paths)
        sample = sampling.run(paths.root)
        self._disk.effects.rename(str(self._made), str(self._target))
        self._disk.effects.fsync_dir(str(self._target.parent))
        unfinished.whole(self._target, self._disk)
        return Restored(
            manifest.size, removed, applied.forgotten, records, manifest.time,
            applied.requests, applied.lost, sample, doubt, gone, copied,
        )  # fmt: skip

    # what is there

    def _manifest(self) -> Manifest:
        path = self._source / MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError:
            hint = "A backup that was not finished has no manifest.json and cannot be used."
            raise NotFoundError(f"{self._source} is not a backup.", hint=hint) from None
        except msgspec.MsgspecError as error:
            raise CorruptError(f"{path} is not the manifest of a backup.") from error
        if manifest.v != VERSION:
            raise CorruptError(f"{path} is of version {manifest.v}, not {VERSION}.")
        for file in manifest.files:
            if not _is_plain(file.path):
                raise CorruptError(f"{path} names the file {file.path!r}.")
        return manifest

    def _copy(self, manifest: Manifest) -> None:
        writer, done = Writer(self._disk, self._made), 0
        for number, file in enumerate(manifest.files, 1):
            try:
                found = writer.write(file.path, _bytes_of(self._source / file.path))
            except FileNotFoundError:
                raise _damaged(file, "is not there") from None
            if found != file:
                raise _damaged(file, "is not what the manifest says")
            done += file.size
            self._told(number, done)

    def _open(self, paths: Paths) -> Keyring:
        """The keys as they are now, copied beside everything else, and opened for writing."""
        database, kek = (self._keys / name for name in KEYS)
        if not kek.is_file():
            kek = Paths(self._keys).key_encryption_key
        if not (database.is_file() and kek.is_file()):
            raise NotFoundError(
                f"{self._keys} has no keys.db and no key-encryption key.",
                hint="Give the data directory they are in, or a copy by backup --with-keys.",
            )
        file = opening.key_file(Paths(self._keys))
        file = KeyFile(kek, list(file.sources.values()))
        source, key, _ = open_in_force(database, file)
        try:
            copy_database(source, paths.key_database, key.derive("keys.db"))
        finally:
            source.close()
        for path in (file.next, file.path):
            if path.exists() and (path == file.path or file.is_next(key)):
                self._disk.write_file(paths.key_encryption_key, path.read_bytes())
                break
        return Keyring.open(paths.key_database, key, self._clock)

    # whether it may be

    def _check(self, paths: Paths, manifest: Manifest, keyring: Keyring) -> None:
        hint = "Give the keys of the installation that the backup was made of, as they are now."
        own = paths.config if paths.config.exists() else None
        config = configuration.load(self._config or own, self._environ)
        config = config.named(manifest.origin)
        vkeys = read_vkeys((paths.log / "log.vkey").read_text(encoding="ascii"))
        signers = _signers(manifest.origin, keyring)
        if not signers:
            raise CorruptError(f"{self._keys / KEYS[0]} is not whole: {_WAL}", hint=_COPY)
        if vkeys[0].vkey not in {signer.vkey for signer in signers}:
            raise CorruptError("These are the keys of another log.", hint=hint)
        try:
            state = open_database(paths.state, keyring.database_key("state.db"))
        except UnavailableError as error:
            raise CorruptError(
                "These keys do not open state.db of the backup.", hint=hint
            ) from error
        with contextlib.closing(state):
            check_database(state, "state.db")
        if self._drill:
            with keyring.alone() as (database, _):
                database.execute(_NO_SEEDS)
            return
        self._as_new(paths, manifest, keyring)
        starting.run(paths, config, load_policy(config), signers[0], keyring)

    def _as_new(self, paths: Paths, manifest: Manifest, keyring: Keyring) -> None:
        """Neither the keys nor what is beside them know a longer log, or another one."""
        heads = self._beside()
        if not heads:
            raise CorruptError(
                f"Nothing in {self._keys} says how long the log of these keys was.",
                hint="A copy by backup --with-keys has a file checkpoint beside keys.db. Put the"
                " newest one there that anybody has of this log.",
            )
        names = keyring.read("SELECT name FROM secrets WHERE name LIKE 'epoch/%'", ())
        epoch = max(int(str(name).partition("/")[2]) for (name,) in names)
        longest = max(epoch + 1, *(head.size for head in heads))
        if longest > manifest.size:
            there = (self._keys / "log").is_dir()
            newest = (
                f"The log in {self._keys} is the newer one: go on with that (affidavit up), it"
                " needs no restore."
                if there
                else "Use the newest backup, or the keys copied with this one (docs/keys.md)."
            )
            raise CorruptError(
                f"The keys are of a log of {longest} leaves or more; the backup has"
                f" {manifest.size}.",
                hint=f"An older log in the place of a newer one would fork it. {newest}"
                " To see whether this backup can be restored, add --drill.",
            )

        reader = LogReader(paths.log, None, (publish.newest_head(paths.log),))
        for head in heads:
            if head.size >= max(reader.minimum(), 1) and reader.root(head.size) != head.root:
                raise CorruptError(
                    f"The log beside the keys has other leaves than the backup, of {head.size}.",
                    hint="Two directories went on with one log. Keep both, and delete nothing.",
                )

    def _beside(self) -> list[note.Checkpoint]:
        """What the log beside the keys was when last signed; of a copy, by its time."""
        log = self._keys / "log"
        files = [self._keys / publish.CHECKPOINT, *(log / name for name in _HEADS)]
        return [note.open_checkpoint(one.read_bytes(), None) for one in files if one.exists()]

    # what was erased since

    def _erase(self, paths: Paths, keyring: Keyring) -> tuple[int, tuple[Moved, ...]]:
        """Overwrite or remove what no key opens: how many segments went, and what goes with it."""
        known = {int(number) for (number,) in keyring.read("SELECT id FROM bucket_keys", ())}
        before = sorted(paths.vault.rglob("*.wraps"))
        for path in before:
            if read_wraps(path.with_suffix(".seg")).key not in known:
                raise _older()
        gone = tuple(moved(keyring, [path.with_suffix(".seg") for path in before]))
        for path in before:
            try:
                overwrite(self._disk, keyring, path.with_suffix(".seg"), lambda *_: _EVERYTHING)
            except CorruptError as error:
                if isinstance(error.__cause__, NotFoundError):  # a person that they do not know
                    raise _older() from error
                raise
        return sum(not path.exists() for path in before), gone

    def _apply(self, paths: Paths, manifest: Manifest, keyring: Keyring) -> tuple[Applied, str]:
        """What the keys know of requests: who is forgotten, and what is gone on with; ``doubt``."""
        key = keyring.database_key("state.db")
        with contextlib.closing(open_database(paths.state, key)) as state:
            applied = restored_requests.apply(
                state, keyring, self._clock, manifest.size, drill=self._drill
            )
            return applied, doubted(state, self._clock.now())

    def _index(self, paths: Paths) -> int:
        beside = paths.run / "index"
        self._disk.make_dir(beside)
        count = rebuild.run(paths.root, beside)
        rebuild.put_in_place(self._disk, beside, paths.root)
        self._disk.remove_dir(beside)
        return count


def _signers(origin: str, keyring: Keyring) -> list[Signer]:
    """The keys that ever signed for the log, the first one first."""
    names = ["log/seed", *(f"log/seed/{number}" for number in range(1, 1_000))]
    there = itertools.takewhile(keyring.has_secret, names)
    return [Signer(origin, keyring.secret(name)) for name in there]


_HEADS = (publish.CHECKPOINT, publish.INTEGRATED)


def _is_plain(name: str) -> bool:
    """Whether a name leads to a file of a backup, and nowhere else."""
    path = PurePosixPath(name)
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or path.as_posix() != name:
        return False
    return name in ("config.yaml", "state.db") or (len(parts) > 1 and parts[0] in ("log", "vault"))


def _bytes_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_AT_ONCE):
            yield piece


def _older() -> CorruptError:
    return CorruptError(
        f"These keys are older than the backup, or not whole: {_WAL}",
        hint=f"Give the keys as they are now, not as they were then. {_COPY}",
    )


def _damaged(file: File, what: str) -> CorruptError:
    return CorruptError(
        f"The backup is damaged: {file.path} {what}.", hint="Nothing was restored. Use another one."
    )
