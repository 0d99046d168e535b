"""Sessions of the page: their beginning, their end, and whose they are not."""

import dataclasses
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from affidavit.config import Console
from affidavit.console.app import create_app
from affidavit.console.auth import SESSION_COOKIE, SESSION_SECONDS, Sessions
from affidavit.console.services import ConsoleServices
from tests.unit.console.conftest import BASE
from tests.world.machine import Machine


@pytest.fixture
def browser(machine: Machine) -> Iterator[TestClient]:
    """A browser that is not logged in."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        yield one


def log_in(browser: TestClient, key: str) -> str:
    """Log in; returns the cookie's value."""
    response = browser.post("/login", data={"key": key}, follow_redirects=False)
    assert response.status_code == 303
    return response.cookies[SESSION_COOKIE]


def opens(browser: TestClient, cookie: str) -> bool:
    """Whether a cookie opens the page."""
    browser.cookies.clear()
    status = browser.get("/", headers={"cookie": f"{SESSION_COOKIE}={cookie}"}).status_code
    assert status in (200, 401)
    return status == 200


def csrf(browser: TestClient) -> str:
    """The token that stands in the page's forms."""
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/").text)
    assert found is not None
    return found[1]


def test_nobody_chooses_the_cookie_of_a_session(browser: TestClient, machine: Machine) -> None:
    """Fixation: what was planted in the browser before the login opens nothing afterwards."""
    planted = "ses_" + "a" * 43
    browser.cookies.set(SESSION_COOKIE, planted)
    given = log_in(browser, machine.keys["owner"])
    assert given != planted
    assert opens(browser, given)
    assert not opens(browser, planted)


def test_a_login_ends_the_session_before_it(browser: TestClient, machine: Machine) -> None:
    """Each login has a cookie and form tokens of its own; the former ones are over."""
    first = log_in(browser, machine.keys["auditor"])
    token = csrf(browser)
    second = log_in(browser, machine.keys["owner"])
    assert first != second
    assert csrf(browser) != token
    assert browser.post("/logout", data={"csrf": token}).status_code == 403
    assert not opens(browser, first)
    assert opens(browser, second)


def test_a_failed_login_leaves_the_session_as_it_is(browser: TestClient, machine: Machine) -> None:
    """A wrong key, and a key that may not read, change nothing."""
    cookie = log_in(browser, machine.keys["owner"])
    for key in ("aff_wrong", machine.keys["caller"]):
        assert browser.post("/login", data={"key": key}).status_code in (401, 403)
    assert opens(browser, cookie)


def test_logging_out_ends_it_here_and_there(browser: TestClient, machine: Machine) -> None:
    """The cookie is taken away and, for whoever kept it, worthless; twice is 401."""
    cookie = log_in(browser, machine.keys["owner"])
    form = {"csrf": csrf(browser)}
    response = browser.post("/logout", data=form, follow_redirects=False)
    gone = response.headers["set-cookie"]
    assert (response.status_code, "Max-Age=0" in gone) == (303, True)
    assert not opens(browser, cookie)
    headers = {"cookie": f"{SESSION_COOKIE}={cookie}"}
    assert browser.post("/logout", data=form, headers=headers).status_code == 401


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "wrong"}])
def test_logging_out_needs_the_token_of_the_form(
    browser: TestClient, machine: Machine, form: dict[str, str]
) -> None:
    """Not even that can be done to somebody by a page that cannot read ours."""
    cookie = log_in(browser, machine.keys["owner"])
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.post("/logout", data=form, headers=kind).status_code == 403
    assert opens(browser, cookie)


def test_a_session_ends_by_itself(browser: TestClient, machine: Machine) -> None:
    """After eight hours, however much it is used."""
    cookie = log_in(browser, machine.keys["owner"])
    for _ in range(4):
        machine.clock.advance(SESSION_SECONDS / 4 - 0.25)
        assert opens(browser, cookie)
    machine.clock.advance(1.5)
    assert not opens(browser, cookie)


def test_a_revoked_key_ends_its_sessions(browser: TestClient, machine: Machine) -> None:
    """All of them, at the next request, and no others."""
    identity, key = machine.identities.draft(tenant="acme", name="temp", role="auditor")
    machine.identities.put(identity)
    cookies = []
    for one in (key, key, machine.keys["owner"]):
        browser.cookies.clear()
        cookies.append(log_in(browser, one))
    assert all(opens(browser, cookie) for cookie in cookies)
    machine.identities.put(machine.identities.revoked(identity.id))
    assert [opens(browser, cookie) for cookie in cookies] == [False, False, True]
    browser.cookies.clear()
    assert browser.post("/login", data={"key": key}).status_code == 401


def test_no_key_ends_the_sessions_of_others(machine: Machine) -> None:
    """Of one key the oldest go at 20; those of others stay."""
    sessions = Sessions(machine.services())
    other = sessions.begin(machine.identity("owner"))
    mine = [sessions.begin(machine.identity("auditor")) for _ in range(1500)]
    assert sessions.find(other).identity == machine.identity("owner").id
    assert [sessions.find(one).identity for one in mine[-20:]]
    assert len(sessions._sessions) == 21


def behind(machine: Machine, public: str) -> ConsoleServices:
    """The services of a console that browsers reach at ``public``."""
    services = machine.services()
    console = Console(public_url=public)
    config = services.config.model_copy(update={"console": console})
    return dataclasses.replace(services, config=config)


@pytest.mark.parametrize(
    ("public", "name"),
    [
        ("", SESSION_COOKIE),
        ("http://audit.example", SESSION_COOKIE),
        ("https://audit.example", f"__Host-{SESSION_COOKIE}"),
    ],
)
def test_the_cookie_is_for_this_page_alone(machine: Machine, public: str, name: str) -> None:
    """HttpOnly, SameSite=Strict, for the whole page and no other host; Secure where TLS is.

    Whatever a proxy or somebody else says of the connection in headers.
    """
    key, base = machine.keys["owner"], public or BASE
    said = {"origin": base, "sec-fetch-site": "same-origin", "x-forwarded-proto": "https"}
    app = create_app(behind(machine, public))
    with TestClient(app, base_url=base.replace("https", "http"), headers=said) as one:
        given = one.post("/login", data={"key": key}, follow_redirects=False)
        cookie = given.headers["set-cookie"].partition(";")[0]
        page = one.get("/", headers={"cookie": cookie})
        token = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert token is not None
        gone = one.post(
            "/logout", data={"csrf": token[1]}, headers={"cookie": cookie}, follow_redirects=False
        )
    for response in (given, gone):
        named, *flags = (part.strip() for part in response.headers["set-cookie"].split(";"))
        assert named.startswith(f"{name}=")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(flags)
        assert not [flag for flag in flags if flag.lower().startswith("domain")]
        assert ("Secure" in flags) is public.startswith("https")
    assert key not in given.headers["set-cookie"]


def test_behind_tls_a_cookie_of_another_name_opens_nothing(machine: Machine) -> None:
    """What a neighbour without TLS could plant is not looked at."""
    public = "https://audit.example"
    with TestClient(create_app(behind(machine, public)), base_url="http://audit.example") as one:
        form, said = {"key": machine.keys["owner"]}, {"origin": public}
        given = one.post("/login", data=form, headers=said, follow_redirects=False)
        value = given.headers["set-cookie"].partition(";")[0].partition("=")[2]
        one.cookies.clear()
        plain = one.get("/", headers={"cookie": f"{SESSION_COOKIE}={value}"})
        right = one.get("/", headers={"cookie": f"__Host-{SESSION_COOKIE}={value}"})
    assert (plain.status_code, right.status_code) == (401, 200)
