"""Keys with limits, second persons and broken glass on the command line."""

from pathlib import Path

from affidavit.cli.approvals import waits
from affidavit.cli.options import same
from tests.unit.cli.conftest import As, Command, flat


def test_a_reveal_asks_waits_and_shows(command: Command, become: As) -> None:
    """Asked with code 3, granted by somebody else, shown; a denial asks anew."""
    become("")
    asker = command("keys", "create", "Ann", "--role", "responder", "--boundary", "two").out.strip()
    second = command("keys", "create", "Ben", "--role", "compliance").out.strip()
    become(asker)
    first = command("reveal", "#1", "--reason", "incident 1")
    assert (first.code, first.out) == (3, "")
    assert "Asked: needs a second person (approval " in first.err
    asked = command("reveal", "#1", "--reason", "incident 1", "--json").rows[0]["asked"]
    said = flat(command("approvals", "list").out)
    assert f"{asked['id']} reveal of content of 2 records: asked, until " in said
    assert "yours" in said
    own = command("approvals", "grant", asked["id"])
    assert own.code == 3
    assert "second person" in own.err
    become(second)
    listed = command("approvals", "list", "--json").rows
    assert (asked["id"], "incident 1", False) in [
        (one["id"], one["reason"], one["yours"]) for one in listed
    ]
    assert command("approvals", "grant", asked["id"]).out.startswith("Granted: ")
    become(asker)
    shown = command("reveal", "#1", "--reason", "incident 1")
    assert shown.code == 0
    assert "What is a witness?" in shown.out
    other = command("reveal", "#5", "--reason", "incident 1", "--json").rows[0]["asked"]
    become(second)
    assert command("approvals", "deny", other["id"], "--reason", "no").out.startswith("Denied: ")
    assert command("approvals", "deny", "nothing").code == 1
    become("")
    assert "Nothing waits" not in command("approvals", "list").out


def test_a_second_person_is_told_who_asks_by_name(command: Command, become: As) -> None:
    """Of reveals, holds and erasures: a pseudonym to whoever may not see names."""
    become("")
    ann = command("keys", "create", "Ann Sees", "--role", "compliance").out.strip()
    told = command("keys", "create", "Bea", "--role", "compliance").out.strip()
    untold = command("keys", "create", "Cas", "--role", "auditor").out.strip()
    become(ann)
    hold = ("hold", "place", "model:none", "--matter", "named", "--reason", "r")
    held = command(*hold, "--json").rows[0]["id"]
    command("hold", "release", held, "--reason", "settled")
    (own,) = [one for one in command("approvals", "list", "--json").rows if one["target"] == held]
    subject = ("erase", "--subject", "the caller", "--basis", "b", "--when-due", "--json")
    erasure = command(*subject).rows[0]["id"]
    named = f"asked by Ann Sees, {own['actor']}"
    become(told)
    listed = flat(command("approvals", "list").out)
    assert named in listed
    assert "of the subject the caller, act_" in listed
    assert f"placed by Ann Sees, {own['actor']}" in flat(command("hold", "show", held).out)
    assert f"placed by Ann Sees, {own['actor']}" in flat(command("hold", "list").out)
    assert named in flat(command("erase", "list").out)
    assert named in flat(command("erase", "show", erasure).out)
    assert "subject the caller, act_" in flat(command("erase", "show", erasure).out)
    rows = command("approvals", "list", "--json").rows
    assert {one["actor"]: one["names"] for one in rows}[own["actor"]][own["actor"]] == "Ann Sees"
    become(untold)
    for verb in (("approvals", "list"), ("hold", "list"), ("erase", "list")):
        shown = command(*verb).out + command(*verb, "--json").out
        assert own["actor"] in shown
        assert "the caller" not in shown
        assert "by Ann Sees" not in flat(shown)
        assert all(one["names"] == {} for one in command(*verb, "--json").rows)


def test_a_second_person_is_told_what_is_to_be_released(command: Command, become: As) -> None:
    """Matter, expression and how many match, as many as the second person may see."""
    become("")
    ann = command("keys", "create", "Ann Holds", "--role", "compliance").out.strip()
    bea = command("keys", "create", "Bea Grants", "--role", "compliance").out.strip()
    become(ann)
    hold = ("hold", "place", "model:demo-error", "--matter", "Doe v. Acme", "--reason", "r")
    held = command(*hold, "--json").rows[0]
    command("hold", "release", held["id"], "--reason", "settled")
    become(bea)
    said = flat(command("approvals", "list").out)
    assert f" release of the hold {held['id']}: asked, until " in said
    assert "matter: Doe v. Acme held: model:demo-error 2 records that you may see match now" in said
    rows = command("approvals", "list", "--json").rows
    (told,) = [one["hold"] for one in rows if one["target"] == held["id"]]
    assert (told["matter"], told["records"], told["records_capped"]) == ("Doe v. Acme", 2, False)


def test_glass_is_broken_and_ended(command: Command, become: As) -> None:
    """With a reason; rows beyond the boundary are counted before and shown after."""
    become("")
    key = command("keys", "create", "Cy", "--role", "responder", "--boundary", "chat").out.strip()
    become(key)
    assert "2 rows beyond your boundary" in flat(command("query", "model:demo-error").out)
    assert command("break-glass").code == 2
    broken = command("break-glass", "--reason", "incident 2")
    assert broken.code == 0
    assert "Your boundary chat is widened until " in flat(broken.out)
    assert "demo-error" in command("query", "model:demo-error").out
    found = command("doctor")
    assert "Broken glass" in found.out
    assert "boundary chat" in flat(found.out)
    assert command("break-glass", "--reason", "again").code == 2
    assert flat(command("break-glass", "--end").out).startswith("Ended; your boundary is chat")
    assert command("break-glass", "--end").code == 1
    assert "Broken glass" not in command("doctor").out


def test_a_proof_says_how_long_the_whole_chain_is(command: Command, become: As) -> None:
    """Where the boundary lets the reader know."""
    become("")
    key = command("keys", "create", "Di", "--role", "responder", "--boundary", "chat").out.strip()
    become(key)
    proved = command("query", "type:exchange.request", "--prove")
    assert proved.code == 1
    assert "Whole chain" in proved.out
    assert "within your boundary or not" in flat(proved.out)


def test_limits_of_keys_are_listed(command: Command, become: As) -> None:
    """And refused where they make no sense."""
    become("")
    made = ("keys", "create", "Ed", "--role", "auditor")
    assert command(*made, "--boundary", "chat", "--until", "30d").code == 0
    listed = flat(command("keys", "list").out)
    assert "  Ed, auditor: until 2026-12-23" in command("keys", "list").out
    assert "Ed, auditor: until 2026-12-23 tenant acme; boundary chat;" in listed
    told = next(one for one in command("keys", "list", "--json").rows if one["name"] == "Ed")
    assert (told["boundary"], told["until"][:10]) == ("chat", "2026-12-23")
    wrong = command(*made, "--boundary", "chatt")
    assert (wrong.code, "Did you mean chat?" in wrong.err) == (2, True)
    assert "The configuration is read at the start." in flat(wrong.err)
    assert command(*made, "--until", "2020-01-01").code == 2


def test_a_question_that_nobody_can_grant_says_what_to_do() -> None:
    """Taken back, and asked by somebody who made no keys; else who grants it, and how."""
    made = {"asked": "q1", "until": "2026-12-29T00:00:00.000000Z", "grantable": False}
    assert "nobody can grant it" in waits(made, "")
    assert "approvals deny q1 --data 'a b'." in waits(made, same(Path("a b"), None))
    granted = waits(made | {"grantable": True}, same(None, "http://h:1"))
    assert granted.endswith("affidavit approvals grant q1 --url http://h:1")
    assert waits(made | {"grantable": True}, same(None, None)).endswith("grant q1")
