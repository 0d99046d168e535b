"""``/api/completion``: what could stand next in an expression.

Rules: values from records are a read and recorded before they are given, many together: of one
key and one field the first within a minute is a record, those after it are counted into the next.
What was typed is not recorded. Fields, operators and closed sets of values say nothing of any
record; they are given without one. Not here: what is offered (``query.completion``).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from affidavit.console.access import Access
from affidavit.console.auth import Authenticator
from affidavit.console.services import ConsoleServices
from affidavit.query.completion import complete
from affidavit.query.known import KnownValues
from affidavit.query.language import MAX_LENGTH


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the route of completion."""
    routes = APIRouter(prefix="/api")
    known = KnownValues(services.reader, services.clock.monotonic)

    @routes.get("/completion", tags=["read"], summary="What could stand next in an expression")
    async def completion(
        request: Request,
        expression: Annotated[str, Query(max_length=MAX_LENGTH)] = "",
        position: Annotated[int | None, Query(ge=0, le=MAX_LENGTH)] = None,
    ) -> dict[str, Any]:
        reader = authenticator.api(request)
        boundary = reader.boundary

        found = await services.blocking(
            lambda: complete(
                expression,
                position,
                boundary,
                # Values are a read, which needs a purpose where the boundary asks for one.
                lambda field: () if boundary.purpose else known.of(field, boundary),
            )
        )
        if found.field is not None:
            what = {"operation": "completion", "field": found.field, "boundary": boundary.as_json()}
            count = {"rows": len(found.suggestions)}
            await access.often("access.query", reader, what | count, f"completion {found.field}")
        return {
            "start": found.start,
            "end": found.end,
            "suggestions": [one._asdict() for one in found.suggestions],
        }

    return routes
