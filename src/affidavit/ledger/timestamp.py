"""RFC 3161 timestamps over published checkpoints: the question, the answer's check, the files.

Rules: what is stamped is the SHA-256 of the exact bytes of a published note. A query asks for the
authority's certificate and carries a nonce. An answer counts only if it was granted, is over these
bytes, has the nonce (when it is the one just asked for), is signed by a certificate whose only use
is timestamping (RFC 3161 §2.3), and that certificate led, at the time of the token, to a trust
anchor given from outside; certificates inside the answer are never anchors. Everything here works
offline. An authority whose certificates do not stand in the order DER asks for is understood: they
are sorted for the check, since no signature is over their order, and stored as they came. On disk
``timestamps/<size>.tsr`` is written after ``timestamps/<size>.checkpoint`` is durable, and never
again, so a pair that is there belongs together. Not here: asking over a network (``app``), which
note is stamped when, revocation of the authority's certificate.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from affidavit.clock import from_unix_us
from affidavit.durable import Disk
from affidavit.errors import CheckFailedError, ParseError

CONTENT_TYPE = "application/timestamp-query"
"""What a query is sent as (RFC 3161 §3.4); the answer is ``application/timestamp-reply``."""
MAX_ANSWER = 64 << 10
DIRECTORY = "timestamps"

_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANSWER = re.compile(r"(0|[1-9][0-9]{0,18})\.tsr")
_PUBLIC = 0o644


class Query(NamedTuple):
    """A TimeStampReq in DER, and the nonce that its answer has to carry."""

    der: bytes
    nonce: int


class Stored(NamedTuple):
    """A timestamp on disk: over the note in ``checkpoint``, which is of ``size`` leaves."""

    size: int
    checkpoint: Path
    answer: Path


def query(note: bytes) -> Query:
    """The question to an authority: SHA-256 of ``note``, a nonce, certificate wanted."""
    made = (
        rfc3161_client.TimestampRequestBuilder()
        .data(note)
        .hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    assert made.nonce is not None
    return Query(made.as_bytes(), made.nonce)


def read_anchors(pem: bytes) -> list[bytes]:
    """The certificates of a PEM file, each in DER; ``ParseError`` if there is none."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ParseError("There is no certificate in PEM here.") from error
    return [_der(certificate) for certificate in found]


def verify(answer: bytes, note: bytes, anchors: Sequence[bytes], nonce: int | None = None) -> str:
    """The time at which an authority under ``anchors`` (DER) saw ``note``, as stored times are.

    ``answer`` is a TimeStampResp; ``nonce`` that of the query, ``None`` for a stored answer.
    ``ParseError`` if it is none, or an anchor is no certificate. ``CheckFailedError`` otherwise,
    with ``reason`` in its detail: ``status``, ``imprint``, ``nonce``, ``authority``, ``expired``,
    ``purpose`` or ``signature``.
    """
    response, token = _parse(answer)
    imprint = token.message_imprint
    if imprint.hash_algorithm != _SHA256 or imprint.message != hashlib.sha256(note).digest():
        raise _refused("imprint", "The timestamp is over other bytes than this checkpoint.")
    if nonce is not None and token.nonce != nonce:
        raise _refused("nonce", "The timestamp does not answer this query: its nonce is another.")
    if not anchors:
        raise _refused("authority", "There is no trust anchor for timestamps.")
    certificates = [_certificate(anchor) for anchor in dict.fromkeys(anchors)]
    refusals = []
    for some in (certificates, *([one] for one in certificates)):  # two may bear one name
        refusal = _refusal(response, imprint.message, some)
        if refusal is None:
            break
        refusals.append(refusal)
    else:
        raise refusals[0]
    return from_unix_us((token.gen_time - _EPOCH) // timedelta(microseconds=1))


def keep(disk: Disk, root: Path, size: int, note: bytes, answer: bytes) -> None:
    """Make a timestamp durable below ``root``, the log's directory; one of that size stays."""
    directory = root / DIRECTORY
    checkpoint, target = directory / f"{size}.checkpoint", directory / f"{size}.tsr"
    if target.exists():
        return
    disk.make_dir(directory)
    disk.write_file(checkpoint, note, _PUBLIC)
    disk.write_file(target, answer, _PUBLIC)


def stored(root: Path) -> list[Stored]:
    """The timestamps below ``root``, the log's directory, by size ascending; whole pairs only."""
    directory = root / DIRECTORY
    if not directory.is_dir():
        return []
    found = []
    for path in directory.iterdir():
        match = _ANSWER.fullmatch(path.name)
        if match is not None and (checkpoint := path.with_suffix(".checkpoint")).is_file():
            found.append(Stored(int(match[1]), checkpoint, path))
    return sorted(found)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise ParseError("A trust anchor for timestamps is no certificate.") from error


def _parse(
    answer: bytes,
) -> tuple[rfc3161_client.TimeStampResponse, rfc3161_client.TimeStampTokenInfo]:
    if len(answer) > MAX_ANSWER:
        raise ParseError("The answer is larger than an answer with a timestamp is.")
    try:
        response = rfc3161_client.decode_timestamp_response(_in_der_order(answer))
        granted = response.status == rfc3161_client.PKIStatus.GRANTED
        said = "; ".join(response.status_string) or f"status {response.status}"
        token = response.tst_info if granted else None
    except ValueError as error:
        raise ParseError("This is no answer of a timestamp authority (RFC 3161).") from error
    if token is None:
        raise _refused("status", f"The authority gave no timestamp: {said}.")
    return response, token


def _refusal(
    response: rfc3161_client.TimeStampResponse, digest: bytes, roots: list[x509.Certificate]
) -> CheckFailedError | None:
    try:
        rfc3161_client.VerifierBuilder(roots=roots).build().verify(response, digest)
    except Exception as error:  # noqa: BLE001 - a foreign parser on foreign bytes: it is refused
        return _why(str(error))
    return None


def _refused(reason: str, sentence: str) -> CheckFailedError:
    return CheckFailedError(sentence, reason=reason)


def _why(said: str) -> CheckFailedError:
    """What the library, or OpenSSL under it, says, in one of our names."""
    if "has expired" in said or "not yet valid" in said:
        return _refused(
            "expired", "The certificate of the timestamp was not valid at the time it gives."
        )
    if "EKU" in said or "purpose" in said:
        return _refused("purpose", "The certificate of the timestamp is not one for timestamping.")
    if "Verify error" in said:  # of the path from the certificate to an anchor
        return _refused("authority", "The timestamp leads to no trust anchor given from outside.")
    return _refused("signature", "The signature of the timestamp does not verify.")


def _in_der_order(answer: bytes) -> bytes:
    """The answer with its certificates ascending, as a DER SET is; what cannot be read, as it is.

    OpenSSL's authority writes its own first. The order is under no signature (RFC 5652 §5.4).
    """
    try:
        at, _ = _inside(answer, 0, 0x30)  # TimeStampResp
        _, at = _inside(answer, at, 0x30)  # behind PKIStatusInfo
        at, _ = _inside(answer, at, 0x30)  # ContentInfo
        _, at = _inside(answer, at, 0x06)
        at, _ = _inside(answer, at, 0xA0)
        at, _ = _inside(answer, at, 0x30)  # SignedData
        for tag in (0x02, 0x31, 0x30):  # behind version, digest algorithms, content
            _, at = _inside(answer, at, tag)
        begin, end = _inside(answer, at, 0xA0)
        certificates, at = [], begin
        while at < end:
            _, behind = _inside(answer, at, answer[at])
            certificates.append(answer[at:behind])
            at = behind
    except (IndexError, ValueError):
        return answer
    return answer[:begin] + b"".join(sorted(certificates)) + answer[end:]


def _inside(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the contents of the element at ``at`` begin and end; ``ValueError`` for another."""
    size, begin = data[at + 1], at + 2
    if size > 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[at + 2 : begin], "big")
    if data[at] != tag or size == 0x80 or begin + size > len(data):
        raise ValueError("another element")
    return begin, begin + size
