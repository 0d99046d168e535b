"""What is sent to a witness, and what is made of its answers."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import (
    AffidavitError,
    CheckFailedError,
    NotFoundError,
    RefusedError,
    UpstreamError,
)
from affidavit.ledger import merkle, note
from affidavit.ledger.cosign import Witness, with_lines
from affidavit.ledger.policy import WitnessKey
from tests.world.ledger import WITNESS, World, Writer, cosign, newest, signer


def _witness(url: str = "https://w.example/api/") -> Witness:
    return Witness(WitnessKey("w1", WITNESS.verifier(), url, monitor=False))


def _no_proof(older: int, newer: int) -> list[bytes]:
    raise AssertionError(f"nobody needs a proof from {older} to {newer}")


def _note(size: int, root: bytes = bytes(32)) -> bytes:
    return note.sign_checkpoint(note.Checkpoint("audit.example/log1", size, root), [signer()])


def test_the_first_question_says_nothing_of_earlier(world: World) -> None:
    """``old 0``, no proof, an empty line, the note; to ``add-checkpoint`` below its address."""
    data = newest(world.root)
    witness = _witness()
    assert witness.url == "https://w.example/api/add-checkpoint"
    assert witness.ask(data, _no_proof) == b"old 0\n\n" + data
    assert witness.hear(200, WITNESS.cosign(_text(data), 7).encode()) == WITNESS.cosign(
        _text(data), 7
    )
    assert (witness.seen, witness.cosigned) == (1, 1)
    assert witness.ask(data, _no_proof) == b"old 1\n\n" + data  # the same size needs no proof


def _text(data: bytes) -> str:
    return note.open_checkpoint(data, None).text()


def test_from_then_on_with_a_proof(world: World) -> None:
    """From what it has seen to what is asked, as RFC 9162 has it."""
    witness, reader = _witness(), world.reader()
    old = reader.checkpoint()
    witness.ask(newest(world.root), _no_proof)
    witness.hear(200, WITNESS.cosign(old.text(), 7).encode())
    for _ in range(3):
        world.put(Writer().exchange())
    world.log.publish()
    data, new = newest(world.root), reader.checkpoint()
    head, _, rest = witness.ask(data, reader.consistency).partition(b"\n\n")
    first, *hashes = head.decode().split("\n")
    assert (first, rest) == ("old 1", data)
    proof = [base64.b64decode(one) for one in hashes]
    merkle.verify_consistency(1, new.size, old.root, new.root, proof)


def test_a_witness_that_has_seen_more_is_asked_from_there(world: World) -> None:
    """409 says how many leaves; the same note is sent again with the proof from there."""
    for _ in range(3):
        world.put(Writer().exchange())
    world.log.publish()
    witness, reader = _witness(), world.reader()
    data = newest(world.root)
    witness.ask(data, _no_proof)
    assert witness.hear(409, b"5\n") is None
    assert witness.ask(data, reader.consistency).startswith(b"old 5\n")
    assert witness.hear(409, b"0\n") is None  # it was reset: from the beginning
    assert witness.ask(data, _no_proof).startswith(b"old 0\n\n")


@pytest.mark.parametrize("body", [b"", b"x\n", b"07\n", b"3", b"-1\n", b"0\n", b"1\n2\n"])
def test_a_conflict_that_is_none(body: bytes) -> None:
    """Not a size, or the one just said: no endless asking."""
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    with pytest.raises(UpstreamError, match="contradicts itself"):
        witness.hear(409, body)


def test_a_witness_ahead_or_of_another_history_is_an_alarm() -> None:
    """These two have their reason, and say what not to do."""
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    with pytest.raises(
        CheckFailedError, match="has seen 8 leaves of this log, of which 7"
    ) as ahead:
        witness.hear(409, b"8\n")
    with pytest.raises(CheckFailedError, match="another history of this log") as fork:
        witness.hear(422, b"")
    assert [one.value.detail["reason"] for one in (ahead, fork)] == ["ahead", "fork"]
    assert all("Delete nothing" in one.value.hint for one in (ahead, fork))


def test_a_broken_rule_is_told_in_the_words_of_the_monitor() -> None:
    """It is no fork: the leaf is named, and a start is not refused for it."""
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    body = b"A rule is broken: Leaf 4 is in no type chain.\n"
    with pytest.raises(
        CheckFailedError, match=r"w1 cosigns no more\. A rule is broken: Leaf 4 "
    ) as it:
        witness.hear(422, body)
    assert it.value.detail["reason"] == "rule"
    for other in (b"a rule is broken", body + b"more\n", b"\x1b[2J" + body, b"x" * 999):
        with pytest.raises(CheckFailedError, match="another history"):
            witness.hear(422, other)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"3 of 9 leaves are replayed.\n", ": 3 of 9 leaves are replayed."),
        (b"", "."), (b"two\nlines\n", "."), (b"\xff\n", "."), (b"\x1b[2J\n", "."),
    ],
)  # fmt: skip
def test_why_there_is_no_cosignature_now_is_passed_on(body: bytes, said: str) -> None:
    """One line of printable text, or nothing of it."""
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    with pytest.raises(UpstreamError) as caught:
        witness.hear(503, body)
    assert caught.value.message == f"The witness w1 answered with HTTP status 503{said}"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, NotFoundError, "does not know the log audit.example/log1"),
        (403, RefusedError, "under another key"),
        (400, UpstreamError, "HTTP status 400"),
        (302, UpstreamError, "HTTP status 302"),
        (500, UpstreamError, "HTTP status 500"),
    ],
)
def test_refusals_have_their_sentence(status: int, kind: type[AffidavitError], words: str) -> None:
    """Named for whoever has to do something."""
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    with pytest.raises(kind, match=words) as caught:
        witness.hear(status, b"whatever")
    assert "w1" in caught.value.message
    assert (status >= 400 and status != 400 and status != 500) == ("log keys" in caught.value.hint)


def test_an_answer_is_not_believed() -> None:
    """Another key, another text, another size, no time, noise: no cosignature."""
    data, text = _note(7), _text(_note(7))
    stranger = note.Cosigner(WITNESS.name, note.COSIGNATURE, b"s" * 32)
    good = WITNESS.cosign(text, 7)
    raw = base64.b64decode(good.split()[2])
    timeless = f"— {WITNESS.name} {base64.b64encode(raw[:4] + bytes(8) + raw[12:]).decode()}\n"
    for body in (
        b"",
        b"\n\n",
        b"\xff\xfe",
        good.encode()[:-1],
        stranger.cosign(text, 7).encode(),
        WITNESS.cosign(_text(_note(8)), 7).encode(),
        timeless.encode(),
        signer().sign(text).encode(),
        b"x" * 100_000 + b"\n" + good.encode(),
    ):
        witness = _witness()
        witness.ask(data, _no_proof)
        with pytest.raises(CheckFailedError, match="no cosignature") as caught:
            witness.hear(200, body)
        assert caught.value.detail["reason"] == "signature"
        assert witness.cosigned == 0
    witness = _witness()
    witness.ask(data, _no_proof)
    both = stranger.cosign(text, 7) + good  # a line by a key nobody knows is passed over
    assert witness.hear(200, both.encode()) == good


@given(st.integers(0, 599), st.binary(max_size=300))
def test_no_answer_is_anything_but_an_error_of_ours(status: int, body: bytes) -> None:
    """Whatever comes."""
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    if status == 409 and body.strip() in {b"1", b"2", b"3", b"4", b"5", b"6", b"7"}:
        return  # a size that it may have seen
    with pytest.raises(AffidavitError, match=r"\.$"):
        witness.hear(status, body)


def test_lines_go_behind_the_logs_own(tmp_path: Path) -> None:
    """A whole note: text, the log's signature, cosignatures in order."""
    data = _note(7)
    line = WITNESS.cosign(_text(data), 1)
    whole = with_lines(data, {WITNESS.vkey: line})
    assert whole == cosign(data)
    opened = note.open_note(whole, [signer().verifier(), WITNESS.verifier()])
    assert opened.signers == {signer().vkey: 0, WITNESS.vkey: 1}


def test_a_mutant_that_believes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking any line that looks like one would publish a stranger's."""
    monkeypatch.setattr(Witness, "_line", lambda self, body, asked: body.decode())
    witness = _witness()
    witness.ask(_note(7), _no_proof)
    stranger = note.Cosigner(WITNESS.name, note.COSIGNATURE, b"s" * 32)
    line = witness.hear(200, stranger.cosign(_text(_note(7)), 7).encode())
    assert line is not None
    with pytest.raises(CheckFailedError):
        note.open_note(_note(7) + line.encode(), [WITNESS.verifier()])
