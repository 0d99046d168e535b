"""Request bodies that have one reading, or none.

Rules: what two parsers could read differently is refused, by the one strict reader there is
(``wire.strict_json``). Not here: which fields there are (the models of the routes refuse others).
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from affidavit.errors import ParseError
from affidavit.wire import strict_json


def loads(body: bytes) -> Any:
    """The value of a JSON text; ``json.JSONDecodeError`` for anything that is not exactly one."""
    try:
        return strict_json.loads(body)
    except ParseError as error:
        raise json.JSONDecodeError(error.message, "", 0) from error


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body by ``loads``."""
        return loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose JSON body is read by ``loads``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, for a request that reads strictly."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict
