"""Whatever is put into a question, a cursor, a header, a body or a record stays what it is: data.

Two teams share an installation. Everything here is tried by a member of one of them, who must
learn nothing of the other, whatever is written where; and no answer is ever a 500.
"""

import csv
import html
import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from affidavit.cli import output
from affidavit.console.app import create_app
from affidavit.console.tails import event
from affidavit.errors import ExpressionError
from affidavit.ids import b64u, from_b64u
from affidavit.query.language import parse
from tests.world.machine import Machine

BASE = "http://127.0.0.1:8788"
NOW = "2026-11-23T12:00:00.000000Z"
CANARY = "zanzibarcanary"
"""Stands in everything of the other team, and in nothing else."""
SPLITTING = 'm\n\ndata: {"index": 1}\n\nid: 9\r\nevent: x'
HOSTILE = (
    SPLITTING,
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b]0;owned\x07\x1b[2J",
    '=HYPERLINK("http://x")',
    "a\u202eb\u2066c",
    "'; DROP TABLE record; --",
)
"""Names of models that callers chose, all of the reader's own team."""


class Site:
    """The installation, and a client that a role's key opens it with."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.client = TestClient(
            create_app(machine.services()), base_url=BASE, raise_server_exceptions=False
        )

    def ask(self, role: str, method: str, path: str, **more: Any) -> Any:
        """One request as a role."""
        self.client.cookies.clear()
        headers = {"authorization": f"Bearer {self.machine.keys[role]}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def query(self, role: str, expression: str, **more: Any) -> Any:
        """One question as a role."""
        return self.ask(role, "POST", "/api/query", json={"expression": expression, **more})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Some records of team support, with hostile names, and some of another team."""
    machine = Machine(tmp_path_factory.mktemp("injection"))
    other, _ = machine.identities.draft(tenant="acme", name=CANARY, team=CANARY)
    machine.identities.put(other)
    for number in range(4):
        machine.exchange("What is a witness?", "Somebody who saw it.", session=f"s{number}")
        machine.exchange(CANARY, CANARY, model=CANARY, session=CANARY, caller=other)
    for name in HOSTILE:
        machine.exchange(name, name, model=name)
    machine.settle()
    made = Site(machine)
    yield made
    made.client.close()
    machine.close()


def check(response: Any, role: str = "member") -> Any:
    """An answer or an error of ours, with nothing of the other team in it.

    What the reader asked before is on record in its own words, and its own to read.
    """
    assert response.status_code in {200, 400, 401, 403, 404, 405, 413}, response.text
    body = response.json()
    if role == "member":
        told = [row for row in body.get("rows", []) if not row["type"].startswith("access.")]
        assert CANARY not in json.dumps(body | {"rows": told}, ensure_ascii=False)
    if response.status_code != 200:
        assert body["error"]["code"] in {"usage", "usage.expression", "usage.parse", "refused",
                                         "not_found", "refused.unauthenticated"}  # fmt: skip
        assert body["error"]["message"]
    return body


# -- expressions ------------------------------------------------------------------------------


SQL = [
    "' OR '1'='1", "x') OR 1=1 --", 'model:"\' OR 1=1 --"', "model:x' UNION SELECT * FROM record--",
    "team:support' OR team:'x", "tenant:acme) OR (1=1", "model:%", "model:_", "model:\\",
    "model:x;DROP TABLE record", "index>=0) OR (1=1", "tokens>0 OR team:*", "-team:support",
    "(team:support OR -team:support) OR tenant:*", "team:* OR tenant:*", "-(-(-team:zz))",
    "NOT team:support OR NOT team:other", "role:* OR -role:*", f"team:{CANARY}",
    f"model:{CANARY} OR model:*", f"session:{CANARY}", f"-model:{CANARY}", "values:model",
    "has:unattributed OR type:*", "id:* OR index>=0",
]  # fmt: skip


@pytest.mark.parametrize("expression", SQL)
@pytest.mark.parametrize("view", ["records", "exchanges"])
def test_no_expression_reaches_around_the_boundary(site: Site, expression: str, view: str) -> None:
    """SQL, negations and ORs: rows of the own team or an error, never one of another team."""
    body = check(site.query("member", expression, view=view, limit=1000, purpose="a test"))
    for row in body.get("rows", []):
        assert (row["tenant"], row["team"]) == ("acme", "support")
    if body.get("code") == "refused":  # it asks for what only whole chains tell
        assert "values:" in body["detail"]
    elif "error" in body:
        assert 0 <= body["error"]["position"] <= len(expression)


def test_the_other_team_is_there_to_be_found(site: Site) -> None:
    """What these tests look for in vain is there for the owner: they can fail."""
    assert CANARY in site.query("owner", "-team:support").text
    assert CANARY in site.ask("owner", "GET", "/api/completion?expression=model:").text


FTS = [
    '"a" OR "b"', '"witness" NEAR "saw"', "NEAR(witness saw, 2)", "passage:witness",
    "{passage} : witness", "-passage:witness", "^witness", "wit* AND nes*", '"witness"^2',
    '"wit\\"ness"', '"""', '"\\"', "wit\x00ness", '"\x00"', "rowid:1", "rank MATCH 'x'", "+witness",
    "witness NOT saw", "(witness", "*", '"*"', '"""*', "a" * 4000, '"' + "a b " * 900 + '"',
    " ".join(["w"] * 120), "\ud7ff\ue000 w", "\U0010ffff", "w\u0301itness", "ｗｉｔｎｅｓｓ",
    f'"{CANARY}"', f"{CANARY} OR witness", "zanzi*", f'-"{CANARY}"',
]  # fmt: skip


@pytest.mark.parametrize("expression", FTS, ids=lambda text: repr(text[:20]))
def test_full_text_syntax_is_words(site: Site, expression: str) -> None:
    """Column filters, NEAR, quotes, NULs, boosts: each is looked for as text, or is an error."""
    body = check(site.query("member", expression, purpose="a test", view="records"))
    for row in body.get("rows", []):
        assert row["team"] == "support"


def test_a_column_filter_finds_nothing_a_word_would_not(site: Site) -> None:
    """``passage : witness`` in quotes is these words, which nobody said; the word is found."""
    asked = {"purpose": "a test"}
    assert site.query("member", "witness", **asked).json()["count"] > 0
    for expression in ('"passage : witness"', '"witness OR nobody"', '"NEAR(witness saw)"'):
        assert site.query("member", expression, **asked).json()["count"] == 0


@given(
    text=st.text(max_size=60)
    | st.text("model:team\"*()-<>=\\ OR AND NOT@'%_0d\x00\n", max_size=60)
    | st.lists(st.sampled_from([*SQL, *FTS[:20]]), max_size=3).map(" ".join)
)
@settings(max_examples=150, deadline=None)
def test_any_string_is_answered_within_the_boundary_or_explained(site: Site, text: str) -> None:
    """A property: rows of the own team, a refusal, or an error with a place inside the text."""
    response = site.query("member", text, purpose="a test")
    body = check(response)
    if response.status_code == 200:
        assert {row["team"] for row in body["rows"]} <= {"support"}
    elif body["error"]["code"] == "usage.expression":
        assert 0 <= body["error"]["position"] <= len(text)
    else:  # what takes too long, or is outside the boundary
        assert body["error"]["code"] in {"refused", "usage"}


@given(text=st.text(max_size=60), place=st.integers(-1, 70))
@settings(max_examples=75, deadline=None)
def test_any_string_is_completed_within_the_boundary(site: Site, text: str, place: int) -> None:
    """The same of completion, at any place."""
    asked = {"expression": text, "position": place}
    body = check(site.ask("member", "GET", "/api/completion", params=asked))
    if "suggestions" in body:
        assert body["end"] == place
        assert all(one["text"].isprintable() for one in body["suggestions"])
    else:
        assert not 0 <= place <= len(text)


def test_a_lone_surrogate_is_an_error_and_no_failure(site: Site) -> None:
    """JSON can spell what is no text; such a question is refused or finds nothing."""
    for expression in (r"\ud800", r"model:\udfff", r"\"\ud800 x\""):
        body = f'{{"expression": "{expression}", "purpose": "a test"}}'.encode()
        response = site.ask("member", "POST", "/api/query", content=body,
                            headers={"content-type": "application/json"})  # fmt: skip
        assert not check(response).get("rows")


# -- cursors ----------------------------------------------------------------------------------


def _cursor(site: Site, role: str, expression: str = "type:exchange.*", **more: Any) -> str:
    cursor: str = site.query(role, expression, limit=1, view="records", **more).json()["cursor"]
    assert cursor
    return cursor


def _forged(cursor: str) -> Iterator[str]:
    own, dot, began = cursor.partition(".")
    raw = from_b64u(own)
    for place in range(len(raw)):
        yield b64u(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]) + dot + began
        yield b64u(raw[:place]) + dot + began
    yield b64u((1 << 40).to_bytes(8, "big") + raw[8:]) + dot + began
    yield b64u(raw + b"\x00") + dot + began
    yield own + dot + f"{int(began, 16) + 1:x}"
    yield from ("x", ".", own, f"{own}.", f".{began}", f"{own}.{began}.{began}", own[:-1], "\x00",
                "' OR 1=1", "a" * 1024, "é" * 500)  # fmt: skip


def test_a_cursor_that_was_changed_in_any_byte_is_refused(site: Site) -> None:
    """Each byte flipped, each length, another place, another time, and what is no cursor at all."""
    expression = "since:9000d type:exchange.*"
    cursor = _cursor(site, "member", expression)
    good = site.query("member", expression, cursor=cursor, view="records")
    assert good.status_code == 200
    site.machine.clock.advance(5)
    for forged in _forged(cursor):
        if forged == cursor:
            continue
        response = site.query("member", expression, cursor=forged, view="records")
        assert response.status_code == 400, forged
        assert check(response)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("role", "expression"),
    [("owner", "type:exchange.*"), ("auditor", "type:exchange.*"), ("responder", "type:exchange.*"),
     ("member", "type:exchange.request"), ("member", "-type:exchange.response")],
)  # fmt: skip
def test_a_cursor_of_another_reader_or_question_is_refused(
    site: Site, role: str, expression: str
) -> None:
    """It is bound to the question and the boundary, so a place learnt elsewhere leads nowhere."""
    cursor = _cursor(site, role, expression)
    response = site.query("member", "type:exchange.*", cursor=cursor, view="records")
    assert response.status_code == 400
    assert check(response)["error"]["message"].startswith("The cursor does not belong")


# -- saved queries ----------------------------------------------------------------------------


@pytest.mark.parametrize("expression", [*SQL, f'"{CANARY}" -team:support'])
def test_a_saved_query_carries_nobodys_boundary(site: Site, expression: str) -> None:
    """What the owner saves for all is answered to a member as if the member had typed it."""
    try:
        parse(expression, NOW)
    except ExpressionError:
        refused = site.ask("owner", "PUT", "/api/saved/x", json={"expression": expression})
        assert check(refused, "owner")["error"]["code"] == "usage.expression"
        return
    body = {"expression": expression, "scope": "tenant"}
    assert site.ask("owner", "PUT", "/api/saved/x", json=body).status_code == 200
    words = site.ask("member", "GET", "/api/saved/x").json()["expression"]
    found = site.query("member", words, purpose="a test", view="records", limit=1000)
    assert {row["team"] for row in found.json().get("rows", [])} <= {"support"}
    if CANARY not in expression:
        check(found)


@pytest.mark.parametrize(
    "name", ["../keys", "..%2fkeys", "x/y", "%00", "x%0d%0aset-cookie:a=b", "@x", "", "x'--", "é"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_names_of_saved_queries_are_no_paths(site: Site, name: str, method: str) -> None:
    """Nothing but the saved queries answers, and no line is added to an answer's head."""
    body = {"expression": "model:x"} if method == "PUT" else None
    response = site.ask("member", method, f"/api/saved/{name}", json=body)
    assert "set-cookie" not in response.headers
    if method != "GET" or name:
        assert check(response)["error"]["code"] in {"usage", "not_found", "refused"}


# -- headers, bodies, paths -------------------------------------------------------------------


VALUES = [b"\xff\xfe", b"a" * 60_000, b"Bearer ", b"Bearer \xc3\x28", b"Bearer a\x00b",
          b"Basic dXNlcjpwYXNz", b"bearer aff_x, Bearer aff_y", "Bearer ключ".encode()]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:16]))
def test_header_values_are_no_keys(site: Site, value: bytes) -> None:
    """Bytes that are no text, NULs, sixty thousand letters: unauthenticated, not a failure."""
    for name in ("authorization", "affidavit-key", "x-api-key"):
        response = site.client.get("/api/status", headers=[(name.encode(), value)])
        assert check(response)["error"]["code"] == "refused.unauthenticated"


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x=y", b"\xff" * 10, b"a" * 60_000, b"\x00"])
def test_header_values_that_are_recorded_stay_values(site: Site, value: bytes) -> None:
    """What a client calls itself is kept as text of a bounded length; no head is split by it."""
    token = f"Bearer {site.machine.keys['responder']}".encode()
    headers = [(b"authorization", token), (b"user-agent", value), (b"last-event-id", value[:20])]
    response = site.client.post("/api/query", json={"expression": "model:x"}, headers=headers)
    assert check(response, "responder")["rows"] == []
    assert "set-cookie" not in response.headers
    told = site.machine.records("access.query")[-1]["person"]["user_agent"]
    assert len(told) <= 500
    assert json.loads(json.dumps(told)) == told


BODIES = [
    b'{"expression":"model:x","expression":"type:*"}',
    b'{"expression":"x","purpose":"a","purpose":""}',
    b"[" * 100_000, b'{"expression":' * 2_000, b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"expression":"x","limit":1e999}', b'{"expression":"x","limit":' + b"9" * 5_000 + b"}",
    b'{"expression":"x","limit":NaN}', b'{"expression":"x","limit":Infinity}',
    b'{"expression":"x","limit":-1}', b'{"expression":"x","limit":1.5}', b'{"expression":NaN}',
    b'{"expression":"x","limit":"50; DROP TABLE record"}', b'{"expression":["x"]}',
    b'{"expression":"x","view":"exchanges\\u0000"}', b'{"expression":"x","boundary":{"rows":{}}}',
    b'{"expression":"x","__class__":"x"}', b"\xff\xfe\x00", b"", b"null", b"[]", b'"x"', b"{}x",
    b'\xef\xbb\xbf{"expression":"x"}', b"{'expression':'x'}",
    b'{"expression":"x"}{"expression":"y"}', b'{"expression":"x","expression":"x"}',
    '{"expression":"x"}'.encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
@pytest.mark.parametrize("path", ["/api/query", "/api/export", "/api/reveal"])
def test_a_body_that_two_parsers_read_differently_is_refused(
    site: Site, body: bytes, path: str
) -> None:
    """Twice the same key, numbers out of range, NaN, depth, fields nobody knows: a usage error."""
    headers = {"content-type": "application/json"}
    response = site.ask("member", "POST", path, content=body, headers=headers)
    assert response.status_code == 400
    assert check(response)["error"]["code"].startswith("usage")


def test_every_route_with_a_body_reads_it_strictly(site: Site) -> None:
    """A key twice is no JSON for any of them, whatever fields they have: none was forgotten."""
    paths = site.client.get("/api/openapi.json").json()["paths"]
    asked = [
        (method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    assert len(asked) > 4
    headers = {"content-type": "application/json"}
    for method, path in asked:
        one = path.replace("{", "x").replace("}", "x")
        response = site.ask("owner", method, one, content=b'{"x":1,"x":1}', headers=headers)
        assert response.status_code == 400, (method, path)
        assert "JSON decode error" in response.text, (method, path)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "a/b\x01"])
def test_a_body_of_another_kind_is_refused(site: Site, kind: str) -> None:
    """What a form of another site can send is no question."""
    headers = {"content-type": kind}
    body = b'{"expression":"x"}'
    response = site.ask("member", "POST", "/api/query", content=body, headers=headers)
    assert check(response)["error"]["code"] == "usage"


NAMES = ["../../etc/passwd", "..%2f..%2fkeys%2fowner", "%00", "a%0d%0ax:y", "#0", "%230",
         "%23" + "9" * 30, "-1", "0x10", "1e3", "%F0%9F%92%A9", "%ff", "'%20OR%201=1--",
         "a" * 5_000, CANARY, f"{CANARY}/..", "%2e%2e", "*", "ses_*"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:24])
def test_path_parameters_are_names(site: Site, name: str) -> None:
    """A path, a NUL, a wildcard, the other team's session: nothing is found, for a member."""
    response = site.ask("member", "GET", f"/api/show/{name}")
    body = check(response) if CANARY not in name else response.json()
    assert response.status_code in {404, 400}, body
    response = site.ask("member", "DELETE", f"/api/keys/{name}")
    assert response.status_code in {403, 404, 405}
    response = site.ask("owner", "DELETE", f"/api/keys/{name}")
    assert response.status_code in {404, 405, 307}


@pytest.mark.parametrize("index", range(2, 9))
def test_places_of_the_other_team_are_not_to_be_told_from_nothing(site: Site, index: int) -> None:
    """By index or by id: another team's record and no record have the same answer."""
    row = site.query("owner", f"index={index}", view="records").json()["rows"][0]
    nothing = site.ask("member", "GET", "/api/show/%239999").json()
    for name in (f"#{index}", row["id"]):
        response = site.ask("member", "GET", f"/api/show/{quote(name, safe='')}")
        if row["team"] == CANARY:
            assert response.json() == nothing
        else:
            assert response.status_code == 200


# -- output -----------------------------------------------------------------------------------


def test_no_value_ends_a_server_sent_event(site: Site) -> None:
    """A row is one ``data`` line, whatever its values hold; an event is what we sent."""
    rows = site.query("member", "type:exchange.*", view="records", limit=1000).json()["rows"]
    assert any(row["model"] == SPLITTING for row in rows)

    text = "".join(event(row) for row in [*rows, None])
    events = [one for one in text.split("\n\n") if one and not one.startswith(":")]
    assert len(events) == len(rows)
    for one, row in zip(events, rows, strict=True):
        first, second = one.split("\n")
        assert first == f"id: {row['index']}"
        assert json.loads(second.removeprefix("data: ")) == row
    assert not set("\r\x0b\x0c\x85\u2028\u2029") & set(text)


def test_no_value_reaches_a_terminal_as_it_is(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """People see escapes instead of control characters; ``--json`` is ASCII, one object a line."""
    rows = site.query("member", "type:exchange.*", purpose="a test", limit=1000).json()["rows"]
    output._console.cache_clear()
    for row in rows:
        output.exchange(row)
    shown = capsys.readouterr().out
    assert "owned" in shown
    for row in rows:
        output.json_line(row)
    lines = capsys.readouterr().out.splitlines()
    output._console.cache_clear()
    assert not set("\x1b\x07\r\x00\u202e\u2066") & set(shown + "".join(lines))
    assert [json.loads(line) for line in lines] == rows
    assert all(line.isascii() for line in lines)


def test_no_value_becomes_markup(site: Site) -> None:
    """The page shows a tag that a model is named after, and has none that a record brought."""
    key = {"key": site.machine.keys["member"]}
    site.client.cookies.clear()
    assert site.client.post("/login", data=key).status_code == 200
    for query in ("type:exchange.*", *HOSTILE):
        page = site.client.get("/", params={"q": query, "purpose": "a test"}).text
        assert "<script" not in page
        assert "<img" not in page
        assert CANARY not in page
    page = site.client.get("/", params={"q": "type:exchange.*", "purpose": "a test"}).text
    assert "<script>alert(1)</script>" in html.unescape(page)
    site.client.cookies.clear()


def test_rows_are_no_formulas_of_ours(site: Site) -> None:
    """We write no CSV. What a reader makes of our JSON with the csv module reads back as it was."""
    rows = site.query("member", "type:exchange.*", view="records", limit=1000).json()["rows"]
    sheet = io.StringIO()
    csv.writer(sheet).writerows([[row["model"]] for row in rows])
    back = [line[0] for line in csv.reader(io.StringIO(sheet.getvalue(), newline=""))]
    assert back == [row["model"] for row in rows]
    types = {
        kind
        for operations in site.client.get("/api/openapi.json").json()["paths"].values()
        for operation in operations.values()
        for answer in operation.get("responses", {}).values()
        for kind in answer.get("content", {})
    }
    assert "text/csv" not in types
