"""The vault's read side, for any process of the owner, also while the writer appends.

Rules: what is read is checked against the leaf of that index (record id, digest of each section)
and against the content section (digest of each part); bytes that are there and are not what was
committed to are an error, never an answer. What is not there has a reason. Nothing is cached but
where things stand and, in the keyring, keys. Not here: who may read what (``query``).
"""

import contextlib
import hashlib
import os
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from affidavit.errors import CorruptError, NotFoundError
from affidavit.ids import b64u
from affidavit.ledger.leaf import Leaf
from affidavit.record import disclose
from affidavit.record.keys import unwrap_key
from affidavit.record.model import SECTIONS, View
from affidavit.record.seal import open_blob
from affidavit.vault import wraps
from affidavit.vault.blobs import OpenedPart, listed_parts, open_part, open_section
from affidavit.vault.keyring import Keyring
from affidavit.vault.segments import Catalogue, Segment, wraps_path

NOT_THERE = "Not in the vault."
REMOVED = "Its segment was removed."
"""Reasons that no destroyed key accounts for."""

_OPEN_FILES = 64
_NEVER_HERE = frozenset({"ledger.opened", "ledger.epoch", "ledger.heads"})
_CONTENT = SECTIONS.index("content")
_SECTION_KINDS = frozenset(range(len(SECTIONS)))
_CONTENT_KINDS = frozenset({_CONTENT, wraps.PART})


class _Stored(NamedTuple):
    """One record as it stands in the vault: ``path`` is its segment."""

    path: Path
    bucket: int
    entry: wraps.Entry


class VaultReader:
    """Reads by ledger index. Calls from several threads take turns where they must.

    ``leaf`` returns the committed leaf of an index (``LogReader.leaf``). All methods raise
    ``CorruptError`` if stored bytes are not what the leaf commits to, and pass on what ``leaf``
    raises. ``tenant``, where known, makes finding faster when there are many.
    """

    def __init__(self, root: Path, keyring: Keyring, leaf: Callable[[int], Leaf]) -> None:
        self._keyring = keyring
        self._leaf = leaf
        self._lock = threading.Lock()
        self._catalogue = Catalogue(root)
        self._directories: OrderedDict[Path, _Directory] = OrderedDict()

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            while self._directories:
                self._directories.popitem()[1].close()

    def disclosures(self, index: int, tenant: str | None = None) -> tuple[str | None, ...]:
        """The seven exact disclosure strings; ``None`` for an absent or a missing section."""
        leaf = self._leaf(index)
        return self._disclosures(leaf, self._find(leaf, tenant))

    def sections(self, index: int, tenant: str | None = None) -> dict[str, Any]:
        """The values of the sections that are there, by name."""
        return _values(self.disclosures(index, tenant))

    def parts(self, index: int, tenant: str | None = None) -> dict[str, bytes]:
        """The content that is there, by part name."""
        leaf = self._leaf(index)
        opened = self._parts(leaf, self._find(leaf, tenant))
        return {name: part.data for name, part in opened if part is not None}

    def salted_parts(
        self, index: int, tenant: str | None = None
    ) -> tuple[tuple[bytes, bytes] | None, ...]:
        """Salt and bytes of each part, in the record's order; ``None`` where it is missing."""
        leaf = self._leaf(index)
        opened = self._parts(leaf, self._find(leaf, tenant))
        return tuple(None if part is None else (part.salt, part.data) for _, part in opened)

    def part_names(self, index: int, tenant: str | None = None) -> tuple[str, ...]:
        """The names of the record's parts, beside ``salted_parts``; known as long as its wraps."""
        stored = self._find(self._leaf(index), tenant)
        if stored is None:
            return ()
        return tuple(blob.name for blob in stored.entry.blobs if blob.kind == wraps.PART)

    def view(self, index: int, tenant: str | None = None) -> View:
        """The record with everything that can be read of it."""
        leaf = self._leaf(index)
        stored = self._find(leaf, tenant)
        parts = self._parts(leaf, stored)
        sections = _values(self._disclosures(leaf, stored))
        return _view(leaf, sections, {name: part.data for name, part in parts if part is not None})

    def salvaged(self, index: int) -> View:
        """The record with everything of it that is as it was recorded: no ``CorruptError``.

        For the index, which one damaged record must not keep from all others; whoever is shown
        the record gets its ``view``, and hears of the damage.
        """
        with contextlib.suppress(CorruptError):
            return self.view(index)
        leaf = self._leaf(index)
        sections: dict[str, Any] = {}
        parts: dict[str, bytes] = {}
        with contextlib.suppress(CorruptError):
            stored = self._find(leaf, None)
            for kind, name in enumerate(SECTIONS):
                with contextlib.suppress(CorruptError):
                    for blob, plain in self._opened(stored, frozenset({kind})):
                        if plain is not None:
                            text = _section(leaf, blob, plain)
                            sections[name] = disclose.open_disclosure(text, name)
            for name, part in self._parts(leaf, stored):
                if part is not None:
                    parts[name] = part.data
        return _view(leaf, sections, parts)

    def missing(self, index: int, tenant: str | None = None) -> dict[str, str]:
        """Why sections and parts that were recorded cannot be read: name → one sentence."""
        leaf = self._leaf(index)
        stored = self._find(leaf, tenant)
        reasons = {
            name: NOT_THERE
            for name, digest in zip(SECTIONS, leaf.sections, strict=True)
            if digest is not None
        }
        if stored is None:
            return reasons
        wrapping = self._wrapping(stored)
        for blob in stored.entry.blobs:
            reasons.pop(blob.name, None)
            key = wrapping[blob.kind in wraps.OF_THE_SUBJECT]
            if isinstance(key, str):
                reasons[blob.name] = key
        there = {blob.name for blob in stored.entry.blobs}
        content = self._disclosures(leaf, stored)[_CONTENT]
        listed = {} if content is None else listed_parts(content)
        reasons.update({name: NOT_THERE for name in listed if name not in there})
        return reasons

    def _disclosures(self, leaf: Leaf, stored: _Stored | None) -> tuple[str | None, ...]:
        found: list[str | None] = [None] * len(SECTIONS)
        for blob, plain in self._opened(stored, _SECTION_KINDS):
            if plain is not None:
                found[blob.kind] = _section(leaf, blob, plain)
        return tuple(found)

    def _parts(self, leaf: Leaf, stored: _Stored | None) -> list[tuple[str, OpenedPart | None]]:
        committed: dict[str, str] = {}
        found: list[tuple[str, OpenedPart | None]] = []
        for blob, plain in self._opened(stored, _CONTENT_KINDS):  # the section comes first
            if plain is None:
                if blob.kind == wraps.PART:
                    found.append((blob.name, None))
            elif blob.kind == _CONTENT:
                committed = listed_parts(_section(leaf, blob, plain))
            else:
                found.append((blob.name, _part(leaf, blob, plain, committed)))
        return found

    def _opened(
        self, stored: _Stored | None, kinds: frozenset[int]
    ) -> Iterator[tuple[wraps.Blob, bytes | None]]:
        """Each blob of these kinds, in order, unsealed; ``None`` where its key is gone."""
        if stored is None:
            return
        wrapping = self._wrapping(stored)
        with contextlib.ExitStack() as closing:
            segment = None
            at = stored.entry.offset
            for blob in stored.entry.blobs:
                begin, at = at, at + blob.size
                key = wrapping[blob.kind in wraps.OF_THE_SUBJECT]
                if blob.kind not in kinds:
                    continue
                if isinstance(key, str):
                    yield blob, None
                    continue
                segment = segment or closing.enter_context(stored.path.open("rb", buffering=0))
                sealed = os.pread(segment.fileno(), blob.size, begin)
                associated = (stored.entry.id + blob.name).encode()
                yield blob, open_blob(unwrap_key(key, blob.wrapped), sealed, associated)

    def _wrapping(self, stored: _Stored) -> tuple[bytes | str, bytes | str]:
        """The wrapping keys without and with the subjects' keys, or why there is none."""
        if not stored.path.exists():
            return REMOVED, REMOVED
        try:
            bucket = self._keyring.bucket_secret(stored.bucket)
        except NotFoundError as gone:
            return gone.message, gone.message
        alone = wraps.wrapping_key(bucket, ())
        if not stored.entry.subjects:
            return alone, alone
        try:
            subjects = [self._keyring.subject_secret(number) for number in stored.entry.subjects]
        except NotFoundError as gone:
            return alone, gone.message
        return alone, wraps.wrapping_key(bucket, subjects)

    def _find(self, leaf: Leaf, tenant: str | None) -> _Stored | None:
        if leaf.type in _NEVER_HERE:
            return None
        with self._lock:
            found = self._look(leaf, tenant)
            if found is None:
                self._catalogue.refresh()
                found = self._look(leaf, tenant)
            return found

    def _look(self, leaf: Leaf, tenant: str | None) -> _Stored | None:
        """Where the record stands; a damaged file matters only if no other one has it."""
        damaged: CorruptError | None = None
        for segment in self._catalogue.candidates(leaf.index, tenant):
            try:
                directory = self._directory(segment)
                data = None if directory is None else directory.entry(leaf.index)
                if directory is None or data is None:
                    continue
                entry = wraps.unpack(data)
            except CorruptError as error:
                damaged = error
                continue
            if entry.id == leaf.id:
                return _Stored(segment.path, directory.bucket, entry)
        if damaged is not None:
            raise damaged
        return None

    def _directory(self, segment: Segment) -> "_Directory | None":
        path = wraps_path(segment.path)
        known = self._directories.get(path)
        try:
            if known is not None and known.replaced():
                self._directories.pop(path).close()
                known = None
            if known is None:
                if path.stat().st_size < wraps.HEADER_BYTES:
                    return None  # its writer is just beginning it
                known = self._directories[path] = _Directory(path)
        except FileNotFoundError:
            gone = self._directories.pop(path, None)
            if gone is not None:
                gone.close()
            return None
        self._directories.move_to_end(path)
        while len(self._directories) > _OPEN_FILES:
            self._directories.popitem(last=False)[1].close()
        return known


class _Directory:
    """Where each entry of one wraps file stands: 16 bytes of memory per record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._inode = os.fstat(self._file.fileno()).st_ino
        self._indexes = array("Q")
        self._offsets = array("Q")
        self._end = wraps.HEADER_BYTES
        try:
            self.bucket = wraps.parse_header(self._read(0, wraps.HEADER_BYTES))
        except CorruptError:
            self._file.close()
            raise

    def replaced(self) -> bool:
        """Whether another file has that name now; ``FileNotFoundError`` if none has."""
        return self._path.stat().st_ino != self._inode

    def entry(self, index: int) -> bytes | None:
        """The packed entry of that ledger index, ``None`` if it is not (yet) there."""
        if not self._indexes or index > self._indexes[-1]:
            self._read_on()
        place = bisect_left(self._indexes, index)
        if place == len(self._indexes) or self._indexes[place] != index:
            return None
        begin = self._offsets[place]
        last = place + 1 == len(self._offsets)
        end = self._end if last else self._offsets[place + 1]
        return self._read(begin, end - begin)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_on(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        base = self._end
        for index, begin, end in wraps.scan(self._read(base, size - base)):
            self._indexes.append(index)
            self._offsets.append(base + begin)
            self._end = base + end

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)


def _section(leaf: Leaf, blob: wraps.Blob, plain: bytes) -> str:
    """The disclosure in an opened blob, checked against the leaf."""
    text = open_section(plain)
    if b64u(disclose.digest(text)) != leaf.sections[blob.kind]:
        raise CorruptError(f"Section {blob.name} of leaf {leaf.index} is another one.")
    return text


def _part(leaf: Leaf, blob: wraps.Blob, plain: bytes, committed: dict[str, str]) -> OpenedPart:
    """The part in an opened blob, checked against what the content section lists.

    What the section does not list, nobody committed to: whoever has the keys can put it there.
    """
    part = open_part(plain)
    digest = b64u(hashlib.sha256(part.salt + part.data).digest())
    if committed.get(blob.name) != digest:
        raise CorruptError(f"Part {blob.name} of leaf {leaf.index} is another one.")
    return part


def _view(leaf: Leaf, sections: dict[str, Any], parts: dict[str, bytes]) -> View:
    return View(
        index=leaf.index,
        time=leaf.time,
        at=leaf.at,
        id=leaf.id,
        type=leaf.type,
        tier=leaf.tier,
        re=leaf.re,
        src=leaf.src,
        digests=leaf.sections,
        sections=sections,
        parts=parts,
    )


def _values(disclosures: tuple[str | None, ...]) -> dict[str, Any]:
    return {
        name: disclose.open_disclosure(text, name)
        for name, text in zip(SECTIONS, disclosures, strict=True)
        if text is not None
    }
