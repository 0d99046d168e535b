"""An erasure on the command line from its plan to its grant, in an installation of its own."""

from pathlib import Path

from tests.unit.cli.conftest import As, Command, Site, flat

BASIS = ("--basis", "GDPR Art. 17(1)(b)")


def test_an_erasure_is_planned_asked_for_and_granted(
    command: Command, become: As, site: Site, tmp_path: Path
) -> None:
    """A dry run changes nothing; the one who asked does not grant it; who oversees sees it."""
    become("")
    ann = command("keys", "create", "Ann Priv", "--role", "compliance").out.strip()
    ben = command("keys", "create", "Ben Priv", "--role", "responder").out.strip()
    become(ann)
    assert command("erase", *BASIS).code == 2
    assert command("erase", "--record", "#1", "--session", "x", *BASIS).code == 2
    assert command("erase", "--record", "#1").code == 2
    assert command("erase", "--tenant", "acme", *BASIS).code == 3
    assert command("erase", "--session", "nothing", *BASIS).code == 1
    dry = command("erase", "--session", "my-session", *BASIS, "--dry-run")
    assert flat(dry.out) == "4 of 4 records would go now."
    become("")
    given = command("export", "model:demo-chat", "-o", str(tmp_path / "given.zip"), "--json")
    site.machine.settle()
    become(ann)
    dry = command("erase", "--session", "my-session", *BASIS, "--dry-run", "--json")
    (export,) = dry.rows[0]["exports"]
    assert (export["records"], export["manifest"]) == (4, given.rows[0]["manifest"])
    assert command("erase", "list").out.startswith("There is no erasure")
    phrase = command("erase", "--expression", '"a witness"', *BASIS)
    assert phrase.code == 3
    assert "ask for each: affidavit erase --record ID" in flat(phrase.err)
    made = command("erase", "--session", "my-session", *BASIS, "--json").rows[0]
    assert "4 records are meant" in flat(command("erase", "show", made["id"]).out)
    assert command("erase", "certificate", made["id"]).code == 2
    for verb in ("show", "certificate"):
        wrong = command("erase", verb, made["asked"])
        assert f"That is the approval of the erasure {made['id']}." in flat(wrong.err)
    assert command("approvals", "grant", made["asked"]).code == 3
    other = command("erase", "--record", "#1", *BASIS, "--json").rows[0]
    assert other["records"] == 2
    become(ben)
    assert f"erasure {made['id']}" in flat(command("approvals", "list").out)
    assert command("approvals", "deny", other["asked"]).out.startswith("Denied: erasure")
    assert command("erase", "show", other["id"]).code == 1
    assert command("approvals", "grant", made["asked"]).code == 0
    assert site.machine.played.erasing.woken == 1
    wrong = command("erase", "show", made["asked"])
    assert (wrong.code, f"the approval of the erasure {made['id']}." in flat(wrong.err)) == (
        1,
        True,
    )
    assert [one["state"] for one in command("erase", "list", "--json").rows] == ["running"]
    become("")
    person = command("erase", "--subject", "the caller", *BASIS, "--dry-run", "--json").rows[0]
    assert (person["target"][:4], len(person["keys"])) == ("act_", 1)
