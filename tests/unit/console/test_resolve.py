"""Names that people use become pseudonyms, within the reader's tenant only."""

import msgspec

from affidavit.console import resolve
from affidavit.query.tree import And, Match, Not, Or
from tests.world.machine import Machine


def test_actor_names_and_emails_are_known_in_their_tenant(machine: Machine) -> None:
    """A name or e-mail, in any case, is the actor's pseudonym; another tenant's is not."""
    owner, caller = machine.identity("owner"), machine.identity("caller")
    snapshot = machine.snapshot()
    assert resolve.pseudonyms("actor", "THE CALLER", owner, snapshot) == [caller.actor]
    assert resolve.pseudonyms("actor", "caller@example.com", owner, snapshot) == [caller.actor]
    assert resolve.pseudonyms("actor", caller.actor, owner, snapshot) == []
    assert resolve.pseudonyms("model", "the caller", owner, snapshot) == []
    stranger = msgspec.structs.replace(owner, tenant="other")
    assert resolve.pseudonyms("actor", "the caller", stranger, snapshot) == []
    assert resolve.pseudonyms("session", "my-session", stranger, snapshot) == []


def test_a_member_resolves_sessions_of_its_team_only(machine: Machine) -> None:
    """The pseudonym that a session id has in another team is not made for a member."""
    identity, _ = machine.identities.draft(tenant="acme", name="x", team="other")
    machine.identities.put(identity)
    snapshot = machine.snapshot()
    owner, member = machine.identity("owner"), machine.identity("member")
    assert len(resolve.pseudonyms("session", "s", owner, snapshot)) == 2
    assert len(resolve.pseudonyms("session", "s", member, snapshot)) == 1


def test_widening_keeps_the_question(machine: Machine) -> None:
    """The name stays in the tree with the pseudonym beside it; other conditions are untouched."""
    owner, caller = machine.identity("owner"), machine.identity("caller")
    name = Match("actor", "the caller")
    other = Match("model", "the caller")
    prefix = Match("actor", "the", prefix=True)
    tree = And((Not(name), other, prefix))
    widened = resolve.widened(tree, owner, machine.snapshot())
    assert widened == And((Not(Or((name, Match("actor", caller.actor)))), other, prefix))
