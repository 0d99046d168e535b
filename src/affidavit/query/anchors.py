"""What outsiders have said of a log, as it lies beside it: cosigned checkpoints and timestamps.

Rules: nothing here is believed: an answer carries what is there, and the verifier judges it by
outside trust. A note of another log, of more leaves than are published or of a tree that was pruned
is left out; one with
another root than this log has at that size stops the answer, because then somebody has rewritten
the log. Of many timestamps few are taken: those that cover the leaves of an answer earliest, spread
over it, the one over its newest leaf among them.
Not here: asking witnesses and authorities (``ledger``), the check (``evidence.verify``).
"""

import bisect
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from affidavit.errors import CorruptError, ParseError
from affidavit.ledger import note, timestamp
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Checkpoint

MAX_STAMPS = 16
"""An answer carries at most this many timestamps."""

_PAUSE = 0.05
_NOTE_BYTES = 1_000_000


class Stamp(msgspec.Struct, frozen=True):
    """A timestamp: the note of ``size`` leaves that it is over, and the authority's answer.

    ``proof``: that the tree of ``size`` leaves begins that of the answer's checkpoint (RFC 6962
    §2.1.2), empty if it is the same size.
    """

    size: int
    note: bytes
    token: bytes
    proof: tuple[bytes, ...]


def checkpoint_over(reader: LogReader, newest: int, wait: float = 0.0) -> tuple[bytes, Checkpoint]:
    """The note to rest an answer on whose newest leaf is ``newest``, and what it says.

    The newest one with cosignatures of witnesses, if it covers that leaf or comes to cover it
    within ``wait`` seconds; else the published one. ``CorruptError`` if a note is not of this log.
    """
    limit = time.monotonic() + wait
    while True:
        cosigned = _read(reader.root_path / "cosigned")
        found = None if cosigned is None else _fitting(reader, "cosigned", cosigned)
        if cosigned is not None and found is not None and found.size > newest:
            return cosigned, found
        if time.monotonic() >= limit:
            data = reader.checkpoint_bytes()
            return data, note.open_checkpoint(data, None)
        time.sleep(_PAUSE)


def _fitting(reader: LogReader, name: str, data: bytes) -> Checkpoint | None:
    """What a note says, if it is one of this log and not of more than is published."""
    try:
        found = note.open_checkpoint(data, None)
        published = reader.checkpoint()
    except ParseError:
        return None
    least = max(reader.minimum(), 1)
    if found.origin != published.origin or not least <= found.size <= published.size:
        return None
    if found.root != reader.root(found.size):
        raise CorruptError(
            f"{name} is over another tree of {found.size} leaves than this log has.",
            hint="Run affidavit fsck; either the log or this note was rewritten.",
        )
    return found


def stamps(reader: LogReader, leaves: Sequence[int], checkpoint: Checkpoint) -> tuple[Stamp, ...]:
    """The timestamps that cover ``leaves`` (ascending) earliest, by size.

    ``CorruptError`` if one is over a tree that this log does not have.
    """
    every = timestamp.stored(reader.root_path)
    least = reader.minimum()  # a smaller tree was pruned, and nothing leads on from it
    there = [stored for stored in every if least <= stored.size <= checkpoint.size]
    sizes = [stored.size for stored in there]
    places = {bisect.bisect_right(sizes, index) for index in leaves} - {len(sizes)}
    wanted = [there[place] for place in sorted(places)]
    if len(wanted) > MAX_STAMPS:
        last = len(wanted) - 1
        wanted = [wanted[k * last // (MAX_STAMPS - 1)] for k in range(MAX_STAMPS)]
    found = (_stamp(reader, stored, checkpoint) for stored in wanted)
    return tuple(stamp for stamp in found if stamp is not None)


def _stamp(reader: LogReader, stored: timestamp.Stored, checkpoint: Checkpoint) -> Stamp | None:
    data, token = _read(stored.checkpoint), _read(stored.answer)
    if data is None or token is None:
        return None
    stamped = _fitting(reader, f"timestamps/{stored.checkpoint.name}", data)
    if stamped is None or stamped.size != stored.size:
        return None
    less = stored.size < checkpoint.size
    proof = reader.consistency(stored.size, checkpoint.size) if less else []
    return Stamp(stored.size, data, token, tuple(proof))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_NOTE_BYTES)
    except FileNotFoundError:
        return None
