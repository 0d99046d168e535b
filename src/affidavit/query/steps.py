"""Where an answer is looked for, one part of the ledger after another.

Rules: the parts follow each other from the end a page begins with, so an answer that has enough
stops. Where words are asked for, each part is looked up in the text once, however often the answer
comes back to it, and what the posting lists leave of that is all whose rows are read; parts grow
while they hold little. Words that may go on are looked up in the whole of it at once: full text
brings together all that begins so before it heeds where to look. Parts end where they do for
reasons that lie within the boundary's own answer or are the same for every reader: only time
depends on it. Not here: which lists there are (``lists``), statements (``emit``).
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from affidavit.index.reader import Reader
from affidavit.query.conditions import Span
from affidavit.query.emit import extent, worded
from affidavit.query.lists import Candidates, listed
from affidavit.query.tree import Phrase, Tree, conjuncts, leaves

FIRST = 4_096
"""So many leaves are looked at first for words, then four times as many, and so on."""
ENOUGH = 2_000
"""A part that holds so many is followed by none that is longer."""
MOST = 20_000
"""So many passages are taken up at once; a part that holds more ends where they do."""


class Step(NamedTuple):
    """Leaf indexes [low, high), and what to look at in them; ``None``: every row."""

    low: int
    high: int
    found: Candidates | None


class Steps:
    """The parts of ``span`` that may hold rows of ``asked``, as often as they are asked for.

    ``found`` are its candidates but for words; ``newest``: from the last leaf down. One thread,
    inside one snapshot of ``reader``.
    """

    def __init__(
        self, reader: Reader, asked: Tree, span: Span, found: Candidates | None, *, newest: bool
    ) -> None:
        self._reader = reader
        self._found = found
        self.newest = newest
        self._phrase = next((part for part in conjuncts(asked) if isinstance(part, Phrase)), None)
        words = any(isinstance(leaf, Phrase) for leaf in leaves(asked))
        collected = self._phrase is None and found is not None and found.term is None
        self._low, self._high = self._narrowed(span) if words else span
        whole = max(1, self._high - self._low)
        goes_on = self._phrase is not None and self._phrase.prefix
        self._first = whole if goes_on else FIRST
        self._length = self._first if words and not collected else whole
        self._most = min(ENOUGH, MOST) if goes_on else MOST
        self._done: list[Step] = []

    def __iter__(self) -> Iterator[Step]:
        place = 0
        while place < len(self._done) or self._low < self._high:
            if place == len(self._done):
                self._done.append(self._next())
            yield self._done[place]
            place += 1

    def _narrowed(self, span: Span) -> Span:
        """Between the first and the last entry of the list that all rows are in, if any."""
        if self._found is None or self._found.term is None:
            return span
        ((low, high),) = self._reader.query(*extent(self._found.term, span))
        return (span[0], span[0]) if low is None else (low, high + 1)

    def _cut(self, low: int, high: int, last: int) -> Span:
        """The part up to the index ``last``, after which the next one begins."""
        if self.newest:
            self._high = last
            return last, high
        self._low = last + 1
        return low, last + 1

    def _next(self) -> Step:
        low, high = self._low, self._high
        if self.newest:
            low = max(low, high - self._length)
            self._high = low
        else:
            high = min(high, low + self._length)
            self._low = high
        if self._phrase is None:
            self._length *= 4
            return Step(low, high, self._found)
        sql = worded(self._phrase, listed(self._found), (low, high), self._most, newest=self.newest)
        rows = self._reader.query(*sql)
        if len(rows) == self._most:  # the last index may have more passages, but it is there
            low, high = self._cut(low, high, rows[-1][0])
            self._length, self._most = self._first, min(4 * self._most, MOST)
        indexes = sorted({idx for (idx,) in rows})
        if len(indexes) < ENOUGH:
            self._length *= 4
        return Step(low, high, Candidates.of(json.dumps(indexes), len(indexes), self._phrase))
