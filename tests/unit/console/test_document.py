"""The OpenAPI document says what the console does, so that a client can be made of it."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from affidavit.console import problems, shapes, shapes_decided
from affidavit.errors import ExpressionError, LimitedError, UnauthenticatedError
from tests.unit.console.conftest import Client
from tests.world.machine import ANCHORS, Machine


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    """The document as anybody gets it."""
    found: dict[str, Any] = client("").get("/api/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_operation_has_a_name_of_its_own_and_says_what_it_answers(
    document: dict[str, Any],
) -> None:
    """Operation ids are identifiers and unique; each has a success with a described body."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in names)
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert operation["tags"], path
        answered = [a for s, a in operation["responses"].items() if s.startswith("2")]
        assert answered, path
        for answer in answered:
            assert answer["content"], (method, path)


def test_every_operation_describes_its_errors_as_problems(document: dict[str, Any]) -> None:
    """No framework's error shape is left; guarded routes name 401, 403 and 429."""
    text = msgspec.json.encode(document).decode()
    assert "HTTPValidationError" not in text
    shared = document["components"]["responses"]
    for path, _, operation in operations(document):
        answers = operation["responses"]
        problem = answers["default"]["content"]
        assert problem == {
            problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
        if operation["security"]:
            assert {"401", "403", "429", "503"} <= set(answers), path
        for answer in answers.values():
            name = answer.get("$ref", "").rpartition("/")[2]
            assert not name or problems.MEDIA_TYPE in shared[name]["content"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Each $ref of the document is a component of it."""
    text = msgspec.json.encode(document).decode()
    for kind, name in set(re.findall(r'"\$ref":"#/components/(\w+)/(\w+)"', text)):
        assert name in document["components"][kind], name


def test_what_needs_a_key_says_so(document: dict[str, Any]) -> None:
    """Health, metrics and kinds of problems are for all; files of the log mostly; else a key."""
    assert set(document["components"]["securitySchemes"]) == {"bearer", "affidavitKey"}
    for path, _, operation in operations(document):
        if path.startswith(("/api/problems", "/healthz", "/readyz", "/metrics")):
            assert operation["security"] == []
        else:
            assert {"bearer": []} in operation["security"], path
            assert ({} in operation["security"]) == path.startswith("/log")


def test_writes_and_questions_have_an_example(document: dict[str, Any]) -> None:
    """Each body that is posted comes with one that is accepted as it stands."""
    for path, method, operation in operations(document):
        if method in ("post", "put") and "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]
            name = body["schema"]["$ref"].rpartition("/")[2]
            known = document["components"]["schemas"][name]["properties"]
            assert set(body["example"]) <= set(known), path


def decided(client: Client) -> dict[str, Any]:
    """Answers about holds, erasures and second persons: two questions, one granted, one denied."""
    hold = {"expression": "model:none", "matter": "documented", "reason": "a test"}
    erasure = {"kind": "session", "target": "my-session", "basis": "a test", "when_due": True}
    found = {"holds_place": client("owner").post("/api/holds", json=hold)}
    held = f"/api/holds/{found['holds_place'].json()['id']}"
    found |= {
        "holds_release": client("owner").post(f"{held}/release", json={"reason": "a test"}),
        "holds_listing": client("owner").get("/api/holds"),
        "holds_show": client("owner").get(held),
        "erasures_ask": client("owner").post("/api/erasures", json=erasure),
        "erasures_listing": client("owner").get("/api/erasures"),
        "approvals_listing": client("owner").get("/api/approvals"),
        "erasures_retention_run": client("owner").post("/api/retention/run"),
        "erasures_retention_runs": client("owner").get("/api/retention/run"),
    }
    asked = found["erasures_ask"].json()
    found["erasures_show"] = client("owner").get(f"/api/erasures/{asked['id']}")
    deny = f"/api/approvals/{asked['asked']}/deny"
    found["approvals_deny"] = client("owner").post(deny, json={})
    grant = f"/api/approvals/{found['holds_release'].json()['asked']}/grant"
    found["approvals_grant"] = client("compliance").post(grant, json={})
    return found


def test_answers_are_what_the_document_says(client: Client, machine: Machine) -> None:
    """Each kind of answer, from a real console, converts to its type without a leap."""
    machine.anchors = dict(ANCHORS)
    found = decided(client)
    owner = client("owner")
    shown = owner.post("/api/query", json={"expression": "session:my-session"}).json()["rows"][0]
    made = owner.post("/api/keys", json={"name": "documented"})
    found |= {
        "status": owner.get("/api/status"),
        "query": owner.post("/api/query", json={"expression": "model:demo-chat", "prove": True}),
        "query_by_get": owner.get("/api/query", params={"view": "records"}),
        "aggregate": owner.post("/api/aggregate", json={"by": ["model", "day"], "latency": True}),
        "facets": owner.post("/api/facets", json={"expression": "type:exchange.*"}),
        "histogram": owner.post("/api/histogram", json={"interval": "hour"}),
        "show": owner.get("/api/show/my-session"),
        "reveal": owner.post("/api/reveal", json={"id": shown["id"], "reason": "a test"}),
        "diff": owner.post("/api/diff", json={"first": "#1", "second": "#3"}),
        "retention_explain": owner.get("/api/retention/explain/%231"),
        "retention_plan": owner.get("/api/retention/plan"),
        "pivot": owner.get("/api/pivot", params={"value": "demo-chat"}),
        "report": owner.post(
            "/api/records", json={"type": "change.alias", "target": "documented", "after": "x"}
        ),
        "saved_save": owner.put("/api/saved/a-name", json={"expression": "has:error"}),
        "saved_listing": owner.get("/api/saved"),
        "saved_one": owner.get("/api/saved/a-name"),
        "saved_forget": owner.delete("/api/saved/a-name"),
        "keys": owner.get("/api/keys"),
        "create_key": made,
        "revoke_key": owner.delete(f"/api/keys/{made.json()['id']}"),
        "healthz": owner.get("/healthz"),
        "readyz": owner.get("/readyz"),
        "problems": owner.get("/api/problems"),
        "problem_kind": owner.get("/api/problems/not_found"),
    }
    machine.anchors = {}
    assert set(found) == set(shapes.ANSWERS)
    for name, response in found.items():
        assert response.status_code in (200, 201), name
        told, shape = response.json(), shapes.ANSWERS[name]
        msgspec.convert(told, shape, strict=True)
        if shape.__module__ == shapes_decided.__name__:  # nothing of it is left out of the document
            assert set(told) <= {one.name for one in msgspec.structs.fields(shape)}, name


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/holds", {"expression": "model:none", "matter": "dry", "reason": "a test"}),
        ("/api/erasures", {"kind": "session", "target": "my-session", "basis": "a test"}),
    ],
)
def test_a_dry_run_is_answered_as_what_made_nothing(
    client: Client, document: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    """200 and not 201, of a shape that the document has for it; asked in earnest it is 201."""
    operation = document["paths"][path]["post"]
    owner = client("owner")
    dry = owner.post(path, json=body | {"dry_run": True})
    earnest = owner.post(path, json=body | ({"when_due": True} if "basis" in body else {}))
    assert (dry.status_code, earnest.status_code) == (200, 201)
    shape = shapes_decided.PLANS[operation["operationId"]]
    msgspec.convert(dry.json(), shape, strict=True)
    told = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert told == {"$ref": f"#/components/schemas/{shape.__name__}"}


def test_rows_have_the_keys_of_the_document(client: Client, document: dict[str, Any]) -> None:
    """Every key of a row is described, in both views; what is required is there."""
    row = document["components"]["schemas"]["Row"]
    for view in ("exchanges", "records"):
        found = client("auditor").get("/api/query", params={"view": view}).json()["rows"]
        assert found
        for one in found:
            assert set(row["required"]) <= set(one) <= set(row["properties"])


def test_a_problem_keeps_the_members_of_the_standard() -> None:
    """Facts stand beside them and never in their place; the old shape is whole within."""
    error = ExpressionError("No.", hint="Try x.", position=3, status="theirs", title="theirs")
    told = problems.problem(error)
    assert (told["status"], told["title"], told["position"]) == (400, ExpressionError.title, 3)
    assert told["error"] == error.as_json()["error"]
    assert "message" not in told


def test_the_headers_of_a_problem_follow_from_its_kind() -> None:
    """Who is not known learns how to authenticate, who is limited when to come again."""
    assert problems.headers_of(UnauthenticatedError("No.")) == {"www-authenticate": "Bearer"}
    assert problems.headers_of(LimitedError("No.", retry_after=7)) == {"retry-after": "7"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/reveal", "POST"),
        ("/api/query", "GET, POST"),
        ("/api/keys", "GET, POST"),
        ("/api/keys/give-up", "POST"),
        ("/api/show/x/y", "GET"),
        ("/login", "GET, HEAD, POST"),
        ("/show/x", "GET"),
        ("/healthz", "GET, HEAD"),
        ("/api/openapi.json", "GET, HEAD"),
    ],
)
def test_a_wrong_method_says_which_are_right(client: Client, path: str, allowed: str) -> None:
    """RFC 9110, 15.5.6: 405 comes with all methods of the path, not of one of its routes."""
    response = client("owner").put(path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_the_type_of_a_problem_leads_to_its_kind(client: Client) -> None:
    """What stands in an error can be fetched, by anybody; an unknown code is a problem itself."""
    told = client("").get("/api/status").json()
    kind = client("").get(told["type"]).json()
    assert (kind["code"], kind["status"]) == ("refused.unauthenticated", 401)
    assert kind["title"] == told["title"]
    assert client("").get("/api/problems/none.such").status_code == 404
    listed = client("").get("/api/problems").json()["problems"]
    assert [one["code"] for one in listed] == list(problems.kinds())


def test_guards_answer_with_problems_too(client: Client) -> None:
    """What never reaches a route has the same shape."""
    response = client("owner").get("/api/status", headers={"host": "evil.example"})
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    assert (response.json()["status"], response.json()["code"]) == (403, "refused")
