"""The tree of errors and its one shape on every API."""

import inspect
import re

import pytest

from affidavit import errors
from affidavit.errors import AffidavitError

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, AffidavitError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_class_stands_in_the_tree_with_its_code(kind: type[AffidavitError]) -> None:
    """The drawing in the module docstring names every class and, below the root, its code."""
    assert errors.__doc__ is not None
    line = next(
        (line for line in errors.__doc__.splitlines() if re.search(rf"\b{kind.__name__}\b", line)),
        None,
    )
    assert line is not None, f"{kind.__name__} is not in the tree"
    if kind is not AffidavitError:
        assert re.search(rf"\b{re.escape(kind.code)}\b", line)


def test_codes_are_stable_and_each_belongs_to_one_class() -> None:
    """No two classes share a code, and a subclass's code begins with its parent's."""
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    for kind in CLASSES:
        parent = kind.__mro__[1]
        if issubclass(parent, AffidavitError) and parent is not AffidavitError:
            assert kind.code.startswith(f"{parent.code}.")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_statuses_are_those_of_the_surface(kind: type[AffidavitError]) -> None:
    """Exit codes are 1 to 4, HTTP statuses those of errors."""
    assert kind.exit_code in {1, 2, 3, 4}
    assert 400 <= kind.http_status < 600


def test_json_has_what_happened_what_was_kept_and_what_to_do() -> None:
    """One shape: code, message, and kept, hint and detail where there are any."""
    bare = errors.NotFoundError("No such record.")
    assert bare.as_json() == {"error": {"code": "not_found", "message": "No such record."}}
    full = errors.ExpressionError("Unknown field.", hint="model:", kept="nothing", position=3)
    assert full.as_json() == {
        "error": {
            "code": "usage.expression",
            "message": "Unknown field.",
            "hint": "model:",
            "kept": "nothing",
            "position": 3,
        }
    }
    assert str(full) == "Unknown field."


def test_a_class_has_a_hint_of_its_own_that_the_raiser_may_replace() -> None:
    """What to do about an unrecordable request is said even where the raiser says nothing."""
    assert "disk space" in errors.CannotRecordError("No.").hint
    assert errors.CannotRecordError("No.", hint="Wait.").hint == "Wait."
