"""A log's side of C2SP tlog-witness: asking to cosign, and reading what comes back.

Rules: a body is ``old <size>``, the consistency proof from that size, an empty line, the note with
the log's own signatures. The size a witness has seen is learnt from it: the first question says 0,
an answer 409 says how many leaves it knows, and the same note is sent again from there. An answer
is never believed: only a line that verifies under the witness's key in the policy is used. A
witness that knows more leaves than this log, or other ones, is no trouble of the network: it means
that the log was put back or runs twice, and has ``reason`` ``ahead`` or ``fork`` in its detail.
That is its claim until it shows a note that this log signed (``contradiction``). A monitor that has
found a broken rule says so, which has ``reason`` ``rule``.
Not here: sockets and time limits (``app``), whether the cosignatures suffice (``policy``).
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence

from affidavit.errors import (
    AffidavitError,
    CheckFailedError,
    CorruptError,
    NotFoundError,
    ParseError,
    RefusedError,
    UpstreamError,
    UpstreamProtocolError,
)
from affidavit.ledger import note
from affidavit.ledger.policy import WitnessKey
from affidavit.ledger.witness import BROKEN_RULE, path_name

CONTENT_TYPE = "text/plain; charset=utf-8"
MAX_ANSWER = 64 << 10

_MAX_SAID = 300
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
HISTORY = (
    "Delete nothing. Either an old copy of the data directory is running, or the log was started"
    " twice: stop it and put back the newest state. If that is lost, begin a log of another origin."
)

Proof = Callable[[int, int], list[bytes]]
"""The consistency proof from an older size to a newer one (RFC 9162 §2.1.4)."""


class Witness:
    """A witness of the policy, as this log knows it.

    ``seen``: leaves it is known to have seen, 0 until it says; ``cosigned``: leaves under the
    newest note it cosigned here; ``moment``: when that was, in seconds since 1970 by its clock.
    """

    def __init__(self, key: WitnessKey) -> None:
        self.name = key.name
        self._base = key.url.rstrip("/")
        self.url = f"{self._base}/add-checkpoint"
        self.seen = 0
        self.cosigned = 0
        self.moment = 0
        self._verifier = key.verifier
        self._asked: note.Checkpoint | None = None
        self._text = ""

    @property
    def vkey(self) -> str:
        """Its key in the policy."""
        return self._verifier.vkey

    def head_url(self, origin: str) -> str:
        """Where it shows the newest note of a log that it cosigned (tlog-witness)."""
        return f"{self._base}/{path_name(origin)}/checkpoint"

    def ask(self, data: bytes, proof: Proof) -> bytes:
        """The body that asks to cosign ``data``, a note by this log, from what it has seen."""
        self._asked = checkpoint = note.open_checkpoint(data, None)
        self._text = checkpoint.text()
        old = min(self.seen, checkpoint.size)
        hashes = proof(old, checkpoint.size) if 0 < old < checkpoint.size else []
        lines = [f"old {old}", *(base64.b64encode(one).decode() for one in hashes), ""]
        return ("\n".join(lines) + "\n").encode() + data

    def hear(self, status: int, body: bytes) -> str | None:
        """Its signature line over the note just asked about; ``None``: ask again.

        ``CheckFailedError`` with its reason if its history is not ours (see the module), a rule is
        broken or its line does not verify; ``NotFoundError`` if it does not know the log,
        ``RefusedError`` if it knows it under another key, ``UpstreamError`` for whatever else is no
        cosignature.
        """
        asked = self._asked
        assert asked is not None
        if status == 200:
            return self._line(body, asked)
        if status == 409:
            self._conflict(body, asked)
            return None
        raise self._refusal(status, asked, body)

    def _line(self, body: bytes, asked: note.Checkpoint) -> str:
        found = self._mine(self._text, body[:MAX_ANSWER].splitlines(keepends=True))
        if found is not None:
            line, self.moment = found
            self.seen = max(self.seen, asked.size)
            self.cosigned = max(self.cosigned, asked.size)
            return line
        raise CheckFailedError(
            f"The witness {self.name} gave no cosignature by its key in the policy.",
            reason="signature",
        )

    def line_in(self, data: bytes) -> str | None:
        """Its line in a note, if it is there and verifies; ``ParseError`` if that is no note."""
        lines = [line.encode() for line in note.signature_lines(data)]
        found = self._mine(note.open_checkpoint(data, None).text(), lines)
        return None if found is None else found[0]

    def _mine(self, text: str, lines: Sequence[bytes]) -> tuple[str, int] | None:
        """The first line by its key over ``text`` that verifies, and the time it gives."""
        for line in lines:
            try:
                opened = note.open_note(text.encode() + b"\n" + line, [self._verifier])
            except (CheckFailedError, ParseError):
                continue
            return line.decode(), opened.signers[self.vkey]
        return None

    def _conflict(self, body: bytes, asked: note.Checkpoint) -> None:
        match = _SIZE.fullmatch(body)
        told = -1 if match is None else int(match[1])
        if told > asked.size:
            raise CheckFailedError(
                f"The witness {self.name} says it has seen {told} leaves of this log,"
                f" of which {asked.size} are here.",
                hint=HISTORY,
                reason="ahead",
            )
        if told < 0 or told == self.seen:
            raise UpstreamProtocolError(f"The witness {self.name} contradicts itself.")
        self.seen = told

    def _refusal(self, status: int, asked: note.Checkpoint, body: bytes) -> AffidavitError:
        said = _said(body)
        if status == 422 and said.startswith(BROKEN_RULE):
            return CheckFailedError(
                f"The monitor {self.name} cosigns no more. {said}",
                hint="Look at that leaf before anything else; docs/operations.md, When it refuses.",
                reason="rule",
            )
        if status == 422:
            return CheckFailedError(
                f"The witness {self.name} says it holds another history of this log: the"
                f" {self.seen} leaves it has seen are not the first of the {asked.size} here.",
                hint=HISTORY,
                reason="fork",
            )
        if status == 404:
            return NotFoundError(
                f"The witness {self.name} does not know the log {asked.origin}.",
                hint="Give whoever runs it the lines of: affidavit log keys",
            )
        if status == 403:
            return RefusedError(
                f"The witness {self.name} knows the log {asked.origin} under another key.",
                hint="Give whoever runs it the lines of: affidavit log keys",
            )
        told = f": {said}" if said else "."
        return UpstreamError(f"The witness {self.name} answered with HTTP status {status}{told}")


def _said(body: bytes) -> str:
    """The one sentence in a refusal, ``""`` if it is anything else."""
    line = body[:_MAX_SAID].decode("ascii", "replace").removesuffix("\n")
    return line if line.isascii() and line.isprintable() and line.endswith(".") else ""


def with_lines(data: bytes, lines: Mapping[str, str]) -> bytes:
    """A note with cosignature lines (verifier key → line) behind its own, in that order."""
    return data + "".join(lines.values()).encode()


def contradiction(
    name: str, shown: bytes, own: Sequence[note.Verifier], size: int, root: Callable[[int], bytes]
) -> CorruptError | None:
    """What a note that ``name`` shows says against the ``size`` leaves here; ``None`` for nothing.

    Only a note that a key of ``own`` signed says anything: with more leaves than are here, or with
    another root over those that are.
    """
    try:
        checkpoint = note.open_checkpoint(shown, own)
    except (CheckFailedError, ParseError):
        return None
    if checkpoint.size > size:
        said = f"of {checkpoint.size} leaves that this log signed, of which {size} are here"
    elif root(checkpoint.size) != checkpoint.root:
        said = f"that this log signed of another history: its {checkpoint.size} leaves are not here"
    else:
        return None
    return CorruptError(f"The witness {name} shows a checkpoint {said}.", hint=HISTORY)
