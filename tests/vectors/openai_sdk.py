"""What the official OpenAI SDK makes of recorded bytes: the oracle for the OpenAI dialect.

The SDK's own client runs against an in-process transport that answers with the recorded status,
headers and body; its own types, decoders and stream accumulators do the reading.
"""

from typing import Any

import httpx2
from openai import APIError, APIStatusError, OpenAI, Stream
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from tests.vectors.reading import Call, Output, Reading, json_value, known
from tests.vectors.recordings import Exchange

SPOKEN = ("/chat/completions", "/completions", "/embeddings", "/responses")


def speaks(exchange: Exchange) -> bool:
    """Whether the exchange is of an operation both sides read."""
    return exchange.method == "POST" and exchange.path.partition("?")[0].endswith(SPOKEN)


def read(exchange: Exchange) -> Reading:
    """Read a recorded response with the SDK."""
    client = OpenAI(
        api_key="k",
        base_url="http://provider.test",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda _: _answer(exchange))),
    )
    path = exchange.path.partition("?")[0]
    try:
        if path.endswith("/chat/completions"):
            return _chat(client, exchange)
        if path.endswith("/completions"):
            return _completion(client, exchange)
        if path.endswith("/responses"):
            return _responses(client, exchange)
        made = client.post(path, cast_to=CreateEmbeddingResponse)
        answered = getattr(made.usage, "completion_tokens", None)  # some servers say 0
        return Reading(
            id=getattr(made, "id", ""),
            model=made.model,
            usage=known([("input_tokens", made.usage.prompt_tokens), ("output_tokens", answered)]),
        )
    except APIStatusError as error:
        return Reading(error=_error(error, error.status_code))
    except APIError as error:
        return Reading(error=_error(error, exchange.status))


def _answer(exchange: Exchange) -> httpx2.Response:
    headers = [pair for pair in exchange.response_headers if pair[0].lower() != b"content-length"]
    return httpx2.Response(exchange.status, headers=headers, content=exchange.response_body)


def _error(error: APIError, status: int) -> tuple[int, str, str, str]:
    body: Any = error.body if isinstance(error.body, dict) else {}
    return (status, error.code or "", error.type or "", body.get("message") or "")


def _chat(client: OpenAI, exchange: Exchange) -> Reading:
    made: Any
    if exchange.streamed:
        stream = client.post(
            exchange.path,
            cast_to=ChatCompletion,
            stream=True,
            stream_cls=Stream[ChatCompletionChunk],
        )
        state = ChatCompletionStreamState()
        first: dict[str, str] = {}
        usage: Any = None
        for chunk in stream:
            usage = chunk.usage or (getattr(chunk, "x_groq", None) or {}).get("usage") or usage
            for field in ("id", "model", "system_fingerprint"):
                # The SDK keeps the first chunk's; Azure's first chunk has them empty.
                first[field] = first.get(field) or getattr(chunk, field, None) or ""
            choices: Any = chunk.choices
            for choice in choices:
                for position, call in enumerate(choice.delta.tool_calls or []):
                    if call.index is None:  # Mistral leaves it out; the accumulator needs it
                        call.index = position
            state.handle_chunk(chunk)
        made = state.current_completion_snapshot
        made.id, made.model = first["id"], first["model"]
        made.system_fingerprint = first["system_fingerprint"]
        made.usage = _as_usage(usage)
    else:
        made = client.post(exchange.path, cast_to=ChatCompletion)
    return Reading(
        made.id,
        made.model,
        made.system_fingerprint or "",
        tuple(choice.finish_reason for choice in made.choices if choice.finish_reason),
        _usage(made.usage),
        tuple(_message(choice.message) for choice in made.choices),
    )


def _as_usage(usage: Any) -> Any:
    if isinstance(usage, dict):
        return construct_type(type_=ChatCompletion.model_fields["usage"].annotation, value=usage)
    return usage


def _message(message: Any) -> Output:
    calls = [
        Call(
            call.id,
            (call.custom if call.type == "custom" else call.function).name,
            json_value(call.custom.input if call.type == "custom" else call.function.arguments),
        )
        for call in message.tool_calls or []
    ]
    if message.function_call:
        legacy = message.function_call
        calls.append(Call("", legacy.name, json_value(legacy.arguments)))
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    return Output(message.content or "", reasoning or "", message.refusal or "", tuple(calls))


def _usage(usage: Any) -> dict[str, int]:
    if usage is None:
        return {}
    before, after = usage.prompt_tokens_details, usage.completion_tokens_details
    return known(
        [
            ("input_tokens", usage.prompt_tokens),
            ("output_tokens", usage.completion_tokens),
            ("cache_read.input_tokens", before.cached_tokens if before else None),
            ("reasoning.output_tokens", after.reasoning_tokens if after else None),
        ]
    )


def _completion(client: OpenAI, exchange: Exchange) -> Reading:
    if exchange.streamed:
        stream = client.post(
            exchange.path, cast_to=Completion, stream=True, stream_cls=Stream[Completion]
        )
        chunks = list(stream)
    else:
        chunks = [client.post(exchange.path, cast_to=Completion)]
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    return Reading(
        chunks[0].id,
        chunks[0].model,
        chunks[0].system_fingerprint or "",
        tuple(reason for _, reason in sorted(reasons.items())),
        _usage(usages[-1]) if usages else {},
        tuple(Output(text) for _, text in sorted(texts.items())),
    )


def _responses(client: OpenAI, exchange: Exchange) -> Reading:
    made: Any
    if exchange.streamed:
        stream = client.post(
            exchange.path, cast_to=Response, stream=True, stream_cls=Stream[ResponseStreamEvent]
        )
        last = [event for event in stream if hasattr(event, "response")][-1]
        made = last.response
    else:
        made = client.post(exchange.path, cast_to=Response)
    reason = made.incomplete_details.reason if made.incomplete_details else made.status
    usage = made.usage
    return Reading(
        made.id,
        made.model,
        "",
        (reason,) if reason else (),
        known(
            [
                ("input_tokens", usage.input_tokens),
                ("output_tokens", usage.output_tokens),
                (
                    "cache_read.input_tokens",
                    usage.input_tokens_details.cached_tokens
                    if usage.input_tokens_details
                    else None,
                ),
                (
                    "reasoning.output_tokens",
                    usage.output_tokens_details.reasoning_tokens
                    if usage.output_tokens_details
                    else None,
                ),
            ]
        )
        if usage
        else {},
        (_items(made.output),) if made.output else (),
    )


def _items(items: Any) -> Output:
    text: list[str] = []
    refusal: list[str] = []
    reasoning: list[str] = []
    calls: list[Call] = []
    for item in items:
        if item.type == "message":
            text += [part.text for part in item.content if part.type == "output_text"]
            refusal += [part.refusal for part in item.content if part.type == "refusal"]
        elif item.type == "reasoning":
            reasoning += [part.text for part in [*(item.summary or []), *(item.content or [])]]
        elif item.type == "function_call":
            calls.append(Call(item.call_id, item.name, json_value(item.arguments)))
        elif item.type == "web_search_call":
            calls.append(Call(item.id, "web_search", item.action.model_dump(exclude_unset=True)))
        else:
            raise AssertionError(f"the comparison has no rule for {item.type}")
    return Output("".join(text), "".join(reasoning), "".join(refusal), tuple(calls))
