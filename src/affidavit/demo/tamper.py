"""What somebody with the log's files and its key could do to evidence, for the demonstration.

Rules: everything here works on copies; what can be made to fit is made to fit, as a careful
forger would: digests, counts, inclusion proofs and signatures. What then still speaks against the
forgery is what the demonstration is about. Not here: who is shown what (``cli.demo``).
"""

import base64
import hashlib
import json
from collections.abc import Sequence

from affidavit.evidence import verify, zipfile_canonical
from affidavit.ids import b64u
from affidavit.ledger import note
from affidavit.ledger.log_reader import LogReader
from affidavit.query.completeness import batch_proof

_LINES = {"leaves.jsonl": "index", "links.jsonl": "leaf", "disclosures.jsonl": "leaf"}


def flipped(data: bytes, at: int) -> bytes:
    """``data`` with one bit of byte ``at`` changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def without(bundle: bytes, log: LogReader, leaf: int) -> bytes:
    """The bundle without a record and all that belongs to it, everything else made to fit."""
    members = {name: bytes(body) for name, body in verify.read_zip(bundle).items()}
    for name, field in _LINES.items():
        lines = members[name].splitlines(keepends=True)
        members[name] = b"".join(line for line in lines if json.loads(line)[field] != leaf)
    members = {n: body for n, body in members.items() if not n.startswith(f"content/{leaf}-")}
    manifest = json.loads(members["manifest.json"])
    indices = [json.loads(line)["index"] for line in members["leaves.jsonl"].splitlines()]
    proof = batch_proof(log, indices, manifest["size"])
    members["proofs/inclusion"] = b"".join(b64u(node).encode() + b"\n" for node in proof)
    manifest["counts"]["records"] -= 1
    manifest["counts"]["matching"] -= 1
    return _packed(members, manifest)


def _packed(members: dict[str, bytes], manifest: dict[str, object]) -> bytes:
    """The canonical zip of members, with a manifest that lists them as they are."""
    rest = {name: body for name, body in members.items() if name != zipfile_canonical.FIRST}
    files = {name: b64u(hashlib.sha256(rest[name]).digest()) for name in sorted(rest)}
    text = json.dumps(manifest | {"files": files}, separators=(",", ":"), ensure_ascii=False)
    return zipfile_canonical.encode({**rest, zipfile_canonical.FIRST: text.encode()})


def head(origin: str, seed: bytes, size: int, root: bytes) -> bytes:
    """A tree head signed with the log's own key, whatever the log holds."""
    return note.sign_checkpoint(note.Checkpoint(origin, size, root), [note.Signer(origin, seed)])


def submission(old: int, proof: Sequence[bytes], signed: bytes) -> bytes:
    """What the log would send a witness to have ``signed`` cosigned (C2SP tlog-witness)."""
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in proof), "", ""]
    return "\n".join(lines).encode() + signed
