"""The outermost layer refuses what a browser was tricked into sending."""

import pytest
from starlette.testclient import TestClient

from affidavit.console.app import create_app
from affidavit.console.guard import HEADERS, Guard
from tests.unit.console.conftest import BASE, Client
from tests.world.machine import Machine


def test_every_answer_carries_the_headers(client: Client) -> None:
    """Pages, JSON, errors and files forbid scripts, frames and sniffing; nothing is stored."""
    for path in ("/", "/api/status", "/nothing", "/log/checkpoint", "/metrics"):
        headers = client("owner").get(path).headers
        for name, value in HEADERS.items():
            if name != "cache-control":
                assert headers[name] == value, (path, name)
    assert client("owner").get("/api/status").headers["cache-control"] == "no-store"
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8788", "127.0.0.1.evil.example"])
def test_other_names_are_refused_on_loopback(client: Client, host: str) -> None:
    """A name that was rebound to loopback does not reach anything."""
    response = client("owner").get("/api/status", headers={"host": host})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "refused"


@pytest.mark.parametrize("host", ["127.0.0.1:8788", "localhost:8788", "[::1]:8788", "LOCALHOST"])
def test_loopback_names_are_accepted(client: Client, host: str) -> None:
    """Every way to write loopback is fine."""
    assert client("owner").get("/api/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_requests_that_another_site_started_are_refused(
    client: Client, headers: dict[str, str]
) -> None:
    """A POST from elsewhere is refused although the key is right."""
    response = client("owner").post("/api/query", json={}, headers=headers)
    assert response.status_code == 403


def test_requests_of_this_origin_are_accepted(client: Client) -> None:
    """The page's own forms pass."""
    headers = {"origin": BASE, "sec-fetch-site": "same-origin"}
    assert client("owner").post("/api/query", json={}, headers=headers).status_code == 200


def test_no_answer_allows_another_origin(client: Client) -> None:
    """There is no CORS: a preflight is answered with nothing that helps."""
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    response = client("").options("/api/query", headers=headers)
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "console.example"])
def test_any_name_is_accepted_on_other_addresses(machine: Machine, host: str) -> None:
    """Who listens for others is reached by names we do not know."""
    app = Guard(create_app(machine.services()), host)
    assert not app._names


@pytest.mark.parametrize("length", ["-1", "x", str((1 << 20) + 1)])
def test_a_length_that_is_wrong_or_too_large_is_refused(client: Client, length: str) -> None:
    """The body is not looked at."""
    response = client("owner").get("/api/status", headers={"content-length": length})
    assert response.status_code == 413


def test_two_hosts_are_refused(machine: Machine) -> None:
    """A request that names two hosts could be read in two ways."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.get("/healthz", headers=[("host", "127.0.0.1"), ("host", "localhost")])
    assert response.status_code == 400
