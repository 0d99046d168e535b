"""What anybody may fetch: health, metrics, checkpoint, key and hash tiles (C2SP tlog-tiles).

Rules: nothing here names a person, a model or a tenant. Full tiles never change and may be
cached for a year; the checkpoint is asked for again each time. Entry bundles and links are not
public: they are served to an owner, each time with a record. Not here: writing the files
(``ledger.tiles``).
"""

import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from affidavit import __version__
from affidavit.console.access import Access
from affidavit.console.auth import Authenticator, require_owner
from affidavit.console.services import ConsoleServices
from affidavit.errors import NotFoundError, UnavailableError

_NUMBER = r"(?:x\d{3}/){0,6}\d{3}(?:\.p/\d{1,3})?"
_TILE = re.compile(rf"tile/\d{{1,2}}/{_NUMBER}\Z", re.ASCII)
_GUARDED = re.compile(rf"(?:tile/entries|links)/{_NUMBER}\Z", re.ASCII)
_FILES = {"checkpoint": "text/plain; charset=utf-8", "log.vkey": "text/plain; charset=utf-8"}


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


def _gauge(name: str, help_text: str, value: int) -> str:
    return f"# HELP {name} {help_text}\n# TYPE {name} gauge\n{name} {value}\n"


def _metrics(services: ConsoleServices, found: dict[str, Any]) -> str:
    """The figures in Prometheus' text format 0.0.4."""
    recording, up = int(found["recording"]), int(found["sequencer"])
    lines = [
        _gauge("affidavit_recording", "1 if the console can record reads.", recording),
        _gauge("affidavit_sequencer_up", "1 if the sequencer answers.", up),
    ]
    gauges = {
        "size": ("affidavit_ledger_leaves", "Leaves in the ledger."),
        "published": ("affidavit_ledger_published_leaves", "Leaves under the checkpoint."),
        "indexed": ("affidavit_index_leaves", "Leaves the index has taken in."),
        "backlog_bytes": ("affidavit_journal_backlog_bytes", "Journal bytes not yet removed."),
    }
    for key, (name, help_text) in gauges.items():
        if isinstance(found.get(key), int):
            lines.append(_gauge(name, help_text, found[key]))
    if isinstance(found.get("trouble"), dict):
        name, help_text = "affidavit_journals_in_trouble", "Journals that need a person."
        lines.append(_gauge(name, help_text, len(found["trouble"])))
    name = "affidavit_console_reads_total"
    lines.append(f"# HELP {name} Reads on record, and refusals, by kind.\n# TYPE {name} counter\n")
    lines += [
        f'{name}{{kind="{kind}"}} {count}\n' for kind, count in sorted(services.reads.items())
    ]
    return "".join(lines)


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the public routes."""
    routes = APIRouter()

    @routes.get("/healthz", summary="Whether this process runs and can record", tags=["health"])
    async def healthz() -> Response:
        trouble = services.journal.refusing
        if trouble is not None:
            return JSONResponse(trouble.as_json(), trouble.http_status)
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz", summary="Whether the sequencer answers too", tags=["health"])
    async def readyz() -> Response:
        found = await figures(services)
        ready = found["recording"] and found["sequencer"]
        body = {"status": "ok" if ready else "not ready"} | {
            name: found[name] for name in ("recording_problem", "sequencer_problem") if found[name]
        }
        return JSONResponse(body, 200 if ready else 503)

    @routes.get("/metrics", summary="Figures for Prometheus", tags=["health"])
    async def metrics() -> Response:
        text = _metrics(services, await figures(services))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @routes.get("/log/{path:path}", summary="Files of the log (C2SP tlog-tiles)", tags=["log"])
    async def log_file(path: str, request: Request) -> Response:
        cache = "no-cache"
        if _GUARDED.match(path):
            reader = authenticator.api(request)
            require_owner(reader)
            what = {"operation": "log.entries", "url.path": f"/log/{path}"}
            await access.read("access.query", reader, what)
            cache = "no-store"
        elif _TILE.match(path):
            cache = "no-cache" if ".p/" in path else "public, max-age=31536000"
        elif path not in _FILES:
            raise NotFoundError("The log has no file of this name.")
        file = services.data / "log" / path
        if not file.is_file():
            raise NotFoundError("The log has no such file yet.")
        kind = _FILES.get(path, "application/octet-stream")
        return FileResponse(file, media_type=kind, headers={"cache-control": cache})

    return routes
