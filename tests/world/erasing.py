"""A vault that things are erased from, beside a plain account of what must be readable.

``Erasable`` puts records, retires, erases, holds and releases, and keeps for each record which of
its sections and parts are still owed: by its own keys, and by each hold. ``wrong`` says what the
vault shows that it must not, or does not show that it must, and which sealed bytes of what is gone
still stand in any file of it. It remembers the key of every section and part, and tries them all.
"""

import contextlib
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from affidavit.clock import SystemClock
from affidavit.durable import Disk
from affidavit.errors import CorruptError
from affidavit.ledger.scan import row_of
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import SECTIONS, Placed
from affidavit.record.seal import open_blob
from affidavit.vault import key_ends, wraps
from affidavit.vault.check import VaultCheck
from affidavit.vault.erase import Eraser, What
from affidavit.vault.erased import Erased
from affidavit.vault.keyring import Keyring
from affidavit.vault.opening import part_key, wrapping_of
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import Bucket, groups_in, segments_in
from affidavit.vault.vault import Vault
from affidavit.vault.whole_files import read_wraps
from tests.unit.vault.makers import Leaves, leaf_of, place, record

KEK = KeyEncryptionKey(bytes(range(32)))
OF_A_PERSON = frozenset({"person", "content"})
NEEDLE = slice(7, 31)
"""What is looked for of sealed bytes: random, and long enough not to be there by chance."""


class Sealed(NamedTuple):
    """A section or part as it was written: where, what of it is looked for, its key and place."""

    segment: str
    offset: int
    size: int
    needle: bytes
    key: bytes
    associated: bytes


class Erasable:
    """A vault under ``base`` with its keys, and the account of it."""

    def __init__(self, base: Path) -> None:
        base.mkdir(exist_ok=True)
        self.base = base
        self.root = base / "vault"
        self.leaves = Leaves()
        self.records: list[Placed] = []
        self.own: dict[int, set[str]] = {}
        self.holds: dict[str, dict[int, set[str]]] = {}
        self.sealed: dict[tuple[int, str], Sealed] = {}
        self._open(Disk())

    def _open(self, disk: Disk) -> None:
        self.keyring = Keyring.open(self.base / "keys.db", KEK, SystemClock())
        self.vault = Vault.open(disk, self.root, self.keyring, len(self.records), self.leaves.leaf)
        self.eraser = Eraser(disk, self.root, self.keyring, SystemClock())
        self.reader = VaultReader(self.root, self.keyring, self.leaves.leaf)

    def close(self) -> None:
        """Close all files."""
        self.reader.close()
        self.vault.close()
        self.keyring.close()

    def restart(self, disk: Disk | None = None) -> None:
        """The process ends, and another one goes on."""
        self.close()
        self._open(disk or Disk())

    def copy(self, base: Path, disk: Disk | None = None) -> "Erasable":
        """The same again elsewhere, of files that nobody has open: this one is closed."""
        shutil.copytree(self.base, base)
        return self.beside(base, disk)

    def beside(self, base: Path, disk: Disk | None = None) -> "Erasable":
        """The same account of files that stand elsewhere."""
        made = Erasable.__new__(Erasable)
        made.base, made.root, made.leaves = base, base / "vault", self.leaves
        made.records, made.sealed = list(self.records), dict(self.sealed)
        made.own = {index: set(names) for index, names in self.own.items()}
        made.holds = {
            name: {index: set(names) for index, names in of.items()}
            for name, of in self.holds.items()
        }
        made._open(disk or Disk())
        return made

    # What happens

    def put(
        self,
        bodies: Sequence[bytes],
        *,
        tenant: str = "acme",
        retention_class: str = "default",
        day: str = "2026-11-23",
        subjects: tuple[str, ...] = (),
    ) -> list[int]:
        """A batch of records, one for each body; their leaf indexes."""
        first = len(self.records)
        batch = [
            place(
                first + at,
                record(
                    {"request.body": body, "tool.arguments": body[::-1]},
                    tenant=tenant,
                    retention_class=retention_class,
                    subjects=subjects,
                ),
                f"{day}T12:00:00.000000Z",
            )
            for at, body in enumerate(bodies)
        ]
        self.vault.put(batch)
        self.records += batch
        self.leaves.add(batch)
        for item in batch:
            self.own[item.index] = {*SECTIONS, *(part.name for part in item.record.parts)}
        self._remember({item.index for item in batch})
        return [item.index for item in batch]

    def bucket(self, index: int) -> Bucket:
        """Where a record is kept."""
        item = self.records[index]
        return Bucket(item.record.tenant, item.record.retention_class, item.time[:10])

    def expire(
        self, bucket: Bucket, what: What = "sections", spare: Collection[int] = ()
    ) -> Erased:
        """See ``Eraser.expire``."""
        self.vault.retire([bucket])
        self.expects_expired(bucket, what, spare)
        return self.eraser.expire(bucket, what, spare)

    def expects_expired(self, bucket: Bucket, what: What, spare: Collection[int] = ()) -> None:
        """Only in the account."""
        for item in self.records:
            if self.bucket(item.index) == bucket and item.index not in spare:
                self._lose(item.index, what)

    def erase(self, bucket: Bucket, indexes: Collection[int], what: What = "sections") -> Erased:
        """See ``Eraser.records``."""
        self.vault.retire([bucket])
        self.expects_erased(bucket, indexes, what)
        return self.eraser.records(bucket, indexes, what)

    def expects_erased(self, bucket: Bucket, indexes: Collection[int], what: What) -> None:
        """Only in the account."""
        for index in indexes:
            if self.bucket(index) == bucket:
                self._lose(index, what)

    def forget(
        self,
        tenant: str,
        subject: str,
        classes: Collection[str] = ("default",),
        spare: Collection[int] = (),
    ) -> Erased:
        """See ``Eraser.subject``."""
        self.vault.retire_subject(tenant, subject, classes)
        self.expects_forgotten(tenant, subject, classes, spare)
        may = set(range(len(self.records))).difference(spare)
        return self.eraser.subject(tenant, subject, classes, may)

    def expects_forgotten(
        self, tenant: str, subject: str, classes: Collection[str], spare: Collection[int] = ()
    ) -> None:
        """Only in the account."""
        for item in self.records:
            one = item.record
            of_theirs = one.tenant == tenant and one.retention_class in classes
            if of_theirs and subject in one.subjects and item.index not in spare:
                self.own[item.index] -= OF_A_PERSON | {part.name for part in one.parts}

    def hold(self, name: str, indexes: Collection[int]) -> None:
        """See ``Eraser.hold``."""
        self.eraser.hold(name, indexes)
        self.expects_held(name, indexes)

    def expects_held(self, name: str, indexes: Collection[int]) -> None:
        """Only in the account."""
        of = self.holds.setdefault(name, {})
        for index in indexes:
            of.setdefault(index, self.owed(index))

    def release(self, name: str) -> Erased:
        """See ``Eraser.release``."""
        del self.holds[name]
        return self.eraser.release(name)

    # What must be

    def owed(self, index: int) -> set[str]:
        """The sections and parts of a record that must be readable."""
        held = [of[index] for of in self.holds.values() if index in of]
        return self.own[index].union(*held)

    def wrong(self) -> list[str]:
        """What is not as the account has it; empty if all is."""
        found = []
        for item in self.records:
            owed, record_ = self.owed(item.index), item.record
            texts = dict(zip(SECTIONS, self.reader.disclosures(item.index), strict=True))
            want = {
                name: text if name in owed else None
                for name, text in zip(SECTIONS, record_.sections, strict=True)
            }
            bodies = {
                part.name: body
                for part, body in zip(record_.parts, item.bodies, strict=True)
                if part.name in owed
            }
            if texts != want:
                found.append(f"leaf {item.index}: sections {sorted(owed)} are owed")
            if self.reader.parts(item.index) != bodies:
                found.append(f"leaf {item.index}: parts {sorted(bodies)} are owed")
            bits = {SECTIONS.index(name) for name, text in want.items() if text is not None}
            bits |= {wraps.PART} if bodies else set()
            left = self.reader.left({item.index: record_.id})
            if left != {item.index: sum(1 << bit for bit in bits)}:
                found.append(f"leaf {item.index}: {left} is said to be left")
            missing = self.reader.missing(item.index)
            names = {*SECTIONS, *(part.name for part in record_.parts)} - owed
            if not missing.keys() <= names or not names & set(SECTIONS) <= missing.keys():
                found.append(f"leaf {item.index}: {sorted(missing)} are said to be missing")
            if any("20" not in why for why in missing.values()):
                found.append(f"leaf {item.index}: no time in {sorted(set(missing.values()))}")
        found += [f"{path.name} was left" for path in self.root.rglob("*.tmp")]
        checked = self.checked()
        return found + self.left() + self.idle() + ([f"fsck: {checked}"] if checked else [])

    def idle(self) -> list[str]:
        """Keys that were retired, wrap nothing any more and still exist."""
        headers = {
            wraps.parse_header(path.read_bytes()[: wraps.HEADER_BYTES])
            for path in self.root.rglob("*.wraps")
        }
        buckets = {self.bucket(item.index) for item in self.records}
        return [
            f"bucket key {number} of {bucket.day} wraps nothing"
            for bucket in buckets
            for number, end in key_ends.bucket_ends(self.keyring, bucket).items()
            if end.is_retired and number not in headers and self.erased_from(bucket)
        ]

    def erased_from(self, bucket: Bucket) -> bool:
        """Whether anything of a bucket is not owed by its own keys any more."""
        return any(
            len(self.own[item.index]) < len(SECTIONS) + len(item.record.parts)
            for item in self.records
            if self.bucket(item.index) == bucket
        )

    def in_doubt(self, before: "Erasable") -> list[str]:
        """What is wrong while an erasure has begun: each record is as before, or as it will be."""
        found = []
        for item in self.records:
            owed, had = self.owed(item.index), before.owed(item.index)
            try:
                texts = dict(zip(SECTIONS, self.reader.disclosures(item.index), strict=True))
                bodies = self.reader.parts(item.index)
            except CorruptError as error:
                found.append(f"leaf {item.index}: {error.message}")
                continue
            shown = {name for name, text in texts.items() if text is not None} | bodies.keys()
            if not owed <= shown <= had:
                found.append(f"leaf {item.index}: {sorted(shown)}, and {sorted(owed)} are owed")
        check = self.checked(counted=False)
        return found + ([f"fsck: {check}"] if check else [])

    def checked(self, *, counted: bool = True) -> str:
        """What fsck finds of it, empty if nothing."""
        check = VaultCheck(self.root, self.keyring)
        try:
            for item in self.records:
                check.take(row_of(leaf_of(item), ()))
            check.finish(len(self.records))
        except CorruptError as error:
            return error.message
        finally:
            check.close()
        owed = sum(len(self.owed(item.index)) for item in self.records)
        right = check.counts["blobs"] == owed or not counted
        return "" if right else f"{owed} owed, {check.counts}"

    def left(self) -> list[str]:
        """What is gone and still opens by its old key, or stands sealed in any file."""
        gone = [one for one in self.sealed if one[1] not in self.owed(one[0])]
        files = {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        found = []
        for index, name in gone:
            one = self.sealed[index, name]
            found += [
                f"leaf {index}: sealed bytes of {name} are in {path.name}"
                for path, data in files.items()
                if one.needle in data
            ]
            sealed = files.get(self.root / one.segment, b"")[one.offset : one.offset + one.size]
            with contextlib.suppress(CorruptError):
                open_blob(one.key, sealed, one.associated)
                found.append(f"leaf {index}: {name} opens by its old key")
        return found

    def _lose(self, index: int, what: What) -> None:
        if what == "sections":
            self.own[index].clear()
        else:
            self.own[index] -= {
                "content",
                *(part.name for part in self.records[index].record.parts),
            }

    def _remember(self, indexes: Collection[int]) -> None:
        for group in groups_in(self.root):
            for day in group.iterdir():
                for segment in segments_in(day):
                    file = read_wraps(segment.path)
                    for entry in file.entries():
                        if entry.index in indexes:
                            self._sealed(segment.path, file.key, entry)

    def _sealed(self, segment: Path, bucket: int, entry: wraps.Entry) -> None:
        data, at = segment.read_bytes(), entry.offset
        wrapping = wrapping_of(self.keyring, bucket, entry.subjects)
        place = str(segment.relative_to(self.root))
        for blob in entry.blobs:
            key = part_key(wrapping, blob)
            assert isinstance(key, bytes)
            sealed, associated = data[at : at + blob.size], (entry.id + blob.name).encode()
            open_blob(key, sealed, associated)
            self.sealed[entry.index, blob.name] = Sealed(
                place, at, blob.size, sealed[NEEDLE], key, associated
            )
            at += blob.size
