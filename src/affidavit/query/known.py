"""Which values occur in the records that a reader may see, for completion.

Rules: looked at are the newest ``RECENT`` places of the ledger, whatever their number of records
within the boundary, so what is offered depends on the reader's own records and on the size of the
ledger alone, which every answer states; nothing that lies beyond the boundary changes it. One look
at a field serves all who have the same rows for ``SECONDS`` (a window that moves with time counts
as the same for so long), so that typing asks the database once; who asks for others waits for none
of it. The cost does not grow with the ledger: a value that occurs further back only is not offered.
Not here: which field may be asked for (``completion``), and that it is recorded (``console``).
"""

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from affidavit.index.reader import Reader
from affidavit.index.sqlite import LISTS
from affidavit.query import emit
from affidavit.query.boundary import Boundary, inject
from affidavit.query.fields import Field
from affidavit.query.tree import All, Tree, window

RECENT = 20_000
SECONDS = 10.0
MAX_VALUES = 500
"""Values of one field that are remembered, the most frequent ones."""
_LOOKS = 1_000
_TO_TEN_SECONDS = len("2026-08-01T10:00:0")


class _Looked:
    """What a look found and until when it serves; who looks has its lock, those alike wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = float("-inf")
        self.found: Sequence[str] = ()


class KnownValues:
    """Looks values up in one index; ``monotonic`` gives seconds. Any thread."""

    def __init__(self, reader: Reader, monotonic: Callable[[], float]) -> None:
        self._reader = reader
        self._now = monotonic
        self._looks: OrderedDict[tuple[str, Tree, str], _Looked] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, field: Field, boundary: Boundary) -> Sequence[str]:
        """Values of ``field`` in recent records within ``boundary``, the most frequent first.

        Nothing for a field that is not ``suggested``.
        """
        if not field.suggested:
            return ()
        key = (field.name, *_rows(boundary))
        with self._lock:
            looked = self._looks.setdefault(key, _Looked())
            self._looks.move_to_end(key)
            while len(self._looks) > _LOOKS:
                self._looks.popitem(last=False)
        with looked.lock:
            if looked.until < self._now():
                looked.found = self._look(field, boundary)
                looked.until = self._now() + SECONDS
            return looked.found

    def _look(self, field: Field, boundary: Boundary) -> Sequence[str]:
        columns = (*field.columns, *field.lists)
        listed = ", ".join(f'r."{name}" AS "{name}"' for name in columns)
        grouped = ", ".join(f'"{name}"' for name in columns)
        with self._reader.snapshot():
            size = self._reader.built()[0].size
            low = max(0, size - RECENT)
            sql = emit.page(listed, inject(All(), boundary), None, low, size, newest=True)
            rows = self._reader.query(
                f"SELECT {grouped}, count(*) FROM ({sql.text}) GROUP BY {grouped}",  # noqa: S608 - names of ours
                (*sql.values, RECENT),
            )
        found: Counter[str] = Counter()
        for *values, count in rows:
            for name, value in zip(columns, values, strict=True):
                if value is not None:
                    for one in json.loads(value) if name in LISTS else [str(value)]:
                        found[one] += count
        return [value for value, _ in found.most_common(MAX_VALUES)]


def _rows(boundary: Boundary) -> tuple[Tree, str]:
    """What rows a boundary has: what stands of it, and since when, to ``SECONDS``."""
    if boundary.standing is None:
        return boundary.rows, ""
    since, _ = window(boundary.rows)
    return boundary.standing, (since or "")[:_TO_TEN_SECONDS]
