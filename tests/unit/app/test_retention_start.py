"""A sequencer and its classes: what is late is in its status, what is shorter does not start."""

from pathlib import Path
from typing import Any

import pytest

from affidavit.control.link import ControlLink
from affidavit.errors import ConfigError
from tests.unit.app.test_sequencer import _Later, _sequencer, _types

LIMITS = "retention: {classes: {default: {minimum: 30d, maximum: 40d, expires: sections}}}\n"


@pytest.mark.slow
def test_what_is_late_is_in_the_status_and_a_shorter_minimum_needs_a_decision(
    tmp_path: Path,
) -> None:
    """The same directory, later, and then with a configuration that says less."""
    root, found = tmp_path / "d", {}

    async def look(link: ControlLink) -> None:
        status: dict[str, Any] = await link.call("status", {})
        found.update(status["retention"])

    assert _sequencer(root, look) == 0
    written = (root / "config.yaml").read_text()
    (root / "config.yaml").write_text(written + LIMITS)
    assert _sequencer(root, look) == 0
    assert (found["due_records"], found["problem"]) == (0, "")
    assert _types(root).count("change.policy") == 1
    (root / "config.yaml").write_text(written + LIMITS.replace("minimum: 30d", "minimum: 29d"))
    with pytest.raises(ConfigError, match="default was kept for 30 days at least"):
        _sequencer(root, look)
    decided = ", shortened: {from: 30d, to: 29d, reason: r, decided_by: d}}}}"
    (root / "config.yaml").write_text(
        written + LIMITS.replace("30d", "29d").replace("}}}", decided)
    )
    assert _sequencer(root, look, _Later(60)) == 0
    assert found["unknown_buckets"] == 0
    assert _types(root).count("change.policy") == 2
