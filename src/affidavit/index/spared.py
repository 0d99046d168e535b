"""What an erasure leaves of a row, where that is known without opening the record again.

Rules: the sections say what a row is, and the content what text there is of it. So of a record of
which nothing is left the row is that of its leaf, of which the row that there is has everything;
and of one that has lost its content alone, only what is shown is another, if the other half of its
exchange has lost no more. Everything else is derived anew. Not here: what is left (the vault).
"""

from collections.abc import Callable, Mapping

import msgspec

from affidavit.index.project import Entry
from affidavit.index.schema import Row
from affidavit.record.model import SECTIONS, View

CONTENT = 1 << SECTIONS.index("content")
SPOKEN = CONTENT | 1 << len(SECTIONS)
"""Of what is left, what has text: the section and the parts."""

Left = Callable[[Mapping[int, str]], Mapping[int, int]]
"""Of records, named by index and id, the sections that open, as bits, and above them the parts.

Those are missing of which that is not to be said.
"""


def without_content(old: Mapping[int, Entry], left: Mapping[int, int]) -> dict[int, Entry]:
    """Those of ``old`` that are as they were but for their content, as they are now."""
    found = {
        idx: entry
        for idx, entry in old.items()
        if left.get(idx, 0) and left[idx] == entry.row.shown & ~CONTENT
    }
    more = True
    while more:  # a half that changes in more than that may change the other one
        more = False
        for idx, entry in old.items():
            halves = [i for i in (entry.row.re, entry.row.answered) if i is not None and i in old]
            if halves and not all(one in found for one in (idx, *halves)):
                for one in (idx, *halves):
                    more |= found.pop(one, None) is not None
    return {
        idx: Entry(msgspec.structs.replace(entry.row, shown=left[idx]), entry.person)
        for idx, entry in found.items()
    }


def bare(row: Row) -> View:
    """The view of a record of which nothing but its leaf is left, as far as a row depends on it."""
    digests = tuple("" if not row.present >> place & 1 else "erased" for place in range(7))
    return View(
        index=row.idx, time=row.time, at=row.at, id=row.id, type=row.type, tier=row.tier,
        re=row.re, src=("", 0), digests=digests, sections={}, parts={}, firsts=row.firsts,
    )  # fmt: skip
