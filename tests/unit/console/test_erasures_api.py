"""Erasures over HTTP: what may be had of them while a long one goes on."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from affidavit.control.erasures import Portion
from affidavit.errors import UnavailableError
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
