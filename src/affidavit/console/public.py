"""What anybody may fetch: health, metrics, and the log as C2SP tlog-tiles lays it out.

Rules: nothing here names a person, a model or a tenant. A path is served only if it is spelt as
the format spells it, so none leads elsewhere. Full tiles and what belongs to a timestamp never
change and may be cached for a year; everything else is asked for again each time. Entry bundles
and links are not public: they are served to an owner and to monitors, on record (``log_reads``).
Not here: writing the files (``ledger.publish``), the words of ``/metrics`` (``metrics``).
"""

import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from affidavit import __version__
from affidavit.console import metrics, problems
from affidavit.console.access import Access
from affidavit.console.auth import Authenticator
from affidavit.console.log_reads import LogReads
from affidavit.console.services import ConsoleServices
from affidavit.errors import NotFoundError, ParseError, PrunedError, UnavailableError
from affidavit.ledger import tiles
from affidavit.ledger.pruned import PRUNABLE, minimum_of

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_FILES = frozenset({"checkpoint", "cosigned", "minimum", "log.vkey", "log.policy"})
_TIMESTAMP = re.compile(r"timestamps/(?:0|[1-9][0-9]{0,18})\.(checkpoint|tsr)")
_TIMESTAMP_KINDS = {"checkpoint": _TEXT, "tsr": "application/timestamp-reply"}
_GUARDED = frozenset({tiles.ENTRIES, tiles.LINKS})
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


async def figures(services: ConsoleServices) -> dict[str, Any]:
    """State of recording and of the sequencer; never raises."""
    trouble = services.journal.refusing
    found: dict[str, Any] = {
        "version": __version__,
        "recording": trouble is None,
        "recording_problem": trouble.message if trouble else None,
        "sequencer": True,
        "sequencer_problem": None,
    }
    try:
        status = await services.control.call("status", {}, within=2.0)
        found |= status if isinstance(status, dict) else {}
    except UnavailableError as error:
        found |= {"sequencer": False, "sequencer_problem": error.message}
    return found


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the public routes."""
    routes = APIRouter()
    log_reads = LogReads(services, access)

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", summary="Whether this process runs and can record", tags=["health"])
    async def healthz() -> Response:
        trouble = services.journal.refusing
        if trouble is not None:
            return problems.respond(trouble)
        return JSONResponse({"status": "ok"})

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", summary="Whether the sequencer answers too", tags=["health"])
    async def readyz() -> Response:
        found = await figures(services)
        ready = found["recording"] and found["sequencer"]
        body = {"status": "ok" if ready else "not ready"} | {
            name: found[name] for name in ("recording_problem", "sequencer_problem") if found[name]
        }
        return JSONResponse(body, 200 if ready else 503)

    @routes.head("/metrics", include_in_schema=False)
    @routes.get("/metrics", name="metrics", summary="Figures for Prometheus", tags=["health"])
    async def metrics_now() -> Response:
        text = metrics.text(services, await figures(services))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @routes.head("/log/{path:path}", include_in_schema=False)
    @routes.get("/log/{path:path}", summary="Files of the log (C2SP tlog-tiles)", tags=["log"])
    async def log_file(path: str, request: Request) -> Response:
        kind, cache, tile = _served(path)
        if tile is not None and tile.row in _GUARDED:
            await log_reads.record(authenticator.log(request), tile)
            cache = "no-store"
        file = services.data / "log" / path
        data = await services.blocking(lambda: _read(file))
        if data is None and tile is not None and tile.row in PRUNABLE:
            least = minimum_of(services.data / "log")
            if (tile.number + 1) * tiles.WIDTH <= least:
                raise PrunedError(f"The log was pruned: it begins with leaf {least}.")
        if data is None:
            raise NotFoundError("The log has no such file yet.")
        return Response(data, media_type=kind, headers={"cache-control": cache})

    return routes


def _served(path: str) -> tuple[str, str, tiles.TilePath | None]:
    """Media type, caching and tile of a file of the log; ``NotFoundError`` if it is none."""
    if path in _FILES:
        return _TEXT, _ASK_AGAIN, None
    stamp = _TIMESTAMP.fullmatch(path)
    if stamp is not None:
        return _TIMESTAMP_KINDS[stamp[1]], _FOREVER, None
    try:
        tile = tiles.parse_path(path)
    except ParseError as error:
        raise NotFoundError("The log has no file of this name.") from error
    return _BYTES, _FOREVER if tile.width == tiles.WIDTH else _ASK_AGAIN, tile


def _read(file: Path) -> bytes | None:
    """The whole file, or ``None``: a partial tile may go at any moment."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
