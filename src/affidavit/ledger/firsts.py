"""Which records brought a new value, read from the links the ledger gave them.

Rules: the first record of a new value of a base dimension joins ``<dimension>.values``, in each
epoch anew, and the record that answers it does, too; a link says by number which dimension it is
of, and the epoch's leaf what that number means. Asked in ledger order, each leaf is read once. Not
here: giving links (``plan``).
"""

from collections.abc import Callable

import msgspec

from affidavit.errors import PrunedError
from affidavit.ledger.chains import VALUES
from affidavit.ledger.log_reader import LogReader
from affidavit.record.model import View


class Firsts:
    """Answers for one log, as of its published checkpoint; one thread at a time."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._known = range(0)  # indices known to be of the epoch with these dimensions
        self._dimensions: tuple[str, ...] = ()

    def of(self, index: int) -> tuple[str, ...]:
        """The base dimensions in which it, or what it answers, brought a new value; in order."""
        numbers = sorted({link[16] for link in self._reader.links(index)})
        if not numbers:
            return ()
        names = [self._of_epoch(index)[number] for number in numbers]
        return tuple(name.removesuffix(VALUES) for name in names if name.endswith(VALUES))

    def _of_epoch(self, index: int) -> tuple[str, ...]:
        """The dimensions of the epoch in which a leaf stands."""
        for at in range(index, -1, -1):
            if at in self._known:
                break
            epoch = self._shown_by(at)
            if epoch is not None:
                opening = self._reader.decoded(epoch).opening
                self._dimensions = () if opening is None else opening.dimensions
                self._known = range(at, at + 1)
                break
        self._known = range(self._known.start, max(index + 1, self._known.stop))
        return self._dimensions

    def _shown_by(self, at: int) -> int | None:
        """The epoch of a leaf, if that leaf, or what is known of those pruned, says it."""
        try:
            leaf = self._reader.decoded(at)
        except PrunedError:
            return self._reader.pruned().epoch_of(at)
        return at if leaf.opening is not None else leaf.heads.epoch if leaf.heads else None


def with_firsts(reader: LogReader, view: Callable[[int], View]) -> Callable[[int], View]:
    """``view`` with what the ledger knows of each record beside what it holds."""
    firsts = Firsts(reader)
    return lambda index: msgspec.structs.replace(view(index), firsts=firsts.of(index))
