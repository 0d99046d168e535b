"""What one caller is given: the head, pieces of the body, a reply of ours, or a broken connection.

Rules: the provider's fields go on end to end, without any of ours that it may have sent; ours point
to the record, if there is one. Not here: when something may be given (``relay``).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from affidavit.capture import replies
from affidavit.capture.replies import Reply
from affidavit.capture.sections import Headers
from affidavit.capture.server import Connection
from affidavit.wire.http_rules import end_to_end

_OURS = (b"affidavit-record", b"affidavit-digest")
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Answer:
    """The caller's side of one exchange.

    ``record``: id and digest of the request record, ``None`` if there is none; ``begun``: the head
    was sent; ``over``: nothing more may be given.
    """

    def __init__(self, connection: Connection, send: Send) -> None:
        self.record: tuple[str, str] | None = None
        self.begun = False
        self.over = False
        self._connection = connection
        self._send = send

    async def head(self, status: int, headers: Headers) -> None:
        """Give the provider's response head, once."""
        if self.begun:
            return
        self.begun = True
        fields = [field for field in end_to_end(headers) if field[0] not in _OURS]
        await self._start(status, [*fields, *self._fields()])
        if status == 304:
            self._connection.no_body()

    async def body(self, data: bytes, *, more: bool) -> None:
        """Give a piece of the body, as soon as the caller takes it."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def reply(self, reply: Reply, *, recorded: bool = False) -> None:
        """Give a whole response of ours; ``recorded``: with pointers to the record."""
        self.over = True
        await self._start(reply.status, [*reply.headers, *(self._fields() if recorded else [])])
        await self.body(reply.body, more=False)

    def break_off(self) -> None:
        """End the connection, so that nobody takes what was given for the whole."""
        self.over = True
        self._connection.break_off()

    def _fields(self) -> list[tuple[bytes, bytes]]:
        return [] if self.record is None else replies.pointers(*self.record)

    async def _start(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
