"""What demo models say depends on the request alone."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from affidavit.demo import answers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(answers.MODELS), st.text(max_size=200))
def test_answers_are_deterministic_and_honest(model: str, question: str) -> None:
    """The same question gets the same answer, and every answer says it is no real provider's."""
    first = answers.answer(model, question)
    assert first == answers.answer(model, question)
    assert answers.NOT_REAL in first
    assert "".join(answers.words(first)) == first


@given(JSON)
def test_any_schema_gives_arguments(schema: Any) -> None:
    """Whatever stands where a schema should, the call's arguments are a JSON object or value."""
    call = answers.tool_call("t", schema, "Where?")
    json.loads(call.arguments)


def test_arguments_fit_the_schema() -> None:
    """Enums, numbers and nested objects get values of their type; optional fields are left out."""
    schema = {
        "type": "object",
        "properties": {
            "unit": {"enum": ["c", "f"]},
            "days": {"type": "integer"},
            "where": {
                "type": "object",
                "properties": {"lat": {"type": "number"}},
                "required": ["lat"],
            },
            "note": {"type": "string"},
            "query": {"type": "string"},
        },
        "required": ["unit", "days", "where", "query"],
    }
    made = json.loads(answers.tool_call("t", schema, "Where?").arguments)
    assert made == {"unit": "c", "days": 1, "where": {"lat": 1.5}, "query": "Where?"}


@given(st.text(max_size=50), st.integers(1, 256))
def test_embeddings_have_length_one(text: str, size: int) -> None:
    """Every embedding is a unit vector of the asked size."""
    vector = answers.embedding(text, size)
    assert len(vector) == size
    assert abs(sum(value**2 for value in vector) - 1) < 1e-4
