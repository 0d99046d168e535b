"""Putting committed leaves where everybody can read them: tiles first, then the checkpoint.

Rules: every tile a checkpoint refers to is durable before the checkpoint is signed; a checkpoint
is signed only for a size and root that state.db has committed; partial tiles of published
checkpoints stay until the full tile is published, and go then. Writing the same tile twice writes
the same bytes, so a publication that was cut off is simply made again. Not here: what is
committed (``log``).
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from affidavit.durable import Disk
from affidavit.ledger import note, tiles

_AT_ONCE = 96
_PRIVATE = 0o600
_PUBLIC = 0o644


class Publisher:
    """Writes below ``root``; hash tiles and checkpoint may be read by all, the rest by none."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk = disk
        self._root = root
        self._directories: set[Path] = set()

    def tiles(self, changed: Iterable[tuple[tiles.TilePath, bytes]]) -> None:
        """Make tiles durable."""
        rest = iter(changed)
        while some := list(islice(rest, _AT_ONCE)):
            private: list[tuple[Path, bytes]] = []
            public: list[tuple[Path, bytes]] = []
            for path, data in some:
                target = self._root / path.text()
                if target.parent not in self._directories:
                    self._disk.make_dir(target.parent)
                    self._directories.add(target.parent)
                hidden = path.row in {tiles.ENTRIES, tiles.LINKS}
                (private if hidden else public).append((target, data))
            self._disk.write_files(private, _PRIVATE)
            self._disk.write_files(public, _PUBLIC)

    def checkpoint(self, checkpoint: note.Checkpoint, signers: Sequence[note.NoteSigner]) -> None:
        """Sign and publish a committed tree head."""
        data = note.sign_checkpoint(checkpoint, signers)
        self._disk.write_file(self._root / "checkpoint", data, _PUBLIC)

    def clean(self, old: int, new: int) -> None:
        """Remove partial tiles whose full tile the checkpoint of ``new`` leaves refers to."""
        directories = [
            directory
            for path in tiles.outgrown(old, new)
            if (directory := self._root / (path.text() + ".p")).is_dir()
        ]
        if directories:
            self._disk.remove(*(one for place in directories for one in sorted(place.iterdir())))
        for directory in directories:
            self._directories.discard(directory)
            self._disk.remove_dir(directory)
