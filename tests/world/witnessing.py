"""A log that signs whatever it is told to, and what it sends to a witness."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from affidavit.durable import Disk
from affidavit.ledger import merkle, note, witness
from affidavit.ledger.note import Checkpoint, Signer
from affidavit.ledger.policy import LogKey
from affidavit.ledger.witness import Answer, Request
from affidavit.ledger.witness_store import Witness
from tests.world.clock import FakeClock

ORIGIN = "audit.example/log1"
LOG = Signer(ORIGIN, bytes(range(32)))
LOGS = witness.logs_of([LogKey(LOG.verifier())])
COSIGNER = note.Cosigner("witness.example/w1", note.COSIGNATURE, b"\x42" * 32)

Leaves = Sequence[bytes]


def checkpoint_of(leaves: Leaves) -> Checkpoint:
    """The tree head over these leaves."""
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    return Checkpoint(ORIGIN, len(leaves), merkle.root(hashes))


def proof(old: int, leaves: Leaves) -> list[bytes]:
    """The consistency proof from the first ``old`` of these leaves to all of them."""
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    if not 0 < old <= len(leaves):
        return []
    return merkle.consistency_path(
        old, len(leaves), lambda level, i: merkle.root(hashes[i << level : (i + 1) << level])
    )


def body(
    old: int, leaves: Leaves, path: Iterable[bytes] | None = None, signer: Signer = LOG
) -> bytes:
    """An ``add-checkpoint`` for these leaves, with a good proof unless ``path`` is given."""
    hashes = proof(old, leaves) if path is None else path
    lines = "".join(base64.b64encode(one).decode() + "\n" for one in hashes)
    signed = note.sign_checkpoint(checkpoint_of(leaves), [signer])
    return f"old {old}\n{lines}\n".encode() + signed


def request(old: int, leaves: Leaves) -> Request:
    """The same, read."""
    found = witness.read(body(old, leaves), LOGS)
    assert isinstance(found, Request)
    return found


def open_witness(root: Path, disk: Disk | None = None, **more: object) -> Witness:
    """A witness of that log below ``root``."""
    return Witness(disk or Disk(), root, LOGS, [COSIGNER], FakeClock(), **more)  # type: ignore[arg-type] # vouch


def ask(served: Witness, old: int, leaves: Leaves) -> Answer:
    """What the witness says to an ``add-checkpoint``."""
    return served.cosign(request(old, leaves))


def grown(first: str, count: int, before: Leaves = ()) -> list[bytes]:
    """``before``, and behind it leaves of a branch of that name, ``count`` in all."""
    return [*before, *(f"{first}{n}".encode() for n in range(len(before), count))]
