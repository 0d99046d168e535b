"""Which key opens a sealed blob of the vault, and why none does any more.

Rules: a blob's key is wrapped under the keys of its bucket and of its subjects, and once more for
each hold that it is under. The first of these that is there opens it. A key that was destroyed and
a wrap that was taken away are reasons, with the time; a wrap that does not open is damage.

Not here: the blob itself, and whether it is what was committed to (``reader``, ``check``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from affidavit.errors import NotFoundError
from affidavit.record.keys import unwrap_key
from affidavit.vault import wraps
from affidavit.vault.keyring import Keyring

HOLD_MAGIC = b"AFHOLDS1"
"""What a hold's file beside a segment begins with; the rest is laid out as a wraps file."""

_EVERY_KIND = frozenset(range(wraps.PART + 1))
_NOT_OF_THE_SUBJECT = _EVERY_KIND - wraps.OF_THE_SUBJECT


class Wrapping(NamedTuple):
    """The wrapping keys without and with the subjects' keys; in place of each, why it is gone."""

    alone: bytes | str
    shared: bytes | str

    @property
    def kinds(self) -> frozenset[int]:
        """The kinds of blob that it wraps the keys of; without the subjects' keys not theirs."""
        if isinstance(self.shared, bytes):
            return _EVERY_KIND
        return _NOT_OF_THE_SUBJECT if isinstance(self.alone, bytes) else frozenset()

    def of(self, kind: int) -> bytes | str:
        """The one for a kind of blob."""
        return self.shared if kind in wraps.OF_THE_SUBJECT else self.alone


def wrapping_of(keyring: Keyring, bucket: int, subjects: Sequence[int]) -> Wrapping:
    """What wraps the keys of a record; ``NotFoundError`` for a number that never was a key's."""
    try:
        secret = keyring.bucket_secret(bucket)
    except NotFoundError as gone:
        return Wrapping(_why(gone), _why(gone))
    alone = wraps.wrapping_key(secret, ())
    if not subjects:
        return Wrapping(alone, alone)
    try:
        shared = [keyring.subject_secret(number) for number in subjects]
    except NotFoundError as gone:
        return Wrapping(alone, _why(gone))
    return Wrapping(alone, wraps.wrapping_key(secret, shared))


def hold_wrapping(keyring: Keyring, number: int) -> Wrapping:
    """What wraps the keys of a record for the hold whose key has that number."""
    try:
        key = wraps.wrapping_key(keyring.hold_secret(number), ())
    except NotFoundError as gone:
        return Wrapping(_why(gone), _why(gone))
    return Wrapping(key, key)


def part_key(wrapping: Wrapping, blob: wraps.Blob) -> bytes | str:
    """The key of a blob by one of its wraps, or why not; ``CorruptError`` if it does not open."""
    since = wraps.taken_at(blob.wrapped)
    if since is not None:
        return f"It was erased at {since}."
    key = wrapping.of(blob.kind)
    return key if isinstance(key, str) else unwrap_key(key, blob.wrapped)


def hold_path(segment: Path, number: int) -> Path:
    """The file of a hold beside a segment; ``number`` is that of the hold's key."""
    return segment.with_name(f"{segment.stem}.{number}.hold")


def _why(gone: NotFoundError) -> str:
    if "destroyed" not in gone.detail:
        raise gone
    return gone.message
