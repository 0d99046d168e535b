"""Histograms of durations that can be added, subtracted and asked for percentiles.

Rules: the buckets are fixed: bucket 0 up to one millisecond, each further one up to 1.1 times the
bound before it, the last beyond 172,641 seconds (two days, nearly). A percentile is by nearest
rank, told as a value of which every duration in its bucket is less than 5 % away
(``RELATIVE_ERROR``), from one millisecond to the last bound. A histogram is one integer with 32
bits for each bucket, of the whole duration and of the time to the first byte in turn, so that
merging two is adding them, and a sum of up to 2^32 exchanges is exact. The same exchanges give the
same histogram, from rows or from sums. Not here: where histograms are kept (``rollup``,
``sqlite``).
"""

import functools
import itertools
import struct
from bisect import bisect_left
from typing import Any

import apsw

RELATIVE_ERROR = 0.05
BOUNDS = tuple(round(0.001 * 1.1**place, 6) for place in range(200))
"""Upper bounds of the buckets but the last, in seconds, inclusive."""
MEASURES = ("duration", "first_byte")
PERCENTILES = (50, 95, 99)

_COUNTER = 32
_WIDE = _COUNTER // 8
_STEP = _COUNTER * len(MEASURES)
_AT_ONCE = 257
"""So many counters of one byte come to no more than two bytes hold."""
_EVEN = int.from_bytes(b"\xff\0" * (len(BOUNDS) + 1), "little")
_ONES = tuple(
    tuple(1 << (_STEP * place + _COUNTER * which) for place in range(len(BOUNDS) + 1))
    for which in range(len(MEASURES))
)
_DURATION, _FIRST_BYTE = _ONES


def of(duration: float | None, first_byte: float | None) -> int:
    """The histogram of one exchange; seconds, ``None`` for what is not known."""
    found = 0
    if duration is not None:
        found = _DURATION[bisect_left(BOUNDS, duration)]
    if first_byte is not None:
        found += _FIRST_BYTE[bisect_left(BOUNDS, first_byte)]
    return found


def counts(histogram: int, measure: str) -> list[int]:
    """How many there are in each bucket, from the first."""
    size = -(-histogram.bit_length() // _STEP) * _STEP // 8
    whole = struct.unpack(f"<{size * 8 // _COUNTER}I", histogram.to_bytes(size, "little"))
    return list(whole[MEASURES.index(measure) :: len(MEASURES)])


@functools.cache
def value(bucket: int) -> float:
    """What is told for a bucket: in the middle by ratio; its only bound for the outer ones."""
    if bucket == 0 or bucket == len(BOUNDS):
        return BOUNDS[min(bucket, len(BOUNDS) - 1)]
    low, high = BOUNDS[bucket - 1], BOUNDS[bucket]
    return round(2 * low * high / (low + high), 6)


def percentiles(histogram: int, measure: str) -> dict[str, float | None]:
    """``p50``, ``p95`` and ``p99`` in seconds; ``None`` where nothing was measured."""
    empty = ((histogram & -histogram).bit_length() - 1) // _STEP if histogram else 0
    below = list(itertools.accumulate(counts(histogram >> (empty * _STEP), measure)))
    total = below[-1] if below else 0
    return {
        f"p{q}": value(empty + bisect_left(below, (total * q + 99) // 100)) if total else None
        for q in PERCENTILES
    }


def encode(histogram: int) -> bytes:
    """One way to write each histogram: how wide a counter is, the first bucket's place, counters.

    Counters are one, two or four bytes wide, as the largest needs. A difference, which may be
    negative, is written as a number: width 0.
    """
    if not histogram:
        return b""
    if histogram < 0:
        return b"\0" + histogram.to_bytes(histogram.bit_length() // 8 + 1, "little", signed=True)
    size = -(-histogram.bit_length() // _COUNTER) * _WIDE
    raw = histogram.to_bytes(size, "little")
    place = (size - len(raw.lstrip(b"\0"))) // _WIDE
    raw = raw[place * _WIDE :]
    zeros = bytes(len(raw) // _WIDE)
    width = _WIDE
    if raw[2::_WIDE] == raw[3::_WIDE] == zeros:
        width = 1 if raw[1::_WIDE] == zeros else 2
    if width < _WIDE:
        narrow = bytearray(len(zeros) * width)
        for byte in range(width):
            narrow[byte::width] = raw[byte::_WIDE]
        raw = bytes(narrow)
    return bytes((width, place & 255, place >> 8)) + raw


def decode(data: bytes) -> int:
    """The histogram that ``encode`` wrote."""
    if not data:
        return 0
    width = data[0]
    if width == 0:
        return int.from_bytes(data[1:], "little", signed=True)
    wide: bytes | bytearray = data[3:]
    if width < _WIDE:
        wide = bytearray(len(wide) // width * _WIDE)
        for byte in range(width):
            wide[byte::_WIDE] = data[3 + byte :: width]
    return int.from_bytes(wide, "little") << (_COUNTER * (data[1] | data[2] << 8))


def plus(*encoded: Any) -> bytes:
    """The sum of two encoded histograms, encoded."""
    one, other = encoded
    return encode(decode(one) + decode(other))


class _Cells:
    """An aggregate of SQL: the sum of histograms.

    Most have counters of one byte. Those of each measure are added up two bytes wide, as many
    histograms as cannot run over, and only then widened.
    """

    def __init__(self) -> None:
        self.total = 0
        self._narrow = [0, 0]
        self._added = 0

    def step(self, *values: Any) -> None:
        """Add one histogram."""
        data = values[0]
        if not data or data[0] != 1:
            self.total += decode(data)
            return
        counters = int.from_bytes(data[3:], "little") << (8 * (data[1] | data[2] << 8))
        self._narrow[0] += counters & _EVEN
        self._narrow[1] += counters >> 8 & _EVEN
        self._added += 1
        if self._added == _AT_ONCE:
            self._widen()

    def final(self) -> bytes:
        """What they come to, as ``decode`` reads it, in the form that is made fastest."""
        self._widen()
        size = -(-self.total.bit_length() // _COUNTER) * _WIDE
        return bytes((_WIDE, 0, 0)) + self.total.to_bytes(size, "little")

    def _widen(self) -> None:
        for which, narrow in enumerate(self._narrow):
            pairs = -(-narrow.bit_length() // 16)
            raw = narrow.to_bytes(pairs * 2, "little")
            wide = bytearray(pairs * len(MEASURES) * _WIDE)
            step = len(MEASURES) * _WIDE
            wide[which * _WIDE :: step] = raw[::2]
            wide[which * _WIDE + 1 :: step] = raw[1::2]
            self.total += int.from_bytes(wide, "little")
        self._narrow = [0, 0]
        self._added = 0


class _Rows(_Cells):
    """The same of durations."""

    def step(self, *values: Any) -> None:
        """Add a duration and the time to the first byte."""
        self.total += of(*values)


def for_writer(connection: apsw.Connection) -> None:
    """Add ``latency_plus(histogram, change)`` to a connection."""
    connection.create_scalar_function("latency_plus", plus, 2, deterministic=True)


def for_reader(connection: apsw.Connection) -> None:
    """Add ``latency_cells(histogram)`` and ``latency_rows(duration, first_byte)``, aggregates."""
    connection.create_aggregate_function("latency_cells", _Cells, 1)
    connection.create_aggregate_function("latency_rows", _Rows, 2)
