"""Checking the two files of an index against the ledger they stand for; changes nothing.

Rules: every page in use is read, and its checksum with it; size and root in each file are those of
the ledger's beginning. An index that is behind is no damage: it catches up. Not here: whether the
rows say what the records say, which only a rebuild shows (``rebuild.dump``).
"""

from collections.abc import Callable
from pathlib import Path

import apsw

from affidavit.durable import check_database, open_database
from affidavit.errors import CorruptError, PrunedError, UnavailableError
from affidavit.index.sqlite import INDEX_FILE, TEXT_FILE, check_version, read_built

Root = Callable[[int], bytes | None]
"""The ledger's root over so many leaves, ``None`` if it has not published as many."""


def check_index(directory: Path, key: bytes, root: Root, wait: Callable[[], None]) -> int:
    """Check both files; returns how many leaves they both stand for.

    ``wait`` pauses for a tenth of a second: the ledger may publish a little after the index has
    what was committed. ``CorruptError`` names the file.
    """
    return min(_check(directory / name, key, root, wait) for name in (INDEX_FILE, TEXT_FILE))


def _check(path: Path, key: bytes, root: Root, wait: Callable[[], None]) -> int:
    name = path.name
    if not path.exists():
        raise CorruptError(f"{name} is not there.", object=name)
    try:
        connection = open_database(path, key, read_only=True, untouched=True)
        try:
            check_database(connection, name)
            check_version(connection, name)
            built = read_built(connection)
        finally:
            connection.close()
    except (apsw.Error, UnavailableError, ValueError) as error:
        raise CorruptError(f"{name} does not open: {error}", object=name) from error
    try:
        found = root(built.size)
        for _ in range(20):
            if found is not None:
                break
            wait()
            found = root(built.size)
    except PrunedError as error:
        raise CorruptError(
            f"{name} stands for {built.size} leaves, and the log was pruned beyond them.",
            object=name,
        ) from error
    if built.size and found != built.root:
        raise CorruptError(
            f"{name} stands for another ledger than this one (at {built.size} leaves).", object=name
        )
    return built.size
