"""What is held about a person: of one, named by a whole pseudonym or a name."""

import pytest

from tests.unit.console.conftest import Client
from tests.world.machine import Machine


@pytest.mark.parametrize(
    "subject",
    [
        "act_中", "act_x OR model:demo-chat", "act_x\r\nhas:error", "act_x", "act_*",
        "act_" + "a" * 26 + " OR model:demo-chat", "act_" + "a" * 26 + "\n", "act_" + "A" * 26,
    ],
)  # fmt: skip
def test_what_only_begins_like_a_pseudonym_is_a_name(
    client: Client, machine: Machine, subject: str
) -> None:
    """Of nobody here: 404, no export, and it was a question of more than one person."""
    before = len(machine.records("access.export"))
    answer = client("compliance").post("/api/subjects/export", json={"subject": subject})
    assert answer.status_code == 404, answer.text
    assert len(machine.records("access.export")) == before


def test_a_pseudonym_and_a_name_are_exported(client: Client, machine: Machine) -> None:
    """By the one that decides about keeping; the answer says whose it is."""
    actor = machine.identity("caller").actor
    for subject in (actor, machine.identity("caller").name):
        answer = client("compliance").post("/api/subjects/export", json={"subject": subject})
        assert answer.status_code == 200, answer.text
        assert answer.headers["affidavit-subject"] == actor
