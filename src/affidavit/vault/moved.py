"""What an older copy of the vault does not open, though not all of it was erased.

When something of a bucket is erased, what stays of that bucket is wrapped under a new key and the
old key is destroyed; the same goes for what stays of a person. A copy of the files from before has
wraps under the old keys alone, so nothing that these wrapped opens with the keys of now.

Rules: a key has *moved* if it is destroyed, and a later one of its name is there that was made for
what survived (no writer ever had it). What a hold opens is not counted. Which of the records that
are counted were erased is in no copy: some of them were. Not here: erasing (``erase``).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from affidavit.vault import wraps
from affidavit.vault.holds import held_of
from affidavit.vault.keyring import Keyring
from affidavit.vault.segments import Bucket
from affidavit.vault.whole_files import WholeFile, read_wraps

_MOVED = """
SELECT old.id FROM {table} AS old WHERE old.wrapped IS NULL AND EXISTS (
    SELECT 1 FROM {table} AS later JOIN {table}_retired AS made ON made.id = later.id
    WHERE later.tenant = old.tenant AND later.class = old.class AND later.{name} = old.{name}
    AND later.id > old.id AND later.wrapped IS NOT NULL AND made.at = later.created
)
"""


class Moved(NamedTuple):
    """So many records of a bucket of which the copy does not open all, erased ones among them."""

    tenant: str
    retention_class: str
    day: str
    records: int


def moved(keyring: Keyring, segments: Iterable[Path]) -> list[Moved]:
    """By bucket, what of these segments of a copy the keys of now do not open for that reason.

    ``CorruptError`` for a damaged file of wraps.
    """
    buckets = _ids(keyring, "bucket_keys", "day")
    subjects = _ids(keyring, "subject_keys", "subject")
    if not buckets and not subjects:
        return []
    rows = keyring.read("SELECT id, tenant, class, day FROM bucket_keys")
    named = {int(number): Bucket(*map(str, name)) for number, *name in rows}
    found: dict[Bucket, int] = {}
    for segment in segments:
        file = read_wraps(segment)
        if file.key in buckets:
            held = held_of(keyring, segment)
            count = sum(index not in held for index, _, _ in file.places)
        else:
            count = sum(not subjects.isdisjoint(one) for one in _subjects(file))
        if count and file.key in named:
            found[named[file.key]] = found.get(named[file.key], 0) + count
    return [Moved(*bucket, count) for bucket, count in sorted(found.items())]


def _ids(keyring: Keyring, table: str, name: str) -> set[int]:
    return {int(number) for (number,) in keyring.read(_MOVED.format(table=table, name=name))}


def _subjects(file: WholeFile) -> Iterable[tuple[int, ...]]:
    """The numbers of the subjects' keys of each record."""
    return (wraps.outline(file.data[begin:end])[1] for _, begin, end in file.places)
