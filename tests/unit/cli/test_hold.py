"""Legal holds on the command line: who may see, place and end which."""

import re
from typing import Never

import pytest

from affidavit.app import deciding
from affidavit.console import holds_api
from affidavit.errors import UsageError
from affidavit.query.search import Searcher
from tests.unit.cli.conftest import As, Command, flat


def _takes_too_long(*_: object) -> Never:
    raise UsageError("The question takes longer than 10 seconds.")


def test_a_hold_is_placed_listed_and_released_by_two(
    command: Command, become: As, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted beforehand; seen by who oversees the tenant; ended by another person than asked."""
    become("")
    ann = command("keys", "create", "Ann Law", "--role", "compliance").out.strip()
    ben = command("keys", "create", "Ben Law", "--role", "auditor").out.strip()
    cid = command("keys", "create", "Cid Law", "--role", "member", "--team", "support").out.strip()
    narrow = command(
        "keys", "create", "Dee Law", "--role", "auditor", "--boundary", "chat"
    ).out.strip()
    become(ann)
    assert command("hold", "list").out.startswith("There is no legal hold")
    assert command("hold", "place", "model:x", "--matter", "Doe").code == 2
    for verb in (("place", "model:x", "--matter", "Doe"), ("release", "0199")):
        assert "Missing option '--reason'" in flat(command("hold", *verb).err)
    assert command("hold", "place", "nofield:x", "--matter", "D", "--reason", "r").code == 2
    known = ("hold", "place", "model:demo-chat", "--matter", "Doe", "--reason", "r", "--dry-run")
    found = command(*known)
    assert flat(found.out) == "It would hold model:demo-chat, for Doe: 4 records match now."
    assert "spelt" not in found.err
    monkeypatch.setattr(holds_api, "COUNT_TO", 3)
    dry = command(*known, "--json").rows[0]
    assert (dry["records"], dry["records_capped"], "id" in dry) == (3, True, False)
    assert dry["grantable"] is True
    assert "at least 3 records match now" in flat(command(*known).out)
    assert command("hold", "list").out.startswith("There is no legal hold")
    place = ("hold", "place", "actor:Somebody", "--matter", "Doe v. Acme", "--reason", "suit")
    made = command(*place, "--json").rows[0]
    assert (made["matter"], made["owner"], made["records"]) == ("Doe v. Acme", "Ann Law", 0)
    again = command(*place)
    assert "for Doe v. Acme: 0 records match now." in flat(again.out)
    to_end = r"To end it: affidavit hold release \S+ --reason TEXT( |$)"
    assert re.search(to_end, flat(again.err))
    assert "nobody could grant" not in flat(again.err)
    for nothing in (again, command(*place, "--dry-run")):
        assert "names are spelt as records have them" in flat(nothing.err)
        assert "affidavit query actor:Somebody" in flat(nothing.err)
    with monkeypatch.context() as slow:
        slow.setattr(Searcher, "count_of", _takes_too_long)
        untold = command(*place)
        unplanned = command(*place, "--dry-run")
    for told in (untold, unplanned):
        assert (told.code, "was not counted" in flat(told.out)) == (0, True)
    shown = flat(command("hold", "show", made["id"]).out)
    assert "matter: Doe v. Acme" in shown
    assert "owner: Ann Law" in shown
    assert command("hold", "show", "none").code == 1
    become(ben)
    assert command(*place).code == 3
    assert [one["id"] for one in command("hold", "list", "--json").rows].count(made["id"]) == 1
    for key, code in ((cid, 3), (narrow, 1)):
        become(key)
        assert command("hold", "show", made["id"]).code == code
        assert made["id"] not in command("hold", "list").out
    become(ann)
    asked = command("hold", "release", made["id"], "--reason", "settled", "--json").rows[0]
    assert "its release waits" in flat(command("hold", "list").out)
    assert command("approvals", "grant", asked["asked"]).code == 3
    become(narrow)
    assert asked["asked"] not in command("approvals", "list").out
    assert command("approvals", "grant", asked["asked"]).code == 1
    become(ben)
    assert f"release of the hold {made['id']}" in flat(command("approvals", "list").out)
    granted = command("approvals", "grant", asked["asked"])
    assert flat(granted.out) == f"Granted: release of the hold {made['id']}."
    assert "released" in flat(command("hold", "show", made["id"]).out)
    become("")
    monkeypatch.setattr(deciding, "grantable", lambda *_: False)
    alone = ("hold", "place", "model:x", "--matter", "Alone", "--reason", "r")
    questions: list[str] = []
    answers = iter((False, True))

    def answer(text: str, *, err: bool) -> bool:
        held = [one["matter"] for one in command("hold", "list", "--json").rows]
        assert (err, "Alone" in held) == (True, False)
        questions.append(text)
        return next(answers)

    monkeypatch.setattr("typer.confirm", answer)
    warning = "As it is, nobody could grant you its release: no other person has a key"
    tried = flat(command(*alone, "--dry-run").err)
    assert (warning in tried, questions) == (True, [])
    assert "affidavit keys create NAME --kind person --role compliance" in tried
    refused = command(*alone)
    assert (refused.code, refused.out, len(questions)) == (3, "", 1)
    assert "Nothing is held." in refused.err
    placed = command(*alone)
    assert (placed.code, len(questions)) == (0, 2)
    assert placed.out.startswith("Held: model:x")
    at_once = command(*alone, "--yes")
    assert (at_once.code, len(questions)) == (0, 2)
    assert warning in flat(at_once.err)
