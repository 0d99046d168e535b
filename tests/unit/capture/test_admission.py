"""Claims about what is let in, and how a body is read."""

import asyncio
from typing import Any

import pytest

from affidavit.capture import admission
from affidavit.capture.admission import GoneError, Inflight, Share, check, read_body
from affidavit.config import Gateway as Limits
from affidavit.errors import BusyError, ParseError, TooLargeError, TooSlowError

LIMITS = Limits(max_body_bytes=1024, client_read_timeout=0.05)


class Client:
    """Gives these messages, then nothing; ``body_complete`` once all of them are there."""

    def __init__(self, *messages: dict[str, Any], complete: bool = False) -> None:
        self.messages = list(messages)
        self.body_complete = complete

    async def receive(self) -> dict[str, Any]:
        """The next message, or wait for ever."""
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    """A body message as ASGI has it."""
    return {"type": "http.request", "body": data, "more_body": more}


def read(
    client: Client, headers: list[tuple[bytes, bytes]] | None = None, share: Share | None = None
) -> bytes:
    """Read a body from this client."""
    scope = {"headers": headers or []}
    share = share or Inflight(4096).share()
    return asyncio.run(
        read_body(scope, client.receive, client, LIMITS, share)  # type: ignore[arg-type]  # a stub
    )


def test_pieces_are_joined() -> None:
    """However many messages, one body."""
    assert read(Client(body(b"abc"), complete=True)) == b"abc"
    assert read(Client(body(b"a", more=True), body(b"", more=True), body(b"bc"))) == b"abc"


def test_limits_hold_to_the_byte() -> None:
    """1024 bytes are taken, 1025 are not, announced or not."""
    assert len(read(Client(body(b"x" * 1000, more=True), body(b"x" * 24)))) == 1024
    with pytest.raises(TooLargeError):
        read(Client(body(b"x" * 1000, more=True), body(b"x" * 25)))
    with pytest.raises(TooLargeError):
        read(Client(), [(b"content-length", b"1025")])


def test_a_body_that_stops_coming() -> None:
    """Nothing within the limit is too slow; a client that leaves is gone."""
    with pytest.raises(TooSlowError):
        read(Client(body(b"x", more=True)))
    with pytest.raises(GoneError):
        read(Client(body(b"x", more=True), {"type": "http.disconnect"}))


def test_all_bodies_together_have_a_limit() -> None:
    """Bytes count as they come until they are given back; announcing takes nothing."""
    inflight = Inflight(1500)
    one, other = inflight.share(), inflight.share()
    read(Client(body(b"x" * 500, more=True), body(b"x" * 500)), share=one)
    assert inflight.held == 1000
    with pytest.raises(BusyError):
        read(Client(), [(b"content-length", b"501")], other)
    assert inflight.held == 1000
    with pytest.raises(BusyError):
        read(Client(body(b"x" * 500, more=True), body(b"x")), share=other)
    with other:
        assert inflight.held == 1500
    assert inflight.held == 1000
    one.release()
    one.release()
    assert inflight.held == 0
    assert len(read(Client(body(b"x" * 1000)), share=other)) == 1000


@pytest.mark.parametrize(
    ("version", "fields"),
    [("1.0", []), ("2", []), ("1.1", [(b"upgrade", b"websocket")]), ("1.1", [(b"upgrade", b"")])],
)
def test_other_protocols_are_refused(version: str, fields: list[tuple[bytes, bytes]]) -> None:
    """Only HTTP/1.1 without Upgrade."""
    scope = {"method": "POST", "http_version": version, "headers": [(b"host", b"h"), *fields]}
    with pytest.raises(ParseError):
        check(scope, b"/openai/v1/x", 65_536)


def test_lingering_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading on after a refusal is bounded in bytes and time, and ends with the body."""
    monkeypatch.setattr(admission, "LINGER_BYTES", 10)
    monkeypatch.setattr(admission, "LINGER_SECONDS", 0.05)
    endless = Client(*[body(b"x" * 4, more=True)] * 9)
    asyncio.run(admission.linger(endless.receive))
    assert len(endless.messages) == 6
    asyncio.run(admission.linger(Client(body(b"x", more=True)).receive))
    done = Client(body(b"x"), body(b"y"))
    asyncio.run(admission.linger(done.receive))
    assert len(done.messages) == 1
