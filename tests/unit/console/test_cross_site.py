"""What another site's page can make a browser do here: the complete table of cases.

A browser sends a cookie and says where a request was started; it sends no key that a page of ours
did not give it, since none does. So there are three questions: whether a request gets in, whether
another page could read the answer, and whether anything happened meanwhile.
"""

import itertools

import pytest
from starlette.testclient import TestClient

from affidavit.console.app import create_app
from affidavit.console.auth import SESSION_COOKIE
from tests.unit.console.conftest import BASE, Client
from tests.world.machine import Machine

OWN, FOREIGN = "same", "other"
ORIGINS: dict[str | None, str] = {
    None: OWN,  # no browser, or a GET of its own
    BASE: OWN,
    "null": FOREIGN,  # a sandboxed frame, a file, a redirect across sites
    "https://evil.example": FOREIGN,
    "http://127.0.0.1:9999": FOREIGN,  # another program of this machine
    "http://127.0.0.1": FOREIGN,
    "https://127.0.0.1:8788": FOREIGN,  # another scheme
    "http://localhost:8788": FOREIGN,  # another name of the same address
    f"{BASE}.evil.example": FOREIGN,
    f"{BASE}/": FOREIGN,  # no origin has a path
    BASE.upper(): FOREIGN,  # browsers write it in lower case
    "": FOREIGN,
}
SITES: dict[str | None, str] = {
    None: OWN,
    "same-origin": OWN,
    "none": OWN,  # typed, or a bookmark
    "same-site": FOREIGN,  # another port of this machine
    "cross-site": FOREIGN,
    "": FOREIGN,
    "nonsense": FOREIGN,
}
WRITES = (
    ("POST", "/api/query"), ("POST", "/api/reveal"), ("POST", "/api/export"),
    ("POST", "/api/keys"), ("DELETE", "/api/keys/key_nobody"), ("PUT", "/api/saved/x"),
    ("DELETE", "/api/saved/x"), ("POST", "/api/records"), ("POST", "/login"), ("POST", "/logout"),
    ("PATCH", "/api/keys"), ("TRACE", "/"), ("CONNECT", "/"),
)  # fmt: skip
"""Every way to change or ask something by another method than GET, HEAD and OPTIONS."""
API = (
    ("GET", "/api/status"), ("GET", "/api/query"), ("POST", "/api/query"), ("GET", "/api/show/x"),
    ("GET", "/api/tail"), ("POST", "/api/reveal"), ("POST", "/api/export"), ("GET", "/api/keys"),
    ("POST", "/api/keys"), ("DELETE", "/api/keys/x"), ("GET", "/api/saved"),
    ("POST", "/api/records"), ("GET", "/log/tile/entries/000"),
)  # fmt: skip


def started(origin: str | None, site: str | None) -> dict[str, str]:
    """The headers in which a browser says where a request was started."""
    found = {"origin": origin, "sec-fetch-site": site}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(("origin", "site"), [*itertools.product(ORIGINS, SITES)])
def test_what_asks_or_changes_gets_in_from_here_alone(
    client: Client, machine: Machine, origin: str | None, site: str | None
) -> None:
    """Both headers, where they are there, have to say so; a right key does not help."""
    foreign = FOREIGN in (ORIGINS[origin], SITES[site])
    response = client("owner").post(
        "/api/query", json={"expression": "model:none"}, headers=started(origin, site)
    )
    assert response.status_code == (403 if foreign else 200)
    if foreign:
        assert "another site" in response.json()["detail"]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("headers", [started("https://evil.example", None), started(None, "")])
def test_every_method_that_is_not_safe_is_looked_at(
    client: Client, machine: Machine, method: str, path: str, headers: dict[str, str]
) -> None:
    """Whatever it is called, and whether or not there is such a route; nothing happened."""
    keys = len(machine.identities.all())
    response = client("owner").request(method, path, headers=headers, json={"name": "x"})
    assert response.status_code == 403
    assert len(machine.identities.all()) == keys
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("name", ["origin", "sec-fetch-site"])
def test_of_several_headers_each_counts(client: Client, name: str) -> None:
    """A proxy that adds its own does not hide what the browser said."""
    own, other = (BASE, "https://evil.example") if name == "origin" else ("none", "cross-site")
    for values in ((own, other), (other, own)):
        headers = [(name, value) for value in values]
        key = ("authorization", client("owner").headers["authorization"])
        response = client("").post("/api/query", json={}, headers=[key, *headers])
        assert response.status_code == 403


@pytest.mark.parametrize(("method", "path"), API)
def test_a_session_opens_the_page_and_never_the_api(
    client: Client, machine: Machine, method: str, path: str
) -> None:
    """With the owner's cookie and without a key the API is 401, so no form can act through it."""
    one = client("")
    one.post("/login", data={"key": machine.keys["owner"]}, follow_redirects=False)
    assert one.get("/").status_code == 200
    bodies = {"/api/reveal": {"id": "#1", "reason": "x"}, "/api/keys": {"name": "x"},
              "/api/records": {"type": "change.model", "target": "x"}}  # fmt: skip
    assert one.request(method, path, json=bodies.get(path, {})).status_code == 401


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_that_a_form_could_send_is_no_request(client: Client, kind: str | None) -> None:
    """JSON under a type that needs no preflight, or under none, is not read."""
    headers = {} if kind is None else {"content-type": kind}
    response = client("owner").post("/api/query", content=b'{"expression": ""}', headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize("path", ["/", "/api/status", "/api/query", "/api/tail", "/log/checkpoint"])
@pytest.mark.parametrize("asked", ["GET", "POST", "DELETE"])
def test_a_preflight_is_answered_with_nothing_that_helps(
    client: Client, path: str, asked: str
) -> None:
    """There is no CORS, for nobody, not even for this origin."""
    for origin in ("https://evil.example", "null", BASE):
        headers = {
            "origin": origin,
            "access-control-request-method": asked,
            "access-control-request-headers": "authorization",
            "access-control-request-private-network": "true",
        }
        response = client("").options(path, headers=headers)
        assert response.status_code == 405
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/static/console.css", "/api/status", "/api/openapi.json", "/api/problems",
     "/api/query", "/metrics", "/healthz", "/log/checkpoint", "/nothing", "/api/nothing"],
)  # fmt: skip
def test_no_page_of_another_site_can_read_or_frame_an_answer(client: Client, path: str) -> None:
    """No CORS headers, not a script, an image or a frame elsewhere; whatever the status."""
    for role in ("", "owner"):
        headers = client(role).get(path, headers={"origin": "https://evil.example"}).headers
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"]  # default-src 'none'


def test_a_link_from_elsewhere_shows_and_changes_nothing(machine: Machine) -> None:
    """A browser leaves out the cookie then (SameSite=Strict): it is a first visit."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.get("/?q=has:error", headers=started(None, "cross-site"))
        assert (response.status_code, "set-cookie" in response.headers) == (401, False)
        login = one.post("/login", data={"key": machine.keys["owner"]}, follow_redirects=False)
    assert "samesite=strict" in login.headers["set-cookie"].lower()
    assert login.headers["set-cookie"].startswith(f"{SESSION_COOKIE}=")
