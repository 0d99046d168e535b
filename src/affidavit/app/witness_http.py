"""The witness as an ASGI application: ``add-checkpoint`` and what it has cosigned.

Rules: a body is read within a limit of bytes and of time; every refusal is one line of text; of
refusals that speak against a log (422) each new one is a line on stderr. Checking and cosigning
happens in a thread, because it waits for the disk. Not here: the protocol (``ledger.witness``),
the replay of a monitor (``witness_replay``).
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from affidavit.app.witness_replay import Follower
from affidavit.clock import Clock
from affidavit.ledger import witness
from affidavit.ledger.witness import Answer, Logs, Request
from affidavit.ledger.witness_store import Witness

BODY_SECONDS = 10.0
_HEAD = re.compile(r"/([0-9a-f]{64})/checkpoint")

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class WitnessApp:
    """Serves one witness; with ``follower`` it is a monitor's."""

    def __init__(
        self, served: Witness, logs: Logs, clock: Clock, follower: Follower | None = None
    ) -> None:
        self._witness = served
        self._logs = logs
        self._clock = clock
        self._follower = follower
        self._threads = ThreadPoolExecutor(4, "cosign")
        self._told: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await _send(send, scope["method"], await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"]
        if path == "/add-checkpoint":
            if method != "POST":
                return witness.refusal(405, "A checkpoint is added by POST.")
            body = await _body(receive)
            return body if isinstance(body, Answer) else await self._add(body)
        if method not in {"GET", "HEAD"}:
            return witness.refusal(405, "This is read by GET.")
        if path == "/healthz":
            if self._witness.failure is not None:
                return witness.refusal(503, "The disk of this witness has failed.")
            return witness.refusal(200, "ok")
        name = _HEAD.fullmatch(path)
        note = None if name is None else self._witness.latest(name[1])
        if note is None:
            return witness.refusal(404, "There is nothing of this name.")
        return Answer(200, note)

    async def _add(self, body: bytes) -> Answer:
        request = witness.read(body, self._logs)
        if isinstance(request, Answer):
            return request
        answer = await self._consider(request)
        if answer.status == 422:
            self._tell(request, answer)
        return answer

    async def _consider(self, request: Request) -> Answer:
        follower = self._follower
        if follower is not None and self._witness.check(request) is None:
            refused = await follower.reach(request.checkpoint)
            if refused is not None:
                return refused
        moment = self._clock.now()
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._witness.cosign, request)
        if follower is not None and answer.status == 200:
            follower.cosigned(request.checkpoint.size, moment)
        return answer

    def _tell(self, request: Request, answer: Answer) -> None:
        origin = request.checkpoint.origin
        if self._told.get(origin) != answer.body:
            self._told[origin] = answer.body
            size, why = request.checkpoint.size, answer.body.decode().strip()
            sys.stderr.write(f"witness: {origin} of {size} leaves is not cosigned: {why}\n")

    def close(self) -> None:
        """Let the threads finish what they have begun."""
        self._threads.shutdown()


async def _body(receive: Receive) -> bytes | Answer:
    """The whole body, or 408 or 413."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > witness.MAX_BODY:
                    return witness.refusal(413, "The body is larger than one may be.")
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return witness.refusal(408, "The body did not arrive in time.")


async def _send(send: Send, method: str, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if answer.retry:
        headers.append((b"retry-after", b"1"))
    if answer.status == 405:
        headers.append((b"allow", b"GET, HEAD, POST"))
    if answer.status in {408, 413}:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if method == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})
