"""What docs/retention.md says: keys, the example, the table of presets."""

import json
import re
from pathlib import Path

import pytest

from affidavit.cli.main import run
from affidavit.config import load
from affidavit.config_retention import DEFAULT, Conflict, RetentionClass, Shortened, When
from affidavit.presets import EVIDENCE, presets

README = Path(__file__).parent.parent / "README.md"
PAGE = (README.parent / "docs" / "retention.md").read_text(encoding="utf-8")
_YAML = re.compile(r"(?ms)^```ya?ml\n(.*?)^```")
NESTED = ("conflict", "shortened")
OWN = [name for name in RetentionClass.model_fields if name not in NESTED]
KEYS = [
    *(f"retention.classes.NAME.{name}" for name in OWN),
    *(f"retention.classes.NAME.conflict.{name}" for name in Conflict.model_fields),
    *(
        f"retention.classes.NAME.shortened.{field.alias or name}"
        for name, field in Shortened.model_fields.items()
    ),
    *(f"retention.rules.when.{name}" for name in When.model_fields),
    "retention.rules.class",
    "retention.default_class",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_classes_and_rules_is_documented(key: str) -> None:
    """A new key needs its line."""
    assert f"`{key}`" in PAGE


def _examples() -> dict[str, str]:
    """Every configuration of the README and of docs/ that says something about retention."""
    pages = [README, *sorted((README.parent / "docs").rglob("*.md"))]
    found = {}
    for page in pages:
        for place, shown in enumerate(_YAML.findall(page.read_text(encoding="utf-8"))):
            if re.search(r"(?m)^retention:", shown):
                found[f"{page.name}-{place}"] = shown
    return found


def test_there_is_an_example() -> None:
    """On the page about retention."""
    assert any(name.startswith("retention.md") for name in _examples())


@pytest.mark.parametrize("name", _examples())
def test_every_example_can_be_copied(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``retention check`` takes it, and it says what becomes of all records.

    Every class is one that records get; those that were captured before are of ``default``, which
    has a limit, too.
    """
    file = tmp_path / "config.yaml"
    file.write_text(_examples()[name])
    assert run(["retention", "check", "--config", str(file), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["class"] for line in lines if not line["given"]} <= {DEFAULT}
    assert [line["maximum"] is not None for line in lines if line["class"] == DEFAULT] == [True]
    assert "default_class" in load(file, {}).retention.model_fields_set


def _table() -> str:
    rows = ["| preset | minimum | maximum | hot | article | source of | grade |", "|" + "---|" * 7]
    rows += [
        f"| `{name}` | {one.minimum or ''} | {one.maximum or ''} | {one.hot or ''} | {one.article} "
        f"| {one.date} | {EVIDENCE[one.evidence]} |"
        for name, one in presets().items()
    ]
    return "\n".join(rows)


def test_the_table_of_presets_is_that_of_the_files() -> None:
    """Numbers and articles are written in one place."""
    assert PAGE.split("<!-- presets -->\n")[1].split("\n<!-- end -->")[0] == _table()
