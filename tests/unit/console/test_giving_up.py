"""Giving up ownership is final, in an installation that nobody needs afterwards."""

import asyncio

import pytest

from affidavit.errors import RefusedError
from tests.unit.console.conftest import Client
from tests.world.machine import Machine


def test_nobody_makes_an_owner_after_it_was_given_up(client: Client, machine: Machine) -> None:
    """Whatever role the console takes somebody for: the store itself refuses."""
    assert client("owner").post("/api/keys/give-up", json={}).status_code == 200
    asked = {"name": "again", "role": "owner", "tenant": "acme", "groups": []}
    with pytest.raises(RefusedError, match="given up"):
        asyncio.run(machine.link.call("keys.create", asked | {"by": {"role": "owner"}}))
    assert all(one.revoked for one in machine.identities.all() if one.role == "owner")
