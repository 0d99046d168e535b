"""The dialect of everything no other dialect reads: what HTTP says, and what JSON may give away.

Nothing is ever dropped for want of a parser. A top-level ``model``, ``id``, ``usage`` or
``error`` of a JSON body is taken over, as most model APIs have them there; that is a guess, so
``parsed`` says ``unparsed`` and attribution treats the model as not certain.
"""

from typing import Any

import msgspec

from affidavit.providers.dialect import Headers, StreamReader, document_of
from affidavit.providers.facts import Message, RequestFacts, ResponseFacts
from affidavit.providers.fields import mapping, name, usage
from affidavit.providers.openai_chat import error_of, is_error
from affidavit.wire.sse import Event
from affidavit.wire.strict_json import lenient

UNREAD = "no parser for this operation"


class OpaqueAccumulator:
    """Top-level facts of JSON bodies and events of unknown shape."""

    expects_terminal = False

    def __init__(self, problem: str = UNREAD) -> None:
        self.terminal = False
        self.problem = problem
        self._found: dict[str, Any] = {}

    def event(self, event: Event) -> None:
        """Take an event; where the stream ends only its framing tells."""
        self._take(lenient(event.data, duplicates=False).value)

    def whole(self, document: Any) -> None:
        """Take a whole body."""
        self._take(document)

    def facts(self) -> dict[str, Any]:
        """Fields of ``ResponseFacts``."""
        return self._found

    def _take(self, document: Any) -> None:
        body = mapping(document)
        for field in ("id", "model"):
            if field not in self._found and (value := name(body.get(field))):
                self._found[field] = value
        counts = mapping(body.get("usage"))
        first = (counts.get("input_tokens"), counts.get("prompt_tokens"))
        second = (counts.get("output_tokens"), counts.get("completion_tokens"))
        found = usage(
            (key, value)
            for key, values in (("input_tokens", first), ("output_tokens", second))
            for value in values
        )
        if found:
            self._found["usage"] = found
        if is_error(body):
            self._found["error"] = error_of(body)


class Opaque:
    """Bytes with an HTTP status; see the module."""

    name = "opaque"
    parser = "opaque/1"

    def __init__(self, provider: str = "opaque") -> None:
        self.provider = provider

    def request(self, method: str, path: str, headers: Headers, body: bytes) -> RequestFacts:
        """Read what a JSON body may give away."""
        del method, path
        document = mapping(document_of(headers, body).value)
        return RequestFacts(
            dialect=self.name,
            provider=self.provider,
            parser=self.parser,
            parsed=f"unparsed: {UNREAD}",
            model=name(document.get("model")),
            stream=document.get("stream") is True,
        )

    def stream(self, request: RequestFacts, status: int, headers: Headers) -> StreamReader:
        """Return a reader for whatever comes."""
        return StreamReader(request, status, headers, OpaqueAccumulator())

    def response(
        self, request: RequestFacts, status: int, headers: Headers, body: bytes
    ) -> ResponseFacts:
        """Read a whole body."""
        reader = self.stream(request, status, headers)
        reader.feed(body)
        return reader.finish()

    def conversation(self, request: RequestFacts, response: ResponseFacts | None) -> list[Message]:
        """No messages can be told apart in bytes of unknown shape."""
        del request, response
        return []

    def error_body(
        self, status: int, code: str, message: str, hint: str, record_id: str
    ) -> tuple[str, bytes]:
        """The error shape of our own APIs."""
        del status
        error = {"code": code, "message": message, "hint": hint, "record": record_id}
        shown = {key: value for key, value in error.items() if value}
        return "application/json", msgspec.json.encode({"error": shown})
