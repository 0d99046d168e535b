"""Stands in for a gateway whose sequencer is not there: every call is refused, kindly.

A worker that replaces another has nobody to report a failed start to, and callers wait at its
socket; who they are nobody can say, so nothing is forwarded on any route. Rules: nothing is looked
at of a call but its path; the answer is 503 in the provider's shape and says why; both health pages
are red; refused calls are counted, for the gap that the gateway records (``gaps``). Not here: when
it stands in and for how long (``app.gateway``).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from affidavit.capture import admission, replies
from affidavit.capture.admission import Receive
from affidavit.capture.endpoint import Endpoint
from affidavit.capture.gaps import REFUSED, Gaps
from affidavit.capture.gateway import Send
from affidavit.capture.replies import Reply
from affidavit.capture.routes import DEFAULT
from affidavit.capture.worker import make_server
from affidavit.config import Config
from affidavit.errors import AffidavitError, CannotRecordError, UnavailableError


class Standby:
    """A raw ASGI application that refuses; ``error`` says why and may be replaced."""

    def __init__(self, endpoints: Mapping[str, Endpoint], worker: str, gaps: Gaps) -> None:
        self.error: AffidavitError = UnavailableError("The sequencer is not there.")
        self._endpoints = endpoints
        self._worker = worker
        self._gaps = gaps

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, ``http`` only)."""
        if scope["type"] != "http":
            return
        reply = self._reply(str(scope["path"]).split("/")[1:])
        fields = [*reply.headers, (b"connection", b"close")]
        start = {"type": "http.response.start", "status": reply.status, "headers": fields}
        await send(start)
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        await admission.linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _reply(self, path: list[str]) -> Reply:
        if path in (["healthz"], ["readyz"]):
            facts = {"status": "cannot record", "worker": self._worker, **self.error.as_json()}
            return replies.document(facts, 503)
        endpoint = self._endpoints.get(path[0]) if path else None
        cannot = CannotRecordError(self.error.message, cause="sequencer away")
        self._gaps.count(REFUSED, DEFAULT, cannot)
        return replies.failure(self.error, endpoint.dialect if endpoint is not None else None)


@asynccontextmanager
async def standing_in(standby: Standby, sock: socket.socket, config: Config) -> AsyncIterator[None]:
    """Serve ``standby`` on a listening socket, which stays open; what it accepted it answers."""
    server = make_server(standby, config)
    serving = asyncio.ensure_future(server.serve(sockets=[sock.dup()]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
