"""``affidavit demo attack`` as a person runs it: every attack is seen, and by whom it says."""

import json

import pytest

from tests.e2e.machine import run_cli

ATTACKS = {
    "No attack": (False, "all 8 records of model=demo-chat"),
    "A flipped byte on the disk": (False, "tile/entries/"),
    "A flipped byte in evidence": (False, "REFUSED"),
    "A dropped record": (False, "omitted-record"),
    "A process killed in the middle of a stream": (False, "what was delivered"),
    "A rollback": (True, "HTTP 409"),
    "A fork": (True, "HTTP 422"),
}


@pytest.mark.slow
def test_every_attack_of_the_demonstration_is_seen() -> None:
    """With the anchor it says it needs, in the words of the command that anybody would run."""
    done = run_cli("demo", "attack", "--json")
    found = {line["attack"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(found) == list(ATTACKS)
    for name, (anchor, words) in ATTACKS.items():
        assert found[name]["seen"], name
        assert found[name]["anchor"] is anchor, name
        assert words in " ".join(found[name]["verdict"].split()), name
