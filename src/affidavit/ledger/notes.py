"""The notes of a log, checked against its leaves: published, integrated, cosigned, stamped.

Rules: each is a checkpoint of this log, signed by a key that it had at that size, over a root that
the leaves on disk give, unless that tree was pruned; a timestamp's imprint is SHA-256 of exactly
the bytes of its note (RFC 3161 §2.4.1). Cosignatures are verified by the keys that are given and
passed over otherwise; so is the signature inside a timestamp, by trust anchors. Not here: which
witnesses suffice (``policy``).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from affidavit.errors import CheckFailedError, NotFoundError, ParseError, PrunedError
from affidavit.ledger import note, timestamp
from affidavit.ledger.findings import damaged
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.policy import LogKey

_SHA_256 = bytes.fromhex("0609608648016503040201")
_IMPRINTS = (b"\x30\x0d" + _SHA_256 + b"\x05\x00\x04\x20", b"\x30\x0b" + _SHA_256 + b"\x04\x20")
"""AlgorithmIdentifier of SHA-256, with and without NULL, and the head of 32 bytes behind it."""


def check_notes(
    root: Path,
    reader: LogReader,
    keys: Sequence[LogKey],
    cosigners: Sequence[note.Verifier] = (),
    anchors: Sequence[bytes] = (),
) -> int:
    """Check what is there of these notes; returns how many that were.

    ``keys`` are those the log has or had, each for its sizes; ``anchors`` are certificates in DER,
    those of timestamp authorities. ``CorruptError`` names the first one that is not right.
    """
    count = 0
    for name in ("checkpoint", "integrated", "cosigned"):
        path = root / name
        if path.exists():
            _, signers = _check(path.read_bytes(), name, reader, keys, cosigners)
            if name == "cosigned" and cosigners and signers.isdisjoint(_vkeys(cosigners)):
                raise damaged(name, "cosigned has no cosignature by a witness that is known.")
            count += 1
    directory = root / "timestamps"
    for path in sorted(directory.glob("*.checkpoint")) if directory.is_dir() else ():
        name = f"timestamps/{path.name}"
        checkpoint, _ = _check(path.read_bytes(), name, reader, keys, cosigners)
        if path.name != f"{checkpoint.size}.checkpoint":
            raise damaged(name, f"{name} is of {checkpoint.size} leaves.")
        count += 1
    for path in sorted(directory.glob("*.tsr")) if directory.is_dir() else ():
        _check_answer(path, anchors)
    return count


def _check_answer(path: Path, anchors: Sequence[bytes]) -> None:
    name = f"timestamps/{path.name}"
    beside = path.with_suffix(".checkpoint")
    if not beside.exists():
        raise damaged(name, f"{name} has no note beside it.")
    stamped, answer = beside.read_bytes(), path.read_bytes()
    digest = hashlib.sha256(stamped).digest()
    if not any(imprint + digest in answer for imprint in _IMPRINTS):
        raise damaged(name, f"{name}: what it stamps is not timestamps/{beside.name}.")
    if anchors:
        try:
            timestamp.verify(answer, stamped, anchors)
        except (CheckFailedError, ParseError) as error:
            raise damaged(name, f"{name}: {error.message}") from error


def _vkeys(verifiers: Sequence[note.Verifier]) -> set[str]:
    return {verifier.vkey for verifier in verifiers}


def _check(
    data: bytes,
    name: str,
    reader: LogReader,
    keys: Sequence[LogKey],
    cosigners: Sequence[note.Verifier],
) -> tuple[note.Checkpoint, set[str]]:
    try:
        size = note.open_checkpoint(data, None).size
        own = [
            key.verifier
            for key in keys
            if key.first <= size and (key.last is None or size <= key.last)
        ]
        checkpoint = note.open_checkpoint(data, own)
        signers = set(note.open_note(data, [*own, *cosigners]).signers)
    except (ParseError, CheckFailedError) as error:
        raise damaged(name, f"{name}: {error.message}") from error
    try:
        root = reader.root(checkpoint.size)
    except PrunedError:
        root = checkpoint.root  # nothing is left to compare it with
    except NotFoundError as error:
        raise damaged(name, f"{name} is of more leaves than the log has.") from error
    if root != checkpoint.root:
        raise damaged(name, f"{name}: its root is not that of the first {checkpoint.size} leaves.")
    return checkpoint, signers
