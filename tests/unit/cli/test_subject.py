"""Subject access: everything of one person, proved, and nobody else in it."""

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from affidavit.app import system
from affidavit.control.identity import Identity
from affidavit.record.disclose import open_disclosure
from tests.unit.cli.conftest import As, Command, Site, flat


def _disclosed(file: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(file) as bundle:
        lines = bundle.read("disclosures.jsonl").splitlines()
    return [json.loads(line) for line in lines]


def test_a_person_gets_all_of_the_own_records_and_nobody_else(
    command: Command, become: As, site: Site, tmp_path: Path
) -> None:
    """With content and the proof; of the administrator who made the key nothing is told."""
    machine = site.machine
    person, owner = machine.identity("subject"), machine.identity("owner")
    for turn in range(2):
        machine.exchange(f"mine {turn}", "answer", caller=person)
    machine.exchange("of another", "answer")
    by = {"tenant": owner.tenant, "actor": owner.actor, "kind": "person", "role": "owner"}
    made = system.key_change(machine.clock, machine.config, person, "created", by)
    asyncio.run(machine.played.record(made))
    machine.settle()
    become(machine.keys["subject"])
    file = tmp_path / "mine.zip"
    told = command("subject", "export", "-o", str(file), "--json").rows[0]
    assert (told["subject"], told["records"], told["content"]) == (person.actor, 5, "full")
    assert "all 5 records" in told["verdict"]["completeness"]
    who = [line for line in _disclosed(file) if line["section"] == "who"]
    assert len(who) == 4
    assert {open_disclosure(line["disclosure"], "who")["actor"] for line in who} == {person.actor}
    with zipfile.ZipFile(file) as bundle:
        assert not any(owner.actor.encode() in bundle.read(name) for name in bundle.namelist())
        bodies = [bundle.read(name) for name in bundle.namelist() if name.startswith("content/")]
    assert any(b"mine 0" in body for body in bodies)
    assert not any(b"of another" in body for body in bodies)
    checked = command("verify", str(file), "--key", machine.log.vkey)
    assert checked.code == 0, checked.out + checked.err
    assert command("subject", "export", owner.actor, "-o", str(tmp_path / "no.zip")).code == 3


def test_who_decides_about_keeping_asks_for_a_person(
    command: Command, become: As, site: Site, tmp_path: Path
) -> None:
    """By name or pseudonym, without content where it is out of bounds; an auditor does not."""
    machine = site.machine
    become(machine.keys["compliance"])
    file = tmp_path / "hers.zip"
    asked = command("subject", "export", "the caller", "-o", str(file))
    assert asked.code == 0, asked.err
    assert "with a key" in flat(asked.err)
    assert command("subject", "export", "nobody", "-o", str(tmp_path / "x.zip")).code == 1
    become(machine.keys["auditor"])
    assert command("subject", "export", "the caller", "-o", str(tmp_path / "y.zip")).code == 3


def test_what_is_for_one_person_is_refused_where_keys_are_of_two(
    command: Command, become: As, site: Site, tmp_path: Path
) -> None:
    """An export and an erasure, by pseudonym, too; a hold of the pseudonym keeps both."""
    store = site.machine.identities
    both: list[Identity] = []
    for mail in ("john1@example.com", "john2@example.com"):
        one, token = store.draft(
            tenant=site.machine.identity("owner").tenant, name="John Smith", email=mail,
            kind="person", role="subject",
        )  # fmt: skip
        both.append(msgspec.structs.replace(one, actor=both[0].actor if both else one.actor))
        store.put(both[-1])
    become(site.machine.keys["compliance"])
    said = "several e-mails: john1@example.com, john2@example.com"
    for name in ("john1@example.com", both[0].actor):
        asked = command("subject", "export", name, "-o", str(tmp_path / "both.zip"))
        assert (asked.code, said in flat(asked.err)) == (2, True), asked.err
        asked = command("erase", "--subject", name, "--basis", "b", "--dry-run")
        assert (asked.code, said in flat(asked.err)) == (2, True), asked.err
    place = ("--matter", "Doe", "--reason", "suit")
    held = command("hold", "place", 'actor:"John Smith"', *place)
    assert (held.code, said in flat(held.err)) == (2, True), held.err
    assert command("hold", "place", f"actor:{both[0].actor}", *place).code == 0
    become(token)
    own = command("subject", "export", "-o", str(tmp_path / "own.zip"))
    assert (own.code, "john1" in own.err) == (2, False), own.err
    become("")  # the boundary does not show the section person
    unnamed = ("--role", "compliance", "--boundary", "two")
    become(command("keys", "create", "No Names", *unnamed).out.strip())
    for ask in (("subject", "export", both[0].actor, "-o", str(tmp_path / "both.zip")),
                ("erase", "--subject", both[0].actor, "--basis", "b", "--dry-run")):  # fmt: skip
        asked = command(*ask)
        told = f"The keys of {both[0].actor} have several e-mails."
        assert (asked.code, told in flat(asked.err)) == (2, True), asked.err
