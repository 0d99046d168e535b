"""Legal holds on the command line: who may see, place and end which."""

from tests.unit.cli.conftest import As, Command, flat


def test_a_hold_is_placed_listed_and_released_by_two(command: Command, become: As) -> None:
    """Seen by who oversees the tenant; ended by another person than who asked."""
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
    assert command("hold", "place", "nofield:x", "--matter", "D", "--reason", "r").code == 2
    place = ("hold", "place", "actor:Somebody", "--matter", "Doe v. Acme", "--reason", "suit")
    made = command(*place, "--json").rows[0]
    assert (made["matter"], made["owner"]) == ("Doe v. Acme", "Ann Law")
    assert "To end it: affidavit hold release" in flat(command(*place).err)
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
