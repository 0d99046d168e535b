"""The guarantees' page and the code's own rules hold: named tests exist, modules stay small."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guarantees.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LIMITS = {"src/affidavit/evidence/verify.py": 1600}
"""Files that travel alone may be longer (ADR 0004)."""


def _tests_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def test_every_guarantee_names_tests_that_exist() -> None:
    """G1 to G14 each have a line, and every test named there is defined in the named file."""
    text = PAGE.read_text(encoding="utf-8")
    sections = re.split(r"^## (G\d+)", text, flags=re.MULTILINE)
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(found) == [f"G{n}" for n in range(1, 15)]
    for name, body in found.items():
        named = NAMED.findall(body)
        assert named, f"{name} names no test"
        for file, test in named:
            assert (ROOT / file).exists(), f"{name} names {file}, which is not there"
            assert test in _tests_of(ROOT / file), f"{name} names {file}::{test}, not there"


def test_no_module_has_grown_beyond_its_limit() -> None:
    """400 lines at most; a module that grows past that is two modules."""
    for path in (ROOT / "src").rglob("*.py"):
        name = str(path.relative_to(ROOT))
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= LIMITS.get(name, 400), f"{name} has {lines} lines"


def test_only_durable_changes_the_disk() -> None:
    """No other module opens files for writing or calls what changes a directory."""
    allowed = {"durable.py"}
    writing = re.compile(
        r"""\bopen\([^)]*["'][wax]b?\+?["']|\.write_(?:text|bytes)\(|\bos\.(?:rename|replace|"""
        r"""unlink|remove|truncate|ftruncate|mkdir|makedirs|rmdir|link|symlink)\(|shutil\.(?:copy"""
        r"""|move|rmtree)"""
    )
    for path in (ROOT / "src").rglob("*.py"):
        if path.name in allowed or path.name == "verify.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not writing.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_every_folder_says_what_it_does_and_may_import() -> None:
    """Each stage's ``__init__`` says what the stage may import."""
    for path in (ROOT / "src" / "affidavit").glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert "may import" in " ".join(text.split()).lower(), path.parent.name
