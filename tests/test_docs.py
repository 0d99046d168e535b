"""What the documentation says exists: configuration keys, commands, links."""

import re
import types
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from affidavit.cli.main import app
from affidavit.config import Config, Provider, Route
from affidavit.config import parse as parse_config
from affidavit.config_boundaries import BreakGlass, NamedBoundary
from affidavit.query import named
from affidavit.query.fields import markdown
from affidavit.query.language import parse

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _keys() -> list[str]:
    found = [f"providers.NAME.{name}" for name in Provider.model_fields if name != "off"]
    found += [f"routes.default.{name}" for name in Route.model_fields]
    found += [f"boundaries.NAME.{name}" for name in NamedBoundary.model_fields]
    found += [f"boundaries.NAME.break_glass.{name}" for name in BreakGlass.model_fields]
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, types.GenericAlias) or not isinstance(kind, type):
            continue
        if issubclass(kind, BaseModel):
            found += [f"{name}.{key}" for key in kind.model_fields]
            for key, inner in kind.model_fields.items():
                if isinstance(inner.annotation, type) and issubclass(inner.annotation, BaseModel):
                    found += [f"{name}.{key}.{one}" for one in inner.annotation.model_fields]
    return found


@pytest.mark.parametrize("key", _keys())
def test_every_configuration_key_is_documented(key: str) -> None:
    """A new key needs its line in docs/operations.md."""
    assert f"`{key}`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_field_of_a_question_is_documented() -> None:
    """The tables of docs/query.md are those of the program, and what it shows is understood."""
    page = (ROOT / "docs" / "query.md").read_text(encoding="utf-8")
    assert page.split(" -->\n")[1].split("\n<!--")[0] == markdown()
    now = "2026-11-23T12:00:00.000000Z"
    for example in re.findall(r"\| `([^`|]+)` \|$", page, re.MULTILINE):
        assert parse(example, now), example
    for time in ("2026-08-01T12:30", "2026-08-01T12:30:00.5Z", "30s", "15m", "24h", "90d", "2w"):
        assert parse(f"since:{time}", now)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file or folder of the project."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_named_in_the_readme_exists() -> None:
    """``affidavit VERB`` in README and operations is a verb of the command line."""
    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]  # a click group
    for page in (ROOT / "README.md", ROOT / "docs" / "operations.md"):
        text = page.read_text(encoding="utf-8")
        for verb in re.findall(r"(?:bin/|`)affidavit ([a-z-]+)", text):
            assert verb in verbs, f"{page.name}: affidavit {verb}"


def test_the_boundaries_of_the_documentation_are_understood() -> None:
    """The example of docs/operations.md is a configuration, and its rows stand."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = next(one for one in page.split("```") if one.startswith("yaml\nboundaries:"))
    named.check(parse_config(shown.removeprefix("yaml"), {}, "docs"), "docs")
