"""Errors as the console answers them: problem details (RFC 9457) around the one shape of ours.

Rules: the media type is ``application/problem+json``; ``type`` is a reference that this console
resolves (``/api/problems/CODE``), ``title`` is the same for all of a code, ``detail`` is the
sentence for a person, ``status`` the status of the answer. Beside them stand ``code``, ``hint``,
``kept`` and the facts of the error as extension members, and ``error``, which is what
``errors.as_json`` gives and stays. A member of RFC 9457 wins over a fact of the same name, which
then stands in ``error`` alone. Not here: errors of the gateway, which are shaped as a provider's
SDK expects them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from affidavit.errors import AffidavitError, NotFoundError

MEDIA_TYPE = "application/problem+json"
PREFIX = "/api/problems/"


def kinds() -> dict[str, type[AffidavitError]]:
    """Every kind of error by its code, in the order of the tree."""
    return {kind.code: kind for kind in _below(AffidavitError)}


def _below(kind: type[AffidavitError]) -> Iterator[type[AffidavitError]]:
    if kind.__module__ == AffidavitError.__module__:
        yield kind
    for child in kind.__subclasses__():
        yield from _below(child)


def problem(error: AffidavitError, status: int | None = None) -> dict[str, Any]:
    """The body of an error that is answered with ``status``, its own if none is given."""
    inner = error.as_json()
    facts = {name: value for name, value in inner["error"].items() if name != "message"}
    return {
        **facts,
        "type": PREFIX + error.code,
        "title": error.title,
        "status": status or error.http_status,
        "detail": error.message,
        "code": error.code,
        **inner,
    }


def respond(
    error: AffidavitError, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to whoever asked: the problem, and the headers that belong to its kind."""
    body = problem(error, status)
    return Response(
        json.dumps(body), body["status"], headers_of(error) | dict(headers or {}), MEDIA_TYPE
    )


def headers_of(error: AffidavitError) -> dict[str, str]:
    """What an answer says in its headers: how to authenticate (RFC 9110, 11.6.1), when to retry."""
    found = {}
    if error.http_status == 401:
        found["www-authenticate"] = "Bearer"
    if "retry_after" in error.detail:
        found["retry-after"] = str(error.detail["retry_after"])
    return found


def _described(kind: type[AffidavitError]) -> dict[str, Any]:
    return {
        "type": PREFIX + kind.code,
        "code": kind.code,
        "title": kind.title,
        "status": kind.http_status,
        "hint": kind.default_hint,
    }


def router() -> APIRouter:
    """Return the routes that ``type`` leads to; public, as they say nothing about this console."""
    routes = APIRouter(prefix="/api/problems", tags=["problems"])

    @routes.head("", include_in_schema=False)
    @routes.get("", summary="Every kind of error")
    async def problems() -> dict[str, Any]:
        return {"problems": [_described(kind) for kind in kinds().values()]}

    @routes.head("/{code}", include_in_schema=False)
    @routes.get("/{code}", summary="What a kind of error means")
    async def problem_kind(code: str) -> dict[str, Any]:
        kind = kinds().get(code)
        if kind is None:
            raise NotFoundError("There is no error of this code.", hint="GET /api/problems")
        return _described(kind)

    return routes
