"""The vault's one writer: seals sections and content of records that are about to be sequenced.

Rules:

1. ``put`` returns when everything is durable, and comes before the ledger's commit: so whatever
   the ledger holds, the vault holds too (until it is erased).
2. A crash between the two leaves records in the vault that the ledger will give another place.
   ``open`` takes them out before anything else is put: from the end of each (tenant, class) back
   to the first record that is the committed leaf of its index. Whole segments are removed, wraps
   of single records are dropped from their file; their sealed bytes stay behind without a key.
   After that, one ledger index names one record.
3. Each section and part has its own random key, used once (``wraps`` says what wraps it).
   Bucket and subject keys are durable before anything is sealed under them.
4. Per batch each touched file is written once and synced once, segment before wraps.
5. After a failed write or sync the vault is dead; the process gives up, and the next one begins
   new segments.

Records without sections and content (the ledger's own) are not kept here. Compression against
the previous turn of a session, erasure (``erase``), holds and retention are not done here.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from affidavit import ids
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.ledger.leaf import Leaf
from affidavit.record.keys import wrap_key
from affidavit.record.model import SECTIONS, Placed
from affidavit.record.seal import PREFIX_BYTES, seal_blob
from affidavit.vault import key_ends, wraps
from affidavit.vault.blobs import Packer, Plain, plain_part, plain_section
from affidavit.vault.keyring import Key, Keyring, Subject
from affidavit.vault.recovery import Recovery
from affidavit.vault.segments import Bucket, SegmentWriter

_KINDS = range(len(SECTIONS))
_FRESH = struct.Struct(f"{ids.KEY_BYTES}s{PREFIX_BYTES}s")
"""Random bytes for one blob: its key, and what its nonces begin with."""

_OPEN_SEGMENTS = 128
"""Segments kept open at most; with more buckets in use, the least recently used one ends."""


class Vault:
    """The writer; one per data directory, used by one thread. Made by ``open``."""

    def __init__(self, disk: Disk, root: Path, keyring: Keyring) -> None:
        self._disk = disk
        self._root = root
        self._keyring = keyring
        self._packer = Packer()
        self._open: OrderedDict[Bucket, SegmentWriter] = OrderedDict()
        self._failed: OSError | None = None

    @classmethod
    def open(
        cls,
        disk: Disk,
        root: Path,
        keyring: Keyring,
        committed: int,
        leaf: Callable[[int], Leaf],
    ) -> "Vault":
        """Open the vault under ``root`` beside a ledger of ``committed`` leaves.

        ``leaf`` gives each of them (all are published). What was put and never committed is taken
        out first (rule 2); may be repeated after a crash at any step. ``UnavailableError`` if the
        disk does not allow it; errors of ``leaf`` are passed on and nothing is taken out.
        """
        try:
            disk.make_dir(root)
            Recovery(disk, root, committed, leaf).run()
        except OSError as error:
            raise _unwritable(error) from error
        return cls(disk, root, keyring)

    def put(self, placed: Sequence[Placed]) -> None:
        """Seal and keep these records, in ledger order; durable on return.

        ``UnavailableError`` if it could not be written: then, and ever after, nothing more is
        taken, and the process must start anew.
        """
        if self._failed is not None:
            raise _unwritable(self._failed)
        batches: dict[Bucket, list[Placed]] = {}
        for item in placed:
            if item.record.parts or any(text is not None for text in item.record.sections):
                record = item.record
                bucket = Bucket(record.tenant, record.retention_class, item.time[:10])
                batches.setdefault(bucket, []).append(item)
        if not batches:
            return
        subjects = self._subjects(item for batch in batches.values() for item in batch)
        try:
            writers = [self._write(bucket, batch, subjects) for bucket, batch in batches.items()]
            for writer in writers:
                for file in writer.files():
                    file.sync()
        except OSError as error:
            self._failed = error
            raise _unwritable(error) from error
        self._close_old(placed[-1].time[:10])

    def retire(self, buckets: Iterable[Bucket]) -> None:
        """End the segments of these buckets, whether this process wrote them or another one.

        Nothing is appended to them any more and their keys seal nothing new: what comes later for
        the same bucket goes into new segments under another key. On the thread that puts.
        """
        named = list(buckets)
        for bucket in named:
            if bucket in self._open:
                self._open.pop(bucket).close()
        key_ends.retire_buckets(self._keyring, named)

    def retire_subject(self, tenant: str, subject: str, classes: Iterable[str]) -> None:
        """The same for the key of a person in these classes, and for all buckets of these.

        All records of the person up to here stand in segments that are ended; who comes back gets
        another key.
        """
        named = list(classes)
        for one in named:
            self.retire(key_ends.buckets_in_use(self._keyring, tenant, one))
        key_ends.retire_subjects(self._keyring, [(tenant, subject, one) for one in named])

    def retire_tenant(self, tenant: str) -> None:
        """The same for all buckets of a tenant, and the keys of all of its people."""
        self.retire(key_ends.buckets_of(self._keyring, tenant))
        key_ends.retire_subjects(
            self._keyring, set(key_ends.people_of(self._keyring, tenant).values())
        )

    def retire_returned(self, tenant: str) -> None:
        """Retire the keys in use of people of a tenant of whom a key had ended before.

        An answer that comes for somebody whose keys had ended is sealed under such a key. People
        who came to the tenant since keep theirs.
        """
        key_ends.retire_subjects(self._keyring, key_ends.returned(self._keyring, tenant))

    def close(self) -> None:
        """Close all files; everything put is durable already."""
        while self._open:
            self._open.popitem()[1].close()

    def _write(
        self, bucket: Bucket, batch: Sequence[Placed], subjects: dict[Subject, Key]
    ) -> SegmentWriter:
        key = self._keyring.bucket(*bucket)
        writer = self._writer(bucket, key.id, batch[0].index)
        alone = wraps.wrapping_key(key.secret, ())
        shared: dict[tuple[str, ...], bytes] = {(): alone}
        outlines = [_outline(item) for item in batch]
        packed = iter(self._packer.pack([plain for one in outlines for _, _, plain in one]))
        fresh = _fresh(sum(map(len, outlines)))
        blobs: list[bytes] = []
        entries: list[bytes] = []
        at = writer.size
        for item, outline in zip(batch, outlines, strict=True):
            names = item.record.subjects
            numbers: tuple[int, ...] = ()
            if names:
                names = tuple(sorted(set(names)))
                keys = [subjects[_subject(item, name)] for name in names]
                numbers = tuple([one.id for one in keys])
                if names not in shared:
                    shared[names] = wraps.wrapping_key(key.secret, [one.secret for one in keys])
            wrapping = shared[names]
            record_id = item.record.id.encode("ascii")
            begin = at
            described: list[wraps.Blob] = []
            for (kind, name, _), blob in zip(outline, packed, strict=False):
                part_key, prefix = next(fresh)
                sealed = seal_blob(part_key, blob, record_id + name.encode(), prefix)
                over = wrapping if kind in wraps.OF_THE_SUBJECT else alone
                described.append(wraps.Blob(kind, name, len(sealed), wrap_key(over, part_key)))
                blobs.append(sealed)
                at += len(sealed)
            entry = wraps.Entry(item.index, begin, item.record.id, numbers, tuple(described))
            entries.append(wraps.pack(entry))
        writer.append(blobs, entries)
        return writer

    def _subjects(self, items: Iterable[Placed]) -> dict[Subject, Key]:
        wanted = {_subject(item, name) for item in items for name in item.record.subjects}
        return self._keyring.subjects(wanted) if wanted else {}

    def _writer(self, bucket: Bucket, key: int, first: int) -> SegmentWriter:
        writer = self._open.get(bucket)
        if writer is not None and writer.full:
            self._open.pop(bucket).close()
            writer = None
        if writer is None:
            directory = bucket.directory(self._root)
            writer = self._open[bucket] = SegmentWriter(self._disk, directory, first, key)
        self._open.move_to_end(bucket)
        return writer

    def _close_old(self, day: str) -> None:
        for bucket in [bucket for bucket in self._open if bucket.day < day]:
            self._open.pop(bucket).close()
        while len(self._open) > _OPEN_SEGMENTS:
            self._open.popitem(last=False)[1].close()


def _outline(item: Placed) -> list[tuple[int, str, Plain]]:
    """Kind, name and contents of each blob of a record, in the order of the segment."""
    record = item.record
    outline = [
        (kind, name, plain_section(text))
        for kind, name, text in zip(_KINDS, SECTIONS, record.sections, strict=True)
        if text is not None
    ]
    for part, body in zip(record.parts, item.bodies, strict=True):
        outline.append((wraps.PART, part.name, plain_part(part, body)))
    return outline


def _fresh(count: int) -> Iterator[tuple[bytes, bytes]]:
    """For each of ``count`` blobs a key of its own and what its nonces begin with, all random."""
    return _FRESH.iter_unpack(ids.random_bytes(_FRESH.size * count))


def _subject(item: Placed, name: str) -> Subject:
    return item.record.tenant, name, item.record.retention_class


def _unwritable(error: OSError) -> UnavailableError:
    return UnavailableError(
        f"The vault cannot be written: {error.strerror or error}.",
        hint="Free disk space or repair the disk, then restart; nothing recorded is lost.",
        kept="Every record is still in the journal.",
    )
