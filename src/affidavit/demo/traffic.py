"""A little traffic for the first start of the demo, through the gateway like anybody's.

Rules: plain HTTP with the caller key, no shortcut into the program; a session with a tool call,
a stream, an embedding, a message in the other API and an error. What fails to be sent is
reported by the count that is returned, and stops nothing.
"""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from affidavit.demo.answers import CHAT_MODEL, EMBED_MODEL, ERROR_MODEL

_TIMEOUT = 30.0
_TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search the policy library.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}
_QUESTION = "How long must we keep the records of a credit decision?"
_FOUND = "Policy 7.2: records of automated decisions are kept for seven years."


class _Caller:
    """One caller of the gateway at ``gateway`` (``http://host:port``), with its key."""

    def __init__(self, gateway: str, key: str) -> None:
        self._address = urlsplit(gateway)
        self._key = key
        self.answered = 0

    def post(self, path: str, body: dict[str, Any], **headers: str) -> bytes:
        """Send ``body``, read the answer to its end, return it; empty if nobody answered."""
        connection = http.client.HTTPConnection(
            self._address.hostname or "127.0.0.1", self._address.port, timeout=_TIMEOUT
        )
        sent = {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "user-agent": "affidavit-demo/1",
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("POST", path, json.dumps(body), sent)
            answer = connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()
        self.answered += 1
        return answer


def generate(gateway: str, key: str) -> int:
    """Make the demo's traffic; returns how many exchanges were answered (7 if all went well).

    Blocks for a few seconds. ``gateway`` is its address, ``key`` a caller key; the providers are
    those that the demo configures, ``openai`` and ``anthropic``.
    """
    caller = _Caller(gateway, key)
    chat, session = "/openai/v1/chat/completions", "demo-session-1"
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You answer questions about record keeping."},
        {"role": "user", "content": _QUESTION},
    ]
    asked = {"model": CHAT_MODEL, "messages": messages, "tools": [_TOOL]}
    purpose = "records-policy"
    answer = caller.post(chat, asked, affidavit_session=session, affidavit_purpose=purpose)
    call = _tool_message(answer)
    if call is not None:
        result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": _FOUND}
        messages += [call, result]
        caller.post(chat, asked, affidavit_session=session, affidavit_purpose=purpose)
    follow = [*messages, {"role": "user", "content": "Thank you. And who may delete them?"}]
    streamed = {
        "model": CHAT_MODEL,
        "messages": follow,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    caller.post(chat, streamed, affidavit_session=session, affidavit_purpose=purpose)
    caller.post("/openai/v1/responses", {"model": "demo-mini", "input": "What is a checkpoint?"})
    caller.post("/openai/v1/embeddings", {"model": EMBED_MODEL, "input": [_QUESTION, _FOUND]})
    message = {
        "model": CHAT_MODEL,
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "Say in one sentence what a witness does."}],
    }
    caller.post("/anthropic/v1/messages", message, anthropic_version="2023-06-01")
    caller.post(chat, {"model": ERROR_MODEL, "messages": messages[:2]})
    return caller.answered


def _tool_message(answer: bytes) -> dict[str, Any] | None:
    """The assistant message of a chat completion if it calls a tool, else ``None``."""
    try:
        message = json.loads(answer)["choices"][0]["message"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return message if isinstance(message, dict) and message.get("tool_calls") else None
