"""Claims about what of a caller's fields goes on to a provider."""

from typing import Any

import pytest

from affidavit.capture.endpoint import Endpoint, endpoints
from affidavit.config import Config, Provider

FIELDS = [
    (b"host", b"gateway"), (b"content-length", b"2"), (b"expect", b"100-continue"),
    (b"connection", b"keep-alive"), (b"authorization", b"Bearer callers"),
    (b"x-api-key", b"callers"), (b"api-key", b"callers"), (b"x-goog-api-key", b"callers"),
    (b"cookie", b"c=1"), (b"affidavit-key", b"ours"), (b"affidavit-purpose", b"test"),
    (b"accept", b"a"), (b"anthropic-version", b"2023-06-01"), (b"traceparent", b"00-1-2-3"),
]  # fmt: skip
PLAIN = [FIELDS[11], FIELDS[12], FIELDS[13]]


def endpoint(**settings: Any) -> Endpoint:
    """An endpoint with these settings."""
    return Endpoint("p", Provider(**{"base_url": "https://api.example.com", **settings}))


@pytest.mark.parametrize(
    ("dialect", "field"),
    [
        ("openai", (b"authorization", b"Bearer sk-1")),
        ("anthropic", (b"x-api-key", b"sk-1")),
        ("opaque", (b"authorization", b"Bearer sk-1")),
    ],
)
def test_inject_replaces_every_credential(dialect: str, field: tuple[bytes, bytes]) -> None:
    """The caller's credentials and cookies stay here; the provider's goes where its SDK puts it."""
    one = endpoint(dialect=dialect, secret="sk-1")
    forwarded = one.forwarded(FIELDS)
    assert forwarded == PLAIN
    assert one.credentialed(forwarded) == [*PLAIN, field]


def test_pass_leaves_the_callers_credential() -> None:
    """Only what is for us and for one hop is taken away; nothing is put in."""
    one = endpoint(credential="pass", secret="sk-1")
    forwarded = one.forwarded(FIELDS)
    assert forwarded == [*FIELDS[4:9], *PLAIN]
    assert one.credentialed(forwarded) == forwarded


@pytest.mark.parametrize("credential", ["inject", "pass"])
@pytest.mark.parametrize("name", [b"authorization", b"x-litellm-api-key", b"x-note"])
def test_a_key_of_ours_goes_no_further(credential: str, name: bytes) -> None:
    """Wherever a caller put it: no provider gets to see it (G8)."""
    field = (name, b"Bearer aff_" + b"K" * 43)
    assert endpoint(credential=credential).forwarded([field, *PLAIN]) == PLAIN


def test_the_secret_shows_nowhere() -> None:
    """Neither ``repr`` nor the attributes' text of an endpoint holds it."""
    one = endpoint(secret="sk-canary")
    assert "sk-canary" not in repr(one)
    assert "sk-canary" not in str(one)


def test_providers_that_are_off_have_no_endpoint() -> None:
    """What lacks its secret is left out."""
    config = Config(
        providers={
            "on": Provider(base_url="http://a.example"),
            "off": Provider(base_url="http://b.example", off="X is not set"),
        }
    )
    assert list(endpoints(config)) == ["on"]
