"""Commitments: what they bind, and what is not a disclosure."""

import base64
import hashlib
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit import ids
from affidavit.errors import ParseError
from affidavit.record.disclose import (
    PartHasher,
    check_part,
    commit_part,
    digest,
    disclose,
    open_disclosure,
    sections_digest,
    sections_json,
)
from affidavit.record.model import Record

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _text(raw: str) -> str:
    return ids.b64u(raw.encode())


def test_rfc_9901_example() -> None:
    """RFC 9901 §4.2.3: the example's digest; its salt, not of 16 bytes, would be refused here."""
    text = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0"
    assert ids.b64u(digest(text)) == "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"
    with pytest.raises(ParseError):
        open_disclosure(text, "family_name")
    raw = base64.urlsafe_b64decode(text + "=").decode().replace("_26bc4LT-ac6q2KI6cBW5es", "A" * 22)
    assert open_disclosure(_text(raw), "family_name") == "Möbius"


@given(TEXT, JSON)
def test_what_is_disclosed_opens_to_the_same(name: str, value: Any) -> None:
    """Any JSON value comes back, and the disclosure is the JSON of salt, name and value."""
    text = disclose(name, value)
    assert open_disclosure(text, name) == value
    salt, given, inner = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert (len(ids.from_b64u(salt)), given, inner) == (16, name, value)


def test_equal_values_have_different_digests() -> None:
    """The salt keeps a reader from guessing what is withheld."""
    assert digest(disclose("who", {"actor": "a"})) != digest(disclose("who", {"actor": "a"}))


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, object(), {1, 2}.__iter__()])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    """A lone surrogate or an object is a ParseError, not a traceback."""
    with pytest.raises(ParseError, match="what"):
        disclose("what", value)


def test_endless_depth_is_refused() -> None:
    """A value nested beyond all reason neither commits nor crashes."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ParseError):
        disclose("what", value)
    while value:  # taken apart by hand: freeing it in one go would nest as deeply
        value = value.pop()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("é", id="not ASCII"),
        pytest.param(_text("[]"), id="no items"),
        pytest.param(_text("null"), id="not an array"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what"]'), id="array element form"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what",1,2]'), id="four items"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","who",1]'), id="another section"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAA","what",1]'), id="short salt"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAB","what",1]'), id="salt not canonical"),
        pytest.param(_text('[7,"what",1]'), id="salt not text"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what",{"a":1,"a":2}]'), id="duplicate"),
        pytest.param(
            _text('["AAAAAAAAAAAAAAAAAAAAAA","what",[{"b":{"a":1,"c":0,"a":1}}]]'), id="deep twin"
        ),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what",NaN]'), id="not a number"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what",1e999]'), id="out of range"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what","\\ud800"]'), id="surrogate"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what",1]x'), id="trailing bytes"),
        pytest.param(_text('["AAAAAAAAAAAAAAAAAAAAAA","what",1]') + "==", id="padding"),
        pytest.param(_text("[" * 100_000), id="depth"),
        pytest.param(ids.b64u(b'["AAAAAAAAAAAAAAAAAAAAAA","what","\xff"]'), id="not UTF-8"),
    ],
)
def test_what_is_not_a_disclosure_is_refused(text: str) -> None:
    """Every departure from the form is a ParseError that names the section, nothing else."""
    with pytest.raises(ParseError, match="section what"):
        open_disclosure(text, "what")


@given(st.text(max_size=60))
def test_garbage_never_gives_anything_but_a_parse_error(text: str) -> None:
    """Whatever the text, it opens or is refused."""
    with pytest.raises(ParseError):
        open_disclosure(text, "what")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_a_part_is_committed_the_same_in_one_go_or_in_pieces(data: bytes, cuts: list[int]) -> None:
    """Digest = SHA-256(salt ‖ bytes) however the bytes arrive, and the size is counted."""
    hasher = PartHasher("response.body", "text/event-stream")
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(bounds):
        hasher.update(data[start:end])
    part = hasher.finish()
    assert part.digest == hashlib.sha256(part.salt + data).digest()
    assert (part.size, len(part.salt)) == (len(data), 16)
    assert check_part(part, data)
    assert not check_part(part, data + b"\0")


def test_a_part_whose_salt_has_another_length_commits_to_nothing() -> None:
    """Salt and bytes are only told apart because the salt has exactly 16 bytes."""
    part = commit_part("request.body", "text/plain", b"xyz")
    shifted = msgspec.structs.replace(part, salt=part.salt + b"x", size=2)
    assert hashlib.sha256(shifted.salt + b"yz").digest() == shifted.digest
    assert not check_part(shifted, b"yz")


def test_the_digest_header_is_over_the_array_of_the_leaf() -> None:
    """``affidavit-digest`` hashes the sections array, brackets included, null for absent ones."""
    text = disclose("who", {})
    sections = (text, None, None, None, None, None, None)
    record = Record("id", "custom", "at", "observed", "t", "default", sections, ())
    array = f'["{ids.b64u(digest(text))}",null,null,null,null,null,null]'.encode()
    assert sections_json(record) == array
    assert sections_digest(record) == ids.b64u(hashlib.sha256(array).digest())
