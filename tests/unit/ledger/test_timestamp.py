"""RFC 3161 timestamps: OpenSSL's authority and ours agree, and whatever is wrong has its name."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from affidavit.clock import SystemClock, to_unix_us
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CheckFailedError, ParseError
from affidavit.ledger import timestamp
from tests.world.crash_states import crash_states, materialise
from tests.world.fakedisk import FakeEffects
from tests.world.timestamp_authority import (
    TIME_STAMPING,
    Authority,
    asked_by_openssl,
    described_by_openssl,
)

NOTE = b"audit.example/log1\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n\n\xe2\x80\x94 x y\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that keeps to the rules."""
    return Authority(tmp_path_factory.mktemp("authority") / "a")


@pytest.fixture(scope="module")
def made(authority: Authority) -> tuple[timestamp.Query, bytes]:
    """A question and its answer."""
    query = timestamp.query(NOTE)
    return query, authority.answer(query.der)


def _reason(
    answer: bytes, anchors: list[bytes], note: bytes = NOTE, nonce: int | None = None
) -> str:
    with pytest.raises(CheckFailedError) as caught:
        timestamp.verify(answer, note, anchors, nonce)
    assert caught.value.message.endswith(".")
    return str(caught.value.detail["reason"])


def test_openssl_understands_the_question(tmp_path: Path) -> None:
    """SHA-256 of the note, a nonce, the certificate wanted; no two alike."""
    query = timestamp.query(NOTE)
    text = described_by_openssl(tmp_path, query.der)
    digest = hashlib.sha256(NOTE).digest()
    assert "Hash Algorithm: sha256" in text
    assert digest[:16].hex("-", 1)[:23] in text.replace(" ", "-")
    assert "Certificate required: yes" in text
    assert f"{query.nonce:X}\n" in text
    assert timestamp.query(NOTE).nonce != query.nonce


def test_the_token_says_when(authority: Authority, made: tuple[timestamp.Query, bytes]) -> None:
    """Under the root alone, with the nonce and, stored, without it."""
    query, answer = made
    at = timestamp.verify(answer, NOTE, [authority.root], query.nonce)
    assert at == timestamp.verify(answer, NOTE, [authority.root])
    assert abs(to_unix_us(at) - to_unix_us(SystemClock().now())) < 60_000_000


def test_openssl_accepts_what_was_stored(
    tmp_path: Path, authority: Authority, made: tuple[timestamp.Query, bytes]
) -> None:
    """The files alone: ``openssl ts -verify`` over the bytes of the checkpoint beside the token."""
    timestamp.keep(Disk(), tmp_path, 5, NOTE, made[1])
    (found,) = timestamp.stored(tmp_path)
    assert (found.size, found.checkpoint.name, found.answer.name) == (5, "5.checkpoint", "5.tsr")
    assert authority.accepts(found.answer.read_bytes(), found.checkpoint.read_bytes())
    assert not authority.accepts(found.answer.read_bytes(), NOTE + b"\n")


def test_a_token_that_openssl_asked_for(tmp_path: Path, authority: Authority) -> None:
    """Question and answer by OpenSSL."""
    answer = authority.answer(asked_by_openssl(tmp_path, NOTE))
    assert timestamp.verify(answer, NOTE, [authority.root])


def test_certificates_out_of_order(tmp_path: Path) -> None:
    """OpenSSL sends a chain unsorted, which strict DER refuses; the token is good all the same."""
    sender = Authority(tmp_path / "a", chain=True)
    query = timestamp.query(NOTE)
    answers = [sender.answer(query.der) for _ in range(2)]
    for answer in answers:
        assert timestamp.verify(answer, NOTE, [sender.root], query.nonce)
        assert sender.accepts(answer, NOTE)


def test_each_wrong_thing_has_its_name(
    tmp_path: Path, authority: Authority, made: tuple[timestamp.Query, bytes]
) -> None:
    """Imprint, nonce, root, none at all, purpose, validity, refusal, signature."""
    query, answer = made
    root = [authority.root]
    assert _reason(answer, root, NOTE + b"x") == "imprint"
    assert _reason(answer, root, nonce=query.nonce + 1) == "nonce"
    assert _reason(answer, []) == "authority"
    other = Authority(tmp_path / "other")
    assert _reason(answer, [other.root]) == "authority"
    assert _reason(answer, [Authority(tmp_path / "x", name="Another root").root]) == "authority"
    assert timestamp.verify(answer, NOTE, [other.root, authority.root, authority.root])
    refused = authority.answer(query.der.replace(b"\x04\x02\x01\x05", b"\x04\x02\x03\x05"))
    assert _reason(refused, root) == "status"
    broken = answer[:-1] + bytes([answer[-1] ^ 1])
    assert _reason(broken, root) == "signature"


def test_a_certificate_that_is_not_for_timestamping(
    authority: Authority, made: tuple[timestamp.Query, bytes]
) -> None:
    """With another purpose, or without any."""
    extensions: list[x509.ExtensionType] = [
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.UnrecognizedExtension(
            x509.ObjectIdentifier("2.5.29.99"), TIME_STAMPING.public_bytes() + bytes(3)
        ),
    ]
    reasons = [
        _reason(authority.with_another_purpose(made[1], one), [authority.root])
        for one in extensions
    ]
    assert reasons == ["purpose", "purpose"]


def test_a_certificate_that_had_expired(tmp_path: Path) -> None:
    """Valid at the time of the token is what counts; this one was not."""
    late = Authority(tmp_path / "late", valid=(-30, -10))
    early = Authority(tmp_path / "early", valid=(10, 30))
    for one in (late, early):
        answer = one.answer(timestamp.query(NOTE).der)
        assert _reason(answer, [one.root]) == "expired"


def test_what_is_no_answer() -> None:
    """Empty, cut, HTML, too large; an anchor that is no certificate."""
    for answer in (b"", b"0", b"<html>", b"\x30\x80", bytes(timestamp.MAX_ANSWER + 1)):
        with pytest.raises(ParseError, match="answer"):
            timestamp.verify(answer, NOTE, [b"x"])
    with pytest.raises(ParseError, match="PEM"):
        timestamp.read_anchors(b"no certificate")


def test_anchors_of_a_file(authority: Authority) -> None:
    """All certificates of a PEM file, and an anchor that is none is named."""
    pem = authority.root_pem.read_bytes()
    assert timestamp.read_anchors(pem + pem) == [authority.root] * 2


def test_no_change_makes_another_statement(
    authority: Authority, made: tuple[timestamp.Query, bytes]
) -> None:
    """Any one byte changed: refused by one of our errors, or still the same time over this note."""
    query, answer = made
    at = timestamp.verify(answer, NOTE, [authority.root], query.nonce)
    refused = 0
    for place in range(0, len(answer), 3):
        changed = bytearray(answer)
        changed[place] ^= 1
        try:
            assert timestamp.verify(bytes(changed), NOTE, [authority.root], query.nonce) == at
        except AffidavitError:
            refused += 1
    assert refused > len(answer) / 3 * 0.95


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Never anything but an error of ours."""
    with pytest.raises(AffidavitError):
        timestamp.verify(data, NOTE, [b""])


# the files


def test_one_timestamp_a_size(tmp_path: Path) -> None:
    """By size, not by name; the first of a size stays; what is no whole pair is passed over."""
    disk = Disk()
    assert timestamp.stored(tmp_path) == []
    for size in (10, 9, 100):
        timestamp.keep(disk, tmp_path, size, b"note %d" % size, b"answer")
    timestamp.keep(disk, tmp_path, 9, b"another", b"another")
    directory = tmp_path / timestamp.DIRECTORY
    for name in ("7.tsr", "8.checkpoint", "011.tsr", "12.tsr.tmp", "x.tsr"):
        (directory / name).write_bytes(b"")
    assert [one.size for one in timestamp.stored(tmp_path)] == [9, 10, 100]
    assert timestamp.stored(tmp_path)[0].checkpoint.read_bytes() == b"note 9"
    assert (directory / "9.tsr").stat().st_mode & 0o777 == 0o644


def _states(tmp_path: Path) -> Iterator[list[tuple[bytes, bytes]]]:
    """What ``stored`` gives after a loss of power while two notes of one size were stamped."""
    root = tmp_path / "log"
    root.mkdir()
    effects = FakeEffects(root)
    disk = Disk(effects)
    timestamp.keep(disk, root, 5, b"first note", b"first answer")
    timestamp.keep(disk, root, 5, b"second note", b"second answer")
    timestamp.keep(disk, root, 6, b"third note", b"third answer")
    for number, state in enumerate(crash_states(effects)):
        place = tmp_path / str(number)
        materialise(state, place)
        for repaired in (False, True):
            if repaired:
                timestamp.keep(Disk(), place, 5, b"fourth note", b"fourth answer")
            yield [
                (one.checkpoint.read_bytes(), one.answer.read_bytes())
                for one in timestamp.stored(place)
            ]


def _whole(pairs: list[tuple[bytes, bytes]]) -> bool:
    return all(note.split()[0] == answer.split()[0] for note, answer in pairs)


def test_a_loss_of_power_leaves_pairs_that_belong_together(tmp_path: Path) -> None:
    """Whatever was lost, a token never stands beside another note, and stamping goes on."""
    states = list(_states(tmp_path))
    assert len(states) > 20
    assert all(states[1::2])
    assert [pairs for pairs in states if not _whole(pairs)] == []


def test_mutant_the_token_before_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written in the other order, or at once, some state mixes them up."""

    def reversed_order(disk: Disk, root: Path, size: int, note: bytes, answer: bytes) -> None:
        directory = root / timestamp.DIRECTORY
        disk.make_dir(directory)
        both = [(directory / f"{size}.tsr", answer), (directory / f"{size}.checkpoint", note)]
        disk.write_files(both)

    monkeypatch.setattr(timestamp, "keep", reversed_order)
    assert not all(_whole(pairs) for pairs in _states(tmp_path))
