"""Answers of the gateway's own, in the shape the provider's SDK expects.

Rules: an SDK must be able to raise its usual exception, so the body is the provider's error
shape; it says what happened, what was kept and what to do (guarantee G12); ``affidavit-record``
points to the record where there is one. Where no provider is meant, the body is
``AffidavitError.as_json``. Not here: the provider's own answers, which pass unchanged.
"""

from typing import Any, NamedTuple

import msgspec

from affidavit.errors import AffidavitError, BusyError
from affidavit.providers.dialect import Dialect

_JSON = b"application/json"


class Reply(NamedTuple):
    """A whole response: ``headers`` with names in lower case and ``content-length``."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def document(value: Any, status: int = 200) -> Reply:
    """A JSON answer."""
    body = msgspec.json.encode(value)
    return Reply(status, _headers(_JSON, body), body)


def failure(error: AffidavitError, dialect: Dialect | None = None, record_id: str = "") -> Reply:
    """The answer to an error; ``dialect`` None where no provider is meant."""
    if dialect is None:
        reply = document(error.as_json(), error.http_status)
        return reply._replace(headers=reply.headers + _again(error))
    hint = " ".join(text for text in (error.kept, error.hint) if text)
    media_type, body = dialect.error_body(
        error.http_status, error.code, error.message, hint, record_id
    )
    headers = _headers(media_type.encode(), body) + _again(error)
    return Reply(error.http_status, headers, body)


def pointers(record_id: str, digest: str) -> list[tuple[bytes, bytes]]:
    """The two fields that every recorded response carries."""
    return [(b"affidavit-record", record_id.encode()), (b"affidavit-digest", digest.encode())]


def _again(error: AffidavitError) -> list[tuple[bytes, bytes]]:
    return [(b"retry-after", b"1")] if isinstance(error, BusyError) else []


def _headers(media_type: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
