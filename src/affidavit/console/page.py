"""The plain status page: health, a search box, recent exchanges, narratives, values.

Rules: server-made HTML without scripts or anything from elsewhere; what records say is text
(``html``). Logging in by key gives a cookie that no other site's page can use (HttpOnly,
SameSite=Strict, and a token in each form); the key itself is not kept and never in an address.
Each view that shows records was recorded first. Not here: content reveals and exports, which
the command line and the API do.
"""

from importlib import resources
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from affidavit.console import stories, views
from affidavit.console.access import Access
from affidavit.console.auth import Authenticator, Sessions, check_csrf
from affidavit.console.login import logged_in, logged_out
from affidavit.console.pivot_api import MAX_VALUE, look_up
from affidavit.console.proofs import Proofs
from affidavit.console.public import figures
from affidavit.console.reads import Ask, Reads, Story
from affidavit.console.saved_api import Saved
from affidavit.console.services import ConsoleServices
from affidavit.errors import (
    AffidavitError,
    ExpressionError,
    RefusedError,
    UnauthenticatedError,
    UsageError,
)

ROWS = 25
RECENT = "type:exchange.*"
"""What is shown before anything was asked."""
_PATHS = ("/", "/login", "/logout", "/pivot")


def is_page(request: Request) -> bool:
    """Whether a request is a person's, who gets HTML also for errors.

    So are those to addresses that are not there, from what asks for HTML, as browsers do.
    """
    path = request.url.path
    browser = "text/html" in request.headers.get("accept", "")
    return path in _PATHS or path.startswith("/show/") or (browser and not path.startswith("/api/"))


def error_page(error: AffidavitError) -> Response:
    """An error as a page; who is not logged in gets the form to do so."""
    if isinstance(error, UnauthenticatedError):
        return HTMLResponse(views.login(error), error.http_status)
    return HTMLResponse(views.failure(error), error.http_status)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a posted form; ``UsageError`` for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise UsageError("A form was expected.")
    try:
        fields = parse_qs((await request.body()).decode("ascii"), max_num_fields=20)
    except ValueError as error:
        raise UsageError("A form was expected.") from error
    return {name: values[0] for name, values in fields.items()}


def router(
    services: ConsoleServices,
    authenticator: Authenticator,
    sessions: Sessions,
    access: Access,
    reads: Reads,
    proofs: Proofs,
) -> APIRouter:
    """Return the routes of the page."""
    routes = APIRouter(include_in_schema=False)
    saved = Saved(services, access)
    style = resources.files("affidavit.console").joinpath("console.css").read_text("utf-8")

    @routes.head("/static/console.css")
    @routes.get("/static/console.css")
    async def css() -> Response:
        headers = {"cache-control": "public, max-age=3600"}
        return Response(style, media_type="text/css", headers=headers)

    @routes.get("/")
    async def home(
        request: Request, q: str = "", cursor: str = "", purpose: str = "", prove: str = ""
    ) -> Response:
        reader, session = authenticator.page(request)
        q = await saved.words(reader, q)
        question = views.Question(q, purpose, bool(prove))
        health = await figures(services)
        try:
            ask = Ask(q or RECENT, ROWS, cursor[:1024], purpose[:500], prove=bool(prove))
            answer = await reads.query(reader, ask)
            if prove:
                answer["proof"] = await proofs.verdict(reader, ask.expression, ask.purpose)
        except ExpressionError as error:
            shown = views.home(reader, session, health, question, error)
            return HTMLResponse(shown, error.http_status)
        except RefusedError as error:
            if not reader.boundary.purpose or purpose.strip():
                raise
            return HTMLResponse(views.home(reader, session, health, question, error))
        return HTMLResponse(views.home(reader, session, health, question, answer))

    @routes.get("/show/{name:path}")
    async def show(
        name: str,
        request: Request,
        purpose: str = "",
        since: str = "",
        until: str = "",
        cursor: str = "",
    ) -> Response:
        reader, session = authenticator.page(request)
        begin, end = (text.partition(" ")[0][:40] for text in (since, until))
        asked = Story(name[:512], purpose[:500], begin, end, cursor[:2048])
        told = await reads.show(reader, asked)
        again = {"name": name, "purpose": asked.purpose, "since": begin, "until": end}
        return HTMLResponse(stories.show(reader, session, told, again))

    @routes.get("/pivot")
    async def value_page(request: Request, value: str = "", purpose: str = "") -> Response:
        reader, session = authenticator.page(request)
        asked = value[:MAX_VALUE]
        told = await look_up(services, access, reader, asked, purpose[:500])
        return HTMLResponse(stories.pivot(reader, session, told, purpose[:500]))

    @routes.head("/login")
    @routes.get("/login")
    async def ask_for_key() -> Response:
        return RedirectResponse("/", 303)  # which has the form for whoever is not logged in

    @routes.post("/login")
    async def login(request: Request) -> Response:
        key = (await _form(request)).get("key", "").strip()
        return await logged_in(request, authenticator.by_key(request, key), access, sessions)

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        _, session = authenticator.page(request)
        check_csrf(session, (await _form(request)).get("csrf", ""))
        return logged_out(request, sessions)

    return routes
