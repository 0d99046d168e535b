"""tlog-witness without I/O: every status under its condition and no other."""

import base64
import hashlib

import pytest

from affidavit.ledger import merkle, note, witness
from affidavit.ledger.note import Checkpoint, Cosigner, Signer
from affidavit.ledger.policy import LogKey
from affidavit.ledger.witness import Answer, Head, Request
from tests.world.witnessing import (
    COSIGNER,
    LOG,
    LOGS,
    ORIGIN,
    body,
    checkpoint_of,
    grown,
    proof,
    request,
)

TREE = grown("a", 9)
FORK = grown("b", 9, TREE[:4])
OTHER = Signer("other.example/log", bytes(32))
STRANGER = Signer(ORIGIN, b"\x07" * 32)


def _head(size: int) -> Head:
    checkpoint = checkpoint_of(TREE[:size])
    return Head(size, checkpoint.root, b"")


def _handle(data: bytes, head: Head | None) -> Answer:
    """All of it, as a witness does it."""
    found = witness.read(data, LOGS)
    if isinstance(found, Answer):
        return found
    refused = witness.check(found, head)
    return refused or witness.cosign(found, [COSIGNER], 1767225600)[0]


def _empty_with_another_root() -> bytes:
    checkpoint = Checkpoint(ORIGIN, 0, bytes(32))
    return b"old 0\n\n" + note.sign_checkpoint(checkpoint, [LOG])


def _resigned(data: bytes) -> bytes:
    """The same with the signature of the log's key spoilt."""
    line = data.rstrip(b"\n").rpartition(b" ")[2]
    raw = bytearray(base64.b64decode(line))
    raw[-1] ^= 1
    return data.replace(line, base64.b64encode(raw))


SIZE_5, SIZE_9 = body(0, TREE[:5]), body(5, TREE)
NO_CHECKPOINT = f"{ORIGIN}\nx\ny\n\n{LOG.sign(f'{ORIGIN}{chr(10)}x{chr(10)}y{chr(10)}')}".encode()
NOTE_9 = SIZE_9.partition(b"\n\n")[2]

CASES: dict[str, tuple[bytes, Head | None, int]] = {
    "the first checkpoint": (SIZE_5, None, 200),
    "an empty log": (body(0, []), None, 200),
    "an empty log again": (body(0, []), _head(0), 200),
    "the first leaves behind an empty log": (SIZE_5, _head(0), 200),
    "a tree that grew": (SIZE_9, _head(5), 200),
    "the same once more": (body(9, TREE), _head(9), 200),
    "nothing": (b"", None, 400),
    "no note": (b"old 0\n\n", None, 400),
    "no empty line": (b"old 0\n" + NOTE_9.replace(b"\n\n", b"\n"), None, 400),
    "no old size": (b"\n\n" + NOTE_9, None, 400),
    "an old size with a zero in front": (SIZE_9.replace(b"old 5", b"old 05"), _head(5), 400),
    "an old size with two spaces": (SIZE_9.replace(b"old 5", b"old  5"), _head(5), 400),
    "a negative old size": (SIZE_9.replace(b"old 5", b"old -5"), _head(5), 400),
    "a monstrous old size": (SIZE_9.replace(b"old 5", b"old " + b"9" * 20), _head(5), 400),
    "arabic digits": (SIZE_9.replace(b"old 5", "old ٥".encode()), _head(5), 400),
    "a hash of 31 bytes": (body(5, TREE, [bytes(31)]), _head(5), 400),
    "a hash in other base64": (SIZE_9.replace(b"=\n\n", b"\n\n"), _head(5), 400),
    "a hash with loose bits": (
        body(5, TREE, [bytes(32)]).replace(b"AAA=\n", b"AAB=\n", 1),
        _head(5),
        400,
    ),
    "no base64": (body(5, TREE, [bytes(32)]).replace(b"AAAA", b"A-A_"), _head(5), 400),
    "carriage returns": (SIZE_9.replace(b"\n", b"\r\n"), _head(5), 400),
    "64 hashes": (body(5, TREE, [bytes(32)] * 64), _head(5), 400),
    "a thousand hashes": (body(5, TREE, [bytes(32)] * 1000), _head(5), 400),
    "a note without signatures": (b"old 0\n\n" + checkpoint_of(TREE).text().encode(), None, 400),
    "a note that is no checkpoint": (b"old 0\n\n" + NO_CHECKPOINT, None, 400),
    "a body beyond all measure": (body(0, TREE) + b"x" * witness.MAX_BODY, None, 400),
    "an old size above the checkpoint": (body(10, TREE, []), _head(9), 400),
    "a signature that is wrong": (_resigned(SIZE_5), None, 403),
    "a stranger's signature": (body(0, TREE, signer=STRANGER), None, 403),
    "a wrong signature beside a stranger's": (
        _resigned(SIZE_5) + STRANGER.sign(checkpoint_of(TREE[:5]).text()).encode(),
        None,
        403,
    ),
    "the log's name and another's origin": (
        b"old 0\n\n"
        + note.sign_checkpoint(checkpoint_of(TREE)._replace(origin="other.example/log"), [LOG]),
        None,
        404,
    ),
    "an unknown log": (
        b"old 0\n\n"
        + note.sign_checkpoint(checkpoint_of(TREE)._replace(origin="other.example/log"), [OTHER]),
        None,
        404,
    ),
    "an old size below the one on record": (SIZE_9, _head(7), 409),
    "an old size above the one on record": (SIZE_9, _head(4), 409),
    "a first checkpoint for a witness that knows the log": (SIZE_5, _head(5), 409),
    "an old size where nothing is on record": (SIZE_9, None, 409),
    "a checkpoint older than the one on record": (body(4, TREE[:5]), _head(9), 409),
    "63 hashes": (body(5, TREE, [bytes(32)] * 63), _head(5), 422),
    "no proof": (body(5, TREE, []), _head(5), 422),
    "a proof of another step": (body(5, TREE, proof(4, TREE)), _head(5), 422),
    "one hash too many": (body(5, TREE, [*proof(5, TREE), bytes(32)]), _head(5), 422),
    "a proof from nothing": (body(0, TREE, [bytes(32)]), None, 422),
    "a fork": (body(5, FORK), _head(5), 422),
    "another tree of the same size": (body(9, FORK), _head(9), 422),
    "another tree of the same size with a proof": (body(9, FORK, [bytes(32)]), _head(9), 422),
    "the same tree with a proof": (body(9, TREE, [bytes(32)]), _head(9), 422),
    "an empty tree with another root": (_empty_with_another_root(), None, 422),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_status_has_its_condition(name: str) -> None:
    """Status, media type, and a body that says what the protocol wants said."""
    data, head, status = CASES[name]
    answer = _handle(data, head)
    assert answer.status == status, answer.body
    if status == 409:
        size = 0 if head is None else head.size
        assert answer == Answer(409, f"{size}\n".encode(), "text/x.tlog.size")
    elif status != 200:
        assert answer.media_type == "text/plain; charset=utf-8"
        assert answer.body.count(b"\n") == 1
        assert answer.body.endswith(b".\n")


def test_the_cosignature_is_that_of_the_worked_example() -> None:
    """Name, time and text of the example in the reference; the whole note is what is kept."""
    leaves = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31"]
    answer, head = witness.cosign(request(0, leaves), [COSIGNER], 1767225600)
    line = (
        "— witness.example/w1 8e2MRwAAAABpVbkAqHpbh4ZTOtA3BSLAtHdhrHr7yXrhNpZPPRvZ8y6vP27shM8m+7xB"
        "4Oct3QS5Ddu+vp1kWMtfYeGwGkrSVZkNCA==\n"
    )
    assert answer == Answer(200, line.encode())
    opened = note.open_note(head.note, [LOG.verifier(), COSIGNER.verifier()])
    assert opened.signers == {LOG.vkey: 0, COSIGNER.vkey: 1767225600}
    assert (head.size, head.root) == (5, checkpoint_of(leaves).root)
    assert witness.read_head(head.note, [COSIGNER.verifier()], LOGS) == (ORIGIN, head)


def test_both_kinds_of_cosignature_are_given() -> None:
    """One line for each key, each over the whole tree and with a time."""
    pq = Cosigner("witness.example/w1", note.ML_DSA_44, b"\x43" * 32)
    answer, head = witness.cosign(request(0, TREE), [COSIGNER, pq], 1767225600)
    assert answer.body.count(b"\n") == 2
    opened = note.open_note(head.note, [COSIGNER.verifier(), pq.verifier()])
    assert set(opened.signers.values()) == {1767225600}
    assert set(opened.signers) == {COSIGNER.vkey, pq.vkey}


def test_lines_of_strangers_are_not_carried_along() -> None:
    """Nor is a line of the log's repeated; extension lines are signed as they are."""
    text = checkpoint_of(TREE).text() + "extension\n"
    line = LOG.sign(text)
    data = f"old 0\n\n{text}\n{STRANGER.sign(text)}{line}{line}".encode()
    found = witness.read(data, LOGS)
    assert isinstance(found, Request)
    _, head = witness.cosign(found, [COSIGNER], 1)
    assert head.note == (text + "\n" + line + COSIGNER.cosign(text, 1)).encode()


def test_a_key_counts_for_the_sizes_of_the_policy() -> None:
    """One that was rotated away signs nothing newer, its successor nothing older."""
    old, new = LOG, STRANGER
    logs = witness.logs_of([LogKey(old.verifier(), "", 0, 5), LogKey(new.verifier(), "", 5, None)])
    for size, signer, status in [
        (4, old, 200), (5, old, 200), (6, old, 403), (4, new, 403), (5, new, 200), (6, new, 200),
    ]:  # fmt: skip
        found = witness.read(body(0, TREE[:size], signer=signer), logs)
        assert (200 if isinstance(found, Request) else found.status) == status


def test_a_log_may_sign_with_ml_dsa_alone() -> None:
    """Whatever key the policy names for its origin."""
    pq = Cosigner(ORIGIN, note.ML_DSA_44, b"\x44" * 32)
    logs = witness.logs_of([LogKey(pq.verifier())])
    text = checkpoint_of(TREE).text()
    line = pq.cosign(text, 5)
    found = witness.read(f"old 0\n\n{text}\n{line}".encode(), logs)
    assert isinstance(found, Request)
    assert found.note() == f"{text}\n{line}".encode()


def test_the_path_of_a_log_is_the_hash_of_its_origin() -> None:
    """As the reference spells it for its example."""
    expected = "3955020484cfcb94c1032aee52c46a1bc125f2b33604afe1e306308f94c44151"
    assert witness.path_name(ORIGIN) == hashlib.sha256(ORIGIN.encode()).hexdigest() == expected


@pytest.mark.parametrize("size", range(1, 18))
def test_every_true_step_is_cosigned(size: int) -> None:
    """From each size to each later one, in trees of every shape."""
    leaves = grown("c", 17)
    for old in range(size + 1):
        checkpoint = checkpoint_of(leaves[:old])
        head = Head(old, checkpoint.root, b"") if old else None
        assert _handle(body(old, leaves[:size]), head).status == 200
    assert checkpoint_of(leaves[:0]).root == merkle.EMPTY_ROOT
