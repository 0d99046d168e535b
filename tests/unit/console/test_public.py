"""What anybody may fetch: health, metrics, and the log's public files."""

import re

import pytest
from starlette.testclient import TestClient

from affidavit.console.app import create_app
from affidavit.errors import CannotRecordError
from affidavit.ledger.note import Verifier, open_checkpoint
from tests.unit.console.conftest import BASE, Client
from tests.world.machine import Machine


def test_health_is_green_while_recording(client: Client) -> None:
    """A console that can record and has its sequencer is healthy and ready."""
    assert client("").get("/healthz").json() == {"status": "ok"}
    assert client("").get("/readyz").json() == {"status": "ok"}


def test_health_is_red_when_recording_fails(machine: Machine) -> None:
    """A journal that refuses makes health 503 and says why."""
    journal = machine.journal("broken")
    journal.abandon()
    with TestClient(create_app(machine.services(journal)), base_url=BASE) as one:
        journal.refusing = CannotRecordError("The journal does not take the record: disk full.")
        response = one.get("/healthz")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "unavailable.cannot_record"
        assert one.get("/readyz").status_code == 503
        assert "affidavit_recording 0" in one.get("/metrics").text


def test_readiness_needs_the_sequencer(client: Client, machine: Machine) -> None:
    """Without a sequencer the console lives, is not ready, and says what is missing."""
    machine.link.away = True
    try:
        assert client("").get("/healthz").status_code == 200
        response = client("").get("/readyz")
        assert response.status_code == 503
        assert response.json()["sequencer_problem"] == "The sequencer does not answer."
        status = client("owner").get("/api/status")
        assert status.status_code == 200
        assert status.json()["sequencer"] is False
        assert "affidavit_sequencer_up 0" in client("").get("/metrics").text
    finally:
        machine.link.away = False


def test_metrics_are_in_the_format_and_name_nobody(client: Client) -> None:
    """Each line is a comment or a sample; no tenant, model or actor is in it."""
    client("owner").get("/api/query")
    response = client("").get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    sample = re.compile(r'[a-z_]+(\{kind="[a-z]+"\})? [0-9]+')
    lines = response.text.splitlines()
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert 'affidavit_console_reads_total{kind="query"}' in response.text
    assert "affidavit_ledger_leaves" in response.text
    for name in ("acme", "demo-chat", "act_"):
        assert name not in response.text


def test_the_checkpoint_is_the_signed_note(client: Client, machine: Machine) -> None:
    """The served checkpoint verifies under the served key."""
    response = client("").get("/log/checkpoint")
    assert response.headers["cache-control"] == "no-cache"
    (machine.root / "log" / "log.vkey").write_text(machine.log.vkey + "\n")
    vkey = client("").get("/log/log.vkey").text.strip()
    checkpoint = open_checkpoint(response.content, Verifier.from_vkey(vkey))
    assert checkpoint.size == machine.log.published


def test_hash_tiles_are_public_and_entries_are_not(client: Client, machine: Machine) -> None:
    """A partial hash tile is served as it is on disk; entry bundles need an owner, on record."""
    machine.settle()
    size = machine.log.published
    name = f"000.p/{size}"
    tile = client("").get(f"/log/tile/0/{name}")
    assert tile.status_code == 200
    assert len(tile.content) == 32 * size
    assert client("").get(f"/log/tile/entries/{name}").status_code == 401
    entries = client("owner").get(f"/log/tile/entries/{name}")
    assert entries.status_code == 200
    assert entries.headers["cache-control"] == "no-store"
    told = machine.records("access.query")[-1]["what"]
    assert told["operation"] == "log.entries"


@pytest.mark.parametrize(
    "path",
    [
        "../keys/kek", "..%2Fkek", "tile/0/../../../kek", "tile/0/000/", "tile/100/000",
        "tile/0/1000", "tile/0/x001", "tile/0/000.p/0000", "staging", "", "%2e%2e/kek",
        "tile/0/\u0660\u0660\u0660", "checkpoint/", "tile/0/000%0A",
    ],
)  # fmt: skip
def test_no_path_leads_elsewhere(client: Client, path: str) -> None:
    """Only the names of the format are served; whatever climbs or guesses gets 404."""
    response = client("owner").get(f"/log/{path}")
    assert response.status_code == 404
