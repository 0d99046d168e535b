"""Server-sent events from bytes, as the WHATWG HTML standard §9.2.6 defines them.

Rules: lines end with CR, LF or CRLF and with nothing else (U+2028 and U+0085 are text); one
byte order mark at the start of the stream is skipped; an event is dispatched by the empty line
after it and only if it has a ``data`` line. Any division of the same bytes into pieces gives
the same events. An event is seen as soon as the CR or LF that ends it has been fed: a CR is not
held back to see whether an LF follows.

Memory is bounded: an event larger than the limit is dropped and counted, never truncated.
Not done here: reconnection, and what the data mean. Data stay bytes, so a UTF-8 sequence
divided between two pieces needs no care.
"""

from typing import NamedTuple

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 16 * 1024 * 1024
CR, LF = 13, 10


class Event(NamedTuple):
    """One dispatched event.

    ``event`` is the type, ``""`` where none was given ("message" in browsers); ``data`` the data
    lines joined by LF, exactly as sent; ``id`` the last event id seen so far; ``retry`` the
    reconnection time in milliseconds if this event set one.
    """

    event: str
    data: bytes
    id: str = ""
    retry: int | None = None


class Parser:
    """Incremental parser of one stream; never raises on any bytes.

    ``limit`` bounds the lines of one event, comments among them, in bytes.
    ``dropped`` counts the events that were larger.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self.dropped = 0
        self._limit = limit
        self._at_start = True
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._last_id = ""
        self._type = ""
        self._data: list[bytes] = []
        self._has_data = False
        self._too_large = False
        self._size = 0
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return the events they end, in order."""
        if self._at_start:
            data = self._skip_mark(data)
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == LF:
                data = data[1:]
        if not data:
            return []
        if data.startswith(b"data: ") and data.endswith(b"\n\n") and self._is_one(data):
            return [Event("", data[6:-2], self._last_id)]
        if LF not in data and CR not in data:
            self._hold(data)
            return []
        self._after_cr = data[-1] == CR
        # bytes.splitlines, unlike str.splitlines, knows CR, LF and CRLF only.
        lines = data.splitlines()
        rest = b"" if data[-1] in (CR, LF) else lines.pop()
        lines[0] = self._end_line(lines[0])
        events: list[Event] = []
        for line in lines:
            if line:
                self._field(line)
            else:
                self._dispatch(events)
        if rest:
            self._hold(rest)
        return events

    def finish(self) -> Event | None:
        """End of the stream: the event that no empty line ended, or ``None``.

        The standard discards it. It is returned apart so that the caller can tell a stream that
        only lacks its last line end from one that was cut.
        """
        last = self._end_line(b"")
        if last:
            self._field(last)
        events: list[Event] = []
        self._dispatch(events)
        return events[0] if events else None

    def _is_one(self, data: bytes) -> bool:
        """Whether this is one whole event of one line, as most streams send them."""
        between = not (self._size or self._line_size or self._too_large)
        lines = data.count(b"\n") == 2 and CR not in data
        return between and lines and len(data) <= self._limit

    def _skip_mark(self, data: bytes) -> bytes:
        """Hold back until it is known whether the stream starts with a byte order mark."""
        data = b"".join(self._line) + data
        self._line.clear()
        self._line_size = 0
        if len(data) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(data):
            self._line.append(data)
            self._line_size = len(data)
            return b""
        self._at_start = False
        return data.removeprefix(BYTE_ORDER_MARK)

    def _hold(self, data: bytes) -> None:
        """Keep the start of an unfinished line, or forget it if the event is already too large."""
        self._line_size += len(data)
        if self._size + self._line_size > self._limit:
            self._too_large = True
            self._line.clear()
            self._data.clear()
        else:
            self._line.append(data)

    def _end_line(self, data: bytes) -> bytes:
        """Return the held start of the line with ``data`` after it."""
        if not self._line_size:
            return data
        self._hold(data)
        line = b"".join(self._line)
        oversized = not self._line
        self._line.clear()
        self._line_size = 0
        # What is left of a dropped line must not read as the empty line that ends an event.
        return b":" if oversized else line

    def _field(self, line: bytes) -> None:
        """Interpret one line that is not empty."""
        if self._too_large or self._size + len(line) > self._limit:
            self._too_large = True
            self._data.clear()
            return
        self._size += len(line) + 1
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._has_data = True
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= 9:
            self._retry = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        """Handle the empty line: hand out what was gathered and start anew."""
        if self._too_large:
            self.dropped += 1
        elif self._has_data:
            events.append(Event(self._type, b"\n".join(self._data), self._last_id, self._retry))
        self._reset()

    def _reset(self) -> None:
        self._type = ""
        self._data = []
        self._has_data = False
        self._too_large = False
        self._size = 0
        self._retry = None
