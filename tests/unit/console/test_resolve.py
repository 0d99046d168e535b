"""Names that people use become pseudonyms, within the reader's tenant only."""

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from affidavit.console import resolve
from affidavit.console.auth import Reader
from affidavit.control.identity import Snapshot
from affidavit.errors import UsageError
from affidavit.evidence import verify
from affidavit.query.boundary import member
from affidavit.query.tree import And, Match, Not, Or, leaves
from tests.unit.console.conftest import Client, reader_of
from tests.world.machine import Machine

SEE_PERSONS = ("owner", "responder", "compliance")
"""Roles whose boundary shows ``person``; for the others names lead nowhere."""


def test_actor_names_and_emails_are_known_in_their_tenant(machine: Machine) -> None:
    """A name or e-mail, in any case, is the actor's pseudonym; another tenant's is not."""
    owner, caller = reader_of(machine, "owner"), machine.identity("caller")
    snapshot = machine.snapshot()
    assert resolve.pseudonyms("actor", "THE CALLER", owner, snapshot) == [caller.actor]
    assert resolve.pseudonyms("actor", "caller@example.com", owner, snapshot) == [caller.actor]
    assert resolve.pseudonyms("actor", caller.actor, owner, snapshot) == []
    assert resolve.pseudonyms("model", "the caller", owner, snapshot) == []
    stranger = replace(owner, identity=msgspec.structs.replace(owner.identity, tenant="other"))
    assert resolve.pseudonyms("actor", "the caller", stranger, snapshot) == []
    assert resolve.pseudonyms("session", "my-session", stranger, snapshot) == []


def test_a_member_who_may_see_persons_resolves_those_of_its_team(machine: Machine) -> None:
    """Where a member's boundary shows ``person``, other teams' names and sessions stay closed."""
    identity, _ = machine.identities.draft(tenant="acme", name="x", team="other")
    machine.identities.put(identity)
    snapshot = machine.snapshot()
    owner, plain = reader_of(machine, "owner"), reader_of(machine, "member")
    boundary = member(plain.identity.actor, "acme", "support")
    seeing = replace(plain, boundary=boundary._replace(sections=owner.boundary.sections))
    assert len(resolve.pseudonyms("session", "s", owner, snapshot)) == 2
    assert len(resolve.pseudonyms("session", "s", seeing, snapshot)) == 1
    assert resolve.pseudonyms("actor", "x", owner, snapshot) == [identity.actor]
    assert resolve.pseudonyms("actor", "x", seeing, snapshot) == []
    assert len(resolve.pseudonyms("actor", "the caller", seeing, snapshot)) == 1


def test_names_are_told_where_persons_are_visible(machine: Machine) -> None:
    """Of the reader's tenant, of every one to who sees all; of nobody who has none any more."""
    snapshot, caller = machine.snapshot(), machine.identity("caller")
    found = [{"by": "key", "erasure": {"of": caller.actor}, "many": [{"x": ("act_x",)}]}]

    def names(reader: Reader, among: Snapshot = snapshot) -> dict[str, str]:
        (one,) = resolve.named(found, reader, among)
        assert {name: one[name] for name in found[0]} == found[0]
        told: dict[str, str] = one["names"]
        return told

    assert names(reader_of(machine, "compliance")) == {caller.actor: caller.name}
    assert names(reader_of(machine, "auditor")) == {}
    owner, second = reader_of(machine, "owner"), reader_of(machine, "compliance")
    other = msgspec.structs.replace(owner.identity, tenant="other")
    assert names(replace(owner, identity=other)) == {caller.actor: caller.name}
    assert names(replace(second, identity=other)) == {}
    gone = tuple(msgspec.structs.replace(one, name="") for one in snapshot.identities)
    assert names(owner, msgspec.structs.replace(snapshot, identities=gone)) == {}


def test_widening_keeps_the_question(machine: Machine) -> None:
    """The name stays in the tree with the pseudonym beside it; other conditions are untouched."""
    owner, caller = reader_of(machine, "owner"), machine.identity("caller")
    name = Match("actor", "the caller")
    other = Match("model", "the caller")
    prefix = Match("actor", "the", prefix=True)
    tree = And((Not(name), other, prefix))
    widened = resolve.widened(tree, owner, machine.snapshot())
    assert widened == And((Not(Or((name, Match("actor", caller.actor)))), other, prefix))


@pytest.mark.parametrize("role", ["owner", "auditor", "responder", "compliance", "member"])
@pytest.mark.parametrize(
    ("field", "name"),
    [("actor", "the caller"), ("actor", "caller@example.com"), ("session", "my-session")],
)
def test_names_lead_to_pseudonyms_only_where_persons_are_visible(
    client: Client, machine: Machine, role: str, field: str, name: str
) -> None:
    """Query, proof, export and show by a name: rows and pseudonym, or neither of them."""
    expected = role in SEE_PERSONS
    caller = machine.identity("caller").actor
    expression = f'{field}:"{name}"'
    for view in ("exchanges", "records"):
        body: dict[str, Any] = {"expression": expression, "view": view, "prove": True}
        answer = client(role).post("/api/query", json=body)
        assert answer.status_code == 200
        assert bool(answer.json()["rows"]) is expected
        assert answer.json()["proof"]["proved"] is expected
        assert (caller in answer.text) is expected
        assert expected or not re.search("ses_[a-z2-7]{26}", answer.text)
    made = client(role).post("/api/export", json={"expression": expression})
    members = verify.read_zip(made.content)
    held = b"".join(bytes(members[n]) for n in ("manifest.json", "report.html", "chains.jsonl"))
    assert bool(caller.encode() in held or re.search(rb"ses_[a-z2-7]{8}", held)) is expected
    shown = client(role).get(f"/api/show/{name}")
    assert shown.status_code == (200 if expected else 404)
    assert (caller in shown.text) is expected


def test_names_of_too_many_pseudonyms_are_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions have a pseudonym in each team, so a few names may become thousands of conditions."""
    reader, snapshot = reader_of(machine, "responder"), machine.snapshot()
    monkeypatch.setattr(resolve, "MOST", 3 * len(resolve.sessions("s", reader, snapshot)))
    three = Or(tuple(Match("session", f"s{place}") for place in range(3)))
    found = resolve.widened(three, reader, snapshot)
    assert len(list(leaves(found))) == 3 + resolve.MOST
    with pytest.raises(UsageError, match=f"more than {resolve.MOST} pseudonyms"):
        resolve.widened(And((three, Match("session", "s4"))), reader, snapshot)
    ours = Or(tuple(Match("session", f"ses_{place}") for place in range(9)))
    assert resolve.widened(ours, reader, snapshot) == ours
