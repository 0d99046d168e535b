"""Digests in place of words."""

from hypothesis import given
from hypothesis import strategies as st

from affidavit.control import terms
from affidavit.query.language import parse, unparse
from affidavit.query.tree import Phrase

NOW = "2026-11-23T12:00:00.000000Z"


@given(st.binary(min_size=32, max_size=32), st.text(), st.booleans())
def test_an_expression_with_digests_is_one_again(key: bytes, words: str, prefix: bool) -> None:
    """Whatever the key, also where what stood there goes on: the digest is one word."""
    made = terms.digest(key, words)
    assert terms.is_digest(made)
    assert parse(unparse(Phrase(made, prefix)), NOW) == Phrase(made, prefix)


@given(st.text(), st.text())
def test_the_same_word_has_the_same_digest_under_one_key(one: str, other: str) -> None:
    """Only the same word, and only under the same key."""
    key = bytes(32)
    same = one.encode("utf-8", "replace") == other.encode("utf-8", "replace")
    assert (terms.digest(key, one) == terms.digest(key, other)) is same
    assert terms.digest(key, one) != terms.digest(b"k" * 32, one)
