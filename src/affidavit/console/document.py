"""The OpenAPI document, made useful: what is answered, errors included, and how to authenticate.

Rules: whatever holds of every route is said here once, so a new route has it by itself: problems
(``problems``) for each status it may answer with, the headers of limits, the security schemes. The
operation id is the name of the function. Shapes of answers are those of ``shapes``. HEAD is left
out: it is answered where GET leaves no record of a read, and elsewhere refused. Not here: the words
about a route and its parameters, which stand at the route.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from affidavit.console import problems, shapes, shapes_decided
from affidavit.control.saved import NAME
from affidavit.errors import (
    AffidavitError,
    CheckFailedError,
    KeyReusedError,
    LimitedError,
    NotFoundError,
    PrunedError,
    RefusedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UsageError,
)

_PUBLIC = {400: UsageError, 404: NotFoundError, 413: TooLargeError, 500: AffidavitError}
_GUARDED = _PUBLIC | {
    401: UnauthenticatedError,
    403: RefusedError,
    409: CheckFailedError,
    429: LimitedError,
    503: UnavailableError,
}
_ALSO: dict[str, dict[int, type[AffidavitError]]] = {
    "log_file": _GUARDED | {410: PrunedError},
    "healthz": {503: UnavailableError},
    "create_key": {422: KeyReusedError},
    "revoke_key": {422: KeyReusedError},
    "report": {422: KeyReusedError},
    "saved_save": {422: KeyReusedError},
    "saved_forget": {422: KeyReusedError},
    "approvals_grant": {422: KeyReusedError},
    "approvals_deny": {422: KeyReusedError},
    "approvals_break_glass": {422: KeyReusedError},
    "approvals_end_glass": {422: KeyReusedError},
    "erasures_ask": {422: KeyReusedError},
    "holds_place": {422: KeyReusedError},
    "holds_release": {422: KeyReusedError},
}
_PLAIN = frozenset({"", "health", "keys", "log", "problems", "read", "report"})
_FILES = {
    "tail": ("text/event-stream",),
    "metrics": ("text/plain",),
    "log_file": ("application/octet-stream", "text/plain", "application/timestamp-reply"),
    "export": ("application/zip",),
    "subjects_export": ("application/zip",),
    "erasures_certificate": ("text/plain",),
}
"""Answers that are no JSON."""
_METHODS = frozenset({"DELETE", "GET", "HEAD", "POST", "PUT"})
_KEY: list[dict[str, list[str]]] = [{"bearer": []}, {"affidavitKey": []}]
SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of an owner or reader, made with: affidavit keys create",
    },
    "affidavitKey": {
        "type": "apiKey",
        "in": "header",
        "name": "affidavit-key",
        "description": "The same key where Authorization belongs to somebody else.",
    },
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "query": {"expression": "model:gpt-4o since:90d", "limit": 50, "prove": True},
    "aggregate": {"expression": "since:30d", "by": ["team", "day"], "latency": True},
    "facets": {"expression": "has:error since:24h", "fields": ["model", "team"]},
    "histogram": {"expression": "decision:deny since:7d", "interval": "hour"},
    "reveal": {"id": "#1", "reason": "ticket 4711: what was answered"},
    "diff": {"first": "#1", "second": "#2", "purpose": "ticket 4711"},
    "report": {"type": "change.alias", "target": "prod-chat", "before": "gpt-4o", "after": "gpt-5"},
    "export": {"expression": "session:support-17", "content": "digest", "withhold": ["person"]},
    "create_key": {"name": "Alice Doe", "role": "auditor", "kind": "person"},
    "rotate_keys": {"to": "file", "reason": "ticket 4711: once a year"},
    "give_up": {"reason": "handed over to two administrators"},
    "approvals_grant": {"reason": "ticket 4711: agreed"},
    "approvals_deny": {"reason": "ticket 4711: the digest will do"},
    "approvals_break_glass": {"reason": "incident 4711: on call alone"},
    "holds_place": {"expression": "session:support-17", "matter": "Doe v. Acme", "reason": "suit"},
    "subjects_export": {"subject": "alice@example.com", "purpose": "request of 3 May"},
    "erasures_ask": {
        "kind": "session",
        "target": "support-17",
        "basis": "GDPR Art. 17(1)(b)",
        "dry_run": True,
    },
    "holds_release": {"reason": "settled"},
    "saved_save": {"expression": "has:error since:24h", "scope": "team"},
}
_VALUES = {
    ("show", "name"): "#1",
    ("retention_explain", "name"): "#1",
    ("retention_plan", "at"): "90d",
    ("log_file", "path"): "checkpoint",
    ("problem_kind", "code"): "usage.expression",
    ("query_by_get", "expression"): "type:exchange.* since:24h",
}
"""Examples of parameters, by operation and name."""


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which client generators turn into a method.

    Behind the name of its group, unless it is one of those that read or that everybody asks.
    """
    group = str(route.tags[0]) if route.tags else ""
    return route.name if group in _PLAIN else f"{group}_{route.name}"


def complete(app: FastAPI) -> None:
    """Have ``app`` serve the complete document; it is made at the first request for it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=[{"url": "/", "description": "This console"}],
            )
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


def methods(app: FastAPI, scope: Scope) -> list[str]:
    """All methods that the address of a request answers; none if there is no such address.

    The router names those of one route alone; a path that is spelt out wins over one with names.
    """
    route, paths = scope.get("route"), app.openapi()["paths"]
    path = route.path_format if isinstance(route, APIRoute) else ""
    known = {method.upper() for method in paths.get(scope["path"]) or paths.get(path, ())}

    def answers(method: str) -> bool:
        asked = {**scope, "method": method}
        return any(one.matches(asked)[0] is Match.FULL for one in app.routes)

    return sorted(filter(answers, known | {"HEAD"} if known else _METHODS))


def _completed(made: dict[str, Any]) -> dict[str, Any]:
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= shapes.components()
    schemas["Problem"] = _problem_schema()
    made["components"]["securitySchemes"] = SCHEMES
    made["components"]["responses"] = {
        kind.__name__: _problem_answer(kind)
        for kind in dict.fromkeys([*_GUARDED.values(), PrunedError, KeyReusedError])
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            _operation(path, operation)
    return made


def _operation(path: str, operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    is_open = not path.startswith("/api/") or path.startswith("/api/problems")
    operation["security"] = [] if is_open else _KEY
    if name == "log_file":
        operation["security"] = [{}, *_KEY]  # most files are for all
    answers = operation["responses"]
    answers.pop("422", None)
    known: dict[int, type[AffidavitError]] = {**(_PUBLIC if is_open else _GUARDED)}
    known |= _ALSO.get(name, {})
    for status, kind in known.items():
        answers[str(status)] = {"$ref": f"#/components/responses/{kind.__name__}"}
    answers["default"] = {
        "description": "Any other error",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    shape = shapes.ANSWERS.get(name)
    if shape is not None:
        for status in [status for status in answers if status.startswith("2")]:
            of_it = shapes_decided.PLANS.get(name, shape) if status == "200" else shape
            schema = {"$ref": f"#/components/schemas/{of_it.__name__}"}
            answers[status]["content"] = {"application/json": {"schema": schema}}
    if name in _FILES:
        body = {"schema": {"type": "string"}}
        answers["200"]["content"] = dict.fromkeys(_FILES[name], body)
    if name == "readyz":
        answers["503"] = {**answers["200"], "description": "Not ready, and what is missing"}
    for parameter in operation.get("parameters", ()):
        if (name, parameter["name"]) in _VALUES:
            parameter["example"] = _VALUES[name, parameter["name"]]
        if path == "/api/saved/{name}" and parameter["in"] == "path":
            parameter["example"] = "errors-today"
            parameter["schema"] |= {"pattern": f"^{NAME.pattern}$", "maxLength": 64}
    if name in _EXAMPLES:
        operation["requestBody"]["content"]["application/json"]["example"] = _EXAMPLES[name]


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    members: dict[str, Any] = {
        "type": {"type": "string", "format": "uri-reference", "description": "Leads to its kind"},
        "title": text | {"description": "The same for every error of this code"},
        "status": {"type": "integer", "description": "The HTTP status of this answer"},
        "detail": text | {"description": "What happened, in one sentence"},
        "code": text
        | {"description": "Stable from release to release", "enum": [*problems.kinds()]},
        "hint": text | {"description": "What to do"},
        "kept": text | {"description": "What was recorded nevertheless"},
        "retry_after": {"type": "integer", "description": "Seconds until it makes sense again"},
        "position": {"type": "integer", "description": "Where the expression is wrong, from 0"},
        "error": {
            "type": "object",
            "description": "The same as before RFC 9457: code, message, hint, kept and facts",
            "properties": {"code": text, "message": text, "hint": text, "kept": text},
            "required": ["code", "message"],
        },
    }
    return {
        "title": "Problem",
        "type": "object",
        "description": "RFC 9457 problem details; further members are facts of the error.",
        "properties": members,
        "required": ["type", "title", "status", "detail", "code", "error"],
    }


def _problem_answer(kind: type[AffidavitError]) -> dict[str, Any]:
    headers = {}
    if kind is UnauthenticatedError:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    if kind is LimitedError:
        headers["Retry-After"] = {"schema": {"type": "integer"}}
        headers["RateLimit"] = {"schema": {"type": "string"}}
        headers["RateLimit-Policy"] = {"schema": {"type": "string"}}
    detail: dict[str, Any] = {"retry_after": 3} if kind is LimitedError else {}
    error = kind(f"{kind.title}.", **detail)
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {problems.MEDIA_TYPE: {"schema": schema, "example": problems.problem(error)}}
    return {"description": kind.title, "content": content, "headers": headers}
