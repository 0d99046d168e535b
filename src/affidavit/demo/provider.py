"""The demo model provider: an ordinary HTTP server on loopback, one for both APIs.

Rules: OpenAI and Anthropic share the path ``/v1``; a request with ``anthropic-version``, or to
``/v1/messages``, is the latter's. A key must be there, any will do. ``demo-error`` answers 429 to
everything, a model whose name does not begin with ``demo-`` is 404; a streamed
answer sends one piece every ``pace`` seconds, ``demo-slow`` ten times slower. Nothing is kept.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from affidavit.demo import answers, anthropic, openai, responses
from affidavit.demo.openai import BadRequestError

_SLOWER = 10
_HEADERS = {"x-demo-provider": "not a real provider"}
_BUSY = "The demo-error model is always over its limit."

Handler = Callable[[dict[str, Any]], tuple[dict[str, Any], Iterable[str]]]
"""From a request body to the whole answer and the events of its streamed form."""


def _chat(body: dict[str, Any]) -> tuple[dict[str, Any], Iterable[str]]:
    reply = openai.chat_reply(body)
    options = body.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return openai.chat_whole(reply), openai.chat_stream(reply, usage=usage)


def _response(body: dict[str, Any]) -> tuple[dict[str, Any], Iterable[str]]:
    reply = responses.response_reply(body)
    return responses.response_whole(reply, body), responses.response_stream(reply, body)


def _completion(body: dict[str, Any]) -> tuple[dict[str, Any], Iterable[str]]:
    reply = openai.completion_reply(body)
    return openai.completion_whole(reply), openai.completion_stream(reply)


def _message(body: dict[str, Any]) -> tuple[dict[str, Any], Iterable[str]]:
    reply = anthropic.message_reply(body)
    return anthropic.message_whole(reply), anthropic.message_stream(reply)


_ANSWERS: dict[str, Handler] = {
    "chat/completions": _chat,
    "responses": _response,
    "completions": _completion,
    "embeddings": lambda body: (openai.embeddings(body), ()),
    "messages": _message,
    "messages/count_tokens": lambda body: (anthropic.count_tokens(body), ()),
}


class DemoProvider:
    """The routes of the provider; ``pace`` is seconds between the pieces of a stream."""

    def __init__(self, pace: float) -> None:
        self._pace = pace

    def routes(self) -> list[Route]:
        """Every path the provider answers."""
        answered = [
            Route(f"/v1/{path}", self._answering(handler), methods=["POST"])
            for path, handler in _ANSWERS.items()
        ]
        return [
            *answered,
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{name}", self._model, methods=["GET"]),
            Route("/{rest:path}", self._unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    def _answering(self, handler: Handler) -> Callable[[Request], Any]:
        """Return the endpoint that answers a POST through ``handler``."""

        async def endpoint(request: Request) -> Response:
            refused = _refusal(request)
            if refused is not None:
                return refused
            try:
                body = _object(await request.body())
                if body.get("model") == answers.ERROR_MODEL:
                    return _failure(request, 429, _BUSY)
                model = body.get("model")
                if isinstance(model, str) and model and not model.startswith(answers.PREFIX):
                    return _no_model(request, model)
                whole, events = handler(body)
            except BadRequestError as error:
                return _failure(request, 400, str(error))
            if body.get("stream") is True and events:
                pace = self._pace * (_SLOWER if body["model"] == answers.SLOW_MODEL else 1)
                return StreamingResponse(
                    _paced(events, pace),
                    media_type="text/event-stream",
                    headers=_named(request, whole) | {"cache-control": "no-cache"},
                )
            return JSONResponse(whole, headers=_named(request, whole))

        return endpoint

    async def _models(self, request: Request) -> Response:
        refused = _refusal(request)
        listed = anthropic.models() if _is_anthropic(request) else openai.models()
        return refused or JSONResponse(listed, headers=_named(request, listed))

    async def _model(self, request: Request) -> Response:
        refused = _refusal(request)
        name = request.path_params["name"]
        if refused is None and name not in answers.MODELS:
            refused = _no_model(request, name)
        return refused or JSONResponse(openai.model_object(name), headers=_HEADERS)

    async def _unknown(self, request: Request) -> Response:
        return _failure(request, 404, f"Unknown path {request.url.path}.")


def _object(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``; ``BadRequestError`` if it is none."""
    try:
        body = json.loads(data)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is not text
    except ValueError as error:
        raise BadRequestError("the request is not JSON in UTF-8") from error
    if not isinstance(body, dict):
        raise BadRequestError("the request must be a JSON object")
    return body


async def _paced(events: Iterable[str], pace: float) -> AsyncIterator[str]:
    """Each event after a pause of ``pace`` seconds."""
    for event in events:
        await asyncio.sleep(pace)
        yield event


def _is_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers or request.url.path.startswith("/v1/messages")


def _named(request: Request, value: dict[str, Any]) -> dict[str, str]:
    """The headers of an answer, with the API's own request id."""
    name = "request-id" if _is_anthropic(request) else "x-request-id"
    return _HEADERS | {name: f"req_{answers.digest(value)[:24]}"}


def _refusal(request: Request) -> Response | None:
    """The answer to a request without a key, ``None`` if it has one."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if bearer or request.headers.get("x-api-key"):
        return None
    return _failure(request, 401, "You did not provide an API key.")


_KINDS = {
    400: ("invalid_request_error", "invalid_request_error", None),
    401: ("invalid_request_error", "authentication_error", "invalid_api_key"),
    404: ("invalid_request_error", "not_found_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
}
"""Per status: the type in either API, and OpenAI's code."""


def _no_model(request: Request, name: str) -> Response:
    """As the real ones say that a model is not there."""
    if _is_anthropic(request):
        return _failure(request, 404, f"model: {name}")
    return _failure(request, 404, f"The model '{name}' does not exist.", "model_not_found")


def _failure(request: Request, status: int, message: str, code: str | None = None) -> Response:
    """An error in the shape of the API that was asked; clients are told not to retry."""
    kind, other_kind, usual = _KINDS[status]
    code = code or usual
    headers = _named(request, {"error": message}) | {"x-should-retry": "false"}
    if _is_anthropic(request):
        body = anthropic.error_body(message, other_kind, headers["request-id"])
    else:
        body = openai.error_body(message, kind, code)
    return JSONResponse(body, status, headers=headers)


def create_app(pace: float = 0.02) -> Starlette:
    """Return the provider as an ASGI application."""
    return Starlette(routes=DemoProvider(pace).routes())


def run(host: str, port: int, *, pace: float = 0.02) -> None:
    """Serve the demo provider until the process is told to stop; for a process of its own."""
    uvicorn.run(create_app(pace), host=host, port=port, log_level="warning", server_header=False)
