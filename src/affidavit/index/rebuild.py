"""The index again, from ledger and vault alone.

Rules: whatever the index holds is derived here by the same functions as live, in the order of
the ledger; what vault or keyring no longer have (erased) leaves no trace in a rebuilt index, nor
do leaves that were pruned. An index that claims another history than the ledger's is refused, not
repaired. Not here: putting a rebuilt index in the place of the old one (the sequencer does, between
two batches).
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from affidavit.errors import CorruptError, PrunedError, UsageError
from affidavit.index import sqlite, text
from affidavit.index.indexer import Indexer
from affidavit.ledger.note import Checkpoint
from affidavit.ledger.pruned import Pruned
from affidavit.record.model import View

_BATCH = 500


class Ledger(Protocol):
    """What is needed of ``ledger.log_reader.LogReader``."""

    def checkpoint(self) -> Checkpoint:
        """The published checkpoint, read anew."""

    def root(self, size: int) -> bytes:
        """The Merkle root over the first ``size`` leaves; ``PrunedError`` if it is gone."""

    def pruned(self) -> Pruned:
        """Which leaves are there."""


def catch_up(
    indexer: Indexer,
    ledger: Ledger,
    view: Callable[[int], View],
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Index what the ledger has published and the index has not seen; returns how many leaves.

    ``stop`` is asked before each batch.

    Leaves that were pruned are passed over, those that were kept of them are not. ``CorruptError``
    if the index stands for a history that this ledger does not have.
    """
    published = ledger.checkpoint().size
    built = indexer.built
    known = _root(ledger, built.size) if built.root and built.size <= published else built.root
    if not known and built.root:
        raise CorruptError(
            f"The index is an old one, of {built.size} leaves, and the log was pruned beyond them.",
            hint="Run: affidavit index rebuild",
        )
    if built.size > published or known != built.root:
        raise CorruptError(
            f"The index stands for another ledger than this one (at size {built.size}).",
            hint="Run: affidavit index rebuild",
        )
    begin, count = indexer.size, 0
    there = ledger.pruned().present(begin, published)
    while not stop() and (indices := list(itertools.islice(there, _BATCH))):
        last = indices[-1] + 1
        views = [view(index) for index in indices]
        indexer.apply_views(views, last, _root(ledger, last), begin)
        begin, count = last, count + len(indices)
    indexer.settle()
    return count


def _root(ledger: Ledger, size: int) -> bytes:
    """The root, or nothing if it was pruned."""
    try:
        return ledger.root(size)
    except PrunedError:
        return b""


def rebuild(directory: Path, key: bytes, ledger: Ledger, view: Callable[[int], View]) -> int:
    """Build an index in ``directory``, which has none; returns the number of leaves it covers.

    ``UsageError`` if there is an index already.
    """
    for name in (sqlite.INDEX_FILE, sqlite.TEXT_FILE):
        if (directory / name).exists():
            raise UsageError(f"{name} is there already.", hint="Rebuild into an empty directory.")
    indexer = Indexer(directory, key)
    indexer.start()
    try:
        return catch_up(indexer, ledger, view)
    finally:
        indexer.close()


def dump(directory: Path, key: bytes) -> Iterator[str]:
    """Everything both files hold, line by line: equal lines mean equal answers."""
    yield from sqlite.dump(directory / sqlite.INDEX_FILE, key)
    yield from text.dump(directory / sqlite.TEXT_FILE, key)
