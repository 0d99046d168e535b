"""Putting committed leaves where everybody can read them: tiles first, then the checkpoint.

Rules: every tile a checkpoint refers to is durable before the checkpoint is signed; a checkpoint
is signed only for a size and root that state.db has committed; partial tiles of published
checkpoints stay until the full tile is published, and go then. Writing the same tile twice writes
the same bytes, so a publication that was cut off is simply made again.

``checkpoint`` is the newest published note. What witnesses cosigned is published as ``cosigned``,
a whole note, when it comes. Where witnesses are required, a note is ``integrated`` first, for
recovery alone, and published only with its cosignatures, as ``checkpoint`` and ``cosigned`` at
once and alike. Not here: what is committed (``log``), whether cosignatures suffice (``policy``).
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from affidavit.durable import Disk
from affidavit.ledger import note, tiles

CHECKPOINT = "checkpoint"
COSIGNED = "cosigned"
INTEGRATED = "integrated"

_AT_ONCE = 96
_PRIVATE = 0o600
_PUBLIC = 0o644


def heads(*, require: bool) -> tuple[str, ...]:
    """The files in which the newest note that the log signed may stand, first choice first."""
    return (INTEGRATED, CHECKPOINT) if require else (CHECKPOINT,)


def size_of(root: Path, name: str) -> int:
    """The size of the note in a file of the log, 0 if it is not there; no signature is checked."""
    try:
        return note.open_checkpoint((root / name).read_bytes(), None).size
    except FileNotFoundError:
        return 0


def newest_head(root: Path) -> str:
    """The file with the newest note that the log signed, whoever is required now."""
    return max((CHECKPOINT, INTEGRATED), key=lambda name: size_of(root, name))


class Publisher:
    """Writes below ``root``; hash tiles and checkpoints may be read by all, the rest by none.

    ``signed``: leaves under the newest note that was signed, whose tiles are durable;
    ``published``: leaves under ``checkpoint``. Both are the same unless ``require``.
    """

    def __init__(self, disk: Disk, root: Path, *, require: bool = False) -> None:
        self.signed = self.published = 0
        self.require = require
        self._disk = disk
        self._root = root
        self._directories: set[Path] = set()

    def resume(self, signed: int, published: int) -> None:
        """Go on where the files on disk stand, made good where a crash left two notes apart."""
        self.signed, self.published = signed, published
        integrated, cosigned = self._root / INTEGRATED, self._root / COSIGNED
        if not self.require:
            if integrated.exists() and published >= signed:
                self._disk.remove(integrated)
            return
        if size_of(self._root, COSIGNED) > published:
            self._disk.write_file(self._root / CHECKPOINT, cosigned.read_bytes(), _PUBLIC)
            self.published = size_of(self._root, CHECKPOINT)
        if published and size_of(self._root, INTEGRATED) < self.published:
            data = (self._root / CHECKPOINT).read_bytes()
            self._disk.write_file(integrated, data, _PRIVATE)

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

    def behind(self, size: int) -> bool:
        """Whether ``size`` committed leaves are still to be signed, or published."""
        return self.signed != size or (not self.require and self.published != size)

    def sign(self, checkpoint: note.Checkpoint, signers: Sequence[note.NoteSigner]) -> None:
        """Sign a committed tree head; publish it, or keep it until it is cosigned."""
        data = note.sign_checkpoint(checkpoint, signers)
        old, self.signed = self.signed, checkpoint.size
        if self.require:
            self._disk.write_file(self._root / INTEGRATED, data, _PRIVATE)
            self._clean(old, self.signed, self.published)
            return
        self._disk.write_file(self._root / CHECKPOINT, data, _PUBLIC)
        self.published = self.signed
        self._clean(old, self.signed)

    def cosigned(self, size: int, data: bytes) -> bool:
        """Publish a note of ours with cosignatures; ``False`` if what is there is as new.

        The same size again may bring more cosignatures.
        """
        if size > self.signed or size < max(size_of(self._root, COSIGNED), 1):
            return False
        if not self.require:
            self._disk.write_file(self._root / COSIGNED, data, _PUBLIC)
            return True
        if size < self.published:
            return False
        for name in (COSIGNED, CHECKPOINT):  # ``resume`` finishes what is cut between the two
            self._disk.write_file(self._root / name, data, _PUBLIC)
        old, self.published = self.published, size
        self._clean(old, size)
        return True

    def _clean(self, old: int, new: int, kept: int = 0) -> None:
        """Remove partial tiles whose full tile the checkpoint of ``new`` leaves refers to.

        Those that a checkpoint of ``kept`` leaves needs stay.
        """
        needed = {
            tiles.TilePath(row, count // tiles.WIDTH)
            for row, count in tiles.rows(kept)
            if count % tiles.WIDTH
        }
        directories = [
            directory
            for path in tiles.outgrown(old, new)
            if path not in needed and (directory := self._root / (path.text() + ".p")).is_dir()
        ]
        if directories:
            self._disk.remove(*(one for place in directories for one in sorted(place.iterdir())))
        for directory in directories:
            self._directories.discard(directory)
            self._disk.remove_dir(directory)
