"""What anybody may fetch: health, metrics, and the log's public files."""

import re

import pytest
from starlette.testclient import TestClient

from affidavit.console import views
from affidavit.console.app import create_app
from affidavit.errors import CannotRecordError
from affidavit.ledger.note import Verifier, open_checkpoint
from affidavit.ledger.policy import parse_policy
from tests.unit.console.conftest import BASE, Client
from tests.unit.console.test_roles import TABLE
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
    sample = re.compile(r'[a-z_]+(\{(kind|code|limit)="[a-z_.]+"\})? [0-9]+')
    lines = response.text.splitlines()
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert 'affidavit_console_reads_total{kind="query"}' in response.text
    assert "affidavit_ledger_leaves" in response.text
    for name in ("acme", "demo-chat", "act_"):
        assert name not in response.text


def test_what_is_kept_too_long_is_in_metrics_and_on_the_page(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and the age of the oldest; nothing of it where nothing was counted."""
    assert "affidavit_retention" not in client("").get("/metrics").text
    late = {
        "as_of": machine.clock.now(), "problem": "", "due_buckets": 2, "due_records": 1234,
        "overdue_buckets": 1, "overdue_records": 3, "held_records": 5, "unknown_buckets": 4,
        "oldest": "2026-11-23", "damaged_buckets": 6,
    }  # fmt: skip
    monkeypatch.setitem(machine.anchors, "retention", late)
    lines = client("").get("/metrics").text.splitlines()
    assert "affidavit_retention_due_records 1234" in lines
    assert "affidavit_retention_overdue_buckets 1" in lines
    assert "affidavit_retention_held_over_maximum_records 5" in lines
    assert "affidavit_retention_unknown_class_buckets 4" in lines
    assert "affidavit_retention_damaged_buckets 6" in lines
    (age,) = (one for one in lines if one.startswith("affidavit_retention_overdue_oldest_seconds "))
    assert 43_200 <= float(age.rpartition(" ")[2]) < 86_400
    monkeypatch.setitem(machine.anchors, "retention", late | {"oldest": "", "problem": "x"})
    lines = client("").get("/metrics").text.splitlines()
    assert "affidavit_retention_overdue_oldest_seconds 0" in lines
    assert "affidavit_retention_failing 1" in lines
    page = views._kept(late)
    assert "1,234 records over their maximum since 2026-11-23." in str(page)
    assert "4 buckets of classes that are not configured." in str(page)
    assert "6 damaged buckets, which are not counted whole." in str(page)


def test_head_is_answered_where_a_get_leaves_no_record(client: Client, machine: Machine) -> None:
    """RFC 9110, 9.3.2: the same headers; what would be on record is refused and leaves none."""
    answered = {
        "/healthz", "/readyz", "/metrics", "/log/checkpoint", "/static/console.css", "/login",
        "/api/openapi.json", "/api/problems", "/api/problems/{code}", "/api/status",
    }  # fmt: skip
    found = set()
    before = len(machine.records("access.query"))
    for method, route in TABLE:
        if method != "GET":
            continue
        path = TABLE[method, route][1]
        head = client("owner").head(path, follow_redirects=False)
        if head.status_code == 405:
            assert "HEAD" not in head.headers["allow"]
            continue
        found.add(path if route.startswith("/log") else route)
        assert len(machine.records("access.query")) == before
        get = client("owner").get(path, follow_redirects=False)
        assert head.status_code == get.status_code
        assert head.headers.keys() == get.headers.keys()
        assert head.headers.get("content-type") == get.headers.get("content-type")
        assert "HEAD" in client("owner").patch(path).headers["allow"]
    assert found == answered


def test_the_checkpoint_is_the_signed_note(client: Client, machine: Machine) -> None:
    """The served checkpoint verifies under the served key."""
    response = client("").get("/log/checkpoint")
    assert response.headers["cache-control"] == "no-cache"
    (machine.root / "log" / "log.vkey").write_text(machine.log.vkey + "\n")
    vkey = client("").get("/log/log.vkey").text.strip()
    checkpoint = open_checkpoint(response.content, Verifier.from_vkey(vkey))
    assert checkpoint.size == machine.log.published
    policy = parse_policy(client("").get("/log/log.policy").text)
    assert [key.verifier.vkey for key in policy.logs] == [machine.log.vkey]


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


def test_each_file_of_the_log_says_what_it_is_and_how_long_it_keeps(
    client: Client, machine: Machine
) -> None:
    """Full tiles and timestamps for a year, everything that moves not at all; files as they are."""
    log = machine.root / "log"
    year, again = "public, max-age=31536000, immutable", "no-cache"
    text = "text/plain; charset=utf-8"
    files = {
        "cosigned": (b"a note\n", text, again),
        "minimum": (b"512\n", text, again),
        "timestamps/70000.checkpoint": (b"a note\n", text, year),
        "timestamps/70000.tsr": (b"\x30\x03", "application/timestamp-reply", year),
        "tile/0/x001/x234/067": (bytes(8192), "application/octet-stream", year),
        "tile/1/000.p/7": (bytes(224), "application/octet-stream", again),
    }
    for name, (data, kind, cache) in files.items():
        assert client("").get(f"/log/{name}").status_code == 404, name
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(data)
        answer = client("").get(f"/log/{name}")
        assert (answer.status_code, answer.content) == (200, data), name
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == (kind, cache)
        (log / name).unlink()


@pytest.mark.parametrize(
    "path",
    [
        "timestamps/", "timestamps/007.tsr", "timestamps/7.key", "timestamps/-7.tsr",
        "timestamps/7.tsr/", "timestamps/%2e%2e/checkpoint",
        "integrated", "staging/x", "pruning", "pruned/512", "kept/000", "cosigned/", "minimum%00",
        "tile/0/000.p/256", "tile/64/000", "tile/00/000", "tile/entries/x000/001", "links/000.p/0",
    ],
)  # fmt: skip
def test_a_file_that_exists_under_a_wrong_name_is_not_served(
    client: Client, machine: Machine, path: str
) -> None:
    """The spelling of the format or nothing, also for who may read everything."""
    target = machine.root / "log" / path
    exists = not path.endswith("/") and "%" not in path
    if exists:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"secret")
    assert client("owner").get(f"/log/{path}").status_code == 404
    if exists:
        target.unlink()


def test_a_monitor_reads_under_one_record_for_a_while(client: Client, machine: Machine) -> None:
    """From which leaf on and for how long stands in it; the next says what was read before."""
    machine.settle()
    size = machine.log.published
    bundle = client("monitor").get(f"/log/tile/entries/000.p/{size}")
    assert (bundle.status_code, bundle.headers["cache-control"]) == (200, "no-store")
    assert client("monitor").get(f"/log/links/000.p/{size}").status_code == 200
    assert client("monitor").get("/log/tile/entries/001").status_code == 404
    read = [told["what"] for told in machine.records("access.query")]
    read = [what for what in read if "leaves_from" in what]
    assert read == [{"operation": "log.entries", "leaves_from": 0, "seconds": 600.0}]
    machine.clock.advance(600)
    assert client("monitor").get("/log/tile/entries/001").status_code == 404
    assert client("monitor").get(f"/log/links/000.p/{size}").status_code == 200
    told = machine.records("access.query")
    read = [one["what"] for one in told if "leaves_from" in one["what"]][1:]
    before = {"leaves_from": 0, "leaves_before": 512, "files": 3}
    assert [what["leaves_from"] for what in read] == [256, 0]
    assert read[0]["before"] == before
    assert told[-1]["who"]["role"] == "monitor"
    assert told[-1]["who"]["credential"] == machine.identity("monitor").id


def test_a_monitor_whose_read_cannot_be_recorded_reads_nothing(machine: Machine) -> None:
    """Not even what it had read before this process began."""
    journal = machine.journal("full")
    journal.abandon()
    with TestClient(create_app(machine.services(journal)), base_url=BASE) as one:
        one.headers["authorization"] = f"Bearer {machine.keys['monitor']}"
        response = one.get(f"/log/tile/entries/000.p/{machine.log.published}")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "unavailable.cannot_record"


def test_what_was_pruned_is_gone_and_what_is_missing_is_not_found(
    client: Client, machine: Machine
) -> None:
    """tlog-tiles, "Pruning": 410 up to the minimum index, for those who may ask; 404 beyond."""
    (machine.root / "log" / "minimum").write_bytes(b"512\n")
    expected = {
        "tile/0/001": 410, "tile/0/000.p/200": 410, "tile/0/002": 404, "tile/1/x001/000": 404,
        "tile/entries/000": 410, "tile/entries/002": 404, "links/001": 410,
    }  # fmt: skip
    answers = {path: client("owner").get(f"/log/{path}") for path in expected}
    found = {path: answer.status_code for path, answer in answers.items()}
    (machine.root / "log" / "minimum").unlink()
    assert found == expected
    assert {answer.headers["cache-control"] for answer in answers.values()} == {"no-store"}
