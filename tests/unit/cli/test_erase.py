"""Erasures on the command line: planned, asked for, granted; certificates checked."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app import deciding, mentions
from affidavit.control.erasures import Erasure, Tally
from affidavit.errors import UnavailableError
from affidavit.evidence import certificate
from affidavit.ledger.note import Signer
from affidavit.query.tree import Tree
from tests.unit.cli.conftest import As, Command, Site, flat
from tests.world.machine import PlayedErasing

SIGNER = Signer("test.example/log/certificates", b"\x07" * 32)
BASIS = ("--basis", "GDPR Art. 17(1)(b)")


def test_who_grants_an_erasure_is_told_whose_and_how_much(
    command: Command, become: As, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pseudonym, the records meant, and every key that ends: that without an e-mail, too.

    Who plans it learns how many texts of others name the person; the words are recorded as digests.
    Whose boundary has no names is told none for a pseudonym.
    """
    become("")
    key = ("keys", "create", "Pat Keys", "--kind", "person", "--json")
    first = command(*key, "--email", "pat@example.com").rows[0]
    second = command(*key, "--role", "subject").rows[0]
    machine = site.machine
    machine.exchange("hers", "answer", caller=machine.identities.find(first["id"]))
    moe = command("keys", "create", "Moe Plain", "--kind", "person", "--json").rows[0]
    machine.exchange("his", "answer", caller=machine.identities.find(moe["id"]))
    machine.exchange("Call Pat Keys (pat@example.com).", "I wrote to pat@example.com.")
    machine.exchange("Call pat at example, com or keys.", "Who is Pat?")
    machine.settle()
    ask = ("erase", "--subject", "pat@example.com", *BASIS)
    ends = {first["id"], second["id"]}
    assert set(command(*ask, "--dry-run", "--json").rows[0]["keys"]) == ends
    words = '"Pat Keys" OR "pat@example.com"'
    dry = command(*ask, "--dry-run", "--json").rows[0]
    assert dry["named"] == {"expression": words, "records": 2, "capped": False, "why": ""}
    machine.settle()
    said = machine.vault_reader.sections(machine.log.size - 1)["what"]
    assert (said["operation"], said["named"]) == ("erasures.plan", 2)
    assert re.fullmatch(r'"hmac:[a-z2-7]{26}" OR "hmac:[a-z2-7]{26}"', said["searched"])
    plan = command(*ask, "--dry-run")
    assert all(f"the key {one} would be revoked" in flat(plan.out) for one in ends)
    told = flat(plan.err)
    assert "are no part of it: 2 records that you may see." in told
    assert f"affidavit query '{words}'" in told
    with monkeypatch.context() as narrow:
        narrow.setattr(mentions, "COUNT_TO", 1)
        told = flat(command(*ask, "--dry-run").err)
        assert ("at least 1 record that" in told, "nobody could grant" in told) == (True, False)
        narrow.setattr(deciding, "grantable", lambda *_: False)
        assert "As it is, nobody could grant you that:" in flat(command(*ask, "--dry-run").err)
    become(machine.keys["compliance"])
    told = flat(command(*ask, "--dry-run").err)
    assert "not searched: searching text reads content" in told
    assert f"who may see content finds them: affidavit query '{words}' --reason" in told
    assert "who may not see content asks by --record ID for each" in told
    become("")
    become(command("keys", "create", "No Names", "--role", "compliance", "--boundary", "two").out
           .strip())  # fmt: skip
    told = flat(command("erase", "--subject", moe["actor"], *BASIS, "--dry-run").err)
    assert ("names of people are outside" in told, "Moe" in told) == (True, False)
    become("")
    nobody = command("erase", "--subject", "carl@example.com", *BASIS, "--dry-run")
    assert (nobody.code, "that mention the person" in flat(nobody.err)) == (1, True)
    assert "Nobody of that name has a key here." in flat(nobody.err)
    real = command(*ask)
    told = flat(real.err)
    assert "not searched: that is done by --dry-run alone." in told
    assert f"finds them: affidavit query '{words}' --reason" in told
    made = command("erase", "list", "--json").rows[-1]
    listed = flat(command("erase", "list").out)
    become(machine.keys["responder"])
    told = flat(command("approvals", "list").out)
    assert f"of the subject {first['name']}, {first['actor']}: what identifies the person" in told
    assert f"{made['planned']} records were meant" in told
    assert all(
        f"the key {one} is revoked once it is granted" in told and one in listed for one in ends
    )
    assert command("approvals", "deny", made["question"]).code == 0


def test_what_stays_is_said_and_what_a_dry_run_leads_to(
    command: Command, become: As, site: Site
) -> None:
    """Where nothing may go yet the same command is refused; the list says what waits, and why."""
    become("")
    machine = site.machine
    machine.exchange("held", "answer", session="held-session")
    machine.settle()
    held = ("hold", "place", "session:held-session", "--matter", "Doe", "--reason", "r", "--json")
    hold = command(*held).rows[0]["id"]
    ask = ("erase", "--session", "held-session", *BASIS)
    dry = command(*ask, "--dry-run")
    assert flat(dry.out) == f"0 of 2 records would go now. 2 records stay: legal hold {hold}"
    assert "Without --dry-run it is refused" in flat(dry.err)
    assert command(*ask).code == 3
    dry = command(*ask, "--dry-run", "--when-due")
    assert "The same command without --dry-run asks." in flat(dry.err)
    asked = command(*ask, "--when-due")
    assert flat(asked.out) == (
        "0 of 2 records go once somebody else grants it, and nothing before. "
        f"2 records stay: legal hold {hold}"
    )
    made = command("erase", "list", "--json").rows[-1]
    store, select = machine.played.erasures, machine.played.erasing._select()
    found = store.find(made["id"])
    text = certificate.make({"records": "1"}, SIGNER)
    store.put(
        msgspec.structs.replace(
            found, state="waiting", run=1, finished=found.asked, certificates=(text,)
        )
    )
    meant = select.matching(msgspec.json.decode(found.tree, type=Tree))
    store.put_parts(found.id, select.portions(meant))
    listed = flat(command("erase", "list").out)
    assert "1 record went by" in listed
    assert f"2 records stay: legal hold {hold}" in listed


def test_each_run_has_a_certificate_and_all_of_them_are_told(
    command: Command, become: As, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went by all, and which one is fetched; while another run is under way, too.

    It is fetched also where nobody has time to look for what is left.
    """
    become("")
    texts = tuple(
        certificate.make({"certificate": f"{run}", "records": f"{went}",
                          "legal basis": "records: 9"}, SIGNER)
        for run, went in ((1, 4), (2, 0), (3, 2))
    )  # fmt: skip
    export: dict[str, str | int] = {
        "record": "r", "time": "2026-11-23T12:00:00.000000Z", "by": "act_e", "records": 2,
        "manifest": "MANIFEST",
    }  # fmt: skip
    made = Erasure(
        "0199e", "acme", "session", "ses_x", "sections", "", b"", "b", "k", "act_a",
        "2026-11-23T12:00:00.000000Z", 6, "d", state="done", run=3, certificates=texts,
        tally=Tally(records=2), finished="2026-11-24T12:00:00.000000Z", exports=(export,),
        tenants=("acme",),
    )  # fmt: skip
    store = site.machine.played.erasures
    store.put(made)
    shown = flat(command("erase", "show", made.id).out)
    assert "6 records went in 3 runs by 2026-11-24 12:00:00 UTC" in shown
    assert "of what went last; of the rest, each certificate has its own: 2 of them" in shown
    (row,) = [one for one in command("erase", "list", "--json").rows if one["id"] == made.id]
    assert (row["went"], row["certified"], row["tally"]["records"]) == (6, 3, 2)
    get = ("erase", "certificate", made.id)

    async def busy(*_: object) -> Any:
        raise UnavailableError("Others are being answered.")

    monkeypatch.setattr(PlayedErasing, "left", busy)
    assert command("erase", "show", made.id).code == 4
    for run, text in enumerate(texts, 1):
        one = command(*get, "--run", str(run))
        assert (one.out, one.err) == (text, "")
    latest = command(*get, "-o", str(tmp_path / "last.txt"))
    assert (tmp_path / "last.txt").read_text() == texts[-1]
    assert "This is the latest of 3 certificates, of what went last." in flat(latest.err)
    assert f"erase certificate {made.id} --run N, from 1 to 2." in flat(latest.err)
    wrong = command(*get, "--run", "4")
    assert (wrong.code, "--run 1 to 3" in flat(wrong.err)) == (2, True)
    store.put(msgspec.structs.replace(made, state="running", run=4, tally=Tally(), finished=""))
    assert "6 records went in 3 runs so far" in flat(command("erase", "list").out)
    store.forget(made.id)


def test_a_certificate_is_checked_with_a_key_from_outside(
    command: Command, become: As, tmp_path: Path
) -> None:
    """0 with the key, 2 without one, 1 after any change."""
    become("")
    file = tmp_path / "erased.txt"
    text = certificate.make({"log": "test.example/log", "records": "6"}, SIGNER)
    file.write_text(text)
    good = command("verify", str(file), "--key", SIGNER.vkey)
    assert (good.code, "records: 6" in good.out) == (0, True)
    alone = command("verify", str(file))
    assert alone.code == 2
    assert "nobody vouches" in flat(alone.err)
    file.write_text(text.replace("records: 6", "records: 5"))
    assert command("verify", str(file), "--key", SIGNER.vkey).code == 1
    assert command("verify", str(file), "--policy", str(file)).code == 2
    file.write_text("Erased.")
    other = command("verify", str(file), "--key", SIGNER.vkey)
    assert (other.code, "It may be another file than was meant." in flat(other.err)) == (1, True)
    assert "REFUSED not-canonical" in flat(other.out)


def test_retention_runs_for_who_decides(command: Command, become: As) -> None:
    """Nothing is over a maximum here; a member may not have it run."""
    become("")
    assert "Nothing is over its maximum" in command("retention", "run", "--dry-run").out
    assert "Gone: nothing" in command("retention", "run").out
    assert command("retention", "run", "--json").rows[0]["buckets"] == 0
    key = command("keys", "create", "Zoe", "--role", "auditor").out.strip()
    become(key)
    assert command("retention", "run").code == 3
    become("")
