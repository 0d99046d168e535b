"""C2SP tlog-witness without I/O: the body of an ``add-checkpoint`` in, an answer out.

Rules: a body is ``old <size>``, at most 63 hashes in base64, an empty line and a checkpoint. It is
judged in this order: 400 if it is not that; 404 if the origin is unknown; 403 if a known key of
that log signed wrongly or none signed; 400 if ``old`` is larger than the checkpoint; 409 with the
size on record if ``old`` is another; 422 if the consistency proof does not lead from the one to
the other (none may stand there for ``old`` 0 or equal sizes), equal sizes have different roots, or
size 0 has another root than the empty tree. Only then a cosignature is made, of all of the
witness's keys, over the very text that the log signed. Keys of a log count for the sizes that the
policy gives them. Not here: what is on record and that it is there before a cosignature is
released (``witness_store``), sockets (``app.witness_http``).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from affidavit.errors import CheckFailedError, ParseError
from affidavit.ledger import merkle, note
from affidavit.ledger.policy import LogKey

MAX_PROOF = 63
MAX_BODY = note.MAX_NOTE + 4096
"""Longest body that needs to be read: the longest note, and a proof."""

BROKEN_RULE = "A rule is broken: "
"""How the text of a monitor's 422 begins when it is about a leaf and not about the tree."""

TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"

_OLD = re.compile(rb"old (0|[1-9][0-9]{0,18})")


class Answer(NamedTuple):
    """What goes back: an HTTP status, a body and its media type.

    ``retry``: whether the same request may be answered otherwise in a moment.
    """

    status: int
    body: bytes
    media_type: str = TEXT
    retry: bool = False


class Head(NamedTuple):
    """The latest tree head that was cosigned for a log; ``note`` with log and own signatures."""

    size: int
    root: bytes
    note: bytes


class Request(NamedTuple):
    """An ``add-checkpoint`` whose checkpoint is signed by its log.

    ``lines`` are the signature lines of the log's known keys, each once.
    """

    old: int
    proof: tuple[bytes, ...]
    checkpoint: note.Checkpoint
    lines: tuple[str, ...]

    def note(self) -> bytes:
        """The checkpoint as its log signed it, without the signatures of strangers."""
        return "".join([self.checkpoint.text(), "\n", *self.lines]).encode()


Logs = Mapping[str, Sequence[LogKey]]
"""The logs that a witness knows: origin → keys."""


def logs_of(keys: Iterable[LogKey]) -> dict[str, list[LogKey]]:
    """Keys of logs by origin, which is the name of the key (tlog-checkpoint)."""
    found: dict[str, list[LogKey]] = {}
    for key in keys:
        found.setdefault(key.verifier.name, []).append(key)
    return found


def path_name(origin: str) -> str:
    """Hex SHA-256 of an origin, under which its head is served."""
    return hashlib.sha256(origin.encode()).hexdigest()


def refusal(status: int, sentence: str, *, retry: bool = False) -> Answer:
    """An answer of one line of text."""
    return Answer(status, f"{sentence}\n".encode(), TEXT, retry)


def read(body: bytes, logs: Logs) -> Request | Answer:
    """The request in a body, or 400, 403 or 404."""
    try:
        old, proof, data = _split(body)
        checkpoint = note.open_checkpoint(data, None)
        keys = logs.get(checkpoint.origin)
        if keys is None:
            return refusal(404, "This witness does not know a log of that origin.")
        verifiers = [
            key.verifier
            for key in keys
            if key.first <= checkpoint.size and (key.last is None or checkpoint.size <= key.last)
        ]
        note.open_note(data, verifiers)
    except ParseError as error:
        return refusal(400, error.message)
    except CheckFailedError as error:
        return refusal(403, error.message)
    if old > checkpoint.size:
        return refusal(400, "The old size is larger than the checkpoint.")
    return Request(old, proof, checkpoint, _lines_of(data, verifiers))


def check(request: Request, head: Head | None) -> Answer | None:
    """Whether a request goes on from what is on record: ``None``, or 409 or 422."""
    size, root = (head.size, head.root) if head is not None else (0, merkle.EMPTY_ROOT)
    if request.old != size:
        return Answer(409, f"{size}\n".encode(), SIZE)
    checkpoint = request.checkpoint
    if size == 0:
        if request.proof:
            return refusal(422, "There is no consistency proof from size 0.")
        if checkpoint.size == 0 and checkpoint.root != merkle.EMPTY_ROOT:
            return refusal(422, "The empty tree has another root.")
        return None
    try:
        merkle.verify_consistency(size, checkpoint.size, root, checkpoint.root, request.proof)
    except CheckFailedError as error:
        return refusal(422, error.message)
    return None


def cosign(
    request: Request, cosigners: Sequence[note.Cosigner], moment: int
) -> tuple[Answer, Head]:
    """The cosignatures of a request that was checked, and the head that they are over.

    ``moment`` is seconds since 1970. The head goes on record before the answer goes out.
    """
    checkpoint = request.checkpoint
    text = checkpoint.text()
    own = [cosigner.cosign(text, moment) for cosigner in cosigners]
    whole = "".join([text, "\n", *request.lines, *own]).encode()
    return Answer(200, "".join(own).encode()), Head(checkpoint.size, checkpoint.root, whole)


def read_head(data: bytes, own: Sequence[note.Verifier], logs: Logs) -> tuple[str, Head]:
    """Origin and head of a note that this witness cosigned with the first of its keys.

    ``ParseError`` or ``CheckFailedError`` if it is anything else.
    """
    checkpoint = note.open_checkpoint(data, None)
    known = [key.verifier for key in logs.get(checkpoint.origin, ())]
    if own[0].vkey not in note.open_note(data, [*own, *known]).signers:
        raise CheckFailedError("This witness has not cosigned this checkpoint.")
    return checkpoint.origin, Head(checkpoint.size, checkpoint.root, data)


def _split(body: bytes) -> tuple[int, tuple[bytes, ...], bytes]:
    """Old size, proof and note; ``ParseError`` if the body is not made of them."""
    head, empty, data = body.partition(b"\n\n")
    first, *lines = head.split(b"\n", MAX_PROOF + 1)
    old = _OLD.fullmatch(first)
    if not empty or old is None:
        raise ParseError("A request is an old size, a proof, an empty line and a checkpoint.")
    if len(lines) > MAX_PROOF:
        raise ParseError(f"A consistency proof has at most {MAX_PROOF} lines.")
    return int(old[1]), tuple([_hash(line) for line in lines]), data


def _hash(line: bytes) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ParseError("A line of the proof is not base64.") from error
    if len(data) != merkle.HASH_BYTES or base64.b64encode(data) != line:
        raise ParseError("A line of the proof is not a hash of 32 bytes in base64.")
    return data


def _lines_of(data: bytes, verifiers: Sequence[note.Verifier]) -> tuple[str, ...]:
    """The lines of these keys in a note that was opened; those of strangers are left out."""
    wanted = {(verifier.name, verifier.key_id) for verifier in verifiers}
    found: dict[tuple[str, bytes], str] = {}
    for line in note.signature_lines(data):
        _, name, encoded = line.split()
        key = (name, base64.b64decode(encoded)[:4])
        if key in wanted:
            found[key] = line
    return tuple(found.values())
