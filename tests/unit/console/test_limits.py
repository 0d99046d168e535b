"""What one reader may ask: bounded per key, told in headers, and no way to lock out others."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from affidavit import config
from affidavit.console.app import create_app, create_socket_app
from affidavit.console.limits import _KEPT, Limits
from affidavit.console.services import ConsoleServices
from affidavit.errors import LimitedError
from tests.unit.console.conftest import BASE
from tests.world.clock import FakeClock
from tests.world.machine import ANCHORS, Machine

SETTINGS = config.Limits(
    reads_per_minute=6, expensive_at_once=1, tails_at_once=2, failed_per_minute=3
)


@pytest.fixture
def services(machine: Machine) -> Iterator[ConsoleServices]:
    """A console with narrow limits."""
    console = machine.config.console.model_copy(update={"limits": SETTINGS})
    before = machine.config
    machine.config = before.model_copy(update={"console": console})
    machine.clock.advance(61)
    yield machine.services()
    machine.config = before


@pytest.fixture
def one(services: ConsoleServices) -> Iterator[TestClient]:
    """A client of that console, without a key."""
    with TestClient(create_app(services), base_url=BASE) as client:
        yield client


def key(machine: Machine, role: str) -> dict[str, str]:
    """The header with a role's key."""
    return {"authorization": f"Bearer {machine.keys[role]}"}


def test_a_minute_of_reads_comes_back_evenly() -> None:
    """As many as configured at once, then one every so many seconds, never more than a minute's."""
    clock = FakeClock()
    limits = Limits(clock, SETTINGS)
    for _ in range(6):
        limits.read("a")
    with pytest.raises(LimitedError) as caught:
        limits.read("a")
    assert caught.value.detail == {"limit": "reads", "retry_after": 10}
    limits.read("b")
    clock.advance(9.5)
    with pytest.raises(LimitedError):
        limits.read("a")
    clock.advance(0.5)
    limits.read("a")
    clock.advance(3600)
    for _ in range(6):
        limits.read("a")
    with pytest.raises(LimitedError):
        limits.read("a")
    assert limits.hit == {"reads": 3}


def test_being_refused_costs_nothing() -> None:
    """Who keeps asking waits no longer than who waits."""
    clock = FakeClock()
    limits = Limits(clock, SETTINGS)
    for _ in range(6):
        limits.read("a")
    for _ in range(50):
        clock.advance(0.1)
        with pytest.raises(LimitedError):
            limits.read("a")
    clock.advance(5.1)
    limits.read("a")


def test_what_is_at_a_time_is_free_again_when_it_ends() -> None:
    """Also when it ends by an error; others are not counted."""
    limits = Limits(FakeClock(), SETTINGS)
    with limits.tail("a"), limits.tail("a"), limits.tail("b"):
        assert limits.tails == 3
        with pytest.raises(LimitedError), limits.tail("a"):
            raise AssertionError
    with pytest.raises(ZeroDivisionError), limits.expensive("a"):
        raise ZeroDivisionError
    with limits.expensive("a"), pytest.raises(LimitedError), limits.expensive("a"):
        raise AssertionError
    with limits.expensive("a"):
        assert limits.tails == 0


def test_memory_is_bounded_however_many_addresses_err() -> None:
    """The least recently used are forgotten."""
    limits = Limits(FakeClock(), SETTINGS)
    for number in range(_KEPT + 500):
        limits.failed(f"198.51.{number // 256}.{number % 256}")
    assert len(limits._failed._left) == _KEPT


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("testclient", "other", False),
    ],
)
def test_addresses_are_counted_by_who_has_them(first: str, second: str, same: bool) -> None:
    """One host has all addresses of an IPv6 /64; of IPv4 it has the one."""
    limits = Limits(FakeClock(), SETTINGS)
    for _ in range(3):
        limits.failed(first)
    if same:
        with pytest.raises(LimitedError):
            limits.failed(second)
    else:
        limits.failed(second)
    assert limits.hit.total() == int(same)


def test_answers_say_what_is_left_and_when_to_come_again(one: TestClient, machine: Machine) -> None:
    """Headers on every answer of a limited route; 429 has Retry-After, shows nothing."""
    headers = key(machine, "auditor")
    left = [
        one.get("/api/query", headers=headers).headers["ratelimit"].split(";")[1] for _ in range(6)
    ]
    assert left == ["r=5", "r=4", "r=3", "r=2", "r=1", "r=0"]
    response = one.get("/api/query", headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (429, "10")
    assert response.headers["ratelimit"] == '"reads";r=0;t=60'
    assert response.headers["ratelimit-policy"] == '"reads";q=6;w=60'
    assert (response.json()["code"], response.json()["retry_after"]) == ("refused.limited", 10)
    assert "rows" not in response.text
    assert one.get("/api/query", headers=key(machine, "owner")).status_code == 200
    assert "ratelimit" not in one.get("/healthz").headers


def test_a_flood_beyond_the_limit_is_recorded_as_floods_are(
    one: TestClient, machine: Machine
) -> None:
    """One record for many refusals, and the next one has their number."""
    before = len(machine.records("access.denied"))
    headers = key(machine, "responder")
    answers = [one.get("/api/query", headers=headers).status_code for _ in range(26)]
    assert answers.count(429) == 20
    machine.clock.advance(61)
    answers = [one.get("/api/query", headers=headers).status_code for _ in range(7)]
    assert answers.count(429) == 1
    told = [record["what"] for record in machine.records("access.denied")[before:]]
    assert [(what["code"], what["repeated_before"]) for what in told] == [
        ("refused.limited", 0),
        ("refused.limited", 19),
    ]


def test_wrong_keys_are_limited_and_right_ones_are_not(one: TestClient, machine: Machine) -> None:
    """From one address: wrong keys end at 429, by header and by form; a right key gets in."""
    wrong = {"authorization": "Bearer aff_wrong"}
    assert [one.get("/api/status", headers=wrong).status_code for _ in range(5)] == [
        401, 401, 401, 429, 429,
    ]  # fmt: skip
    assert one.post("/login", data={"key": "aff_other"}).status_code == 429
    assert one.get("/api/status", headers=key(machine, "owner")).status_code == 200
    login = one.post("/login", data={"key": machine.keys["owner"]}, follow_redirects=False)
    assert login.status_code == 303
    assert one.get("/api/status").status_code == 401  # no key is no wrong key


def test_proofs_and_stories_at_a_time_are_bounded(
    one: TestClient, machine: Machine, services: ConsoleServices
) -> None:
    """With one of the reader's own going on, the next is 429, by API and by page; then it works."""
    headers = key(machine, "owner")
    body = {"expression": "model:demo-chat"}
    one.post("/login", data={"key": machine.keys["owner"]}, follow_redirects=False)
    with services.limits.expensive(machine.identity("owner").id):
        assert one.post("/api/export", json=body, headers=headers).status_code == 429
        asked = body | {"prove": True}
        assert one.post("/api/query", json=asked, headers=headers).status_code == 429
        assert one.get("/?q=model:demo-chat&prove=1").status_code == 429
        assert one.get("/api/show/model:demo-chat", headers=headers).status_code == 429
        machine.clock.advance(61)
    assert one.post("/api/export", json=body, headers=headers).status_code == 200


def test_the_socket_has_limits_of_its_own(services: ConsoleServices, machine: Machine) -> None:
    """The owner's key used up leaves the owner on the machine itself untouched."""
    with TestClient(create_socket_app(services), base_url="http://localhost") as one:
        headers = key(machine, "owner")
        used = [one.get("/api/status", headers=headers).status_code for _ in range(7)]
        assert used[-1] == 429
        assert one.get("/api/status").status_code == 200


def test_a_monitor_that_replays_the_log_is_not_limited(one: TestClient, machine: Machine) -> None:
    """It reads every leaf there is, under few records."""
    machine.settle()
    path = f"/log/tile/entries/000.p/{machine.log.published}"
    headers = key(machine, "monitor")
    assert {one.get(path, headers=headers).status_code for _ in range(20)} == {200}


def test_metrics_count_refusals_and_limits(one: TestClient, machine: Machine) -> None:
    """By code and by limit; open tails, and who vouches for the log, since when."""
    wrong = {"authorization": "Bearer aff_wrong"}
    for _ in range(4):
        one.get("/api/status", headers=wrong)
    machine.anchors = {**ANCHORS, "waits_since": "2026-11-23T12:00:00.000000Z"}
    text = one.get("/metrics").text
    machine.anchors = {}
    assert 'affidavit_console_refusals_total{code="refused.unauthenticated"} 3\n' in text
    assert 'affidavit_console_limits_hit_total{limit="failed"} 1\n' in text
    assert "affidavit_console_tails_open 0\n" in text
    assert 'affidavit_witness_cosigned_leaves{witness="w1"} 9\n' in text
    assert 'affidavit_witness_last_success_seconds{witness="w1"} 1795435140\n' in text
    assert 'affidavit_witness_failing{witness="w1"} 0\n' in text
    assert 'affidavit_witness_alarm{witness="w1"} 0\n' in text
    assert "affidavit_timestamp_leaves 8\n" in text
    assert "affidavit_copy_leaves 7\n" in text
    age = float(text.partition("\naffidavit_timestamp_age_seconds ")[2].partition("\n")[0])
    assert age == machine.clock.monotonic()
    assert f"affidavit_log_waits_seconds {age:.15g}\n" in text


def test_metrics_leave_out_what_is_not_known(one: TestClient, machine: Machine) -> None:
    """No anchors, no figures of them; a sequencer that is away is not a ledger of 0 leaves."""
    assert "affidavit_witness" not in one.get("/metrics").text
    machine.link.away = True
    text = one.get("/metrics").text
    machine.link.away = False
    assert "affidavit_ledger_leaves" not in text
    assert "affidavit_sequencer_up 0\n" in text
