"""Wraps files and hold files read whole, as erasure and holds need them.

Rules: only of segments that nobody appends to any more is what follows the last whole entry what
a crash left; it is kept as it is. A damaged entry, whatever of it is, is no reason to let it or
what is behind it go: the file is refused. Not here: reading while the writer appends (``reader``,
``entries``).
"""

from collections.abc import Iterator
from pathlib import Path

from affidavit.errors import CorruptError
from affidavit.vault import wraps
from affidavit.vault.opening import HOLD_MAGIC, hold_path
from affidavit.vault.segments import wraps_path


class WholeFile:
    """One such file: ``key`` is the number in its header, ``data`` all its bytes.

    ``key`` is 0, and there are no entries, while its writer has not finished the header.
    """

    def __init__(self, path: Path, magic: bytes) -> None:
        self.path = path
        self.data = path.read_bytes()
        if len(self.data) < wraps.HEADER_BYTES:
            self.key, self.places, self.end = 0, [], len(self.data)
            return
        self.key = wraps.parse_header(self.data[: wraps.HEADER_BYTES], magic)
        body = self.data[wraps.HEADER_BYTES :]
        base = wraps.HEADER_BYTES
        self.places = [(index, base + at, base + end) for index, at, end in wraps.scan(body)]
        self.end = self.places[-1][2] if self.places else base
        self._refuse_damage()

    def entries(self) -> Iterator[wraps.Entry]:
        """All whole entries, in order."""
        for _, begin, end in self.places:
            yield wraps.unpack(self.data[begin:end])

    def _refuse_damage(self) -> None:
        if wraps.is_damaged(self.data[self.end :]):
            raise CorruptError(
                f"{self.path.name} is damaged at byte {self.end}: nothing is read from there on.",
                hint="Restore the file from a copy; until then nothing of its day goes.",
                object=str(self.path),
            )


def read_wraps(segment: Path) -> WholeFile:
    """The wraps of a segment; ``FileNotFoundError``, or ``CorruptError`` if it is damaged."""
    return WholeFile(wraps_path(segment), wraps.MAGIC)


def read_hold(segment: Path, number: int) -> WholeFile | None:
    """What a hold has of a segment; ``None`` if nothing, ``CorruptError`` if it is damaged."""
    path = hold_path(segment, number)
    try:
        file = WholeFile(path, HOLD_MAGIC)
    except FileNotFoundError:
        return None
    if file.key != number:
        raise CorruptError(f"{path.name} is of hold {file.key}.", object=str(path))
    return file
