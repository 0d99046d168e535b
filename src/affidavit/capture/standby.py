"""Stands in for a gateway whose journal or sequencer is not there: every call is refused, kindly.

A worker that replaces another has nobody to report a failed start to, and callers wait at its
socket. Rules: nothing is read of a call but its path; nothing is forwarded and nothing recorded;
the answer is 503 in the provider's shape and says why; both health pages are red. Not here:
when it stands in and for how long (``app.gateway``).
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from affidavit.capture import replies
from affidavit.capture.admission import Receive
from affidavit.capture.endpoint import Endpoint
from affidavit.capture.gateway import Send
from affidavit.capture.replies import Reply
from affidavit.capture.worker import make_server
from affidavit.config import Config
from affidavit.errors import AffidavitError


class Standby:
    """A raw ASGI application that refuses; ``error`` says why and may be replaced."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], worker: str, error: AffidavitError
    ) -> None:
        self.error = error
        self._endpoints = endpoints
        self._worker = worker

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, ``http`` only)."""
        if scope["type"] != "http":
            return
        reply = self._reply(str(scope["path"]).split("/")[1:])
        fields = [*reply.headers, (b"connection", b"close")]
        start = {"type": "http.response.start", "status": reply.status, "headers": fields}
        await send(start)
        await send({"type": "http.response.body", "body": reply.body, "more_body": False})

    def _reply(self, path: list[str]) -> Reply:
        if path in (["healthz"], ["readyz"]):
            facts = {"status": "cannot record", "worker": self._worker, **self.error.as_json()}
            return replies.document(facts, 503)
        endpoint = self._endpoints.get(path[0]) if path else None
        return replies.failure(self.error, endpoint.dialect if endpoint is not None else None)


class StandbyServer:
    """Serves a ``Standby`` on a listening socket, which stays open, until ``stop``."""

    def __init__(self, standby: Standby, sock: socket.socket, config: Config) -> None:
        self._server = make_server(standby, config)
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[sock.dup()]))

    async def stop(self) -> None:
        """Answer what has been accepted, then stop taking connections."""
        self._server.should_exit = True
        await self._serving
