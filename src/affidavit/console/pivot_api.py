"""What a value is, as the API asks for it; recorded like every other question.

Rules: a value that is no name of this program's own is recorded as a keyed digest, since people
paste what identifies others. Not here: where a value is looked for (``query.pivot``).
"""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from affidavit.console import resolve
from affidavit.console.access import Access, recorded_name
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.errors import UsageError
from affidavit.query.pivot import pivot

MAX_VALUE = 512


async def look_up(
    services: ConsoleServices, access: Access, reader: Reader, value: str, purpose: str
) -> dict[str, Any]:
    """Where a value occurs, recorded before it is told; ``UsageError`` for no value."""
    if not value.strip():
        raise UsageError("There is no value to look for.")
    reader.boundary.demand(purpose)
    boundary = reader.boundary._replace(purpose=False)  # it is stated, for all that is asked here
    snapshot = services.snapshot()
    what: dict[str, Any] = {
        "operation": "pivot",
        "name": recorded_name(snapshot, reader.identity.tenant, value),
        "boundary": reader.boundary.as_json(),
    }
    async with access.looking(reader, what, purpose):
        with services.limits.expensive(reader.account):
            found = await services.blocking(
                lambda: pivot(
                    services.searcher,
                    value,
                    boundary,
                    lambda tree: resolve.widened(tree, reader, snapshot),
                )
            )
    if found.places:
        what["rows"] = len(found.places)
        await access.read("access.query", reader, what, purpose)
    else:
        await access.missed("access.query", reader, what, purpose)
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the route of look-ups."""
    routes = APIRouter(prefix="/api")

    @routes.get(
        "/pivot", name="pivot", tags=["read"], summary="What a value is, and where it occurs"
    )
    async def by_value(
        request: Request,
        value: Annotated[str, Query(min_length=1, max_length=MAX_VALUE)],
        purpose: Annotated[str, Query(max_length=500)] = "",
    ) -> dict[str, Any]:
        return await look_up(services, access, authenticator.api(request), value, purpose)

    return routes
