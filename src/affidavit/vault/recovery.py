"""Takes out of the vault what was put for a commit that never came.

Rules: from the end of each (tenant, class) backwards, up to the first record that is the committed
leaf of its index. A segment whose records were all put in vain is removed, wraps first; from the
wraps file of the one before, entries are dropped. What cannot be judged is left alone: a damaged
entry ends nothing and is never a reason to drop what may be committed. May end anywhere and be
run again. Not here: erasure of what was committed.
"""

from collections.abc import Callable
from pathlib import Path

from affidavit.durable import Disk
from affidavit.errors import PrunedError
from affidavit.ledger.leaf import Leaf
from affidavit.vault import wraps
from affidavit.vault.segments import Segment, days_in, groups_in, segments_in, wraps_path


class Recovery:
    """One run over the vault under ``root``, beside a ledger of ``committed`` leaves."""

    def __init__(self, disk: Disk, root: Path, committed: int, leaf: Callable[[int], Leaf]) -> None:
        self._disk = disk
        self._root = root
        self._committed = committed
        self._leaf = leaf

    def run(self) -> None:
        """Take out everything that was put and not committed; durable on return."""
        for group in groups_in(self._root):
            self._group(group)

    def _group(self, group: Path) -> None:
        for day in reversed(days_in(group)):
            found = False
            for segment in reversed(segments_in(group / day)):
                found = self._cut(segment)
                if found:
                    break
            self._clear(group / day)
            if found:
                return

    def _cut(self, segment: Segment) -> bool:
        """Drop what follows the last committed entry; whether there is a committed one."""
        path = wraps_path(segment.path)
        data = path.read_bytes()
        entries = data[wraps.HEADER_BYTES :]
        whole = list(wraps.scan(entries))
        for place, (_, begin, end) in enumerate(reversed(whole)):
            if self._is_committed(wraps.unpack(entries[begin:end])):
                if place:
                    self._disk.write_file(path, data[: wraps.HEADER_BYTES + end])
                return True
        if whole or segment.first >= self._committed:
            self._disk.remove(path)
        return False

    def _is_committed(self, entry: wraps.Entry) -> bool:
        try:
            return entry.index < self._committed and self._leaf(entry.index).id == entry.id
        except PrunedError:
            return True  # by the time a leaf is pruned, the vault has been recovered many times

    def _clear(self, directory: Path) -> None:
        """Remove files that stand for nothing: segments without wraps, and leftovers."""
        paths = set(directory.iterdir())
        strays = sorted(
            path
            for path in paths
            if path.suffix == ".tmp" or (path.suffix == ".seg" and wraps_path(path) not in paths)
        )
        if strays:
            self._disk.remove(*strays)
