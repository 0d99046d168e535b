"""Foreign JSON gives a value or its absence, never an exception."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.providers import fields

ANYTHING: list[Any] = [None, True, 0, -1, 1 << 70, 1.5, float("nan"), float("inf"), "x", "x" * 600,
                       [], [1, "a", {}], {}, {"a": 1}, [1 << 70]]  # fmt: skip


@pytest.mark.parametrize("value", ANYTHING)
def test_each_reader_answers_anything(value: Any) -> None:
    """The type of the result never depends on what was sent."""
    assert isinstance(fields.mapping(value), dict)
    assert all(isinstance(item, dict) for item in fields.mappings(value))
    assert isinstance(fields.text(value), str)
    assert len(fields.name(value)) <= 512
    assert isinstance(fields.label(value), str)
    assert fields.count(value) in (None, 0, value)
    assert isinstance(fields.compact(value), str)
    assert all(isinstance(item, str) for item in fields.stop_sequences(value))


def test_counts_and_numbers() -> None:
    """Booleans are no numbers; negatives are no counts; NaN and infinities are neither."""
    assert fields.count(True) is None
    assert fields.count(-1) is None
    assert fields.count(7) == 7
    assert fields.number(True) is None
    assert fields.number(float("nan")) is None
    assert fields.number(-0.5) == -0.5
    assert fields.number(1 << 64) is None


def test_names_are_bounded_and_each_once() -> None:
    """A request cannot make a record large by offering tools."""
    assert fields.names(["b", "a", "b", None, "", "x" * 1000]) == ("b", "a")
    assert len(fields.names(str(i) for i in range(10_000))) == fields.MAX_TOOLS


def test_compact_keeps_text_and_order() -> None:
    """A string is the exact text sent; an object keeps the order of its keys."""
    assert fields.compact('{"b": 1}') == '{"b": 1}'
    assert fields.compact({"b": 1, "a": [None]}) == '{"b":1,"a":[null]}'
    assert fields.compact(None) == ""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert fields.compact(deep) == ""


def test_a_parameter_is_a_finite_number_or_absent() -> None:
    """A wrong type is left out, not written as it came."""
    body = {"a": 1, "b": "1", "c": True, "d": float("nan"), "e": [], "f": 0.0}
    found = fields.parameters(body, [(name, name) for name in "abcdefg"])
    assert found == {"gen_ai.request.a": 1, "gen_ai.request.f": 0.0}


@given(st.dictionaries(st.sampled_from(["max_tokens", "n"]), st.sampled_from(ANYTHING)))
def test_parameters_are_finite_numbers(body: dict[str, Any]) -> None:
    """Only what is a number becomes a parameter."""
    found = fields.parameters(body, (("max_tokens", "max_tokens"), ("n", "choice.count")))
    assert all(type(value) in (int, float) for value in found.values())
    assert all(name.startswith("gen_ai.request.") for name in found)
