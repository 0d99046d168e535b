"""Identifiers and encodings."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit import ids


def test_record_ids_are_uuid_version_7() -> None:
    """RFC 9562 §5.7: version 7, variant 10, milliseconds of now in front, and no two alike."""
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(ids.record_id()) for _ in range(200)]
    after = time.time_ns() // 1_000_000
    assert {made_id.version for made_id in made} == {7}
    assert {made_id.variant for made_id in made} == {uuid.RFC_4122}
    assert all(before <= made_id.int >> 80 <= after for made_id in made)
    assert len(set(made)) == 200


@given(st.binary(max_size=80))
def test_base64url_goes_there_and_back_without_padding(data: bytes) -> None:
    """``b64u`` has one text for each byte string, and ``from_b64u`` accepts no other."""
    text = ids.b64u(data)
    assert "=" not in text
    assert ids.from_b64u(text) == data


@pytest.mark.parametrize("text", ["AA==", "A", "AB", "A+/A", "AA\n", " AA", "é", "AA="])
def test_base64url_of_another_spelling_is_refused(text: str) -> None:
    """Padding, spare bits, the other alphabet, white space and other characters are errors."""
    with pytest.raises(ValueError, match=r"."):
        ids.from_b64u(text)


def test_salts_as_text_are_salts_and_each_is_given_out_once() -> None:
    """Canonical base64url of 16 bytes, also over the edge of what is drawn at once."""
    texts = [ids.salt_text() for _ in range(600)]
    assert all(len(ids.from_b64u(text)) == ids.SALT_BYTES for text in texts)
    assert len(set(texts)) == 600


def test_random_values_have_their_sizes_and_differ() -> None:
    """Salts are 16 bytes, keys 32, tokens 43 characters and pseudonyms 26 behind their prefix."""
    assert len(ids.salt()) == 16
    assert len(ids.key()) == 32
    assert len(ids.random_bytes(5)) == 5
    assert len(ids.token("aff_")) == 4 + 43
    assert len(ids.pseudonym("p_")) == 2 + 26
    assert ids.pseudonym("p_").removeprefix("p_").islower()
    for make in (ids.salt, ids.key, lambda: ids.token(""), lambda: ids.pseudonym("")):
        assert make() != make()
