"""The page about an incident is what the command prints of it."""

from pathlib import Path

import pytest

from tests.e2e import incident
from tests.paths import REPOSITORY, shared


@pytest.mark.slow
def test_the_page_is_what_the_command_prints(tmp_path: Path) -> None:
    """Played again in a new installation, every line of docs/incident.md stands there."""
    shared("exchanges", "openai.jsonl")
    written = (REPOSITORY / "docs" / "incident.md").read_text(encoding="utf-8")
    assert incident.page(incident.shown(tmp_path)) == written
