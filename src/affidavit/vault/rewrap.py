"""One file of wraps in an erasure: what of it goes, and the file that takes its place.

Rules: a blob is *live* while its own wrap opens. What goes loses its wrap, and the time of that
stands in its place; what stays is wrapped under the new keys. Entries keep their order and size,
and what follows the last whole one is kept as it is. Not here: destroying keys, sealed content.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from affidavit.errors import CorruptError, NotFoundError
from affidavit.record.keys import unwrap_key, wrap_key
from affidavit.vault import wraps
from affidavit.vault.erased import Tally
from affidavit.vault.holds import Held, held_of
from affidavit.vault.keyring import Keyring
from affidavit.vault.opening import Wrapping, wrapping_of
from affidavit.vault.segments import wraps_path
from affidavit.vault.whole_files import WholeFile, read_hold, read_wraps

NOTHING: frozenset[int] = frozenset()

Doomed = Callable[[int, tuple[int, ...]], frozenset[int]]
"""The kinds of blob that go of a record, by its leaf index and the numbers of its subjects' keys.

``NOTHING`` for a record that the erasure is not about.
"""


class Look(NamedTuple):
    """What a file has: ``meant`` records that the erasure is about, ``goes`` live blobs of theirs.

    ``stays``: other live blobs. ``people``: keys of subjects of the records that are meant,
    ``others``: of those that are not.
    """

    meant: bool
    goes: bool
    stays: bool
    people: frozenset[int]
    others: frozenset[int]


class Wrappings:
    """The wrapping keys of one bucket key, by the records' subjects."""

    def __init__(self, keyring: Keyring, bucket: int) -> None:
        self._keyring = keyring
        self._bucket = bucket
        self._known: dict[tuple[int, ...], Wrapping] = {}

    def of(self, subjects: tuple[int, ...]) -> Wrapping:
        """Those for records of these subjects; ``CorruptError`` if no such keys ever were."""
        found = self._known.get(subjects)
        if found is None:
            try:
                found = wrapping_of(self._keyring, self._bucket, subjects)
            except NotFoundError as error:
                raise CorruptError(f"A record is under a key that never was: {error}") from error
            self._known[subjects] = found
        return found


def live(wrapping: Wrapping, entry: wraps.Entry) -> list[int]:
    """Which blobs of an entry, counted from 0, their own wraps open."""
    opens = wrapping.kinds
    return [
        at
        for at, blob in enumerate(entry.blobs)
        if blob.kind in opens and not wraps.is_taken(blob.wrapped)
    ]


def look(
    keyring: Keyring,
    file: WholeFile,
    doomed: Doomed,
    held: Held,
    tally: Tally,
    rest: Callable[[], None] = lambda: None,
) -> Look:
    """Count what goes of a file; ``rest`` is called after each record."""
    wrappings = Wrappings(keyring, file.key)
    meant = goes = stays = False
    people: set[int] = set()
    others: set[int] = set()
    for index, begin, end in file.places:
        data = file.data[begin:end]
        subjects = wraps.outline(data)[1]
        kinds = doomed(index, subjects)
        meant = meant or bool(kinds)
        (people if kinds else others).update(subjects)
        rest()
        if stays and not kinds and index not in tally:
            continue
        entry, wrapping = wraps.unpack(data), wrappings.of(subjects)
        kept = held.get(index, frozenset())
        open_still = live(wrapping, entry)
        gone = [at for at in open_still if entry.blobs[at].kind in kinds]
        if index in tally and any(entry.blobs[at].kind in tally.kinds for at in open_still):
            tally.stays(index)
        stays = stays or len(gone) < len(open_still)
        if any(entry.blobs[at].kind in kinds for at in kept):
            tally.held(index)
        if gone:
            goes = True
            lost = [entry.blobs[at] for at in gone if at not in kept]
            tally.gone(index, [(blob.kind == wraps.PART, blob.size) for blob in lost])
    return Look(meant, goes, stays, frozenset(people), frozenset(others))


def opened(
    keyring: Keyring,
    file: WholeFile,
    doomed: Doomed,
    held: Held,
    rest: Callable[[], None] = lambda: None,
) -> list[int]:
    """The leaves of a file that are meant, and of which a blob that is to go is live or held."""
    wrappings = Wrappings(keyring, file.key)
    found: list[int] = []
    for index, begin, end in file.places:
        data = file.data[begin:end]
        subjects = wraps.outline(data)[1]
        kinds = doomed(index, subjects)
        rest()
        if kinds:
            entry = wraps.unpack(data)
            opens = held.get(index, frozenset()).union(live(wrappings.of(subjects), entry))
            if any(entry.blobs[at].kind in kinds for at in opens):
                found.append(index)
    return found


def only_held(keyring: Keyring, segment: Path, number: int, tally: Tally) -> frozenset[int]:
    """The leaves that the hold of that number has of a segment; counts what it alone keeps."""
    hold = read_hold(segment, number)
    if hold is None or not wraps_path(segment).exists():
        return NOTHING
    file = read_wraps(segment)
    own = {index: file.data[begin:end] for index, begin, end in file.places}
    others = held_of(keyring, segment, without=number)
    wrappings = Wrappings(keyring, file.key)
    for entry in hold.entries():
        data = own.get(entry.index)
        open_still = set(others.get(entry.index, ()))
        if data is not None:
            wrapped = wraps.unpack(data)
            open_still.update(live(wrappings.of(wrapped.subjects), wrapped))
        lost = [
            (blob.kind == wraps.PART, blob.size)
            for at, blob in enumerate(entry.blobs)
            if at not in open_still and not wraps.is_taken(blob.wrapped)
        ]
        tally.gone(entry.index, lost)
    return frozenset(index for index, _, _ in hold.places)


def rewritten(
    keyring: Keyring,
    file: WholeFile,
    doomed: Doomed,
    now: str,
    bucket: int,
    subjects: dict[int, int] | None = None,
    rest: Callable[[], None] = lambda: None,
) -> bytes:
    """The file without the wraps of what goes, under the bucket key of number ``bucket``.

    ``subjects``: keys of subjects by whose successors records that stay are sealed from now on.
    ``rest`` is called after each record.
    """
    successors = subjects or {}
    old, new = Wrappings(keyring, file.key), Wrappings(keyring, bucket)
    taken = wraps.taken(now)
    out = [wraps.header(bucket)]
    for index, begin, end in file.places:
        data = file.data[begin:end]
        before = wraps.outline(data)[1]
        kinds = doomed(index, before)
        rest()
        after = before if kinds else tuple([successors.get(one, one) for one in before])
        if bucket == file.key and not kinds and after == before:
            out.append(data)
            continue
        entry = wraps.unpack(data)
        opens, closes = old.of(before), new.of(after)
        blobs = []
        for blob in entry.blobs:
            if wraps.is_taken(blob.wrapped):
                blobs.append(blob)
            elif blob.kind in kinds:
                blobs.append(wraps.Blob(blob.kind, blob.name, blob.size, taken))
            else:
                blobs.append(_again(opens.of(blob.kind), closes.of(blob.kind), blob))
        out.append(wraps.pack(wraps.Entry(index, entry.offset, entry.id, after, tuple(blobs))))
    out.append(file.data[file.end :])
    return b"".join(out)


def _again(opens: bytes | str, closes: bytes | str, blob: wraps.Blob) -> wraps.Blob:
    """The blob with its key under another wrapping key; as it is, if nothing opens it any more."""
    if isinstance(opens, str) or isinstance(closes, str) or opens == closes:
        return blob
    wrapped = wrap_key(closes, unwrap_key(opens, blob.wrapped))
    return wraps.Blob(blob.kind, blob.name, blob.size, wrapped)
