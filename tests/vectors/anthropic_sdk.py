"""What the official Anthropic SDK makes of recorded bytes: the oracle for that dialect."""

from typing import Any

import httpx2
from anthropic import Anthropic, APIError, APIStatusError, Stream
from anthropic._types import NOT_GIVEN
from anthropic.lib.streaming import MessageStream
from anthropic.types import Message, RawMessageStreamEvent

from tests.vectors.reading import Call, Output, Reading, known
from tests.vectors.recordings import Exchange


def speaks(exchange: Exchange) -> bool:
    """Whether the exchange is of an operation both sides read."""
    return exchange.method == "POST" and exchange.path.partition("?")[0].endswith("/messages")


def read(exchange: Exchange) -> Reading:
    """Read a recorded response with the SDK's own client, types and stream accumulator."""
    client = Anthropic(
        api_key="k",
        base_url="http://provider.test",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda _: _answer(exchange))),
    )
    try:
        if exchange.streamed:
            raw = client.post(
                exchange.path,
                cast_to=Message,
                stream=True,
                stream_cls=Stream[RawMessageStreamEvent],
            )
            with MessageStream(raw, NOT_GIVEN) as stream:
                return _reading(stream.get_final_message())
        return _reading(client.post(exchange.path, cast_to=Message))
    except APIStatusError as error:
        return Reading(error=_error(error, error.status_code))
    except APIError as error:
        return Reading(error=_error(error, exchange.status))


def _answer(exchange: Exchange) -> httpx2.Response:
    headers = [pair for pair in exchange.response_headers if pair[0].lower() != b"content-length"]
    return httpx2.Response(exchange.status, headers=headers, content=exchange.response_body)


def _error(error: APIError, status: int) -> tuple[int, str, str, str]:
    body: Any = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error") or {}
    return (status, "", inner.get("type") or "", inner.get("message") or "")


def _reading(made: Any) -> Reading:
    usage = made.usage
    cached = usage.cache_read_input_tokens
    written = usage.cache_creation_input_tokens
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[Call] = []
    for block in made.content:
        if block.type == "text":
            text.append(block.text)
        elif block.type == "thinking":
            reasoning.append(block.thinking)
        elif block.type in ("tool_use", "server_tool_use"):
            calls.append(Call(block.id, block.name, block.input))
        elif not block.type.endswith("tool_result"):
            raise AssertionError(f"the comparison has no rule for {block.type}")
    return Reading(
        made.id,
        made.model,
        "",
        (made.stop_reason,) if made.stop_reason else (),
        known(
            [
                ("input_tokens", usage.input_tokens + (cached or 0) + (written or 0)),
                ("output_tokens", usage.output_tokens),
                ("cache_read.input_tokens", cached),
                ("cache_creation.input_tokens", written),
            ]
        ),
        (Output("".join(text), "".join(reasoning), "", tuple(calls)),),
    )
