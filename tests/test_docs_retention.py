"""What docs/retention.md says: keys, the example, the table of presets."""

from pathlib import Path

import pytest

from affidavit.config import parse
from affidavit.config_retention import Conflict, RetentionClass, Shortened, When
from affidavit.presets import EVIDENCE, presets

PAGE = (Path(__file__).parent.parent / "docs" / "retention.md").read_text(encoding="utf-8")
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


def test_the_example_is_a_configuration() -> None:
    """As it stands on the page."""
    shown = next(one for one in PAGE.split("```") if one.startswith("yaml\nretention:"))
    assert set(parse(shown.removeprefix("yaml"), {}, "docs").retention.classes) == {
        "standard", "audit", "clinic",
    }  # fmt: skip


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
