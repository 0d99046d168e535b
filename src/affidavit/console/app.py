"""The console as an ASGI application: routes, errors, and the layer around them.

Rules: every error that leaves has the shape of ``problems`` (or is a page, for people);
refusals are recorded; what nobody foresaw is answered here and logged by the layer around. No
telemetry leaves the process, whatever the environment says. Not here: what the routes do.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from affidavit import __version__
from affidavit.console import (
    api,
    approvals_api,
    completion_api,
    diff_api,
    document,
    erasures_api,
    export_api,
    holds_api,
    keys_api,
    page,
    pivot_api,
    problems,
    public,
    reporting,
    retention_api,
    saved_api,
    subjects_api,
    sums_api,
)
from affidavit.console.access import Access
from affidavit.console.auth import Authenticator, Sessions
from affidavit.console.guard import MAX_BODY, Guard, InternalError
from affidavit.console.proofs import Proofs
from affidavit.console.reads import Reads
from affidavit.console.services import ConsoleServices
from affidavit.errors import AffidavitError, NotFoundError, RefusedError, UsageError

_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)


def create_app(services: ConsoleServices) -> ASGIApp:
    """The console for browsers and programs, on the address of ``config.console``."""
    console = services.config.console
    return Guard(build(services, trusted=False), console.host, console.public_url)


def create_socket_app(services: ConsoleServices) -> ASGIApp:
    """The same for the local socket, where a request without a key is the owner's.

    The socket must be open to the owner's user id alone.
    """
    return Guard(build(services, trusted=True), "")


def build(services: ConsoleServices, *, trusted: bool) -> FastAPI:
    """Return the routes, without the layer around them; for ``create_app`` and tests."""
    app = FastAPI(
        title="Affidavit console",
        version=__version__,
        description="Verifiable records for generative AI: search, show, export, keys.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        max_body_size=MAX_BODY,
        telemetry=_NO_TELEMETRY,
        generate_unique_id_function=document.operation_id,
    )
    access = Access(services)
    sessions = Sessions(services)
    authenticator = Authenticator(services, sessions, trusted=trusted)
    reads = Reads(services, access)
    proofs = Proofs(services, access, reads)
    app.include_router(api.router(services, authenticator, access, reads, proofs))
    app.include_router(completion_api.router(services, authenticator, access))
    app.include_router(keys_api.router(services, authenticator))
    app.include_router(saved_api.router(services, authenticator, access))
    app.include_router(approvals_api.router(services, authenticator, access))
    app.include_router(erasures_api.router(services, authenticator, access))
    app.include_router(holds_api.router(services, authenticator, access))
    app.include_router(sums_api.router(services, authenticator, access, reads))
    app.include_router(export_api.router(authenticator, proofs))
    app.include_router(subjects_api.router(services, authenticator, access, proofs))
    app.include_router(retention_api.router(services, authenticator, access))
    app.include_router(problems.router())
    app.include_router(reporting.router(services, authenticator, access))
    app.include_router(diff_api.router(services, authenticator, access))
    app.include_router(pivot_api.router(services, authenticator, access))
    app.include_router(public.router(services, authenticator, access))
    app.include_router(page.router(services, authenticator, sessions, access, reads, proofs))
    _answer_errors(app, access)
    document.complete(app)
    return app


def _answer_errors(app: FastAPI, access: Access) -> None:
    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AffidavitError)
        if isinstance(error, RefusedError):
            identity = getattr(request.state, "identity", None)
            address = request.client.host if request.client else ""
            # A refusal stands whether or not it can be recorded; health says if it cannot.
            with contextlib.suppress(AffidavitError):
                await access.denied(error, identity, address, request.scope["path"])
        return _respond(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _respond(request, UsageError(_not_understood(error.errors()[0])))

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return _respond(request, NotFoundError("There is nothing at this address."))
        headers = dict(error.headers or {})
        if error.status_code == 405:  # RFC 9110, 15.5.6; the router knows one route of a path only
            headers.pop("Allow", None)
            headers["allow"] = ", ".join(document.methods(app, request.scope))
        return _respond(request, UsageError(f"{error.detail}."), error.status_code, headers)

    async def unforeseen(request: Request, _: Exception) -> Response:
        return _respond(request, InternalError("Something failed that was not foreseen."))

    app.add_exception_handler(AffidavitError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(Exception, unforeseen)


_WORDS = (("Input should be ", "must be "), ("Field required", "is missing"),
          ("Extra inputs are not permitted", "is not known here"),
          ("String should have at least 1 character", "must not be empty"))  # fmt: skip


def _not_understood(first: Mapping[str, Any]) -> str:
    """What is wrong with a request, in our words where there are any: a name, and what it must be.

    ``first``: an error of pydantic's.
    """
    where = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, str))
    told = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] != "json_invalid":
        for theirs, ours in _WORDS:
            if told.startswith(theirs):
                return f"{where or 'The body'} {ours}{told.removeprefix(theirs)}."
    return f"{where or 'The body'}: {told}."


def _respond(
    request: Request,
    error: AffidavitError,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    if page.is_page(request):
        response = page.error_page(error)
        response.status_code = status or response.status_code
        response.headers.update({**problems.headers_of(error), **(headers or {})})
        return response
    return problems.respond(error, status, headers)
