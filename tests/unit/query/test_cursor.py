"""Cursors: what was sealed comes back, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import UsageError
from affidavit.ids import b64u, from_b64u
from affidavit.query.cursor import opened, sealed

KEY, OTHER = bytes(32), bytes(31) + b"\1"


@given(st.binary(max_size=40), st.data())
def test_what_was_sealed_comes_back_and_a_changed_byte_does_not(
    payload: bytes, data: st.DataObject
) -> None:
    """Any byte of payload or seal, and any other key."""
    cursor = sealed(payload, KEY)
    assert opened(cursor, KEY) == payload
    raw = bytearray(from_b64u(cursor))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    for wrong, key in ((b64u(bytes(raw)), KEY), (cursor, OTHER)):
        with pytest.raises(UsageError, match="does not belong"):
            opened(wrong, key)


@pytest.mark.parametrize("cursor", ["", "AAAA", "no cursor!", b64u(bytes(16)), "A" * 21])
def test_what_was_never_sealed_is_refused(cursor: str) -> None:
    """However short."""
    with pytest.raises(UsageError, match="does not belong"):
        opened(cursor, KEY)
