"""``affidavit keys`` where an installation has several tenants."""

import re

from tests.unit.cli.conftest import As, Command, Site, flat


def test_an_owner_begins_a_tenant_with_a_key_of_it(
    command: Command, become: As, site: Site
) -> None:
    """It is said of which tenant the key is, and listed once there are several."""
    become("")
    made = command("keys", "create", "Zed", "--role", "owner", "--tenant", "beta")
    assert (made.code, "of Zed (owner, tenant beta)" in flat(made.err)) == (0, True)
    listed = command("keys", "list")
    told = r"Zed, owner: in force\n  tenant beta; made \d{4}-\d\d-\d\d$"
    assert re.search(told, listed.out, re.MULTILINE)
    (zed,) = [one for one in command("keys", "list", "--json").rows if one["name"] == "Zed"]
    assert zed["tenant"] == "beta"
    become(site.machine.keys["administrator"])
    refused = command("keys", "create", "Yan", "--tenant", "beta")
    assert (refused.code, "an owner alone" in flat(refused.err)) == (3, True)


def test_a_list_of_keys_says_what_decides_what_they_may(command: Command, become: As) -> None:
    """Also the boundary that a group brings; a date is on the line of its word."""
    become("")
    made = ("keys", "create", "Gil", "--role", "auditor", "--kind", "person", "--until", "30d")
    groups = ("--group", "others", "--group", "on-call")
    more = ("--email", "gil@example.com", "--team", "red")
    assert command(*made, *groups, *more, "--label", "pci", "--jurisdiction", "de").code == 0
    listed = command("keys", "list").out
    assert re.search(r"^key_\w+  Gil, auditor: until \d{4}-\d\d-\d\d$", listed, re.MULTILINE)
    said = (
        "boundary chat through the group on-call; gil@example.com; team red; groups others, "
        "on-call; labels pci; jurisdiction de; made "
    )
    assert said in flat(listed)
    (gil,) = [one for one in command("keys", "list", "--json").rows if one["name"] == "Gil"]
    assert (gil["boundary"], gil["applies"], gil["through"]) == ("", "chat", "on-call")
    command("keys", "revoke", gil["id"])
    listed = command("keys", "list").out
    assert re.search(r"Gil, auditor: revoked \d{4}-\d\d-\d\d$", listed, re.MULTILINE)
