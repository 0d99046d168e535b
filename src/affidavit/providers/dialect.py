"""What every dialect offers, and the reader of responses they share.

``StreamReader`` takes the wire bytes of one response in any pieces, undoes the content coding
on a copy, tells server-sent events from one JSON document by the content type (by the first
byte where there is none), and hands what it found to the dialect's ``Accumulator``. Memory is
bounded by ``MAX_READ_BYTES`` of decoded body; what is larger is said in ``parsed``. Any division
of the same bytes into pieces gives the same facts.

Not here: what the fields mean; when a stream is held back or delivered (``capture``).
"""

from collections.abc import Iterable
from typing import Any, Protocol

from affidavit.providers.facts import YES, Error, Message, RequestFacts, ResponseFacts
from affidavit.wire.decode import Decoder, decode
from affidavit.wire.sse import Event, Parser
from affidavit.wire.strict_json import Parsed, lenient

MAX_READ_BYTES = 64 * 1024 * 1024

Headers = Iterable[tuple[bytes, bytes]]
"""Raw header fields; names in any case."""

_REQUEST_IDS = (b"x-request-id", b"request-id", b"apim-request-id", b"x-amzn-requestid")
_JSON_STARTS = (b"{", b"[", b" ", b"\n", b"\r", b"\t", b"\xef")
_SNIFFED = ("", "text/plain")
_SPACE = b"\xef\xbb\xbf \t\r\n"
DONE = b"[DONE]"
"""Data of the last event of streams in OpenAI's manner; it is no JSON."""

_SSE_STARTS = b"deir:"  # data, event, id, retry, comment; no JSON text starts with these


class Accumulator(Protocol):
    """Gathers the facts of one response; one object per response, never raises.

    ``expects_terminal``: this protocol's streams end with an event of their own; ``terminal``
    becomes true with it. ``problem`` is ``""`` or why the response was not understood.
    """

    expects_terminal: bool
    terminal: bool
    problem: str

    def event(self, event: Event) -> None:
        """Take the next event of a stream."""

    def whole(self, document: Any) -> None:
        """Take a body that is one JSON document."""

    def facts(self) -> dict[str, Any]:
        """Return the fields of ``ResponseFacts`` that were found."""


class Dialect(Protocol):
    """How one family of providers speaks. Every method answers for any bytes, without raising."""

    name: str
    provider: str

    def request(self, method: str, path: str, headers: Headers, body: bytes) -> RequestFacts:
        """Read a request; ``path`` as sent to the provider, with its query; body as on the wire."""

    def stream(self, request: RequestFacts, status: int, headers: Headers) -> "StreamReader":
        """Return a reader of the response to ``request``, be it streamed or whole."""

    def response(
        self, request: RequestFacts, status: int, headers: Headers, body: bytes
    ) -> ResponseFacts:
        """Read a response whose wire bytes are all there."""

    def conversation(self, request: RequestFacts, response: ResponseFacts | None) -> list[Message]:
        """Return the messages of the request and then those of the response."""

    def error_body(
        self, status: int, code: str, message: str, hint: str, record_id: str
    ) -> tuple[str, bytes]:
        """Return (media type, body) of an error as the provider's SDK expects one."""


def document_of(headers: Headers, body: bytes) -> Parsed:
    """The JSON of a request body, its content coding (some clients compress) undone on a copy."""
    coding = field(headers, b"content-encoding")
    if coding:
        body, problem = decode(body, coding)
        if problem:
            return Parsed(None, f"content coding {problem}")
    return lenient(body) if body[:1] in _JSON_STARTS else Parsed(None, "not JSON")


def field(headers: Headers, name: bytes) -> str:
    """The value of a header field, several joined by commas (RFC 9110 §5.3), ``""`` if absent."""
    values = [value for key, value in headers if key.lower() == name]
    return b", ".join(values).decode("latin-1") if values else ""


class StreamReader:
    """Incremental reader of one response; see the module. Feed, look at ``terminal``, finish."""

    def __init__(
        self,
        request: RequestFacts,
        status: int,
        headers: Headers,
        accumulator: Accumulator,
        limit: int = MAX_READ_BYTES,
    ) -> None:
        fields: dict[bytes, bytes] = {}
        for key, value in headers:
            lowered = key.lower()
            # RFC 9110 §5.3; of a provider's request id the last one counts
            joins = lowered in fields and lowered not in _REQUEST_IDS
            fields[lowered] = b", ".join((fields[lowered], value)) if joins else value
        self._request = request
        self._status = status
        self._accumulator = accumulator
        self._decoder = Decoder(fields.get(b"content-encoding", b"").decode("latin-1"), limit)
        self._request_id = ""
        for key in _REQUEST_IDS:
            if key in fields:
                self._request_id = fields[key].decode("latin-1")
                break
        content_type = fields.get(b"content-type", b"").decode("latin-1")
        self._type = content_type.partition(";")[0].strip().lower()
        self._events: Parser | None = None
        self._text: list[bytes] | None = None
        self._started = False
        if self._type == "text/event-stream":
            self._events = Parser()
        elif self._type.endswith(("/json", "+json")):
            self._text = []
        self._undecided = self._type in _SNIFFED

    @property
    def terminal(self) -> bool:
        """True as soon as the stream's last event was in the bytes fed."""
        return self._events is not None and self._accumulator.terminal

    @property
    def streamed(self) -> bool:
        """True once the body is known to be server-sent events."""
        return self._events is not None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, as they came off the wire."""
        self._started = self._started or bool(data)
        if self._events is None and self._text is None and not self._undecided:
            return
        data = self._decoder.feed(data)
        if self._undecided:
            data = self._sniff(data)
        if self._events is not None:
            for event in self._events.feed(data):
                if event.data:  # some servers keep a connection alive with empty events
                    self._accumulator.event(event)
        elif self._text is not None and data:
            self._text.append(data)

    def finish(self) -> ResponseFacts:
        """State that no more bytes come, and return the facts."""
        self._decoder.finish()
        if self._undecided:
            self._undecided = False
            self._text = []
        trouble = self._decoder.problem
        if trouble in ("bad", "unknown") or (trouble and self._events is None):
            return self._bare(f"content coding {trouble}")
        if self._events is not None:
            return self._finish_events(self._events, trouble)
        if not self._started:
            return self._bare("" if self._status in (204, 304) else "empty body")
        if self._text is None:
            return self._bare(f"content type {self._type[:80]}")
        parsed = lenient(b"".join(self._text), duplicates=False)
        self._text = []
        if parsed.value is None:
            return self._bare(parsed.problem or "no document")
        self._accumulator.whole(parsed.value)
        return self._facts(self._accumulator.problem or parsed.problem, terminal=True)

    def _sniff(self, data: bytes) -> bytes:
        """Decide by the first byte that is not space what an unlabelled body is."""
        start = data.lstrip(_SPACE)
        if not start:
            return b""  # space before the first byte means nothing in either
        self._undecided = False
        if start[0] in _SSE_STARTS:
            self._events = Parser()
        else:
            self._text = []
        return start

    def _finish_events(self, events: Parser, trouble: str) -> ResponseFacts:
        rest = events.finish()
        if rest is not None and (rest.data == DONE or not lenient(rest.data).problem):
            # Only the last line end is missing: nothing of the event can have been lost.
            self._accumulator.event(rest)
        problem = self._accumulator.problem
        unread = events.dropped > 0 or trouble == "limit"
        if unread:
            problem = "larger than is read"
        terminal = self._accumulator.terminal
        return self._facts(
            problem,
            streamed=True,
            expects_terminal=self._accumulator.expects_terminal and (terminal or not unread),
            terminal=terminal,
        )

    def _facts(
        self,
        problem: str,
        *,
        terminal: bool,
        streamed: bool = False,
        expects_terminal: bool = False,
    ) -> ResponseFacts:
        found = self._accumulator.facts()
        if self._status >= 400 and found.get("error") is None:
            found["error"] = Error()
        return ResponseFacts(
            dialect=self._request.dialect,
            provider=self._request.provider,
            parser=self._request.parser,
            status=self._status,
            parsed=f"unparsed: {problem}" if problem else YES,
            request_id=self._request_id,
            streamed=streamed,
            expects_terminal=expects_terminal,
            terminal=terminal,
            **found,
        )

    def _bare(self, problem: str) -> ResponseFacts:
        """Facts of a body that nothing can be read from: what HTTP says."""
        streamed = self._events is not None
        readable = streamed and self._decoder.problem != "unknown"
        return ResponseFacts(
            dialect=self._request.dialect,
            provider=self._request.provider,
            parser=self._request.parser,
            status=self._status,
            parsed=f"unparsed: {problem}" if problem else YES,
            request_id=self._request_id,
            streamed=streamed,
            expects_terminal=readable and self._accumulator.expects_terminal,
            terminal=not streamed and not problem,
            error=Error() if self._status >= 400 else None,
        )
