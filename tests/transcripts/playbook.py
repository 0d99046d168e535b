"""Transcripts of provider streams: a conversation one can read, and what is known at each point.

::

    What the transcript shows, up to the first empty line.

    dialect openai                     a name of ``providers.registry``
    POST /v1/chat/completions
    HTTP 200 text/event-stream         status and content type of the response
    < data: {"choices": []}            these bytes and a line end arrive, as one piece
    <                                  a line end alone
    << data: [DO                       these bytes and no line end
    = terminal false                   what is known now, as JSON
    end                                the connection ends
    = text "Hello"                     what the facts say

Lines end with LF, after ``lines crlf`` with CRLF. After ``end`` each ``=`` names a fact or
``truncated``, ``tools`` or ``said_error`` (see ``_known``).
"""

import json
from pathlib import Path
from typing import Any

from affidavit.providers import registry
from affidavit.providers.facts import ResponseFacts

TRANSCRIPTS = sorted((Path(__file__).parent / "streams").glob("*.txt"))


class Transcript:
    """One file, read."""

    def __init__(self, path: Path) -> None:
        self.title, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
        self.steps = [line for line in rest.split("\n") if line and not line.startswith("#")]

    def play(self) -> tuple[ResponseFacts, list[bytes]]:
        """Feed piece after piece, check each expectation; return the facts and the pieces."""
        reader = None
        facts: ResponseFacts | None = None
        pieces: list[bytes] = []
        end_of_line = b"\n"
        for step in self.steps:
            word, _, rest = step.partition(" ")
            if word == "lines":
                end_of_line = {"crlf": b"\r\n", "cr": b"\r", "lf": b"\n"}[rest]
            elif word in ("<", "<<"):
                if reader is None:
                    reader = self.reader()
                pieces.append(rest.encode() + (end_of_line if word == "<" else b""))
                reader.feed(pieces[-1])
            elif word == "end":
                facts = (reader or self.reader()).finish()
            elif word == "=":
                name, _, expected = rest.partition(" ")
                known = _known(facts, name) if facts else reader and reader.terminal
                assert facts or name == "terminal", f"before its end a stream has no {name}"
                assert known == json.loads(expected), step
        assert facts is not None, "the transcript has no end"
        return facts, pieces

    def reader(self) -> Any:
        """A new reader of the response that the transcript describes."""
        dialect = registry.lookup(self._line("dialect"))
        request = dialect.request("POST", self._line("POST"), [], b'{"model":"m","stream":true}')
        status, _, content_type = self._line("HTTP").partition(" ")
        headers = [(b"content-type", content_type.encode())] if content_type else []
        return dialect.stream(request, int(status), headers)

    def _line(self, word: str) -> str:
        return next(step.partition(" ")[2] for step in self.steps if step.startswith(word + " "))


def _known(facts: ResponseFacts, name: str) -> Any:
    """A fact by name, in the terms of JSON."""
    if name == "truncated":
        return facts.expects_terminal and not facts.terminal
    if name == "tools":
        return [[call.name, call.arguments] for call in facts.tool_calls]
    if name == "said_error":
        return None if facts.error is None else [facts.error.type, facts.error.message]
    value = getattr(facts, name)
    return list(value) if isinstance(value, tuple) else value
