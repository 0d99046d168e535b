"""What the sequencer sends out: short questions to configured addresses, and their answers.

Rules: the client is the gateways' own (``capture.upstream``): one address check, verified TLS, no
proxy of the environment, redirects are answers like any other. A question is one request, never
repeated; an answer is bounded in size and in time. Not here: whom to ask, and what it means.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from affidavit.capture.egress import Origin, tls_context
from affidavit.capture.upstream import Limits, Request, Upstream
from affidavit.errors import UpstreamError, UpstreamTimeoutError

MAX_ANSWER = 64 << 10


class Answer(NamedTuple):
    """HTTP status and body."""

    status: int
    body: bytes


Post = Callable[[str, str, bytes, float], Awaitable[Answer]]
"""Sends (url, content type, body, seconds), as ``Outbound.post`` does."""
Get = Callable[[str, float], Awaitable[Answer]]
"""Reads (url, seconds), as ``Outbound.get`` does."""


class Outbound:
    """Asks, for one event loop; ``ca_file`` adds a trust anchor for TLS."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._tls = tls_context(ca_file)
        self._upstreams: dict[str, Upstream] = {}

    async def post(self, url: str, content_type: str, body: bytes, within: float) -> Answer:
        """Send ``body`` to ``url`` and return the answer, whatever its status.

        ``UpstreamError`` and its kin if there is none within so many seconds, or one over the
        limit.
        """
        return await self._call(
            url, b"POST", [(b"content-type", content_type.encode())], body, within
        )

    async def get(self, url: str, within: float) -> Answer:
        """What is at ``url``, whatever the status; errors as ``post``."""
        return await self._call(url, b"GET", [], None, within)

    async def _call(
        self,
        url: str,
        method: bytes,
        head: list[tuple[bytes, bytes]],
        body: bytes | None,
        within: float,
    ) -> Answer:
        if url not in self._upstreams:
            limits = Limits(within, within, within)
            self._upstreams[url] = Upstream(Origin.parse(url), limits, self._tls)
        upstream = self._upstreams[url]
        headers = [*head, (b"user-agent", b"affidavit")]
        call = upstream.call(Request(method, upstream.origin.prefix or b"/", headers, body))
        try:
            async with asyncio.timeout(within):
                await call.start()
                received = b""
                while piece := await call.next():
                    received += piece
                    if len(received) > MAX_ANSWER:
                        raise UpstreamError(f"{upstream.origin.host} answered too much.")
                return Answer(call.status, received)
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                f"{upstream.origin.host} did not answer within {within:g} seconds."
            ) from error
        finally:
            call.close()

    def close(self) -> None:
        """Drop what is connected."""
        for upstream in self._upstreams.values():
            upstream.close()
