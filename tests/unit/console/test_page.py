"""The status page shows what records say as text, and its session cannot be used by others."""

import html
import re

import pytest
from starlette.testclient import TestClient

from affidavit.console.app import create_app
from affidavit.console.auth import SESSION_COOKIE, SESSION_SECONDS
from affidavit.errors import CorruptError
from tests.unit.console.conftest import BASE, Client
from tests.world.machine import ANCHORS, Machine

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table><iframe src=//evil.example>",
    "javascript:alert(1)",
    "<svg/onload=alert(1)>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "</title><script>x</script>",
    "<!--<script>--><style>*{display:none}</style>",
    "\x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "safe\u202etxt.exe\u2066\u200b\U000e0041",
)
"""What a model or caller may say; none of it may become markup."""

ALLOWED_TAGS = {
    "html", "head", "meta", "title", "link", "body", "header", "a", "span", "form", "input",
    "button", "main", "section", "div", "strong", "p", "h1", "h2", "table", "thead", "tbody",
    "tr", "th", "td", "footer", "ol", "li", "details", "summary", "pre", "code", "label",
}  # fmt: skip


@pytest.fixture
def browser(client: Client, machine: Machine) -> TestClient:
    """A browser on the page, logged in as the owner."""
    one = client("")
    assert one.post("/login", data={"key": machine.keys["owner"]}).status_code == 200
    return one


def csrf(page: str) -> str:
    """The token that stands in the page's forms."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def check_markup(page: str) -> None:
    """Only our own tags, no attribute that runs, no address that leads elsewhere."""
    for tag, attributes in re.findall(r"<([a-zA-Z][a-zA-Z0-9]*)((?:[^>\"]|\"[^\"]*\")*)>", page):
        assert tag in ALLOWED_TAGS, tag
        names = re.findall(r"([a-zA-Z_-]+)=\"", attributes)
        assert not [name for name in names if name.lower().startswith("on")]
        for link in re.findall(r"(?:href|action|src)=\"([^\"]*)\"", attributes):
            assert link.startswith("/"), link
            assert not link.startswith("//")
    assert "\x1b" not in page
    assert not set(page) & set("\u202e\u2066\u200b\U000e0041")


def test_the_first_visit_asks_for_a_key(machine: Machine) -> None:
    """Without a session there is a form, no record, and no word of blame."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.get("/")
    assert response.status_code == 401
    assert 'type="password"' in response.text
    assert "You are not logged in" not in response.text
    check_markup(response.text)


def test_logging_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    machine: Machine,
) -> None:
    """HttpOnly, SameSite=Strict, not the key, gone after eight hours; and it is a record."""
    key = machine.keys["auditor"]
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.post("/login", data={"key": key}, follow_redirects=False)
    cookie = response.headers["set-cookie"]
    assert response.status_code == 303
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Max-Age={int(SESSION_SECONDS)}" in cookie
    assert "Secure" not in cookie  # plain HTTP on loopback
    assert key not in cookie
    told = machine.records("access.login")[-1]
    assert told["who"]["actor"] == machine.identity("auditor").actor


@pytest.mark.parametrize("key", ["", "wrong", "aff_" + "x" * 43])
def test_a_wrong_key_gets_the_form_again(machine: Machine, key: str) -> None:
    """A key that is not known is 401, says so, and sets no cookie."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.post("/login", data={"key": key})
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert 'class="problem"' in response.text


def test_a_caller_key_does_not_log_in(machine: Machine) -> None:
    """A gateway key is refused with the reason."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.post("/login", data={"key": machine.keys["caller"]})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


def test_login_takes_a_form_only(machine: Machine) -> None:
    """JSON, which another site's page could send without asking, is not a login."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        response = one.post("/login", json={"key": machine.keys["owner"]})
    assert response.status_code == 400


def test_home_shows_health_and_recent_exchanges(browser: TestClient, machine: Machine) -> None:
    """The page says whether recording works, how long the ledger is, and what came last."""
    page = browser.get("/").text
    for text in ("Recording", "Sequencer", "leaves", "What is a witness?", "complete 429"):
        assert text in page
    check_markup(page)
    told = machine.records("access.query")[-1]
    assert (told["what"]["operation"], told["what"]["view"]) == ("query", "exchanges")


def test_home_says_whether_others_vouch(
    browser: TestClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own key only, with what to do; or by others, with what is wrong."""
    told = {**ANCHORS, "anchored": False, "anchor_advice": "Configure <witnesses>."}
    monkeypatch.setattr(machine, "anchors", told)
    page = browser.get("/").text
    assert "own key only" in page
    assert "Configure &lt;witnesses&gt;." in page
    away = {"name": "w1", "size": 1, "error": "It is away.", "alarm": False}
    told = {**ANCHORS, "witnesses": [away], "waits_since": "2026-11-23T12:00:00.000000Z"}
    monkeypatch.setattr(machine, "anchors", told)
    page = browser.get("/").text
    assert "by others, too" in page
    assert "It is away.; The checkpoint waits for witnesses since 2026-11-23T12:00:00." in page
    check_markup(page)


def test_a_question_is_answered_and_a_wrong_one_explained(browser: TestClient) -> None:
    """The search box finds; a mistake is explained where it was made, and kept to be mended."""
    assert "Somebody who saw it." in browser.get("/", params={"q": "session:my-session"}).text
    response = browser.get("/", params={"q": "modl:demo"})
    assert response.status_code == 400
    assert "model" in response.text
    assert 'value="modl:demo"' in response.text
    empty = browser.get("/", params={"q": "model:nobody"})
    assert "Nothing matches" in empty.text


def test_a_saved_query_is_asked_by_its_name(client: Client, machine: Machine) -> None:
    """The question then stands there in its words; a name that leads nowhere is said."""
    body = {"expression": "model:demo-chat type:exchange.*"}
    assert client("owner").put("/api/saved/chats", json=body).status_code == 200
    browser = client("")
    assert browser.post("/login", data={"key": machine.keys["owner"]}).status_code == 200
    asked = browser.get("/", params={"q": "@chats"})
    assert asked.status_code == 200
    assert 'value="model:demo-chat type:exchange.*"' in asked.text
    missing = browser.get("/", params={"q": "@nothing"})
    assert missing.status_code == 404
    assert "No saved query of that name is yours or shared with you." in missing.text
    assert browser.get("/", params={"q": '"@chats"'}).status_code == 200


def test_older_exchanges_are_a_link_away(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full page has a link to the next one, which shows other exchanges."""
    monkeypatch.setattr("affidavit.console.page.ROWS", 1)
    page = browser.get("/").text
    link = re.search(r'href="(/\?[^"]*cursor=[^"]*)">Older', page)
    assert link is not None
    older = browser.get(html.unescape(link[1]))
    assert older.status_code == 200
    rows = [re.findall(r'href="(/show/[^"]+)"', text) for text in (page, older.text)]
    assert len(rows[0]) == len(rows[1]) == 1
    assert rows[0] != rows[1]


def test_the_page_says_what_a_role_does_not_see(client: Client, machine: Machine) -> None:
    """An auditor reads on the page which sections are withheld, and finds no name."""
    one = client("")
    one.post("/login", data={"key": machine.keys["auditor"]})
    page = one.get("/").text
    assert "withheld from your role: person" in page
    assert "the caller" not in page


def test_a_form_that_is_none_is_refused(client: Client) -> None:
    """Bytes that are no form are wrong use, not a failure."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"key=\xff", b"&".join(b"a=1" for _ in range(30))):
        assert client("").post("/login", content=body, headers=headers).status_code == 400


def test_show_tells_the_narrative(browser: TestClient) -> None:
    """A session's page has its lines in order with their evidence."""
    page = browser.get("/show/my-session").text
    assert page.index("What is a witness?") < page.index("A witness who counts.")
    assert page.count('class="badge verified"') == 4
    check_markup(page)
    assert browser.get("/show/nothing").status_code == 404


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_of_a_record_becomes_markup(
    browser: TestClient, machine: Machine, payload: str
) -> None:
    """Hostile prompts, outputs, models and sessions are text on every page (G12 and more)."""
    _, response_id = machine.exchange(payload, payload, model=payload, session=payload)
    machine.settle()
    pages = [
        browser.get("/").text,
        browser.get("/", params={"q": payload, "purpose": payload}).text,
        browser.get(f"/show/{response_id}", params={"purpose": payload}).text,
        browser.get("/", params={"cursor": payload}).text,
    ]
    for page in pages:
        check_markup(page)
    shown = html.unescape(pages[2])
    assert payload[:4].strip("\x1b") in shown


def test_logging_out_needs_the_token_of_the_session(browser: TestClient) -> None:
    """A form without the token changes nothing; with it the session is over."""
    page = browser.get("/").text
    assert browser.post("/logout", data={"csrf": "guess"}).status_code == 403
    assert browser.get("/").status_code == 200
    response = browser.post("/logout", data={"csrf": csrf(page)}, follow_redirects=False)
    assert response.status_code == 303
    assert browser.get("/").status_code == 401


def test_a_session_ends_with_its_time(machine: Machine) -> None:
    """After eight hours the cookie opens nothing."""
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        one.post("/login", data={"key": machine.keys["owner"]})
        machine.clock.advance(SESSION_SECONDS + 1)
        assert one.get("/").status_code == 401


def test_a_session_ends_with_its_key(machine: Machine) -> None:
    """Revoking a key ends the logins made with it, at the next request."""
    identity, token = machine.identities.draft(tenant="acme", name="brief", role="auditor")
    machine.identities.put(identity)
    with TestClient(create_app(machine.services()), base_url=BASE) as one:
        one.post("/login", data={"key": token})
        assert one.get("/").status_code == 200
        machine.identities.put(machine.identities.revoked(identity.id))
        assert one.get("/").status_code == 401


def test_the_cookie_opens_the_page_and_not_the_api(browser: TestClient) -> None:
    """The API takes keys; a cookie, which browsers send by themselves, is nothing to it."""
    assert SESSION_COOKIE in browser.cookies
    assert browser.get("/api/status").status_code == 401


def test_the_style_sheet_is_our_own(browser: TestClient) -> None:
    """The one asset comes from here and loads nothing from elsewhere."""
    style = browser.get("/static/console.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_addresses_that_a_person_types_have_a_page(browser: TestClient, client: Client) -> None:
    """/login leads to the form; what is not there is a page for browsers and JSON for programs."""
    for one in (browser, client("")):
        assert one.get("/login", follow_redirects=False).headers["location"] == "/"
    assert "Owner or reader key" in client("").get("/login").text
    accept = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = browser.get("/nothing/here", headers=accept)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at this address." in page.text
    assert browser.get("/nothing/here").json()["error"]["code"] == "not_found"
    assert browser.get("/api/nothing", headers=accept).json()["error"]["code"] == "not_found"


def test_a_proof_is_asked_for_and_shown_in_four_lines(browser: TestClient) -> None:
    """With the box ticked the page ends with the verdict, as everywhere, and is asked as it was."""
    page = browser.get("/", params={"q": "model:demo-chat", "prove": "1"}).text
    check_markup(page)
    verdict = page.partition("<h2>Verdict</h2>")[2]
    names = re.findall(r"<th>([A-Za-z]+)</th><td>", verdict)
    assert names == ["Integrity", "Completeness", "Assurance", "Coverage"]
    assert "all 4 records of model=demo-chat" in html.unescape(verdict)
    assert 'name="prove" value="1" checked' in page
    plain = browser.get("/", params={"q": "model:demo-chat"}).text
    assert "<h2>Verdict</h2>" not in plain
    assert 'name="prove" value="1">' in plain


def test_content_that_is_not_shown_is_said_to_be_there(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Withheld, erased and damaged content each have their word in the list."""
    one = client("")
    assert one.post("/login", data={"key": machine.keys["auditor"]}).status_code == 200
    assert "content: withheld" in one.get("/").text
    assert one.post("/login", data={"key": machine.keys["owner"]}).status_code == 200
    assert "content: " not in one.get("/").text

    def damaged(_: int, tenant: str | None = None) -> None:
        raise CorruptError("Sealed content does not open: it was changed or cut.")

    monkeypatch.setattr(machine.vault_reader, "view", damaged)
    assert "content: corrupt" in one.get("/").text


def test_a_question_that_is_too_long_is_not_cut(browser: TestClient) -> None:
    """A part of a question is another question: it is refused, as everywhere, and not asked."""
    whole = "model:demo-chat" + " " * 4096 + "model:nothing"
    answer = browser.get("/", params={"q": whole})
    assert answer.status_code == 400
    assert "at most 4096 are read" in answer.text
