"""Signed notes and checkpoints: the vectors of the specification and every way to be wrong."""

import base64

import pytest

from affidavit.errors import CheckFailedError, ParseError
from affidavit.ledger import note

FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2O"
    "NncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
LOG = "audit.example/log1+640a250f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
WITNESS = "witness.example/w1+f1ed8c47+BCFS+NGbeR0kRTJC4V8uq2y3z/p7al7TAJeWDgaYgdsS"
TEXT = "audit.example/log1\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n"
LOG_LINE = (
    "— audit.example/log1 ZAolDzSfWDWMELDF/jwEOaooDM+zgp05u4mHslOsTbvnN06ohzXnC5RbEs3R30IcGhi"
    "IMA4HqaroD742Op/O4TqjEAE=\n"
)
WITNESS_LINE = (
    "— witness.example/w1 8e2MRwAAAABpVbkAqHpbh4ZTOtA3BSLAtHdhrHr7yXrhNpZPPRvZ8y6vP27shM8m+7xB"
    "4Oct3QS5Ddu+vp1kWMtfYeGwGkrSVZkNCA==\n"
)
WHOLE = (TEXT + "\n" + LOG_LINE + WITNESS_LINE).encode()


def log_key() -> note.Verifier:
    """The key of the worked example."""
    return note.Verifier.from_vkey(LOG)


def test_the_vector_of_the_specification_opens() -> None:
    """The signed-note example, by its own key."""
    opened = note.open_note(FOO_NOTE, [note.Verifier.from_vkey(FOO)])
    assert opened == note.Note("This is an example message.\n", {FOO: 0})


def test_the_worked_checkpoint_opens_with_its_witness() -> None:
    """Both signatures count, the cosignature with its time."""
    opened = note.open_note(WHOLE, [log_key(), note.Verifier.from_vkey(WITNESS)])
    assert opened.signers == {LOG: 0, WITNESS: 1767225600}
    checkpoint = note.open_checkpoint(WHOLE, log_key())
    assert (checkpoint.origin, checkpoint.size) == ("audit.example/log1", 5)
    assert checkpoint.text() == TEXT


def test_signing_gives_the_worked_example() -> None:
    """Same key, same bytes; and the verifier key is derived from the seed."""
    signer = note.Signer("audit.example/log1", bytes(range(32)))
    assert signer.vkey == LOG
    checkpoint = note.parse_checkpoint(TEXT)
    assert note.sign_checkpoint(checkpoint, [signer]) == (TEXT + "\n" + LOG_LINE).encode()


def test_unknown_signatures_are_ignored_and_one_known_is_needed() -> None:
    """By the rules for verifiers of signed notes."""
    assert set(note.open_note(WHOLE, [log_key()]).signers) == {LOG}
    with pytest.raises(CheckFailedError, match="not signed by a known key"):
        note.open_note(WHOLE, [note.Verifier.from_vkey(FOO)])


def test_a_known_key_whose_signature_is_wrong_spoils_the_note() -> None:
    """Even beside one that verifies."""
    signature = bytearray(base64.b64decode(WITNESS_LINE.split()[2]))
    signature[-1] ^= 1
    line = f"— witness.example/w1 {base64.b64encode(signature).decode()}\n"
    data = (TEXT + "\n" + LOG_LINE + line).encode()
    assert note.open_note(data, [log_key()]).signers
    with pytest.raises(CheckFailedError, match="does not verify"):
        note.open_note(data, [log_key(), note.Verifier.from_vkey(WITNESS)])


def test_a_cosignature_without_a_time_is_wrong() -> None:
    """A witness states when it saw the tree."""
    raw = base64.b64decode(WITNESS_LINE.split()[2])
    line = f"— witness.example/w1 {base64.b64encode(raw[:4] + bytes(8) + raw[12:]).decode()}\n"
    with pytest.raises(CheckFailedError, match="no time"):
        note.open_note((TEXT + "\n" + line).encode(), [note.Verifier.from_vkey(WITNESS)])


def test_every_flipped_byte_of_a_note_is_noticed() -> None:
    """Text or signature: nothing opens, or it is not the same key's note any more."""
    data = (TEXT + "\n" + LOG_LINE).encode()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((ParseError, CheckFailedError)):
            note.open_checkpoint(changed, log_key())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        TEXT.encode() + b"\n" + LOG_LINE.encode()[:-1],
        TEXT.encode() + LOG_LINE.encode(),
        b"\xff\n\n" + LOG_LINE.encode(),
        b"a\tb\n\n" + LOG_LINE.encode(),
        WHOLE + b"\n",
        WHOLE + b"more\n",
        WHOLE.replace("—".encode(), b"-"),
        WHOLE.replace(b"EAE=\n", b"EAF=\n"),
        WHOLE.replace(b"EAE=\n", b"EAE\n"),
        TEXT.encode() + "\n— audit.example/log1 AAAA\n".encode(),
        TEXT.encode() + "\n—  AAAAAAAAAAAA\n".encode(),
        WHOLE + LOG_LINE.encode() * 100,
        b"x" * note.MAX_NOTE + WHOLE,
    ],
)
def test_what_is_not_a_note_is_refused(data: bytes) -> None:
    """Shape, encoding, canonical base64, limits."""
    with pytest.raises(ParseError):
        note.open_note(data, [log_key()])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n5\n",
        "origin\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=",
        "two words\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n",
        "plus+sign\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n",
        "origin\n05\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n",
        "origin\n-5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n",
        "origin\n٥\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n",
        "origin\n99999999999999999999\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n",
        "origin\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hi\n",
        "origin\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNR=\n",
        "origin\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n\nx\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    """Three lines at least, canonical size, a root of 32 bytes."""
    with pytest.raises(ParseError):
        note.parse_checkpoint(text)


def test_extension_lines_and_size_0_are_read() -> None:
    """As tlog-checkpoint allows."""
    text = "origin\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n"
    checkpoint = note.parse_checkpoint(text)
    assert (checkpoint.size, checkpoint.extensions) == (0, ("more",))
    assert checkpoint.text() == text


def test_a_checkpoint_of_another_log_is_not_this_ones() -> None:
    """The origin must be the key's name."""
    signer = note.Signer("other.example/log", bytes(32))
    data = note.sign_checkpoint(note.parse_checkpoint(TEXT), [signer])
    with pytest.raises(CheckFailedError, match="another log"):
        note.open_checkpoint(data, signer.verifier())
    assert note.open_checkpoint(data, None).size == 5


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+640a250f+",
        "name+640a250f+AQ==",
        "name+640a250f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        LOG.replace("640a250f", "640A250F"),
        LOG + "=",
        LOG.replace("+AQOh", "+AgOh"),
        "two words+640a250f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
    ],
)
def test_what_is_not_a_verifier_key_is_refused(vkey: str) -> None:
    """Name, id and key belong together; only types 01, 04 and 06."""
    with pytest.raises(ParseError):
        note.Verifier.from_vkey(vkey)


def test_a_witness_signs_the_worked_example() -> None:
    """Same seed, same name, same time: the line of the specification's example."""
    witness = note.Cosigner("witness.example/w1", note.COSIGNATURE, b"\x42" * 32)
    assert witness.vkey == WITNESS
    assert witness.cosign(TEXT, 1767225600) == WITNESS_LINE


def test_an_ml_dsa_cosignature_signs_the_worked_message() -> None:
    """Its 107 bytes, key id and sizes; it verifies, and for no other tree, name or time."""
    pq = note.Cosigner("witness.example/pq1", note.ML_DSA_44, bytes(range(32)))
    message = note._timed(note.ML_DSA_44, pq.name, TEXT, 1767225600)
    assert message.hex() == (
        "737562747265652f76310a00137769746e6573732e6578616d706c652f707131000000006955b900126175646974"
        "2e6578616d706c652f6c6f6731000000000000000000000000000000054e3bbb1f7b478dcfe71fb631631519a3bc"
        "a12c9aefca1612bfce4c13a86264d4"
    )
    assert pq.vkey.split("+")[1] == "491fd1d0"
    line = pq.cosign(TEXT, 1767225600)
    assert len(base64.b64decode(line.split()[2])) == 4 + 8 + 2420
    data = (TEXT + "\n" + LOG_LINE + line).encode()
    opened = note.open_note(data, [log_key(), pq.verifier()])
    assert opened.signers == {LOG: 0, pq.vkey: 1767225600}
    with pytest.raises(CheckFailedError, match="pq1 does not verify"):
        note.open_note(data.replace(b"\n5\n", b"\n6\n"), [pq.verifier()])
    raw = bytearray(base64.b64decode(line.split()[2]))
    raw[11] ^= 1
    with pytest.raises(CheckFailedError, match="pq1 does not verify"):
        pq.verifier().check(TEXT, bytes(raw[4:]))


def test_a_cosigner_is_of_a_known_kind_and_has_a_time() -> None:
    """Types 04 and 06 alone, a time after 1970, names that fit into the message."""
    with pytest.raises(ParseError):
        note.Cosigner("w", note.ED25519, bytes(32))
    with pytest.raises(ValueError, match="time"):
        note.Cosigner("w", note.COSIGNATURE, bytes(32)).cosign(TEXT, 0)
    with pytest.raises(ParseError, match="255"):
        note.Cosigner("w" * 256, note.ML_DSA_44, bytes(32)).cosign(TEXT, 1)


def test_the_lines_of_a_note_are_given_back_as_they_are() -> None:
    """For whoever adds one."""
    assert note.signature_lines(WHOLE) == [LOG_LINE, WITNESS_LINE]


def test_only_a_newline_ends_a_key() -> None:
    """What Python calls a line break besides is a character that no key has."""
    vkey = note.Signer("log.example/x", b"\7" * 32).vkey
    assert len(note.read_vkeys(f"{vkey}\n\n{vkey}\r\n")) == 2
    for end in ("\x0b", "\x0c", "\u2028", "\x85"):
        with pytest.raises(ParseError):
            note.read_vkeys(vkey + end)
