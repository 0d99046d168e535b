"""Comparing two records, as the API asks for it; a read of both.

Rules: where content was shown it is an ``access.reveal`` for each of the two, which lists its
records and parts, else one ``access.query``; recorded before anything is shown. Not here: what is
compared (``query.compare``).
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from affidavit.console.access import Access, recorded_name
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.query.compare import Shown, compare


class DiffBody(BaseModel):
    """Two records or exchanges, by id or index; ``second`` left out: a change's before and after.

    ``purpose``: why; content needs it where the boundary says so.
    """

    model_config = ConfigDict(extra="forbid")

    first: str = Field(min_length=1, max_length=200)
    second: str = Field(default="", max_length=200)
    purpose: str = Field(default="", max_length=500)


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the route of comparisons."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)

    async def answer(reader: Reader, body: DiffBody) -> dict[str, Any]:
        boundary, snapshot = reader.boundary, services.snapshot()
        names = [name for name in (body.first, body.second) if name]
        hidden = [recorded_name(snapshot, reader.identity.tenant, name) for name in names]
        what: dict[str, Any] = {
            "operation": "diff",
            "boundary": boundary.as_json(),
        }
        async with access.looking(reader, what | {"name": ", ".join(hidden)}, body.purpose):
            found = await services.blocking(
                lambda: compare(
                    services.searcher, body.first, body.second, boundary, reason=body.purpose
                )
            )
        what |= {"kind": found.kind, "rows": len(found.records)}
        what["name"] = ", ".join(dict.fromkeys((f"#{found.first}", f"#{found.second}")))
        recorded = []
        if any(one.parts for one in found.records):
            for side in sorted({one.of for one in found.records}):
                shown = [one for one in found.records if one.of == side]
                recorded.append(await access.read(
                    "access.reveal", reader, what | _revealed(shown, body.purpose), body.purpose
                ))  # fmt: skip
        else:
            what["records"] = msgspec.to_builtins(found.records)
            recorded.append(await access.read("access.query", reader, what, body.purpose))
        told: dict[str, Any] = msgspec.to_builtins(found)
        return told | {"recorded_as": recorded}

    @routes.post("/diff", tags=["read"], summary="Two records or exchanges side by side")
    async def diff(body: DiffBody, request: Request) -> dict[str, Any]:
        return await answer(authenticator.api(request), body)

    return routes


def _revealed(shown: list[Shown], reason: str) -> dict[str, Any]:
    """What a reveal of one side says, as every reveal does."""
    return {
        "target": {"kind": "record", "name": shown[0].id},
        "reason": reason,
        "records": msgspec.to_builtins(shown),
        "rows": len(shown),
    }
