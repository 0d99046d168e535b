"""Claims about the gateway's own answers."""

import json

import pytest

from affidavit.capture.replies import document, failure, pointers
from affidavit.errors import AffidavitError, CannotRecordError, NotFoundError, UpstreamError
from affidavit.providers import registry


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "opaque"])
@pytest.mark.parametrize(
    "error", [UpstreamError("It broke.", hint="Try again."), CannotRecordError("No room.")]
)
def test_errors_say_what_happened_and_what_to_do(dialect: str, error: AffidavitError) -> None:
    """G12: in every provider's shape the sentence, the hint and the code are there."""
    reply = failure(error, registry.lookup(dialect), "0199-id")
    text = reply.body.decode()
    assert reply.status == error.http_status
    assert error.message in text
    assert error.hint in text
    assert error.code in text
    assert dict(reply.headers)[b"content-length"] == b"%d" % len(reply.body)
    json.loads(text)


def test_without_a_provider_the_shape_is_ours() -> None:
    """One JSON shape where no SDK is meant."""
    reply = failure(NotFoundError("Nothing.", hint="Look elsewhere."))
    assert json.loads(reply.body) == {
        "error": {"code": "not_found", "message": "Nothing.", "hint": "Look elsewhere."}
    }
    assert reply.status == 404


def test_documents_and_pointers() -> None:
    """Plain JSON, and the two fields of every recorded response."""
    assert document({"a": 1}, 202) == (
        202,
        [(b"content-type", b"application/json"), (b"content-length", b"7")],
        b'{"a":1}',
    )
    assert pointers("i", "d") == [(b"affidavit-record", b"i"), (b"affidavit-digest", b"d")]
