"""The Anthropic dialect: messages and count_tokens, whole and streamed.

Every other path of the API (batches, files, models of an organisation) is opaque here and
recorded all the same. Input tokens are the sum of uncached, cache-read and cache-write tokens,
see ``facts``; a count_tokens answer is no usage, as nothing was used.
"""

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from affidavit.providers.anthropic_messages import MessagesAccumulator, input_messages
from affidavit.providers.dialect import Accumulator, Headers, StreamReader, document_of
from affidavit.providers.facts import YES, Message, RequestFacts, ResponseFacts
from affidavit.providers.fields import mapping, mappings, name, names, parameters, stop_sequences
from affidavit.providers.opaque import UNREAD, OpaqueAccumulator

_MESSAGES, _COUNT, _MODELS = "messages", "messages.count_tokens", "models"
_ONE_MODEL = re.compile(r"/models/([^/]+)$")
_SESSION_IN_USER = re.compile(r"_session_([0-9a-f-]{36})$")

_PARAMETERS = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
)

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Anthropic:
    """See the module."""

    name = "anthropic"
    parser = "anthropic/1"

    def __init__(self, provider: str = "anthropic") -> None:
        self.provider = provider

    def request(self, method: str, path: str, headers: Headers, body: bytes) -> RequestFacts:
        """Read a request."""
        route = path.partition("?")[0].rstrip("/")
        api, operation = _operation(method, route)
        if api in ("opaque", _MODELS) and not body:
            one = _ONE_MODEL.search(route)
            return RequestFacts(
                dialect=self.name,
                provider=self.provider,
                parser=self.parser,
                api=api,
                operation=operation,
                parsed=YES if api == _MODELS else f"unparsed: {UNREAD}",
                model=name(unquote(one.group(1))) if one else "",
            )
        read = document_of(headers, body)
        document = mapping(read.value)
        problem = read.problem or ("" if document else "not a JSON object")
        if api == "opaque":
            problem = UNREAD
        user = name(mapping(document.get("metadata")).get("user_id"))
        return RequestFacts(
            dialect=self.name,
            provider=self.provider,
            parser=self.parser,
            api=api,
            operation=operation,
            parsed=f"unparsed: {problem}" if problem else YES,
            model=name(document.get("model")),
            stream=document.get("stream") is True,
            parameters=_parameters(document),
            tools_offered=_tools(document),
            end_user=user,
            session=_session(document, user),
            document=document,
        )

    def stream(self, request: RequestFacts, status: int, headers: Headers) -> StreamReader:
        """Return a reader for the response to ``request``."""
        accumulator: Accumulator
        if request.api == _MESSAGES:
            accumulator = MessagesAccumulator()
        else:
            accumulator = OpaqueAccumulator(UNREAD if request.api == "opaque" else "")
        return StreamReader(request, status, headers, accumulator)

    def response(
        self, request: RequestFacts, status: int, headers: Headers, body: bytes
    ) -> ResponseFacts:
        """Read a whole body."""
        reader = self.stream(request, status, headers)
        reader.feed(body)
        return reader.finish()

    def conversation(self, request: RequestFacts, response: ResponseFacts | None) -> list[Message]:
        """Return the messages of the request and then those of the response."""
        known = request.api in (_MESSAGES, _COUNT)
        messages = input_messages(mapping(request.document)) if known else []
        return messages + list(response.messages if response else ())

    def error_body(
        self, status: int, code: str, message: str, hint: str, record_id: str
    ) -> tuple[str, bytes]:
        """An error the official SDK turns into its exception for ``status``."""
        fallback = "api_error" if status >= 500 else "invalid_request_error"
        error = {
            "type": _ERROR_TYPES.get(status, fallback),
            "message": " ".join(text for text in (message, hint) if text),
            "code": code,
        }
        if record_id:
            error["affidavit_record"] = record_id
        return "application/json", msgspec.json.encode({"type": "error", "error": error})


def _operation(method: str, route: str) -> tuple[str, str]:
    if method == "POST" and route.endswith("/messages"):
        return _MESSAGES, "chat"
    if method == "POST" and route.endswith("/messages/count_tokens"):
        return _COUNT, "count_tokens"
    if method == "GET" and (route.endswith("/models") or _ONE_MODEL.search(route)):
        return _MODELS, "models"
    return "opaque", "opaque"


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    found = parameters(document, _PARAMETERS)
    if type(document.get("stream")) is bool:
        found["gen_ai.request.stream"] = document["stream"]
    if document.get("stop_sequences"):
        found["gen_ai.request.stop_sequences"] = stop_sequences(document["stop_sequences"])
    return found


def _tools(document: dict[str, Any]) -> tuple[str, ...]:
    """Names of the tools offered, and of the MCP servers the provider would call."""
    tools = [tool.get("name") or tool.get("type") for tool in mappings(document.get("tools"))]
    servers = [server.get("name") for server in mappings(document.get("mcp_servers"))]
    return names([*tools, *servers])


def _session(document: dict[str, Any], user: str) -> str:
    """The caller's session: a known field, or the end of the user id as coding agents send it."""
    given = name(document.get("litellm_session_id")) or name(
        mapping(document.get("metadata")).get("session_id")
    )
    found = _SESSION_IN_USER.search(user)
    return given or (found.group(1) if found else "")
