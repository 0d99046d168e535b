"""``affidavit keys`` where an installation has several tenants."""

from tests.unit.cli.conftest import As, Command, Site, flat


def test_an_owner_begins_a_tenant_with_a_key_of_it(
    command: Command, become: As, site: Site
) -> None:
    """It is said of which tenant the key is, and listed once there are several."""
    become("")
    assert "Tenant" not in command("keys", "list").out
    made = command("keys", "create", "Zed", "--role", "owner", "--tenant", "beta")
    assert (made.code, "of Zed (owner, tenant beta)" in flat(made.err)) == (0, True)
    listed = command("keys", "list")
    assert "Tenant" in listed.out
    assert "beta" in listed.out
    (zed,) = [one for one in command("keys", "list", "--json").rows if one["name"] == "Zed"]
    assert zed["tenant"] == "beta"
    become(site.machine.keys["administrator"])
    refused = command("keys", "create", "Yan", "--tenant", "beta")
    assert (refused.code, "an owner alone" in flat(refused.err)) == (3, True)
