"""The local socket between the processes of one machine.

Rules: one Unix socket, mode 0600 in a directory of mode 0700, and the peer's user id is checked;
a message is ``u32be length ‖ msgpack``, requests ``[id, method, params]``, answers
``[id, null | error, result]``; at most 64 MiB each way. An error crosses as its ``as_json`` body
and comes out as an error of the same code. Not here: what the methods do (``app``).
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from affidavit import errors

MAX_MESSAGE = 64 << 20
Handler = Callable[[dict[str, Any]], Awaitable[Any]]


class ControlServer:
    """Answers the other processes of this user; unknown methods are a ``UsageError``."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen; a socket file left by a dead process is replaced."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _peer_uid(writer) != os.getuid():
            await _close(writer)
            return
        serving = asyncio.current_task()
        assert serving is not None
        self._tasks.add(serving)
        self._writers.add(writer)
        try:
            while (message := await _receive(reader)) is not None:
                task = asyncio.create_task(self._answer(message, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (OSError, ValueError, msgspec.MsgspecError):
            pass  # a peer that breaks off or talks nonsense loses its connection, nothing else
        finally:
            self._writers.discard(writer)
            await _close(writer)
            self._tasks.discard(serving)

    async def _answer(self, message: Any, writer: asyncio.StreamWriter) -> None:
        number, method, params = message
        try:
            handler = self._handlers.get(method)
            if handler is None:
                raise errors.UsageError(f"There is no method {method}.")  # noqa: TRY301
            answer = _frame([number, None, await handler(params)])
        except errors.AffidavitError as error:
            answer = _frame([number, error.as_json()["error"], None])
        except Exception as error:  # noqa: BLE001 - the other side must get an answer
            name = type(error).__name__
            failure = {"code": "internal", "message": f"The sequencer: {name}."}
            answer = _frame([number, failure, None])
        with contextlib.suppress(OSError):
            writer.write(answer)
            await writer.drain()


class ControlLink:
    """The calling side; connects when first used and again after the other side was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._lock = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, within: float = 5.0
    ) -> Any:
        """Ask and return the answer, as msgpack's own types.

        ``UnavailableError`` if the sequencer is not there or does not answer within ``within``
        seconds; otherwise whatever error the other side raised, by its code.
        """
        try:
            async with asyncio.timeout(within):
                future = await self._send(method, params or {})
                failure, result = await future
        except (OSError, TimeoutError) as error:
            raise errors.UnavailableError(
                "The sequencer does not answer.", hint="Is it running? affidavit doctor"
            ) from error
        if failure is not None:
            raise _revive(failure)
        return result

    async def close(self) -> None:
        """Close the connection; a later call opens it again."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await _close(writer)

    async def _send(self, method: str, params: dict[str, Any]) -> asyncio.Future[Any]:
        async with self._lock:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(str(self._path))
                self._reading = asyncio.create_task(self._read(reader))
            self._number += 1
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting[self._number] = future
            number = self._number
            future.add_done_callback(lambda _: self._waiting.pop(number, None))
            self._writer.write(_frame([number, method, params]))
            return future

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (message := await _receive(reader)) is not None:
                number, failure, result = message
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    future.set_result((failure, result))
        except (OSError, ValueError, msgspec.MsgspecError):
            pass  # the same as an end: everybody who waits is told below
        finally:
            self._drop()

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(ConnectionResetError("the sequencer went away"))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _frame(message: Any) -> bytes:
    body = msgspec.msgpack.encode(message)
    return struct.pack(">I", len(body)) + body


async def _receive(reader: asyncio.StreamReader) -> Any:
    try:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        if length > MAX_MESSAGE:
            raise ValueError("message too long")
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
    message = msgspec.msgpack.decode(body)
    if not isinstance(message, list) or len(message) != 3:
        raise ValueError("not a message")
    return message


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _revive(failure: dict[str, Any]) -> errors.AffidavitError:
    """The error of that code; its nearest ancestor where the code is unknown."""
    known: dict[str, type[errors.AffidavitError]] = {}
    pending: list[type[errors.AffidavitError]] = [errors.AffidavitError]
    while pending:
        kind = pending.pop()
        known.setdefault(kind.code, kind)
        pending.extend(kind.__subclasses__())
    rest = {k: v for k, v in failure.items() if k not in {"code", "message", "hint", "kept"}}
    return known.get(str(failure.get("code")), errors.UnavailableError)(
        str(failure.get("message", "")),
        hint=str(failure.get("hint", "")),
        kept=str(failure.get("kept", "")),
        **rest,
    )
