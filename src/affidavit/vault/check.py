"""Checking the vault against the leaves whose sections it keeps; changes nothing.

Rules: leaves come in order, and so do the vault's entries; each leaf with sections has exactly one
entry, under its id and with its sections. With the keyring every blob is opened and every digest
computed; without it, places and sizes are checked. What was erased is missing for a reason: its
entry says since when, or segments of that day were removed under a destroyed key, or, where there
is no keyring to ask, the ledger has a certificate. Bytes behind the last whole entry of a file are
nobody's claim (a process died there, or is writing). Memory does not grow with the vault. Not
here: the leaves (``ledger.fsck``), keys.db itself (``keyring``).
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
from affidavit.record.model import SECTIONS
from affidavit.record.seal import open_blob
from affidavit.vault import key_ends, wraps
from affidavit.vault.blobs import listed_parts, open_part, open_section
from affidavit.vault.emptied import Explained
from affidavit.vault.entries import Entries, Stored
from affidavit.vault.holds import HeldKeys, held_of
from affidavit.vault.keyring import Keyring
from affidavit.vault.opening import Wrapping, part_key, wrapping_of
from affidavit.vault.segments import MAGIC, Bucket, wraps_path
from affidavit.vault.whole_files import read_hold

_OPEN_FILES = 32
_REMEMBERED = 4096
_CONTENT = SECTIONS.index("content")
_CERTIFICATES = frozenset({"retention.erased", "retention.expired", "retention.completed"})
"""What says that something of the vault may be gone. Of which day or leaf is sealed in there."""


class VaultCheck:
    """One pass over the vault under ``root``, leaf by leaf from leaf ``begin`` on.

    ``counts``: ``records`` found whole, ``blobs`` opened, ``sealed`` blobs whose key is not at
    hand, ``erased`` blobs whose key was destroyed, ``held`` those of the opened ones that only a
    hold has the key of, ``gone`` records without an entry, ``absent`` parts that a content section
    lists and the vault never got (of a damaged journal).
    """

    def __init__(self, root: Path, keyring: Keyring | None, begin: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._root = root
        self._keyring = keyring
        self._entries = Entries(root, begin)
        self._gone: CorruptError | None = None
        self._ends: OrderedDict[Path, int] = OrderedDict()
        self._files: OrderedDict[Path, tuple[int, int]] = OrderedDict()
        self._wrappings: dict[tuple[int, tuple[int, ...]], Wrapping] = {}
        self._held = None if keyring is None else HeldKeys(keyring)
        self._holds = {} if keyring is None else key_ends.live_holds(keyring)
        self._whole: set[Path] = set()
        self._emptied = None if keyring is None else Explained(keyring)

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
        end = self._ends.get(stored.path, len(MAGIC))
        try:
            found = self._blobs(stored, entry, digests)
        except CorruptError:
            # Erased while we looked, perhaps: then keys or entry are others by now, or not there.
            again = self._entries.again(stored)
            if again is None:
                self._missing(row)
                return
            self._wrappings.clear()
            self._ends[stored.path] = end
            found = self._blobs(again, self._entry(again, row), digests)
        self.counts.update(found)
        self.counts["records"] += 1

    def finish(self, size: int) -> None:
        """After the last of ``size`` leaves: nothing of them is left over, nothing missing."""
        self._nothing_below(size)
        if self._gone is not None and not self.counts["certificates"]:
            raise self._gone

    def close(self) -> None:
        """Close all files."""
        if self._held is not None:
            self._held.close()
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
        if self._gone is not None:
            return
        if self._emptied is not None and self._emptied.explains(row.position, row.time[:10]):
            return
        name, why = self._entries.suspect(row.position)
        what = f"leaf {row.position} has sections, and the vault has no entry of it"
        error = damaged(name, f"{name}: {why}; {what}.")
        if self._keyring is not None:
            raise error
        self._gone = error  # maybe it was erased: a certificate, if there is one, comes later

    # blobs

    def _blobs(self, stored: Stored, entry: wraps.Entry, digests: list[bytes]) -> Counter[str]:
        found: Counter[str] = Counter()
        sealed = self._sealed(stored, entry)
        if self._keyring is None:
            found["sealed"] = len(entry.blobs)
            return found
        keys = self._keys(self._keyring, stored, entry, found)
        listed: dict[str, str] = {}
        end = 0
        for blob, key in zip(entry.blobs, keys, strict=True):
            begin, end = end, end + blob.size
            if key is None:
                found["erased"] += 1
                continue
            try:
                plain = open_blob(key, sealed[begin:end], (entry.id + blob.name).encode())
                right = _is_right(blob, plain, digests, listed)
            except (CorruptError, ParseError) as error:
                raise self._other(stored, f"{blob.name} does not open: {error.message}") from error
            if not right:
                raise self._other(stored, f"{blob.name} is not what the leaf commits to.")
            found["blobs"] += 1
        found["absent"] = len(listed)
        return found

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
            if self._keyring is None or not self._opens(self._keyring, stored):
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
            if os.pread(file, len(MAGIC), 0) != MAGIC:
                os.close(file)  # and not kept: a second look finds the same
                raise self._other(stored, "the segment does not begin as one.")
            found = self._files[stored.path] = (file, os.fstat(file).st_size)
            while len(self._files) > _OPEN_FILES:
                os.close(self._files.popitem(last=False)[1][0])
        return found

    # keys

    def _keys(
        self, keyring: Keyring, stored: Stored, entry: wraps.Entry, found: Counter[str]
    ) -> list[bytes | None]:
        """The key of each blob, ``None`` where there is none any more; counts what is held."""
        wrapping = self._wrapping(keyring, stored, entry.subjects)
        held = self._held_of(stored, entry) if self._holds else None
        keys: list[bytes | None] = []
        for at, blob in enumerate(entry.blobs):
            try:
                key = part_key(wrapping, blob)
            except CorruptError as error:
                raise self._wrong(stored, f"has a key of {blob.name} that does not open") from error
            if isinstance(key, str):
                held = self._held_of(stored, entry) if held is None else held
                found["held"] += at in held
                keys.append(held.get(at))
                continue
            if held is not None and held.get(at, key) != key:
                raise self._other(stored, f"a hold has another key of {blob.name}.")
            keys.append(key)
        return keys

    def _held_of(self, stored: Stored, entry: wraps.Entry) -> dict[int, bytes]:
        """The keys that holds have of a record; each file of theirs is whole."""
        assert self._held is not None
        try:
            if stored.path not in self._whole:
                files = [read_hold(stored.path, number) for number in self._holds]
                cut = [file.end for file in files if file and file.end < len(file.data)]
                if cut:
                    raise self._other(stored, f"a hold's file is damaged at byte {cut[0]}.")
                self._whole.add(stored.path)
            return self._held.of(stored.path, entry)
        except CorruptError as error:
            if error.detail.get("object") == self._entries.name(stored.path):
                raise
            raise self._other(stored, f"a hold's file does not open: {error}") from error

    def _wrapping(self, keyring: Keyring, stored: Stored, subjects: tuple[int, ...]) -> Wrapping:
        found = self._wrappings.get((stored.bucket, subjects))
        if found is None:
            bucket = keyring.bucket_of(stored.bucket)
            if bucket is None or Bucket(*bucket).directory(self._root) != stored.path.parent:
                number = stored.bucket
                raise self._wrong(stored, f"is under bucket key {number}, which is another one")
            try:
                found = wrapping_of(keyring, stored.bucket, subjects)
            except NotFoundError as error:
                raise self._wrong(stored, f"is under a key that is not there: {error}") from error
            if len(self._wrappings) >= _REMEMBERED:
                self._wrappings.clear()
            self._wrappings[stored.bucket, subjects] = found
        return found

    def _opens(self, keyring: Keyring, stored: Stored) -> bool:
        """Whether the bucket key of an entry is there, or a hold has keys of its segment."""
        alone = self._wrapping(keyring, stored, ()).alone
        return isinstance(alone, bytes) or bool(held_of(keyring, stored.path))


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
