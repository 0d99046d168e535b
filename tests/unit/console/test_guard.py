"""The outermost layer refuses what a browser was tricked into sending."""

import asyncio
import json

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from affidavit.console.app import build, create_app
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


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("audit.example", "https://audit.example", 200),
        ("AUDIT.example:443", "https://audit.example", 200),
        ("127.0.0.1:8788", "https://audit.example", 200),  # a proxy that names its upstream
        ("127.0.0.1:8788", BASE, 200),
        ("audit.example", "http://audit.example", 403),  # the same name, without TLS
        ("audit.example", BASE, 403),
        ("audit.example", "https://audit.example:8443", 403),
        ("127.0.0.1:8788", "https://audit.example.evil.example", 403),
        ("evil.example", "https://audit.example", 403),
    ],
)
def test_behind_a_proxy_the_public_origin_is_ours(
    machine: Machine, host: str, origin: str, status: int
) -> None:
    """It is taken under its name and under loopback ones; others, and its plain twin, are not."""
    routes = build(machine.services(), trusted=True)
    app = Guard(routes, "127.0.0.1", "https://audit.example")
    with TestClient(app, base_url=BASE) as one:
        said = {"host": host, "origin": origin}
        assert one.post("/api/query", json={}, headers=said).status_code == status


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


@pytest.mark.parametrize("host", ["[", "]", "[::1", "[v1.x"])
def test_a_host_that_is_none_is_refused(machine: Machine, host: str) -> None:
    """What no parser takes for a host is the caller's mistake, with and without a key."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.get("/healthz", headers={"host": host})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "usage"


def test_a_length_of_many_digits_is_refused(client: Client) -> None:
    """A length that is no number for the interpreter is too large all the same."""
    response = client("owner").get("/healthz", headers={"content-length": "9" * 5000})
    assert response.status_code == 413


@pytest.mark.parametrize("started", [False, True])
def test_what_nobody_foresaw_ends_in_one_line(
    started: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception from within is a coded 500, or ends the answer begun; nothing is raised."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
        raise OverflowError("a secret")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(failing, "127.0.0.1")(scope, receive, send))
    assert [m["status"] for m in sent if "status" in m] == [200 if started else 500]
    if started:
        assert sent[-1]["more_body"] is True
    else:
        assert json.loads(sent[-1]["body"])["error"]["code"] == "internal"
    said = capsys.readouterr().err
    assert said == "console: OverflowError at an unknown address\n"


def test_a_served_console_logs_no_traceback(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A route that fails raises nothing into the server, which would print it whole."""

    async def fail(*_: object, **__: object) -> None:
        raise KeyError("witness")

    monkeypatch.setattr("affidavit.console.reads.Reads.show", fail)
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        one.headers["authorization"] = f"Bearer {machine.keys['owner']}"
        response = one.get("/api/show/x")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
    assert capsys.readouterr().err == "console: KeyError at /api/show/{name:path}\n"
