"""The bundles of the tests of attacks and of evidence are given to ``verify.html``, too."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from affidavit.evidence import verify
from tests.browser.node import Node, python
from tests.paths import REPOSITORY


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_bundles_of_other_tests_have_the_same_verdict(node: Node, tmp_path: Path) -> None:
    """Thousands of bundles by dozens of builders, good and bad, under what each test trusts."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "tests.browser.recorder", "-m", "not slow",
        f"--basetemp={tmp_path / 'other'}", "tests/attacks", "tests/unit/evidence",
    ]  # fmt: skip
    environment = {**os.environ, "AFFIDAVIT_RECORD": str(folder)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout[-2000:]  # how those tests end is theirs to say
    said: Counter[str] = Counter()
    for line in (folder / "asked.jsonl").read_text().splitlines():
        asked = json.loads(line)
        data = (folder / asked["file"]).read_bytes()
        (folder / asked["file"]).unlink()
        want = python(data, asked["trust"], asked["manifest"])
        assert node.check(data, asked["trust"], asked["manifest"]) == want, asked["test"]
        said[str(want.get("refused", want.get("wrong", "verdict")))] += 1
    print(f"{said.total()} bundles, the same of all: {dict(said)}")
    assert said.total() > 1_500
    assert set(verify.REASONS) <= set(said)
