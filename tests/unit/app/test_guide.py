"""What is printed at the start can be copied as it is."""

import re
import shlex
from pathlib import Path

import pytest

from affidavit.app import guide as guide_module
from affidavit.app.anchoring import ADVICE
from affidavit.app.guide import guide
from affidavit.config import parse
from tests.paths import REPOSITORY

FACTS = {
    "gateway": "http://127.0.0.1:8787",
    "console": "http://127.0.0.1:8788",
    "owner_key_file": "/d/keys/owner",
    "caller_key": "aff_x",
    "vkey": "affidavit/abc+00000000+AAAA",
    "pid": 1,
    "data": "/path with space/d",
    "anchor_advice": "",
}


def test_commands_are_whole_shell_words() -> None:
    """Each indented line parses as shell, paths with spaces included, and carries the data path."""
    text = guide(FACTS, demo=True, first=True)
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    joined = " ".join(lines).replace("\\ ", " ")
    assert "/path with space/d" in shlex.split(joined)
    assert "not from a real provider" in text
    assert "aff_x" in text
    assert "demo-chat" in text


def test_without_a_new_key_it_says_how_to_make_one() -> None:
    """A second start has no key to show, as only digests are kept."""
    text = guide({**FACTS, "caller_key": None}, demo=False, first=False)
    assert "keys create" in text
    assert "YOUR-KEY" in text


def test_until_somebody_vouches_it_says_what_to_add() -> None:
    """Three lines of configuration, which the configuration understands; one line in the demo."""
    facts = {**FACTS, "anchor_advice": ADVICE}
    text = guide(facts, demo=False, first=False)
    more = [line for line in text.splitlines() if line not in guide(FACTS, demo=False, first=False)]
    assert "own key only" in text
    assert "'/path with space/d/config.yaml'" in text
    config = parse("\n".join(line for line in more if line.startswith("  ")), {}, "the guide")
    assert config.anchored
    assert config.witnesses.policy is not None
    shown = guide(facts, demo=True, first=False).splitlines()
    before = guide(FACTS, demo=True, first=False).splitlines()
    assert [line for line in shown if line not in before] == [ADVICE]


def test_the_evidence_has_a_name_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied at a second start does not meet the file of the first."""
    monkeypatch.chdir(tmp_path)
    assert "-o evidence.zip " in guide(FACTS, demo=True, first=True)
    for name in ("evidence.zip", "evidence-2.zip"):
        Path(name).touch()
    text = guide(FACTS, demo=True, first=False)
    assert "-o evidence-3.zip " in text
    assert "verify evidence-3.zip " in text


_ASKED = (".venv/bin/affidavit", "unzip", "python3")


def test_the_guide_and_the_readme_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of README's first section stands in what the demo prints."""
    monkeypatch.setattr(guide_module, "command", lambda: ".venv/bin/affidavit")
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    readme = text.partition("## Use it for real")[0]
    key = "--key affidavit-demo/log/log.vkey"
    told = guide({**FACTS, "data": "affidavit-demo", "vkey": "VKEY"}, demo=True, first=True)
    told = told.replace("--key VKEY", key)
    blocks = re.findall(r"^```\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    asked = [line for line in lines if line.startswith(_ASKED)]
    printed = [line.strip() for line in told.splitlines() if line.startswith("  ")]
    words = [sorted(shlex.split(line)) for line in printed if line.startswith(_ASKED)]
    assert len(asked) > 6
    for line in asked:
        assert sorted(shlex.split(line)) in words, line
    (exported,) = [line for line in lines if line.startswith("export PATH=")]
    (short,) = [line for line in printed if line.startswith("export PATH=")]
    names = re.compile(r"(\w+)=")
    assert names.findall(short) == names.findall(exported) == ["PATH", "AFFIDAVIT_DATA"]
    assert "demo attack" not in guide(FACTS, demo=False, first=False)


def test_a_shell_that_copies_the_line_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place with blanks stays one word; a program that is found has no PATH to be given."""
    monkeypatch.setattr(guide_module, "command", lambda: "'/a b/bin/affidavit'")
    text = guide(FACTS, demo=False, first=False)
    assert "export PATH='/a b/bin':\"$PATH\" AFFIDAVIT_DATA='/path with space/d'" in text
    monkeypatch.setattr(guide_module, "command", lambda: "affidavit")
    text = guide(FACTS, demo=False, first=False)
    assert "  export AFFIDAVIT_DATA='/path with space/d'" in text.splitlines()
