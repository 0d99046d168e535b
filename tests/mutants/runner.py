"""Does a test module notice when the code it tests is wrong? Mutants of source, and who kills them.

A mutant is a module compiled from its source with one passage replaced, put in the place of the
original everywhere it was imported. The tests of a module are then called as pytest would call
them, parameters included, until one fails. Property tests are left out: the tables must do.
"""

import inspect
import itertools
import sys
import types
from collections.abc import Iterator
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
