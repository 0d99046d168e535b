"""What the vault still holds, bucket by bucket: records, and how many have something left to go.

Rules: names of directories say which buckets there are; a file of wraps is read only when its
bucket is asked about, and again only when it has changed. Of a file whose bucket key was destroyed
nothing is left but what a hold has the keys of, in a file of its own beside the segment. A damaged
file is counted as such; its entries count as if all of them could go, as far as they are told
apart, so that whoever is to take them away meets the damage. Changes nothing, and may run beside
the writer: what it has not finished writing is not counted. Not here: what may go (``retention``),
opening anything.
"""

import threading
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from affidavit.errors import NotFoundError
from affidavit.record.model import SECTIONS
from affidavit.vault import wraps
from affidavit.vault.opening import HOLD_MAGIC
from affidavit.vault.segments import Bucket, days_in, groups_in, segments_in, wraps_path

What = Literal["content", "sections"]
"""What goes of a record: the section ``content`` and the parts, or these and all other sections."""

_GOES: dict[What, int] = {
    "content": 1 << SECTIONS.index("content") | 1 << wraps.PART,
    "sections": (1 << len(SECTIONS)) - 1 | 1 << wraps.PART,
}
"""The kinds of blob that go, as ``wraps.live_kinds`` has them."""

_MAGICS = (wraps.MAGIC, HOLD_MAGIC)


class Buckets(Protocol):
    """What of the keyring is asked (``keyring.Keyring``)."""

    def bucket_of(self, number: int) -> tuple[str, str, str] | None:
        """Tenant, class and day of the bucket key of that number."""

    def bucket_secret(self, number: int) -> bytes:
        """The bucket key of that number; ``NotFoundError`` if it was destroyed."""

    def hold_secret(self, number: int) -> bytes:
        """The hold's key of that number; ``NotFoundError`` if it was destroyed."""


class Stock(NamedTuple):
    """What a bucket holds: ``records`` in it, ``bytes`` on disk.

    ``left``: records that have something to go; ``held``: those of them that a hold keeps.
    ``damaged``: files of wraps that are damaged, whose records may not all be counted.
    """

    records: int
    bytes: int
    left: int
    held: int = 0
    damaged: int = 0


class _File(NamedTuple):
    """What was read of a file: number of its key, its records, and which have something to go."""

    number: int
    records: int
    left: frozenset[int]
    damaged: bool


class _Counted(NamedTuple):
    """The same as it is remembered: ``left`` is how many; ``stamp`` that of the file."""

    stamp: tuple[int, ...]
    number: int
    records: int
    left: int
    damaged: bool


class Stocktaking:
    """Counts what stands under ``root``; remembers what it counted.

    Calls from several threads take turns. ``rest`` is called after each file that was read, for the
    sake of others.
    """

    def __init__(
        self, root: Path, keyring: Buckets, rest: Callable[[], None] = lambda: None
    ) -> None:
        self._root = root
        self._keyring = keyring
        self._rest = rest
        self._lock = threading.Lock()
        self._names: dict[Path, tuple[str, str] | None] = {}
        self._counted: dict[tuple[Path, What], _Counted] = {}

    def buckets(self) -> Iterator[Bucket]:
        """Every bucket there is a directory of, in order of tenant, class and day."""
        found = []
        for group in groups_in(self._root):
            days = [day for day in days_in(group) if _is_day(day)]
            names = self._named(group, days)
            if names is not None:
                found += [Bucket(*names, day) for day in days]
        yield from sorted(found)

    def stock(self, bucket: Bucket, what: What, held: frozenset[int] = frozenset()) -> Stock:
        """What a bucket holds; nothing, if it is not there any more."""
        records = size = left = kept = damaged = 0
        directory = bucket.directory(self._root)
        holds: dict[str, list[Path]] = {}
        for path in sorted(directory.glob("*.hold")):
            holds.setdefault(path.name.partition(".")[0], []).append(path)
        for segment in segments_in(directory):
            with self._lock:
                found = self._file(segment.path, holds.get(segment.path.stem, []), what, held)
            records, size = records + found.records, size + found.bytes
            left, kept = left + found.left, kept + found.held
            damaged += found.damaged
        return Stock(records, size, left, kept, damaged)

    def leaves(self, bucket: Bucket, what: What) -> list[int]:
        """The leaves of a bucket of which something is left to go, ascending; held ones, too."""
        found: set[int] = set()
        directory = bucket.directory(self._root)
        for segment in segments_in(directory):
            with self._lock:
                file = self._read(wraps_path(segment.path), what)
            if _is_there(self._keyring.bucket_secret, file.number):
                found |= file.left
        for path in directory.glob("*.hold"):
            found |= self._held(path, what)
        return sorted(found)

    def first(self, bucket: Bucket, low: int, high: int) -> int | None:
        """The first leaf index of ``low`` ≤ index < ``high`` that has an entry in a bucket."""
        segments = [one for one in segments_in(bucket.directory(self._root)) if one.first < high]
        nearest = max((one.first for one in segments if one.first <= low), default=0)
        for segment in segments:
            if segment.first < nearest:
                continue
            try:
                data = wraps_path(segment.path).read_bytes()[wraps.HEADER_BYTES :]
            except FileNotFoundError:
                continue
            self._rest()
            for index, _, _ in wraps.scan(data):
                if low <= index < high:
                    return index
        return None

    def _file(self, segment: Path, holds: list[Path], what: What, held: frozenset[int]) -> Stock:
        try:
            stamp = _stamp(wraps_path(segment))
            size = stamp[1] + _size(segment) + sum(map(_size, holds))
        except FileNotFoundError:
            return Stock(0, 0, 0)
        known = self._counted.get((segment, what))
        left: frozenset[int] | None = None
        if known is None or known.stamp != stamp or held or holds:
            file = self._read(wraps_path(segment), what)
            left = file.left
            known = self._counted[segment, what] = _Counted(
                stamp, file.number, file.records, len(left), file.damaged
            )
        records, count = known.records, known.left
        why = _why_not(self._keyring.bucket_secret, known.number)
        there = not why
        damaged = int(why != "destroyed" and (known.damaged or bool(why and records)))
        if left is None or not (held or holds):
            return Stock(records, size, count if there else 0, 0, damaged)
        left = left if there else frozenset()
        kept = frozenset[int]().union(*(self._held(path, what) for path in holds))
        return Stock(records, size, len(left | kept), len((left & held) | kept), damaged)

    def _read(self, path: Path, what: What) -> _File:
        """What a file has; ``number`` is 0 of one that does not begin as a file of wraps."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return _File(0, 0, frozenset(), damaged=False)
        rest = data[wraps.HEADER_BYTES :]
        places = list(wraps.scan(rest))
        damaged = wraps.is_damaged(rest[places[-1][2] if places else 0 :])
        if damaged:
            places = list(wraps.places(rest))
        left = frozenset(
            index for index, begin, end in places if _live_kinds(rest[begin:end]) & _GOES[what]
        )
        self._rest()
        if len(data) >= wraps.HEADER_BYTES and data[: len(wraps.MAGIC)] not in _MAGICS:
            return _File(0, len(places), frozenset(), damaged=data.count(0) < len(data))
        number = int.from_bytes(data[8 : wraps.HEADER_BYTES], "big")
        return _File(number, len(places), left, damaged)

    def _held(self, path: Path, what: What) -> frozenset[int]:
        file = self._read(path, what)
        return file.left if _is_there(self._keyring.hold_secret, file.number) else frozenset()

    def _named(self, group: Path, days: list[str]) -> tuple[str, str] | None:
        """Tenant and class of a directory; those of long names are known by their keys alone."""
        if group not in self._names:
            tenant, class_ = _text(group.parent.name), _text(group.name)
            if tenant is None or class_ is None:
                numbers = (self._number(group / day) for day in days)
                number = next((one for one in numbers if one is not None), None)
                bucket = None if number is None else self._keyring.bucket_of(number)
                if bucket is None:
                    return None
                tenant, class_ = bucket[:2]
            self._names[group] = tenant, class_
        return self._names[group]

    def _number(self, directory: Path) -> int | None:
        for segment in segments_in(directory):
            try:
                with wraps_path(segment.path).open("rb") as file:
                    head = file.read(wraps.HEADER_BYTES)
            except FileNotFoundError:
                continue  # an erasure has just taken it
            if len(head) == wraps.HEADER_BYTES:
                return wraps.parse_header(head)
        return None


def _live_kinds(data: bytes) -> int:
    """``wraps.live_kinds``; all of them of an entry that is damaged."""
    try:
        return wraps.live_kinds(data)
    except IndexError:
        return _GOES["sections"]


def _is_there(secret: Callable[[int], bytes], number: int) -> bool:
    return not _why_not(secret, number)


def _why_not(secret: Callable[[int], bytes], number: int) -> Literal["", "destroyed", "unknown"]:
    """Why there is no key of that number, ``""`` if there is; ``unknown``: there never was one."""
    try:
        secret(number)
    except NotFoundError as gone:
        return "destroyed" if "destroyed" in gone.detail else "unknown"
    return ""


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _text(component: str) -> str | None:
    """What ``segments.component`` made this of; ``None`` if it is not to be told from it."""
    if component == "%":
        return ""
    return None if "~" in component else urllib.parse.unquote(component)


def _stamp(path: Path) -> tuple[int, ...]:
    """By which a file is known not to have changed; the second is its size."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
