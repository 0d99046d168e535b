"""What a tree says of where its matches lie."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from affidavit.query.tree import And, Not, Number, Operator, Or, Tree, stretch

OPERATORS: tuple[Operator, ...] = ("<", "<=", ">", ">=", "=")
VALUES = st.integers(-3, 12) | st.floats(-3, 12).map(lambda value: round(value, 1))


@given(st.lists(st.tuples(st.sampled_from(OPERATORS), VALUES), max_size=3))
def test_no_match_lies_outside_the_stretch(asked: list[tuple[Operator, float]]) -> None:
    """And of whole numbers, every index in it is a match."""
    tree = And(tuple(Number("index", op, value) for op, value in asked))
    low, high = stretch(tree, 0, 10)
    matching = [i for i in range(10) if all(_holds(i, op, value) for op, value in asked)]
    assert all(low <= index < high for index in matching)
    if all(value == math.floor(value) for _, value in asked):
        assert matching == list(range(low, high))


def _holds(index: int, op: Operator, value: float) -> bool:
    return {
        "<": index < value, "<=": index <= value, ">": index > value, ">=": index >= value,
        "=": index == value,
    }[op]  # fmt: skip


def test_what_need_not_hold_narrows_nothing() -> None:
    """Alternatives, what is denied, and other numbers."""
    one: Tree = Number("index", "<", 3)
    for tree in (Or((one, Number("index", "=", 7))), Not(one), Number("tokens", "<", 3)):
        assert stretch(tree, 0, 10) == (0, 10)
    low, high = stretch(And((one, Number("index", ">", 5))), 0, 10)
    assert 0 <= low == high <= 10


@pytest.mark.parametrize("value", [2.0**52, -(2.0**52)])
@pytest.mark.parametrize("op", OPERATORS)
def test_an_index_far_from_all_there_are_is_no_place(op: Operator, value: float) -> None:
    """What lies outside leads nowhere, and to no number that is too large for a statement."""
    low, high = stretch(Number("index", op, value), 2, 10)
    everything = (op[0] == "<") == (value > 0) and op != "="
    assert (low, high) == ((2, 10) if everything else (2, 2))
