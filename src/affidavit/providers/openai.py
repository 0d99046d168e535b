"""The OpenAI dialect: which operation a path names, what its body asks for, how errors look.

Spoken by OpenAI, Azure OpenAI, Groq, Mistral, vLLM, Ollama and everything "OpenAI-compatible".
Read are chat completions, responses, completions, embeddings and models; every other path of
these APIs is opaque here, recorded all the same. A body with a duplicate key has two readings,
so its facts are marked unparsed: which of the two the provider takes is not known.
"""

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from affidavit.providers import openai_chat, openai_responses
from affidavit.providers.dialect import Accumulator, Headers, StreamReader, document_of
from affidavit.providers.facts import YES, Message, RequestFacts, ResponseFacts
from affidavit.providers.fields import mapping, mappings, name, names, parameters, stop_sequences
from affidavit.providers.opaque import UNREAD, OpaqueAccumulator

_CHAT, _RESPONSES, _COMPLETIONS = "chat.completions", "responses", "completions"
_EMBEDDINGS, _MODELS, _COUNT = "embeddings", "models", "responses.input_tokens"

_POSTED = (
    ("/chat/completions", _CHAT, "chat"),
    ("/completions", _COMPLETIONS, "text_completion"),
    ("/responses", _RESPONSES, "chat"),
    ("/responses/input_tokens", _COUNT, "count_tokens"),
    ("/embeddings", _EMBEDDINGS, "embeddings"),
)
_STORED_RESPONSE = re.compile(r"/responses/[^/]+(/cancel)?$")
_ONE_MODEL = re.compile(r"/models/(.+)$")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")

_PARAMETERS = (
    ("max_tokens", "max_tokens"),
    ("max_completion_tokens", "max_tokens"),
    ("max_output_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("random_seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("n", "choice.count"),
)

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class OpenAI:
    """See the module. ``provider`` is OpenTelemetry's name of who is behind the address."""

    name = "openai"
    parser = "openai/1"

    def __init__(self, provider: str = "openai") -> None:
        self.provider = provider

    def request(self, method: str, path: str, headers: Headers, body: bytes) -> RequestFacts:
        """Read a request; the model is the body's, else the deployment or model in the path."""
        route = path.partition("?")[0].rstrip("/")
        api, operation = _operation(method, route)
        if not body:
            empty = YES if method != "POST" or operation == "retrieve" else "unparsed: empty body"
            return RequestFacts(
                dialect=self.name,
                provider=self.provider,
                parser=self.parser,
                api=api,
                operation=operation,
                parsed=f"unparsed: {UNREAD}" if api == "opaque" else empty,
                model=_model_in(route),
            )
        read = document_of(headers, body)
        document = mapping(read.value)
        problem = read.problem or ("" if document else "not a JSON object")
        if api == "opaque":
            problem = UNREAD
        return RequestFacts(
            dialect=self.name,
            provider=self.provider,
            parser=self.parser,
            api=api,
            operation=operation,
            parsed=f"unparsed: {problem}" if problem else YES,
            model=name(document.get("model")) or _model_in(route),
            stream=document.get("stream") is True,
            parameters=_parameters(document),
            tools_offered=_tools(document),
            previous_response_id=name(document.get("previous_response_id")),
            conversation=_conversation_id(document),
            end_user=_end_user(document),
            session=_session(document),
            document=document,
        )

    def stream(self, request: RequestFacts, status: int, headers: Headers) -> StreamReader:
        """Return a reader for the response to ``request``."""
        return StreamReader(request, status, headers, _accumulator(request.api))

    def response(
        self, request: RequestFacts, status: int, headers: Headers, body: bytes
    ) -> ResponseFacts:
        """Read a whole body."""
        reader = self.stream(request, status, headers)
        reader.feed(body)
        return reader.finish()

    def conversation(self, request: RequestFacts, response: ResponseFacts | None) -> list[Message]:
        """Return the messages of the request and then those of the response."""
        document = mapping(request.document)
        if request.api in (_RESPONSES, _COUNT):
            messages = openai_responses.input_messages(document)
        elif request.api == "opaque":
            messages = []
        else:
            messages = openai_chat.input_messages(document)
        return messages + list(response.messages if response else ())

    def error_body(
        self, status: int, code: str, message: str, hint: str, record_id: str
    ) -> tuple[str, bytes]:
        """An error the official SDK turns into its exception for ``status``."""
        fallback = "server_error" if status >= 500 else "invalid_request_error"
        error = {
            "message": " ".join(text for text in (message, hint) if text),
            "type": _ERROR_TYPES.get(status, fallback),
            "param": None,
            "code": code,
        }
        if record_id:
            error["affidavit_record"] = record_id
        return "application/json", msgspec.json.encode({"error": error})


def _operation(method: str, route: str) -> tuple[str, str]:
    """(api, operation) that a path names."""
    if method == "POST":
        for ending, api, operation in _POSTED:
            if route.endswith(ending):
                return api, operation
    if _STORED_RESPONSE.search(route):
        return _RESPONSES, "retrieve"
    if method == "GET" and (route.endswith("/models") or _ONE_MODEL.search(route)):
        return _MODELS, "models"
    return "opaque", "opaque"


def _accumulator(api: str) -> Accumulator:
    if api == _RESPONSES:
        return openai_responses.ResponsesAccumulator()
    if api in (_MODELS, _COUNT):
        return OpaqueAccumulator(problem="")
    if api == "opaque":
        return OpaqueAccumulator()
    return openai_chat.ChatAccumulator()


def _model_in(route: str) -> str:
    """The deployment (Azure) or model that stands in the path."""
    found = _DEPLOYMENT.search(route) or _ONE_MODEL.search(route)
    return name(unquote(found.group(1))) if found else ""


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    found = parameters(document, _PARAMETERS)
    if type(document.get("stream")) is bool:
        found["gen_ai.request.stream"] = document["stream"]
    if document.get("stop"):
        found["gen_ai.request.stop_sequences"] = stop_sequences(document["stop"])
    if name(document.get("service_tier")):
        found["openai.request.service_tier"] = document["service_tier"]
    if name(document.get("encoding_format")):
        found["gen_ai.request.encoding_formats"] = [document["encoding_format"]]
    prompt = mapping(document.get("prompt"))  # a stored prompt template of the responses API
    if name(prompt.get("id")):
        found["gen_ai.prompt.name"] = prompt["id"]
        if name(prompt.get("version")):
            found["gen_ai.prompt.version"] = prompt["version"]
    return found


def _tools(document: dict[str, Any]) -> tuple[str, ...]:
    """Names of the tools offered; a built-in tool has only a type, an MCP server a label."""
    if not ("tools" in document or "functions" in document):
        return ()
    found: list[Any] = []
    for tool in mappings(document.get("tools")):
        inner = mapping(tool.get("function")) or mapping(tool.get("custom")) or tool
        found.append(inner.get("name") or inner.get("server_label") or inner.get("type"))
    found += [function.get("name") for function in mappings(document.get("functions"))]
    return names(found)


def _conversation_id(document: dict[str, Any]) -> str:
    given = document.get("conversation")
    return name(given) or name(mapping(given).get("id"))


def _end_user(document: dict[str, Any]) -> str:
    return (
        name(document.get("safety_identifier"))
        or name(document.get("user"))
        or name(mapping(document.get("metadata")).get("user_id"))
    )


def _session(document: dict[str, Any]) -> str:
    return (
        name(document.get("litellm_session_id"))
        or name(mapping(document.get("metadata")).get("session_id"))
        or _conversation_id(document)
    )
