"""Checking the vault against the leaves whose sections it keeps; changes nothing.

Rules: leaves come in order, and so do the vault's entries; each leaf with sections has exactly one
entry, under its id and with its sections. With the keyring every blob is opened and every digest
computed; without it, places and sizes are checked. What was erased is missing for a reason: a
bucket key of that day was destroyed, or, where there is no keyring to ask, the ledger has a
certificate. Bytes behind the last whole entry of a file are nobody's claim (a process died there,
or is writing). Memory does not grow with the vault. Not here: the leaves (``ledger.fsck``), keys.db
itself (``keyring``).
"""

import hashlib
import os
from collections import Counter, OrderedDict
from pathlib import Path

from affidavit.errors import CorruptError, NotFoundError, ParseError
from affidavit.ids import b64u
from affidavit.ledger.findings import damaged
from affidavit.ledger.scan import Row
from affidavit.record import disclose
from affidavit.record.keys import unwrap_key
from affidavit.record.model import SECTIONS
from affidavit.record.seal import open_blob
from affidavit.vault import wraps
from affidavit.vault.blobs import listed_parts, open_part, open_section
from affidavit.vault.entries import Entries, Stored
from affidavit.vault.keyring import Keyring
from affidavit.vault.segments import MAGIC, Bucket, wraps_path

_OPEN_FILES = 32
_REMEMBERED = 4096
_CONTENT = SECTIONS.index("content")
_CERTIFICATES = frozenset({"retention.erased", "retention.completed"})
"""Not ``retention.expired``, which is of leaves, and those that it is of are not looked for."""

Wrapping = tuple[bytes | None, bytes | None]
"""The wrapping keys without and with the subjects' keys; ``None`` where one was destroyed."""


class VaultCheck:
    """One pass over the vault under ``root``, leaf by leaf from leaf ``begin`` on.

    ``counts``: ``records`` found whole, ``blobs`` opened, ``sealed`` blobs whose key is not at
    hand, ``erased`` blobs whose key was destroyed, ``gone`` records without an entry, ``absent``
    parts that a content section lists and the vault never got (of a damaged journal).
    """

    def __init__(self, root: Path, keyring: Keyring | None, begin: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._root = root
        self._keyring = keyring
        self._days = frozenset() if keyring is None else keyring.days_with_destroyed_buckets()
        self._entries = Entries(root, begin)
        self._gone: CorruptError | None = None
        self._ends: OrderedDict[Path, int] = OrderedDict()
        self._files: OrderedDict[Path, tuple[int, int]] = OrderedDict()
        self._wrappings: dict[tuple[int, tuple[int, ...]], Wrapping] = {}

    def take(self, row: Row) -> None:
        """Check what the vault holds of the next leaf; ``CorruptError`` if it is not whole."""
        self.counts["certificates"] += row.type in _CERTIFICATES
        self._nothing_below(row.position)
        if not row.kept:
            return
        if self._entries.first is None or self._entries.first.position > row.position:
            self._missing(row)
            return
        stored = self._entries.next()
        assert stored is not None
        entry = self._entry(stored, row)
        digests = row.sections.split(b",")
        there = [blob.kind for blob in entry.blobs if blob.kind != wraps.PART]
        if there != [kind for kind, digest in enumerate(digests) if digest != b"null"]:
            raise self._wrong(stored, "has other sections than the leaf")
        self._blobs(stored, entry, digests)
        self.counts["records"] += 1

    def finish(self, size: int) -> None:
        """After the last of ``size`` leaves: nothing of them is left over, nothing missing."""
        self._nothing_below(size)
        if self._gone is not None and not self.counts["certificates"]:
            raise self._gone

    def close(self) -> None:
        """Close all files."""
        while self._files:
            os.close(self._files.popitem()[1][0])

    # entries

    def _nothing_below(self, index: int) -> None:
        first = self._entries.first
        if first is not None and first.position < index:
            raise self._wrong(first, "stands for a record that has no sections")

    def _entry(self, stored: Stored, row: Row) -> wraps.Entry:
        try:
            entry = wraps.unpack(stored.data)
        except CorruptError as error:
            raise self._wrong(stored, "is damaged") from error
        if entry.id != row.id:
            raise self._wrong(stored, "is of another record")
        return entry

    def _wrong(self, stored: Stored, what: str) -> CorruptError:
        name = self._entries.name(wraps_path(stored.path))
        return damaged(name, f"{name}: the entry of leaf {stored.position} {what}.")

    def _missing(self, row: Row) -> None:
        """A leaf with sections has no entry: erased, or damage."""
        self.counts["gone"] += 1
        if row.time[:10] in self._days or self._gone is not None:
            return
        name, why = self._entries.suspect(row.position)
        what = f"leaf {row.position} has sections, and the vault has no entry of it"
        error = damaged(name, f"{name}: {why}; {what}.")
        if self._keyring is not None:
            raise error
        self._gone = error  # maybe it was erased: a certificate, if there is one, comes later

    # blobs

    def _blobs(self, stored: Stored, entry: wraps.Entry, digests: list[bytes]) -> None:
        sealed = self._sealed(stored, entry)
        if self._keyring is None:
            self.counts["sealed"] += len(entry.blobs)
            return
        wrapping = self._wrapping(self._keyring, stored, entry)
        listed: dict[str, str] = {}
        at = 0
        for blob in entry.blobs:
            begin, at = at, at + blob.size
            key = wrapping[blob.kind in wraps.OF_THE_SUBJECT]
            if key is None:
                self.counts["erased"] += 1
                continue
            try:
                part_key = unwrap_key(key, blob.wrapped)
            except CorruptError as error:
                raise self._wrong(stored, f"has a key of {blob.name} that does not open") from error
            try:
                plain = open_blob(part_key, sealed[begin:at], (entry.id + blob.name).encode())
                right = _is_right(blob, plain, digests, listed)
            except (CorruptError, ParseError) as error:
                raise self._other(stored, f"{blob.name} does not open: {error.message}") from error
            if not right:
                raise self._other(stored, f"{blob.name} is not what the leaf commits to.")
            self.counts["blobs"] += 1
        self.counts["absent"] += len(listed)

    def _other(self, stored: Stored, what: str) -> CorruptError:
        name = self._entries.name(stored.path)
        return damaged(name, f"{name}: leaf {stored.position}: {what}")

    def _sealed(self, stored: Stored, entry: wraps.Entry) -> bytes:
        """The sealed bytes of a record, which stand behind those of the record before it."""
        size = sum(blob.size for blob in entry.blobs)
        end = entry.offset + size
        if entry.offset < self._ends.get(stored.path, len(MAGIC)):
            raise self._wrong(stored, "overlaps the one before it")
        self._ends[stored.path] = end
        while len(self._ends) > _REMEMBERED:
            self._ends.popitem(last=False)
        try:
            file, length = self._file(stored)
        except FileNotFoundError:
            if self._keyring is None or self._secret(stored) is None:
                return bytes(size)
            raise self._other(stored, "the segment is not there, and its wraps are.") from None
        if end > length:
            length = os.fstat(file).st_size
            self._files[stored.path] = (file, length)
        if end > length:
            raise self._other(stored, "the segment is shorter than its entries say.")
        return b"" if self._keyring is None else os.pread(file, size, entry.offset)

    def _file(self, stored: Stored) -> tuple[int, int]:
        found = self._files.get(stored.path)
        if found is None:
            file = os.open(stored.path, os.O_RDONLY | os.O_CLOEXEC)
            found = self._files[stored.path] = (file, os.fstat(file).st_size)
            if os.pread(file, len(MAGIC), 0) != MAGIC:
                raise self._other(stored, "the segment does not begin as one.")
            while len(self._files) > _OPEN_FILES:
                os.close(self._files.popitem(last=False)[1][0])
        return found

    # keys

    def _wrapping(self, keyring: Keyring, stored: Stored, entry: wraps.Entry) -> Wrapping:
        name = (stored.bucket, entry.subjects)
        found = self._wrappings.get(name)
        if found is None:
            bucket = self._secret(stored)
            alone = shared = None if bucket is None else wraps.wrapping_key(bucket, ())
            if bucket is not None and entry.subjects:
                subjects = [self._subject(keyring, stored, number) for number in entry.subjects]
                there = [secret for secret in subjects if secret is not None]
                whole = len(there) == len(subjects)
                shared = wraps.wrapping_key(bucket, there) if whole else None
            if len(self._wrappings) >= _REMEMBERED:
                self._wrappings.clear()
            found = self._wrappings[name] = (alone, shared)
        return found

    def _secret(self, stored: Stored) -> bytes | None:
        """The bucket key of an entry, ``None`` if it was destroyed."""
        assert self._keyring is not None
        bucket = self._keyring.bucket_of(stored.bucket)
        if bucket is None or Bucket(*bucket).directory(self._root) != stored.path.parent:
            raise self._wrong(stored, f"is under bucket key {stored.bucket}, which is another one")
        try:
            return self._keyring.bucket_secret(stored.bucket)
        except NotFoundError:
            return None

    def _subject(self, keyring: Keyring, stored: Stored, number: int) -> bytes | None:
        """The subject key of that number, ``None`` if it was destroyed."""
        try:
            return keyring.subject_secret(number)
        except NotFoundError as error:
            if "destroyed" in error.detail:
                return None
            raise self._wrong(
                stored, f"is under subject key {number}, which is not there"
            ) from error


def _is_right(blob: wraps.Blob, plain: bytes, digests: list[bytes], listed: dict[str, str]) -> bool:
    """Whether an opened blob is what the leaf commits to.

    The content section comes before the parts and fills ``listed``, from which each part that is
    right is taken out.
    """
    if blob.kind == wraps.PART:
        part = open_part(plain)
        digest = b64u(hashlib.sha256(part.salt + part.data).digest())
        return listed.pop(blob.name, "") == digest
    text = open_section(plain)
    if b64u(disclose.digest(text)).encode() != digests[blob.kind][1:-1]:
        return False
    if blob.kind == _CONTENT:
        listed.update(listed_parts(text))
    return True
