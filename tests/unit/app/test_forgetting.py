"""What an erasure forgets of a person goes by whole words."""

import pytest

from affidavit.app import forgetting

NOW = "2026-11-23T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("actor:al", True), ("actor:AL@example.com", True), ('"ask al today"', True),
        ("model:alpha", False), ('"already"', False), ("(actor:al OR model:x)", True),
        ("actor:al (", True), ("model:alpha (", False),
    ],
)  # fmt: skip
def test_a_name_is_found_as_words_of_its_own(expression: str, named: bool) -> None:
    """Also in what is no expression any more; a short name takes nobody else's query."""
    assert forgetting._names(expression, {"al"}, NOW) is named
