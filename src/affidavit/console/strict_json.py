"""Request bodies that have one reading, or none.

Rules: UTF-8 without a mark, no key twice, no numbers that are none (NaN, Infinity), no half of a
surrogate pair, which is no character (RFC 8259, 8.2), no nesting the reader cannot follow; what two
parsers could read differently is refused, as on the gateway. Not here: which fields there are (the
models of the routes refuse others).
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute


def loads(body: bytes) -> Any:
    """The value of a JSON text; ``json.JSONDecodeError`` for anything that is not exactly one."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_constant)
        if b"\\u" in body:
            json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate has no encoding
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:  # no characters, too many digits, too deep
        raise json.JSONDecodeError(str(error), "", 0) from error
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


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
