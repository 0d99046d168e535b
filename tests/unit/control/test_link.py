"""The local socket: answers, errors that cross by code, a peer that dies."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from affidavit.control.link import ControlLink, ControlServer
from affidavit.errors import AffidavitError, NotFoundError, UnavailableError, UsageError


async def echo(params: dict[str, Any]) -> Any:
    """Give back what came."""
    return params


async def missing(params: dict[str, Any]) -> Any:
    """Raise an error of the tree."""
    raise NotFoundError("not there", hint="look elsewhere", where=params["x"])


async def broken(_: dict[str, Any]) -> Any:
    """Raise what is not of the tree."""
    raise ZeroDivisionError


HANDLERS = {"echo": echo, "missing": missing, "broken": broken}


def test_answers_errors_and_restart(tmp_path: Path) -> None:
    """Values come back, errors keep code, hint and detail; a new server is found again."""

    async def story() -> None:
        path = tmp_path / "c.sock"
        link = ControlLink(path)
        with pytest.raises(UnavailableError):
            await link.call("echo", {})
        server = ControlServer(path, HANDLERS)
        await server.start()
        assert (path.stat().st_mode & 0o777) == 0o600
        big = {"a": b"\x00" * 1_000_000, "n": [1, None]}
        assert await link.call("echo", big) == big
        answers = await asyncio.gather(*(link.call("echo", {"i": i}) for i in range(50)))
        assert [a["i"] for a in answers] == list(range(50))
        with pytest.raises(NotFoundError) as caught:
            await link.call("missing", {"x": 7})
        assert caught.value.hint == "look elsewhere"
        assert caught.value.detail == {"where": 7}
        with pytest.raises(UsageError):
            await link.call("nothing", {})
        with pytest.raises(AffidavitError, match="ZeroDivisionError") as internal:
            await link.call("broken", {})
        assert internal.value.code == "internal"
        await server.stop()
        with pytest.raises(UnavailableError):
            await link.call("echo", {}, within=1.0)
        again = ControlServer(path, HANDLERS)
        await again.start()
        assert await link.call("echo", {}) == {}
        await link.close()
        await again.stop()

    asyncio.run(story())


@pytest.mark.parametrize(
    "noise", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x02\x91\x01", b"\x00"]
)
def test_nonsense_costs_only_its_own_connection(tmp_path: Path, noise: bytes) -> None:
    """After garbage on one connection others are still answered."""

    async def story() -> None:
        path = tmp_path / "c.sock"
        server = ControlServer(path, HANDLERS)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(noise)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        link = ControlLink(path)
        assert await link.call("echo", {"pid": os.getpid()}) == {"pid": os.getpid()}
        await link.close()
        await server.stop()

    asyncio.run(story())
