"""Erasures over HTTP: what may be had of them while a long one goes on."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from affidavit.control.erasures import Portion
from affidavit.errors import UnavailableError
from affidavit.query import phrases
from tests.unit.console.conftest import Client
from tests.world.machine import Machine, PlayedErasing


def test_a_certificate_is_there_while_nobody_can_say_what_is_left(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run's, the latest one by itself, recorded as a read."""
    body: dict[str, Any] = {"kind": "expression", "target": "model:demo-error", "basis": "Art. 17"}
    made = client("compliance").post("/api/erasures", json=body).json()
    store = machine.played.erasures
    asked = store.find(made["id"])
    store.put(msgspec.structs.replace(asked, certificates=("the first\n", "the second\n")))

    async def busy(_: PlayedErasing, parts: Sequence[Portion], waits: Sequence[int]) -> Any:
        raise UnavailableError("Others are being answered.")

    monkeypatch.setattr(PlayedErasing, "left", busy)
    path = f"/api/erasures/{made['id']}"
    reader = client("auditor")
    assert reader.get(path).status_code == 503
    before = len(machine.records("access.query"))
    assert reader.get(f"{path}/certificate").text == "the second\n"
    assert reader.get(f"{path}/certificate?run=1").text == "the first\n"
    assert reader.get(f"{path}/certificate?run=3").status_code == 404
    assert len(machine.records("access.query")) >= before + 3
    assert client("member").get(f"{path}/certificate").status_code == 403


def test_names_of_more_words_than_an_expression_has_are_not_searched(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dry run says so and is on record as any other: no read goes without its record."""
    machine.settle()
    body = {
        "kind": "subject", "target": "caller@example.com", "basis": "Art. 17", "dry_run": True,
    }  # fmt: skip
    asker = client("owner")
    named = asker.post("/api/erasures", json=body).json()["named"]
    assert (named["why"], isinstance(named["records"], int)) == ("", True)
    monkeypatch.setattr(phrases, "MAX_WORDS", 2)
    before = len(machine.records("access.query"))
    answer = asker.post("/api/erasures", json=body)
    assert answer.status_code == 200
    why = "the person's names are more words than one expression may have"
    assert answer.json()["named"] == {
        "expression": "", "records": None, "capped": False, "why": why,
    }  # fmt: skip
    (told,) = machine.records("access.query")[before:]
    assert told["what"]["operation"] == "erasures.plan"
    assert "searched" not in told["what"]
