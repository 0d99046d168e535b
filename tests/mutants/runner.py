"""Does a test module notice when the code it tests is wrong? Mutants of source, and who kills them.

A mutant is a module compiled from its source with one passage replaced, put in the place of the
original everywhere it was imported. The tests of a module are then called as pytest would call
them, until one fails: those that take parameters (``killed_by``), or those that take fixtures
(``noticed``). Property tests are left out: the tables must do.
"""

import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Mutant(NamedTuple):
    """``right`` in the source of ``module`` becomes ``wrong``; ``right`` stands there once."""

    module: str
    right: str
    wrong: str

    def __str__(self) -> str:
        return f"{self.module.rpartition('.')[2]}: {' '.join(self.right.split())[:60]}"


def breed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the mutant in the place of its original for the time of a test."""
    original = sys.modules[mutant.module]
    assert original.__file__
    source = Path(original.__file__).read_text(encoding="utf-8")
    assert source.count(mutant.right) == 1, f"{mutant.right!r} stands there not once"
    changed = types.ModuleType(mutant.module)
    changed.__file__ = original.__file__
    exec(compile(source.replace(mutant.right, mutant.wrong), original.__file__, "exec"),
         vars(changed))  # fmt: skip
    replaced = {
        id(value): vars(changed)[name]
        for name, value in vars(original).items()
        if getattr(value, "__module__", None) == mutant.module and name in vars(changed)
    }
    replaced[id(original)] = changed
    for name, module in list(sys.modules.items()):
        if name.startswith(("affidavit.", "tests.")) and module is not original:
            for attribute, value in list(vars(module).items()):
                if id(value) in replaced:
                    monkeypatch.setattr(module, attribute, replaced[id(value)])
                elif id(type(value)) in replaced and hasattr(value, "__dict__"):
                    # An object that a module made of the original when it was imported.
                    monkeypatch.setattr(value, "__class__", replaced[id(type(value))])


def killed_by(tests: types.ModuleType) -> str:
    """Name of the first test of a module that fails, ``""`` if all pass."""
    for name, test in sorted(vars(tests).items()):
        if not name.startswith("test_") or getattr(test, "is_hypothesis_test", False):
            continue
        for arguments in _calls(test):
            try:
                test(**arguments)
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any failure kills
                return name
    return ""


Makers = Mapping[str, Callable[[Path, Mapping[str, Any]], Any]]
"""What a test may ask for by name → what makes it in a directory, beside what was made before."""

_FIXTURES: Makers = {
    "tmp_path": lambda place, _: place,
    "monkeypatch": lambda _, __: pytest.MonkeyPatch(),
}


def noticed(base: Path, makers: Makers, *modules: types.ModuleType) -> bool:
    """Whether any test of the modules fails that asks for ``makers`` and pytest's own alone.

    What is made in the order of ``makers`` is closed after the test, the last one first.
    """
    every = {**_FIXTURES, **makers}
    tests = [(n, t) for module in modules for n, t in sorted(vars(module).items())
             if n.startswith("test_")]  # fmt: skip
    return any(_fails(test, base / name, every) for name, test in tests)


def _fails(test: Callable[..., None], place: Path, makers: Makers) -> bool:
    needs = set(inspect.signature(test).parameters)
    if not needs <= makers.keys():
        return False
    place.mkdir()
    given: dict[str, Any] = {}
    try:
        for name, make in makers.items():
            if name in needs:
                given[name] = make(place, given)
        test(**given)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any failure notices
        return True
    finally:
        for one in reversed(given.values()):
            end = getattr(one, "undo", None) or getattr(one, "close", None)
            if end is not None:
                end()
    return False


def _calls(test: Any) -> Iterator[dict[str, Any]]:
    """The arguments of each call that pytest would make; none if it would need a fixture."""
    tables = []
    for mark in getattr(test, "pytestmark", []):
        names, rows = mark.args
        names = [names] if isinstance(names, str) else list(names)
        if len(names) == 1:
            rows = [(row,) for row in rows]
        tables.append([dict(zip(names, row, strict=True)) for row in rows])
    for combination in itertools.product(*tables):
        arguments = {key: value for row in combination for key, value in row.items()}
        if set(arguments) == set(inspect.signature(test).parameters):
            yield arguments
