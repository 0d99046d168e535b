"""Strict JSON refuses what has two readings; lenient JSON always answers and names the matter."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import ParseError
from affidavit.wire.strict_json import has_duplicate_keys, lenient, loads

TWO_READINGS = [
    b'{"a":1,"a":2}',
    b'{"a":1,"\\u0061":2}',
    b'{"a":1,"b":2,"c":3,"a":4}',
    b'[{"x":{"a":1,"a":1}}]',
    b"[NaN]",
    b"[Infinity]",
    b"[1e999]",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'\xef\xbb\xbf{"a":1}',
    b"{} x",
    b"{}{}",
    b"{'a':1}",
    b'"\xff"',
    b'"a\x01b"',
    b"[01]",
    b"[1,]",
    b"",
    b"[" + b"9" * 5000 + b"]",
    b"[" * 65 + b"]" * 65,
    b"[" * 100_000,
    b'{"a":' * 50_000,
]


@pytest.mark.parametrize("data", TWO_READINGS)
def test_strict_refuses_what_two_parsers_could_read_differently(data: bytes) -> None:
    """Each of these is a ParseError with a sentence, never another exception."""
    with pytest.raises(ParseError, match="JSON"):
        loads(data)


@pytest.mark.parametrize("data", TWO_READINGS)
def test_lenient_answers_and_names_the_matter(data: bytes) -> None:
    """None of these raises, none of these passes as unremarkable but deep nesting that parses."""
    parsed = lenient(data)
    assert parsed.problem or data.startswith(b"[[[[")


def test_depth_is_counted_in_containers() -> None:
    """64 nested containers are allowed, 65 are not; scalars have depth 0."""
    assert loads(b"[" * 64 + b"]" * 64)
    assert loads(b"1", max_depth=0) == 1
    with pytest.raises(ParseError):
        loads(b"[]", max_depth=0)


@pytest.mark.parametrize(
    ("data", "value", "problem"),
    [
        (b'{"model":"a","model":"b"}', {"model": "b"}, "duplicate key"),
        (b'{"a": "\\ud800x"}', {"a": "?x"}, "not strict JSON"),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}, "byte order mark"),
        (b'{"a":"\xff"}', {"a": "\ufffd"}, "not UTF-8"),
        (b'{"a":1, "b":[ 2 ]}', {"a": 1, "b": [2]}, ""),
        (b'{"a":"\\u00e9"}', {"a": "é"}, ""),
        (b'{"a":12345678901234567890123}', {"a": 12345678901234567890123}, ""),
        (b'{"a":12345678901234567890123,"a":1}', {"a": 1}, "duplicate key"),
        (b"no", None, "not JSON"),
    ],
)
def test_lenient_gives_the_best_reading(data: bytes, value: Any, problem: str) -> None:
    """The value is usable and the problem says why it is not certain."""
    assert lenient(data) == (value, problem)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_is_read_back(value: Any, ascii_only: bool, indent: int | None) -> None:
    """Compact, spaced or escaped: the same value, strictly and leniently, without a complaint."""
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert loads(data) == value
    assert lenient(data) == (value, "")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=4))
def test_a_duplicate_key_is_found_wherever_it_is(pairs: list[tuple[str, int]]) -> None:
    """Compared with counting the keys: found exactly when there is one."""
    inner = ",".join(f'"{name}":{number}' for name, number in pairs)
    spaced = inner.replace(":", " : ").replace(",", " ,\n\t")
    for text in ("{" + inner + "}", '[{"z":{' + inner + "}}]", "{ " + spaced + " }"):
        twice = len({name for name, _ in pairs}) < len(pairs)
        assert has_duplicate_keys(text.encode(), json.loads(text)) is twice


def test_nesting_nobody_follows_counts_as_two_readings() -> None:
    """Saying that there is no duplicate key needs having looked."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert has_duplicate_keys(b"[[]]", deep)
    assert has_duplicate_keys(b"[" * 100_000, [])


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_unexpected(data: bytes) -> None:
    """Strict: a value or ParseError. Lenient: always an answer."""
    lenient(data)
    try:
        loads(data)
    except ParseError:
        assert lenient(data).problem or data
