"""``affidavit fsck``: everything on disk from leaf 0, in one pass that can be left and taken up.

Rules: nothing of the data is changed; beside a running system the check is about the checkpoint
that was published when it began. The first bad object ends it. A deep check is kept in a file now
and then and when it is stopped, and the next one goes on from there, if the log still begins with
what was checked. What was not examined is named. Not here: how it is shown (``cli.fsck``).
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from affidavit.app import known_keys, opening
from affidavit.app.expired import EXPIRED, remark
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.identity import hash_key
from affidavit.control.store import read_identities
from affidavit.durable import Disk, check_database, open_database
from affidavit.errors import (
    AffidavitError,
    CorruptError,
    NotFoundError,
    ParseError,
    UnavailableError,
)
from affidavit.index.check import check_index
from affidavit.index.reader import BESIDE
from affidavit.ledger import fsck
from affidavit.ledger.findings import Finding, damaged, finding
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Verifier
from affidavit.ledger.notes import check_notes
from affidavit.ledger.policy import LogKey, Policy, parse_policy
from affidavit.ledger.publish import newest_head
from affidavit.ledger.scan import Row
from affidavit.ledger.state_check import check_keys, check_state, root_at
from affidavit.record.keys import LOST
from affidavit.vault.check import VaultCheck
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader

VERSION = 1
KEEP_SECONDS = 60.0
"""So often a deep check is kept, for the case that it is killed."""

Told = Callable[[str, int, int], None]
"""Called with (stage, done, of) after each step of a stage."""


class Kept(msgspec.Struct, frozen=True):
    """A deep check that was left: since when it runs, under which key, and how far it came."""

    version: int
    began: str
    vkey: str
    log: fsck.Saved
    counts: dict[str, int]


class Result(msgspec.Struct, frozen=True):
    """What a check found. ``stopped``: it was left before its end, at leaf ``leaves``.

    ``size`` is the checkpoint's; ``since`` when the part before leaf ``went_on`` was checked;
    ``counts`` what was looked at; ``remarks`` sentences that are no damage.
    """

    size: int = 0
    leaves: int = 0
    finding: Finding | None = None
    stopped: bool = False
    since: str = ""
    went_on: int = 0
    counts: dict[str, int] = {}
    remarks: tuple[str, ...] = ()


class _StoppedError(Exception):
    """The check was asked to stop."""


class Checking:
    """One run over a data directory.

    ``vkeys``: the log's keys from outside, ``None`` to use those beside the log. ``kept``: the file
    in which a deep check is kept. ``stop`` is asked after each bundle of leaves. With ``keys``
    false only the structure of what is sealed is checked.
    """

    def __init__(
        self,
        data: Path,
        vkeys: Sequence[Verifier] | None,
        told: Told,
        *,
        deep: bool = False,
        keys: bool = True,
        kept: Path | None = None,
        anew: bool = False,
        policy: Policy | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._paths = Paths(data)
        self._given = vkeys
        self._told = told
        self._deep = deep
        self._keys = keys
        self._file = kept or self._paths.run / "fsck.progress"
        self._anew = anew
        self._policy = policy
        self._stop = stop
        self._clock = SystemClock()
        self._check: fsck.Check | None = None
        self._vault: VaultCheck | None = None
        self._began = self._clock.now()
        self._went_on = 0
        self._remarks: list[str] = []
        self._counts: dict[str, int] = {}

    def run(self) -> Result:
        """Check; errors of what is checked are in the result, others are raised."""
        found, stopped = None, False
        idle = self._idle()
        try:
            with contextlib.ExitStack() as closing:
                self._run(closing)
        except _StoppedError:
            stopped = True
        except CorruptError as error:
            if idle and not self._idle():
                raise UnavailableError(
                    "Affidavit was started while it was checked; what was found may be wrong.",
                    hint="Run the check again.",
                ) from error
            found = finding(error)
        if self._deep and not stopped and self._check is not None:
            with contextlib.suppress(OSError):
                Disk().remove(self._file)
        check = self._check
        if self._vault is not None:
            self._counts.update(self._vault.counts)
        return Result(
            size=0 if check is None else check.size,
            leaves=0 if check is None else check.replay.size,
            finding=found,
            stopped=stopped,
            since=self._began if self._went_on else "",
            went_on=self._went_on,
            counts=dict(self._counts),
            remarks=tuple(self._remarks),
        )

    def _idle(self) -> bool:
        """Whether nobody has the databases open."""
        return not self._paths.state.with_name("state.db-wal").exists()

    def _run(self, closing: contextlib.ExitStack) -> None:
        log = self._paths.log
        keys = self._given or known_keys.in_force(self._paths.log)
        try:
            heads = (newest_head(log),)
        except ParseError:
            heads = ("checkpoint",)  # one of them is no note, which is found below
        if not (log / heads[0]).exists():
            raise damaged("checkpoint", "checkpoint is not there.")
        vkey = keys[0].vkey
        kept = self._read(vkey) if self._deep else None
        keyring = self._keyring(closing) if self._deep and self._keys else None
        self._check = check = fsck.Check(log, keys, None if kept is None else kept.log, heads)
        begin = check.replay.size
        if kept is not None and kept.log.standing.size != begin:
            kept = None  # what it checked was pruned meanwhile
        if kept is not None:
            self._began, self._went_on = kept.began, begin
        elif begin:
            self._remarks.append(
                f"Leaves before {begin} were pruned; what was kept of them was checked."
            )
        if self._deep:
            self._vault = vault = VaultCheck(self._paths.vault, keyring, begin)
            closing.callback(vault.close)
            vault.counts.update({} if kept is None else kept.counts)
        last = time.monotonic()

        def told(done: int, of: int) -> None:
            nonlocal last
            self._told("leaves", done, of)
            if done == of or not self._deep:
                if self._stop():
                    raise _StoppedError
                return
            stop = self._stop()
            if stop or time.monotonic() - last > KEEP_SECONDS:
                self._keep(vkey, strict=stop)
                last = time.monotonic()
            if stop:
                raise _StoppedError

        expired: list[int] = []

        def also(row: Row) -> None:
            if row.type == EXPIRED:
                expired.append(row.position)
            if self._vault is not None:
                self._vault.take(row)

        check.run(told, also if self._vault is not None or check.minimum else None)
        if check.minimum and not self._went_on:
            self._on_record(LogReader(log, keys, heads), expired, keyring)
        if self._vault is not None:
            self._vault.finish(check.size)
            self._beside(LogReader(log, keys, heads), keys, check, keyring)

    def _on_record(self, reader: LogReader, expired: list[int], keyring: Keyring | None) -> None:
        vault = None
        if keyring is not None:
            vault = VaultReader(self._paths.vault, keyring, reader.decoded)
        try:
            if found := remark(reader, expired, vault):
                self._remarks.append(found)
        finally:
            if vault is not None:
                vault.close()

    def _beside(
        self,
        reader: LogReader,
        keys: Sequence[Verifier],
        check: fsck.Check,
        keyring: Keyring | None,
    ) -> None:
        """What stands beside log and vault."""
        policy = self._policy
        known = [LogKey(key) for key in keys] + known_keys.ever(self._paths.log)
        known += [] if policy is None else policy.logs
        if self._given and {key.verifier.vkey for key in known} - {key.vkey for key in keys}:
            self._remarks.append(
                "Older notes were checked with the keys that the log had then, as log.policy beside"
                " it says; --key VKEY was used for the checkpoint."
            )
        cosigners = [] if policy is None else [one.verifier for one in policy.witnesses]
        anchors = [] if policy is None else [anchor for _, anchor in policy.timestamps]
        self._counts["notes"] = check_notes(self._paths.log, reader, known, cosigners, anchors)
        if keyring is None:
            self._remarks.append("Without keys no section, no content and no database was opened.")
            return
        self._told("state.db", 0, 1)
        with _database(self._paths.state, keyring.database_key("state.db")) as state:
            check_database(state, "state.db")
            committed = check_state(self._paths.log, reader, state, check.replay, _wait)
            check_keys(self._paths.log, state)
            self._identities(state)
        self._told("index", 0, 1)

        def root(size: int) -> bytes | None:
            return root_at(self._paths.log, reader, size)

        if (self._paths.root / BESIDE).is_dir():
            self._remarks.append("The index is being made anew, so it was not examined.")
            return
        indexed = check_index(self._paths.root, keyring.database_key("index.db"), root, _wait)
        if indexed < committed:
            self._remarks.append(
                f"The index stands for {indexed} of {committed} leaves; it catches up by itself."
            )
        self._counts["indexed"] = indexed

    def _identities(self, state: apsw.Connection) -> None:
        try:
            known = read_identities(state)
        except (apsw.Error, msgspec.MsgspecError) as error:
            raise damaged("state.db", "state.db: the identities cannot be read.") from error
        self._counts["identities"] = len(known)
        path = self._paths.owner_key
        if path.exists():
            digest = hash_key(path.read_text("utf-8", "replace").strip())
            if digest not in {identity.key_hash for identity in known}:
                raise damaged("keys/owner", "keys/owner is not the key of any identity.")

    # keys

    def _keyring(self, closing: contextlib.ExitStack) -> Keyring:
        path = self._paths.key_encryption_key
        if not path.exists():
            raise NotFoundError(
                "keys/kek is not there, so nothing that is sealed can be opened.",
                hint="Check structure alone with: affidavit fsck --deep --without-keys",
            )
        self._told("keys.db", 0, 1)
        try:
            keks = list(opening.key_file(self._paths).candidates())
        except AffidavitError as error:
            first = "" if error.hint == LOST else error.hint  # what helps if nothing is damaged
            said = f"keys/kek: {error.message}"
            raise CorruptError(said, object="keys/kek", first=first) from error
        for kek in keks:
            try:
                key = kek.derive("keys.db")
                database = closing.enter_context(_database(self._paths.key_database, key))
                break
            except CorruptError:
                if kek is keks[-1]:
                    raise
        keyring = Keyring(database, kek, self._clock)
        self._counts["keys"] = keyring.check()
        return keyring

    # going on

    def _read(self, vkey: str) -> Kept | None:
        if self._anew:
            return None
        try:
            kept = msgspec.msgpack.decode(self._file.read_bytes(), type=Kept)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise UnavailableError(
                f"{self._file} is not a check that was left.", hint="Begin anew with --anew."
            ) from error
        if (kept.version, kept.vkey) != (VERSION, vkey):
            raise UnavailableError(
                f"{self._file} is a check of another log, or by another release.",
                hint="Begin anew with --anew.",
            )
        return kept

    def _keep(self, vkey: str, *, strict: bool) -> None:
        assert self._check is not None
        assert self._vault is not None
        saved = self._check.save()
        kept = Kept(VERSION, self._began, vkey, saved, dict(self._vault.counts))
        try:
            Disk().write_file(self._file, msgspec.msgpack.encode(kept))
        except OSError as error:
            if strict:
                raise UnavailableError(
                    f"The check cannot be kept in {self._file}: {error.strerror}.",
                    hint="Name a file elsewhere with --resume FILE.",
                ) from error


def run(
    data: Path,
    vkeys: Sequence[Verifier] | None,
    told: Told,
    stop: Callable[[], bool],
    *,
    deep: bool,
    policy: Path | None,
    keys: bool,
    kept: Path | None,
    anew: bool,
) -> Result:
    """One check of a data directory; ``policy`` is a file with keys known from outside."""
    known = None
    if policy is not None:
        try:
            known = parse_policy(policy.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise NotFoundError(f"{policy} cannot be read as a policy.") from error
    return Checking(
        data, vkeys, told, deep=deep, keys=keys, kept=kept, anew=anew, policy=known, stop=stop
    ).run()


@contextlib.contextmanager
def _database(path: Path, key: bytes) -> Iterator[apsw.Connection]:
    if not path.exists():
        raise damaged(path.name, f"{path.name} is not there.")
    try:
        connection = open_database(path, key, read_only=True, untouched=True)
    except UnavailableError as error:
        raise damaged(path.name, error.message) from error
    try:
        yield connection
    except apsw.Error as error:
        raise damaged(path.name, f"{path.name} is damaged: {error}.") from error
    finally:
        connection.close()


def _wait() -> None:
    time.sleep(0.1)
