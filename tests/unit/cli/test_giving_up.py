"""Giving up ownership on the command line, in an installation that nobody needs afterwards."""

from tests.unit.cli.conftest import As, Command, Site, flat


def test_giving_up_asks_first(command: Command, become: As, site: Site) -> None:
    """It is final: nobody owns this installation afterwards."""
    become("")
    refused = command("keys", "give-up")
    assert refused.code != 0
    assert command("query").code == 0
    given = command("keys", "give-up", "--yes")
    assert given.code == 0
    assert site.machine.identity("owner").id in given.out
    assert "administrator by socket" in flat(command("doctor").out)
    assert command("reveal", "#1", "--reason", "?").code == 3
    become(site.machine.keys["owner"])
    assert command("keys", "list").code == 3
    become(site.machine.keys["administrator"])
    assert command("keys", "list", "--json").rows
