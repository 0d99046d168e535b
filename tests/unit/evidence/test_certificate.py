"""Certificates of erasure: what is signed is what is read, and every changed byte is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import AffidavitError, ParseError
from affidavit.evidence import certificate
from affidavit.ledger.note import Signer

SIGNER = Signer("test.example/log/certificates", b"\x07" * 32)
FACTS = {
    "log": "test.example/log", "request": "0199", "records": "6", "legal basis": "Art. 17(1)(b)",
    "remains": ["3 records, until 2027-01-01, a minimum", "copies"],
}  # fmt: skip


def test_what_is_signed_is_what_is_read() -> None:
    """Lines in order, repeated ones kept, empty ones left out; without a key nobody vouches."""
    text = certificate.make(FACTS | {"bytes": ""}, SIGNER)
    opened = certificate.check(text.encode(), [SIGNER.verifier()])
    assert opened.keys == (SIGNER.vkey,)
    assert opened.lines == (
        ("log", "test.example/log"), ("request", "0199"), ("records", "6"),
        ("legal basis", "Art. 17(1)(b)"), ("remains", FACTS["remains"][0]), ("remains", "copies"),
    )  # fmt: skip
    assert certificate.check(text.encode(), []).keys == ()
    assert certificate.is_one(text.encode())
    assert not certificate.is_one(b"PK")


def test_every_changed_byte_is_noticed() -> None:
    """No byte of text or signature can be another one."""
    data = certificate.make(FACTS, SIGNER).encode()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(AffidavitError):
            certificate.check(changed, [SIGNER.verifier()])
    with pytest.raises(AffidavitError, match="not signed by a known key"):
        certificate.check(data, [Signer("other", b"\x08" * 32).verifier()])


@given(st.text(max_size=60))
def test_whatever_somebody_types_stays_one_line(basis: str) -> None:
    """No line break, no control character and no forged line comes out of a legal basis."""
    text = certificate.make({"records": "6", "legal basis": basis + "\nrecords: 0"}, SIGNER)
    opened = certificate.check(text.encode(), [SIGNER.verifier()])
    assert [value for name, value in opened.lines if name == "records"] == ["6"]


@pytest.mark.parametrize(
    "line", ["unknown: x", "records: 6\nrecords: 7", "records: 6\nlog: x", "records:6", ""]
)
def test_lines_that_are_not_as_they_are_written_are_refused(line: str) -> None:
    """Unknown, repeated, out of order or malformed, even if signed."""
    text = f"{certificate.TITLE}\n{line}\n"
    with pytest.raises(ParseError):
        certificate.check(f"{text}\n{SIGNER.sign(text)}".encode(), [SIGNER.verifier()])
