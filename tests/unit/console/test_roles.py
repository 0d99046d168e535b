"""Who may call what: a table with a row for each route, and the router itself beside it."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from starlette.routing import BaseRoute

from affidavit.console import api
from affidavit.console.app import build
from tests.unit.console.conftest import Client
from tests.world.machine import ROLES, Machine

ALL = frozenset({*ROLES, ""})
READERS = ALL - {"caller", "monitor", ""}
OWNER = frozenset({"owner"})
ADMINISTRATION = frozenset({"owner", "administrator"})
WITH_CONTENT = frozenset({"owner", "responder", "auditor", "member", "subject"})
APPROVERS = frozenset({"owner", "responder", "auditor", "compliance"})
PRESERVERS = frozenset({"owner", "compliance"})
NOBODY: frozenset[str] = frozenset()
"""Routes that a key does not open: they want a login of the page."""

TABLE: dict[tuple[str, str], tuple[frozenset[str], str, Any]] = {
    ("GET", "/api/openapi.json"): (ALL, "/api/openapi.json", None),
    ("GET", "/api/status"): (READERS, "/api/status", None),
    ("POST", "/api/query"): (READERS, "/api/query", {"expression": "type:exchange.*"}),
    ("GET", "/api/query"): (READERS, "/api/query?expression=type:exchange.*", None),
    ("GET", "/api/completion"): (READERS, "/api/completion?expression=model:", None),
    ("GET", "/api/saved"): (READERS, "/api/saved", None),
    ("GET", "/api/saved/{name}"): (READERS, "/api/saved/none", None),
    ("PUT", "/api/saved/{name}"): (READERS, "/api/saved/x", {"expression": "model:x"}),
    ("DELETE", "/api/saved/{name}"): (READERS, "/api/saved/none", None),
    ("GET", "/api/show/{name:path}"): (READERS, "/api/show/%231", None),
    ("GET", "/api/tail"): (READERS, "/api/tail?expression=(", None),
    ("POST", "/api/aggregate"): (READERS, "/api/aggregate", {"by": ["day"]}),
    ("POST", "/api/facets"): (READERS, "/api/facets", {"fields": ["type"]}),
    ("POST", "/api/histogram"): (READERS, "/api/histogram", {"interval": "day"}),
    ("POST", "/api/reveal"): (WITH_CONTENT, "/api/reveal", {"id": "#1", "reason": "a test"}),
    ("POST", "/api/diff"): (READERS, "/api/diff", {"first": "#1", "second": "#3"}),
    ("GET", "/api/pivot"): (READERS, "/api/pivot?value=demo-chat", None),
    ("POST", "/api/records"): (
        frozenset({"owner", "caller"}), "/api/records",
        {"type": "change.alias", "target": "made-by-a-test", "after": "other"},
    ),
    ("POST", "/api/export"): (READERS, "/api/export", {"expression": "model:demo-chat"}),
    ("GET", "/api/keys"): (ADMINISTRATION, "/api/keys", None),
    ("POST", "/api/keys"): (ADMINISTRATION, "/api/keys", {"name": "made by a test"}),
    ("DELETE", "/api/keys/{key_id}"): (ADMINISTRATION, "/api/keys/key_nobody", None),
    ("POST", "/api/keys/rotate"): (ADMINISTRATION, "/api/keys/rotate", {}),
    ("POST", "/api/keys/give-up"): (OWNER, "/api/keys/give-up", {}),
    ("GET", "/api/approvals"): (READERS, "/api/approvals", None),
    ("POST", "/api/approvals/{approval}/grant"): (APPROVERS, "/api/approvals/none/grant", {}),
    ("POST", "/api/approvals/{approval}/deny"): (APPROVERS, "/api/approvals/none/deny", {}),
    ("GET", "/api/erasures"): (APPROVERS, "/api/erasures", None),
    ("POST", "/api/erasures"): (
        PRESERVERS, "/api/erasures",
        {"kind": "session", "target": "none", "basis": "a test", "dry_run": True},
    ),
    ("GET", "/api/erasures/{erasure}"): (APPROVERS, "/api/erasures/none", None),
    ("GET", "/api/erasures/{erasure}/certificate"): (
        APPROVERS, "/api/erasures/none/certificate", None,
    ),
    ("GET", "/api/retention/run"): (PRESERVERS, "/api/retention/run", None),
    ("POST", "/api/retention/run"): (PRESERVERS, "/api/retention/run", None),
    ("POST", "/api/subjects/export"): (PRESERVERS | {"subject"}, "/api/subjects/export", {}),
    ("GET", "/api/holds"): (APPROVERS, "/api/holds", None),
    ("POST", "/api/holds"): (
        PRESERVERS, "/api/holds", {"expression": "model:x", "matter": "m", "reason": "a test"},
    ),
    ("GET", "/api/holds/{hold}"): (APPROVERS, "/api/holds/none", None),
    ("POST", "/api/holds/{hold}/release"): (
        PRESERVERS, "/api/holds/none/release", {"reason": "a test"},
    ),
    ("GET", "/api/retention/plan"): (APPROVERS, "/api/retention/plan", None),
    ("GET", "/api/retention/explain/{name:path}"): (READERS, "/api/retention/explain/%231", None),
    ("POST", "/api/break-glass"): (READERS, "/api/break-glass", {"reason": "a test"}),
    ("DELETE", "/api/break-glass"): (READERS, "/api/break-glass", None),
    ("GET", "/api/problems"): (ALL, "/api/problems", None),
    ("GET", "/api/problems/{code}"): (ALL, "/api/problems/not_found", None),
    ("GET", "/healthz"): (ALL, "/healthz", None),
    ("GET", "/readyz"): (ALL, "/readyz", None),
    ("GET", "/metrics"): (ALL, "/metrics", None),
    ("GET", "/log/{path:path}"): (ALL, "/log/checkpoint", None),
    ("GET", "/static/console.css"): (ALL, "/static/console.css", None),
    ("GET", "/"): (NOBODY, "/", None),
    ("GET", "/show/{name:path}"): (NOBODY, "/show/%231", None),
    ("GET", "/pivot"): (NOBODY, "/pivot?value=demo-chat", None),
    ("GET", "/login"): (ALL, "/login", None),
    ("POST", "/login"): (NOBODY, "/login", None),
    ("POST", "/logout"): (NOBODY, "/logout", None),
}  # fmt: skip
"""Method and route → who gets past authentication, and a request that shows it."""

PASSED = {200, 201, 303, 404}
EXPECTED_ELSE = {
    ("GET", "/api/tail"): 400, ("POST", "/login"): 400,
    ("POST", "/api/keys/rotate"): 503,  # asked while the sequencer is away, both
    ("POST", "/api/keys/give-up"): 503,
    ("POST", "/api/break-glass"): 403,  # no boundary that a role gives has a glass
}  # fmt: skip
"""Routes whose harmless request is answered with an error once it is past authentication."""


def flattened(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of every route, those of included routers too."""
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        if inner:
            yield from flattened(inner)
            continue
        for method in getattr(route, "methods", None) or ():
            if method != "HEAD":
                yield method, str(getattr(route, "path", ""))


def test_every_route_has_a_row(machine: Machine) -> None:
    """A route without a row in the table fails here, and so does a row without a route."""
    found = set(flattened(build(machine.services(), trusted=False).routes))
    assert found == set(TABLE)


@pytest.mark.parametrize("role", sorted(ALL))
@pytest.mark.parametrize("route", sorted(TABLE), ids=" ".join)
def test_routes_open_to_their_roles_alone(
    client: Client, machine: Machine, route: tuple[str, str], role: str
) -> None:
    """Each role gets in where the table says so; else 401 without a key and 403 with one."""
    allowed, path, body = TABLE[route]
    machine.link.away = path.endswith(("give-up", "rotate"))
    response = client(role).request(route[0], path, json=body, follow_redirects=False)
    machine.link.away = False
    if role in allowed:
        expected = EXPECTED_ELSE.get(route)
        assert response.status_code == expected if expected else response.status_code in PASSED
    elif allowed is NOBODY:
        assert response.status_code == EXPECTED_ELSE.get(route, 401)
        assert "witness" not in response.text
    else:
        assert response.status_code == (401 if role == "" else 403), response.text
        assert "witness" not in response.text


def test_a_route_that_forgets_its_check_is_noticed(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutants: one route asks nobody what role they have, and one route has no row."""
    monkeypatch.setattr(api, "require_administration", lambda _reader: None)
    with pytest.raises(AssertionError):
        test_routes_open_to_their_roles_alone(client, machine, ("GET", "/api/keys"), "auditor")
    monkeypatch.delitem(TABLE, ("POST", "/api/break-glass"))
    with pytest.raises(AssertionError):
        test_every_route_has_a_row(machine)


@pytest.mark.parametrize("path", ["/log/tile/entries/000", "/log/links/000"])
@pytest.mark.parametrize("role", sorted(ALL))
def test_entries_and_links_are_for_owners_and_monitors(
    client: Client, path: str, role: str
) -> None:
    """What groups leaves is not public: only these two get past."""
    status = client(role).get(path).status_code
    assert status == {"owner": 404, "monitor": 404, "": 401}.get(role, 403)
