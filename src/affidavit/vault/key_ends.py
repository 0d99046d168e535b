"""How the vault's keys end: retired, so that nothing new comes under them, and then destroyed.

Rules: only a retired key is destroyed, as the writer may be sealing under any other. A destroyed
key is off the disk when the call returns, free pages and write-ahead log included, and stays
behind as a row that says since when. All calls may be repeated. Keys that survivors are wrapped
under are made retired: no writer ever gets them.

Not here: what the keys wrap (``erase``), when a key's time has come (``retention``).
"""

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import zstandard

from affidavit import ids
from affidavit.errors import NotFoundError, UsageError
from affidavit.vault.keyring import Key, Keyring, Subject
from affidavit.vault.segments import Bucket


class End(NamedTuple):
    """How far a key has come: ``retired`` and ``destroyed`` say since when, ``None`` is not yet."""

    retired: str | None
    destroyed: str | None

    @property
    def in_use(self) -> bool:
        """Whether the writer may be sealing under it."""
        return self.retired is None and self.destroyed is None

    @property
    def is_retired(self) -> bool:
        """Whether it opens what it wraps, and nothing new comes under it."""
        return self.retired is not None and self.destroyed is None


def bucket_ends(keyring: Keyring, bucket: Bucket) -> dict[int, End]:
    """Every bucket key that a bucket has had, by number."""
    rows = keyring.read(
        "SELECT id, at, destroyed FROM bucket_keys LEFT JOIN bucket_keys_retired USING (id) "
        "WHERE tenant = ? AND class = ? AND day = ?",
        tuple(bucket),
    )
    return {int(number): End(retired, destroyed) for number, retired, destroyed in rows}


def subject_ends(keyring: Keyring, subject: Subject) -> dict[int, End]:
    """Every key that a subject has had in a class, by number."""
    rows = keyring.read(
        "SELECT id, at, destroyed FROM subject_keys LEFT JOIN subject_keys_retired USING (id) "
        "WHERE tenant = ? AND subject = ? AND class = ?",
        subject,
    )
    return {int(number): End(retired, destroyed) for number, retired, destroyed in rows}


def classes_of(keyring: Keyring, subject: str) -> dict[str, list[str]]:
    """The classes in which a person (a pseudonym) ever had a key, by tenant."""
    rows = keyring.read(
        "SELECT DISTINCT tenant, class FROM subject_keys WHERE subject = ? ORDER BY tenant, class",
        (subject,),
    )
    found: dict[str, list[str]] = {}
    for tenant, name in rows:
        found.setdefault(str(tenant), []).append(str(name))
    return found


def buckets_of(keyring: Keyring, tenant: str) -> list[Bucket]:
    """Every bucket of a tenant that ever had a key, by class and day."""
    rows = keyring.read(
        "SELECT DISTINCT class, day FROM bucket_keys WHERE tenant = ? ORDER BY class, day",
        (tenant,),
    )
    return [Bucket(tenant, str(name), str(day)) for name, day in rows]


def people_of(keyring: Keyring, tenant: str) -> dict[int, Subject]:
    """The keys of all people of a tenant that are not destroyed, by number."""
    rows = keyring.read(
        "SELECT id, subject, class FROM subject_keys WHERE tenant = ? AND wrapped IS NOT NULL",
        (tenant,),
    )
    return {int(number): (tenant, str(subject), str(name)) for number, subject, name in rows}


def returned(keyring: Keyring, tenant: str) -> set[Subject]:
    """The people of a tenant who have a key in use again, of whom one had ended before.

    Whoever never had another key is none of them.
    """
    rows = keyring.read(
        "SELECT DISTINCT subject, class FROM subject_keys WHERE tenant = ?1 "
        "AND wrapped IS NOT NULL AND id NOT IN (SELECT id FROM subject_keys_retired) "
        "AND subject IN (SELECT subject FROM subject_keys LEFT JOIN subject_keys_retired "
        "USING (id) WHERE tenant = ?1 AND (destroyed IS NOT NULL OR at IS NOT NULL))",
        (tenant,),
    )
    return {(tenant, str(subject), str(name)) for subject, name in rows}


def buckets_in_use(keyring: Keyring, tenant: str, retention_class: str) -> list[Bucket]:
    """The buckets of a class that new records may still come under the key of, by day."""
    rows = keyring.read(
        "SELECT day FROM bucket_keys WHERE tenant = ? AND class = ? AND wrapped IS NOT NULL "
        "AND id NOT IN (SELECT id FROM bucket_keys_retired) ORDER BY day",
        (tenant, retention_class),
    )
    return [Bucket(tenant, retention_class, day) for (day,) in rows]


def retire_buckets(keyring: Keyring, buckets: Iterable[Bucket]) -> None:
    """Nothing new comes under the keys of these buckets; the next record gets another key."""
    with keyring.changing() as change:
        change.database.executemany(
            "INSERT OR IGNORE INTO bucket_keys_retired (id, at) "
            "SELECT id, ? FROM bucket_keys WHERE tenant = ? AND class = ? AND day = ?",
            [(change.now, *bucket) for bucket in buckets],
        )


def retire_subjects(keyring: Keyring, subjects: Iterable[Subject]) -> None:
    """Nothing new comes under the keys of these subjects; who comes back gets another key."""
    with keyring.changing() as change:
        change.database.executemany(
            "INSERT OR IGNORE INTO subject_keys_retired (id, at) "
            "SELECT id, ? FROM subject_keys WHERE tenant = ? AND subject = ? AND class = ?",
            [(change.now, *subject) for subject in subjects],
        )


def new_bucket_key(keyring: Keyring, bucket: Bucket) -> Key:
    """Another key of a bucket for what survives an erasure; durable, and retired from the start."""
    secret = ids.key()
    with keyring.changing() as change:
        change.database.execute(
            "INSERT INTO bucket_keys (tenant, class, day, wrapped, created) VALUES (?, ?, ?, ?, ?)",
            (*bucket, change.wrap(secret), change.now),
        )
        number = change.database.last_insert_rowid()
        change.database.execute(
            "INSERT INTO bucket_keys_retired (id, at) VALUES (?, ?)", (number, change.now)
        )
    return Key(number, secret)


def new_subject_key(keyring: Keyring, subject: Subject) -> Key:
    """Another key of a subject for records that survive; durable, and retired from the start."""
    secret = ids.key()
    with keyring.changing() as change:
        change.database.execute(
            "INSERT INTO subject_keys (tenant, subject, class, wrapped, created) "
            "VALUES (?, ?, ?, ?, ?)",
            (*subject, change.wrap(secret), change.now),
        )
        number = change.database.last_insert_rowid()
        change.database.execute(
            "INSERT INTO subject_keys_retired (id, at) VALUES (?, ?)", (number, change.now)
        )
    return Key(number, secret)


def destroy_bucket(keyring: Keyring, number: int) -> None:
    """Destroy a bucket key for good; ``UsageError`` if it is still in use."""
    destroy_buckets(keyring, [number])


def destroy_buckets(keyring: Keyring, numbers: Iterable[int]) -> None:
    """Destroy several at once, all or none; ``UsageError`` if one of them is still in use."""
    wanted = list(numbers)
    for number in wanted:
        query = (
            "SELECT id, at, destroyed FROM bucket_keys LEFT JOIN bucket_keys_retired USING (id) "
            "WHERE id = ?"
        )
        for found in keyring.read(query, (number,)):
            _not_in_use("bucket", *found)
    _destroy(keyring, "bucket_keys", wanted)


def destroy_subject(keyring: Keyring, subject: Subject, numbers: Iterable[int]) -> None:
    """Destroy keys of a subject for good; ``UsageError`` if one of them is still in use."""
    ends = subject_ends(keyring, subject)
    wanted = sorted(set(numbers) & set(ends))
    for number in wanted:
        _not_in_use("subject", number, *ends[number])
    _destroy(keyring, "subject_keys", wanted)


def ended(keyring: Keyring) -> int:
    """How many keys of the vault were destroyed so far: grows with whatever is erased."""
    rows = keyring.read(
        "SELECT count(destroyed) FROM bucket_keys UNION ALL "
        "SELECT count(destroyed) FROM subject_keys UNION ALL SELECT count(destroyed) FROM hold_keys"
    )
    return sum(int(number) for (number,) in rows)


class Emptied(NamedTuple):
    """A segment that was removed, of ``records`` from leaf ``first`` to ``last``.

    ``key``: the number of its bucket key; ``at``: when.
    """

    key: int
    first: int
    last: int
    records: int
    at: str


def mark_emptied(keyring: Keyring, number: int, indexes: Sequence[int]) -> None:
    """Under this bucket key, which is destroyed, a segment with these leaves, ascending, goes."""
    if not indexes:
        return
    with keyring.changing() as change:
        change.database.execute(
            "INSERT OR IGNORE INTO segments_emptied (id, first, last, records, at) "
            "SELECT id, ?, ?, ?, ? FROM bucket_keys WHERE id = ? AND wrapped IS NULL",
            (indexes[0], indexes[-1], len(indexes), change.now, number),
        )
        change.database.execute(
            "INSERT OR IGNORE INTO segments_emptied_leaves (id, first, steps) "
            "SELECT id, ?, ? FROM bucket_keys WHERE id = ? AND wrapped IS NULL",
            (indexes[0], _steps(indexes), number),
        )


def emptied_with(keyring: Keyring, index: int, day: str) -> tuple[str, str]:
    """When a segment was removed that had leaf ``index``, of a UTC day, as nothing of it was left.

    And when, at last, one around it of which an earlier release did not write down the leaves;
    each ``""`` if there was none.
    """
    if not keyring.read("SELECT 1 FROM sqlite_schema WHERE name = 'segments_emptied_leaves'"):
        around = [one.at for one in emptied_on(keyring, day) if one.first <= index <= one.last]
        return "", max(around, default="")
    rows = keyring.read(
        "SELECT first, at, steps FROM bucket_keys JOIN segments_emptied USING (id) "
        "LEFT JOIN segments_emptied_leaves USING (id, first) "
        "WHERE day = ? AND first <= ? AND last >= ?",
        (day, index, index),
    )
    around = [at for _, at, steps in rows if steps is None]
    had = [at for first, at, steps in rows if steps is not None and index in _leaves(first, steps)]
    return max(had, default=""), max(around, default="")


def _steps(indexes: Sequence[int]) -> bytes:
    """From each leaf to the next, as u64be, compressed: mostly ones."""
    steps = [after - before for before, after in pairwise(indexes)]
    return zstandard.ZstdCompressor().compress(struct.pack(f">{len(steps)}Q", *steps))


@functools.lru_cache(maxsize=8)
def _leaves(first: int, steps: bytes) -> frozenset[int]:
    """Undo ``_steps``; of some segments remembered, as many leaves are asked for in a row."""
    data = zstandard.ZstdDecompressor().decompress(steps)
    return frozenset(accumulate(struct.unpack(f">{len(data) // 8}Q", data), initial=first))


def emptied_on(keyring: Keyring, day: str) -> list[Emptied]:
    """The segments of a UTC day that were removed as nothing of them was left."""
    if not keyring.read("SELECT 1 FROM sqlite_schema WHERE name = 'segments_emptied'"):
        return []  # no writer of this release has opened the file yet
    rows = keyring.read(
        "SELECT id, first, last, records, at FROM bucket_keys JOIN segments_emptied USING (id) "
        "WHERE day = ?",
        (day,),
    )
    return [Emptied(*row) for row in rows]


# Holds.


def hold_key(keyring: Keyring, name: str) -> Key:
    """The key of the hold of that name, made and durable on first use.

    ``UsageError`` if the hold was released: a name is given to one hold.
    """
    rows = keyring.read("SELECT id, destroyed FROM hold_keys WHERE hold = ?", (name,))
    if rows:
        number, destroyed = rows[0]
        if destroyed is not None:
            raise UsageError(
                f"The hold {name} was released at {destroyed}.", hint="Give it another name."
            )
        return Key(int(number), keyring.hold_secret(int(number)))
    secret = ids.key()
    with keyring.changing() as change:
        change.database.execute(
            "INSERT OR IGNORE INTO hold_keys (hold, wrapped, created) VALUES (?, ?, ?)",
            (name, change.wrap(secret), change.now),
        )
        mine = change.database.changes()
        number = change.database.last_insert_rowid()
    return Key(number, secret) if mine else hold_key(keyring, name)  # another thread's


class Placed(NamedTuple):
    """Of a hold, for whoever restores a backup that does not know it.

    ``wide``: placed on what is of all tenants; ``words``: a digest of what it was placed on.
    """

    tenant: str
    wide: bool
    words: bytes


def remember_holds(keyring: Keyring, holds: Mapping[str, Placed]) -> None:
    """Keep these by the names of the holds; what is there of a name stays as it was."""
    if holds:
        with keyring.changing() as change:
            change.database.executemany(
                "INSERT OR IGNORE INTO holds_known (hold, tenant, wide, words) VALUES (?, ?, ?, ?)",
                [(name, *one) for name, one in holds.items()],
            )


def remembered_holds(keyring: Keyring) -> dict[str, Placed]:
    """What is remembered of holds that were not released, by name."""
    rows = keyring.read("SELECT hold, tenant, wide, words FROM holds_known")
    return {str(name): Placed(str(tenant), bool(w), bytes(d)) for name, tenant, w, d in rows}


def hold_number(keyring: Keyring, name: str) -> int:
    """The number of a hold's key, also after its release; ``NotFoundError`` if there is none."""
    rows = keyring.read("SELECT id FROM hold_keys WHERE hold = ?", (name,))
    if not rows:
        raise NotFoundError(f"There is no hold {name}.")
    return int(rows[0][0])


def live_holds(keyring: Keyring) -> dict[int, str]:
    """The holds that were placed and not released: number of the key → name."""
    rows = keyring.read("SELECT id, hold FROM hold_keys WHERE wrapped IS NOT NULL")
    return {int(number): str(hold) for number, hold in rows}


def released_holds(keyring: Keyring) -> dict[str, str]:
    """The holds whose keys were destroyed: name → when."""
    rows = keyring.read("SELECT hold, destroyed FROM hold_keys WHERE destroyed IS NOT NULL")
    return {str(hold): str(destroyed) for hold, destroyed in rows}


def destroy_hold(keyring: Keyring, name: str) -> int:
    """Destroy the key of a hold for good; its number. ``NotFoundError`` if there is none."""
    number = hold_number(keyring, name)
    with keyring.changing() as change:
        change.database.execute("DELETE FROM holds_known WHERE hold = ?", (name,))
    _destroy(keyring, "hold_keys", [number])
    return number


def _not_in_use(kind: str, number: int, retired: str | None, destroyed: str | None) -> None:
    if End(retired, destroyed).in_use:
        raise UsageError(f"The {kind} key {number} is in use: it is retired before it ends.")


def _destroy(keyring: Keyring, table: str, numbers: Iterable[int]) -> None:
    query = f"UPDATE {table} SET wrapped = NULL, destroyed = ? WHERE id = ? AND wrapped IS NOT NULL"  # noqa: S608 - one of three names of this module
    with keyring.changing() as change:
        change.database.executemany(query, [(change.now, number) for number in numbers])
    keyring.leave_nothing()
