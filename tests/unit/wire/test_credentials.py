"""No credential in what is recorded of headers and targets, however it is spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.wire.credentials import (
    CREDENTIAL_HEADERS,
    CREDENTIAL_PARAMETERS,
    is_credential,
    recordable,
    redact_target,
)

CANARY = "canary-5f1c"


@pytest.mark.parametrize("name", sorted(CREDENTIAL_HEADERS))
def test_each_credential_header_is_left_out(name: str) -> None:
    """Whatever the case of its name."""
    for spelt in (name, name.upper(), name.title()):
        assert recordable([(spelt.encode(), CANARY.encode())]) == []


@pytest.mark.parametrize(
    "name", ["X-Company-Token", "My-Secret", "some_api_key", "Acme-Auth", "X-Hub-Signature"]
)
def test_names_that_sound_like_credentials_are_left_out(name: str) -> None:
    """A gateway in front of ours has its own header names."""
    assert is_credential(name)


@pytest.mark.parametrize(
    "value", [b"Bearer " + CANARY.encode(), b"  basic eDp5", b"AWS4-HMAC-SHA256 Credential=x"]
)
def test_values_that_are_credentials_are_left_out(value: bytes) -> None:
    """An authentication scheme in a header of any name."""
    assert recordable([(b"x-forwarded-original", value)]) == []


def test_a_key_of_ours_is_known_wherever_it_stands() -> None:
    """In a path, under any parameter name, in a field of any name."""
    key = "aff_" + "Ab-9_" * 8
    assert redact_target(f"/{key}/v1/x?a=1&b={key}") == "/[redacted]/v1/x?a=1&b=[redacted]"
    assert recordable([(b"x-whatever", f"my key is {key}.".encode())]) == []
    assert redact_target("/v1/aff_short?x=staff_members") == "/v1/aff_short?x=staff_members"


def test_harmless_fields_stay() -> None:
    """Fields whose names only end like those of credentials."""
    for name in ("idempotency-key", "x-time-per-token"):
        assert recordable([(name.encode(), b"1")]) == [[name, "1"]]


def test_what_is_recorded_is_in_order_and_lower_case() -> None:
    """Names in lower case, values as sent, in the order of the wire, doubles kept."""
    assert recordable(
        [(b"X-B", b"1"), (b"Accept", b"*/*"), (b"x-b", b"\xe9"), (b"Idempotency-Key", b"i")]
    ) == [["x-b", "1"], ["accept", "*/*"], ["x-b", "é"], ["idempotency-key", "i"]]


def test_links_lose_their_credentials() -> None:
    """A signed URL in Location is a credential until it expires."""
    assert recordable(
        [(b"Location", b"https://u:p@s3.example/x?X-Amz-Signature=abc&part=1#access_token=1")]
    ) == [["location", "https://s3.example/x?X-Amz-Signature=[redacted]&part=1#[redacted]"]]


@pytest.mark.parametrize("name", sorted(CREDENTIAL_PARAMETERS))
def test_each_credential_parameter_is_redacted(name: str) -> None:
    """Plain, in capitals, percent-encoded, after ``&`` and after ``;``."""
    coded = "".join(f"%{ord(c):02x}" for c in name)
    for spelt in (name, name.upper(), coded):
        for target in (f"/v1/x?{spelt}={CANARY}", f"/v1/x?a=1;{spelt}={CANARY}&b=2"):
            redacted = redact_target(target)
            assert CANARY not in redacted
            assert redacted == target.replace(CANARY, "[redacted]")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models", "/v1/models?", "/v1/x?alt=sse&pageSize=2", "/v1/x?keyword=1&tokens=5&key",
        "/v1/x?a=%zz&&b", "", "/openai/deployments/d/chat/completions?api-version=2024-02-01",
    ],
)  # fmt: skip
def test_other_targets_stay_byte_for_byte(target: str) -> None:
    """What is no credential is recorded as it was."""
    assert redact_target(target) == target


@given(st.text(max_size=60))
def test_any_text_is_answered(target: str) -> None:
    """Never raises, and doing it twice changes nothing more."""
    assert redact_target(redact_target(target)) == redact_target(target)
