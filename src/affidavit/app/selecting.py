"""What an erasure, a hold or retention means, as leaf indexes: found in the index and the vault.

Rules: used on one worker thread; nothing is changed. An exchange goes and is held whole: where one
half matches, the other one is meant, too. What is below its minimum, of a class that nobody has
said how long to keep, or held, is no part of what goes now. Not here: who may ask for what
(``holding``, ``erasing``).
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from affidavit import retention
from affidavit.config import Config
from affidavit.control.erasures import Portion, What, packed
from affidavit.control.holds import Hold
from affidavit.errors import PrunedError
from affidavit.index.schema import Row
from affidavit.presets import presets
from affidavit.query.asked_then import exported
from affidavit.query.boundary import nothing
from affidavit.query.kept import halves, held
from affidavit.query.search import MAX_LIMIT, Searcher
from affidavit.query.tree import Match, Tree
from affidavit.record.model import SECTIONS
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import Bucket
from affidavit.vault.stocktaking import Stocktaking

_PERSON, _CONTENT = 1 << SECTIONS.index("person"), 1 << SECTIONS.index("content")
_OF: dict[What, int] = {
    "person": _PERSON | _CONTENT, "content": _CONTENT, "sections": (1 << len(SECTIONS)) - 1,
}  # fmt: skip
"""The sections of which one has to be readable, for there to be anything to erase."""

_WINDOW = 20_000
"""Records looked at together: most sessions are over before so many others have come."""


class Left(NamedTuple):
    """Why some records do not go yet: ``until`` a day (``""``: not known), under ``why``."""

    records: int
    until: str
    why: str


class Export(NamedTuple):
    """A bundle in which some of the records were: its record, when, by whom (a pseudonym)."""

    record: str
    time: str
    by: str
    records: int
    manifest: str


class Found(NamedTuple):
    """What a request would erase: how many records now, and later with the reasons.

    ``digest``: of the leaf indexes of all of these, which are those of ``portions``.
    """

    now: int
    later: tuple[Left, ...]
    digest: str
    exports: tuple[Export, ...] = ()
    portions: tuple[Portion, ...] = ()


class Selecting:
    """Finds leaves for one ledger; ``searcher`` without contents, ``vault`` of this thread."""

    def __init__(self, searcher: Searcher, vault: VaultReader, config: Config) -> None:
        self._searcher = searcher
        self._vault = vault
        self._config = config

    def close(self) -> None:
        """Close the files that it reads."""
        self._searcher.reader.close()
        self._vault.close()

    @property
    def size(self) -> int:
        """How many leaves the index has taken in, text included."""
        return min(one.size for one in self._searcher.reader.built())

    def matching(
        self, tree: Tree, what: What | None = None, low: int = 0, high: int | None = None
    ) -> list[int]:
        """The records of an injected tree between two indexes, with the other halves, ascending.

        With ``what``: those alone of which something is left that it takes away.
        """
        found: set[int] = set()
        seen: dict[int, int] = {}
        for row in self._rows(tree, low, high):
            seen[row.idx] = row.shown
            found |= {row.idx, *(one for one in (row.re, row.answered) if one is not None)}
        if what is not None:
            found = {index for index in found if self._shown(index, seen) & _OF[what]}
        return sorted(found)

    def others(self, tree: Tree, meant: Collection[int], most: int) -> tuple[int, bool]:
        """How many records of an injected tree are not ``meant``, and if there are more.

        Counted as far as ``most``.
        """
        count = 0
        for row in self._rows(tree, 0, None):
            if row.idx in meant:
                continue
            if count == most:
                return count, True
            count += 1
        return count, False

    def held(self, holds: Iterable[Hold], indexes: Sequence[int]) -> dict[str, list[int]]:
        """Which of these records each hold keeps, by its id; holds that keep none are left out."""
        both = self.halves(indexes)
        found: dict[str, list[int]] = {}
        for hold in holds:
            tree: Tree = msgspec.json.decode(hold.tree, type=Tree)
            mine = held(self._searcher, nothing(""), indexes, both, tree)
            if mine:
                found[hold.id] = mine
        return found

    def answers(self, indexes: Collection[int], what: What) -> list[int]:
        """Other halves that are not among these records, of which something is left."""
        others = set(self.halves(indexes).values()).difference(indexes)
        return sorted(index for index in others if self._shown(index, {}) & _OF[what])

    def unanswered(self, indexes: Iterable[int], asked: Collection[int]) -> list[int]:
        """Those that the ledger waits for (``asked``) and of which the index knows no answer.

        Ascending. What the index has not come to is one of them, for all it knows.
        """
        size, wanted = self.size, sorted(set(indexes))
        rows = [self._searcher.reader.row(i) for i in wanted if i < size and i in asked]
        waits = [row.idx for row in rows if row is not None and row.answered is None]
        return waits + [index for index in wanted if index >= size]

    def halves(self, indexes: Iterable[int]) -> dict[int, int]:
        """The other half of each of these records, where the index knows one."""
        return halves(self._searcher, indexes)

    def first_held(self, holds: Iterable[Hold], low: int, high: int) -> int | None:
        """The first record between two indexes that a hold matches, or whose other half does."""
        found: list[int] = []
        for hold in holds:
            tree: Tree = msgspec.json.decode(hold.tree, type=Tree)
            for row in self._searcher.rows_of(tree, 1, low, high):
                found += [one for one in (row.idx, row.re) if one is not None and one >= low]
        return min(found, default=None)

    def portions(self, indexes: Iterable[int]) -> list[Portion]:
        """These records by bucket of the vault, all of them ``later``."""
        by_bucket: dict[Bucket, list[int]] = {}
        for index in indexes:
            bucket = self.bucket(index)
            if bucket is not None:
                by_bucket.setdefault(bucket, []).append(index)
        return [
            Portion(*bucket, self._removable(bucket), later=tuple(mine))
            for bucket, mine in sorted(by_bucket.items())
        ]

    def divided(self, portion: Portion, holds: Sequence[Hold], now: str) -> Portion:
        """The same, with what may go ``now`` (a stored time) apart from what may not."""
        every = sorted({*portion.now, *portion.later})
        removable = self._removable(Bucket(*msgspec.structs.astuple(portion)[:3]))
        may = bool(removable) and removable <= now[:10]
        kept: set[int] = set()
        if may and holds:
            kept = set().union(*self.held(holds, every).values())
        goes = tuple(index for index in every if may and index not in kept)
        stays = tuple(index for index in every if not may or index in kept)
        return msgspec.structs.replace(portion, removable=removable, now=goes, later=stays)

    def left(self, portions: Iterable[Portion], holds: Sequence[Hold], now: str) -> list[Left]:
        """Why what is ``later`` does not go yet, summed by reason."""
        found: dict[tuple[str, str], int] = {}
        for portion in portions:
            if not portion.later:
                continue
            if not portion.removable or portion.removable > now[:10]:
                key = portion.removable, self.why(portion.retention_class)
                found[key] = found.get(key, 0) + len(portion.later)
                continue
            under = self.held(holds, portion.later)
            for hold, indexes in under.items():
                key = "", f"legal hold {hold}"  # its matter is for who may see the hold
                found[key] = found.get(key, 0) + len(indexes)
            free = set(portion.later).difference(*under.values())
            if free:
                key = "", "not held any more: goes with the next run"
                found[key] = found.get(key, 0) + len(free)
        return [Left(count, until, why) for (until, why), count in sorted(found.items())]

    def found(self, portions: Iterable[Portion], holds: Sequence[Hold], now: str) -> Found:
        """What would go of these, ``now`` and later."""
        every = [self.divided(one, holds, now) for one in portions]
        meant = [index for one in every for index in (*one.now, *one.later)]
        later = tuple(self.left(every, holds, now))
        exports = tuple(self.exports(meant))
        now_going = sum(len(one.now) for one in every)
        return Found(now_going, later, digest(meant), exports, tuple(every))

    def exports(self, indexes: Iterable[int]) -> Iterator[Export]:
        """The exports that may have disclosed something of these records, oldest first."""
        wanted = sorted(indexes)
        for row in self._rows(Match("type", "access.export"), 0, None):
            what = self._vault.sections(row.idx).get("what") or {}
            runs = exported(what) or ()
            count = sum(
                bisect_right(wanted, last) - bisect_left(wanted, first) for first, last in runs
            )
            if count:
                manifest = str(what.get("manifest", ""))
                yield Export(row.id, row.time, row.actor or "", count, manifest)

    def why(self, retention_class: str) -> str:
        """Why a class has the minimum that it has: its days, and the articles that want them."""
        terms = retention.terms(self._config, retention_class)
        if terms.kept.name != retention_class:
            return f"the class {retention_class} is not in the configuration"
        articles = [presets()[name].article for name in terms.minimum.by if name]
        said = f" ({'; '.join(articles)})" if articles else ""
        return f"the class {retention_class} is kept for {terms.kept.minimum} days at least{said}"

    def stays(self, bucket: Bucket, now: str) -> str:
        """Why nothing of a bucket may go ``now``; ``""`` if it may."""
        removable = self._removable(bucket)
        may = bool(removable) and removable <= now[:10]
        return "" if may else self.why(bucket.retention_class)

    def bucket(self, index: int) -> Bucket | None:
        """The bucket of a record, ``None`` if the vault has nothing of it."""
        try:
            found = self._vault.bucket(index)
        except PrunedError:
            return None
        return None if found is None else Bucket(*found)

    def slices(self, indexes: Sequence[int], most: int) -> Iterator[list[int]]:
        """The same records in slices of about ``most``, few sessions in two of them.

        Whoever takes one of a session takes all of it. Ascending ones are looked at in windows, so
        that memory does not grow with how many there are.
        """
        for begin in range(0, len(indexes), _WINDOW):
            window = indexes[begin : begin + _WINDOW]
            alone: dict[tuple[str, str] | int, list[int]] = {}
            spoken = self._searcher.reader.sessions(window)
            for index in window:
                alone.setdefault(spoken.get(index, index), []).append(index)
            batch: list[int] = []
            for together in alone.values():
                batch += together
                if len(batch) >= most:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _removable(self, bucket: Bucket) -> str:
        kept = retention.kept(self._config, bucket.retention_class)
        if kept.name != bucket.retention_class:
            return ""
        return retention.dates(kept, bucket.day).removable

    def _rows(self, tree: Tree, low: int, high: int | None) -> Iterator[Row]:
        while True:
            rows = self._searcher.rows_of(tree, MAX_LIMIT, low, high)
            yield from rows
            if len(rows) < MAX_LIMIT:
                return
            low = rows[-1].idx + 1

    def _shown(self, index: int, seen: dict[int, int]) -> int:
        if index not in seen:
            row = self._searcher.reader.row(index)
            seen[index] = 0 if row is None else row.shown
        return seen[index]


def of_tenant(stocks: Stocktaking, tenant: str, what: What) -> list[Portion]:
    """What the vault keeps for a tenant, whoever caused it, all of it ``later``."""
    goes: Literal["content", "sections"] = "content" if what == "content" else "sections"
    every = {one: stocks.leaves(one, goes) for one in stocks.buckets() if one.tenant == tenant}
    return [Portion(*one, "", later=tuple(mine)) for one, mine in every.items() if mine]


def digest(indexes: Collection[int]) -> str:
    """Hex SHA-256 of leaf indexes, ascending, each as u64be."""
    return hashlib.sha256(packed(sorted(indexes))).hexdigest()
