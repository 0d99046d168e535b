"""Narratives, comparisons and look-ups through API and page: recorded, within boundaries."""

import html
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.console import stories
from affidavit.control.attribution import session_pseudonym
from tests.unit.console.conftest import Client
from tests.unit.console.test_page import browser, check_markup
from tests.world.machine import TENANT, Machine

__all__ = ["browser"]


def last(machine: Machine, kind: str) -> dict[str, Any]:
    """The section ``what`` of the newest record of a type."""
    what: dict[str, Any] = machine.records(kind)[-1]["what"]
    return what


def index_of(client: TestClient, expression: str) -> int:
    """The index of the newest record that matches."""
    asked = {"expression": expression, "view": "records", "limit": 1}
    (row,) = client.post("/api/query", json=asked).json()["rows"]
    index: int = row["index"]
    return index


def test_an_actor_is_shown_by_name_in_pages(client: Client, machine: Machine) -> None:
    """A name that the reader may resolve leads to the pseudonym; what is recorded is no name."""
    owner = client("owner")
    lines: list[dict[str, Any]] = []
    cursor = ""
    while True:
        path = f"/api/show/actor:the%20caller?limit=2&since=2000-01-01&cursor={cursor}"
        told = owner.get(path).json()
        assert told["kind"] == "actor"
        assert len(told["lines"]) <= 2
        lines += told["lines"]
        cursor = told["cursor"]
        if not cursor:
            break
    own = [line for line in lines if not line["beside"]]
    assert {line["actor"] for line in own} == {machine.identity("caller").actor}
    assert len(own) >= 6
    recorded = last(machine, "access.query")
    assert recorded["name"].startswith("hmac:")
    assert recorded["window"].startswith("since:2000-01-01")
    assert client("auditor").get("/api/show/actor:the%20caller").status_code == 404
    assert client("owner").get("/api/show/model:demo-chat?since=soon").status_code == 400
    assert client("owner").get("/api/show/model:demo-chat?since=1d%20x").status_code == 400


def test_a_reveal_stands_in_the_story_of_its_session(client: Client, machine: Machine) -> None:
    """Whoever read a prompt is told beside it."""
    key = machine.snapshot().pseudonym_key(TENANT, "support")
    session = session_pseudonym(key, "my-session")
    index = index_of(client("owner"), f"session:{session} type:exchange.request")
    asked = {"id": f"#{index}", "reason": "incident 4711"}
    assert client("responder").post("/api/reveal", json=asked).status_code == 200
    machine.settle()
    told = client("auditor").get(f"/api/show/{session}").json()["lines"]
    reads = [line for line in told if line["type"] == "access.reveal"][-1:]
    assert [line["beside"] for line in reads] == [True]
    assert f"#{index}" in reads[0]["details"]["of_this_narrative"]
    assert "incident 4711" in reads[0]["text"]


def test_the_page_tells_when_something_happened(client: Client, machine: Machine) -> None:
    """Where that is another time than the ledger's."""
    change = {"type": "change.prompt", "target": "late", "after": "Be kind."}
    at = "2026-11-20T08:00:00.000000Z"
    past = client("owner").post("/api/records", json=change | {"at": at}).json()["id"]
    now = client("owner").post("/api/records", json=change).json()["id"]
    machine.settle()
    browser = client("")
    assert browser.post("/login", data={"key": machine.keys["owner"]}).status_code == 200
    page = browser.get(f"/show/{past}").text
    check_markup(page)
    assert "happened 2026-11-20 08:00:00 UTC, as its source says" in page
    assert "happened" not in browser.get(f"/show/{now}").text


def test_two_exchanges_are_compared(client: Client, machine: Machine) -> None:
    """Facts, then prompt and output word by word; content for a reason, recorded as a reveal."""
    machine.exchange("How tall is the tower?", "300 metres.", model="demo-a")
    machine.exchange("How tall is the tower?", "330 metres.", model="demo-b")
    machine.settle()
    first, second = (index_of(client("owner"), f"model:{name}") for name in ("demo-a", "demo-b"))
    body = {"first": f"#{first}", "second": f"#{second}"}
    withheld = client("responder").post("/api/diff", json=body).json()
    assert [text["content"] for text in withheld["texts"]] == ["withheld", "withheld"]
    assert ("what.gen_ai.request.model", "demo-a", "demo-b") in [
        (fact["name"], fact["first"], fact["second"]) for fact in withheld["facts"]
    ]
    recorded = last(machine, "access.query")
    assert (recorded["operation"], recorded["rows"]) == ("diff", 4)
    told = client("responder").post("/api/diff", json=body | {"purpose": "ticket 7"}).json()
    prompt, output = told["texts"]
    assert (prompt["name"], prompt["same"], prompt["lines"]) == ("prompt", True, [])
    (line,) = output["lines"]
    assert line["op"] == "~"
    assert ["-", "300"] in line["pieces"]
    assert ["+", "330"] in line["pieces"]
    revealed = [one["what"] for one in machine.records("access.reveal")[-2:]]
    assert [one["reason"] for one in revealed] == ["ticket 7"] * 2
    assert [[record["index"] for record in one["records"]] for one in revealed] == [
        [first - 1, first], [second - 1, second],
    ]  # fmt: skip
    assert [one["parts"] for one in revealed[1]["records"]] == [["request.body"], ["response.body"]]
    for index in (first, second):
        lines = client("responder").get(f"/api/show/%23{index}").json()["lines"]
        assert "access.reveal" in [line["type"] for line in lines]
    never = client("compliance").post("/api/diff", json=body | {"purpose": "ticket 7"}).json()
    assert "300 metres" not in str(never)
    assert [text["lines"] for text in never["texts"]] == [[], []]


def test_changes_are_compared(client: Client, machine: Machine) -> None:
    """One with itself: before and after; two: what came after."""
    made = []
    for after in ("Be kind.\nBe brief.", "Be kind.\nBe exact."):
        change = {"type": "change.prompt", "target": "support", "before": "Be.", "after": after}
        made.append(client("owner").post("/api/records", json=change).json()["id"])
    machine.settle()
    owner = client("owner")
    why = {"purpose": "ticket 7"}
    alone = owner.post("/api/diff", json={"first": made[0]} | why).json()
    assert alone["texts"][0]["name"] == "change"
    assert [line["op"] for line in alone["texts"][0]["lines"]].count("+") == 1
    both = owner.post("/api/diff", json={"first": made[0], "second": made[1]} | why).json()
    assert [line["op"] for line in both["texts"][0]["lines"]] == [" ", "~"]
    machine.settle()
    parts = [one["parts"] for one in machine.records("access.reveal")[-1]["what"]["records"]]
    assert parts == [["change.after", "change.before"]]
    never = client("compliance")
    hidden = never.post("/api/diff", json={"first": made[0]} | why).json()
    assert hidden["texts"] == [{"name": "change", "same": None, "content": "withheld", "lines": []}]
    assert "Be kind" not in never.get(f"/api/show/{made[1]}").text
    found = client("owner").post("/api/reveal", json={"id": made[1], "reason": "ticket 7"})
    assert "Be kind" in found.text
    exchange = f"#{index_of(owner, 'type:exchange.request')}"
    for body, status in (
        ({"first": exchange}, 400), ({"first": made[0], "second": exchange}, 400),
        ({"first": "#999999", "second": exchange}, 404), ({"first": "nobody@x.org"}, 404),
    ):  # fmt: skip
        assert owner.post("/api/diff", json=body).status_code == status
    assert "nobody" not in str(machine.records("access.query"))


def test_a_value_is_looked_up(client: Client, machine: Machine) -> None:
    """Field by field, with counts, first and last, and commands; withheld fields are named."""
    machine.settle()
    told = client("owner").get("/api/pivot?value=demo-chat").json()
    (place,) = told["places"]
    assert (place["field"], place["query"]) == ("model", "model:demo-chat")
    asked = {"expression": "model:demo-chat", "view": "records", "limit": 1000}
    rows = client("owner").post("/api/query", json=asked).json()["rows"]
    assert (place["count"], place["last"], place["first"]) == (
        len(rows), rows[0]["index"], rows[-1]["index"],
    )  # fmt: skip
    assert told["commands"][0] == "affidavit show 'model:demo-chat'"
    assert told["withheld"] == []
    auditor = client("auditor").get("/api/pivot?value=caller@example.com").json()
    assert auditor["places"] == []
    assert "email" in auditor["withheld"]


@pytest.mark.parametrize(
    ("value", "fields"),
    [("the caller", {"actor", "name"}), ("192.0.2.7", {"address"}), ("openai", {"provider"}),
     ("support", {"team"}), ("complete", {"status"}), ("429", {"status"}),
     ("nowhere to be found", set())],
)  # fmt: skip
def test_values_of_every_kind(client: Client, value: str, fields: set[str]) -> None:
    """By posting list, by row, by person."""
    told = client("owner").get("/api/pivot", params={"value": value}).json()
    assert {place["field"] for place in told["places"]} >= fields
    assert bool(told["places"]) == bool(fields)


def test_our_own_names_and_digests_are_looked_up(client: Client, machine: Machine) -> None:
    """A caller's session, its pseudonym, an id, an index, the digest of delivered bytes."""
    owner = client("owner")
    key = machine.snapshot().pseudonym_key(TENANT, "support")
    session = session_pseudonym(key, "my-session")
    for value in ("my-session", session):
        places = owner.get("/api/pivot", params={"value": value}).json()["places"]
        assert [place["field"] for place in places] == ["session"], value
        assert places[0]["count"] == 4
    index = index_of(owner, f"session:{session} type:exchange.response")
    revealed = owner.post("/api/reveal", json={"id": f"#{index}", "reason": "a test"}).json()
    half = revealed["records"][-1]
    found = owner.get("/api/pivot", params={"value": half["parts"][0]["digest"]}).json()
    assert [(place["field"], place["last"]) for place in found["places"]] == [
        ("response.body", half["index"])
    ]
    assert found["looked_at"] > 0
    for value in (half["id"], f"#{half['index']}"):
        places = owner.get("/api/pivot", params={"value": value}).json()["places"]
        assert half["index"] in [place["last"] for place in places]
    assert last(machine, "access.query")["operation"] == "pivot"


def test_the_page_leads_from_value_to_value(
    browser: TestClient, machine: Machine, client: Client
) -> None:
    """Links of rows and lines are questions and records, escaped whatever stands in them."""
    evil = "\"><script>alert(1)</script>' OR model:*"
    machine.exchange("Hello", "No.", model=evil, session="evil-session")
    machine.settle()
    home = browser.get("/").text
    check_markup(home)
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', home)]
    asked = [link for link in links if link.startswith("/?q=model")]
    assert asked
    for link in [*asked, "/show/evil-session", "/pivot?value=demo-chat", "/pivot?value=nobody"]:
        page = browser.get(link)
        assert page.status_code == 200, link
        check_markup(page.text)
    assert any("No." in browser.get(link).text for link in asked)
    story = browser.get("/show/model:demo-chat").text
    assert "/?q=actor" in story
    assert "answers" in story


def test_the_page_says_what_is_withheld(browser: TestClient, machine: Machine) -> None:
    """Content that is not shown has its word in each line, and what is beyond its number."""
    browser.post("/login", data={"key": machine.keys["auditor"]})
    page = browser.get("/show/model:demo-chat").text
    assert page.count("content: withheld") >= 4
    assert "Somebody who saw it." not in page
    shown = browser.get("/show/model:demo-chat?purpose=ticket").text
    assert "content: withheld" not in shown
    assert "Somebody who saw it." in shown
    for beyond, said in (
        ({"rows": 10_000, "capped": True}, "Beyond your boundary: at least 10,000 records."),
        ({"rows": 2, "capped": False}, "Beyond your boundary: 2 records."),
    ):
        line = stories._beyond(beyond)
        assert line is not None
        assert said in line


def test_where_nothing_is_found_the_way_out_fits_what_was_asked(client: Client) -> None:
    """A window may have missed it; who sees no persons names pseudonyms."""
    missed = client("owner").get("/api/show/nothing", params={"since": "1h"})
    assert (missed.status_code, missed.json()["hint"][:24]) == (404, "That is for this window:")
    assert "(ses_…, act_…)" in client("auditor").get("/api/show/my-session").json()["hint"]
    for reader, name in (("owner", "nothing"), ("auditor", "%239999"), ("auditor", "ses_x")):
        assert client(reader).get(f"/api/show/{name}").json()["hint"].startswith("Try: ")
