"""The vault's read side, for any process of the owner, also while the writer appends.

Rules: what is read is checked against the leaf of that index (record id, digest of each section)
and against the content section (digest of each part); bytes that are there and are not what was
committed to are an error, never an answer. What its own wraps do not open, those of a hold may;
what is not there has a reason. Nothing is cached but where things stand and, in the keyring, keys.
Not here: who may read what (``query``).
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from affidavit.config_retention import LEDGER
from affidavit.errors import CorruptError, NotFoundError
from affidavit.ids import b64u
from affidavit.ledger.leaf import Leaf
from affidavit.record import disclose
from affidavit.record.model import SECTIONS, Record, View
from affidavit.record.seal import open_blob
from affidavit.vault import key_ends, wraps
from affidavit.vault.blobs import OpenedPart, listed_parts, open_part, open_section
from affidavit.vault.directory import Directories
from affidavit.vault.holds import HeldKeys
from affidavit.vault.keyring import Keyring
from affidavit.vault.opening import Wrapping, part_key, wrapping_of
from affidavit.vault.segments import Catalogue, wraps_path
from affidavit.vault.stocktaking import Stocktaking

NOT_THERE = "Not in the vault."
REMOVED = "Its segment was removed."
"""Reasons that no destroyed key accounts for."""
AROUND = f"{NOT_THERE} Records around it were erased, at"
"""What a reason begins with that may be one or not: an earlier release removed a segment there."""

_NEVER_HERE = frozenset({"ledger.opened", "ledger.epoch", "ledger.heads"})
_CONTENT = SECTIONS.index("content")
_SECTION_KINDS = frozenset(range(len(SECTIONS)))
_ASKED_KINDS = frozenset({SECTIONS.index("who"), SECTIONS.index("what")})
_CONTENT_KINDS = frozenset({_CONTENT, wraps.PART})
_EVERY_KIND = _SECTION_KINDS | {wraps.PART}


class _Stored(NamedTuple):
    """One record as it stands in the vault: ``path`` is its segment."""

    path: Path
    bucket: int
    entry: wraps.Entry


_Opened = tuple[wraps.Blob, bytes | None]


class VaultReader:
    """Reads by ledger index. Calls from several threads take turns where they must.

    ``leaf`` returns the committed leaf of an index (``LogReader.leaf``). All methods raise
    ``CorruptError`` if stored bytes are not what the leaf commits to, and pass on what ``leaf``
    raises. ``tenant``, where known, says where to look first. ``stocks`` counts what there is.
    """

    def __init__(self, root: Path, keyring: Keyring, leaf: Callable[[int], Leaf]) -> None:
        self._keyring = keyring
        self._leaf = leaf
        self._lock = threading.Lock()
        self.stocks = Stocktaking(root, keyring)
        self._catalogue = Catalogue(root)
        self._directories = Directories(wraps.MAGIC)
        self._held = HeldKeys(keyring)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._directories.close()
        self._held.close()

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

    def bucket(self, index: int, tenant: str | None = None) -> tuple[str, str, str] | None:
        """Tenant, class and day under which the record is kept; ``None`` if nothing of it is."""
        stored = self._find(self._leaf(index), tenant)
        return None if stored is None else self._keyring.bucket_of(stored.bucket)

    def view(self, index: int, tenant: str | None = None) -> View:
        """The record with everything that can be read of it."""
        leaf = self._leaf(index)
        opened = self._opened(self._find(leaf, tenant), _EVERY_KIND)
        parts = _parts(leaf, opened)
        sections = _values(_disclosures(leaf, opened))
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

    def asked(self, leaf: Leaf) -> Record:
        """The request of a leaf, as far as it opens, for whoever makes its outcome.

        Of its sections ``who`` and ``what``, unless they are erased or damaged, or the disk does
        not give them. Of one that is not here any more nobody knows the tenant; its class is then
        the ledger's own. ``UnavailableError`` if ``keys.db`` cannot be read.
        """
        tenant, kept = "", LEDGER
        who = what = None
        with contextlib.suppress(CorruptError, NotFoundError, OSError):
            stored = self._find(leaf, None)
            if stored is not None:
                bucket = self._keyring.bucket_of(stored.bucket)
                tenant, kept, _ = bucket or (tenant, kept, "")
                opened = self._opened(stored, _ASKED_KINDS)
                found = dict(zip(SECTIONS, _disclosures(leaf, opened), strict=True))
                who, what = found["who"], found["what"]
        return Record(
            id=leaf.id, type=leaf.type, at=leaf.at, tier=leaf.tier, tenant=tenant,
            retention_class=kept, sections=(who, None, what, None, None, None, None), chains=(),
        )  # fmt: skip

    def ended(self) -> int:
        """How many keys were destroyed so far; while it stays the same, nothing is lost for good.

        ``UnavailableError`` if ``keys.db`` cannot be read.
        """
        return key_ends.ended(self._keyring)

    def left(self, named: Mapping[int, str]) -> dict[int, int]:
        """What opens of these records, by leaf index and id, without opening it.

        A bit ``1 << kind`` for each kind of blob (``wraps``) of which something has a key; 0 if
        nothing of the record is here. Left out is a record whose files are damaged.
        """
        found: dict[int, int] = {}
        wrappings: dict[tuple[int, tuple[int, ...]], Wrapping] = {}
        holds = bool(key_ends.live_holds(self._keyring))
        with self._lock:
            self._catalogue.refresh()
        for index, record in named.items():
            try:
                with self._lock:
                    stored = self._look(index, record, None)
                found[index] = 0 if stored is None else self._left(stored, wrappings, held=holds)
            except (CorruptError, NotFoundError):
                continue
        return found

    def _left(
        self,
        stored: _Stored,
        wrappings: dict[tuple[int, tuple[int, ...]], Wrapping],
        *,
        held: bool,
    ) -> int:
        if not stored.path.exists():
            return 0
        name = stored.bucket, stored.entry.subjects
        if name not in wrappings:
            wrappings[name] = wrapping_of(self._keyring, *name)
        kept = self._held.of(stored.path, stored.entry) if held else {}
        found, kinds = 0, wrappings[name].kinds
        for at, blob in enumerate(stored.entry.blobs):
            if at in kept or (blob.kind in kinds and not wraps.is_taken(blob.wrapped)):
                found |= 1 << blob.kind
        return found

    def missing(self, index: int, tenant: str | None = None) -> dict[str, str]:
        """Why sections and parts that were recorded cannot be read: name → one sentence."""
        leaf = self._leaf(index)
        stored = self._find(leaf, tenant)
        reason = self._not_there(leaf) if stored is None else NOT_THERE
        reasons = {
            name: reason
            for name, digest in zip(SECTIONS, leaf.sections, strict=True)
            if digest is not None
        }
        if stored is None:
            return reasons
        for blob, _, key in self._keys(stored, _EVERY_KIND):
            reasons.pop(blob.name, None)
            if isinstance(key, str):
                reasons[blob.name] = key
        there = {blob.name for blob in stored.entry.blobs}
        content = self._disclosures(leaf, stored)[_CONTENT]
        listed = {} if content is None else listed_parts(content)
        reasons.update({name: NOT_THERE for name in listed if name not in there})
        return reasons

    def _not_there(self, leaf: Leaf) -> str:
        """Why nothing of a leaf is here, as far as it is known."""
        since, around = key_ends.emptied_with(self._keyring, leaf.index, leaf.time[:10])
        if since:
            return f"It was erased, and its segment removed at {since}."
        return f"{AROUND} {around} last." if around else NOT_THERE

    def _disclosures(self, leaf: Leaf, stored: _Stored | None) -> tuple[str | None, ...]:
        return _disclosures(leaf, self._opened(stored, _SECTION_KINDS))

    def _parts(self, leaf: Leaf, stored: _Stored | None) -> list[tuple[str, OpenedPart | None]]:
        return _parts(leaf, self._opened(stored, _CONTENT_KINDS))

    def _opened(self, stored: _Stored | None, kinds: frozenset[int]) -> list[_Opened]:
        """Each blob of these kinds, in order, unsealed; ``None`` where its key is gone."""
        if stored is None:
            return []
        try:
            return self._unsealed(stored, kinds)
        except (CorruptError, FileNotFoundError):
            # Erased while we looked, perhaps: then keys or entry are others by now, or not there.
            again = self._stored_again(stored)
            return [] if again is None else self._unsealed(again, kinds)

    def _unsealed(self, stored: _Stored, kinds: frozenset[int]) -> list[_Opened]:
        found: list[_Opened] = []
        with contextlib.ExitStack() as closing:
            segment = None
            for blob, begin, key in self._keys(stored, kinds):
                if isinstance(key, str):
                    found.append((blob, None))
                    continue
                segment = segment or closing.enter_context(stored.path.open("rb", buffering=0))
                sealed = os.pread(segment.fileno(), blob.size, begin)
                associated = (stored.entry.id + blob.name).encode()
                found.append((blob, open_blob(key, sealed, associated)))
        return found

    def _keys(
        self, stored: _Stored, kinds: frozenset[int]
    ) -> list[tuple[wraps.Blob, int, bytes | str]]:
        """Each blob of these kinds, where it begins, and its key or why that is gone."""
        wrapping = wrapping_of(self._keyring, stored.bucket, stored.entry.subjects)
        there = stored.path.exists()
        held: dict[int, bytes] | None = None
        found: list[tuple[wraps.Blob, int, bytes | str]] = []
        end = stored.entry.offset
        for at, blob in enumerate(stored.entry.blobs):
            begin, end = end, end + blob.size
            if blob.kind in kinds:
                key = part_key(wrapping, blob)
                if there and isinstance(key, str):
                    held = self._held.of(stored.path, stored.entry) if held is None else held
                    key = held.get(at, key)
                if not there and isinstance(key, bytes):
                    key = REMOVED
                found.append((blob, begin, key))
        return found

    def _stored_again(self, stored: _Stored) -> _Stored | None:
        """The record as its files have it now."""
        with self._lock:
            directory = self._directories.get(wraps_path(stored.path))
            data = None if directory is None else directory.entry(stored.entry.index)
            if directory is None or data is None:
                return None
            return _Stored(stored.path, directory.bucket, wraps.unpack(data))

    def _find(self, leaf: Leaf, tenant: str | None) -> _Stored | None:
        if leaf.type in _NEVER_HERE:
            return None
        with self._lock:
            found = self._look(leaf.index, leaf.id, tenant)
            if found is None:
                self._catalogue.refresh()
                found = self._look(leaf.index, leaf.id, tenant)
            return found or (None if tenant is None else self._look(leaf.index, leaf.id, None))

    def _look(self, index: int, record: str, tenant: str | None) -> _Stored | None:
        """Where the record stands; a damaged file matters only if no other one has it."""
        damaged: CorruptError | None = None
        for segment in self._catalogue.candidates(index, tenant):
            try:
                directory = self._directories.get(wraps_path(segment.path))
                data = None if directory is None else directory.entry(index)
                if directory is None or data is None:
                    continue
                entry = wraps.unpack(data)
            except CorruptError as error:
                damaged = error
                continue
            if entry.id == record:
                return _Stored(segment.path, directory.bucket, entry)
        if damaged is not None:
            raise damaged
        return None


def _disclosures(leaf: Leaf, opened: Iterable[_Opened]) -> tuple[str | None, ...]:
    """The exact disclosures among opened blobs."""
    found: list[str | None] = [None] * len(SECTIONS)
    for blob, plain in opened:
        if plain is not None and blob.kind != wraps.PART:
            found[blob.kind] = _section(leaf, blob, plain)
    return tuple(found)


def _parts(leaf: Leaf, opened: Iterable[_Opened]) -> list[tuple[str, OpenedPart | None]]:
    """The parts among opened blobs, of which the section ``content`` is one and comes first."""
    committed: dict[str, str] = {}
    found: list[tuple[str, OpenedPart | None]] = []
    for blob, plain in opened:
        if blob.kind == wraps.PART:
            part = None if plain is None else _part(leaf, blob, plain, committed)
            found.append((blob.name, part))
        elif blob.kind == _CONTENT and plain is not None:
            committed = listed_parts(_section(leaf, blob, plain))
    return found


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
